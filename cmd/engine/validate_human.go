package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"tocsin.internal/rules/lint"
	"tocsin.internal/rules/words"
)

// The colours of a terminal.
const (
	ansiPlain  = "\x1b[0m"
	ansiBold   = "\x1b[1m"
	ansiRed    = "\x1b[1;31m"
	ansiYellow = "\x1b[1;33m"
	ansiBlue   = "\x1b[1;34m"
)

// palette gives texts their colours, where there are any.
type palette bool

func (p palette) paint(colour, text string) string {
	if !p || text == "" {
		return text
	}
	return colour + text + ansiPlain
}

var levelColours = map[lint.Level]string{lint.Error: ansiRed, lint.Warning: ansiYellow, lint.Note: ansiBlue}

// mostShown bounds what is shown of one file: nobody reads on, and a line that is
// shown may be as long as the file.
const mostShown = 100

// writeHuman writes each problem with its line and a caret under the place.
func writeHuman(w io.Writer, v *validation) error {
	b := bufio.NewWriter(w)
	p := palette(colourful(w))
	notes := 0
	for _, f := range v.files {
		said := 0
		for i := range f.diagnostics {
			if d := &f.diagnostics[i]; d.Level != lint.Note {
				if said++; said <= mostShown {
					p.diagnostic(b, f, d)
				}
			}
		}
		if said > mostShown {
			fmt.Fprintf(b, "… and %d more; the other formats have all\n\n", said-mostShown)
		}
		fmt.Fprintln(b, f.line())
		if lint.Count(f.diagnostics, lint.Error) > 0 {
			continue // first things first
		}
		if len(v.files) > 1 {
			notes += lint.Count(f.diagnostics, lint.Note)
			continue
		}
		for _, d := range f.diagnostics {
			if d.Level == lint.Note {
				fmt.Fprintf(b, "  %s  %s %s\n", p.paint(ansiBlue, "note"), d.Code, visibleText(joinedText(d.Message, d.Help)))
			}
		}
	}
	if notes > 0 {
		fmt.Fprintf(b, "%s about them; engine validate shows the notes of a file that is checked alone\n", words.Count(notes, "note"))
	}
	return b.Flush()
}

func joinedText(what, want string) string {
	if want == "" {
		return what
	}
	return what + "; " + want
}

// line is what is said about a file as a whole.
func (f *checkedFile) line() string {
	errors, warnings := lint.Count(f.diagnostics, lint.Error), lint.Count(f.diagnostics, lint.Warning)
	var parts []string
	if errors > 0 {
		parts = append(parts, words.Count(errors, "error"))
	} else {
		parts = append(parts, "ok, "+f.summary)
	}
	if warnings > 0 {
		parts = append(parts, words.Count(warnings, "warning"))
	}
	return f.name + ": " + strings.Join(parts, ", ")
}

// diagnostic writes one problem.
func (p palette) diagnostic(w io.Writer, f *checkedFile, d *lint.Diagnostic) {
	colour := levelColours[d.Level]
	fmt.Fprintf(w, "%s%s\n", p.paint(colour, fmt.Sprintf("%s[%s]", d.Level, d.Code)), p.paint(ansiBold, ": "+visibleText(d.Message)))
	gutter := strings.Repeat(" ", len(fmt.Sprint(d.Line)))
	where := d.File
	if f.doc != nil {
		where += fmt.Sprintf(":%d:%d", d.Line, d.Col)
	}
	if d.Pointer != "" {
		where += "  " + visibleText(shortPointer(d.Pointer))
	}
	fmt.Fprintf(w, "%s%s %s\n", gutter, p.paint(ansiBlue, "-->"), where)
	if line := lineOf(f, d); strings.TrimSpace(line) != "" {
		source, lead, under := excerpt(line, d)
		fmt.Fprintf(w, "%s %s\n", gutter, p.paint(ansiBlue, "|"))
		fmt.Fprintf(w, "%s %s %s\n", p.paint(ansiBlue, fmt.Sprint(d.Line)), p.paint(ansiBlue, "|"), source)
		fmt.Fprintf(w, "%s %s %s%s\n", gutter, p.paint(ansiBlue, "|"), lead, p.paint(colour, strings.TrimRight(under+" "+visibleText(d.Note), " ")))
	}
	if d.Help != "" {
		mends := ""
		if d.Fix != nil {
			mends = "  (engine validate --fix writes it)"
		}
		fmt.Fprintf(w, "%s %s help: %s\n", gutter, p.paint(ansiBlue, "="), wrapped(visibleText(d.Help)+mends, gutter+"         "))
	}
	fmt.Fprintln(w)
}

func lineOf(f *checkedFile, d *lint.Diagnostic) string {
	if f.doc == nil {
		return ""
	}
	return withoutSecrets(f.doc.Line(d.Offset))
}

// secretValues are the values of fields that hold secrets, and what stands before the
// host in URLs.
var secretValues = regexp.MustCompile(`(?i)("(?:password|passcode|secret|seed|authorization)"\s*:\s*")((?:[^"\\]|\\.)*)|(://)([^/"@\s]+)@`)

// withoutSecrets is a line as others may see it, as wide as it was: what checks a
// configuration may keep what it prints for everybody.
func withoutSecrets(line string) string {
	var b strings.Builder
	end := 0
	for _, at := range secretValues.FindAllStringSubmatchIndex(line, -1) {
		for _, group := range []int{4, 8} {
			if from, to := at[group], at[group+1]; from >= 0 {
				b.WriteString(line[end:from])
				b.WriteString(strings.Repeat("*", utf8.RuneCountInString(line[from:to])))
				end = to
			}
		}
	}
	return b.String() + line[end:]
}

// shortPointer leaves out the beginning of a pointer that would fill the line.
func shortPointer(pointer string) string {
	const most, kept = 120, 60
	if len(pointer) <= most {
		return pointer
	}
	tail := pointer[len(pointer)-kept:]
	return "…" + tail[max(strings.IndexByte(tail, '/'), 0):]
}

// wrapped breaks a long text between words; further lines begin with the indent.
func wrapped(text, indent string) string {
	const most = 100
	var b strings.Builder
	n := 0
	for i, word := range strings.Split(text, " ") {
		size := cellsOf([]rune(word))
		switch {
		case i == 0:
		case n+1+size > most:
			b.WriteString("\n" + indent)
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += size
	}
	return b.String()
}

// A line is shown as wide as this, in columns of the terminal; of a longer one
// what is around the place, beginning so far before it.
const (
	excerptWidth = 120
	excerptLead  = 40
)

// excerpt is the line as it is shown, what stands before the caret, and the
// caret with the extent of the place.
func excerpt(line string, d *lint.Diagnostic) (source, lead, under string) {
	chars := []rune(line)
	from := min(d.Col-1, len(chars))
	to := len([]rune(strings.TrimRight(line, " \t")))
	if d.EndLine == d.Line {
		to = min(d.EndCol-1, len(chars))
	}
	first, last := 0, len(chars)
	if cellsOf(chars) > excerptWidth {
		first, last = from, from
		for n := 0; first > 0 && n < excerptLead; first-- {
			n += cellsOf(chars[first-1 : first])
		}
		for n := cellsOf(chars[first:from]); last < len(chars) && n < excerptWidth; last++ {
			n += cellsOf(chars[last : last+1])
		}
	}
	to = max(min(to, last), from)
	source = visible(chars[first:last])
	lead = strings.Repeat(" ", cellsOf(chars[first:from]))
	if first > 0 {
		source, lead = "…"+source, lead+" "
	}
	if last < len(chars) {
		source += "…"
	}
	return source, lead, strings.Repeat("^", max(cellsOf(chars[from:to]), 1))
}

const tabWidth = 4

// visible is text as a terminal may have it: tabs as spaces, and a mark for what
// would move the cursor or turn the direction.
func visible(chars []rune) string {
	var b strings.Builder
	for _, r := range chars {
		switch {
		case r == '\t':
			b.WriteString(strings.Repeat(" ", tabWidth))
		case unicode.IsControl(r) || r == utf8.RuneError || isDirection(r) || r == '\ufeff':
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func visibleText(text string) string { return visible([]rune(text)) }

func isDirection(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' || r == '\u200e' || r == '\u200f'
}

// cellsOf is how many columns of a terminal the text takes as it is shown.
func cellsOf(chars []rune) int {
	n := 0
	for _, r := range chars {
		switch {
		case r == '\t':
			n += tabWidth
		case r < 0x300:
			n++
		case isDirection(r), r == '\ufeff':
			n++
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) || '\u1160' <= r && r <= '\u11ff':
		case unicode.Is(wideChars, r):
			n += 2
		default:
			n++
		}
	}
	return n
}

// wideChars are the characters that take two columns (Unicode's East Asian Width W
// and F, and pictures).
var wideChars = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1},
		{0x2e80, 0x303e, 1},
		{0x3041, 0x33ff, 1},
		{0x3400, 0x4dbf, 1},
		{0x4e00, 0x9fff, 1},
		{0xa000, 0xa4cf, 1},
		{0xa960, 0xa97f, 1},
		{0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1},
		{0xfe30, 0xfe6f, 1},
		{0xff00, 0xff60, 1},
		{0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{
		{0x16fe0, 0x1b2ff, 1},
		{0x1f300, 0x1f64f, 1},
		{0x1f680, 0x1f6ff, 1},
		{0x1f900, 0x1f9ff, 1},
		{0x1fa70, 0x1faff, 1},
		{0x20000, 0x2fffd, 1},
		{0x30000, 0x3fffd, 1},
	},
}

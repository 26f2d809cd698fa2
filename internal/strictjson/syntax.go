package strictjson

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// explain finds the first breach of JSON's syntax in a document that has one,
// and says it in the words of who wrote it: what is missing or too much, and
// where it goes. It gives nil when it finds none.
func explain(doc *document) *Error {
	if e := notText(doc); e != nil {
		return e
	}
	x := &syntax{doc: doc, text: doc.text}
	if x.value("") && x.space() && x.pos < len(x.text) {
		switch c := x.text[x.pos]; c {
		case '}', ']':
			x.wrong(x.pos, 1).Noting("nothing is open here").fail(x, "text after the end of the document; want nothing")
		default:
			x.wrong(x.pos, x.lineEnd(x.pos)-x.pos).fail(x, "text after the end of the document; want nothing")
		}
	}
	return x.found
}

// notText complains about a file that is not UTF-8.
func notText(doc *document) *Error {
	at := Place{doc: doc, size: 1}.As(Encoding)
	if i := bytes.IndexByte(doc.text, 0); i >= 0 {
		at.offset = i
		return at.complain("byte 0x00: this is no text, but a binary file or UTF-16; want JSON in UTF-8")
	}
	for i := 0; i < len(doc.text); {
		r, n := utf8.DecodeRune(doc.text[i:])
		if r == utf8.RuneError && n == 1 {
			at.offset = i
			return at.complain("byte 0x%02x is not UTF-8; want the file saved as UTF-8", doc.text[i])
		}
		i += n
	}
	return nil
}

// syntax reads a document that breaks JSON's syntax up to the breach. Its
// methods say whether they got on.
type syntax struct {
	doc     *document
	text    []byte
	pos     int
	pointer string
	open    []opening
	suspect *opening
	found   *Error
}

// opening is a bracket or brace.
type opening struct {
	at       int
	pointer  string
	closedAt int
}

func (x *syntax) wrong(offset, size int) Place {
	return Place{doc: x.doc, offset: offset, size: size, pointer: x.pointer}.As(Syntax)
}

// fail makes the complaint the one that was found.
func (p Place) fail(x *syntax, format string, args ...any) bool {
	x.found = p.complain(format, args...)
	return false
}

func (x *syntax) lineEnd(from int) int {
	if n := bytes.IndexAny(x.text[from:], "\r\n"); n >= 0 {
		return from + n
	}
	return len(x.text)
}

func (x *syntax) rune() (rune, int) { return utf8.DecodeRune(x.text[x.pos:]) }

// space skips white space.
func (x *syntax) space() bool {
	for x.pos < len(x.text) {
		rest := x.text[x.pos:]
		switch c := rest[0]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			x.pos++
		case c == '#', bytes.HasPrefix(rest, []byte("//")):
			return x.wrong(x.pos, x.lineEnd(x.pos)-x.pos).fail(x, "a comment; JSON has none, so want it out of the file")
		case bytes.HasPrefix(rest, []byte("/*")):
			n := bytes.Index(rest, []byte("*/"))
			if n < 0 {
				n = len(rest) - 2
			}
			return x.wrong(x.pos, n+2).fail(x, "a comment; JSON has none, so want it out of the file")
		case c < utf8.RuneSelf:
			return true
		default:
			if r, n := x.rune(); unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' {
				return x.wrong(x.pos, n).Instead(" ").fail(x, "the character U+%04X, which looks like a space; want a plain one", r)
			}
			return true
		}
	}
	return true
}

// ends complains that the document ends inside of what is open.
func (x *syntax) ends() bool {
	end := len(bytes.TrimRight(x.text, " \t\r\n"))
	if len(x.open) == 0 {
		return x.wrong(end, 0).fail(x, "the document ends too early; want a value")
	}
	if x.suspect != nil {
		return x.indented()
	}
	o := x.open[len(x.open)-1]
	x.pointer = o.pointer
	return x.wrong(end, 0).fail(x, "the document ends too early; want %q for the %q that opens at %s", x.closing(o.at), x.bracket(o.at), x.lineCol(o.at))
}

// indented complains about what is missing by the indentation.
func (x *syntax) indented() bool {
	s := x.suspect
	x.pointer = s.pointer
	end := len(bytes.TrimRight(x.text[:s.closedAt], " \t\r\n"))
	return x.wrong(end, 0).Noting("goes here, by the indentation").
		fail(x, "%q is missing; want one for the %q that opens at %s", x.closing(s.at), x.bracket(s.at), x.lineCol(s.at))
}

func (x *syntax) lineCol(offset int) string {
	line, col := x.doc.lines().LineCol(offset)
	return fmt.Sprintf("%d:%d", line, col)
}

func (x *syntax) bracket(at int) string { return string(rune(x.text[at])) }

// closing is what closes the bracket at the offset.
func (x *syntax) closing(at int) string {
	if x.text[at] == '[' {
		return "]"
	}
	return "}"
}

func (x *syntax) push() {
	x.open = append(x.open, opening{at: x.pos, pointer: x.pointer})
	x.pos++
}

// pop closes what is open. Where the closing bracket begins its line, and its
// indentation is not that of the opening one's line, one is missing in between.
func (x *syntax) pop() bool {
	o := x.open[len(x.open)-1]
	x.open = x.open[:len(x.open)-1]
	o.closedAt = x.pos
	own, first := x.indent(x.pos)
	its, _ := x.indent(o.at)
	if x.suspect == nil && first && own != its && strings.HasPrefix(its, own) && bytes.IndexByte(x.text[o.at:x.pos], '\n') >= 0 {
		x.suspect = &o
	}
	x.pos++
	return true
}

// indent is the white space that begins the offset's line, and whether nothing
// else is before the offset.
func (x *syntax) indent(offset int) (space string, first bool) {
	line := x.text[bytes.LastIndexByte(x.text[:offset], '\n')+1 : offset]
	n := len(line) - len(bytes.TrimLeft(line, " \t"))
	return string(line[:n]), n == len(line)
}

func (x *syntax) value(pointer string) bool {
	if !x.space() {
		return false
	}
	x.pointer = pointer
	if x.pos == len(x.text) {
		return x.ends()
	}
	switch c := x.text[x.pos]; {
	case len(x.open) > MaxDepth:
		return false
	case c == '{':
		return x.object(pointer)
	case c == '[':
		return x.array(pointer)
	case c == '"':
		_, ok := x.str()
		return ok
	}
	if size, inner := x.oddQuotes(); size > 0 {
		return x.wrong(x.pos, size).Instead(quote(inner)).fail(x, `%s; want "`, oddQuote(x.text[x.pos:]))
	}
	return x.word()
}

// oddQuote names a quote that JSON has not; "" when it is none.
func oddQuote(text []byte) string {
	switch r, _ := utf8.DecodeRune(text); r {
	case '\'':
		return "single quotes"
	case '`':
		return "backquotes"
	case '“', '”', '„', '‟', '«', '»', '‘', '’':
		return "typographic quotes"
	}
	return ""
}

// oddQuotes is the size of a text in quotes that JSON has not, and the text.
func (x *syntax) oddQuotes() (size int, inner string) {
	if oddQuote(x.text[x.pos:]) == "" {
		return 0, ""
	}
	_, n := x.rune()
	line := x.text[x.pos+n : x.lineEnd(x.pos)]
	for i := range string(line) {
		if oddQuote(line[i:]) == "" && line[i] != '"' {
			continue
		}
		_, m := utf8.DecodeRune(line[i:])
		return n + i + m, string(line[:i])
	}
	return n, ""
}

func quote(s string) string {
	b, _ := jsontext.AppendQuote(nil, s) // its only error says that something was replaced
	return string(b)
}

func (x *syntax) object(pointer string) bool {
	x.push()
	comma, end := -1, x.pos
	for {
		x.pointer = pointer
		if !x.space() {
			return false
		}
		if x.pos == len(x.text) {
			return x.ends()
		}
		if x.text[x.pos] == '}' {
			if comma >= 0 {
				return x.wrong(comma, 1).Instead("").fail(x, "a comma after the last member; want none")
			}
			return x.pop()
		}
		name, ok := x.name(comma, end)
		if !ok || !x.colon(name) || !x.value(pointer+"/"+escape(name)) {
			return false
		}
		end = x.pos
		x.pointer = pointer
		if comma, ok = x.next('}', end, "member"); !ok {
			return false
		}
	}
}

func (x *syntax) array(pointer string) bool {
	x.push()
	comma, end := -1, x.pos
	for i := 0; ; i++ {
		x.pointer = pointer
		if !x.space() {
			return false
		}
		if x.pos == len(x.text) {
			return x.ends()
		}
		switch x.text[x.pos] {
		case ']':
			if comma >= 0 {
				return x.wrong(comma, 1).Instead("").fail(x, "a comma after the last element; want none")
			}
			return x.pop()
		case ',':
			return x.wrong(x.pos, 1).Instead("").fail(x, "a comma too many; want a value before it")
		}
		before := end
		if !x.value(fmt.Sprintf("%s/%d", pointer, i)) {
			return false
		}
		end = x.pos
		x.pointer = pointer
		if x.space() && x.pos < len(x.text) && x.text[x.pos] == ':' {
			return x.wrong(before, 0).Noting("goes here").fail(x, `"]" is missing; want it before %s, which is a name in an object`, x.text[x.lastToken(end):end])
		}
		x.pos = end
		var ok bool
		if comma, ok = x.next(']', end, "element"); !ok {
			return false
		}
	}
}

// lastToken is where the text begins that ends at the offset.
func (x *syntax) lastToken(end int) int {
	if i := bytes.LastIndexByte(x.text[:max(end-1, 0)], '"'); i >= 0 {
		return i
	}
	return end
}

// next reads what follows a member or an element: a comma, whose offset it
// gives, or nothing (-1) where the object or array ends.
func (x *syntax) next(last byte, end int, of string) (comma int, ok bool) {
	if !x.space() {
		return -1, false
	}
	if x.pos == len(x.text) {
		return -1, x.ends()
	}
	o := x.open[len(x.open)-1]
	switch c := x.text[x.pos]; {
	case c == ',':
		x.pos++
		return x.pos - 1, true
	case c == last:
		return -1, true
	case (c == '}' || c == ']') && x.suspect != nil:
		return -1, x.indented()
	case c == '}' || c == ']':
		return -1, x.wrong(x.pos, 1).Noting(fmt.Sprintf("want %q", x.closing(o.at))).
			fail(x, "%q closes the %q that opens at %s; want %q", string(rune(c)), x.bracket(o.at), x.lineCol(o.at), x.closing(o.at))
	case c == ';':
		return -1, x.wrong(x.pos, 1).Instead(",").fail(x, `";" between two %ss; want ","`, of)
	case c == ':' || c == '=':
		return -1, x.wrong(x.pos, 1).fail(x, "%q after a value; want a comma or %q", string(rune(c)), string(rune(last)))
	case x.pos == end && x.text[end-1] == '"':
		from := x.textBefore(end)
		return -1, x.wrong(from, end-from).Noting("ends here").fail(x, `text behind a closing quote; want \" for a quote inside a text`)
	case isStart(x.text[x.pos:]):
		return -1, x.wrong(end, 0).Instead(",").Noting("goes here").fail(x, "a comma is missing between two %ss; want one", of)
	}
	r, n := x.rune()
	return -1, x.wrong(x.pos, n).fail(x, "got %q; want a comma or %q", string(r), string(rune(last)))
}

// textBefore is where the text begins whose closing quote is before the offset.
func (x *syntax) textBefore(end int) int {
	for i := end - 2; i >= 0; i-- {
		if x.text[i] == '"' && (i == 0 || x.text[i-1] != '\\') {
			return i
		}
	}
	return 0
}

// isStart says whether text begins with what can begin a name or a value.
func isStart(text []byte) bool {
	r, _ := utf8.DecodeRune(text)
	return strings.ContainsRune(`"{[-+._$'`, r) || unicode.IsLetter(r) || unicode.IsDigit(r) || oddQuote(text) != ""
}

var identifier = regexp.MustCompile(`^[\pL_$@][\pL\pN_$@.-]*`)

// name reads the name of a member. comma is the comma before it, or -1; end is
// where the member before it ends.
func (x *syntax) name(comma, end int) (string, bool) {
	rest := x.text[x.pos:]
	if rest[0] == '"' {
		return x.str()
	}
	if size, inner := x.oddQuotes(); size > 0 {
		return "", x.wrong(x.pos, size).Instead(quote(inner)).fail(x, `%s; want "`, oddQuote(rest))
	}
	if found := identifier.Find(rest); found != nil {
		after := rest[len(found):]
		if bytes.HasPrefix(after, []byte(`"`)) {
			return "", x.wrong(x.pos, len(found)+1).Instead(quote(string(found))).fail(x, "an opening quote is missing; want %s", quote(string(found)))
		}
		return "", x.wrong(x.pos, len(found)).Instead(quote(string(found))).fail(x, "a name without quotes; want %s", quote(string(found)))
	}
	switch c := rest[0]; {
	case c == ',' && comma < 0:
		return "", x.wrong(x.pos, 1).Instead("").fail(x, "a comma too many; want a member before it")
	case c == ',':
		return "", x.wrong(x.pos, 1).Instead("").fail(x, "two commas; want one")
	case c == ']':
		return "", x.wrong(x.pos, 1).fail(x, `"]" in an object; want "}" before it`)
	case c == '{' || c == '[':
		return "", x.wrong(end, 0).Noting("goes here").fail(x, `"}" is missing; want it before the next %s, or a name in front of that`, map[byte]string{'{': "object", '[': "array"}[c])
	case '0' <= c && c <= '9' && comma == end && end > 0 && '0' <= x.text[end-1] && x.text[end-1] <= '9':
		return "", x.wrong(comma, 1).fail(x, "a comma inside a number; want a decimal point")
	}
	r, n := x.rune()
	return "", x.wrong(x.pos, n).fail(x, "got %q; want a name in quotes", string(r))
}

// colon reads what stands between a name and its value.
func (x *syntax) colon(name string) bool {
	end := x.pos
	if !x.space() {
		return false
	}
	if x.pos == len(x.text) {
		return x.ends()
	}
	switch c := x.text[x.pos]; {
	case c == '=':
		size := 1
		if bytes.HasPrefix(x.text[x.pos:], []byte("=>")) {
			size = 2
		}
		return x.wrong(x.pos, size).Instead(":").fail(x, `"=" between a name and its value; want ":"`)
	case c != ':':
		return x.noColon(name, end)
	}
	x.pos++
	if !x.space() {
		return false
	}
	if x.pos < len(x.text) && bytes.IndexByte([]byte(",}]"), x.text[x.pos]) >= 0 {
		return x.wrong(x.pos, 0).Noting("goes here").fail(x, "member %q has no value; want one", name)
	}
	if x.pos < len(x.text) && x.text[x.pos] == ':' {
		return x.wrong(x.pos, 1).Instead("").fail(x, `a second ":"; want one`)
	}
	return true
}

// noColon complains about a name that no colon follows.
func (x *syntax) noColon(name string, end int) bool {
	c := x.text[x.pos]
	colon := strings.IndexByte(name, ':')
	if from := x.textBefore(end); colon > 0 && x.pos == end {
		return x.wrong(from, colon+1).Noting("want a quote behind it").fail(x, "a closing quote is missing behind %q; want one", strings.TrimSpace(name[:colon]))
	}
	switch {
	case c == ',' || c == '}' || c == ']':
		return x.wrong(end, 0).Noting("goes here").fail(x, `%q has no value; want ":" and a value`, name)
	case isStart(x.text[x.pos:]):
		return x.wrong(end, 0).Instead(":").Noting("goes here").fail(x, `a colon is missing behind %q; want ":"`, name)
	}
	r, n := x.rune()
	return x.wrong(x.pos, n).fail(x, `got %q; want ":"`, string(r))
}

// str reads a text.
func (x *syntax) str() (string, bool) {
	start := x.pos
	for x.pos++; x.pos < len(x.text); x.pos++ {
		switch c := x.text[x.pos]; {
		case c == '"':
			x.pos++
			b, err := jsontext.AppendUnquote(nil, x.text[start:x.pos])
			if err != nil {
				return "", x.wrong(start, x.pos-start).fail(x, `half of a character in two \u escapes; want both`)
			}
			return string(b), true
		case c == '\\':
			if !x.escaped() {
				return "", false
			}
		case c == '\n' || c == '\r':
			return "", x.unclosed(start)
		case c == '\t':
			return "", x.wrong(x.pos, 1).Instead(`\t`).fail(x, `a tab inside a text; want \t`)
		case c < ' ':
			return "", x.wrong(x.pos, 1).Instead(fmt.Sprintf(`\u%04x`, c)).fail(x, `the control character U+%04X inside a text; want \u%04x`, c, c)
		}
	}
	return "", x.unclosed(start)
}

func (x *syntax) unclosed(start int) bool {
	end := start + len(bytes.TrimRight(x.text[start:min(x.pos, x.lineEnd(start))], " \t,:}]"))
	return x.wrong(start, max(end-start, 1)).Noting("where does it end?").fail(x, "a closing quote is missing on this line; want one")
}

// escaped reads a backslash and what it escapes.
func (x *syntax) escaped() bool {
	at := x.pos
	x.pos++
	if x.pos == len(x.text) {
		return true // the text is not closed either
	}
	switch c := x.text[x.pos]; {
	case bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0:
		return true
	case c == 'u':
		for range 4 {
			if x.pos++; x.pos >= len(x.text) || !isHex(x.text[x.pos]) {
				return x.wrong(at, x.pos-at).fail(x, `\u without four hexadecimal digits; want such as \u00b0`)
			}
		}
		return true
	case c == '\n' || c == '\r':
		return x.wrong(at, 1).fail(x, `a text over several lines; want \n in its place`)
	}
	r, n := x.rune()
	if r == '\'' {
		return x.wrong(at, 1+n).Instead("'").fail(x, `\' is no escape; want ' alone`)
	}
	return x.wrong(at, 1+n).Instead(`\\`+string(r)).fail(x, `\%c is no escape; want \\ for a backslash`, r)
}

func isHex(c byte) bool { return bytes.IndexByte([]byte("0123456789abcdefABCDEF"), c) >= 0 }

var (
	aWord       = regexp.MustCompile(`^[\pL\pN_$@.+:%°/-]+`)
	aNumber     = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	leadingZero = regexp.MustCompile(`^-?0[0-9]+(\.[0-9]+)?$`)
	almost      = regexp.MustCompile(`^\+?(-?)([0-9]*)\.?([0-9]*)$`)
)

// literals are what people write for JSON's own, and numbers that it has not.
var literals = map[string]string{
	"true": "true", "false": "false", "null": "null", "none": "null", "nil": "null", "undefined": "null", "yes": "true", "no": "false",
	"nan": "", "infinity": "", "-infinity": "", "inf": "", "-inf": "", "+infinity": "",
}

// word reads a number, true, false or null.
func (x *syntax) word() bool {
	found := string(aWord.Find(x.text[x.pos:]))
	found = strings.TrimRight(found, ":")
	at := x.wrong(x.pos, len(found))
	meant, isLiteral := literals[strings.ToLower(found)]
	switch {
	case found == "":
		return x.noValue()
	case found == "true" || found == "false" || found == "null" || aNumber.MatchString(found):
		x.pos += len(found)
		return true
	case isLiteral && meant == "":
		return at.fail(x, "%s is no JSON number; want a number, or null where there is none", found)
	case isLiteral && strings.EqualFold(found, meant):
		return at.Instead(meant).fail(x, "got %s; want %s", found, meant)
	case isLiteral:
		return at.fail(x, "got %s; want %s", found, meant)
	case leadingZero.MatchString(found):
		return at.fail(x, "the number %s begins with 0; want it without, or in quotes", found)
	case almost.MatchString(found):
		return x.almostNumber(at, found)
	case isDigit(strings.TrimLeft(found, "+-.")):
		return at.fail(x, "%s is no number; want digits only, or quotes around a text", found)
	}
	if near, _ := Nearest(found, []string{"true", "false", "null"}); near != "" {
		return at.fail(x, "got %s; did you mean %s?", found, near)
	}
	if x.pos+len(found) < len(x.text) && x.text[x.pos+len(found)] == '"' {
		return at.fail(x, "an opening quote is missing; want %s", quote(found))
	}
	return at.fail(x, "a text without quotes; want %s", quote(found))
}

func isDigit(text string) bool { return text != "" && '0' <= text[0] && text[0] <= '9' }

// almostNumber complains about +1, .5 and 1.
func (x *syntax) almostNumber(at Place, found string) bool {
	parts := almost.FindStringSubmatch(found)
	if parts[2]+parts[3] == "" {
		return at.fail(x, "got %s; want a number", found)
	}
	meant := parts[1] + parts[2]
	if parts[2] == "" {
		meant += "0"
	}
	if parts[3] != "" {
		meant += "." + parts[3]
	}
	if !aNumber.MatchString(meant) {
		return at.fail(x, "%s is no JSON number; want it without the 0 in front", found)
	}
	return at.Instead(meant).fail(x, "%s is no JSON number; want %s", found, meant)
}

// noValue complains about what cannot begin a value.
func (x *syntax) noValue() bool {
	r, n := x.rune()
	if len(x.open) == 0 {
		return x.wrong(x.pos, n).fail(x, "got %q; want a JSON value, which begins with { or [", string(r))
	}
	return x.wrong(x.pos, n).fail(x, "got %q; want a value", string(r))
}

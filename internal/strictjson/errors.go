package strictjson

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is a complaint about one place of a document.
type Error struct {
	File      string
	Line, Col int    // from 1; Col counts characters, not bytes
	Pointer   string // RFC 6901
	Err       error  // "what is wrong; what was wanted"

	Code        Code // never empty
	Offset, Len int  // the text concerned, in bytes; of length 0 where something is missing
	Note        string
	Name        string // of the field that is missing, or was meant
	Fix         *Fix   // nil when it needs a thought
}

// Error is one line: file:line:col: /json/pointer: what is wrong; what was wanted.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Col, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %v", e.File, e.Line, e.Col, e.Pointer, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Parts are the two halves of the text: what is wrong, and what was wanted or
// is proposed, "" where the text says only the one.
func (e *Error) Parts() (what, want string) {
	text := e.Err.Error()
	inQuotes := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inQuotes && c == '\\':
			i++
		case c == '"':
			inQuotes = !inQuotes
		case strings.HasPrefix(text[i:], "…"):
			inQuotes = false // what is shown was cut, with its closing quote
		case !inQuotes && strings.HasPrefix(text[i:], "; "):
			return text[:i], text[i+len("; "):]
		}
	}
	return text, ""
}

// Errors are all complaints about a set of documents. As text: one line each.
type Errors []*Error

func (es Errors) Error() string {
	var b strings.Builder
	for i, e := range es {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.Error())
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As look into each complaint.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// Join makes one error of many: nil when there is none; [Errors], sorted by
// place and without repetitions, when all are complaints about documents; else
// what errors.Join gives.
func Join(errs ...error) error {
	var all Errors
	var others []error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if es, ok := errors.AsType[Errors](err); ok {
			all = append(all, es...)
		} else if e, ok := errors.AsType[*Error](err); ok {
			all = append(all, e)
		} else {
			others = append(others, err)
		}
	}
	slices.SortStableFunc(all, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	all = slices.CompactFunc(all, func(a, b *Error) bool { return a.Error() == b.Error() })
	switch {
	case len(others) > 0 && len(all) > 0:
		return errors.Join(append([]error{all}, others...)...)
	case len(others) > 0:
		return errors.Join(others...)
	case len(all) > 0:
		return all
	}
	return nil
}

// Errorf complains about the place.
func (p Place) Errorf(format string, args ...any) error {
	return p.err(fmt.Errorf(format, args...))
}

func (p Place) err(err error) *Error {
	e := &Error{File: "-", Line: 1, Col: 1, Pointer: p.pointer, Err: err, Code: WrongValue, Offset: p.offset, Len: p.size}
	if p.doc != nil {
		e.File = p.doc.name
		e.Line, e.Col = p.doc.lines().LineCol(p.offset)
	}
	if r := p.remarks; r != nil {
		e.Code, e.Note, e.Name, e.Fix = cmp.Or(r.code, WrongValue), r.note, r.name, r.fix
	}
	return e
}

// Pointer is the place as a JSON pointer; "" is the whole document.
func (p Place) Pointer() string { return p.pointer }

// File is the name of the place's document.
func (p Place) File() string {
	if p.doc == nil {
		return ""
	}
	return p.doc.name
}

// DidYouMean is `; did you mean "x"?` for the known name nearest to what was
// written, or "" when none is near.
func DidYouMean(written string, known []string) string {
	name, _ := Nearest(written, known)
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", name)
}

// OneOf is DidYouMean, or, when no known name is near, `; want one of …` with all
// of them in their order.
func OneOf(written string, known []string) string {
	if hint := DidYouMean(written, known); hint != "" {
		return hint
	}
	return "; want one of " + strings.Join(known, ", ")
}

// Nearest is the known name nearest to what was written, or "" when none is
// near: at most a third of the letters may differ (at least one), transpositions
// counted once and case not at all. It is sure when no other is as near.
func Nearest(written string, known []string) (name string, sure bool) {
	bestAt := max(1, utf8.RuneCountInString(written)/3) + 1
	for _, k := range known {
		switch d := distance(strings.ToLower(written), strings.ToLower(k)); {
		case d < bestAt:
			name, bestAt, sure = k, d, true
		case d == bestAt && name != "" && k != name:
			name, sure = min(name, k), false
		}
	}
	return name, sure
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and transpositions of neighbours cost one each.
func distance(s, t string) int {
	a, b := []rune(s), []rune(t)
	if len(a) > 200 || len(b) > 200 {
		return len(a) + len(b)
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

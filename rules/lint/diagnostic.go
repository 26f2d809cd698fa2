// Package lint says everything that is wrong, or looks wrong, with the documents
// that people write: what the loader refuses, with a code and where possible a
// mend, and what it takes though it cannot have been meant. It reads no file.
package lint

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
)

// Level is how bad a diagnostic is.
type Level string

// The levels.
const (
	Error   Level = "error"   // the document is refused
	Warning Level = "warning" // it runs, and hardly does what was meant
	Note    Level = "note"
)

// levelOf is what the letter of a code says.
func levelOf(code strictjson.Code) Level {
	switch {
	case strings.HasPrefix(string(code), "W"):
		return Warning
	case strings.HasPrefix(string(code), "I"):
		return Note
	}
	return Error
}

// Diagnostic is one thing to say about a document. Lines and columns are from 1
// and count characters (Unicode code points), offsets and lengths bytes.
type Diagnostic struct {
	File    string          `json:"file"`
	Line    int             `json:"line"`
	Col     int             `json:"column"`
	EndLine int             `json:"endLine"` // the end is behind the last character
	EndCol  int             `json:"endColumn"`
	Pointer string          `json:"pointer"`
	Code    strictjson.Code `json:"code"`
	Level   Level           `json:"level"`
	Message string          `json:"message"`        // what is wrong
	Help    string          `json:"help,omitempty"` // what was wanted
	Note    string          `json:"note,omitempty"` // a few words for the place itself
	Offset  int             `json:"offset"`
	Length  int             `json:"length"`
	Fix     *strictjson.Fix `json:"fix,omitempty"`
}

// Line is the diagnostic as the loader says it, with its code.
func (d *Diagnostic) String() string {
	e := strictjson.Error{File: d.File, Line: d.Line, Col: d.Col, Pointer: d.Pointer, Err: errors.New(d.text())}
	return e.Error() + " [" + string(d.Code) + "]"
}

func (d *Diagnostic) text() string {
	if d.Help == "" {
		return d.Message
	}
	return d.Message + "; " + d.Help
}

// diagnostic is the complaint of the loader, about the text as it was written.
func (doc *Document) diagnostic(e *strictjson.Error) Diagnostic {
	text, back := doc.Text, doc.back
	what, want := e.Parts()
	d := Diagnostic{File: e.File, Pointer: e.Pointer, Code: e.Code, Level: levelOf(e.Code), Message: what, Help: want, Note: e.Note}
	d.Offset = min(back(e.Offset), len(text))
	end := min(max(back(e.Offset+e.Len), d.Offset), len(text))
	d.Length = end - d.Offset
	d.Line, d.Col = doc.lines.LineCol(d.Offset)
	d.EndLine, d.EndCol = doc.lines.LineCol(end)
	if e.Fix != nil {
		from, to := back(e.Fix.Offset), back(e.Fix.Offset+e.Fix.Len)
		d.Fix = &strictjson.Fix{Offset: from, Len: to - from, Text: e.Fix.Text}
	}
	if d.Note == "" && d.Code == strictjson.UnknownField {
		d.Note = "not a field of " + nounOf(e.Pointer)
	}
	return d
}

// nouns are what the parts of an interaction are called, by the end of the
// pointer to them.
var nouns = []struct{ end, noun string }{
	{"transformation", "a transformation"},
	{"alert", "an alert"},
	{"conditions/*", "a condition"},
	{"clearCondition", "a condition"},
	{"sources/*", "a source"},
	{"feeds/*", "a feed"},
	{"values/*", "a value"},
	{"levels/*", "a level"},
	{"rules/*", "a rule"},
	{"filter", "a filter"},
}

// nounOf is what the object is called whose member the pointer is.
func nounOf(pointer string) string {
	parts := strings.Split(pointer, "/")
	parts = parts[1 : len(parts)-1]
	if len(parts) == 0 {
		return "the document"
	}
	for i, part := range parts {
		if part != "" && strings.Trim(part, "0123456789") == "" {
			parts[i] = "*"
		}
	}
	path := strings.Join(parts, "/")
	if path == "*" {
		return "an element of the list"
	}
	for _, n := range nouns {
		if path == n.end || strings.HasSuffix(path, "/"+n.end) {
			return n.noun
		}
	}
	last := strings.TrimSuffix(path, "/*")
	return `"` + last[strings.LastIndexByte(last, '/')+1:] + `"`
}

// Sort brings diagnostics into the order of their places and leaves out what is
// said twice.
func Sort(ds []Diagnostic) []Diagnostic {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Code, b.Code))
	})
	return slices.CompactFunc(ds, func(a, b Diagnostic) bool { return a.String() == b.String() })
}

// Count is how many diagnostics are of a level.
func Count(ds []Diagnostic, level Level) int {
	n := 0
	for _, d := range ds {
		if d.Level == level {
			n++
		}
	}
	return n
}

// About is a diagnostic of a file as a whole.
func About(file string, code strictjson.Code, message, help string) Diagnostic {
	return Diagnostic{File: file, Line: 1, Col: 1, EndLine: 1, EndCol: 1, Code: code, Level: levelOf(code), Message: message, Help: help}
}

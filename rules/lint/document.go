package lint

import (
	"errors"
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Document is a text with what could be made of it: breaches of JSON's syntax
// whose mend is clear are mended in memory, so that what stands behind them is
// looked at too.
type Document struct {
	Name string
	Text []byte         // as it was written
	Raw  strictjson.Raw // the zero Raw when it cannot be read

	lines  *strictjson.Lines
	mended []byte
	edits  []strictjson.Fix // one after the other, each of the text that the ones before it left
	syntax []Diagnostic
	made   *made
}

// made is what the loader makes of a document.
type made struct {
	in      rules.Interaction
	program *rules.Program
	err     error
}

// load makes it an interaction, once.
func (d *Document) load() *made {
	if d.made == nil {
		in, _ := rules.Decode(d.Name, d.Mended()) // Compile says it again
		program, err := rules.Compile(in)
		d.made = &made{in, program, err}
	}
	return d.made
}

// mostMends bounds how many breaches of a text are mended, and mostBytes in how
// long a text: each is another walk over the whole of it.
const (
	mostMends = 50
	mostBytes = 1 << 20
)

// Read makes a document of a text. It never fails: Report says what is wrong.
func Read(name string, text []byte) *Document {
	d := &Document{Name: name, Text: text, lines: strictjson.NewLines(text), mended: text}
	for {
		raw, err := strictjson.Parse(name, d.mended)
		if err == nil || !raw.IsZero() {
			d.Raw = raw // duplicate names and the like are said again by whoever decodes it
			return d
		}
		complaints, _ := errors.AsType[strictjson.Errors](err)
		for _, e := range complaints {
			d.syntax = append(d.syntax, d.diagnostic(e))
		}
		fix := complaints[0].Fix
		if fix == nil || len(d.edits) == mostMends || len(text) > mostBytes {
			return d
		}
		d.mended = splice(d.mended, *fix)
		d.edits = append(d.edits, *fix)
	}
}

// Mended is the text without the breaches of JSON's syntax that were mended.
func (d *Document) Mended() []byte { return d.mended }

// LineCol is where an offset of Text lies, both from 1; columns count characters.
func (d *Document) LineCol(offset int) (line, col int) { return d.lines.LineCol(offset) }

// Line is the line of Text with the offset, without its end.
func (d *Document) Line(offset int) string { return string(d.lines.Line(offset)) }

// back is the offset in the text as it was written of one in the mended text.
func (d *Document) back(offset int) int {
	for _, e := range slices.Backward(d.edits) {
		switch {
		case offset >= e.Offset+len(e.Text):
			offset += e.Len - len(e.Text)
		case offset > e.Offset:
			offset = e.Offset
		}
	}
	return offset
}

// Report are the diagnostics of the document: of its syntax, and what errs, of
// the document that Mended is, say of the rest.
func (d *Document) Report(errs ...error) []Diagnostic {
	out := slices.Clone(d.syntax)
	if d.Raw.IsZero() {
		return out
	}
	err := strictjson.Join(errs...)
	complaints, others := split(err)
	there := mistyped(complaints)
	for _, e := range complaints {
		if e.Code != strictjson.MissingField || !there[absence{e.Pointer, e.Name}] {
			out = append(out, d.diagnostic(e))
		}
	}
	for _, e := range others {
		out = append(out, About(d.Name, strictjson.WrongValue, e.Error(), ""))
	}
	return Sort(out)
}

// absence is a field that an object lacks.
type absence struct{ object, field string }

// mistyped are the fields that are there under a name that was mistyped, of
// which there is a complaint: that they are missing needs not be said too.
func mistyped(all strictjson.Errors) map[absence]bool {
	out := map[absence]bool{}
	for _, e := range all {
		if e.Code == strictjson.UnknownField && e.Name != "" {
			out[absence{e.Pointer[:max(strings.LastIndexByte(e.Pointer, '/'), 0)], e.Name}] = true
		}
	}
	return out
}

// split takes an error of strictjson.Join apart.
func split(err error) (complaints strictjson.Errors, others []error) {
	if err == nil {
		return nil, nil
	}
	if es, ok := err.(strictjson.Errors); ok { //nolint:errorlint // what is joined is taken apart below
		return es, nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			c, o := split(e)
			complaints, others = append(complaints, c...), append(others, o...)
		}
		return complaints, others
	}
	return nil, []error{err}
}

func splice(text []byte, fix strictjson.Fix) []byte {
	return slices.Concat(text[:fix.Offset], []byte(fix.Text), text[fix.Offset+fix.Len:])
}

// Mend applies the fixes of diagnostics of one text, and gives those that were
// applied. What lies within an edit already made, or would give an object a name
// twice, is left.
func Mend(name string, text []byte, ds []Diagnostic) (mended []byte, done []Diagnostic) {
	mended = text
	from := len(text) + 1 // where the last edit begins: they are made from the end
	twice := doubles(name, text)
	for _, d := range slices.Backward(Sort(slices.Clone(ds))) {
		if d.Fix == nil || d.Fix.Offset+d.Fix.Len > from || d.Fix.Offset == from {
			continue
		}
		next := splice(mended, *d.Fix)
		if doubles(name, next) > twice {
			continue
		}
		mended, from = next, d.Fix.Offset
		done = append(done, d)
	}
	slices.Reverse(done)
	return mended, done
}

// doubles counts the names that stand twice in an object.
func doubles(name string, text []byte) int {
	_, err := strictjson.Parse(name, text)
	complaints, _ := errors.AsType[strictjson.Errors](err)
	n := 0
	for _, e := range complaints {
		if e.Code == strictjson.DuplicateName {
			n++
		}
	}
	return n
}

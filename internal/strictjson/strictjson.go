// Package strictjson is the one decoder of everything that a person writes:
// interactions, twins, configurations. It refuses what encoding/json lets
// through (unknown, duplicate and wrong-case names, trailing text), reports
// every problem of a document at once, and gives each one its place as
// file:line:col and as a JSON pointer (RFC 6901).
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth bounds the nesting of a document: nobody writes deeper by hand, and
// everything that later walks a document may recurse.
const MaxDepth = 500

// MaxBytes bounds a document: beyond it a file is not something that a person wrote.
const MaxBytes = 16 << 20

// Kind is the JSON type of a value. The zero Kind means that there is no value.
type Kind uint8

// The kinds, with the names that messages use.
const (
	None Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}

func (k Kind) String() string { return kindNames[k] }

// Place is a position in a document. The zero Place names no document.
type Place struct {
	doc          *document
	offset, size int
	pointer      string
	remarks      *remarks
}

type document struct {
	name string
	text []byte

	read sync.Once
	made *Lines
}

func newDocument(name string, text []byte) *document { return &document{name: name, text: text} }

// lines are read when there is a first complaint.
func (d *document) lines() *Lines {
	d.read.Do(func() { d.made = NewLines(d.text) })
	return d.made
}

// Raw is a JSON value together with its place, so that whoever decodes it
// later can still say where it stood. The zero Raw is a value that is absent.
type Raw struct {
	At      Place
	kind    Kind
	text    []byte
	str     string
	members []Member
	elems   []Raw
}

// Member is one name and value of an object.
type Member struct {
	Name  string
	Key   Place // where the name stands
	Value Raw
}

// Parse reads text as exactly one JSON value. name is the file's name in
// errors. The error is an [Errors]: the first breach of JSON's syntax, or all
// duplicate names.
func Parse(name string, text []byte) (Raw, error) {
	p := parser{doc: newDocument(name, text)}
	if err := p.unreadable(); err != nil {
		return Raw{}, Errors{err}
	}
	p.dec = jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true))
	v, err := p.value("", 0)
	if err == nil {
		end := int(p.dec.InputOffset())
		if rest := bytes.TrimLeft(text[end:], " \t\r\n"); len(rest) > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		return Raw{}, Errors{p.located(err)}
	}
	if len(p.errs) > 0 {
		return v, p.errs
	}
	return v, nil
}

// unreadable says why the text cannot be a document, whatever its syntax.
func (p *parser) unreadable() *Error {
	text := p.doc.text
	switch {
	case len(text) > MaxBytes:
		return p.place(0, 0, "").As(TooLarge).complain("document of %d bytes; want at most %d", len(text), MaxBytes)
	case bytes.HasPrefix(text, []byte(utf8Mark)):
		return p.place(0, len(utf8Mark), "").As(Encoding).Instead("").complain("starts with a byte order mark; want UTF-8 without one")
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return p.place(0, 2, "").As(Encoding).complain("the file is in UTF-16; want it saved as UTF-8")
	case len(bytes.TrimSpace(text)) == 0:
		return p.place(0, 0, "").As(EmptyDocument).complain("empty document; want a JSON value")
	}
	return nil
}

const utf8Mark = "\xef\xbb\xbf"

type parser struct {
	doc  *document
	dec  *jsontext.Decoder
	errs Errors
}

func (p *parser) place(offset, size int, pointer string) Place {
	return Place{doc: p.doc, offset: offset, size: size, pointer: pointer}
}

func (p Place) complain(format string, args ...any) *Error {
	return p.err(fmt.Errorf(format, args...))
}

// located is the complaint about what the decoder has refused: in the words of
// who wrote it where that can be found out, else in the decoder's.
func (p *parser) located(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e := explain(p.doc); e != nil {
		return e
	}
	at := p.place(int(p.dec.InputOffset()), 0, "").As(Syntax)
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok && e.Err != nil {
		at.offset, at.pointer = int(e.ByteOffset), string(e.JSONPointer)
		return at.complain("%s", strings.TrimPrefix(e.Err.Error(), "jsontext: "))
	}
	return at.complain("%v", err)
}

func (p *parser) value(pointer string, depth int) (Raw, error) {
	if depth > MaxDepth {
		return Raw{}, p.place(int(p.dec.InputOffset()), 0, pointer).As(TooLarge).complain("nested deeper than %d levels", MaxDepth)
	}
	switch p.dec.PeekKind() {
	case '{':
		return p.object(pointer, depth)
	case '[':
		return p.array(pointer, depth)
	}
	text, err := p.dec.ReadValue()
	if err != nil {
		return Raw{}, err
	}
	end := int(p.dec.InputOffset())
	r := Raw{At: p.place(end-len(text), len(text), pointer), text: p.doc.text[end-len(text) : end]}
	switch text.Kind() {
	case 'n':
		r.kind = Null
	case 't', 'f':
		r.kind = Bool
	case '0':
		r.kind = Number
		if _, err := strconv.ParseFloat(string(r.text), 64); err != nil {
			p.errs = append(p.errs, r.At.complain("number %s is out of range; want one that a 64-bit float can hold", r.text))
		}
	default:
		r.kind = String
		b, err := jsontext.AppendUnquote(nil, r.text)
		if err != nil {
			return Raw{}, err
		}
		r.str = string(b)
	}
	return r, nil
}

func (p *parser) object(pointer string, depth int) (Raw, error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return Raw{}, err
	}
	start := int(p.dec.InputOffset()) - 1
	r := Raw{At: p.place(start, 0, pointer), kind: Object}
	seen := map[string]bool{}
	for p.dec.PeekKind() != '}' {
		key, err := p.dec.ReadValue()
		if err != nil {
			return Raw{}, err
		}
		end := int(p.dec.InputOffset())
		b, err := jsontext.AppendUnquote(nil, key)
		if err != nil {
			return Raw{}, err
		}
		name := string(b)
		at := p.place(end-len(key), len(key), pointer+"/"+escape(name))
		if seen[name] {
			p.errs = append(p.errs, at.As(DuplicateName).complain("duplicate field %q; want each name once", name))
		}
		seen[name] = true
		v, err := p.value(at.pointer, depth+1)
		if err != nil {
			return Raw{}, err
		}
		r.members = append(r.members, Member{name, at, v})
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Raw{}, err
	}
	r.text = p.doc.text[start:p.dec.InputOffset()]
	r.At.size = len(r.text)
	return r, nil
}

func (p *parser) array(pointer string, depth int) (Raw, error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return Raw{}, err
	}
	start := int(p.dec.InputOffset()) - 1
	r := Raw{At: p.place(start, 0, pointer), kind: Array}
	for p.dec.PeekKind() != ']' {
		v, err := p.value(pointer+"/"+strconv.Itoa(len(r.elems)), depth+1)
		if err != nil {
			return Raw{}, err
		}
		r.elems = append(r.elems, v)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Raw{}, err
	}
	r.text = p.doc.text[start:p.dec.InputOffset()]
	r.At.size = len(r.text)
	return r, nil
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

func escape(name string) string { return escaper.Replace(name) }

// Kind is the JSON type of the value, or None when there is no value.
func (r Raw) Kind() Kind { return r.kind }

// IsZero says that there is no value: the member was absent. A null is a value.
func (r Raw) IsZero() bool { return r.kind == None }

// Text is the value as it was written. It must not be changed.
func (r Raw) Text() []byte { return r.text }

// MarshalJSON gives the value as it was written.
func (r Raw) MarshalJSON() ([]byte, error) {
	if r.IsZero() {
		return []byte("null"), nil
	}
	return r.text, nil
}

// Members are the members of an object in the order of the document, else nil.
func (r Raw) Members() []Member { return r.members }

// Elems are the elements of an array, else nil.
func (r Raw) Elems() []Raw { return r.elems }

// Member is the value of an object's member; the zero Raw when it is absent.
func (r Raw) Member(name string) Raw {
	for _, m := range slices.Backward(r.members) {
		if m.Name == name {
			return m.Value
		}
	}
	return Raw{}
}

// Str is the text of a string, unescaped, else "".
func (r Raw) Str() string { return r.str }

// Any is the value as encoding/json decodes it into an any: nil, bool,
// float64, string, []any or map[string]any.
func (r Raw) Any() any {
	switch r.kind {
	case Bool:
		return r.text[0] == 't'
	case Number:
		f, _ := strconv.ParseFloat(string(r.text), 64) // Parse has refused what does not fit
		return f
	case String:
		return r.str
	case Array:
		a := make([]any, len(r.elems))
		for i, e := range r.elems {
			a[i] = e.Any()
		}
		return a
	case Object:
		m := make(map[string]any, len(r.members))
		for _, e := range r.members {
			m[e.Name] = e.Value.Any()
		}
		return m
	}
	return nil
}

// EmptyObject is an object without members at the place, for a value that may
// be left out.
func (p Place) EmptyObject() Raw { return Raw{At: p, kind: Object, text: []byte("{}")} }

// Shown is the value for a message: as it was written, cut when it is long.
func (r Raw) Shown() string {
	if r.kind == Array || r.kind == Object {
		return r.kind.String()
	}
	const most = 60
	s := string(r.text)
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return s
}

// Value gives a Go value the form of a document without a file, so that what a
// program builds passes through the same decoder as what a person writes.
func Value(name string, v any) (Raw, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return Raw{}, err
	}
	return Parse(name, text)
}

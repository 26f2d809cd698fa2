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
	doc     *document
	dec     *jsontext.Decoder
	errs    Errors
	names   map[string]string // each is in memory once, as a long document repeats few
	scratch []byte
	members []Member // of the objects that are being read
	elems   []Raw    // of the arrays that are being read
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
		var err error
		if p.scratch, err = jsontext.AppendUnquote(p.scratch[:0], r.text); err != nil {
			return Raw{}, err
		}
		r.str = string(p.scratch)
	}
	return r, nil
}

func (p *parser) object(pointer string, depth int) (Raw, error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return Raw{}, err
	}
	start := int(p.dec.InputOffset()) - 1
	r := Raw{At: p.place(start, 0, pointer), kind: Object}
	first := len(p.members)
	var seen map[string]bool // when they are many
	for p.dec.PeekKind() != '}' {
		key, err := p.dec.ReadValue()
		if err != nil {
			return Raw{}, err
		}
		end := int(p.dec.InputOffset())
		name, err := p.name(key)
		if err != nil {
			return Raw{}, err
		}
		at := p.place(end-len(key), len(key), pointer+"/"+escape(name))
		if n := len(p.members) - first; n == fewMembers {
			seen = map[string]bool{}
			for _, m := range p.members[first:] {
				seen[m.Name] = true
			}
		}
		if seen[name] || seen == nil && slices.ContainsFunc(p.members[first:], func(m Member) bool { return m.Name == name }) {
			p.errs = append(p.errs, at.As(DuplicateName).complain("duplicate field %q; want each name once", name))
		}
		if seen != nil {
			seen[name] = true
		}
		v, err := p.value(at.pointer, depth+1)
		if err != nil {
			return Raw{}, err
		}
		p.members = append(p.members, Member{name, at, v})
	}
	r.members, p.members = append(r.members, p.members[first:]...), p.members[:first]
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
	first := len(p.elems)
	for p.dec.PeekKind() != ']' {
		v, err := p.value(pointer+"/"+strconv.Itoa(len(p.elems)-first), depth+1)
		if err != nil {
			return Raw{}, err
		}
		p.elems = append(p.elems, v)
	}
	r.elems, p.elems = append(r.elems, p.elems[first:]...), p.elems[:first]
	if _, err := p.dec.ReadToken(); err != nil {
		return Raw{}, err
	}
	r.text = p.doc.text[start:p.dec.InputOffset()]
	r.At.size = len(r.text)
	return r, nil
}

// fewMembers is up to how many members of an object are looked through for a name.
const fewMembers = 16

// name is what stands in quotes before a member.
func (p *parser) name(quoted []byte) (_ string, err error) {
	if p.scratch, err = jsontext.AppendUnquote(p.scratch[:0], quoted); err != nil {
		return "", err
	}
	if name, known := p.names[string(p.scratch)]; known {
		return name, nil
	}
	name := string(p.scratch)
	if p.names == nil {
		p.names = map[string]string{}
	}
	p.names[name] = name
	return name, nil
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

// Within is the place of a byte of Str in the document, where escapes are longer
// than what they stand for. Of what is no string, or behind its end, it is At.
func (r Raw) Within(offset int) Place {
	if r.kind != String || offset < 0 || offset > len(r.str) {
		return r.At
	}
	at := 1 // behind the quote
	for seen := 0; seen < offset && at < len(r.text)-1; {
		size := escapedSize(r.text[at:])
		b, err := jsontext.AppendUnquote(nil, append(append([]byte{'"'}, r.text[at:at+size]...), '"'))
		if err != nil {
			return r.At
		}
		seen, at = seen+len(b), at+size
	}
	p := r.At
	p.offset, p.size = p.offset+at, 0
	return p
}

// escapedSize is how long the first character of a string's text is as it was written.
func escapedSize(text []byte) int {
	const unicode = len(`\u0000`)
	switch {
	case text[0] != '\\':
		_, size := utf8.DecodeRune(text)
		return size
	case text[1] != 'u':
		return len(`\n`)
	case len(text) > 2*unicode && text[unicode] == '\\' && text[unicode+1] == 'u' && isHighSurrogate(text[2:unicode]):
		return 2 * unicode
	}
	return unicode
}

// isHighSurrogate says whether four digits are the first half of a pair.
func isHighSurrogate(digits []byte) bool {
	n, err := strconv.ParseUint(string(digits), 16, 16)
	return err == nil && n >= 0xd800 && n < 0xdc00
}

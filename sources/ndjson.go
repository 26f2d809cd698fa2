package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// MaxIDBytes bounds a sender's message id.
const MaxIDBytes = 256

// CheckID says what is wrong with a sender's message id, or nil.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New(`message id ""; want at least one character`)
	case len(id) > MaxIDBytes:
		return fmt.Errorf("message id of %d bytes; want at most %d", len(id), MaxIDBytes)
	case strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("message id %q has a control character; want none", id)
	}
	return nil
}

// The fields of a sample as a line of NDJSON.
const (
	twinField = iota
	feedField
	timeField
	dataField
	idField
)

var lineFields = []string{"twin", "feed", "occurredAt", "data", "id"}

// ParseLine reads one sample {"twin","feed","occurredAt","data":{…},"id"}; n
// is the line's number and becomes Sample.Seq. occurredAt and id may be absent:
// the time is then zero and the caller decides. Data is the object as it
// stands in line, looked at only as far as it takes to find its end: whoever
// judges it validates it.
//
// The error is a *strictjson.Error with the place in "-", and the sample that
// comes with it is a dead letter: Refused says why, Data is the whole line, and
// what could be read before is set.
func ParseLine(line []byte, n int) (rules.Sample, error) {
	s := rules.Sample{Seq: uint64(n)}
	p := lineParser{line: line, n: n}
	if err := p.sample(&s); err != nil {
		refuse(&s, line, err)
		return s, err
	}
	return s, nil
}

// refuse makes a dead letter of a sample.
func refuse(s *rules.Sample, line []byte, err *strictjson.Error) {
	s.Refused, s.Data = err.Error(), line
}

// lineParser walks a line once. It is by hand because it is on the way of
// every sample of a replay; the fuzz test holds it to encoding/json.
type lineParser struct {
	line []byte
	pos  int
	n    int
}

func (p *lineParser) sample(s *rules.Sample) *strictjson.Error {
	p.space()
	start := p.pos
	if !p.eat('{') {
		return p.wrong(p.pos, "", "got %s; want one object with twin, feed, occurredAt and data a line", p.got())
	}
	var seen [idField + 1]bool
	p.space()
	for first := true; !p.eat('}'); first = false {
		if !first && !p.eat(',') {
			return p.wrong(p.pos, "", "got %s; want a comma or the end of the object", p.got())
		}
		if err := p.member(s, &seen); err != nil {
			return err
		}
		p.space()
	}
	p.space()
	if p.pos < len(p.line) {
		return p.wrong(p.pos, "", "text after the end of the sample; want one sample a line")
	}
	for _, f := range []int{twinField, feedField, dataField} {
		if !seen[f] {
			return p.wrong(start, "", "field %q is missing", lineFields[f])
		}
	}
	return nil
}

// member reads `"name": value` behind a brace or a comma.
func (p *lineParser) member(s *rules.Sample, seen *[idField + 1]bool) *strictjson.Error {
	p.space()
	at := p.pos
	name, err := p.str("", "a field's name in quotes")
	if err != nil {
		return err
	}
	f := fieldNamed(name)
	if f < 0 {
		return p.unknown(at, string(name))
	}
	if seen[f] {
		return p.wrong(at, "/"+lineFields[f], "duplicate field %q; want each name once", lineFields[f])
	}
	seen[f] = true
	p.space()
	if !p.eat(':') {
		return p.wrong(p.pos, "/"+lineFields[f], "got %s; want a colon", p.got())
	}
	p.space()
	return p.field(s, f)
}

func (p *lineParser) field(s *rules.Sample, f int) (err *strictjson.Error) {
	switch f {
	case twinField:
		s.Twin, err = p.name("/twin", "the twin's id, a string")
	case feedField:
		s.Feed, err = p.name("/feed", "the feed's id, a string")
	case timeField:
		err = p.time(s)
	case dataField:
		s.Data, err = p.object("/data")
	case idField:
		err = p.id(s)
	}
	return err
}

func fieldNamed(name []byte) int {
	switch string(name) {
	case "twin":
		return twinField
	case "feed":
		return feedField
	case "occurredAt":
		return timeField
	case "data":
		return dataField
	case "id":
		return idField
	}
	return -1
}

func (p *lineParser) name(pointer, want string) (string, *strictjson.Error) {
	at := p.pos
	b, err := p.str(pointer, want)
	if err == nil && len(b) == 0 {
		err = p.wrong(at, pointer, `got ""; want %s`, want)
	}
	return string(b), err
}

func (p *lineParser) time(s *rules.Sample) *strictjson.Error {
	const want = `a time as RFC 3339 has it, such as "2026-11-22T10:00:00Z"`
	at := p.pos
	b, err := p.str("/occurredAt", want)
	if err != nil {
		return err
	}
	if s.At.UnmarshalText(b) != nil {
		return p.wrong(at, "/occurredAt", "got %q; want %s", short(b), want)
	}
	s.At = s.At.UTC()
	return nil
}

func (p *lineParser) id(s *rules.Sample) *strictjson.Error {
	at := p.pos
	b, err := p.str("/id", "the message's id, a string")
	if err != nil {
		return err
	}
	if err := CheckID(string(b)); err != nil {
		return p.wrong(at, "/id", "%v", err)
	}
	s.ID = string(b)
	return nil
}

// str reads a string. The bytes are a part of the line when it is plain ASCII
// without escapes, as names and times are.
func (p *lineParser) str(pointer, want string) ([]byte, *strictjson.Error) {
	at := p.pos
	if p.peek() != '"' {
		return nil, p.wrong(at, pointer, "got %s; want %s", p.got(), want)
	}
	end := at + 1
	for end < len(p.line) && isPlain(p.line[end]) {
		end++
	}
	if end < len(p.line) && p.line[end] == '"' {
		p.pos = end + 1
		return p.line[at+1 : end], nil
	}
	p.pos = skipString(p.line, at) + 1
	if p.pos > len(p.line) {
		return nil, p.wrong(len(p.line), pointer, "the line ends too early; a closing quote is missing")
	}
	b, err := jsontext.AppendUnquote(nil, p.line[at:p.pos])
	if err != nil {
		return nil, p.wrong(at, pointer, "%s", reason(err))
	}
	return b, nil
}

// isPlain says that a byte inside a string stands for itself.
func isPlain(c byte) bool { return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' }

// object finds the end of an object by its brackets. Of valid JSON that is
// exactly the object; what is not valid stays so, and its judge refuses it.
func (p *lineParser) object(pointer string) ([]byte, *strictjson.Error) {
	start := p.pos
	if p.peek() != '{' {
		return nil, p.wrong(start, pointer, "got %s; want an object", p.got())
	}
	for i, depth := start, 0; i < len(p.line); i++ {
		switch p.line[i] {
		case '"':
			i = skipString(p.line, i)
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				p.pos = i + 1
				return p.line[start:p.pos], nil
			}
		}
	}
	return nil, p.wrong(len(p.line), pointer, "the line ends too early; a closing bracket, brace or quote is missing")
}

// skipString is where the string that begins at i has its closing quote, or
// len(line) or more.
func skipString(line []byte, i int) int {
	for i++; i < len(line) && line[i] != '"'; i++ {
		if line[i] == '\\' {
			i++
		}
	}
	return i
}

func (p *lineParser) space() {
	for p.pos < len(p.line) {
		switch p.line[p.pos] {
		case ' ', '\t', '\r', '\n':
			p.pos++
		default:
			return
		}
	}
}

func (p *lineParser) peek() byte {
	if p.pos >= len(p.line) {
		return 0
	}
	return p.line[p.pos]
}

func (p *lineParser) eat(c byte) bool {
	if p.peek() != c || p.pos >= len(p.line) {
		return false
	}
	p.pos++
	return true
}

// got names what stands at the position, for a message.
func (p *lineParser) got() string {
	switch p.peek() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return short(p.line[p.pos:min(skipString(p.line, p.pos)+1, len(p.line))])
	}
	rest := p.line[min(p.pos, len(p.line)):]
	if len(rest) == 0 {
		return "nothing"
	}
	if end := bytes.IndexAny(rest[1:], ",:]}\" \t\r\n"); end >= 0 {
		rest = rest[:end+1]
	}
	return short(rest)
}

func (p *lineParser) unknown(at int, name string) *strictjson.Error {
	hint := strictjson.DidYouMean(name, lineFields)
	if hint == "" {
		hint = "; want one of data, feed, id, occurredAt, twin"
	}
	return p.wrong(at, "", "unknown field %q%s", short([]byte(name)), hint)
}

func (p *lineParser) wrong(at int, pointer, format string, args ...any) *strictjson.Error {
	return wrongAt("-", p.n, p.line[:min(at, len(p.line))], pointer, format, args...)
}

// wrongAt complains about the place behind before, which begins on line n.
func wrongAt(name string, n int, before []byte, pointer, format string, args ...any) *strictjson.Error {
	return &strictjson.Error{
		File:    name,
		Line:    n + bytes.Count(before, []byte("\n")),
		Col:     utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
		Pointer: pointer,
		Err:     fmt.Errorf(format, args...),
	}
}

// short makes a text fit for a message: cut, and without control characters.
func short(text []byte) string {
	const most = 60
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(string(text), string(utf8.RuneError)))
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

func reason(err error) string {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok && e.Err != nil {
		err = e.Err
	}
	return strings.TrimPrefix(err.Error(), "jsontext: ")
}

// NDJSON reads a recording with one sample a line; see [ParseLine].
type NDJSON struct {
	name  string
	lines lines
}

// NewNDJSON reads r, which errors call name.
func NewNDJSON(r io.Reader, name string) *NDJSON {
	return &NDJSON{name, newLines(r)}
}

// Next returns the next sample, which owns its Data; Seq is the number of its
// line, from 1. Blank lines are skipped, and so is a byte order mark.
//
// An error of type *strictjson.Error is about this line only, and the sample
// that comes with it is its dead letter; the next call goes on behind it. io.EOF
// is the end; any other error is the reader's own.
func (r *NDJSON) Next() (rules.Sample, error) {
	for {
		line, cut, err := r.lines.next()
		switch {
		case err != nil:
			return rules.Sample{}, readError(r.name, err)
		case cut:
			return tooLong(r.name, r.lines.n, line)
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		s := rules.Sample{Seq: uint64(r.lines.n)}
		p := lineParser{line: line, n: r.lines.n}
		if err := p.sample(&s); err != nil {
			return broken(s, r.name, line, err)
		}
		s.Data = bytes.Clone(s.Data)
		return s, nil
	}
}

// broken makes the dead letter of a line, and the error that goes with it.
func broken(s rules.Sample, name string, line []byte, err *strictjson.Error) (rules.Sample, error) {
	err.File = name
	refuse(&s, bytes.Clone(line[:min(len(line), keptBytes)]), err)
	return s, err
}

func tooLong(name string, n int, line []byte) (rules.Sample, error) {
	err := wrongAt(name, n, nil, "", "line longer than %d bytes; want one sample a line", MaxLineBytes)
	return broken(rules.Sample{Seq: uint64(n)}, name, line, err)
}

func readError(name string, err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("%s: %w", name, err)
}

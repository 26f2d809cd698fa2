package sources

import (
	"bytes"
	"io"
	"time"

	"tocsin.internal/rules"
)

// Text reads a recording of one sample a line that lies in memory, such as a
// mapped file. It reads what NDJSON reads and says the same of what it cannot,
// and allocates nothing for a sample that is written as a program writes it:
// twin, feed, occurredAt and data in this order, without blanks between them.
type Text struct {
	name  string
	text  []byte
	pos   int
	line  int // that was read last, from 1
	names map[string]string
	feed  string                  // of the line before: most have the same
	day   [len("2006-01-02")]byte // the last date that was read
	unix  int64                   // when it began
}

// maxNames bounds the names that are kept, as the texts of one recording.
const maxNames = 1 << 20

// NewText reads text, which errors call name.
func NewText(text []byte, name string) *Text {
	return &Text{name: name, text: text, names: map[string]string{}}
}

// Place is where the next line begins, for Seek.
type Place struct{ offset, line int }

// Place is where the next line begins.
func (t *Text) Place() Place { return Place{t.pos, t.line} }

// Seek goes on from a place.
func (t *Text) Seek(p Place) { t.pos, t.line = p.offset, p.line }

// Share is the part that has been read.
func (t *Text) Share() float64 { return float64(t.pos) / max(float64(len(t.text)), 1) }

// Next reads the next sample into s. Its Data is a part of the text; nothing
// else is. Errors are those of [NDJSON.Next].
func (t *Text) Next(s *rules.Sample) error {
	for {
		line, cut, ok := t.next()
		if !ok {
			return io.EOF
		}
		*s = rules.Sample{Seq: uint64(t.line)}
		if !cut && t.plain(line, s) {
			return nil
		}
		var err error
		switch {
		case cut:
			*s, err = tooLong(t.name, t.line, line)
			return err
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		return t.parse(line, s)
	}
}

// parse reads a line that may be written in any way.
func (t *Text) parse(line []byte, s *rules.Sample) error {
	*s = rules.Sample{Seq: uint64(t.line)}
	p := lineParser{line: line, n: t.line}
	if wrong := p.sample(s); wrong != nil {
		var err error
		*s, err = broken(*s, t.name, line, wrong)
		return err
	}
	return nil
}

// next is the next line without its end, as lines.next has it.
func (t *Text) next() (line []byte, cut, ok bool) {
	if t.pos >= len(t.text) {
		return nil, false, false
	}
	line = t.text[t.pos:]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end+1]
	}
	t.pos += len(line)
	t.line++
	if len(line) > MaxLineBytes {
		line, cut = line[:MaxLineBytes], true
	}
	if t.line == 1 {
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), cut, true
}

// plain reads a line that is written as a program writes it; false: it is
// written otherwise, and may be wrong.
func (t *Text) plain(line []byte, s *rules.Sample) bool {
	const twin, feed, at, data = `{"twin":"`, `","feed":"`, `","occurredAt":"`, `","data":`
	rest, ok := cutPrefix(line, twin)
	if !ok {
		return false
	}
	var name []byte
	if name, rest, ok = plainText(rest); !ok || len(name) == 0 {
		return false
	}
	s.Twin = t.nameOf(name)
	if rest, ok = cutPrefix(rest, feed); !ok {
		return false
	}
	if name, rest, ok = plainText(rest); !ok || len(name) == 0 {
		return false
	}
	if string(name) != t.feed {
		t.feed = t.nameOf(name)
	}
	s.Feed = t.feed
	if rest, ok = cutPrefix(rest, at); !ok {
		return false
	}
	if rest, ok = t.timeOf(rest, s); !ok {
		return false
	}
	if rest, ok = cutPrefix(rest, data); !ok {
		return false
	}
	end := objectEnd(rest)
	if end < 0 || len(rest) != end+1 || rest[end] != '}' {
		return false
	}
	s.Data = rest[:end:end]
	return true
}

func cutPrefix(b []byte, prefix string) (rest []byte, ok bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return nil, false
	}
	return b[len(prefix):], true
}

// plainText is a string up to its closing quote, which rest begins with.
func plainText(b []byte) (text, rest []byte, ok bool) {
	end := 0
	for end < len(b) && isPlain(b[end]) {
		end++
	}
	if end == len(b) || b[end] != '"' {
		return nil, nil, false
	}
	return b[:end], b[end:], true
}

// nameOf is the one text of a name.
func (t *Text) nameOf(b []byte) string {
	if name, ok := t.names[string(b)]; ok {
		return name
	}
	if len(t.names) == maxNames {
		clear(t.names)
	}
	name := string(b)
	t.names[name] = name
	return name
}

// timeOf reads a time in UTC, YYYY-MM-DDTHH:MM:SS[.fraction]Z, up to the quote
// that rest begins with. Other forms are for those who read them slowly.
func (t *Text) timeOf(b []byte, s *rules.Sample) (rest []byte, ok bool) {
	if len(b) < len(`2006-01-02T15:04:05Z"`) || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return nil, false
	}
	if string(b[:10]) != string(t.day[:]) && !t.newDay(b[:10]) {
		return nil, false
	}
	hour, minute, second := two(b[11:]), two(b[14:]), two(b[17:])
	if hour > 23 || minute > 59 || second > 59 {
		return nil, false
	}
	nanos, end := int64(0), 19
	if b[end] == '.' {
		unit := int64(time.Second)
		for end++; end < len(b) && '0' <= b[end] && b[end] <= '9' && unit > 1; end++ {
			unit /= 10
			nanos += unit * int64(b[end]-'0')
		}
		if unit == int64(time.Second) {
			return nil, false
		}
	}
	if len(b) < end+2 || b[end] != 'Z' || b[end+1] != '"' {
		return nil, false
	}
	s.At = time.Unix(t.unix+int64(3600*hour+60*minute+second), nanos).UTC()
	return b[end+1:], true
}

// two is a number of two digits, more than 99 when they are none.
func two(b []byte) uint {
	tens, ones := uint(b[0]-'0'), uint(b[1]-'0')
	if tens > 9 || ones > 9 {
		return 100
	}
	return 10*tens + ones
}

// newDay notes when a date begins; false: it is none.
func (t *Text) newDay(b []byte) bool {
	century, year, month, day := two(b), two(b[2:]), two(b[5:]), two(b[8:])
	if b[4] != '-' || b[7] != '-' || century > 99 || year > 99 || month == 0 || month > 12 || day == 0 || day > 31 {
		return false
	}
	date := time.Date(int(100*century+year), time.Month(month), int(day), 0, 0, 0, 0, time.UTC)
	if date.Day() != int(day) {
		return false // the month is shorter
	}
	copy(t.day[:], b)
	t.unix = date.Unix()
	return true
}

// The bytes that objectEnd looks at.
const (
	quote = iota + 1
	opens
	closes
)

var brackets = [256]byte{'"': quote, '{': opens, '[': opens, '}': closes, ']': closes}

// objectEnd is behind the object that b begins with, or -1; see lineParser.object.
func objectEnd(b []byte) int {
	if len(b) == 0 || b[0] != '{' {
		return -1
	}
	for i, depth := 0, 0; i < len(b); i++ {
		switch brackets[b[i]] {
		case 0:
		case quote:
			i = skipString(b, i)
		case opens:
			depth++
		case closes:
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

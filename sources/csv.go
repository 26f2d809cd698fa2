package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// CSVOptions say what the columns of a CSV file mean.
type CSVOptions struct {
	Name       string // the file, in errors
	Twin       string // whose samples these are
	TwinColumn string // or the column that says so
	Feed       string
	TimeColumn string // "" is the first of timestamp, time, occurredAt, datetime and date that there is
	Comma      rune   // between cells; 0 is a comma
}

// CSV reads a recording with one sample a row (RFC 4180) under one row of
// headings. Each column but those of the time and the twin is a field of the
// data: a decimal number is a number, true and false (in any case) are
// booleans, an empty cell, a NaN and an infinity leave the field out, and
// everything else is a string, numbers with leading zeros too: post codes and
// serial numbers are not numbers.
//
// A time is RFC 3339, the same without a zone (UTC) or with a blank for the T,
// or seconds or milliseconds since 1970: below 100,000,000,000 they are seconds
// (until the year 5138), below a thousand times that milliseconds.
type CSV struct {
	CSVOptions
	separator []byte
	lines     lines
	time      int      // column
	twin      int      // column, -1 for none
	headings  [][]byte // of each column, `"name":`; nil for the time's and the twin's
	row       row
}

// row is the record that was read last.
type row struct {
	line  int // where it begins
	text  []byte
	cells []cell
}

// cell is a value without its quotes, and the offset in the row's text where it was written.
type cell struct {
	text []byte
	at   int
}

var timeColumns = []string{"timestamp", "time", "occurredAt", "datetime", "date"}

// NewCSV reads the headings. The error is a *strictjson.Error, or the reader's own.
func NewCSV(r io.Reader, o CSVOptions) (*CSV, error) {
	c := &CSV{CSVOptions: o, lines: newLines(r)}
	if c.Comma == 0 {
		c.Comma = ','
	}
	c.separator = utf8.AppendRune(nil, c.Comma)
	if err := c.check(); err != nil {
		return nil, err
	}
	err := c.read()
	if errors.Is(err, io.EOF) {
		c.row.line = 1
		return nil, c.wrong(0, "no row; want the names of the columns in the first")
	}
	if err != nil {
		return nil, err
	}
	if err := c.readHeadings(); err != nil {
		return nil, err
	}
	return c, nil
}

func (o *CSVOptions) check() error {
	switch {
	case o.Twin == "" && o.TwinColumn == "":
		return fmt.Errorf("%s: whose samples are these; want a twin or a twin column", o.Name)
	case o.Twin != "" && o.TwinColumn != "":
		return fmt.Errorf("%s: a twin and a twin column; want one of them", o.Name)
	case o.Feed == "":
		return fmt.Errorf("%s: which feed do the samples belong to; want a feed", o.Name)
	case o.Comma == '"' || o.Comma == '\r' || o.Comma == '\n' || o.Comma == utf8.RuneError:
		return fmt.Errorf("%s: comma %q; want a character that separates cells", o.Name, o.Comma)
	}
	return nil
}

func (c *CSV) readHeadings() error {
	names := make([]string, len(c.row.cells))
	for i, cell := range c.row.cells {
		name := string(bytes.TrimSpace(cell.text))
		switch {
		case name == "":
			return c.wrong(cell.at, "column %d has no name; want one", i+1)
		case !utf8.ValidString(name):
			return c.wrong(cell.at, "the name is not UTF-8")
		case slices.Contains(names[:i], name):
			return c.wrong(cell.at, "duplicate column %q; want each name once", name)
		}
		names[i] = name
	}
	var err error
	if c.time, err = c.timeColumn(names); err != nil {
		return err
	}
	if c.twin, err = c.column(names, c.TwinColumn, "twin"); err != nil {
		return err
	}
	if c.twin == c.time {
		return c.wrong(0, "column %q is the twin's and the time's; want two", names[c.time])
	}
	c.headings = make([][]byte, len(names))
	for i, name := range names {
		if i == c.time || i == c.twin {
			continue
		}
		quoted, err := jsontext.AppendQuote(nil, name)
		if err != nil {
			return err
		}
		c.headings[i] = append(quoted, ':')
	}
	return nil
}

func (c *CSV) timeColumn(names []string) (int, error) {
	if c.TimeColumn != "" {
		return c.column(names, c.TimeColumn, "time")
	}
	for _, known := range timeColumns {
		if i := slices.Index(names, known); i >= 0 {
			return i, nil
		}
	}
	hint := ""
	for i := 0; hint == "" && i < len(timeColumns); i++ {
		hint = strictjson.DidYouMean(timeColumns[i], names)
	}
	return 0, c.wrong(0, "no time column among %s; want %s, or the name of another%s",
		strings.Join(names, ", "), strings.Join(timeColumns, ", "), hint)
}

// column finds a column by its name; -1 for no name.
func (c *CSV) column(names []string, name, what string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	return 0, c.wrong(0, "no %s column %q; want one of %s%s", what, name, strings.Join(names, ", "), strictjson.DidYouMean(name, names))
}

// Next returns the sample of the next row, which owns its Data; Seq is the
// number of the line at which the row begins, so the first row's is 2. Empty
// lines are skipped.
//
// Errors are as those of [NDJSON.Next].
func (c *CSV) Next() (rules.Sample, error) {
	s := rules.Sample{Twin: c.Twin, Feed: c.Feed}
	err := c.read()
	if err == nil {
		err = c.sample(&s)
	}
	s.Seq = uint64(c.row.line)
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		return broken(s, c.Name, c.row.text, e)
	}
	if err != nil {
		return rules.Sample{}, err
	}
	return s, nil
}

func (c *CSV) sample(s *rules.Sample) error {
	cells := c.row.cells
	if len(cells) != len(c.headings) {
		at := len(c.row.text)
		if len(cells) > len(c.headings) {
			at = cells[len(c.headings)].at
		}
		return c.wrong(at, "row of %d cells; want %d, as in the first row", len(cells), len(c.headings))
	}
	if c.twin >= 0 {
		s.Twin = string(bytes.TrimSpace(cells[c.twin].text))
		if s.Twin == "" || !utf8.ValidString(s.Twin) {
			return c.wrong(cells[c.twin].at, "got %q; want the twin's id", s.Twin)
		}
	}
	when := bytes.TrimSpace(cells[c.time].text)
	at, ok := parseTime(when)
	if !ok {
		return c.wrong(cells[c.time].at, "got %q; want a time: RFC 3339, YYYY-MM-DD HH:MM:SS, or seconds or milliseconds since 1970", short(when))
	}
	s.At = at
	data, err := c.data()
	s.Data = data
	return err
}

func (c *CSV) data() ([]byte, error) {
	b := append(make([]byte, 0, 2*len(c.row.text)), '{')
	for i, heading := range c.headings {
		if heading == nil {
			continue
		}
		before := len(b)
		if before > 1 {
			b = append(b, ',')
		}
		b = append(b, heading...)
		start := len(b)
		var err error
		if b, err = appendValue(b, c.row.cells[i].text); err != nil {
			return nil, c.wrong(c.row.cells[i].at, "the cell is not UTF-8")
		}
		if len(b) == start {
			b = b[:before]
		}
	}
	return append(b, '}'), nil
}

// read reads the next row. Its error is a complaint about the row, io.EOF, or the reader's own.
func (c *CSV) read() error {
	for {
		line, cut, err := c.lines.next()
		if err != nil {
			return readError(c.Name, err)
		}
		c.row.line = c.lines.n
		c.row.text = append(c.row.text[:0], line...)
		switch {
		case cut:
			return c.wrong(0, "line longer than %d bytes; want one row a line", MaxLineBytes)
		case len(line) > 0:
			return c.split()
		}
	}
}

// split cuts the row into its cells, and reads on while a quote is open.
func (c *CSV) split() error {
	c.row.cells = c.row.cells[:0]
	for at := 0; ; at += len(c.separator) {
		next := cell{at: at}
		var err error
		if bytes.HasPrefix(c.row.text[at:], []byte{'"'}) {
			next.text, at, err = c.quoted(at)
		} else {
			next.text, at, err = c.bare(at)
		}
		if err != nil {
			return err
		}
		c.row.cells = append(c.row.cells, next)
		if at == len(c.row.text) {
			return nil
		}
	}
}

// bare reads a cell without quotes, and returns where it ends.
func (c *CSV) bare(at int) ([]byte, int, error) {
	text := c.row.text[at:]
	if end := bytes.Index(text, c.separator); end >= 0 {
		text = text[:end]
	}
	if quote := bytes.IndexByte(text, '"'); quote >= 0 {
		return nil, 0, c.wrong(at+quote, "a quote inside a cell; want the cell in quotes and this one doubled")
	}
	return text, at + len(text), nil
}

// quoted reads a cell in quotes, and returns where it ends.
func (c *CSV) quoted(at int) ([]byte, int, error) {
	var value []byte
	for from, i := at+1, at+1; ; {
		quote := bytes.IndexByte(c.row.text[i:], '"')
		if quote < 0 {
			i = len(c.row.text)
			if err := c.readOn(at); err != nil {
				return nil, 0, err
			}
			continue
		}
		i += quote
		rest := c.row.text[i+1:]
		switch {
		case bytes.HasPrefix(rest, []byte{'"'}):
			value = append(value, c.row.text[from:i+1]...)
			i += 2
			from = i
		case len(rest) == 0 || bytes.HasPrefix(rest, c.separator):
			return append(value, c.row.text[from:i]...), i + 1, nil
		default:
			return nil, 0, c.wrong(i+1, "text behind a closing quote; want %q or the end of the row", c.Comma)
		}
	}
}

// readOn adds the next line to the row, whose cell has a line end inside its quotes.
func (c *CSV) readOn(quote int) error {
	line, cut, err := c.lines.next()
	switch {
	case errors.Is(err, io.EOF):
		return c.wrong(quote, "the quote is not closed until the end of the file; want a closing one")
	case err != nil:
		return readError(c.Name, err)
	case cut || len(c.row.text)+len(line) > MaxLineBytes:
		return c.wrong(quote, "the quote is not closed for %d bytes; want a closing one", MaxLineBytes)
	}
	c.row.text = append(append(c.row.text, '\n'), line...)
	return nil
}

// wrong complains about an offset in the row's text.
func (c *CSV) wrong(at int, format string, args ...any) *strictjson.Error {
	return wrongAt(c.Name, c.row.line, c.row.text[:at], "", format, args...)
}

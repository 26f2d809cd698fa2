package series

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// A state is written as one flat JSON array of numbers. NaN is null; the
// infinities, which a sum can run into, are texts.

const (
	plusInf  = `"+Inf"`
	minusInf = `"-Inf"`
)

var errShort = errors.New("the state ends too early")

// writer appends the elements of an array; the first one opens it.
type writer struct {
	text []byte
	open bool
}

func (w *writer) next() {
	c := byte('[')
	if w.open {
		c = ','
	}
	w.open = true
	w.text = append(w.text, c)
}

func (w *writer) int(v int64) {
	w.next()
	w.text = strconv.AppendInt(w.text, v, 10)
}

func (w *writer) bool(v bool) {
	if v {
		w.int(1)
		return
	}
	w.int(0)
}

func (w *writer) float(v float64) {
	w.next()
	switch {
	case math.IsNaN(v):
		w.text = append(w.text, "null"...)
	case math.IsInf(v, 1):
		w.text = append(w.text, plusInf...)
	case math.IsInf(v, -1):
		w.text = append(w.text, minusInf...)
	default:
		w.text = strconv.AppendFloat(w.text, v, 'g', -1, 64)
	}
}

func (w *writer) close() []byte {
	if !w.open {
		w.text = append(w.text, '[')
	}
	return append(w.text, ']')
}

// reader reads the elements of an array. After the first error, which it keeps,
// everything reads as zero.
type reader struct {
	rest []byte
	open bool
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) space() {
	for len(r.rest) > 0 && (r.rest[0] == ' ' || r.rest[0] == '\t' || r.rest[0] == '\n' || r.rest[0] == '\r') {
		r.rest = r.rest[1:]
	}
}

// take reads one byte that must be there.
func (r *reader) take(want byte) {
	r.space()
	switch {
	case len(r.rest) == 0:
		r.fail(errShort)
	case r.rest[0] != want:
		r.fail(fmt.Errorf("want %q, got %q", want, r.rest[0]))
	default:
		r.rest = r.rest[1:]
	}
}

// element is the text of the next element.
func (r *reader) element() string {
	if r.open {
		r.take(',')
	} else {
		r.take('[')
		r.open = true
	}
	r.space()
	n := 0
	for n < len(r.rest) && r.rest[n] != ',' && r.rest[n] != ']' && r.rest[n] > ' ' {
		n++
	}
	if n == 0 {
		r.fail(errShort)
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

func (r *reader) int() int64 {
	text := r.element()
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		r.fail(fmt.Errorf("want a whole number, got %.40q", text))
		return 0
	}
	return v
}

// bounded reads a whole number in lo..hi.
func (r *reader) bounded(lo, hi int64) int64 {
	v := r.int()
	if r.err == nil && (v < lo || v > hi) {
		r.fail(fmt.Errorf("want %d to %d, got %d", lo, hi, v))
	}
	if r.err != nil {
		return lo
	}
	return v
}

func (r *reader) bool() bool { return r.bounded(0, 1) == 1 }

func (r *reader) float() float64 {
	text := r.element()
	switch text {
	case "null":
		return math.NaN()
	case plusInf:
		return math.Inf(1)
	case minusInf:
		return math.Inf(-1)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !finite(v) {
		r.fail(fmt.Errorf("want a number, got %.40q", text))
		return 0
	}
	return v
}

// finite reads a number that must be finite.
func (r *reader) finite() float64 {
	v := r.float()
	if r.err == nil && !finite(v) {
		r.fail(errors.New("want a finite number"))
	}
	return v
}

// empty reads an array without elements, which is the zero state.
func (r *reader) empty() bool {
	try := *r
	try.take('[')
	try.take(']')
	if try.err != nil {
		return false
	}
	try.open = true
	*r = try
	return true
}

// close reads the end of the array, where it has not been read by empty.
func (r *reader) close() error {
	r.take(']')
	return r.end()
}

func (r *reader) end() error {
	r.space()
	if r.err == nil && len(r.rest) > 0 {
		r.fail(fmt.Errorf("want nothing after the state, got %.40q", r.rest))
	}
	return r.err
}

// more says whether there is another element.
func (r *reader) more() bool {
	r.space()
	return r.err == nil && len(r.rest) > 0 && r.rest[0] != ']'
}

func loadError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("series: %w", err)
}

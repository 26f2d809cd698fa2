package series

import "math"

type valueKind uint8

const (
	noValue valueKind = iota
	number
	scalar
)

// Value is one value of a field, short enough to remember: a number, or the
// length and a 64-bit hash of any other JSON text. The zero Value is none.
type Value struct {
	bits uint64
	size uint32
	kind valueKind
}

// Number is a number as a Value; one that is not finite is none.
func Number(v float64) Value {
	if !finite(v) {
		return Value{}
	}
	return Value{bits: math.Float64bits(v + 0), kind: number} // adding 0 makes -0 equal to 0
}

// Scalar is any other JSON value as a Value, by its text as it came: "a" and
// "\u0061" differ. No text is no value.
func Scalar(raw []byte) Value {
	if len(raw) == 0 {
		return Value{}
	}
	hash := uint64(14695981039346656037) // FNV-1a
	for _, c := range raw {
		hash = (hash ^ uint64(c)) * 1099511628211
	}
	return Value{bits: hash, size: uint32(len(raw)), kind: scalar}
}

// within says whether v is w, or as a number not further from it than tolerance.
func (v Value) within(w Value, tolerance float64) bool {
	if v == w {
		return true
	}
	return v.kind == number && w.kind == number &&
		math.Abs(math.Float64frombits(v.bits)-math.Float64frombits(w.bits)) <= tolerance
}

func (w *writer) scalar(v Value) {
	w.int(int64(v.size))
	if v.kind == number {
		w.float(math.Float64frombits(v.bits))
		return
	}
	w.int(int64(v.bits))
}

func (r *reader) scalar() Value {
	size := r.bounded(0, math.MaxUint32)
	if size == 0 {
		return Number(r.finite())
	}
	return Value{bits: uint64(r.int()), size: uint32(size), kind: scalar}
}

package logic

import (
	"errors"

	"tocsin.internal/internal/strictjson"
)

// ErrUnknownOperator is what the errors of Compile and CompileLoose wrap when
// an expression names an operator that does not exist.
var ErrUnknownOperator = errors.New("unknown operator")

// The types of errors, as the community's suites name them, and one of ours.
const (
	NaN              = "NaN"               // an operand or a result is not a finite number
	InvalidArguments = "Invalid Arguments" // too few operands, or of a wrong kind
	LimitExceeded    = "Limit Exceeded"    // MaxWork is spent; try does not catch it
)

// Error says that an evaluation failed.
type Error struct {
	Type  string // one of the above, or what throw was given
	Value any    // what the next operand of a try sees: {"type":…}, or the object that was thrown

	final bool // no try catches it
	site  *site
}

// site is an operation of the expression, for messages.
type site struct {
	operator string
	at       strictjson.Place
}

// Error is one line with the place of the operation that failed.
func (e *Error) Error() string {
	if e.site == nil {
		return e.Type
	}
	return e.site.at.Errorf("%q failed: %s", e.site.operator, e.Type).Error()
}

// Place is where the operation stands that failed.
func (e *Error) Place() strictjson.Place {
	if e.site == nil {
		return strictjson.Place{}
	}
	return e.site.at
}

func newError(kind string) *Error {
	return &Error{Type: kind, Value: map[string]any{"type": kind}}
}

// What operators fail with; the operation adds its place.
var (
	errNaN     = newError(NaN)
	errInvalid = newError(InvalidArguments)
	errLimit   = &Error{Type: LimitExceeded, final: true}
)

// failed gives err the place of the operation, unless it has one already.
func (s *site) failed(err *Error) *Error {
	if err.site != nil {
		return err
	}
	placed := *err
	placed.site = s
	return &placed
}

package rules

import (
	"encoding/json"
	"errors"
	"fmt"

	"tocsin.internal/rules/scan"
)

// DataError says why the data of a sample cannot be judged. The sample is a
// dead letter: no rule can read it, however often it comes again.
type DataError struct {
	Reason string // one of the reasons below, or the sample's Refused
	Err    error  // the detail, if there is more to say
}

// The reasons of a DataError.
const (
	NotJSON          = "not JSON"
	NotObject        = "not an object"
	NumberOutOfRange = "number out of range" // no 64-bit float holds it, as 1e400
	TooDeep          = "too deep"
	RepeatedNames    = "too many repeated names"
)

func (e *DataError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Err)
}

func (e *DataError) Unwrap() error { return e.Err }

// isObject says whether data can be an object, by its first byte.
func isObject(data []byte) bool {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{'
		}
	}
	return false
}

// explain says why data that was refused was refused.
func explain(data []byte) error {
	var values map[string]any
	err := json.Unmarshal(data, &values)
	_, wrongType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case tooDeep(data):
		return &DataError{Reason: TooDeep}
	case !isObject(data) && (err == nil || wrongType):
		return &DataError{Reason: NotObject}
	case !isObject(data):
		return &DataError{Reason: NotJSON}
	case wrongType:
		return &DataError{Reason: NumberOutOfRange, Err: err}
	case err != nil:
		return &DataError{Reason: NotJSON, Err: err}
	}
	return &DataError{Reason: RepeatedNames}
}

func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > scan.MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

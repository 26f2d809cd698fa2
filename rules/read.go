package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
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
)

func (e *DataError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Err)
}

func (e *DataError) Unwrap() error { return e.Err }

// maxDepth is how deep data may nest. encoding/json reads 10,000 levels, and
// whoever reads an outcome or an envelope reads a few more than the data has.
const maxDepth = 9_900

// Read decodes Data, once, for all programs that will judge the sample. What
// encoding/json refuses is refused, and so is what is not an object or nests
// too deeply; of duplicate names the last one counts. The error is a *DataError.
func (s *Sample) Read() error {
	if s.values != nil {
		return nil
	}
	if s.Refused != "" {
		return &DataError{Reason: s.Refused}
	}
	values, err := decodeObject(s.Data)
	if err != nil {
		return err
	}
	s.values, s.text, s.members = values, s.Data, nil
	if !utf8.Valid(s.Data) {
		s.text = []byte(string([]rune(string(s.Data)))) // one U+FFFD a bad byte, as encoding/json has it
	}
	return nil
}

// Values are the fields of the data as encoding/json decodes them; nil before
// Read. They must not be changed.
func (s *Sample) Values() map[string]any { return s.values }

func decodeObject(data []byte) (map[string]any, error) {
	if tooDeep(data) {
		return nil, &DataError{Reason: TooDeep}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		if json.Valid(data) {
			return nil, &DataError{Reason: NotObject}
		}
		return nil, &DataError{Reason: NotJSON}
	}
	var values map[string]any
	err := json.Unmarshal(data, &values)
	if err == nil {
		return values, nil
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil, &DataError{Reason: NumberOutOfRange, Err: err}
	}
	return nil, &DataError{Reason: NotJSON, Err: err}
}

func tooDeep(data []byte) bool {
	if len(data) <= maxDepth {
		return false // each level takes a byte
	}
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// member is one member of a JSON object, its value as it was written.
type member struct{ name, value []byte }

// raw is the value of a field as the device wrote it, so that 31.20 stays
// 31.20; nil when it is absent. Read must have succeeded.
func (s *Sample) raw(name string) []byte {
	if s.members == nil {
		s.members = appendMembers(make([]member, 0, len(s.values)), s.text)
	}
	return lookup(s.members, name)
}

// rawPath is raw for a field of nested objects.
func (s *Sample) rawPath(path []string) []byte {
	value := s.raw(path[0])
	for _, name := range path[1:] {
		if len(value) == 0 || value[0] != '{' {
			return nil
		}
		value = lookup(appendMembers(nil, value), name)
	}
	return value
}

func lookup(members []member, name string) []byte {
	for _, m := range slices.Backward(members) {
		if string(m.name) == name {
			return m.value
		}
	}
	return nil
}

// appendMembers splits an object that is known to be valid JSON.
func appendMembers(to []member, object []byte) []member {
	i := space(object, 0) + 1 // the opening brace
	for {
		i = space(object, i)
		if object[i] == ',' {
			i = space(object, i+1)
		}
		if object[i] == '}' {
			return to
		}
		keyEnd := valueEnd(object, i)
		start := space(object, space(object, keyEnd)+1) // beyond the colon
		end := valueEnd(object, start)
		to = append(to, member{unquoted(object[i:keyEnd]), object[start:end]})
		i = end
	}
}

func space(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

// valueEnd is the index after the value that starts at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = stringEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquoted is the text of a JSON string that is known to be valid.
func unquoted(quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return inner
	}
	return []byte(s)
}

// appendLine appends a valid JSON value without line breaks or other space
// between its tokens; numbers and strings stay as they were written.
func appendLine(b, value []byte) []byte {
	if value[0] != '{' && value[0] != '[' {
		return append(b, value...)
	}
	buf := bytes.NewBuffer(b)
	if json.Compact(buf, value) != nil {
		return append(b, value...)
	}
	return buf.Bytes()
}

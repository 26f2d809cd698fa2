package logic

import "encoding/json"

// nodeJSON is how a node is written for programs.
type nodeJSON struct {
	Pointer   string          `json:"pointer,omitempty"` // where it stands in the document
	Operator  string          `json:"operator,omitempty"`
	Name      string          `json:"name,omitempty"` // of a variable
	Text      string          `json:"text"`
	Evaluated bool            `json:"evaluated"`
	Verdict   string          `json:"verdict,omitempty"`
	Value     json.RawMessage `json:"value,omitempty"`
	Absent    bool            `json:"absent,omitempty"`
	Error     string          `json:"error,omitempty"`
	Decides   bool            `json:"decides,omitempty"`
	Operands  []*Node         `json:"operands,omitempty"`
	Elements  []*Element      `json:"elements,omitempty"`
	Looked    int             `json:"looked,omitempty"` // how many elements were looked at
}

// wholeValues is how long a value may be, as JSON, that is written as it is; of a
// longer one there is the short text.
const wholeValues = 4 << 10

// MarshalJSON writes the node with all that is in it.
func (n *Node) MarshalJSON() ([]byte, error) {
	text, _ := n.inline()
	out := nodeJSON{
		Pointer: n.Part.Raw.At.Pointer(), Operator: n.Part.Operator, Text: text,
		Evaluated: n.Evaluated, Absent: n.Absent, Decides: n.Decides, Operands: n.Operands, Elements: n.Elements, Looked: n.Looked,
	}
	if n.Part.variable != nil {
		out.Name = n.Name()
	}
	if n.Evaluated {
		out.Verdict = n.Verdict().String()
	}
	if n.Err != nil {
		out.Error = n.Err.Error()
	} else if n.Evaluated || n.Part.variable != nil && n.Part.outer && !n.Absent {
		out.Value = valueJSON(n.Value)
	}
	return json.Marshal(out)
}

// valueJSON is a value as JSON, or, of a long one, a text that says what it is.
func valueJSON(v any) json.RawMessage {
	if _, err := measure(v, 0, wholeValues); err == nil {
		if text, err := json.Marshal(v); err == nil && len(text) <= wholeValues {
			return text
		}
	}
	text, _ := json.Marshal(shown(v)) // a string
	return text
}

// MarshalJSON writes which element it is, and its predicate.
func (e *Element) MarshalJSON() ([]byte, error) {
	out := struct {
		Index       int             `json:"index"`
		Value       json.RawMessage `json:"value"`
		Accumulator json.RawMessage `json:"accumulator,omitempty"`
		Predicate   *Node           `json:"predicate"`
	}{Index: e.Index, Value: valueJSON(e.Value), Predicate: e.Predicate}
	if e.Accumulator != nil {
		out.Accumulator = valueJSON(e.Accumulator)
	}
	return json.Marshal(out)
}

// MarshalJSON writes the verdict, the tree, and how often each part was what.
func (t *Trace) MarshalJSON() ([]byte, error) {
	out := struct {
		Verdict string `json:"verdict"`
		Error   string `json:"error,omitempty"`
		Tree    *Node  `json:"tree"`
		Cut     bool   `json:"cut,omitempty"`
	}{Verdict: t.Verdict.String(), Tree: t.Root, Cut: t.Cut}
	if t.Err != nil {
		out.Error = t.Err.Error()
	}
	return json.Marshal(out)
}

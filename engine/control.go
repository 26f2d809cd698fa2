package engine

import (
	"encoding/json"
	"fmt"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// A control message is whatever else than a sample changes a decision. It
// stands in the partition's stream among the samples and carries the whole
// document, so that the same stream gives the same outcomes again.
type control struct {
	Op     string          `json:"op"`
	ID     string          `json:"id,omitempty"`     // interaction.delete, twin.delete
	Text   json.RawMessage `json:"text,omitempty"`   // interaction.put: the interaction's document
	Twin   json.RawMessage `json:"twin,omitempty"`   // twin.put: the twin's upsert body
	Policy string          `json:"policy,omitempty"` // unknown
	Model  json.RawMessage `json:"model,omitempty"`  // unknown, create: the model's upsert body
}

// The operations.
const (
	opInteractionPut    = "interaction.put"
	opInteractionDelete = "interaction.delete"
	opTwinPut           = "twin.put"
	opTwinDelete        = "twin.delete"
	opUnknown           = "unknown"
)

func (c control) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil { // only a RawMessage that is no JSON can do this, and we made it
		panic(err)
	}
	return b
}

func putInteraction(p *rules.Program) control { return control{Op: opInteractionPut, Text: p.Text()} }

func putTwin(t *twins.Twin) control { return control{Op: opTwinPut, Twin: t.AppendJSON(nil)} }

func (u Unknown) control() control {
	c := control{Op: opUnknown, Policy: string(u.Policy)}
	if u.Model != nil {
		c.Model = u.Model.AppendJSON(nil)
	}
	return c
}

// Policy says what becomes of samples of a twin that nobody has described.
type Policy string

// The policies.
const (
	DeadLetter Policy = "deadletter" // keep them as dead letters
	Create     Policy = "create"     // make the twin from a model
)

// Unknown is a policy with the model that Create needs.
type Unknown struct {
	Policy Policy
	Model  *twins.Twin
}

func decodeTwin(text []byte) (*twins.Twin, error) {
	raw, err := strictjson.Parse("twin", text)
	if err != nil {
		return nil, err
	}
	ts, err := twins.Decode(raw)
	if err != nil {
		return nil, err
	}
	if len(ts) != 1 {
		return nil, fmt.Errorf("%d twins; want one", len(ts))
	}
	return &ts[0], nil
}

func (c control) unknown() (Unknown, error) {
	u := Unknown{Policy: Policy(c.Policy)}
	if u.Policy != Create {
		return u, nil
	}
	var err error
	u.Model, err = decodeTwin(c.Model)
	return u, err
}

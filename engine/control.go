package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// A control message is whatever else than a sample changes a decision. It
// stands in the partition's stream among the samples and carries the whole
// document, so that the same stream gives the same outcomes again.
type control struct {
	Op     string          `json:"op"`
	ID     string          `json:"id,omitempty"`     // interaction.delete, twin.delete, model.delete
	Text   json.RawMessage `json:"text,omitempty"`   // interaction.put: the interaction's document
	Twin   json.RawMessage `json:"twin,omitempty"`   // twin.put: the twin's upsert body
	Policy string          `json:"policy,omitempty"` // unknown
	Model  json.RawMessage `json:"model,omitempty"`  // unknown, create: the model's upsert body
	Act    *action         `json:"act,omitempty"`    // alert.act

	// interactions: several at one place, as they are or, where they are much, as
	// gzip of {"put","delete"}.
	Put    []json.RawMessage `json:"put,omitempty"`
	Delete []string          `json:"delete,omitempty"`
	Packed []byte            `json:"packed,omitempty"`
}

// The operations.
const (
	opInteractionPut    = "interaction.put"
	opInteractionDelete = "interaction.delete"
	opInteractions      = "interactions"
	opTwinPut           = "twin.put"
	opTwinDelete        = "twin.delete"
	opUnknown           = "unknown"
	opAlertAct          = "alert.act"
	opModelPut          = "model.put" // to the partitions in which the model itself does not lie
	opModelDelete       = "model.delete"
)

// action is what a person does to an alert, in a control message.
type action struct {
	Do          string    `json:"do"`
	ID          string    `json:"id"`
	Interaction string    `json:"interaction"`
	Rule        string    `json:"rule"`
	Twin        string    `json:"twin"`
	By          string    `json:"by"`
	Comment     string    `json:"comment,omitempty"`
	Until       time.Time `json:"until,omitzero"`
}

func act(a rules.Action, twin string) control {
	return control{Op: opAlertAct, Act: &action{a.Do, a.ID, a.Interaction, a.Rule, twin, a.By, a.Comment, a.Until}}
}

// action is what the partition carries out.
func (a *action) action() rules.Action {
	return rules.Action{Do: a.Do, ID: a.ID, Interaction: a.Interaction, Rule: a.Rule, By: a.By, Comment: a.Comment, Until: a.Until}
}

func (c control) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil { // only a RawMessage that is no JSON can do this, and we made it
		panic(err)
	}
	return b
}

func putTwin(t *twins.Twin) control { return control{Op: opTwinPut, Twin: t.AppendJSON(nil)} }

func (u Unknown) control() control {
	c := control{Op: opUnknown, Policy: string(u.Policy)}
	if u.Model != nil {
		c.Model = u.Model.AppendJSON(nil)
	}
	return c
}

func putModel(t *twins.Twin) control { return control{Op: opModelPut, Twin: t.AppendJSON(nil)} }

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

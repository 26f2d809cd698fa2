package qapi

import (
	"net/http"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// input is the one in the path.
func (s *Space) input(r *http.Request, name string) (*twins.Twin, rules.Feed, error) {
	t, err := s.twin(r, name)
	if err != nil {
		return nil, rules.Feed{}, err
	}
	id := r.PathValue("input")
	in, ok := t.Input(id)
	if !ok {
		return nil, in, notFound("no input %q of twin %q%s", id, t.ID, strictjson.DidYouMean(id, ids(t.Inputs)))
	}
	return t, in, nil
}

func (s *Space) describeInput(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	t, in, err := s.input(r, "twin")
	if err != nil {
		return nil, err
	}
	b := s.appendInputNames([]byte{'{'}, t.ID, in.ID)
	b = appendValues(append(b, `,"result":{`...), in.Values)
	b = rules.AppendProperties(append(b, `,"properties":`...), in.Properties)
	return append(b, `}}`...), nil
}

// deleteInput is right also when there is no such input: it may be sent again.
func (s *Space) deleteInput(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	twin, input := r.PathValue("twin"), r.PathValue("input")
	if err := s.may(r, access.Control, twin); err != nil {
		return nil, err
	}
	err := s.edit(r, twin, func(t twins.Twin) (twins.Twin, error) { return t.WithoutInput(input), nil })
	return append(s.appendInputNames([]byte{'{'}, twin, input), '}'), err
}

// sendInput brings a message to whoever follows the input.
func (s *Space) sendInput(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := s.may(r, access.Send, r.PathValue("followed")); err != nil {
		return nil, err
	}
	from, err := s.twin(r, "twin")
	if err == nil {
		err = s.may(r, access.Share, from.ID) // who sends in its name speaks for it
	}
	if err != nil {
		return nil, err
	}
	t, input, err := s.input(r, "followed")
	if err != nil {
		return nil, err
	}
	var in struct {
		Message carried `json:"message" strict:"required"`
	}
	if _, err := decode(w, r, &in); err != nil {
		return nil, err
	}
	m := in.Message
	return []byte(`{}`), s.Engine.SendInput(r.Context(), engine.Event{
		Kind: engine.InputTopic, Twin: t.ID, Name: input.ID, From: from.ID, At: m.timeOr(now()), Mime: m.mime, Data: m.data,
	})
}

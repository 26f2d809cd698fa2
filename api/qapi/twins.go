package qapi

import (
	"cmp"
	"errors"
	"net/http"

	"tocsin.internal/api/access"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// maxTwinBytes bounds a twin with its feeds: it has to fit a message of the bus.
const maxTwinBytes = 512 << 10

// twin is the one in the path.
func (s *Space) twin(r *http.Request, name string) (*twins.Twin, error) {
	id := r.PathValue(name)
	t, ok := s.Engine.Twin(id)
	if !ok {
		return nil, noTwin(id)
	}
	return t, nil
}

func noTwin(id string) error { return notFound("no twin %q", id) }

// edit changes a twin that is there.
func (s *Space) edit(r *http.Request, id string, change func(twins.Twin) (twins.Twin, error)) error {
	return s.Engine.EditTwin(r.Context(), id, func(t twins.Twin, known bool) (twins.Twin, error) {
		if !known {
			return t, noTwin(id)
		}
		t, err := change(t)
		if err != nil {
			return t, err
		}
		return t, check(&t)
	})
}

// check wants a twin to be one that can be stored and read again.
func check(t *twins.Twin) error {
	text := t.AppendJSON(nil)
	if n := len(text); n > maxTwinBytes {
		return wrongf("twin of %d bytes with its feeds and properties; want at most %d", n, maxTwinBytes)
	}
	raw, err := strictjson.Parse("the twin", text)
	if err == nil {
		_, err = twins.Decode(raw)
	}
	return err
}

func (s *Space) listTwins(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	q, err := page(r)
	if err != nil {
		return nil, err
	}
	return append(s.appendTwins([]byte{'{'}, s.Engine.Search(q), full), '}'), nil
}

func (s *Space) createTwin(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var in struct {
		TwinID twinID `json:"twinId"`
		ID     twinID `json:"id"` // as the newer clients call it
	}
	raw, err := decode(w, r, &in)
	if err != nil {
		return nil, err
	}
	id := string(cmp.Or(in.TwinID, in.ID))
	switch {
	case id == "":
		return nil, raw.Missing("twinId")
	case in.ID != "" && string(in.ID) != id:
		return nil, wrongf("twinId is %q and id is %q; want one id", cut(id), cut(string(in.ID)))
	}
	if err := s.may(r, access.Control, id); err != nil {
		return nil, err
	}
	err = s.Engine.EditTwin(r.Context(), id, func(t twins.Twin, _ bool) (twins.Twin, error) { return t, nil })
	return s.twinAnswer(id), err
}

func (s *Space) upsertTwin(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var t twins.Twin
	raw, err := decode(w, r, &t)
	if err != nil {
		return nil, err
	}
	if err := s.may(r, access.Control, t.ID); err != nil {
		return nil, err
	}
	if t.Visibility == "" {
		t.Visibility = twins.Private
	}
	wrong := []error{inPath(raw.Member("twinId"), t.ID)}
	for i, in := range raw.Member("inputs").Elems() {
		wrong = append(wrong, inPath(in, t.Inputs[i].ID))
	}
	for i, f := range raw.Member("feeds").Elems() {
		wrong = append(wrong, inPath(f, t.Feeds[i].ID))
		if f.Member("storeLast").Kind() != strictjson.Bool {
			t.Feeds[i].StoreLast = false
		}
	}
	if err := strictjson.Join(append(wrong, check(&t))...); err != nil {
		return nil, err
	}
	if err := s.Engine.PutTwin(r.Context(), t); err != nil {
		return nil, err
	}
	s.warnOfRules(w, t.ID)
	return s.twinAnswer(t.ID), nil
}

// warnOfRules says what is wrong with the document of an interaction twin, which
// is stored while the last good one runs on, or what its author should know of it.
func (s *Space) warnOfRules(w http.ResponseWriter, id string) {
	refused, warnings := s.Engine.RulesOfTwin(id)
	if refused != "" {
		warnings = []error{errors.New("the interaction is refused: " + refused)}
	}
	warn(w, warnings)
}

func (s *Space) describeTwin(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	t, err := s.twin(r, "twin")
	if err != nil {
		return nil, err
	}
	s.warnOfRules(w, t.ID)
	b := appendValueID([]byte(`{"twin":{"id":`), t.ID)
	b = rules.AppendText(append(b, `,"visibility":`...), t.Seen())
	b = s.appendTwinID(append(b, `},"twinId":`...), t.ID)
	b = appendLocation(append(b, `,"result":{`...), t)
	b = rules.AppendText(append(b, `"visibility":`...), t.Seen())
	b = rules.AppendProperties(append(b, `,"properties":`...), t.Properties)
	b = s.appendFeeds(append(b, ','), t, false)
	b = s.appendInputs(append(b, ','), t, false)
	return append(b, `}}`...), nil
}

func (s *Space) updateTwin(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	id := r.PathValue("twin")
	if err := s.may(r, access.Control, id); err != nil {
		return nil, err
	}
	var u twins.Update
	if _, err := decode(w, r, &u); err != nil {
		return nil, err
	}
	if err := s.edit(r, id, func(t twins.Twin) (twins.Twin, error) { return u.Apply(t), nil }); err != nil {
		return nil, err
	}
	s.warnOfRules(w, id)
	return s.twinAnswer(id), nil
}

// deleteTwin is right also when there is no such twin: it may be sent again.
func (s *Space) deleteTwin(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	id := r.PathValue("twin")
	if err := s.may(r, access.Control, id); err != nil {
		return nil, err
	}
	return s.twinAnswer(id), s.Engine.DeleteTwin(r.Context(), id)
}

// listInterests says which feeds a twin follows. Who follows by a subscription
// does so for as long as it lasts, and nothing of it is kept.
func (s *Space) listInterests(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	if _, err := s.twin(r, "twin"); err != nil {
		return nil, err
	}
	return []byte(`{"interests":[]}`), nil
}

package api

import (
	"net/http"
	"strconv"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

// maxSet bounds the body of a set of rules.
const maxSet = strictjson.MaxBytes

// defaultLast is how far back shadow rules are compared with live ones.
const defaultLast = 24 * time.Hour

// rulebook is the part of the API that is about rules.
type rulebook struct{ engine *engine.Engine }

func ruleRoutes(e *engine.Engine) (out []access.Route) {
	b := rulebook{e}
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v1/rules":               b.list,
		"GET /api/v1/rules/{interaction}": b.show,
	} {
		out = append(out, access.Route{Pattern: pattern, Action: readOr(pattern, access.Author), Handler: atDesk(e, orRefuse(serve))})
	}
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v1/ruleset":           b.set,
		"PUT /api/v1/ruleset":           b.push,
		"GET /api/v1/ruleset/revisions": b.revisions,
		"POST /api/v1/ruleset/rollback": b.rollback,
	} {
		out = append(out, access.Route{Pattern: pattern, Action: readOr(pattern, access.Author), MaxBody: maxSet, Handler: orRefuseAbove(maxSet, serve)})
	}
	return out
}

// list says what runs.
func (b rulebook) list(w http.ResponseWriter, r *http.Request) error {
	for name := range r.URL.Query() {
		return wrong("%s: no such parameter; there is none", name)
	}
	status, err := b.engine.Rules(r.Context())
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, status)
	return nil
}

func (b rulebook) show(w http.ResponseWriter, r *http.Request) error {
	last := defaultLast
	for name, values := range r.URL.Query() {
		if name != "last" {
			return wrong("%s: no such parameter%s", name, strictjson.DidYouMean(name, []string{"last"}))
		}
		raw, err := strictjson.Value("last", values[0])
		if err == nil {
			err = raw.Decode(&last)
		}
		if err != nil {
			return badRequest{err}
		}
	}
	status, err := b.engine.InteractionOf(r.Context(), r.PathValue("interaction"), last)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, status)
	return nil
}

// set gives a revision of the set that was pushed, with its documents.
func (b rulebook) set(w http.ResponseWriter, r *http.Request) error {
	revision := uint64(0)
	for name, values := range r.URL.Query() {
		if name != "revision" {
			return wrong("%s: no such parameter%s", name, strictjson.DidYouMean(name, []string{"revision"}))
		}
		var err error
		if revision, err = strconv.ParseUint(values[0], 10, 64); err != nil || revision == 0 {
			return wrong("revision: got %q; want a number from 1 on", values[0])
		}
	}
	s, err := b.engine.Ruleset(r.Context(), revision)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, s)
	return nil
}

func (b rulebook) revisions(w http.ResponseWriter, r *http.Request) error {
	all, err := b.engine.Rulesets(r.Context())
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]any{"revisions": all})
	return nil
}

// push makes the documents of the body the set that runs.
func (b rulebook) push(w http.ResponseWriter, r *http.Request) error {
	raw, err := document(r)
	if err != nil {
		return err
	}
	var doc struct {
		By        string         `json:"by"`
		Message   string         `json:"message"`
		Expect    strictjson.Raw `json:"expect"`
		DryRun    bool           `json:"dryRun"`
		Documents []struct {
			Name string `json:"name" strict:"required"`
			Text string `json:"text" strict:"required"`
		} `json:"documents" strict:"required"`
	}
	if err := raw.Decode(&doc); err != nil {
		return badRequest{err}
	}
	p := engine.Push{By: doc.By, Message: doc.Message, DryRun: doc.DryRun}
	for _, d := range doc.Documents {
		p.Documents = append(p.Documents, engine.RuleDocument{Name: d.Name, Text: d.Text})
	}
	if p.Expect, err = revisionOf(doc.Expect); err != nil {
		return badRequest{err}
	}
	return b.change(w, r, p)
}

// rollback makes an earlier revision the one that runs, as a new one.
func (b rulebook) rollback(w http.ResponseWriter, r *http.Request) error {
	raw, err := document(r)
	if err != nil {
		return err
	}
	var doc struct {
		To      strictjson.Raw `json:"to" strict:"required"`
		By      string         `json:"by"`
		Message string         `json:"message"`
		Expect  strictjson.Raw `json:"expect"`
		DryRun  bool           `json:"dryRun"`
	}
	if err := raw.Decode(&doc); err != nil {
		return badRequest{err}
	}
	p := engine.Push{By: doc.By, Message: doc.Message, DryRun: doc.DryRun}
	to, err := revisionOf(doc.To)
	if err == nil && *to == 0 {
		err = doc.To.At.Errorf("got 0; want a revision from 1 on")
	}
	if err == nil {
		p.Rollback = *to
		p.Expect, err = revisionOf(doc.Expect)
	}
	if err != nil {
		return badRequest{err}
	}
	return b.change(w, r, p)
}

// revisionOf reads the number of a revision; nil when it is not there.
func revisionOf(r strictjson.Raw) (*uint64, error) {
	if r.IsZero() {
		return nil, nil
	}
	n, ok := r.Any().(float64)
	if !ok || n < 0 || n != float64(uint64(n)) {
		return nil, r.At.Errorf("got %s; want the number of a revision", r.Shown())
	}
	out := uint64(n)
	return &out, nil
}

func (b rulebook) change(w http.ResponseWriter, r *http.Request, p engine.Push) error {
	done, err := b.engine.PushRules(r.Context(), p)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, done)
	return nil
}

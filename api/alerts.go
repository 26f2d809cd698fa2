package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// What a client may ask for and send.
const (
	defaultLimit = 1_000
	maxLimit     = 100_000
	maxBody      = 64 << 10
	// patience is how long a client waits for an engine that catches up, or for
	// the answer to an action.
	patience = 15 * time.Second
)

// desk is the part of the API that is about alerts.
type desk struct{ engine *engine.Engine }

func alertRoutes(e *engine.Engine) (out []access.Route) {
	d := desk{e}
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v1/alerts":                 d.list,
		"GET /api/v1/alerts/{id}":            d.show,
		"GET /api/v1/alerts/{id}/history":    d.history,
		"GET /api/v1/alerts/{id}/deliveries": d.deliveries,
		"POST /api/v1/alerts/{id}/{do}":      d.act,
		"GET /api/v1/silences":               d.silences,
		"POST /api/v1/silences":              d.silence,
		"DELETE /api/v1/silences/{id}":       d.unsilence,
	} {
		out = append(out, access.Route{Pattern: pattern, Action: readOr(pattern, access.Operate), Handler: atDesk(e, orRefuse(serve))})
	}
	return out
}

// readOr is what a route does that only looks, or else change.
func readOr(pattern string, change access.Action) access.Action {
	if strings.HasPrefix(pattern, "GET ") {
		return access.Read
	}
	return change
}

// orRefuse serves by a function whose error is the answer.
func orRefuse(serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return orRefuseAbove(maxBody, serve)
}

// orRefuseAbove takes bodies of at most so many bytes.
func orRefuseAbove(most int64, serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, most)
		if err := serve(w, r.WithContext(ctx)); err != nil {
			refuse(w, err)
		}
	}
}

// badRequest is the error of what a client has sent.
type badRequest struct{ error }

func (e badRequest) Unwrap() error { return e.error }

func wrong(format string, args ...any) error { return badRequest{fmt.Errorf(format, args...)} }

// refuse answers with what is wrong.
func refuse(w http.ResponseWriter, err error) {
	refusalHeaders(w, err)
	refused, _ := access.AsRefused(err)
	status := statusOf(err)
	body := map[string]any{"error": err.Error()}
	conflict, _ := errors.AsType[*engine.ConflictError](err)
	switch {
	case refused != nil:
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "2")
	case status == http.StatusRequestTimeout:
		body["error"] = "the body came too slowly"
	case status == http.StatusAccepted:
		body = map[string]any{"pending": err.Error()}
	case conflict != nil:
		if conflict.By != "" {
			body["by"] = conflict.By
		}
		if !conflict.At.IsZero() {
			body["at"] = conflict.At.UTC()
		}
	}
	answer(w, status, body)
}

// statusOf is the HTTP status of what is wrong.
func statusOf(err error) int {
	refused, _ := access.AsRefused(err)
	_, conflict := errors.AsType[*engine.ConflictError](err)
	_, bad := errors.AsType[badRequest](err)
	_, long := errors.AsType[*http.MaxBytesError](err)
	switch {
	case refused != nil:
		return refused.Status()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	case conflict, errors.Is(err, engine.ErrExpected):
		return http.StatusConflict
	case long:
		return http.StatusRequestEntityTooLarge
	case bad, errors.Is(err, engine.ErrAction):
		return http.StatusBadRequest
	case errors.Is(err, engine.ErrRules):
		return http.StatusUnprocessableEntity
	case errors.Is(err, engine.ErrNoAlert), errors.Is(err, engine.ErrNoSilence), errors.Is(err, engine.ErrNoLetter), errors.Is(err, engine.ErrNoInteraction), errors.Is(err, engine.ErrNoRuleset), errors.Is(err, engine.ErrNoSubscription):
		return http.StatusNotFound
	case errors.Is(err, engine.ErrUnanswered):
		return http.StatusAccepted
	}
	return http.StatusServiceUnavailable
}

// write answers with JSON as it is.
func write(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n')) //nolint:errcheck // the client is gone
	return nil
}

// question is a query for alerts.
type question struct {
	filter alerts.Matchers
	limit  int
	closed bool
}

// shorthands are the parameters that stand for a matcher.
var shorthands = []string{"severity", "rule", "twin", "status", "interaction"}

func readQuestion(query url.Values) (question, error) {
	q := question{limit: defaultLimit}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			if err := q.read(name, value); err != nil {
				return q, wrong("%s: %w", name, err)
			}
		}
	}
	return q, nil
}

func (q *question) read(name, value string) (err error) {
	switch {
	case name == "filter":
		return q.add(value)
	case slices.Contains(shorthands, name):
		return q.add(name + "=" + strconv.Quote(value))
	case name == "closed":
		if q.closed, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("got %q; want true or false", value)
		}
	case name == "limit":
		if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > maxLimit {
			return fmt.Errorf("got %q; want 1 to %d", value, maxLimit)
		}
	default:
		return fmt.Errorf("no such parameter%s", strictjson.DidYouMean(name, append([]string{"filter", "limit", "closed"}, shorthands...)))
	}
	return nil
}

func (q *question) add(text string) error {
	m, err := alerts.ParseMatcher(text)
	q.filter = append(q.filter, m)
	return err
}

// list gives the open alerts, or the closed ones, that match.
func (d desk) list(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuestion(r.URL.Query())
	if err != nil {
		return err
	}
	var records []alerts.Record
	var total int
	if q.closed {
		records, total, err = d.engine.ClosedAlerts(r.Context(), q.filter, q.limit)
	} else {
		records, total = d.engine.Alerts(q.filter, q.limit)
	}
	if err != nil {
		return err
	}
	b := fmt.Appendf(nil, `{"total":%d,"alerts":[`, total)
	for i := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = records[i].AppendJSON(b)
	}
	return write(w, append(b, "]}"...))
}

func (d desk) show(w http.ResponseWriter, r *http.Request) error {
	record, err := d.engine.Alert(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return write(w, record.AppendJSON(nil))
}

func (d desk) history(w http.ResponseWriter, r *http.Request) error {
	events, err := d.engine.AlertHistory(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	b := []byte(`{"events":[`)
	for i := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = events[i].AppendJSON(b)
	}
	return write(w, append(b, "]}"...))
}

// deliveries gives what was tried to tell of the alert, the oldest first.
func (d desk) deliveries(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if _, err := d.engine.Alert(r.Context(), id); err != nil {
		return err
	}
	list, err := d.engine.Sent(r.Context(), engine.SentFilter{Alert: id})
	if err == nil {
		answer(w, http.StatusOK, map[string]any{"deliveries": append([]engine.Sent{}, list...)})
	}
	return err
}

// document reads the body, which may be empty.
func document(r *http.Request) (strictjson.Raw, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return strictjson.Raw{}, badRequest{err}
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		text = []byte("{}")
	}
	raw, err := strictjson.Parse("body", text)
	if err != nil {
		return raw, badRequest{err}
	}
	return raw, nil
}

// act does what a person asks.
func (d desk) act(w http.ResponseWriter, r *http.Request) error {
	raw, err := document(r)
	if err != nil {
		return err
	}
	a, err := readAction(raw, time.Now())
	if err != nil {
		return badRequest{err}
	}
	a.Do, a.ID = r.PathValue("do"), r.PathValue("id")
	record, err := d.engine.Act(r.Context(), a)
	if err != nil {
		return err
	}
	return write(w, record.AppendJSON(nil))
}

func readAction(raw strictjson.Raw, now time.Time) (rules.Action, error) {
	var doc struct {
		By      string         `json:"by"`
		Comment string         `json:"comment"`
		Until   strictjson.Raw `json:"until"`
		For     time.Duration  `json:"for"`
	}
	if err := raw.Decode(&doc); err != nil {
		return rules.Action{}, err
	}
	a := rules.Action{By: doc.By, Comment: doc.Comment}
	switch {
	case !doc.Until.IsZero() && doc.For != 0:
		return a, doc.Until.At.Errorf("both until and for; want one of them")
	case !doc.Until.IsZero():
		t, err := time.Parse(time.RFC3339, doc.Until.Str())
		if err != nil {
			return a, doc.Until.At.Errorf(`got %s; want a time such as "2026-11-22T10:00:00Z"`, doc.Until.Shown())
		}
		a.Until = t
	case doc.For != 0:
		a.Until = now.Add(doc.For).UTC()
	}
	return a, nil
}

// silences gives all of them, each with whether it is pending, active or expired.
func (d desk) silences(w http.ResponseWriter, _ *http.Request) error {
	now := time.Now()
	b := []byte(`{"silences":[`)
	for i, s := range d.engine.Silences() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSilence(b, &s, now)
	}
	return write(w, append(b, "]}"...))
}

func appendSilence(b []byte, s *alerts.Silence, now time.Time) []byte {
	status := "active"
	switch {
	case s.Expired(now):
		status = "expired"
	case now.Before(s.StartsAt):
		status = "pending"
	}
	b = s.AppendJSON(b)
	return append(append(append(b[:len(b)-1], `,"status":"`...), status...), `"}`...)
}

func (d desk) silence(w http.ResponseWriter, r *http.Request) error {
	raw, err := document(r)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	s, err := alerts.DecodeSilence(raw, now)
	if err != nil {
		return badRequest{err}
	}
	if s.EndedBy != "" {
		return wrong("endedBy is written when somebody ends it; want it left out")
	}
	if s.Expired(now) {
		return wrong("endsAt is %s, which is over; want a time to come", s.EndsAt.UTC().Format(time.RFC3339))
	}
	if s, err = d.engine.PutSilence(r.Context(), s); err != nil {
		return err
	}
	return write(w, appendSilence(nil, &s, now))
}

func (d desk) unsilence(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for name := range query {
		if name != "by" {
			return wrong("%s: no such parameter; want by, who ends it", name)
		}
	}
	s, err := d.engine.ExpireSilence(r.Context(), r.PathValue("id"), query.Get("by"))
	if err != nil {
		return err
	}
	return write(w, appendSilence(nil, &s, time.Now()))
}

// Package resolver serves the documents of users, agents and twins, and takes
// those that their owners register: the two routes of an IOTICS resolver.
package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"tocsin.internal/api/access"
	"tocsin.internal/identity"
	"tocsin.internal/internal/did"
)

// Store keeps the tokens of documents.
type Store interface {
	// Document gives the token of a DID's document; "" for none.
	Document(ctx context.Context, id string) (string, error)
	// EditDocument keeps what edit makes of the token that is there, and asks again
	// when somebody else was faster.
	EditDocument(ctx context.Context, id string, edit func(there string) (string, error)) error
}

// Options say what a resolver works with.
type Options struct {
	Store   Store
	Now     func() time.Time
	Changed func(id string) // told of every DID that has a new document
}

const (
	// registrations a second, and at once, that a worker takes: anybody may
	// register, and every one costs signatures and room.
	perSecond = 200
	burst     = 1000
	patience  = 15 * time.Second
)

// server answers the routes.
type server struct {
	Options
	limit *rate.Limiter
}

// Routes are GET /1.0/discover/{did} and POST /1.0/register.
func Routes(o Options) []access.Route {
	s := &server{o, rate.NewLimiter(perSecond, burst)}
	return []access.Route{
		{Pattern: "GET /1.0/discover/{did}", Action: access.Open, Handler: within(s.discover)},
		{Pattern: "POST /1.0/register", Action: access.Register, Handler: within(s.register)},
	}
}

// within serves by a function that has its time.
func within(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		serve(w, r.WithContext(ctx))
	})
}

func (s *server) discover(w http.ResponseWriter, r *http.Request) {
	id, _, _ := strings.Cut(r.PathValue("did"), "#") // the document of DID#name is that of the DID
	if !did.Valid(id) {
		answer(w, http.StatusNotFound, map[string]string{"error": "no DID"})
		return
	}
	token, err := s.Store.Document(r.Context(), id)
	switch {
	case err != nil:
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})
	case token == "":
		answer(w, http.StatusNotFound, map[string]string{"error": "no document of " + id})
	default:
		answer(w, http.StatusOK, map[string]string{"token": token})
	}
}

// errNot wraps what is wrong with what somebody registers.
type errNot struct{ error }

func (s *server) register(w http.ResponseWriter, r *http.Request) {
	if !s.limit.AllowN(s.Now(), 1) {
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusTooManyRequests, map[string]string{"error": "too many registrations; try again in a second"})
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, identity.MaxDocumentToken))
	if err != nil {
		status := http.StatusBadRequest
		if _, long := errors.AsType[*http.MaxBytesError](err); long {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, map[string]string{"error": err.Error()})
		return
	}
	token := strings.TrimSpace(string(text))
	d, err := identity.ParseDocument(token)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	access.Note(r.Context(), d.ID)
	err = s.Store.EditDocument(r.Context(), d.ID, func(there string) (string, error) {
		if _, err := identity.Registered(token, there, s.Now()); err != nil {
			return "", errNot{err}
		}
		return token, nil
	})
	if err != nil {
		answer(w, statusOf(err), map[string]string{"error": err.Error()})
		return
	}
	s.Changed(d.ID)
	answer(w, http.StatusOK, map[string]string{"id": d.ID})
}

func (e errNot) Unwrap() error { return e.error }

func statusOf(err error) int {
	_, not := errors.AsType[errNot](err)
	switch {
	case errors.Is(err, identity.ErrStale):
		return http.StatusConflict
	case not:
		return http.StatusForbidden
	}
	return http.StatusServiceUnavailable
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the client is gone
}

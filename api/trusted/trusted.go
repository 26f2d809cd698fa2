// Package trusted is what the ways in of Trusted Twin have in common: how a body
// is read, how an answer and an error look, and who asks.
package trusted

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/google/uuid"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/internal/strictjson"
)

// The subcodes of errors, as trustedtwin.com documents them; those that end in 00
// are ours, by the status.
const (
	QuotaViolation       = "400141"
	InvalidCharacters    = "400314"
	IdempotencyViolation = "400358"
	NotJSON              = "400415"
	Invalid              = "400400" // a value that cannot be
	NotAuthenticated     = "401100"
	Forbidden            = "403100"
	NotFound             = "404100"
	MethodNotAllowed     = "405100"
	TooMany              = "429100"
	Failed               = "500100"
	Unavailable          = "503100"
)

// MaxBody is how many bytes the body of a request may have.
const MaxBody = 64 << 10

// Error is an answer that says no.
type Error struct {
	Status      int
	Subcode     string
	Description string
}

func (e *Error) Error() string { return e.Description }

// Errorf is the error of a request that cannot be granted, 400 with the subcode.
func Errorf(subcode, format string, args ...any) error {
	return &Error{http.StatusBadRequest, subcode, fmt.Sprintf(format, args...)}
}

// Missing is the error of something that is not there, or of which the caller is
// not to know whether it is.
func Missing(format string, args ...any) error {
	return &Error{http.StatusNotFound, NotFound, fmt.Sprintf(format, args...)}
}

// Serve makes a handler of what answers with a status and a value or with an
// error, which refusal words for the client; the value nil is an empty object.
func Serve(refusal func(error) error, f func(r *http.Request) (status int, answer any, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, v, err := f(r)
		if err != nil {
			Refuse(w, r, refusal(err))
			return
		}
		if v == nil {
			v = struct{}{}
		}
		answer(w, status, v)
	})
}

// subcodes are those of refusals.
var subcodes = map[access.Code]string{
	access.Absent: NotFound, access.Denied: Forbidden, access.Exhausted: TooMany, access.Unsupported: MethodNotAllowed,
	access.Unavailable: Unavailable, access.Unauthenticated: NotAuthenticated,
}

// Refuse answers with an error: {"subcode", "trace", "description"}. It is the
// Refuse of an [access.Route].
func Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	e := &Error{http.StatusInternalServerError, Failed, "the engine could not do it; its log says why"}
	own, is := errors.AsType[*Error](err)
	refused, denied := access.AsRefused(err)
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case is:
		e = own
	case denied:
		e = &Error{refused.Status(), cmp.Or(subcodes[refused.Code], Forbidden), refused.Why}
	case large:
		e = &Error{http.StatusBadRequest, QuotaViolation, fmt.Sprintf("a body of more than %d bytes", MaxBody)}
	}
	answer(w, e.Status, struct {
		Subcode     string `json:"subcode"`
		Trace       string `json:"trace"`
		Description string `json:"description"`
	}{e.Subcode, uuid.NewString(), e.Description})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client has gone
}

// Read reads the body of a request strictly into v; an empty body is an empty object.
func Read(r *http.Request, v any) (strictjson.Raw, error) {
	text, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return strictjson.Raw{}, err
	case len(text) == 0:
		text = []byte("{}")
	case !utf8.Valid(text):
		return strictjson.Raw{}, Errorf(InvalidCharacters, "the body is not UTF-8")
	}
	raw, err := strictjson.Parse("body", text)
	if err != nil {
		return raw, Errorf(NotJSON, "%v", err)
	}
	if err := raw.Decode(v); err != nil {
		return raw, Errorf(Invalid, "%v", err)
	}
	return raw, nil
}

// Actor is who asks, as an account, a user and a role: those of its secret, or,
// where it has none, of the own account.
func Actor(ctx context.Context) (account, user, role string) {
	c := access.From(ctx)
	switch {
	case c.Account != "":
		return c.Account, c.User, c.Role
	case c == access.Anybody:
		return accounts.Own(), accounts.Administrator(accounts.Own()), accounts.SuperAdmin(accounts.Own())
	case c.Everybody():
		role = accounts.SuperAdmin(accounts.Own())
	}
	return accounts.Own(), accounts.OwnUser(c.Name), role
}

// Routes are routes at the root of the API: each with and without a slash at the
// end of its path, answered at the desk, and refused as clients of Trusted Twin
// read it.
func Routes(routes ...access.Route) []access.Route {
	var out []access.Route
	for _, r := range routes {
		r.Refuse, r.MaxBody = Refuse, MaxBody
		r.Desk = func(*http.Request) bool { return true }
		out = append(out, r)
		r.Pattern += Slash
		out = append(out, r)
	}
	return out
}

// Slash is what the pattern of a route ends with that has a slash at its end.
const Slash = "/{$}"

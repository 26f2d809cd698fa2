// Package access decides who may do what: the one place for REST, STOMP and
// server-sent events.
package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"tocsin.internal/accounts"
)

// Action is what somebody wants to do: one of the operations of package accounts.
type Action string

// The actions.
const (
	Open     Action = "open"     // what anybody may ask, who has shown nothing: health, discovery
	Register Action = "register" // give a DID a document: who may says the signature on it, not a token
	Read     Action = "read"     // look at twins, samples, alerts and rules, and follow them
	Share    Action = "share"    // share samples on a feed of a twin
	Send     Action = "send"     // send a message to an input of a twin
	Control  Action = "control"  // make, change and delete a twin
	Operate  Action = "operate"  // act on alerts, silences and dead letters
	Author   Action = "author"   // change rules

	Redeem Action = "create_user_secret" // turn a PIN into a secret: who may says the PIN
)

// Tokenless says whether anybody may, who has shown nothing.
func (a Action) Tokenless() bool { return a == Open || a == Register || a == Redeem }

// Caller is who asks.
type Caller struct {
	Name    string    // for logs and the audit: of the key, or the DID of the user
	Agent   string    // the DID that signed for the user; "" without DIDs
	Actions []Action  // nil: all
	Twins   []string  // patterns of the twins that it may share on, send to and control, in which * stands for any text; nil: all
	Expires time.Time // from when on it has to show something new; zero: never

	// Who it is among the recipients of stickers: UUIDs. "" is nobody: somebody
	// with no account sees none, unless it is [Caller.Everybody].
	Account, User, Role string
}

// Everybody says whether the caller stands for the whole installation: it is not
// one of an account, and what is meant for some only is not kept from it.
func (c *Caller) Everybody() bool { return c.Account == "" && c.Actions == nil }

// Settle lets somebody who is known by a name and built-in roles act in the own
// account as a user that follows from the name; not those who may do everything.
func (c *Caller) Settle(roles []string) {
	if c.Actions != nil {
		c.Account, c.User, c.Role = accounts.Own(), accounts.OwnUser(c.Name), accounts.OwnRole(roles)
	}
}

// Reaches says whether a twin is among those that the caller may change.
func (c *Caller) Reaches(twin string) bool {
	return c.Twins == nil || slices.ContainsFunc(c.Twins, func(p string) bool { return matches(p, twin) })
}

// Among says whether the caller is one of these users, roles or accounts.
func (c *Caller) Among(ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		return id != "" && (id == c.User || id == c.Role || id == c.Account)
	})
}

// Recipients are the ids of which one has to be among a sticker's recipients for the
// caller to be told of it; nil: it is told of all. Keys and DIDs, whose roles let them
// follow everything else there is, follow all stickers too.
func (c *Caller) Recipients() []string {
	if c.Account == "" || c.User == accounts.OwnUser(c.Name) {
		return nil
	}
	return slices.DeleteFunc([]string{c.User, c.Role, c.Account}, func(id string) bool { return id == "" })
}

// StillMay says why somebody may not go on with what it follows, by what is known of
// the same token now: nil where it may do the same, and is among the same recipients.
func (c *Caller) StillMay(now *Caller) error {
	if (c.Actions == nil) != (now.Actions == nil) || !slices.Equal(c.Actions, now.Actions) || !slices.Equal(c.Recipients(), now.Recipients()) {
		return Unknown("what you may do has changed; connect again")
	}
	return nil
}

// may says whether an action is among the caller's.
func (c *Caller) may(a Action) bool {
	return a.Tokenless() || c.Actions == nil || slices.Contains(c.Actions, a)
}

// Refused says why somebody is refused.
type Refused struct {
	Code  Code
	Why   string
	After time.Duration // for how long it is no use to ask again; 0: not known

	Expired bool // what was shown held until its time was over
}

// Code is that of a gRPC status, which IOTICS clients look at.
type Code int

// The codes of refusals.
const (
	Absent          Code = 5  // there is nothing at the path
	Denied          Code = 7  // known, and may not
	Exhausted       Code = 8  // asks more often than it may
	Unsupported     Code = 12 // there is nothing at the path by this method
	Unavailable     Code = 14 // the server stops, or has no room
	Unauthenticated Code = 16 // not known: shows nothing, or what does not hold, or no longer
)

var statuses = map[Code]int{
	Absent:          http.StatusNotFound,
	Denied:          http.StatusForbidden,
	Exhausted:       http.StatusTooManyRequests,
	Unsupported:     http.StatusMethodNotAllowed,
	Unavailable:     http.StatusServiceUnavailable,
	Unauthenticated: http.StatusUnauthorized,
}

func (r *Refused) Error() string { return r.Why }

// Status is the HTTP status of the refusal.
func (r *Refused) Status() int {
	if status, ok := statuses[r.Code]; ok {
		return status
	}
	return http.StatusForbidden
}

// Unknown is the refusal of somebody who is not known.
func Unknown(format string, args ...any) error {
	return &Refused{Code: Unauthenticated, Why: fmt.Sprintf(format, args...)}
}

// Deny is the refusal of somebody who may not.
func Deny(format string, args ...any) error {
	return &Refused{Code: Denied, Why: fmt.Sprintf(format, args...)}
}

// AsRefused is the refusal that err is or wraps.
func AsRefused(err error) (*Refused, bool) { return errors.AsType[*Refused](err) }

// Route is a way in, and what it takes to use it.
type Route struct {
	Pattern string // "METHOD /path", as of http.ServeMux
	Action  Action
	Handler http.Handler

	// Refuse answers with a refusal in the form that clients of these routes read;
	// nil: {"error": …}. The headers that belong to a refusal are set before. It
	// also answers at paths where there is nothing and whose first segment is that
	// of this route.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)

	// MaxBody is how many bytes the body of a request may have; 0: [MaxBody].
	MaxBody int64

	// QueryToken lets the token come in the parameter [TokenParameter]: a browser
	// can send no header where it opens a stream of events.
	QueryToken bool

	// Unlimited routes are not counted by the limits of rate: platforms ask there
	// whether the process lives.
	Unlimited bool

	// Desk says whether only the worker at the desk can answer a request; nil:
	// any worker can answer all.
	Desk func(*http.Request) bool
}

// TokenParameter is the parameter of a query that has the token, where it may.
const TokenParameter = "access_token"

// MaxBody is how many bytes a request may have where its route does not say.
const MaxBody = 1 << 20

type callerKey struct{}

// With is ctx with the caller.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From is the caller of With; somebody without a name who may nothing, when there is none.
func From(ctx context.Context) *Caller {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok {
		return c
	}
	return &Caller{Actions: []Action{}}
}

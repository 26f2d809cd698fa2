// Package subscriptions is who is told of a topic by a webhook: the life of a
// subscription, what is posted to it, and when that is tried again. It knows no
// network and no clock.
package subscriptions

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// State is how far a subscription has come.
type State string

// The states.
const (
	Unconfirmed State = "unconfirmed" // its endpoint has not said that it wants it
	Confirmed   State = "confirmed"   // it is told
	Disabled    State = "disabled"    // its endpoint wants no more: it has answered 410
)

const (
	// Longest is how long a subscription holds at most, and unless less is asked for.
	Longest = 7 * 24 * time.Hour
	// Patience is how long one waits to be confirmed.
	Patience = 24 * time.Hour
	// MaxURL is how many bytes a callback URL may have.
	MaxURL = 512
)

// Subscription is who is told of a topic, and where. It is kept as JSON.
type Subscription struct {
	ID           string    `json:"id"` // of (account, user, topic, callback URL): they have one subscription
	Account      string    `json:"account"`
	User         string    `json:"user,omitempty"`
	Role         string    `json:"role,omitempty"`
	Everybody    bool      `json:"everybody,omitempty"` // it is told also of what is meant for some only
	Topic        string    `json:"topic"`
	CallbackURL  string    `json:"callbackUrl"`
	Base         string    `json:"base"` // of the URLs by which it is managed: scheme and host
	ClientSecret string    `json:"clientSecret,omitempty"`
	ServerSecret string    `json:"serverSecret,omitempty"`
	Secret       string    `json:"secret"` // of its token
	State        State     `json:"state"`
	Reason       string    `json:"reason,omitempty"` // why it is disabled
	Created      time.Time `json:"created"`          // or subscribed again, while it was not confirmed
	Confirmed    time.Time `json:"confirmed,omitzero"`
	Expires      time.Time `json:"expires"`
}

// Subscriber is who subscribes.
type Subscriber struct {
	Account, User, Role string
	Everybody           bool   // what is meant for some only is not kept from it
	Base                string // under which it reaches the API: scheme and host
}

// Request is what is asked for.
type Request struct {
	CallbackURL  string
	Topic        string
	ClientSecret string
	Expires      time.Duration // from now on
}

// ErrRequest is what the error wraps when a request cannot be granted.
var ErrRequest = errors.New("no such subscription can be")

func wrong(format string, args ...any) error {
	return &requestError{fmt.Sprintf(format, args...)}
}

// requestError says what is wrong with a request.
type requestError struct{ what string }

func (e *requestError) Error() string { return e.what }

// Is makes it an ErrRequest.
func (e *requestError) Is(target error) bool { return target == ErrRequest }

var (
	topicForm  = regexp.MustCompile(`^[0-9A-Za-z._-]{1,127}$`)
	secretForm = regexp.MustCompile(`^[0-9A-Za-z_-]{16}$`)
)

// Check says what is wrong with a request, except where its URL leads to. The
// error wraps ErrRequest.
func (r *Request) Check() error {
	switch {
	case r.CallbackURL == "":
		return wrong("callback_url is missing")
	case len(r.CallbackURL) > MaxURL:
		return wrong("callback_url has %d bytes; want at most %d", len(r.CallbackURL), MaxURL)
	case !topicForm.MatchString(r.Topic):
		return wrong("topic %.100q; want 1 to 127 of 0-9 A-Z a-z . _ -", r.Topic)
	}
	return r.checkRenewal()
}

// checkRenewal says what is wrong with what may be asked for later, too.
func (r *Request) checkRenewal() error {
	switch {
	case r.ClientSecret != "" && !secretForm.MatchString(r.ClientSecret):
		return wrong("client_secret: want 16 characters of the URL-safe base64")
	case r.Expires < time.Second || r.Expires > Longest:
		return wrong("expires: want 1 to %d seconds", int(Longest.Seconds()))
	}
	return nil
}

// names are those of what subscriptions are called by.
var names = uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:subscriptions"))

// IDOf is the id of who subscribes a URL to a topic.
func IDOf(who Subscriber, r *Request) string {
	text, _ := json.Marshal([]string{who.Account, who.User, r.Topic, r.CallbackURL}) //nolint:errchkjson // texts are always JSON
	return uuid.NewSHA1(names, text).String()
}

// Subscribe is what a request makes of the subscription that is there under its
// id, nil for none: a new one, or that one for longer. One that is not confirmed,
// and one that is disabled, has to be confirmed.
func Subscribe(there *Subscription, who Subscriber, r *Request, now time.Time) *Subscription {
	s := &Subscription{
		ID: IDOf(who, r), Account: who.Account, User: who.User, Topic: r.Topic, CallbackURL: r.CallbackURL,
		Secret: newToken(), State: Unconfirmed, Created: now,
	}
	if there != nil && there.Alive(now) && there.State == Confirmed {
		*s = *there
	}
	s.Role, s.Everybody, s.Base = who.Role, who.Everybody, who.Base
	s.renew(r, now)
	return s
}

// renew lets the subscription hold as long as is asked for, with new secrets where
// one is given.
func (s *Subscription) renew(r *Request, now time.Time) {
	s.Expires = now.Add(r.Expires)
	if r.ClientSecret != "" {
		s.ClientSecret, s.ServerSecret = r.ClientSecret, newServerSecret()
	}
}

// Confirm is the subscription when its endpoint has said yes.
func (s *Subscription) Confirm(now time.Time) *Subscription {
	out := *s
	if out.State == Unconfirmed {
		out.State, out.Confirmed = Confirmed, now
	}
	return &out
}

// Refresh is the subscription for as long as is asked for. The error wraps ErrRequest.
func (s *Subscription) Refresh(r *Request, now time.Time) (*Subscription, error) {
	if err := r.checkRenewal(); err != nil {
		return nil, err
	}
	out := *s
	out.renew(r, now)
	return &out, nil
}

// Disable is the subscription when its endpoint wants no more.
func (s *Subscription) Disable(reason string) *Subscription {
	out := *s
	out.State, out.Reason = Disabled, reason
	return &out
}

// Alive says whether there still is such a subscription.
func (s *Subscription) Alive(now time.Time) bool { return now.Before(s.End()) }

// End is when the subscription goes.
func (s *Subscription) End() time.Time {
	if patient := s.Created.Add(Patience); s.State == Unconfirmed && patient.Before(s.Expires) {
		return patient
	}
	return s.Expires
}

// Takes says whether a subscription that is confirmed is told of a notice: of its
// topic, in its account or meant for it, and not meant for others only.
func (s *Subscription) Takes(n *Notice) bool {
	switch {
	case s.Topic != n.Topic:
		return false
	case n.Account != s.Account:
		return s.among(n.Recipients) || s.among(n.Also)
	}
	return n.Recipients == nil || s.Everybody || s.among(n.Recipients)
}

// among says whether some users, roles or accounts are who has subscribed.
func (s *Subscription) among(ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		return id != "" && (id == s.Account || id == s.User || id == s.Role)
	})
}

// Encode is the subscription as it is kept.
func (s *Subscription) Encode() string {
	text, _ := json.Marshal(s) //nolint:errchkjson // it has texts and times only
	return string(text)
}

// Decode reads what Encode has made.
func Decode(text string) (*Subscription, error) {
	var s Subscription
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("subscription: %w", err)
	}
	return &s, nil
}

// newServerSecret is what signs for a subscription, beside its client's secret.
func newServerSecret() string {
	b := make([]byte, 24)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// newToken is what nobody can guess of a token.
func newToken() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// A token is the base64 of four parts with ___ between them, of which the second
// is the account: Trusted Twin's clients read it there. Its length and its
// alphabet are such that neither padding nor + and / come up.
const (
	tokenForm = "1"
	tokenGap  = "___"
	maxToken  = 512
)

// Token is what shows that somebody is the subscription's endpoint.
func (s *Subscription) Token() string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Join([]string{tokenForm, s.Account, s.ID, s.Secret}, tokenGap)))
}

// Claim is what a token says. Only [Subscription.Proves] knows whether it is so.
type Claim struct{ Account, ID, secret string }

// ReadToken reads a token, with padding or without; false when it is none.
func ReadToken(token string) (Claim, bool) {
	if len(token) > maxToken {
		return Claim{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(token), "="))
	parts := strings.Split(string(text), tokenGap)
	if err != nil || len(parts) != 4 || parts[0] != tokenForm || parts[2] == "" || parts[3] == "" {
		return Claim{}, false
	}
	return Claim{Account: parts[1], ID: parts[2], secret: parts[3]}, true
}

// Proves says whether a claim is that of the subscription. It takes as long
// whatever the secret is.
func (s *Subscription) Proves(c Claim) bool {
	same := subtle.ConstantTimeCompare([]byte(s.Secret), []byte(c.secret)) == 1
	return same && cmp.Or(cmp.Compare(s.ID, c.ID), cmp.Compare(s.Account, c.Account)) == 0
}

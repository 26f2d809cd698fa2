package access

import (
	"context"
	"strings"
	"sync"
	"time"

	"tocsin.internal/accounts"
)

// Entry is a line of the audit log: that somebody has changed something, or has
// not been let. It never holds a token.
type Entry struct {
	At      time.Time     // when it was asked
	Caller  string        // who: see [Caller]; "" when not known
	Agent   string        // the DID that signed for them, or ""
	From    string        // address and port
	Method  string        // of HTTP, or the command of a STOMP frame
	Path    string        // of HTTP without the query, or the destination of a STOMP frame
	Action  Action        // what they wanted
	Twin    string        // what it was done to, where that is one twin that is known
	Status  int           // of HTTP, or what it would be
	Refused string        // why they were not let; "" when they were
	Took    time.Duration // until it was answered
}

// Audit takes the entries of everything that changes something.
type Audit func(Entry)

// Changes says whether an action changes something, so that it is recorded.
func (a Action) Changes() bool { return a != Open && a != Read && !accounts.Shows(string(a)) }

// Changes says whether requests of a route are recorded. A GET that only an
// operator may send looks all the same; among those of accounts some confirm.
func (r Route) Changes() bool {
	return r.Action.Changes() && !(r.Action == Operate && strings.HasPrefix(r.Pattern, "GET "))
}

// subject is the twin that somebody has asked about within a request.
type subject struct {
	sync.Mutex
	twin string
}

type subjectKey struct{}

// Watched is ctx in which [Guard.May] notes the twin that it decides about; twin
// gives the last one, or "".
func Watched(ctx context.Context) (watched context.Context, twin func() string) {
	s := new(subject)
	return context.WithValue(ctx, subjectKey{}, s), func() string {
		s.Lock()
		defer s.Unlock()
		return s.twin
	}
}

// Note keeps what is changed, where somebody watches: the id of a twin, or another DID.
func Note(ctx context.Context, twin string) {
	if s, ok := ctx.Value(subjectKey{}).(*subject); ok && twin != "" {
		s.Lock()
		defer s.Unlock()
		s.twin = twin
	}
}

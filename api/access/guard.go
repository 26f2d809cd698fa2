package access

import (
	"context"
	"strings"
	"time"

	"tocsin.internal/accounts"
)

// Guard knows who is who, and decides.
type Guard struct {
	// Identify says who shows a token; nil: nobody has to show one, and
	// everybody may do everything.
	Identify func(ctx context.Context, token string) (*Caller, error)

	// Anybody lets everybody do everything who shows no secret of a user (mode
	// none): who shows one is that user.
	Anybody bool

	// Controls says whether the agent of a caller has been given control of a
	// twin; nil: roles alone decide.
	Controls func(ctx context.Context, c *Caller, twin string) error
}

// Anybody is who asks where nobody has to say who they are.
var Anybody = &Caller{Name: "anybody"}

// Bearer is the token that a header Authorization shows, with the scheme Bearer or,
// as clients of Trusted Twin do, with none.
func Bearer(authorization string) string {
	scheme, token, two := strings.Cut(strings.TrimSpace(authorization), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return strings.TrimSpace(token)
	case two:
		return ""
	}
	return scheme
}

// Open says whether nobody has to show who they are.
func (g *Guard) Open() bool { return g == nil || g.Identify == nil || g.Anybody }

// Caller is who shows the token: "" where none was shown.
func (g *Guard) Caller(ctx context.Context, token string) (*Caller, error) {
	if g.Open() && (g == nil || g.Identify == nil || !strings.HasPrefix(token, accounts.SecretPrefix)) {
		return Anybody, nil
	}
	if token == "" {
		return nil, Unknown("no token; want the header Authorization: Bearer TOKEN")
	}
	return g.Identify(ctx, token)
}

// LookAgain is how often somebody who follows something has to be looked at again,
// by the token that was shown; 0: not before it expires. What users may do ends
// soon after it was taken from them.
func LookAgain(token string) time.Duration {
	if strings.HasPrefix(token, accounts.SecretPrefix) {
		return time.Second / 2
	}
	return 0
}

// May says whether a caller may do something, to a twin where it is done to one;
// else its error is a [Refused].
func (g *Guard) May(ctx context.Context, c *Caller, a Action, twin string) error {
	Note(ctx, twin)
	switch {
	case !c.may(a):
		return Deny("%s may not %s", c.Name, a)
	case twin == "" || !changes(a):
		return nil
	case !c.Reaches(twin):
		return Deny("%s may not %s twin %q", c.Name, a, twin)
	case a != Send:
		return g.Controlled(ctx, c, twin)
	}
	return nil
}

// Controlled says whether a caller's agent has been given control of a twin, where one
// has to be; else its error is a [Refused].
func (g *Guard) Controlled(ctx context.Context, c *Caller, twin string) error {
	if g == nil || g.Controls == nil {
		return nil
	}
	return g.Controls(ctx, c, twin)
}

// changes says whether an action does something to a twin.
func changes(a Action) bool { return a == Share || a == Send || a == Control }

// matches compares a twin's id with a pattern, in which * stands for any text.
func matches(pattern, twin string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(twin, parts[0])
	if len(parts) == 1 || !ok {
		return ok && rest == ""
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, parts[last])
}

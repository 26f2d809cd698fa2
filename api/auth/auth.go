// Package auth says who shows a token: an API key of a file, a user of an account,
// or an agent whose documents let it act for a user.
package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/keys"
	"tocsin.internal/identity"
	"tocsin.internal/internal/did"
)

// Options say whom to know.
type Options struct {
	Keys *keys.Ring // nil: no API keys
	DIDs *DIDs      // nil: no tokens of agents
	Now  func() time.Time

	// Users says who shows the secret of a user; nil: there are none.
	Users func(secret string) (who accounts.Identity, known bool, err error)
	// Anybody lets everybody do everything who shows no secret of a user.
	Anybody bool
}

// DIDs are the settings for tokens of agents.
type DIDs struct {
	// Find gives the token of a DID's document; its error wraps [did.ErrUnknown]
	// when there is none.
	Find     func(ctx context.Context, id string) (string, error)
	Audience string              // whom tokens are for; "*": anybody
	Roles    []string            // of users that are not in Users
	Users    map[string][]string // the roles of users, by their DIDs
}

// Auth knows who is who.
type Auth struct {
	keys      *keys.Ring
	dids      *didSettings
	users     func(secret string) (accounts.Identity, bool, error)
	anybody   bool
	now       func() time.Time
	documents *cache[*identity.Document]
	tokens    *cache[concluded[*access.Caller]]
	rights    *cache[concluded[struct{}]] // of agents to control twins
}

// concluded is what follows from documents, as long as these are what is known.
type concluded[V any] struct {
	value V
	from  []*identity.Document
}

// granted are roles, with their actions.
type granted struct {
	roles   []string
	actions []access.Action
}

func grant(roles []string) (granted, error) {
	actions, err := access.Actions(roles)
	return granted{roles, actions}, err
}

// didSettings are DIDs, with the actions of the roles.
type didSettings struct {
	find     func(ctx context.Context, id string) (string, error)
	audience string
	others   granted
	users    map[string]granted
}

// What is known from documents is looked up again after a while, so that what
// their owners revoke elsewhere ends soon.
const (
	keepFor      = 30 * time.Second
	freshFor     = time.Second // for which a no counts that follows from it
	maxDocuments = 100_000
	maxTokens    = 20_000
	maxRights    = 200_000
)

// New is the one who knows these.
func New(o Options) (*Auth, error) {
	a := &Auth{
		keys: o.Keys, users: o.Users, anybody: o.Anybody, now: o.Now, documents: newCache[*identity.Document](maxDocuments),
		tokens: newCache[concluded[*access.Caller]](maxTokens), rights: newCache[concluded[struct{}]](maxRights),
	}
	if o.DIDs == nil {
		return a, nil
	}
	a.dids = &didSettings{find: o.DIDs.Find, audience: o.DIDs.Audience, users: map[string]granted{}}
	var err error
	if a.dids.others, err = grant(o.DIDs.Roles); err != nil {
		return nil, err
	}
	for user, roles := range o.DIDs.Users {
		if a.dids.users[user], err = grant(roles); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Guard decides by what is known.
func (a *Auth) Guard() *access.Guard {
	g := &access.Guard{Identify: a.identify, Anybody: a.anybody}
	if a.dids != nil {
		g.Controls = a.controls
	}
	return g
}

// Forget forgets the document of a DID, and with it what was concluded from it.
func (a *Auth) Forget(id string) { a.documents.drop(id) }

func (a *Auth) identify(ctx context.Context, token string) (*access.Caller, error) {
	switch {
	case a.users != nil && strings.HasPrefix(token, accounts.SecretPrefix):
		return a.user(token)
	case a.keys != nil && strings.HasPrefix(token, keys.Prefix):
		return a.keys.Caller(token)
	case a.dids != nil:
		return a.agent(ctx, token)
	}
	return nil, access.Unknown("no such API key")
}

// user is who shows the secret of a user of an account.
func (a *Auth) user(secret string) (*access.Caller, error) {
	who, known, err := a.users(secret)
	switch {
	case err != nil:
		return nil, &access.Refused{Code: access.Unavailable, Why: err.Error()}
	case !known:
		return nil, access.Unknown("no such secret: wrong, revoked or expired")
	}
	c := &access.Caller{Name: strings.TrimSpace(who.Name + " " + who.User), Expires: who.Until, Account: who.Account, User: who.User, Role: who.Role}
	if who.Actions != nil {
		c.Actions = make([]access.Action, len(who.Actions))
		for i, name := range who.Actions {
			c.Actions[i] = access.Action(name)
		}
	}
	return c, nil
}

// agent is who shows the token of an agent.
func (a *Auth) agent(ctx context.Context, token string) (*access.Caller, error) {
	hash := sha256.Sum256([]byte(token))
	now := a.now()
	if c, ok := a.tokens.get(string(hash[:]), now); ok && a.current(c.from, now) {
		return c.value, nil
	}
	var claims identity.Claims
	from, err := a.asking(now, func(discover identity.Discover) (err error) {
		claims, err = identity.Verify(ctx, discover, token, a.dids.audience, now)
		return err
	})
	if err != nil {
		return nil, refusal(err, access.Unauthenticated, "token: ")
	}
	may, known := a.dids.users[claims.User]
	if !known {
		may = a.dids.others
	}
	c := &access.Caller{Name: claims.User, Agent: claims.Agent, Actions: may.actions, Expires: claims.Expires}
	c.Settle(may.roles)
	a.tokens.put(string(hash[:]), concluded[*access.Caller]{c, from}, claims.Expires)
	return c, nil
}

// controls says whether an agent controls a twin. API keys have their roles alone,
// and so have users who may do everything.
func (a *Auth) controls(ctx context.Context, c *access.Caller, twin string) error {
	if c.Agent == "" || c.Actions == nil {
		return nil
	}
	right, now := c.Agent+" "+twin, a.now()
	if r, ok := a.rights.get(right, now); ok && a.current(r.from, now) {
		return nil
	}
	from, err := a.asking(now, func(discover identity.Discover) error { return identity.Controls(ctx, discover, c.Agent, twin) })
	if err != nil {
		return refusal(err, access.Denied, "twin: ")
	}
	a.rights.put(right, concluded[struct{}]{from: from}, now.Add(keepFor))
	return nil
}

// current says whether these are the documents that are known.
func (a *Auth) current(from []*identity.Document, now time.Time) bool {
	for _, d := range from {
		if known, ok := a.documents.get(d.ID, now); !ok || known != d {
			return false
		}
	}
	return true
}

// asking asks something about documents, and gives those that were looked at. A
// no is asked about once more where some of them may have changed since they
// were looked up: the owner may have said yes in the meantime.
func (a *Auth) asking(now time.Time, ask func(identity.Discover) error) (from []*identity.Document, err error) {
	noting := func(ctx context.Context, id string) (*identity.Document, error) {
		d, err := a.discover(ctx, id)
		if err == nil {
			from = append(from, d)
		}
		return d, err
	}
	if err = ask(noting); err == nil {
		return from, nil
	}
	again := false
	for _, d := range from {
		again = a.documents.dropOld(d.ID, now.Add(keepFor-freshFor)) || again
	}
	if !again {
		return nil, err
	}
	from = nil
	err = ask(noting)
	return from, err
}

// discover is the document of a DID, as its owner has signed it.
func (a *Auth) discover(ctx context.Context, id string) (*identity.Document, error) {
	now := a.now()
	if d, ok := a.documents.get(id, now); ok {
		return d, nil
	}
	since := a.documents.since()
	token, err := a.dids.find(ctx, id)
	if err != nil {
		if !errors.Is(err, did.ErrUnknown) {
			err = unreachable{err}
		}
		return nil, err
	}
	d, err := identity.ParseDocument(token)
	if err == nil && d.ID != id {
		err = errors.New("the resolver gives the document of " + d.ID)
	}
	if err != nil {
		return nil, err
	}
	a.documents.putSince(id, d, now.Add(keepFor), since)
	return d, nil
}

// unreachable is the error of a resolver that cannot be asked now.
type unreachable struct{ error }

// refusal says why somebody is refused, or that it cannot be said now.
func refusal(err error, code access.Code, before string) error {
	if _, ok := errors.AsType[unreachable](err); ok {
		return &access.Refused{Code: access.Unavailable, Why: err.Error()}
	}
	return &access.Refused{Code: code, Why: before + err.Error(), Expired: errors.Is(err, identity.ErrExpired)}
}

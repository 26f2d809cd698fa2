package auth_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/auth"
	"tocsin.internal/api/keys"
	"tocsin.internal/identity"
	"tocsin.internal/internal/did"
)

var at = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// resolver keeps tokens of documents, and counts who asks.
type resolver struct {
	tokens map[string]string
	asked  int
	err    error
}

func (r *resolver) Discover(_ context.Context, id string) (string, error) {
	r.asked++
	if r.err != nil {
		return "", r.err
	}
	if token, ok := r.tokens[id]; ok {
		return token, nil
	}
	return "", did.ErrUnknown
}

func (r *resolver) Register(_ context.Context, token string) error {
	d, err := identity.ParseDocument(token)
	if err == nil {
		r.tokens[d.ID] = token
	}
	return err
}

// space is what the tutorial makes, with a guard of mode did.
type space struct {
	*resolver
	identity.Client
	who               *auth.Auth
	guard             *access.Guard
	now               time.Time
	user, agent, twin identity.Identity
	key               string // an API key
}

func newSpace(t *testing.T, change func(*auth.DIDs, *space)) *space {
	s := &space{resolver: &resolver{tokens: map[string]string{}}, now: at}
	s.Client = identity.Client{Resolver: s.resolver, Now: func() time.Time { return s.now }}
	secret := func(name string) identity.Secret {
		return identity.Secret{Seed: []byte(strings.Repeat("s", 16)), Name: name}
	}
	var err error
	s.user, s.agent, err = s.UserAndAgent(t.Context(), secret("user"), secret("agent"), "#AuthDeleg")
	require.NoError(t, err)
	s.twin, err = s.Twin(t.Context(), secret("twin"), s.agent, "#ControlDeleg")
	require.NoError(t, err)

	k, secretOf, err := keys.New("ci", []string{"author"}, nil, at, time.Time{})
	require.NoError(t, err)
	s.key = secretOf
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, keys.Write(path, []keys.Key{k}))
	now := func() time.Time { return s.now }
	ring, err := keys.Open(path, now, nil)
	require.NoError(t, err)
	o := auth.DIDs{Find: s.Discover, Audience: identity.DefaultAudience, Roles: []string{"member"}}
	if change != nil {
		change(&o, s)
	}
	s.who, err = auth.New(auth.Options{Keys: ring, DIDs: &o, Now: now})
	require.NoError(t, err)
	s.guard = s.who.Guard()
	s.asked = 0
	return s
}

func (s *space) token(t *testing.T) string {
	token, err := s.Token(s.agent, s.user.DID, time.Hour)
	require.NoError(t, err)
	return token
}

func TestAgents(t *testing.T) {
	s := newSpace(t, nil)
	token := s.token(t)
	c, err := s.guard.Caller(t.Context(), token)
	require.NoError(t, err)
	assert.Equal(t, s.user.DID, c.Name)
	assert.Equal(t, s.agent.Issuer(), c.Agent)
	assert.True(t, at.Add(time.Hour).Equal(c.Expires))
	for action, want := range map[access.Action]bool{access.Read: true, access.Control: true, access.Share: true, access.Author: false, access.Operate: false} {
		assert.Equal(t, want, s.guard.May(t.Context(), c, action, s.twin.DID) == nil, action)
	}
	require.Error(t, s.guard.May(t.Context(), c, access.Control, s.user.DID), "not its twin")
	require.Error(t, s.guard.May(t.Context(), c, access.Share, "machine_1"), "a twin without a document")
	require.NoError(t, s.guard.May(t.Context(), c, access.Read, "machine_1"))

	// What is known is not asked for again, until it is time to.
	asked := s.asked
	for range 100 {
		_, err = s.guard.Caller(t.Context(), token)
		require.NoError(t, err)
		require.NoError(t, s.guard.May(t.Context(), c, access.Share, s.twin.DID))
	}
	assert.Equal(t, asked, s.asked)
	s.now = at.Add(time.Minute)
	_, err = s.guard.Caller(t.Context(), token)
	require.NoError(t, err)
	assert.Greater(t, s.asked, asked)

	s.now = at.Add(time.Hour)
	_, err = s.guard.Caller(t.Context(), token)
	refusedAs(t, err, access.Unauthenticated, "token: expired at 2026-11-02T13:00:00Z")
	refused, _ := access.AsRefused(err)
	assert.True(t, refused.Expired)
}

func refusedAs(t *testing.T, err error, code access.Code, want string) {
	t.Helper()
	require.EqualError(t, err, want)
	refused, ok := access.AsRefused(err)
	require.True(t, ok)
	assert.Equal(t, code, refused.Code)
}

// A document that is registered here counts at once.
func TestForget(t *testing.T) {
	s := newSpace(t, nil)
	token := s.token(t)
	c, err := s.guard.Caller(t.Context(), token)
	require.NoError(t, err)
	require.NoError(t, s.guard.May(t.Context(), c, access.Control, s.twin.DID))
	require.NoError(t, s.Change(t.Context(), s.twin, func(d *identity.Document) { d.DelegateControl[0].Revoked = true }))
	require.NoError(t, s.guard.May(t.Context(), c, access.Control, s.twin.DID), "still as it is known")
	s.who.Forget(s.twin.DID)
	refusedAs(t, s.guard.May(t.Context(), c, access.Control, s.twin.DID), access.Denied,
		"twin: "+s.twin.DID+" has revoked delegation #ControlDeleg to "+s.agent.Issuer())
	require.NoError(t, s.Change(t.Context(), s.agent, func(d *identity.Document) { d.PublicKey[0].Revoked = true }))
	_, err = s.guard.Caller(t.Context(), token)
	require.NoError(t, err)
	s.who.Forget(s.agent.DID)
	_, err = s.guard.Caller(t.Context(), token)
	refusedAs(t, err, access.Unauthenticated, "token: key #agent-0 of "+s.agent.DID+" is revoked")
}

func TestResolverOutOfReach(t *testing.T) {
	s := newSpace(t, nil)
	s.err = errors.New("away")
	_, err := s.guard.Caller(t.Context(), s.token(t))
	require.Error(t, err)
	refused, ok := access.AsRefused(err)
	require.True(t, ok)
	assert.Equal(t, access.Unavailable, refused.Code, "who somebody is cannot be said now: that is no refusal for good")
	s.err = nil
	_, err = s.guard.Caller(t.Context(), s.token(t))
	require.NoError(t, err)
}

func TestUsersWithRoles(t *testing.T) {
	s := newSpace(t, func(o *auth.DIDs, s *space) {
		o.Roles, o.Users = nil, map[string][]string{s.user.DID: {"admin"}}
	})
	c, err := s.guard.Caller(t.Context(), s.token(t))
	require.NoError(t, err)
	require.NoError(t, s.guard.May(t.Context(), c, access.Author, ""))
	require.NoError(t, s.guard.May(t.Context(), c, access.Control, "machine_1"), "an admin may change every twin")
	token, err := s.Token(s.agent, s.agent.DID, time.Hour)
	require.NoError(t, err)
	c, err = s.guard.Caller(t.Context(), token)
	require.NoError(t, err)
	refusedAs(t, s.guard.May(t.Context(), c, access.Read, ""), access.Denied, s.agent.DID+" may not read")
}

func TestKeysBeside(t *testing.T) {
	s := newSpace(t, nil)
	c, err := s.guard.Caller(t.Context(), s.key)
	require.NoError(t, err)
	require.NoError(t, s.guard.May(t.Context(), c, access.Control, "machine_1"), "roles alone")
	_, err = s.guard.Caller(t.Context(), keys.Prefix+"x")
	refusedAs(t, err, access.Unauthenticated, "no such API key")
	_, err = s.guard.Caller(t.Context(), "")
	refusedAs(t, err, access.Unauthenticated, "no token; want the header Authorization: Bearer TOKEN")
	_, err = s.guard.Caller(t.Context(), strings.Repeat("x", 1<<20))
	refusedAs(t, err, access.Unauthenticated, "token: a token of 1048576 bytes; want at most 8192")
	assert.Zero(t, s.asked)
}

func TestModeToken(t *testing.T) {
	s := newSpace(t, nil)
	who, err := auth.New(auth.Options{Now: func() time.Time { return at }})
	require.NoError(t, err)
	_, err = who.Guard().Caller(t.Context(), s.token(t))
	refusedAs(t, err, access.Unauthenticated, "no such API key")
	assert.Nil(t, who.Guard().Controls)
}

func TestRolesThatAreNone(t *testing.T) {
	_, err := auth.New(auth.Options{DIDs: &auth.DIDs{Roles: []string{"root"}}})
	require.EqualError(t, err, `no role "root"`)
	_, err = auth.New(auth.Options{DIDs: &auth.DIDs{Users: map[string][]string{"x": {"root"}}}})
	require.EqualError(t, err, `no role "root"`)
}

// A resolver cannot pass one document for another.
func TestResolverThatLies(t *testing.T) {
	s := newSpace(t, nil)
	s.tokens[s.user.DID] = s.tokens[s.twin.DID]
	_, err := s.guard.Caller(t.Context(), s.token(t))
	require.ErrorContains(t, err, "the resolver gives the document of "+s.twin.DID)
}

// A yes of an owner counts soon, though the document from before is remembered; a
// no is not asked about again and again.
func TestNewDelegation(t *testing.T) {
	s := newSpace(t, nil)
	secret := identity.Secret{Seed: []byte(strings.Repeat("s", 16)), Name: "other"}
	other, err := s.Identity(t.Context(), secret, identity.Twin)
	require.NoError(t, err)
	c, err := s.guard.Caller(t.Context(), s.token(t))
	require.NoError(t, err)
	require.Error(t, s.guard.May(t.Context(), c, access.Control, other.DID))
	asked := s.asked
	for range 100 {
		require.Error(t, s.guard.May(t.Context(), c, access.Control, other.DID))
	}
	assert.Equal(t, asked, s.asked)
	require.NoError(t, s.Change(t.Context(), other, func(d *identity.Document) { d.DelegateTo(s.agent, &d.DelegateControl, "#c") }))
	s.now = at.Add(1001 * time.Millisecond)
	require.NoError(t, s.guard.May(t.Context(), c, access.Control, other.DID))
}

// The secrets of users are known in every mode, with what their roles allow.
func TestUsers(t *testing.T) {
	now := func() time.Time { return at }
	known := accounts.Identity{Account: "a", User: "u", Role: "r", Name: "meter", Actions: []string{"put_sticker"}, Until: at.Add(time.Hour)}
	var err error
	who, newErr := auth.New(auth.Options{Now: now, Users: func(secret string) (accounts.Identity, bool, error) {
		return known, secret == accounts.SecretPrefix+"right", err
	}})
	require.NoError(t, newErr)
	guard := who.Guard()
	c, callErr := guard.Caller(t.Context(), accounts.SecretPrefix+"right")
	require.NoError(t, callErr)
	assert.Equal(t, &access.Caller{Name: "meter u", Actions: []access.Action{"put_sticker"}, Account: "a", User: "u", Role: "r", Expires: at.Add(time.Hour)}, c)
	known.Actions, known.Name = nil, ""
	c, callErr = guard.Caller(t.Context(), accounts.SecretPrefix+"right")
	require.NoError(t, callErr)
	assert.Nil(t, c.Actions)
	assert.Equal(t, "u", c.Name)
	assert.False(t, c.Everybody(), "it is one of an account")

	_, callErr = guard.Caller(t.Context(), accounts.SecretPrefix+"wrong")
	refusedAs(t, callErr, access.Unauthenticated, "no such secret: wrong, revoked or expired")
	_, callErr = guard.Caller(t.Context(), keys.Prefix+"x")
	refusedAs(t, callErr, access.Unauthenticated, "no such API key")
	err = errors.New("the accounts are not read yet")
	_, callErr = guard.Caller(t.Context(), accounts.SecretPrefix+"right")
	refusedAs(t, callErr, access.Unavailable, "the accounts are not read yet")
}

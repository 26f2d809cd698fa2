package identity_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/identity"
)

// at is when everything in these tests happens.
var at = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// memory is a resolver that takes what [identity.Registered] takes.
type memory struct {
	tokens map[string]string
}

func (m *memory) Discover(_ context.Context, id string) (string, error) {
	if token, ok := m.tokens[id]; ok {
		return token, nil
	}
	return "", identity.ErrUnknown
}

func (m *memory) Register(_ context.Context, token string) error {
	d, err := identity.ParseDocument(token)
	if err != nil {
		return err
	}
	if _, err := identity.Registered(token, m.tokens[d.ID], at); err != nil {
		return err
	}
	m.tokens[d.ID] = token
	return nil
}

func (m *memory) document(_ context.Context, id string) (*identity.Document, error) {
	token, ok := m.tokens[id]
	if !ok {
		return nil, identity.ErrUnknown
	}
	return identity.ParseDocument(token)
}

// space is a resolver with a client of it, and what the tutorial makes.
type space struct {
	*memory
	identity.Client
	user, agent, twin identity.Identity
}

func newSpace(t testing.TB) *space {
	first.Do(func() {
		made := &space{memory: &memory{tokens: map[string]string{}}}
		made.Client = identity.Client{Resolver: made.memory, Now: func() time.Time { return at }}
		made.tutorial(t)
		inFirst = *made
	})
	s := inFirst
	s.memory = &memory{tokens: maps.Clone(inFirst.tokens)}
	s.Client.Resolver = s.memory
	return &s
}

// inFirst is the space that newSpace copies: keys take a while to make.
var (
	first   sync.Once
	inFirst space
)

func secret(name string) identity.Secret {
	return identity.Secret{Seed: []byte(strings.Repeat("s", 16)), Name: name}
}

func (s *space) tutorial(t testing.TB) {
	var err error
	s.user, s.agent, err = s.UserAndAgent(t.Context(), secret("user"), secret("agent"), "#AuthDeleg")
	require.NoError(t, err)
	s.twin, err = s.Twin(t.Context(), secret("machine_0"), s.agent, "#ControlDeleg")
	require.NoError(t, err)
}

func (s *space) token(t testing.TB) string {
	token, err := s.Token(s.agent, s.user.DID, time.Hour)
	require.NoError(t, err)
	return token
}

func TestTutorial(t *testing.T) {
	s := newSpace(t)
	claims, err := identity.Verify(t.Context(), s.document, s.token(t), identity.DefaultAudience, at)
	require.NoError(t, err)
	assert.Equal(t, identity.Claims{Agent: s.agent.DID + "#agent-0", User: s.user.DID, Expires: at.Add(time.Hour).Local()}, claims)
	require.NoError(t, identity.Controls(t.Context(), s.document, claims.Agent, s.twin.DID))

	before := *s
	s.tutorial(t) // a second run meets its own
	assert.Equal(t, before.user, s.user)
	assert.Equal(t, before.twin, s.twin)
	d, err := s.document(t.Context(), s.twin.DID)
	require.NoError(t, err)
	assert.Len(t, d.DelegateControl, 1)
	assert.Equal(t, identity.Twin, d.Kind)
}

func TestResolverThatFails(t *testing.T) {
	c := identity.Client{Resolver: broken{}, Now: func() time.Time { return at }}
	_, _, err := c.UserAndAgent(t.Context(), secret("u"), secret("a"), "#d")
	require.ErrorIs(t, err, errBroken)
	_, err = c.Twin(t.Context(), secret("t"), identity.Identity{}, "#d")
	require.ErrorIs(t, err, errBroken)
	_, err = c.Identity(t.Context(), identity.Secret{Seed: []byte("x"), Name: "n"}, identity.User)
	require.EqualError(t, err, `user "n": a seed of 1 bytes; want 16, 20, 24, 28 or 32`)
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Discover(context.Context, string) (string, error) { return "", errBroken }
func (broken) Register(context.Context, string) error           { return errBroken }

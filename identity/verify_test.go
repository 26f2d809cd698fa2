package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/identity"
)

// change changes the document of an identity in the space.
func (s *space) change(t testing.TB, i identity.Identity, f func(*identity.Document)) {
	require.NoError(t, s.Change(t.Context(), i, f))
}

func TestVerify(t *testing.T) {
	const hour = time.Hour
	token := func(s *space, agent identity.Identity, user, audience string, now time.Time, lasts time.Duration) string {
		text, err := identity.AuthToken(agent, user, audience, now, lasts)
		require.NoError(t, err)
		return text
	}
	for name, tt := range map[string]struct {
		change func(s *space)
		token  func(s *space) string // of the tutorial's agent when nil
		at     time.Time
		want   string // "" when it holds
	}{
		"the tutorial's":           {},
		"at its last moment":       {at: at.Add(hour - time.Millisecond)},
		"expired":                  {at: at.Add(hour), want: "expired at 2026-11-02T13:00:00Z"},
		"replayed a year later":    {at: at.Add(365 * 24 * hour), want: "expired at 2026-11-02T13:00:00Z"},
		"issued a little ahead":    {at: at.Add(-time.Minute)},
		"issued in the future":     {at: at.Add(-2 * time.Minute), want: "issued in the future, at 2026-11-02T11:59:30Z"},
		"another audience":         {token: func(s *space) string { return token(s, s.agent, s.user.DID, "elsewhere", at, hour) }, want: `for the audience "elsewhere"; want "default"`},
		"the agent for itself":     {token: func(s *space) string { return token(s, s.agent, s.agent.DID, "default", at, hour) }},
		"the user itself":          {token: func(s *space) string { return token(s, s.user, s.user.DID, "default", at, hour) }},
		"the agent for a twin":     {token: func(s *space) string { return token(s, s.agent, s.twin.DID, "default", at, hour) }},
		"for a user without leave": {token: func(s *space) string { return token(s, s.twin, s.user.DID, "default", at, hour) }, want: "USER has delegated nothing to TWIN#twin-0"},
		"for a user nobody knows": {
			token: func(s *space) string { return token(s, s.agent, stranger(t).DID, "default", at, hour) }, want: "subject STRANGER: no document",
		},
		"for what is no DID":       {token: func(s *space) string { return token(s, s.agent, "did:iotics:a*>/ b", "default", at, hour) }, want: `subject "did:iotics:a*>/ b"; want a DID`},
		"by an agent nobody knows": {token: func(s *space) string { return token(s, stranger(t), s.user.DID, "default", at, hour) }, want: "issuer STRANGER: no document"},
		"by somebody with the agent's name": {
			token: func(s *space) string {
				forged := s.agent
				forged.Key = stranger(t).Key
				return token(s, forged, s.user.DID, "default", at, hour)
			},
			want: "the signature is not that of its issuer's key",
		},
		"by a key the document has not": {
			token: func(s *space) string {
				other := s.agent
				other.Name = "#agent-1"
				return token(s, other, s.user.DID, "default", at, hour)
			},
			want: `AGENT has no key "#agent-1"`,
		},
		"an issuer that is none": {
			token: func(s *space) string {
				other := s.agent
				other.Name = "#" + strings.Repeat("x", 200)
				return token(s, other, s.user.DID, "default", at, hour)
			},
			want: `issuer "AGENT#xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"; want DID#name`,
		},
		"the key revoked": {
			change: func(s *space) {
				s.change(t, s.agent, func(d *identity.Document) { d.PublicKey[0].Revoked = true })
			}, want: "key #agent-0 of AGENT is revoked",
		},
		"the agent revoked": {
			change: func(s *space) { s.change(t, s.agent, func(d *identity.Document) { d.Revoked = true }) }, want: "AGENT is revoked",
		},
		"the user revoked": {
			change: func(s *space) { s.change(t, s.user, func(d *identity.Document) { d.Revoked = true }) }, want: "USER is revoked",
		},
		"the delegation revoked": {
			change: func(s *space) {
				s.change(t, s.user, func(d *identity.Document) { d.DelegateAuthentication[0].Revoked = true })
			}, want: "USER has revoked delegation #AuthDeleg to AGENT#agent-0",
		},
		"the delegation gone": {
			change: func(s *space) {
				s.change(t, s.user, func(d *identity.Document) { d.DelegateAuthentication = nil })
			}, want: "USER has delegated nothing to AGENT#agent-0",
		},
		"a proof over another DID": {
			change: func(s *space) {
				s.change(t, s.user, func(d *identity.Document) { d.DelegateAuthentication[0].Proof = s.agent.Key.Prove(s.twin.DID) })
			}, want: "the proof of delegation #AuthDeleg of USER does not hold",
		},
		"a proof by another key": {
			change: func(s *space) {
				s.change(t, s.user, func(d *identity.Document) { d.DelegateAuthentication[0].Proof = s.user.Key.Prove(s.user.DID) })
			}, want: "the proof of delegation #AuthDeleg of USER does not hold",
		},
		"a proof for all": {
			change: func(s *space) {
				s.change(t, s.user, func(d *identity.Document) {
					d.DelegateAuthentication[0].ProofType, d.DelegateAuthentication[0].Proof = "generic", s.agent.Key.Prove("")
				})
			},
		},
		"a proof for all that says it is for one": {
			change: func(s *space) {
				s.change(t, s.user, func(d *identity.Document) { d.DelegateAuthentication[0].Proof = s.agent.Key.Prove("") })
			}, want: "the proof of delegation #AuthDeleg of USER does not hold",
		},
		"delegated by the user's controller": {
			change: func(s *space) {
				s.change(t, s.user, func(d *identity.Document) {
					d.DelegateAuthentication, d.Controller = nil, s.twin.DID+"#twin-0"
				})
			},
		},
		"no token":     {token: func(*space) string { return "" }, want: "no token: token is malformed: token contains an invalid number of segments"},
		"a huge token": {token: func(*space) string { return strings.Repeat("a", 1<<20) }, want: "a token of 1048576 bytes; want at most 8192"},
		"no expiry": {
			token: func(s *space) string {
				return raw(t, s, `{"alg":"ES256"}`, `{"iss":"`+s.agent.Issuer()+`","sub":"`+s.user.DID+`","aud":"default","iat":1}`)
			}, want: "no exp; want when it expires",
		},
		"claims that are none": {
			token: func(s *space) string { return raw(t, s, `{"alg":"ES256"}`, `{"iss":5}`) },
			want:  "no token: token is malformed: could not JSON decode claim: json: cannot unmarshal number into Go struct field RegisteredClaims.iss of type string",
		},
		"alg none": {
			token: func(s *space) string {
				text, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": s.agent.Issuer(), "sub": s.user.DID, "aud": "default", "iat": at.Unix(), "exp": at.Add(hour).Unix()}).SignedString(jwt.UnsafeAllowNoneSignatureType)
				require.NoError(t, err)
				return text
			}, want: `algorithm "none"; want ES256, on secp256k1`,
		},
		"alg HS256 with the public key as its secret": {
			token: func(s *space) string {
				text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": s.agent.Issuer(), "sub": s.user.DID, "aud": "default", "iat": at.Unix(), "exp": at.Add(hour).Unix()}).SignedString([]byte(s.agent.Key.Public()))
				require.NoError(t, err)
				return text
			}, want: `algorithm "HS256"; want ES256, on secp256k1`,
		},
		"the wrong curve": {
			token: func(s *space) string {
				key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				require.NoError(t, err)
				text, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": s.agent.Issuer(), "sub": s.user.DID, "aud": "default", "iat": at.Unix(), "exp": at.Add(hour).Unix()}).SignedString(key)
				require.NoError(t, err)
				return text
			}, want: "the signature is not that of its issuer's key",
		},
		"changed claims": {
			token: func(s *space) string {
				parts := strings.Split(s.token(t), ".")
				claims := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + s.agent.Issuer() + `","sub":"` + s.twin.DID + `","aud":"default","iat":1,"exp":9999999999}`))
				return parts[0] + "." + claims + "." + parts[2]
			}, want: "the signature is not that of its issuer's key",
		},
		"no signature": {
			token: func(s *space) string { return s.token(t)[:strings.LastIndex(s.token(t), ".")+1] },
			want:  "the signature is not that of its issuer's key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpace(t)
			text := s.token(t)
			if tt.token != nil {
				text = tt.token(s)
			}
			if tt.change != nil {
				tt.change(s)
			}
			now := tt.at
			if now.IsZero() {
				now = at
			}
			_, err := identity.Verify(t.Context(), s.document, text, identity.DefaultAudience, now)
			assert.Equal(t, tt.want, s.said(t, err))
		})
	}
}

// said is an error with names for the DIDs.
func (s *space) said(t testing.TB, err error) string {
	if err == nil {
		return ""
	}
	return strings.NewReplacer(s.agent.DID, "AGENT", s.user.DID, "USER", s.twin.DID, "TWIN", stranger(t).DID, "STRANGER").Replace(err.Error())
}

// stranger is somebody of whom no resolver knows.
func stranger(t testing.TB) identity.Identity {
	k, err := identity.NewKey([]byte(strings.Repeat("k", 32)))
	require.NoError(t, err)
	return identity.NewIdentity(k, identity.Agent)
}

// raw is a token with this header and these claims, signed by the agent.
func raw(t testing.TB, s *space, header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := identity.SignES256(text, s.agent.Key)
	require.NoError(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestAnyAudience(t *testing.T) {
	s := newSpace(t)
	text, err := identity.AuthToken(s.agent, s.user.DID, "https://elsewhere.example", at, time.Hour)
	require.NoError(t, err)
	_, err = identity.Verify(t.Context(), s.document, text, "*", at)
	require.NoError(t, err)
}

func TestControls(t *testing.T) {
	s := newSpace(t)
	ctx := t.Context()
	controls := func(by identity.Identity, twin string) string {
		return s.said(t, identity.Controls(ctx, s.document, by.Issuer(), twin))
	}
	assert.Empty(t, controls(s.agent, s.twin.DID))
	assert.Empty(t, controls(s.twin, s.twin.DID), "a twin itself")
	assert.Equal(t, "USER has delegated nothing to AGENT#agent-0", controls(s.agent, s.user.DID), "authentication is not control")
	assert.Equal(t, "TWIN has delegated nothing to USER#user-0", controls(s.user, s.twin.DID))
	assert.Equal(t, `"machine_1" is no DID: no document`, controls(s.agent, "machine_1"))
	assert.Equal(t, "subject STRANGER: no document", controls(s.agent, stranger(t).DID))

	other, err := s.Twin(ctx, secret("other"), s.user, "#ControlDeleg")
	require.NoError(t, err)
	assert.NotEmpty(t, controls(s.agent, other.DID), "somebody else's twin")
	s.change(t, other, func(d *identity.Document) { d.Controller = s.twin.DID })
	assert.Empty(t, controls(s.agent, other.DID), "by the controller's delegation")
	s.change(t, s.twin, func(d *identity.Document) { d.DelegateControl[0].Revoked = true })
	assert.Equal(t, "TWIN has revoked delegation #ControlDeleg to AGENT#agent-0", controls(s.agent, s.twin.DID))
	assert.NotEmpty(t, controls(s.agent, other.DID), "the controller's delegation is revoked")
	s.change(t, other, func(d *identity.Document) { d.Controller = stranger(t).DID })
	assert.Equal(t, "controller STRANGER: no document", controls(s.agent, other.DID))
}

func TestResolverOutOfReachIsNoRefusal(t *testing.T) {
	s := newSpace(t)
	away := errors.New("away")
	discover := func(context.Context, string) (*identity.Document, error) { return nil, away }
	_, err := identity.Verify(t.Context(), discover, s.token(t), identity.DefaultAudience, at)
	require.ErrorIs(t, err, away)
	require.NotErrorIs(t, err, identity.ErrUnknown)
}

func BenchmarkVerify(b *testing.B) {
	s := newSpace(b)
	text := s.token(b)
	known := map[string]*identity.Document{}
	for _, i := range []identity.Identity{s.user, s.agent} {
		d, err := s.document(b.Context(), i.DID)
		require.NoError(b, err)
		known[i.DID] = d
	}
	discover := func(_ context.Context, id string) (*identity.Document, error) { return known[id], nil }
	for b.Loop() {
		if _, err := identity.Verify(b.Context(), discover, text, identity.DefaultAudience, at); err != nil {
			b.Fatal(err)
		}
	}
}

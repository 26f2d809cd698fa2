package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/identity"
)

func TestRegistered(t *testing.T) {
	type entry struct {
		by     func(s *space) identity.Identity // the twin when nil
		isNew  bool                             // there is nothing of it yet
		change func(s *space, d *identity.Document)
		want   string
	}
	for name, tt := range map[string]entry{
		"the same again":                   {},
		"new":                              {isNew: true},
		"another delegation":               {change: func(s *space, d *identity.Document) { d.DelegateTo(s.user, &d.DelegateControl, "#More") }},
		"another owner too":                {change: func(s *space, d *identity.Document) { d.PublicKey = append(d.PublicKey, owner(s.user, "#new-owner")) }},
		"by somebody else":                 {by: func(s *space) identity.Identity { return s.user }, want: "a document of TWIN by USER; want one by its owner"},
		"by somebody else in its name":     {by: func(s *space) identity.Identity { return named(s.user, s.twin) }, want: "the signature is not that of its issuer's key"},
		"by a key put in at the same time": {by: func(s *space) identity.Identity { return named(s.user, s.twin) }, change: takeOver, want: "not by an owner of the document that is there: the signature is not that of its issuer's key"},
		"new, by a key that it is not made of": {
			isNew: true, by: func(s *space) identity.Identity { return named(s.user, s.twin) }, change: takeOver,
			want: "none of its keys is the one that TWIN is made of",
		},
		"new, by a second key beside the owner's": {
			isNew: true, by: func(s *space) identity.Identity {
				i := named(s.user, s.twin)
				i.Name = "#second"
				return i
			}, change: func(s *space, d *identity.Document) { d.PublicKey = append(d.PublicKey, owner(s.user, "#second")) },
			want: "a new document: the signature is not that of its issuer's key",
		},
		"by a name that is not there": {
			by: func(s *space) identity.Identity {
				i := s.twin
				i.Name = "#twin-9"
				return i
			}, want: "TWIN has no key #twin-9",
		},
		"by a key for authentication": {
			by: func(s *space) identity.Identity {
				i := named(s.user, s.twin)
				i.Name = "#auth"
				return i
			}, change: func(s *space, d *identity.Document) {
				k := owner(s.user, "#auth")
				d.Authentication = append(d.Authentication, k)
			}, want: "TWIN has no key #auth",
		},
		"new with somebody else's proof": {isNew: true, change: func(s *space, d *identity.Document) { d.Proof = s.user.Key.Prove(d.ID) }, want: "its proof is not by the key that TWIN is made of"},
		"with another proof":             {change: func(_ *space, d *identity.Document) { d.Proof = "x" }, want: "its proof is not by the key that TWIN is made of"},
		"older": {
			change: func(_ *space, d *identity.Document) { d.UpdateTime -= 5000 }, want: "TWIN: an older document than the one that is there",
		},
		"from the future": {
			change: func(_ *space, d *identity.Document) { d.UpdateTime = at.Add(time.Hour).UnixMilli() }, want: "updateTime 2026-11-02T13:00:00Z is in the future",
		},
		"without keys":           {change: func(_ *space, d *identity.Document) { d.PublicKey = nil }, want: "document: no publicKey"},
		"of another version":     {change: func(_ *space, d *identity.Document) { d.SpecVersion = "9" }, want: `document: ioticsSpecVersion "9"; want 0.0.1`},
		"of another kind":        {change: func(_ *space, d *identity.Document) { d.Kind = "thing" }, want: `document: ioticsDIDType "thing"; want host, user, agent or twin`},
		"with a name twice":      {change: func(s *space, d *identity.Document) { d.PublicKey = append(d.PublicKey, d.PublicKey[0]) }, want: `document: name "#twin-0"; want # and 1 to 24 letters, digits, - or _, each name once`},
		"with an odd name":       {change: func(_ *space, d *identity.Document) { d.DelegateControl[0].ID = "#a b" }, want: `document: name "#a b"; want # and 1 to 24 letters, digits, - or _, each name once`},
		"with an odd delegate":   {change: func(_ *space, d *identity.Document) { d.DelegateControl[0].Controller = "me" }, want: `document: issuer "me"; want DID#name`},
		"with an odd creator":    {change: func(_ *space, d *identity.Document) { d.Creator = "me" }, want: `document: creator "me"; want a DID`},
		"with an odd controller": {change: func(_ *space, d *identity.Document) { d.Controller = "#me" }, want: `document: controller "#me"; want a DID`},
		"with a long label": {
			change: func(_ *space, d *identity.Document) { d.Metadata.Label = strings.Repeat("x", 65) },
			want:   "document: metadata too long; want a label of at most 64 characters, a comment and a URL of at most 512",
		},
		"with a key that is none": {change: func(_ *space, d *identity.Document) {
			k := d.PublicKey[0]
			k.ID, k.Base58 = "#odd", strings.Repeat("z", 89)
			d.PublicKey = append(d.PublicKey, k)
		}, want: `document: public key "` + strings.Repeat("z", 89) + `": want an uncompressed point of secp256k1`},
		"with too many": {change: func(s *space, d *identity.Document) {
			for range 150 {
				d.DelegateControl = append(d.DelegateControl, d.DelegateControl[0])
			}
		}, want: "document: more than 128 keys and delegations"},
		"too large": {
			change: func(_ *space, d *identity.Document) { d.Context = strings.Repeat("x", 1<<20) }, want: "a token of 1399",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpace(t)
			there := s.tokens[s.twin.DID]
			d, err := identity.ParseDocument(there)
			require.NoError(t, err)
			if tt.isNew {
				there = ""
			}
			if tt.change != nil {
				tt.change(s, d)
			}
			by := s.twin
			if tt.by != nil {
				by = tt.by(s)
			}
			token, err := identity.DocumentToken(d, by)
			require.NoError(t, err)
			_, err = identity.Registered(token, there, at)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Truef(t, strings.HasPrefix(s.said(t, err), tt.want), "got %s; want %s", s.said(t, err), tt.want)
		})
	}
}

func owner(i identity.Identity, name string) identity.PublicKey {
	return identity.PublicKey{ID: name, Type: "Secp256k1VerificationKey2018", Base58: i.Key.Public()}
}

// named is somebody's key under the name of another.
func named(key, name identity.Identity) identity.Identity {
	name.Key = key.Key
	return name
}

// takeOver puts the user's key where the twin's is.
func takeOver(s *space, d *identity.Document) { d.PublicKey[0].Base58 = s.user.Key.Public() }

func TestOwnersChange(t *testing.T) {
	s := newSpace(t)
	s.change(t, s.twin, func(d *identity.Document) { d.PublicKey = append(d.PublicKey, owner(s.user, "#new-owner")) })
	next := identity.Identity{DID: s.twin.DID, Name: "#new-owner", Key: s.user.Key}
	s.change(t, next, func(d *identity.Document) { d.PublicKey = d.PublicKey[1:] })
	err := s.Change(t.Context(), s.twin, func(*identity.Document) {})
	require.ErrorContains(t, err, "has no key #twin-0")
	s.change(t, next, func(d *identity.Document) { d.Metadata.Label = "mine now" })
	require.NoError(t, identity.Controls(t.Context(), s.document, next.Issuer(), s.twin.DID))
	_, err = s.Identity(t.Context(), secret("machine_0"), identity.Twin)
	require.ErrorContains(t, err, "has other owners")
}

// What is revoked does not come back when the document before is sent again.
func TestOldDocumentDoesNotComeBack(t *testing.T) {
	s := newSpace(t)
	before := s.tokens[s.twin.DID]
	s.change(t, s.twin, func(d *identity.Document) { d.DelegateControl[0].Revoked = true })
	require.ErrorIs(t, s.Register(t.Context(), before), identity.ErrStale)
}

// fields is a document as other programs read it.
func TestDocumentHasTheNamesOfIOTICS(t *testing.T) {
	s := newSpace(t)
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(s.tokens[s.user.DID], ".")[1])
	require.NoError(t, err)
	var got struct {
		Iss string
		Aud *string
		Doc map[string]any
	}
	require.NoError(t, json.Unmarshal(claims, &got))
	assert.Equal(t, s.user.DID+"#user-0", got.Iss)
	assert.Empty(t, *got.Aud)
	delegation := got.Doc["delegateAuthentication"].([]any)[0].(map[string]any)
	assert.NotEmpty(t, delegation["proof"])
	delete(delegation, "proof")
	assert.NotEmpty(t, got.Doc["proof"])
	delete(got.Doc, "proof")
	assert.Equal(t, map[string]any{
		"@context": "https://w3id.org/did/v1", "id": s.user.DID, "ioticsSpecVersion": "0.0.1", "ioticsDIDType": "user", "updateTime": 1793620800001.,
		"publicKey":              []any{map[string]any{"id": "#user-0", "type": "Secp256k1VerificationKey2018", "publicKeyBase58": s.user.Key.Public(), "revoked": false}},
		"authentication":         []any{},
		"delegateControl":        []any{},
		"delegateAuthentication": []any{map[string]any{"id": "#AuthDeleg", "controller": s.agent.DID + "#agent-0", "revoked": false}},
		"metadata":               map[string]any{}, "revoked": false,
	}, got.Doc)
}

func FuzzParseDocument(f *testing.F) {
	s := newSpace(f)
	f.Add(s.tokens[s.twin.DID])
	f.Add(s.token(f))
	f.Add("a.b.c")
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		d, err := identity.ParseDocument(token)
		if err != nil {
			return
		}
		if _, err := identity.Registered(token, token, at.AddDate(100, 0, 0)); err != nil && !d.PublicKey[0].Revoked {
			t.Fatalf("a document that parses cannot follow itself: %v", err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	s := newSpace(f)
	f.Add(s.token(f))
	f.Add(s.tokens[s.twin.DID])
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := identity.Verify(t.Context(), s.document, token, identity.DefaultAudience, at)
		if err == nil && claims.Agent != s.agent.Issuer() {
			t.Fatalf("%+v holds", claims)
		}
	})
}

// FuzzDocument looks for documents that are taken and cannot be used.
func FuzzDocument(f *testing.F) {
	s := newSpace(f)
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(s.tokens[s.twin.DID], ".")[1])
	require.NoError(f, err)
	f.Add(claims)
	f.Add([]byte(`{"iss":"` + s.twin.Issuer() + `","doc":{"id":"` + s.twin.DID + `","publicKey":[null],"delegateControl":[{}]}}`))
	f.Fuzz(func(t *testing.T, claims []byte) {
		token := raw(t, s, `{"alg":"ES256"}`, string(claims))
		if d, err := identity.ParseDocument(token); err == nil && d.ID != s.agent.DID {
			t.Fatalf("a document of %s, signed by %s, holds", d.ID, s.agent.DID)
		}
	})
}

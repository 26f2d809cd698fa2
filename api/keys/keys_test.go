package keys_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/keys"
)

var at = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// add puts a new key into a file and gives its secret.
func add(t *testing.T, path, name string, expires time.Time, twins []string, roles ...string) string {
	k, secret, err := keys.New(name, roles, twins, at, expires)
	require.NoError(t, err)
	all, err := keys.Read(path)
	require.NoError(t, err)
	require.NoError(t, keys.Write(path, append(all, k)))
	return secret
}

// callerOf is a caller with built-in roles: it acts in the own account.
func callerOf(t *testing.T, c access.Caller, roles ...string) *access.Caller {
	var err error
	c.Actions, err = access.Actions(roles)
	require.NoError(t, err)
	c.Account, c.User, c.Role = accounts.Own(), accounts.OwnUser(c.Name), accounts.OwnRole(roles)
	return &c
}

func TestRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	now := at
	var troubles []error
	r, err := keys.Open(path, func() time.Time { return now }, func(err error) { troubles = append(troubles, err) })
	require.NoError(t, err, "a file that is not there has no keys")
	assert.True(t, r.Empty())

	ci := add(t, path, "ci", time.Time{}, nil, "author")
	line := add(t, path, "line", at.Add(time.Hour), []string{"machine_*"}, "device", "viewer")
	now = now.Add(time.Second)
	assert.False(t, r.Empty())
	c, err := r.Caller(ci)
	require.NoError(t, err)
	assert.Equal(t, callerOf(t, access.Caller{Name: "ci"}, "author"), c)
	assert.Contains(t, c.Actions, access.Author)
	assert.NotContains(t, c.Actions, access.Operate)
	c, err = r.Caller(line)
	require.NoError(t, err)
	assert.Equal(t, callerOf(t, access.Caller{Name: "line", Twins: []string{"machine_*"}, Expires: at.Add(time.Hour)}, "device", "viewer"), c)
	for _, wrong := range []string{"", keys.Prefix, ci[:len(ci)-1], ci + "A", strings.ToUpper(ci), strings.Repeat("x", 1<<20)} {
		_, err = r.Caller(wrong)
		refused, _ := access.AsRefused(err)
		require.NotNil(t, refused, "%.60q", wrong)
		assert.Equal(t, access.Unauthenticated, refused.Code)
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), ci)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	now = at.Add(time.Hour)
	_, err = r.Caller(line)
	assert.EqualError(t, err, `API key "line" expired at 2026-11-02T13:00:00Z`)

	// A broken file leaves what was there, and is told of once.
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	for range 3 {
		now = now.Add(time.Second)
		_, err = r.Caller(ci)
		require.NoError(t, err)
	}
	assert.Len(t, troubles, 1)

	// One that is gone has none: so every key can be revoked at once.
	require.NoError(t, os.Remove(path))
	now = now.Add(time.Second)
	_, err = r.Caller(ci)
	assert.EqualError(t, err, "no such API key")
}

func TestTroubleIsToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	now := at
	troubles := 0
	r, err := keys.Open(path, func() time.Time { return now }, func(error) { troubles++ })
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(path, 0o700)) // cannot be read as a file
	for range 5 {
		now = now.Add(time.Second)
		_, err = r.Caller("x")
		require.Error(t, err)
	}
	assert.Equal(t, 1, troubles)
}

func TestFilesThatAreNone(t *testing.T) {
	hash := "sha256:" + strings.Repeat("a", 64)
	for text, want := range map[string]string{
		`[]`: "keys.json:1:1: got an array; want an object",
		`{}`: `field "keys" is missing`,
		`{"keys":[{"name":"a","hash":"` + hash + `","roles":["authr"]}]}`:                                                                       `/keys/0/roles/0: no role "authr"; did you mean "author"?`,
		`{"keys":[{"name":"a","hash":"secret","roles":["author"]}]}`:                                                                            `/keys/0/hash: want "sha256:" and 64 hexadecimal digits; "engine key new" writes one`,
		`{"keys":[{"name":"a","hash":"` + hash + `","roles":[],"expires":"soon"}]}`:                                                             `/keys/0/expires: got "soon"; want a time such as 2027-01-31T00:00:00Z`,
		`{"keys":[{"name":"a\nb","hash":"` + hash + `","roles":[]}]}`:                                                                           `/keys/0/name: got "a\nb"; want 1 to 64 characters on one line`,
		`{"keys":[{"name":"a","hash":"` + hash + `","roles":[]},{"name":"a","hash":"` + hash + `","roles":[]}]}`:                                `/keys/1/name: name "a" is taken; want a name of its own`,
		`{"keys":[{"name":"a","hash":"` + hash + `","role":"x"}]}`:                                                                              `unknown field "role"; did you mean "roles"?`,
		`{"keys":[{"name":"a","hash":"` + hash + `","roles":["admin"],"twins":"machine_*"}]}`:                                                   `/keys/0/twins: got "machine_*"; want an array`,
		`{"keys":[{"name":"` + strings.Repeat("n", 65) + `","hash":"` + hash + `","roles":["admin"],"created":"2026-11-02T12:00:00Z"}]}` + "\n": "want 1 to 64 characters on one line",
	} {
		path := filepath.Join(t.TempDir(), "keys.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := keys.Read(path)
		require.Error(t, err, text)
		assert.Contains(t, strings.ReplaceAll(err.Error(), path, "keys.json"), want)
		_, err = keys.Open(path, func() time.Time { return at }, nil)
		require.Error(t, err)
	}
}

func TestNewWantsRolesAndAName(t *testing.T) {
	_, _, err := keys.New("a", nil, nil, at, time.Time{})
	require.EqualError(t, err, "no role; want one of admin, author, device, member, operator, viewer")
	_, _, err = keys.New("a", []string{"wiewer"}, nil, at, time.Time{})
	require.EqualError(t, err, `no role "wiewer"; did you mean "viewer"?`)
	_, _, err = keys.New("", []string{"viewer"}, nil, at, time.Time{})
	require.EqualError(t, err, `name: got ""; want 1 to 64 characters on one line`)
}

func TestWriteLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	err := keys.Write(filepath.Join(dir, "not", "there.json"), nil)
	require.Error(t, err)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	require.Error(t, keys.Write(filepath.Join(dir, "folder"), nil))
	left, err := filepath.Glob(filepath.Join(dir, ".keys-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"keys":[{"name":"a","hash":"sha256:00","roles":["admin"],"twins":["*"],"expires":"2026-11-02T12:00:00Z"}]}`))
	f.Add([]byte(`{"keys":[{}]}`))
	path := filepath.Join(f.TempDir(), "keys.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(path, text, 0o600))
		all, err := keys.Read(path)
		for _, k := range all {
			if err == nil && (k.Name == "" || len(k.Hash) != len("sha256:")+64) {
				t.Fatalf("%+v is a key", k)
			}
		}
	})
}

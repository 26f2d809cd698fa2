// Package keys keeps API keys: a file with the hashes of secrets, and what who
// shows one of these may do.
package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/internal/strictjson"
)

// Prefix begins every secret, so that people and scanners know one when they see it.
const Prefix = "tocsin_"

// Key is one entry of a file.
type Key struct {
	Name    string   `json:"name" strict:"required"`
	Hash    string   `json:"hash" strict:"required"` // "sha256:" and hex digits
	Roles   []string `json:"roles" strict:"required"`
	Twins   []string `json:"twins"`   // patterns of the twins that it may change; none: all
	Created string   `json:"created"` // RFC 3339
	Expires string   `json:"expires"` // RFC 3339; "": never

	hash    []byte
	caller  access.Caller
	expires time.Time
}

// file is what is in a file.
type file struct {
	Keys []Key `json:"keys" strict:"required"`
}

// Expired says that a key holds no longer.
func (k *Key) Expired(now time.Time) bool { return !k.expires.IsZero() && !now.Before(k.expires) }

// maxBytes bounds a file of keys.
const maxBytes = 4 << 20

// Read reads a file of keys; every problem of it at once. A file that is not
// there has none.
func Read(path string) ([]Key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

func parse(path string, text []byte) ([]Key, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%s: %d bytes; want at most %d", path, len(text), maxBytes)
	}
	raw, err := strictjson.Parse(path, text)
	if err != nil {
		return nil, err
	}
	var f file
	if err := raw.Decode(&f); err != nil {
		return nil, err
	}
	var errs []error
	seen := map[string]bool{}
	for i := range f.Keys {
		at := raw.Member("keys").Elems()[i]
		errs = append(errs, f.Keys[i].compile(at))
		if name := f.Keys[i].Name; seen[name] {
			errs = append(errs, at.Member("name").At.As(strictjson.NotUnique).Errorf("name %q is taken; want a name of its own", name))
		}
		seen[f.Keys[i].Name] = true
	}
	return f.Keys, strictjson.Join(errs...)
}

// compile checks a key and makes the caller of it.
func (k *Key) compile(raw strictjson.Raw) error {
	var errs []error
	digits, ok := strings.CutPrefix(k.Hash, "sha256:")
	hash, err := hex.DecodeString(digits)
	if !ok || err != nil || len(hash) != sha256.Size {
		errs = append(errs, raw.Member("hash").At.Errorf(`want "sha256:" and 64 hexadecimal digits; "engine key new" writes one`))
	}
	k.hash = hash
	for i, role := range k.Roles {
		if !slices.Contains(access.Roles(), role) {
			at := raw.Member("roles").Elems()[i].At
			errs = append(errs, at.Renamed(role, access.Roles()).Errorf("no role %q%s", role, strictjson.OneOf(role, access.Roles())))
		}
	}
	if err := checkName(k.Name); err != nil {
		errs = append(errs, raw.Member("name").At.Errorf("%w", err))
	}
	if k.Expires != "" {
		if k.expires, err = time.Parse(time.RFC3339, k.Expires); err != nil {
			errs = append(errs, raw.Member("expires").At.Errorf("got %q; want a time such as 2027-01-31T00:00:00Z", k.Expires))
		}
	}
	actions, err := access.Actions(k.Roles)
	if err == nil {
		k.caller = access.Caller{Name: k.Name, Actions: actions, Expires: k.expires}
		k.caller.Settle(k.Roles)
		if len(k.Twins) > 0 {
			k.caller.Twins = k.Twins
		}
	}
	return strictjson.Join(errs...)
}

// maxName bounds the name of a key, in bytes.
const maxName = 64

func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return fmt.Errorf("got %q; want 1 to %d characters on one line", name, maxName)
	}
	return nil
}

// New makes a key and its secret, which is nowhere else afterwards.
func New(name string, roles, twins []string, created, expires time.Time) (Key, string, error) {
	if err := checkName(name); err != nil {
		return Key{}, "", fmt.Errorf("name: %w", err)
	}
	if len(roles) == 0 {
		return Key{}, "", fmt.Errorf("no role; want one of %s", strings.Join(access.Roles(), ", "))
	}
	for _, role := range roles {
		if !slices.Contains(access.Roles(), role) {
			return Key{}, "", fmt.Errorf("no role %q%s", role, strictjson.OneOf(role, access.Roles()))
		}
	}
	random := make([]byte, 32)
	rand.Read(random)
	secret := Prefix + base64.RawURLEncoding.EncodeToString(random)
	k := Key{Name: name, Hash: "sha256:" + hex.EncodeToString(hashOf(secret)), Roles: roles, Twins: append([]string{}, twins...), Created: created.UTC().Format(time.RFC3339)}
	if !expires.IsZero() {
		k.Expires = expires.UTC().Format(time.RFC3339)
	}
	return k, secret, nil
}

// Write keeps keys in a file that only its owner may read, in place of what is
// there, at once.
func Write(path string, all []Key) error {
	text, err := json.MarshalIndent(file{all}, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name()) //nolint:errcheck // the error before counts
	}
	return err
}

func hashOf(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// find is the key with this secret. It takes as long for each that is wrong.
func find(all []Key, secret string) *Key {
	var found *Key
	hash := hashOf(secret)
	for i := range all {
		if subtle.ConstantTimeCompare(all[i].hash, hash) == 1 {
			found = &all[i]
		}
	}
	return found
}

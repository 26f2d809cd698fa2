package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// SecretPrefix is what the secrets of users begin with.
const SecretPrefix = "tocsinu_"

// PINTime is for how long a PIN can be turned into a secret.
const PINTime = 10 * time.Minute

const (
	secretBytes = 32
	pinBytes    = 16
	fingerprint = 4 // characters
)

var pinText = base32.StdEncoding.WithPadding(base32.NoPadding)

// newSecret makes a secret, which is nowhere else afterwards, and what is kept of it.
func newSecret(now time.Time, until *time.Time) (shown string, kept *Secret) {
	random := make([]byte, secretBytes)
	rand.Read(random)
	shown = SecretPrefix + base64.RawURLEncoding.EncodeToString(random)
	return shown, &Secret{Hash: hashOf(shown), Fingerprint: shown[len(shown)-fingerprint:], Until: until, Created: now, Updated: now}
}

// newPIN makes a PIN and what is kept of it.
func newPIN(now time.Time, secretUntil *time.Time) (shown string, kept *PIN) {
	random := make([]byte, pinBytes)
	rand.Read(random)
	shown = pinText.EncodeToString(random)
	return shown, &PIN{Hash: hashOf(shown), Until: now.Add(PINTime), SecretUntil: secretUntil}
}

// holds says whether a secret can be shown at a time.
func (s *Secret) holds(now time.Time) bool { return s.Until == nil || now.Before(*s.Until) }

func hashOf(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// hashOfPIN is that of a PIN as people write it.
func hashOfPIN(pin string) string { return hashOf(strings.ToUpper(pin)) }

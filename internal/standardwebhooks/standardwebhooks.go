// Package standardwebhooks signs what is posted to others, and reads their
// answers, as Standard Webhooks 1.0.0 has it.
package standardwebhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/retryafter"
)

// The headers of an attempt.
const (
	IDHeader        = "webhook-id"        // the same on every attempt
	TimestampHeader = "webhook-timestamp" // of this attempt, in seconds since 1970
	SignatureHeader = "webhook-signature" // left out where there is no key
)

// Stamp gives a request of an attempt its headers: who may know the key can check
// the body by them. Without a key nothing is signed.
func Stamp(h http.Header, key []byte, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h.Set(IDHeader, id)
	h.Set(TimestampHeader, timestamp)
	if key != nil {
		h.Set(SignatureHeader, sign(key, id, timestamp, body))
	}
}

// sign is the signature, version 1.
func sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// secretPrefix begins every secret.
const secretPrefix = "whsec_"

// DecodeSecret is the key that a secret stands for. Its errors do not show it.
func DecodeSecret(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return nil, errors.New("a secret that does not begin with whsec_; want whsec_ and the base64 of 24 to 64 bytes")
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		return nil, errors.New("a secret that is not base64 behind whsec_; want the base64 of 24 to 64 bytes")
	case len(key) < 24 || len(key) > 64:
		return nil, fmt.Errorf("a secret of %d bytes; want 24 to 64", len(key))
	}
	return key, nil
}

// Verdict is what an answer means.
type Verdict struct {
	Arrived bool
	Never   bool          // to try again does not help
	After   time.Duration // > 0: the other side wants to be left alone for so long
}

// Judge reads an answer: 2xx is arrival and nothing else. A redirect and any
// other 4xx but 408, 425 and 429 is for ever; 429 and 503 may say how long to wait.
func Judge(status int, header http.Header, now time.Time) Verdict {
	switch {
	case status/100 == 2:
		return Verdict{Arrived: true}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Verdict{After: retryafter.Parse(header.Get("Retry-After"), now)}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return Verdict{}
	}
	return Verdict{Never: status/100 == 3 || status/100 == 4}
}

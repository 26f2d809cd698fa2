package identity

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/did"
)

// The keys and DIDs that the public identity libraries of IOTICS make of the same
// seeds and names.
func TestFromSeed(t *testing.T) {
	for _, tt := range []struct {
		kind       Kind
		name, want string
	}{
		{Twin, "highlevel_twin_0", "did:iotics:iotXqziDRUAqcb7Sd5NcCKMHi2DCvnNKmY7B"},
		{User, "highlevel_user_0", "did:iotics:iotCm3GCjZVF6hc3C9sksLaSWnz3KCmPrCoC"},
		{Agent, "highlevel_agent_0", "did:iotics:iotXHQanTARvNc9WE5NLoDztoZcF3T1Jbx2j"},
	} {
		k, err := FromSeed([]byte(strings.Repeat("a", 16)), tt.kind, tt.name)
		require.NoError(t, err)
		assert.Equal(t, tt.want, k.DID())
		assert.True(t, did.Valid(k.DID()))
	}
	k, err := derive([]byte("d2397e8b83cf4a7073a26c1a1cdb6b65"), "iotics/0/something/user")
	require.NoError(t, err)
	assert.Equal(t, "Q9F3CfJDDkfdp5s81tReuhaew12Y56askT1RJCdXcbiHcLvBLz2HHmGPxS6XrrkujxLRCHJ6CkkTKfU3izDgMqLa", k.Public())
}

func TestKeysThatAreNone(t *testing.T) {
	for seed, want := range map[string]string{
		"":                       "a seed of 0 bytes; want 16, 20, 24, 28 or 32",
		"short":                  "a seed of 5 bytes; want 16, 20, 24, 28 or 32",
		strings.Repeat("x", 17):  "a seed of 17 bytes; want 16, 20, 24, 28 or 32",
		strings.Repeat("x", 945): "a seed of 945 bytes; want 16, 20, 24, 28 or 32",
	} {
		_, err := FromSeed([]byte(seed), User, "x")
		assert.EqualError(t, err, want)
	}
	for _, exponent := range []string{"", "short", strings.Repeat("\x00", 32), strings.Repeat("\xff", 32), strings.Repeat("\x01", 33)} {
		_, err := NewKey([]byte(exponent))
		assert.Error(t, err, "%q", exponent)
	}
}

func TestProofs(t *testing.T) {
	k, other := testKey(t, "a"), testKey(t, "b")
	public, err := publicKey(k.Public())
	require.NoError(t, err)
	proof := k.Prove("did")
	assert.True(t, proves(public, "did", proof))
	for name, wrong := range map[string]string{
		"somebody else's": other.Prove("did"), "of another text": k.Prove("dip"), "none": "", "no base64": "!" + proof[1:], "no signature": "aGVsbG8=",
		"cut": proof[:len(proof)-8],
	} {
		assert.False(t, proves(public, "did", wrong), name)
	}
}

// testKey is the same key for the same name, without the cost of a seed.
func testKey(t testing.TB, name string) Key {
	exponent := sha256.Sum256([]byte(name))
	k, err := NewKey(exponent[:])
	require.NoError(t, err)
	return k
}

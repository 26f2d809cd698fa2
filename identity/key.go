// Package identity is who is who among users, agents and twins: their keys on
// secp256k1, the identifiers that are made of them, the documents in which they
// say who may act for them, and the tokens that agents show.
package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/cosmos/go-bip39"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/mr-tron/base58"

	"tocsin.internal/internal/did"
)

// Kind is what a DID stands for.
type Kind string

// The kinds.
const (
	Host  Kind = "host"
	User  Kind = "user"
	Agent Kind = "agent"
	Twin  Kind = "twin"
)

// Key is a private key.
type Key struct{ private *secp256k1.PrivateKey }

// NewKey is the key with this exponent, 32 bytes.
func NewKey(exponent []byte) (Key, error) {
	var n secp256k1.ModNScalar
	if len(exponent) != 32 || n.SetByteSlice(exponent) || n.IsZero() {
		return Key{}, fmt.Errorf("an exponent of %d bytes; want 32, above 0 and below the order of secp256k1", len(exponent))
	}
	return Key{secp256k1.NewPrivateKey(&n)}, nil
}

// FromSeed is the key that IOTICS makes of a seed of 16 to 32 bytes, a multiple
// of 4, and a name: the same always give the same key.
func FromSeed(seed []byte, kind Kind, name string) (Key, error) {
	return derive(seed, "iotics/0/"+string(kind)+"/"+name)
}

// derive writes the seed as words (BIP39), makes a master secret of these and
// the exponent of that and the path.
func derive(seed []byte, path string) (Key, error) {
	words, err := bip39.NewMnemonic(seed)
	if err != nil {
		return Key{}, fmt.Errorf("a seed of %d bytes; want 16, 20, 24, 28 or 32", len(seed))
	}
	h := hmac.New(sha256.New, bip39.NewSeed(words, ""))
	h.Write([]byte(path))
	return NewKey(h.Sum(nil))
}

// Public is the public key as documents have it: base58 of the uncompressed point.
func (k Key) Public() string { return base58.Encode(k.private.PubKey().SerializeUncompressed()) }

// DID is the identifier that is made of the public key.
func (k Key) DID() string { return didOf(k.private.PubKey()) }

// Prove signs a text as proofs in documents are signed: base64 of a DER signature.
func (k Key) Prove(text string) string {
	digest := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(ecdsa.Sign(k.private, digest[:]).Serialize())
}

func didOf(public *secp256k1.PublicKey) string {
	h := did.NewHash()
	h.Write(public.SerializeUncompressed())
	return did.Of(h.Sum(nil))
}

// publicKey reads a public key of a document.
func publicKey(text string) (*secp256k1.PublicKey, error) {
	const longest = 90 // of 65 bytes in base58
	if len(text) > longest {
		return nil, fmt.Errorf("a public key of %d characters; want at most %d", len(text), longest)
	}
	raw, err := base58.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("public key %q: %w", text, err)
	}
	if len(raw) != secp256k1.PubKeyBytesLenUncompressed || raw[0] != secp256k1.PubKeyFormatUncompressed {
		return nil, fmt.Errorf("public key %q: want an uncompressed point of secp256k1", text)
	}
	key, err := secp256k1.ParsePubKey(raw)
	if err != nil {
		return nil, fmt.Errorf("public key %q: %w", text, err)
	}
	return key, nil
}

// proves says whether proof is the signature of a text by the key.
func proves(public *secp256k1.PublicKey, text, proof string) bool {
	der, err := base64.StdEncoding.DecodeString(proof)
	if err != nil {
		return false
	}
	signature, err := ecdsa.ParseDERSignature(der)
	if err != nil {
		return false
	}
	digest := sha256.Sum256([]byte(text))
	return signature.Verify(digest[:], public)
}

// Identity is a key and the DID it acts for, under the name that the document of
// the DID gives the key.
type Identity struct {
	DID  string
	Name string // with its #, such as "#agent-0"
	Key  Key
}

// NewIdentity is the one whose DID is made of the key, with the usual name.
func NewIdentity(k Key, kind Kind) Identity { return Identity{k.DID(), "#" + string(kind) + "-0", k} }

// Issuer is how tokens and delegations name it.
func (i Identity) Issuer() string { return i.DID + i.Name }

package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/golang-jwt/jwt/v5"
)

// MaxToken bounds the tokens of agents, and MaxDocumentToken those of documents,
// in bytes.
const (
	MaxToken         = 8 << 10
	MaxDocumentToken = 64 << 10
)

// es256k signs as IOTICS does: the header says ES256, the curve is secp256k1.
type es256k struct{}

var _ jwt.SigningMethod = es256k{}

// Alg is what the header says.
func (es256k) Alg() string { return "ES256" }

// Sign signs with a [Key].
func (es256k) Sign(text string, key any) ([]byte, error) {
	k, ok := key.(Key)
	if !ok || k.private == nil {
		return nil, jwt.ErrInvalidKeyType
	}
	digest := sha256.Sum256([]byte(text))
	signature := ecdsa.Sign(k.private, digest[:])
	r, s := signature.R(), signature.S()
	rs := [64]byte{}
	r.PutBytesUnchecked(rs[:32])
	s.PutBytesUnchecked(rs[32:])
	return rs[:], nil
}

// Verify verifies with a public key.
func (es256k) Verify(text string, rs []byte, key any) error {
	public, ok := key.(*secp256k1.PublicKey)
	if !ok {
		return jwt.ErrInvalidKeyType
	}
	var r, s secp256k1.ModNScalar
	if len(rs) != 64 || r.SetByteSlice(rs[:32]) || s.SetByteSlice(rs[32:]) {
		return jwt.ErrTokenSignatureInvalid
	}
	digest := sha256.Sum256([]byte(text))
	if !ecdsa.NewSignature(&r, &s).Verify(digest[:], public) {
		return jwt.ErrTokenSignatureInvalid
	}
	return nil
}

// signed is a token whose signature has not been looked at.
type signed struct {
	text      string // what is signed
	signature []byte
}

// parse reads a token into claims; nothing of it can be trusted before verify.
func parse(token string, most int, claims jwt.Claims) (signed, error) {
	if len(token) > most {
		return signed{}, fmt.Errorf("a token of %d bytes; want at most %d", len(token), most)
	}
	t, parts, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		return signed{}, fmt.Errorf("no token: %w", err)
	}
	if alg, _ := t.Header["alg"].(string); alg != (es256k{}).Alg() {
		return signed{}, fmt.Errorf("algorithm %s; want ES256, on secp256k1", shown(alg))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return signed{}, fmt.Errorf("no token: signature: %w", err)
	}
	return signed{token[:len(parts[0])+1+len(parts[1])], signature}, nil
}

func (s signed) verify(public *secp256k1.PublicKey) error {
	if err := (es256k{}).Verify(s.text, s.signature, public); err != nil {
		return errors.New("the signature is not that of its issuer's key")
	}
	return nil
}

// backdated is by how much tokens say that they are older than they are: their
// reader's clock may be behind.
const backdated = 30 * time.Second

// DefaultAudience is for whom tokens are where nobody says otherwise.
const DefaultAudience = "default"

// AuthToken is what an agent shows to act for a user.
func AuthToken(agent Identity, user, audience string, now time.Time, lasts time.Duration) (string, error) {
	return jwt.NewWithClaims(es256k{}, jwt.MapClaims{
		"iss": agent.Issuer(), "sub": user, "aud": audience, "iat": now.Add(-backdated).Unix(), "exp": now.Add(lasts).Unix(),
	}).SignedString(agent.Key)
}

// documentClaims are those of the token of a document.
type documentClaims struct {
	jwt.RegisteredClaims
	Doc json.RawMessage `json:"doc"`
}

// DocumentToken is a document for a resolver, signed by one of its owners.
func DocumentToken(d *Document, by Identity) (string, error) {
	return jwt.NewWithClaims(es256k{}, jwt.MapClaims{"iss": by.Issuer(), "aud": "", "doc": d}).SignedString(by.Key)
}

// ParseDocument reads the token of a document that an owner it names has signed.
// Whether that one was an owner before is for [Registered] to say.
func ParseDocument(token string) (*Document, error) {
	s, err := readDocument(token)
	return s.Document, err
}

// signedDocument is a document by one of its owners.
type signedDocument struct {
	*Document
	signed
	by string // the name of the owner's key
}

func readDocument(token string) (signedDocument, error) {
	var claims documentClaims
	text, err := parse(token, MaxDocumentToken, &claims)
	if err != nil {
		return signedDocument{}, err
	}
	id, name, err := splitIssuer(claims.Issuer)
	if err != nil {
		return signedDocument{}, err
	}
	d, err := decodeDocument(claims.Doc)
	if err != nil {
		return signedDocument{}, err
	}
	if d.ID != id {
		return signedDocument{}, fmt.Errorf("a document of %s by %s; want one by its owner", d.ID, id)
	}
	i := slices.IndexFunc(d.PublicKey, func(k PublicKey) bool { return k.ID == name }) // also a revoked one: an owner may revoke the own key
	if i < 0 {
		return signedDocument{}, fmt.Errorf("%s has no key %s", d.ID, name)
	}
	public, err := publicKey(d.PublicKey[i].Base58)
	if err == nil {
		err = text.verify(public)
	}
	if err != nil {
		return signedDocument{}, err
	}
	return signedDocument{d, text, name}, nil
}

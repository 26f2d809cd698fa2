// Package did forms the identifiers of twins, agents and users: "did:iotics:" and
// base58.
package did

import (
	"errors"
	"hash"
	"slices"
	"strings"

	"github.com/mr-tron/base58"
	"golang.org/x/crypto/blake2b"
)

// A DID is "did:iotics:" and the base58 of a tag, a digest of 20 bytes and the
// first 4 bytes of the digest's own digest. The tag makes the base58 begin
// with "iot" and be 36 characters long.
const (
	prefix       = "did:iotics:"
	tag          = "\x05\x55\x59"
	digestSize   = 20
	checksumSize = 4
	size         = len(tag) + digestSize + checksumSize
	chars        = 36
)

// ErrUnknown is the error of a DID of which a resolver knows no document.
var ErrUnknown = errors.New("no document")

// NewHash is the hash whose digest a DID says.
func NewHash() hash.Hash {
	h, err := blake2b.New(digestSize, nil)
	if err != nil {
		panic(err) // the size is a constant that blake2b takes
	}
	return h
}

// Of is the DID of a digest of [NewHash].
func Of(digest []byte) string {
	return prefix + base58.Encode(slices.Concat([]byte(tag), digest, checksum(digest)))
}

// Valid says whether id has the form of a DID and a right checksum.
func Valid(id string) bool {
	text, ok := strings.CutPrefix(id, prefix)
	if !ok || len(text) != chars {
		return false
	}
	raw, err := base58.Decode(text)
	if err != nil || len(raw) != size || string(raw[:len(tag)]) != tag {
		return false
	}
	digest := raw[len(tag) : len(tag)+digestSize]
	return string(raw[len(tag)+digestSize:]) == string(checksum(digest))
}

func checksum(digest []byte) []byte {
	h := NewHash()
	h.Write(digest)
	return h.Sum(nil)[:checksumSize]
}

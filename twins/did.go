package twins

import (
	"encoding/binary"
	"hash"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// A DID is "did:iotics:" and the base58 of a tag, a digest of 20 bytes and the
// first 4 bytes of the digest's own digest. The tag makes the base58 begin
// with "iot" and be 36 characters long.
const (
	didPrefix    = "did:iotics:"
	didTag       = "\x05\x55\x59"
	digestSize   = 20
	checksumSize = 4
	didSize      = len(didTag) + digestSize + checksumSize
	didChars     = 36
)

// OutputID is the id of the twin that an interaction makes of a source twin:
// the same two always give the same id.
func OutputID(interaction, source string) string {
	return did("tocsin output twin", interaction, source)
}

// NewID is the id that goes with a name of one or more parts: the same parts
// always give the same id, and never one of OutputID.
func NewID(parts ...string) string { return did("tocsin twin", parts...) }

func did(domain string, parts ...string) string {
	h := newHash()
	h.Write([]byte(domain))
	for _, p := range parts { // each with its length, so that ("ab","c") is not ("a","bc")
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	digest := h.Sum(nil)
	raw := slices.Concat([]byte(didTag), digest, checksum(digest))
	return didPrefix + base58(raw)
}

// ValidDID says whether id has the form of an iotics DID and a right checksum.
func ValidDID(id string) bool {
	text, ok := strings.CutPrefix(id, didPrefix)
	if !ok || len(text) != didChars {
		return false
	}
	raw, ok := unbase58(text)
	if !ok || string(raw[:len(didTag)]) != didTag {
		return false
	}
	digest := raw[len(didTag) : len(didTag)+digestSize]
	return string(raw[len(didTag)+digestSize:]) == string(checksum(digest))
}

func checksum(digest []byte) []byte {
	h := newHash()
	h.Write(digest)
	return h.Sum(nil)[:checksumSize]
}

func newHash() hash.Hash {
	h, err := blake2b.New(digestSize, nil)
	if err != nil {
		panic(err) // the size is a constant that blake2b takes
	}
	return h
}

const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58 writes the number whose big-endian bytes are raw, which begin with
// one that is not 0.
func base58(raw []byte) string {
	n := slices.Clone(raw)
	var out []byte
	for len(n) > 0 {
		rest := 0
		for i, b := range n {
			rest = rest<<8 | int(b)
			n[i] = byte(rest / 58)
			rest %= 58
		}
		out = append(out, base58Alphabet[rest])
		for len(n) > 0 && n[0] == 0 {
			n = n[1:]
		}
	}
	slices.Reverse(out)
	return string(out)
}

// unbase58 is the inverse of base58 for numbers that fit a DID.
func unbase58(text string) (raw [didSize]byte, ok bool) {
	for _, c := range []byte(text) {
		carry := strings.IndexByte(base58Alphabet, c)
		if carry < 0 {
			return raw, false
		}
		for i := len(raw) - 1; i >= 0; i-- {
			carry += int(raw[i]) * 58
			raw[i] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return raw, false
		}
	}
	return raw, true
}

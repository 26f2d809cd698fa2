package twins

import (
	"encoding/binary"

	"tocsin.internal/internal/did"
)

// OutputID is the id of the twin that an interaction makes of a source twin:
// the same two always give the same id.
func OutputID(interaction, source string) string {
	return idOf("tocsin output twin", interaction, source)
}

// NewID is the id that goes with a name of one or more parts: the same parts
// always give the same id, and never one of OutputID.
func NewID(parts ...string) string { return idOf("tocsin twin", parts...) }

func idOf(domain string, parts ...string) string {
	h := did.NewHash()
	h.Write([]byte(domain))
	for _, p := range parts { // each with its length, so that ("ab","c") is not ("a","bc")
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return did.Of(h.Sum(nil))
}

package scan

import "bytes"

// prefix is how long a run may be to be compared as two words.
const prefix = 16

// run is bytes that are expected in the sample.
type run struct {
	bytes      []byte
	head, mask [prefix / 8]uint64 // the bytes if they are few; else nothing is equal to it
}

// set makes r the run of text, which it keeps.
func (r *run) set(text []byte) {
	r.bytes = text
	r.head, r.mask = [2]uint64{1}, [2]uint64{}
	if len(text) > prefix {
		return
	}
	var padded [prefix]byte
	var mask [prefix]byte
	copy(padded[:], text)
	for i := range text {
		mask[i] = 0xff
	}
	r.head = [2]uint64{eight(padded[:], 0), eight(padded[:], 8)}
	r.mask = [2]uint64{eight(mask[:], 0), eight(mask[:], 8)}
}

// near says whether the sample, which has the bytes of a prefix at p, goes on as
// a short run does.
func (r *run) near(text []byte, p int) bool {
	return (eight(text, p)&r.mask[0]^r.head[0])|(eight(text, p+8)&r.mask[1]^r.head[1]) == 0
}

// at says whether the sample goes on as the run does.
func (r *run) at(text []byte, p int) bool { return bytes.HasPrefix(text[p:], r.bytes) }

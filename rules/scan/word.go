package scan

import (
	"encoding/binary"
	"math/bits"
)

// Texts and numbers are read eight bytes at a time: a word has the first byte
// lowest, a mask over it has the high bit of each byte that is marked, and
// places within it are counted in bits, eight for each byte.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// within says whether the size bytes at p are in text. That p is not negative is
// for the compiler, which then leaves out its own checks. Whoever needs a word
// that may not be within text writes both cases out, because a function that has
// them is not inlined.
func within(text []byte, p, size int) bool { return p >= 0 && p <= len(text)-size }

// eight gives the bytes from p to p+8, which must be within text.
func eight(text []byte, p int) uint64 {
	return binary.LittleEndian.Uint64(text[p : p+8 : p+8])
}

// upToEight gives the bytes from p to the end of text, which is nearer than
// eight bytes, and 0 for those beyond.
func upToEight(text []byte, p int) uint64 {
	if len(text) < 8 {
		var w uint64
		for i := len(text) - 1; i >= p; i-- {
			w = w<<8 | uint64(text[i])
		}
		return w
	}
	last := len(text) - 8
	return eight(text, last) >> (8 * uint(p-last))
}

// firstMark gives where the first marked byte begins, 0 if there is none.
func firstMark(mask uint64) uint { return uint(bits.TrailingZeros64(mask)) & 56 }

// below gives the bits below a place in a word.
func below(bit uint) uint64 { return 1<<(bit&63) - 1 }

// textEnds marks quotes, backslashes and control characters. Only the first mark
// counts: a subtraction may borrow from the bytes after it.
func textEnds(w uint64) uint64 {
	quote := w ^ '"'*ones
	backslash := w ^ '\\'*ones
	return ((quote-ones)&^quote | (backslash-ones)&^backslash | (w-' '*ones)&^w) & highs
}

// nonDigits marks the bytes that are not 0 to 9 as numbers, nor as characters
// once they are combined with '0' by exclusive or. A mark counts unless a byte
// above 0x89 is before it: an addition may carry into the bytes after that.
func nonDigits(digits uint64) uint64 {
	return (digits + (0x80-10)*ones | digits) & highs
}

// decimal gives the number that eight digits are, the first one the highest:
// pairs first, then fours, then all.
func decimal(digits uint64) uint64 {
	digits = digits * (1 + 10<<8) >> 8 & 0x00ff00ff00ff00ff
	digits = digits * (1 + 100<<16) >> 16 & 0x0000ffff0000ffff
	return digits * (1 + 10000<<32) >> 32
}

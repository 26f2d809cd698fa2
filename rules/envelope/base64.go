package envelope

import (
	"encoding/binary"
	"slices"
)

// Base64 as RFC 4648 has it: padded, no line breaks, no bits behind the last
// byte. The package encoding/base64 needs more than twice as long, which was
// half of what an envelope costs.

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// noLetter is more than four letters can make.
const noLetter = 1 << 31

// decoded has what each byte stands for at each of the four places of a group.
var decoded = func() (values [4][256]uint32) {
	for place := range values {
		for i := range values[place] {
			values[place][i] = noLetter
		}
		for value := range len(letters) {
			values[place][letters[value]] = uint32(value) << (18 - 6*place)
		}
	}
	return values
}()

// pairs has the two letters of twelve bits.
var pairs = func() (text [1 << 12]uint16) {
	for i := range text {
		text[i] = uint16(letters[i>>6]) | uint16(letters[i&63])<<8
	}
	return text
}()

// appendDecoded appends what src encodes. It gives false when that is not
// base64.
func appendDecoded(dst, src []byte) ([]byte, bool) {
	if len(src)%4 != 0 || len(src) == 0 {
		return dst, len(src) == 0
	}
	begin, size := len(dst), len(src)/4*3
	dst = slices.Grow(dst, size)[:begin+size]
	out, d := dst[begin:], &decoded
	met := uint32(0)
	for ; len(src) > 8 && len(out) >= 8; src, out = src[8:], out[6:] {
		v := d[0][src[0]] | d[1][src[1]] | d[2][src[2]] | d[3][src[3]]
		w := d[0][src[4]] | d[1][src[5]] | d[2][src[6]] | d[3][src[7]]
		met |= v | w
		binary.BigEndian.PutUint64(out, uint64(v)<<40|uint64(w)<<16)
	}
	for ; len(src) > 4 && len(out) >= 4; src, out = src[4:], out[3:] {
		v := d[0][src[0]] | d[1][src[1]] | d[2][src[2]] | d[3][src[3]]
		met |= v
		binary.BigEndian.PutUint32(out, v<<8)
	}
	v, n := lastGroup([4]byte(src))
	out[0], out[1], out[2] = byte(v>>16), byte(v>>8), byte(v)
	return dst[:len(dst)-3+n], met|v < noLetter
}

// lastGroup decodes a group that may be padded to n bytes.
func lastGroup(group [4]byte) (v uint32, n int) {
	d := &decoded
	v, n = d[0][group[0]]|d[1][group[1]], 1
	behind := uint32(0xffff)
	if group[2] != '=' || group[3] != '=' {
		v, n, behind = v|d[2][group[2]], 2, 0xff
	}
	if group[3] != '=' {
		v, n, behind = v|d[3][group[3]], 3, 0
	}
	if v&behind != 0 {
		return noLetter, n
	}
	return v, n
}

// appendEncoded appends src in base64.
func appendEncoded(dst, src []byte) []byte {
	begin, size := len(dst), (len(src)+2)/3*4
	dst = slices.Grow(dst, size)[:begin+size]
	out, p := dst[begin:], &pairs
	for ; len(src) >= 8 && len(out) >= 8; src, out = src[6:], out[8:] {
		v := binary.BigEndian.Uint64(src)
		binary.LittleEndian.PutUint64(out, uint64(p[v>>52])|uint64(p[v>>40&0xfff])<<16|uint64(p[v>>28&0xfff])<<32|uint64(p[v>>16&0xfff])<<48)
	}
	for ; len(src) >= 3 && len(out) >= 4; src, out = src[3:], out[4:] {
		v := uint32(src[0])<<16 | uint32(src[1])<<8 | uint32(src[2])
		binary.LittleEndian.PutUint32(out, uint32(p[v>>12])|uint32(p[v&0xfff])<<16)
	}
	switch len(src) {
	case 1:
		binary.LittleEndian.PutUint16(out, p[uint32(src[0])<<4])
		out[2], out[3] = '=', '='
	case 2:
		v := uint32(src[0])<<16 | uint32(src[1])<<8
		binary.LittleEndian.PutUint16(out, p[v>>12])
		out[2], out[3] = letters[v>>6&63], '='
	}
	return dst
}

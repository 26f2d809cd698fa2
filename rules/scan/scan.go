// Package scan reads a sample once: one validating pass over its bytes fills
// the slots of the values that rules named.
//
// A [Builder] collects the paths, a [Plan] is what they come to, and a
// [Scanner] is the state of one worker. Offsets into the sample stand for
// texts and containers, so a scan copies nothing and allocates nothing once
// its buffers have grown.
package scan

// MaxDepth is how many containers may be inside one another. encoding/json
// reads 10,000, and whoever reads a sample in an outcome or an envelope reads a
// few more than the sample has. It bounds the recursion of a scan.
const MaxDepth = 9_900

// maxForgotten is how many slots a sample may make a scan clear because a name
// is repeated: some milliseconds. The last value of a name counts, and nothing
// below the ones before it.
const maxForgotten = 1 << 20

// maxText is the longest sample: its offsets fit in 32 bits.
const maxText = 1 << 31

// Kind is what a value is. The order counts: below Number there is nothing to
// read but the kind itself, from List on it is more than a scalar.
type Kind uint8

// The kinds of values.
const (
	Missing Kind = iota
	Null
	False
	True
	Number
	Text
	List
	Object
	Unread // an index or the length of a text, which a scan does not look into, or a list that is too long for rows
)

// Value is a slot: what the sample has at a path.
type Value struct {
	Num        float64 // Number: exactly what strconv.ParseFloat gives. List with a table: its first row
	Start, End uint32  // the value as written is text[Start:End], a Text with its quotes; 0, 0 when it is not written in the sample
	Count      uint32  // List: how many elements it has
	Kind       Kind
	Escaped    bool // Text: has escapes or invalid UTF-8, so that AppendText must decode it before it is compared
}

// set makes v a value that is written in the sample, without what only some
// kinds have.
func (v *Value) set(kind Kind, start, end int) {
	v.Num = 0
	v.Start, v.End = uint32(start), uint32(end)
	v.Count, v.Kind, v.Escaped = 0, kind, false
}

package scan

const (
	maxShape = 64  // members of an object that are remembered
	maxToken = 128 // bytes of each
)

// shape is how the members of an object began last time. Those of the next one
// are likely to begin alike: then their names need not be read.
type shape []member

// member is a brace or comma, a name, a colon, and all blanks between them and
// the value.
type member struct {
	run
	kid *node // that wants the value, or nil
}

// remember takes note of the i-th member.
func (s *shape) remember(i int, token []byte, kid *node) {
	if i >= maxShape || i > len(*s) || len(token) > maxToken {
		return
	}
	if i == len(*s) {
		*s = append(*s, member{})
	}
	m := &(*s)[i]
	m.set(append(m.bytes[:0], token...))
	m.kid = kid
}

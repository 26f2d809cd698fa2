package scan

// none is the slot, table or index that there is not.
const none = -1

// maxSearched is how many kids of a node are searched one by one; more are
// looked up in a map.
const maxSearched = 8

// Plan is what the paths of a [Builder] come to: a trie of their names. It is
// immutable and may be shared by goroutines.
type Plan struct {
	root   *node
	slots  int // of the sample
	tables []table
	nodes  int  // in all tries
	unread bool // some slot may be Unread
}

// table is the trie and the row of a list's elements.
type table struct {
	root  *node
	width int // slots of a row
}

// node is a place in the sample that a path leads to or through.
type node struct {
	id       int // among all nodes of the plan
	slot     int // of the value, or none
	bloom    uint64
	kids     []named
	byName   map[string]*node // the kids, when they are many
	below    []int            // the slots of the kids and of theirs
	unread   []int            // those of them that a text does not give
	elements []element        // the kids that are indexes of a list, ascending
	length   int              // the slot of a list's length, or none
	table    int              // of a list, or none
}

type named struct {
	name string
	node *node
}

type element struct {
	index int
	node  *node
}

// find gives the kid of that name, decoded, or nil. The Bloom word turns most
// names away that nobody reads.
func (n *node) find(name []byte) *node {
	if n.bloom&bloomBit(name) == 0 {
		return nil
	}
	if n.byName != nil {
		return n.byName[string(name)]
	}
	for i := range n.kids {
		if n.kids[i].name == string(name) {
			return n.kids[i].node
		}
	}
	return nil
}

// bloomBit is the bit of a name: its first byte and its length make it.
func bloomBit(name []byte) uint64 {
	if len(name) == 0 {
		return 1
	}
	return 1 << ((uint(name[0]) ^ uint(len(name))*11) & 63)
}

package scan

import (
	"slices"
	"strconv"
	"strings"
)

// Builder collects the paths that rules read. The zero value is ready; it is
// not safe for concurrent use.
type Builder struct {
	sample frame
	tables []*Table
}

// Slot gives the slot of the value at path: names of members, indexes of lists
// and "length", already split. No path is the whole sample. The same path gives
// the same slot.
func (b *Builder) Slot(path ...string) int { return b.sample.slot(path) }

// Table asks for a row for each element of the list at path, and for the slot
// of the list itself. The same path gives the same table.
func (b *Builder) Table(path ...string) *Table { return b.table(&b.sample, path) }

// Table is a list that gets a row of slots for each element.
type Table struct {
	row     frame
	id      int
	builder *Builder
}

// ID is the table's index for [Scanner.Row].
func (t *Table) ID() int { return t.id }

// Slot gives the slot in a row of the value at path below the element. No path
// is the element itself, which is slot 0.
func (t *Table) Slot(path ...string) int { return t.row.slot(path) }

// Table asks for rows for a list inside the element, whose slot is t.Slot(path...).
func (t *Table) Table(path ...string) *Table { return t.builder.table(&t.row, path) }

func (b *Builder) table(f *frame, path []string) *Table {
	f.slot(path)
	list := f.root.at(path)
	if list.table == nil {
		t := &Table{id: len(b.tables), builder: b}
		t.Slot()
		list.table = t
		b.tables = append(b.tables, t)
	}
	return list.table
}

// frame is the slots that are filled together: those of the sample, or those of
// a row.
type frame struct {
	root  branch
	slots int
}

func (f *frame) slot(path []string) int {
	b := f.root.at(path)
	if !b.read {
		b.read, b.slot = true, f.slots
		f.slots++
	}
	return b.slot
}

// branch is a name on the way to a slot.
type branch struct {
	read  bool // it has a slot
	slot  int
	table *Table
	names []string // of the kids, in the order in which they were asked for
	kids  map[string]*branch
}

func (b *branch) at(path []string) *branch {
	for _, name := range path {
		kid, ok := b.kids[name]
		if !ok {
			if b.kids == nil {
				b.kids = map[string]*branch{}
			}
			kid = new(branch)
			b.kids[name] = kid
			b.names = append(b.names, name)
		}
		b = kid
	}
	return b
}

// Build gives the plan of all paths so far.
func (b *Builder) Build() *Plan {
	p := &Plan{slots: b.sample.slots, tables: make([]table, len(b.tables))}
	p.root = p.node(&b.sample.root)
	for i, t := range b.tables {
		p.tables[i].width = t.row.slots
		p.tables[i].root = p.node(&t.row.root)
	}
	return p
}

// node makes the nodes of a branch and of all below it.
func (p *Plan) node(b *branch) *node {
	n := &node{id: p.nodes, slot: none, length: none, table: none}
	p.nodes++
	if b.read {
		n.slot = b.slot
	}
	if b.table != nil {
		n.table = b.table.id
	}
	for _, name := range b.names {
		n.add(name, p.node(b.kids[name]))
	}
	if len(n.kids) > maxSearched {
		n.byName = map[string]*node{}
		for _, k := range n.kids {
			n.byName[k.name] = k.node
		}
	}
	slices.SortFunc(n.elements, func(a, b element) int { return a.index - b.index })
	p.unread = p.unread || len(n.unread) > 0
	return n
}

// add makes kid a kid of n.
func (n *node) add(name string, kid *node) {
	n.kids = append(n.kids, named{name, kid})
	n.bloom |= bloomBit([]byte(name))
	slots := slices.Clone(kid.below)
	if kid.slot != none {
		slots = append(slots, kid.slot)
	}
	n.below = append(n.below, slots...)
	index := listIndex(name)
	if index != none {
		n.elements = append(n.elements, element{index, kid})
	}
	if name == "length" {
		n.length = kid.slot
	}
	if index != none || name == "length" {
		n.unread = append(n.unread, slots...)
	}
}

// listIndex takes "0" and "17" for an index, as JavaScript does, but not "01",
// "-1" or "1e0".
func listIndex(name string) int {
	if len(name) > 1 && name[0] == '0' || strings.TrimLeft(name, "0123456789") != "" {
		return none
	}
	i, err := strconv.Atoi(name)
	if err != nil {
		return none
	}
	return i
}

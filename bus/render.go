package bus

import (
	"hash/maphash"
	"unsafe"

	"tocsin.internal/rules"
)

// renderer renders outcomes. What hangs on their names alone it keeps: a twin's
// outputs have the same names time and again.
type renderer struct {
	root string // of all subjects
	seed maphash.Seed
	kept []names // by hash, in pairs: the one that was used last comes first
}

// names are those of an output, and what was rendered of them.
type names struct {
	partition                             int
	source, twin, feed, interaction, rule string
	subject, head                         []byte
}

// keptNames is a power of two. Each takes some 500 bytes.
const keptNames = 1 << 13

func newRenderer(root string) renderer {
	return renderer{root: root, seed: maphash.MakeSeed(), kept: make([]names, keptNames)}
}

// render renders an outcome of partition p into the message's memory.
func (r *renderer) render(m *outMessage, p int, o *rules.Outcome) {
	if o.Kind != rules.Output {
		m.subject = appendSubject(append(m.subject[:0], r.root...), p, o)
		m.body = o.AppendJSON(m.body[:0])
		return
	}
	n := r.names(p, o)
	m.subject = append(m.subject[:0], n.subject...)
	m.body = o.AppendRest(append(m.body[:0], n.head...))
}

// names gives what is kept of an output, in place of another one's if need be.
func (r *renderer) names(p int, o *rules.Outcome) *names {
	at := (maphash.String(r.seed, o.Twin) ^ maphash.String(r.seed, o.Rule)) & (keptNames - 1)
	n := &r.kept[at]
	if n.are(p, o) {
		return n
	}
	*n, r.kept[at^1] = r.kept[at^1], *n
	if !n.are(p, o) {
		*n = names{
			p, o.Source, o.Twin, o.Feed, o.Interaction, o.Rule,
			appendSubject(append(n.subject[:0], r.root...), p, o), o.AppendNames(n.head[:0]),
		}
	}
	return n
}

func (n *names) are(p int, o *rules.Outcome) bool {
	return n.twin == o.Twin && n.source == o.Source && n.feed == o.Feed && n.rule == o.Rule && n.interaction == o.Interaction && n.partition == p
}

// text is b as a string, for a callee that copies it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

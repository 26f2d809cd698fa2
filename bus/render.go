package bus

import (
	"bytes"
	"strconv"
	"unsafe"

	"tocsin.internal/rules"
)

// renderer renders outcomes. What outputs have in common, whichever twin they
// are of, it keeps.
type renderer struct {
	root   string // of all subjects
	shapes map[shape]*rendered
	shape  shape // of the last output
	last   *rendered
}

// shape is what the outputs of one field of one rule have in common.
type shape struct{ interaction, rule, feed string }

// rendered are the parts of such an output before and after its twin: of its
// subject the feed, and the beginning of its body.
type rendered struct{ feed, before, after []byte }

// keptShapes bounds what is kept: some 300 bytes each.
const keptShapes = 1 << 12

func newRenderer(root string) renderer {
	return renderer{root: root, shapes: map[shape]*rendered{}}
}

// render renders an outcome of partition p into the message's memory.
func (r *renderer) render(m *outMessage, p int, o *rules.Outcome) {
	if o.Kind != rules.Output {
		m.subject = appendSubject(append(m.subject[:0], r.root...), p, o)
		m.body = o.AppendJSON(m.body[:0])
		return
	}
	parts := r.parts(o)
	source := o.Source
	if source == "" {
		source = o.Twin
	}
	b := append(append(m.subject[:0], r.root...), "out."...)
	b = addTokens(strconv.AppendInt(b, int64(p), 10), source)
	m.subject = addTokens(append(b, parts.feed...), o.Twin)
	b = rules.AppendText(append(m.body[:0], parts.before...), o.Twin)
	m.body = o.AppendRest(append(b, parts.after...))
}

// parts gives what an output has in common with others.
func (r *renderer) parts(o *rules.Outcome) *rendered {
	is := shape{o.Interaction, o.Rule, o.Feed}
	if r.last != nil && r.shape == is {
		return r.last
	}
	parts := r.shapes[is]
	if parts == nil {
		some := rules.Outcome{Kind: o.Kind, Interaction: o.Interaction, Rule: o.Rule, Feed: o.Feed}
		const member = `,"twin":`
		before, after, _ := bytes.Cut(some.AppendNames(nil), []byte(member+`""`)) // in a string the quotes would be escaped
		parts = &rendered{addTokens(nil, o.Feed), append(bytes.Clone(before), member...), bytes.Clone(after)}
		if len(r.shapes) == keptShapes {
			clear(r.shapes)
		}
		r.shapes[is] = parts
	}
	r.shape, r.last = is, parts
	return parts
}

// text is b as a string, for a callee that copies it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

package engine

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// Some rules look at several twins: a join reads the latest sample of another
// one, a group is judged as one. Their state lies in one place, the twin that is
// judged or the group, and the samples of the others are brought there by the
// worker, which has all partitions. See docs/adr/0009.

// linkKey is where the samples of a link go: to the twins with a value.
type linkKey struct{ program, link, value string }

// groupKey is a group: the twin that stands for it, in one interaction.
type groupKey struct{ program, twin string }

// peers are the partitions of a worker; nil where it has none.
type peers struct {
	all  []*partition
	home func(twin string) int // where a twin, or a group, lies
}

// alone is a partition that has no other beside it.
func (p *partition) alone() { p.peers = &peers{[]*partition{p}, func(string) int { return 0 }} }

// valueOf is the value of a property that links twins.
func valueOf(t *twins.Twin, property string) (string, bool) {
	for _, p := range t.Properties {
		if p.Key == property {
			return p.Value.Value, true
		}
	}
	return "", property == ""
}

// standIn is the twin that a link's group is named after.
func standIn(l *rules.Link, value string) string {
	if l.Property == "" {
		return l.Model
	}
	return value
}

// relay brings a sample to whoever else judges it.
func (p *partition) relay(m *member, bindings []*binding, s *rules.Sample, out []rules.Outcome) []rules.Outcome {
	for _, b := range bindings {
		links := b.program.Links()
		for i := range links {
			l := &links[i]
			value, ok := valueOf(m.twin, l.Property)
			if l.Feed != s.Feed || !b.state.Bound().Has(l.Source) || !ok {
				continue
			}
			if l.Group {
				q := p.peers.all[p.peers.home(standIn(l, value))]
				if q == nil || q.shadow {
					continue
				}
				out = q.judgeGroup(b.program, l, standIn(l, value), s, out)
				continue
			}
			for _, q := range p.peers.all {
				if q == nil || q.shadow {
					continue
				}
				out = q.meet(b.program, l, value, m.twin.ID, s, out)
			}
		}
	}
	return out
}

// sees gives the partition's own program and link, unless it has seen the sample
// before it was loaded. An edit reaches the partitions one after the other, so
// the program may be another one than the sender's.
func (p *partition) sees(program *running, l *rules.Link, s *rules.Sample) (*running, *rules.Link) {
	if s.Seq <= p.seq && p.seq > 0 {
		return nil, nil
	}
	return p.linkOf(program.ID(), l.Name)
}

func (p *partition) linkOf(program, name string) (*running, *rules.Link) {
	i, found := p.find(program)
	if !found {
		return nil, nil
	}
	links := p.programs[i].Links()
	for k := range links {
		if links[k].Name == name {
			return p.programs[i], &links[k]
		}
	}
	return nil, nil
}

// meet judges a sample for the twins that a join brings it to.
func (p *partition) meet(program *running, l *rules.Link, value, from string, s *rules.Sample, out []rules.Outcome) []rules.Outcome {
	_, own := p.sees(program, l, s)
	if own == nil {
		return out
	}
	for _, b := range p.linked[linkKey{program.ID(), l.Name, value}] {
		if b.twin == from {
			continue
		}
		before := len(out)
		out = b.program.Relay(own.ID, s, b.twin, b.state, out)
		b.address(out[before:], p.offline)
		p.watch(b)
	}
	return out
}

// judgeGroup judges a member's sample for its group.
func (p *partition) judgeGroup(program *running, l *rules.Link, twin string, s *rules.Sample, out []rules.Outcome) []rules.Outcome {
	own, link := p.sees(program, l, s)
	if own == nil || !link.Group {
		return out
	}
	key := groupKey{own.ID(), twin}
	b := p.groups[key]
	if b == nil {
		b = &binding{program: own, state: own.NewGroupState(own.counters), twin: twin, output: twins.OutputID(own.ID(), twin), wake: rules.NoWake}
		p.groups[key] = b
	}
	out = b.program.Relay(link.ID, s, twin, b.state, out)
	p.watch(b)
	return out
}

// membership is a group that a twin is of.
type membership struct {
	groupKey
	link string
}

// connect notes where the samples of others come to a twin, and of which groups
// it is; it leaves those that it is of no longer.
func (p *partition) connect(m *member, e event, out *[]rules.Outcome) {
	for _, key := range m.links {
		p.linked[key] = slices.DeleteFunc(p.linked[key], func(b *binding) bool { return b.twin == m.twin.ID })
		if len(p.linked[key]) == 0 {
			delete(p.linked, key)
		}
	}
	was := m.links
	m.links = nil
	var groups []membership
	for _, b := range m.bindings {
		for _, l := range b.program.Links() {
			value, ok := valueOf(m.twin, l.Property)
			switch bound := b.state.Bound(); {
			case !ok || !bound.Has(l.Target):
			case l.Group:
				groups = append(groups, membership{groupKey{b.program.ID(), standIn(&l, value)}, l.Name})
			default:
				key := linkKey{b.program.ID(), l.Name, value}
				// In the order of the twins: it is that of the outcomes.
				i, _ := slices.BinarySearchFunc(p.linked[key], b, func(a, b *binding) int { return strings.Compare(a.twin, b.twin) })
				p.linked[key] = slices.Insert(p.linked[key], i, b)
				m.links = append(m.links, key)
			}
		}
	}
	for _, b := range m.bindings {
		for _, key := range was {
			if key.program != b.program.ID() || slices.Contains(m.links, key) {
				continue
			}
			if _, l := p.linkOf(key.program, key.link); l != nil {
				b.program.Unjoin(l.ID, b.state)
			}
		}
	}
	for _, was := range m.groups {
		// Where the rule is gone the group's own partition closes it.
		if _, l := p.linkOf(was.program, was.link); l != nil && !slices.Contains(groups, was) {
			if q := p.peers.all[p.peers.home(was.twin)]; q != nil && !q.shadow {
				q.leave(was, m.twin.ID, e, out)
			}
		}
	}
	m.groups = groups
}

// leave takes a twin out of a group. Where the rule is gone, or the group has
// another one, there is nothing to leave.
func (p *partition) leave(was membership, twin string, e event, out *[]rules.Outcome) {
	b := p.groups[was.groupKey]
	program, l := p.linkOf(was.program, was.link)
	if b == nil || l == nil || b.program != program || e.seq <= p.seq && p.seq > 0 {
		return
	}
	at := e.at
	if p.bySamples && !p.now.IsZero() {
		at = p.now
	}
	*out = b.program.Leave(l.ID, twin, at, was.twin, e.seq, b.state, *out)
	if p.watch(b); b.state.Empty() {
		b.gone = true
		delete(p.groups, was.groupKey)
	}
}

// regroup lets the groups of a program go on with the one that replaces it; nil:
// there is none.
func (p *partition) regroup(old, next *running, e event, out *[]rules.Outcome) {
	for _, key := range p.groupsOf(old.ID()) {
		b := p.groups[key]
		if next == nil {
			*out = b.program.Close(e.at, b.twin, b.state, rules.ReasonRuleDeleted, *out)
			b.gone = true
			delete(p.groups, key)
			continue
		}
		b.state, *out = next.Adopt(b.program.Program, b.state, ^rules.SourceSet(0), next.counters, e.at, b.twin, *out)
		b.program = next
		p.watch(b)
	}
}

// groupsOf are the groups of a program, in order.
func (p *partition) groupsOf(program string) []groupKey {
	var keys []groupKey
	for key := range maps.Keys(p.groups) {
		if key.program == program {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b groupKey) int { return cmp.Compare(a.twin, b.twin) })
	return keys
}

// linksTwins says whether a rule looks at several twins.
func (p *partition) linksTwins() bool { return p.links }

func (p *partition) linksAny() bool {
	return slices.ContainsFunc(p.programs, func(r *running) bool { return len(r.Links()) > 0 })
}

package logic

import (
	"math/bits"
	"slices"
	"strconv"

	"tocsin.internal/rules/scan"
)

// group are rules that differ in nothing but the constants of their
// comparisons: {">":[{"var":"t"},30]} and {"<":[{"var":"t"},5]}, say. They are
// judged together, 64 to a machine word: each comparison is one look into a
// column, each and, or, ! a few operations on bit sets.
//
// Order counts as it does in a single rule. A set of the rules that are still
// being evaluated goes along, so that a missing input makes those rules unknown
// that come to read it, and no others.
type group struct {
	rules       []int // in Set.rules; the index is the bit
	first       int   // word in the machine's verdicts
	words       int
	all         []uint64 // a bit for each rule
	conditions  []*shape
	conjunction []comparing // the comparisons, when the rules consist of and and them alone
	nodes       int         // of the largest condition
	weight      int         // of the condition with the most text
}

// smallestGroup is worth a group. Fewer rules are faster one by one.
const smallestGroup = 8

// shape is what the conditions of a group have in common.
type shape struct {
	kind shapeKind
	comparing
	strict  bool  // by identity
	operand quick // of aboutAll; of aboutNumber when it is not a slot
	parts   []*shape
}

// comparing compares a slot with the numbers or the texts of all rules.
type comparing struct {
	slot    int
	outside bool // the answer is the opposite; for notPart, too
	numbers *numberColumn
	texts   *textColumn
}

type shapeKind uint8

const (
	everyPart shapeKind = iota // and
	somePart                   // or
	notPart                    // !, !!
	aboutNumber
	aboutText
	aboutAll // a node that the rules have in common
)

// form writes what a node asks without its constants; ok is false when the node
// is of another kind than groups are made of. Each kind has its case in
// [group.shape], too.
func form(b []byte, q quick) (_ []byte, ok bool) {
	switch n := q.(type) {
	case *allOf:
		return forms(append(b, '&'), n.operands)
	case *anyOf:
		return forms(append(b, '|'), n.operands)
	case *negated:
		b = strconv.AppendBool(append(b, '!'), n.twice)
		return form(b, n.operand)
	case *within:
		b = strconv.AppendInt(append(b, '#'), int64(n.slot), 10)
		b = strconv.AppendBool(b, n.outside)
		return strconv.AppendBool(b, n.strict), true
	case *oneOf:
		b = strconv.AppendInt(append(b, '"'), int64(n.slot), 10)
		return strconv.AppendBool(b, n.outside), true
	case *ranged:
		b = strconv.AppendBool(append(b, '~'), n.outside)
		return inFull(strconv.AppendBool(b, n.strict), n.operand)
	}
	return inFull(append(b, '='), q)
}

// inFull writes the whole of a node, constants and all: rules of a group that
// have it in common evaluate it once.
func inFull(b []byte, q quick) (_ []byte, ok bool) {
	switch n := q.(type) {
	case *fixed:
		if n.complex || n.constant.Kind == scan.Text {
			return b, false
		}
		b = strconv.AppendUint(append(b, 'k'), uint64(n.constant.Kind), 10)
		return strconv.AppendFloat(append(b, ':'), n.constant.Num, 'g', -1, 64), true
	case *sampleField:
		return strconv.AppendInt(append(b, 'f'), int64(n.slot), 10), true
	case *defaulted:
		b = strconv.AppendInt(append(b, 'd'), int64(n.slot), 10)
		return allInFull(b, []quick{n.fallback}, n.frame == 0)
	case *present:
		return strconv.AppendInt(append(b, 'e'), int64(n.slot), 10), n.frame == 0
	case *summed:
		return allInFull(append(b, '+'), n.operands, true)
	case *multiplied:
		return allInFull(append(b, '*'), n.operands, true)
	case *folded:
		return allInFull(append(b, n.operator...), n.operands, true)
	case *single:
		return allInFull(append(b, n.operator...), []quick{n.operand}, true)
	case *compared:
		return allInFull(strconv.AppendInt(append(b, '<'), int64(n.relation), 10), n.operands, true)
	}
	return b, false
}

func allInFull(b []byte, operands []quick, ok bool) ([]byte, bool) {
	b = append(b, '(')
	for _, o := range operands {
		if !ok {
			return b, false
		}
		b, ok = inFull(b, o)
		b = append(b, ',')
	}
	return append(b, ')'), ok
}

func forms(b []byte, operands []quick) ([]byte, bool) {
	b = append(b, '(')
	for _, o := range operands {
		var ok bool
		if b, ok = form(b, o); !ok {
			return b, false
		}
		b = append(b, ',')
	}
	return append(b, ')'), len(operands) > 0
}

// form is the form of a rule, "" when it has none.
func (r *judged) form() string {
	var b []byte
	for i := range r.conditions {
		var ok bool
		if b, ok = form(b, r.conditions[i].quick); !ok {
			return ""
		}
		b = append(b, ';')
	}
	return string(b)
}

// group finds the groups among the rules and gives every rule its bit.
func (s *Set) group() {
	alike := map[string][]int{}
	var order []string
	for i := range s.rules {
		f := s.rules[i].form()
		if f == "" {
			continue
		}
		if alike[f] == nil {
			order = append(order, f)
		}
		alike[f] = append(alike[f], i)
	}
	for _, f := range order {
		if members := alike[f]; len(members) >= smallestGroup {
			s.newGroup(members)
		}
	}
	next := s.words * 64
	for i := range s.rules {
		if s.rules[i].group < 0 {
			s.rules[i].bit = next
			s.alone = append(s.alone, i)
			next++
		}
	}
	s.words = (next + 63) / 64
}

func (s *Set) newGroup(members []int) {
	g := &group{rules: members, first: s.words, words: (len(members) + 63) / 64}
	g.all = make([]uint64, g.words)
	for bit, i := range members {
		g.all[bit/64] |= 1 << (bit % 64)
		s.rules[i].group, s.rules[i].bit = len(s.groups), 64*g.first+bit
		for _, c := range s.rules[i].conditions {
			g.nodes, g.weight = max(g.nodes, c.nodes), max(g.weight, c.weight)
		}
	}
	for k := range s.rules[members[0]].conditions {
		nodes := make([]quick, len(members))
		for bit, i := range members {
			nodes[bit] = s.rules[i].conditions[k].quick
		}
		g.conditions = append(g.conditions, g.shape(nodes))
	}
	if len(g.conditions) == 1 && g.nodes < plainNodes {
		g.conjunction = g.conditions[0].conjunction()
	}
	s.words += g.words
	s.groups = append(s.groups, g)
}

// A conjunction of fewer nodes over a sample of fewer bytes is far from MaxWork.
const (
	plainNodes  = 64
	plainSample = 1 << 14
)

// conjunction gives the comparisons of slots that a shape consists of, nil when
// there is something else in it.
func (n *shape) conjunction() []comparing {
	switch {
	case n.kind == aboutText || n.kind == aboutNumber && n.operand == nil:
		return []comparing{n.comparing}
	case n.kind != everyPart:
		return nil
	}
	var all []comparing
	for _, p := range n.parts {
		c := p.conjunction()
		if c == nil {
			return nil
		}
		all = append(all, c...)
	}
	return all
}

// shape makes the shape of nodes that have the same form.
func (g *group) shape(nodes []quick) *shape {
	switch n := nodes[0].(type) {
	case *allOf:
		return &shape{kind: everyPart, parts: g.parts(nodes, len(n.operands), func(q quick) []quick { return q.(*allOf).operands })}
	case *anyOf:
		return &shape{kind: somePart, parts: g.parts(nodes, len(n.operands), func(q quick) []quick { return q.(*anyOf).operands })}
	case *negated:
		return &shape{kind: notPart, comparing: comparing{outside: !n.twice}, parts: g.parts(nodes, 1, func(q quick) []quick { return []quick{q.(*negated).operand} })}
	case *within:
		return &shape{kind: aboutNumber, strict: n.strict, comparing: comparing{slot: n.slot, outside: n.outside, numbers: newNumberColumn(cast[*within](nodes))}}
	case *ranged:
		ranges := make([]*within, len(nodes))
		for i, r := range cast[*ranged](nodes) {
			ranges[i] = &r.within
		}
		return &shape{kind: aboutNumber, operand: n.operand, strict: n.strict, comparing: comparing{outside: n.outside, numbers: newNumberColumn(ranges)}}
	case *oneOf:
		return &shape{kind: aboutText, comparing: comparing{slot: n.slot, outside: n.outside, texts: newTextColumn(cast[*oneOf](nodes))}}
	default:
		return &shape{kind: aboutAll, operand: n}
	}
}

func (g *group) parts(nodes []quick, n int, of func(quick) []quick) []*shape {
	out := make([]*shape, n)
	for i := range out {
		kids := make([]quick, len(nodes))
		for k, q := range nodes {
			kids[k] = of(q)[i]
		}
		out[i] = g.shape(kids)
	}
	return out
}

func cast[T quick](nodes []quick) []T {
	out := make([]T, len(nodes))
	for i, n := range nodes {
		out[i] = n.(T)
	}
	return out
}

// judging is what a machine needs to judge groups.
type judging struct {
	fresh uint64 // counts the samples

	// The rules that DecideAll has judged last, and the sample.
	all        uint64
	first, end int

	judged   []uint64 // by group: the sample that its verdicts are of
	hasAside []bool   // by group: some of its rules are unknown or failed
	verdicts Verdicts
	oddRules []uint64 // scratch: rules of a group
	temps    []uint64 // scratch: a stack of sets
	used     int      // of temps
}

// Verdicts are bit sets with a bit for each rule, see [Set.Bit]. A rule that is
// in none of them is False.
type Verdicts struct{ True, Unknown, Failed []uint64 }

func (s *Set) newJudging() judging {
	j := judging{judged: make([]uint64, len(s.groups)), hasAside: make([]bool, len(s.groups))}
	most, widest := 0, 0
	for _, g := range s.groups {
		most = max(most, g.words*(2*g.depth()+4))
		widest = max(widest, g.words)
	}
	j.temps, j.oddRules = make([]uint64, most), make([]uint64, widest)
	j.verdicts.True, j.verdicts.Unknown, j.verdicts.Failed = make([]uint64, s.words), make([]uint64, s.words), make([]uint64, s.words)
	return j
}

func (g *group) depth() int {
	most := 0
	for _, c := range g.conditions {
		most = max(most, c.depth())
	}
	return most
}

func (n *shape) depth() int {
	most := 0
	for _, p := range n.parts {
		most = max(most, p.depth())
	}
	return most + 1
}

// grouped gives the verdict of a rule of a group, and judges the group if it has
// not been judged over this sample.
func (m *Machine) grouped(r *judged) Verdict {
	m.update(r.group)
	return m.verdicts.of(r.bit)
}

// update judges a group unless it has been judged over this sample.
func (m *Machine) update(group int) {
	if m.judged[group] != m.fresh {
		m.judged[group] = m.fresh
		m.judge(group)
	}
}

// Bit is the place of a rule in [Verdicts].
func (s *Set) Bit(rule int) int { return s.rules[rule].bit }

// DecideAll judges the rules from first up to but not including end over the
// sample; it may judge others too, whose bits mean nothing. The verdicts are
// the machine's own and hold until the next sample is loaded.
func (m *Machine) DecideAll(first, end int) *Verdicts {
	for i := range m.set.groups {
		m.update(i)
	}
	m.all, m.first, m.end = m.fresh, first, end
	from, _ := slices.BinarySearch(m.set.alone, first)
	for _, i := range m.set.alone[from:] {
		if i >= end {
			break
		}
		r := &m.set.rules[i]
		m.verdicts.put(r.bit, m.decide(r))
	}
	return &m.verdicts
}

func (v *Verdicts) of(bit int) Verdict {
	w, mask := bit/64, uint64(1)<<(bit%64)
	switch {
	case v.True[w]&mask != 0:
		return True
	case v.Unknown[w]&mask != 0:
		return Unknown
	case v.Failed[w]&mask != 0:
		return Failed
	}
	return False
}

func (v *Verdicts) put(bit int, verdict Verdict) {
	w, mask := bit/64, uint64(1)<<(bit%64)
	v.True[w] &^= mask
	v.Unknown[w] &^= mask
	v.Failed[w] &^= mask
	switch verdict {
	case True:
		v.True[w] |= mask
	case Unknown:
		v.Unknown[w] |= mask
	case Failed:
		v.Failed[w] |= mask
	}
}

// voting is one judgement of a group.
type voting struct {
	*Machine
	group   *group
	aside   bool     // some rules are in unknown or odd
	unknown []uint64 // rules that came to read a missing input
	odd     []uint64 // rules that read what the columns do not know: judged one by one; nil when there are none
}

func (m *Machine) judge(index int) {
	g := m.set.groups[index]
	if !m.hasAside[index] && m.judgePlain(g) {
		return
	}
	m.used = 0
	end := g.first + g.words
	v := voting{Machine: m, group: g, unknown: m.verdicts.Unknown[g.first:end]}
	truths := m.verdicts.True[g.first:end]
	if m.hasAside[index] {
		clear(m.verdicts.Failed[g.first:end])
		clear(v.unknown)
	}
	if g.nodes*(len(m.sample)>>1+g.weight) >= MaxWork/2 {
		v.isOdd(g.all, truths)
	} else {
		v.conditions(truths)
	}
	m.hasAside[index] = v.aside
	for w, word := range v.odd {
		for ; word != 0; word &= word - 1 {
			bit := w*64 + bits.TrailingZeros64(word)
			m.verdicts.put(g.first*64+bit, m.decide(&m.set.rules[g.rules[bit]]))
		}
	}
}

// judgePlain judges a group of conjunctions when all inputs are what they are
// compared with, which is nearly always. It gives false when they are not.
func (m *Machine) judgePlain(g *group) bool {
	if g.conjunction == nil || len(m.sample) > plainSample {
		return false
	}
	truths, buffer := m.verdicts.True[g.first:g.first+g.words], m.temps[:g.words]
	for i := range g.conjunction {
		n := &g.conjunction[i]
		var set []uint64
		switch v := &m.slots[n.slot]; {
		case n.numbers != nil && v.Kind == scan.Number:
			set = n.numbers.set(n.numbers.passed(v.Num), buffer)
		case n.texts != nil && v.Kind == scan.Text && !v.Escaped:
			set = n.texts.set(view(m.sample[v.Start+1:v.End-1]), buffer)
		default:
			return false
		}
		active := truths
		if i == 0 {
			active = g.all
		}
		pick(truths, active, set, n.outside)
	}
	return true
}

// conditions judges all conditions of the rules: a false one makes a rule false,
// also beside one that is unknown.
func (v *voting) conditions(truths []uint64) {
	v.eval(v.group.conditions[0], v.group.all, truths)
	if len(v.group.conditions) == 1 {
		if v.aside {
			pick(truths, truths, v.unknown, true)
		}
		return
	}
	unknown := v.temp(v.group.words)
	next := v.temp(v.group.words)
	alive := v.temp(v.group.words) // rules of which no condition is false
	for i := range alive {
		alive[i] = truths[i] | v.unknown[i]
	}
	copy(unknown, v.unknown)
	for _, c := range v.group.conditions[1:] {
		clear(v.unknown)
		v.eval(c, v.group.all, next)
		for i := range alive {
			alive[i] &= next[i] | v.unknown[i]
			unknown[i] |= v.unknown[i]
		}
	}
	for i := range alive {
		v.unknown[i] = alive[i] & unknown[i]
		truths[i] = alive[i] &^ unknown[i]
	}
}

// temp is a bit set that nobody uses until used is set back.
func (m *Machine) temp(words int) []uint64 {
	t := m.temps[m.used : m.used+words]
	m.used += words
	return t
}

// eval finds the rules in active for which a shape holds. out may be active.
// What it says of rules that have become unknown or odd means nothing.
func (v *voting) eval(n *shape, active, out []uint64) {
	switch n.kind {
	case everyPart:
		v.eval(n.parts[0], active, out)
		for _, p := range n.parts[1:] {
			v.eval(p, out, out)
		}
	case somePart:
		v.some(n, active, out)
	case notPart:
		used := v.used
		t := v.temp(len(out))
		v.eval(n.parts[0], active, t)
		pick(out, active, t, n.outside)
		v.used = used
	case aboutNumber:
		v.number(n, active, out)
	case aboutText:
		v.text(n, active, out)
	case aboutAll:
		v.flags, v.work = 0, MaxWork/2
		holds := n.operand.truth(v.Machine)
		switch {
		case !v.given(active, out):
		case holds:
			copy(out, active)
		default:
			clear(out)
		}
	}
}

// given says whether a common node has simply given a value. If not, the rules
// are set aside.
func (v *voting) given(active, out []uint64) bool {
	switch v.flags {
	case 0:
		return true
	case unknown:
		v.isUnknown(active, out)
	default:
		v.isOdd(active, out)
	}
	return false
}

func (v *voting) some(n *shape, active, out []uint64) {
	used := v.used
	rest, t := v.temp(len(out)), v.temp(len(out))
	copy(rest, active)
	clear(out)
	for _, p := range n.parts {
		v.eval(p, rest, t)
		for i := range out {
			out[i] |= t[i]
			rest[i] &^= t[i]
		}
	}
	v.used = used
}

// pick gives those in active that are in set, or that are not.
func pick(out, active, set []uint64, outside bool) {
	active, set = active[:len(out)], set[:len(out)]
	if outside {
		for i := range out {
			out[i] = active[i] &^ set[i]
		}
		return
	}
	for i := range out {
		out[i] = active[i] & set[i]
	}
}

// isUnknown sets rules aside that read a missing input.
func (v *voting) isUnknown(active, out []uint64) {
	v.aside = true
	leave(v.unknown, active, out)
}

// isOdd sets rules aside that have to be judged one by one.
func (v *voting) isOdd(active, out []uint64) {
	v.aside = true
	if v.odd == nil {
		v.odd = v.oddRules[:len(out)]
		clear(v.odd)
	}
	leave(v.odd, active, out)
}

func leave(aside, active, out []uint64) {
	for i := range out {
		aside[i] |= active[i]
		out[i] = 0
	}
}

func (v *voting) number(n *shape, active, out []uint64) {
	var x float64
	if n.operand == nil && v.slots[n.slot].Kind == scan.Number {
		x = v.slots[n.slot].Num
	} else {
		var ok bool
		if x, ok = v.numberFor(n, active, out); !ok {
			return
		}
	}
	used := v.used
	pick(out, active, n.numbers.set(n.numbers.passed(x), v.temp(len(out))), n.outside)
	v.used = used
}

// numberFor is the number that a shape is about. Where there is none, the rules
// are set aside.
func (v *voting) numberFor(n *shape, active, out []uint64) (x float64, ok bool) {
	var value scan.Value
	if n.operand == nil {
		value = v.slots[n.slot]
	} else {
		v.flags, v.work = 0, MaxWork/2
		value = n.operand.value(v.Machine)
		if !v.given(active, out) {
			return 0, false
		}
	}
	x = value.Num
	switch kind := value.Kind; {
	case kind == scan.Number:
		return x, true
	case kind <= scan.Null && n.operand == nil:
		v.isUnknown(active, out)
		return 0, false
	case !n.strict && scan.Null < kind && kind < scan.List: // a boolean, or a text with a number in it
		if x = v.numberOf(&value); x-x == 0 {
			return x, true
		}
	}
	v.isOdd(active, out)
	return 0, false
}

func (v *voting) text(n *shape, active, out []uint64) {
	value := &v.slots[n.slot]
	switch {
	case value.Kind <= scan.Null:
		v.isUnknown(active, out)
	case value.Kind != scan.Text:
		v.isOdd(active, out)
	default:
		used := v.used
		pick(out, active, n.texts.set(v.Machine.text(value), v.temp(len(out))), n.outside)
		v.used = used
	}
}

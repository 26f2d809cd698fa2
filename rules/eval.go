package rules

import (
	"slices"

	"tocsin.internal/rules/logic"
)

// Eval judges a sample of the state's twin and appends what the rules decide.
// A sample that cannot be read (see Reader.Read) decides nothing. The state
// and its counters change; the program does not. Where the sample has not been
// read by a reader that knows the program, Eval reads it.
//
// What lies beyond the length of out is written over, the outcomes' Data
// included: a caller that uses a slice again has to be done with what was in it.
func (p *Program) Eval(s *Sample, st *State, out []Outcome) []Outcome {
	pl := p.plans[s.Feed]
	if pl == nil || !p.in.Enabled {
		return out
	}
	v := p.viewOf(pl, s, st)
	if v == nil {
		return out
	}
	st.counters.seen[pl.slot]++
	live := v.live(st.bound)
	if live == 0 {
		return out
	}
	before, at := len(out), nanos(s.At)
	if len(st.memories) > 0 && at > st.feeds[pl.slot].newest {
		st.unpark(pl.slot)
	}
	if st.wake != noTime && st.wake < at {
		mo := momentOf(v, s, st)
		out = p.expire(at, pl.slot, &mo, out)
		v = p.viewOf(pl, s, st) // it may have been read over
		before = len(out)
	}
	t := turn{live: live, at: at}
	if t.newest, t.late = st.see(pl.slot, at); t.late && pl.late(t) {
		st.counters.late++
	}
	for _, step := range pl.steps {
		out = step.judge(v, s, st, t, out)
	}
	if len(p.stateful) > 0 {
		if p.inhibits {
			mo := momentOf(v, s, st)
			out = p.inhibit(&mo, before, out)
		}
		st.rest()
	}
	return out
}

// late says whether a sample that is not the newest is late for some rule.
func (pl *plan) late(t turn) bool {
	return slices.ContainsFunc(pl.rules, func(r *rule) bool { return r.stateful == nil || t.at <= t.newest-r.stateful.lateness })
}

// viewOf is the view of a sample that has been read; nil when it cannot be.
func (p *Program) viewOf(pl *plan, s *Sample, st *State) *view {
	if r := s.reader; r != nil && r.has(s) {
		if v := r.view(p); v != nil && v.plan == pl {
			return v
		}
	}
	r := st.counters.reader(p, pl, s.Feed)
	if r.Read(s) != nil {
		return nil
	}
	return r.views[0]
}

// live are the sources that the twin matches and that take the sample.
func (v *view) live(bound SourceSet) SourceSet {
	var live SourceSet
	for i := range v.plan.intakes {
		if in := &v.plan.intakes[i]; bound.Has(in.source) && v.takes(in) {
			live |= 1 << in.source
		}
	}
	return live
}

func (v *view) takes(in *intake) bool {
	if len(in.fields) == 0 {
		return true
	}
	return slices.ContainsFunc(in.fields, func(f int) bool { return v.machine.Has(v.fields + f) })
}

// decide judges all conditions. One that is false makes the rule false, also
// beside one that is unknown; an expression that fails is as good as unknown.
func (v *view) decide(r *rule, f *Funnel) logic.Verdict {
	verdict := v.machine.Decide(v.rules + r.at)
	switch verdict {
	case logic.True:
		f.True++
	case logic.False:
		f.False++
	case logic.Failed:
		f.Errors++
	default:
		f.Unknown++
	}
	v.see(r.name, r, verdict)
	return verdict
}

// field is a field of the sample that goes out with an outcome.
type field struct {
	name, key string // the key is quoted, with its colon
	at        int    // in plan.fields
}

func newField(name string, pl *plan) field { return field{name, quoted(name) + ":", pl.field(name)} }

// maxSpare is the largest room that is kept for data: one sample of a megabyte
// should not hold on to it.
const maxSpare = 4 << 10

// spare is the room for the data of the next outcome: that of the one whose
// place it takes.
func spare(out []Outcome) []byte {
	if len(out) < cap(out) {
		data := out[:len(out)+1][len(out)].Data
		if n := cap(data); 0 < n && n <= maxSpare {
			return data[:0]
		}
	}
	return make([]byte, 0, 128)
}

// opened is an object that is ready for its next member.
func opened(object []byte) []byte {
	if len(object) == 0 {
		return append(object, '{')
	}
	return append(object, ',')
}

// appendFields appends the sample's fields as they were written, leaves out
// those that are absent, and closes the object.
func (v *view) appendFields(object []byte, fields []field) []byte {
	for i := range fields {
		if f := &fields[i]; v.machine.Has(v.fields + f.at) {
			object = append(opened(object), f.key...)
			object = v.machine.AppendRaw(object, v.fields+f.at)
		}
	}
	if len(object) == 0 {
		object = append(object, '{')
	}
	return append(object, '}')
}

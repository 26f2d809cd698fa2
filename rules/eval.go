package rules

import (
	"slices"

	"tocsin.internal/rules/logic"
)

// Eval judges a sample of the state's twin and appends what the rules decide.
// A sample that cannot be read (see Sample.Read) decides nothing. The state
// and its counters change; the program does not.
func (p *Program) Eval(s *Sample, st *State, out []Outcome) []Outcome {
	pl := p.plans[s.Feed]
	if pl == nil || !p.in.Enabled || s.Read() != nil {
		return out
	}
	live := pl.live(s, st.bound)
	if live == 0 {
		return out
	}
	t := turn{live: live, late: st.see(pl.slot, s.At)}
	for _, step := range pl.steps {
		out = step.judge(p, s, st, t, out)
	}
	return out
}

// live are the sources that the twin matches and that take the sample.
func (pl *plan) live(s *Sample, bound SourceSet) SourceSet {
	var live SourceSet
	for i := range pl.intakes {
		if in := &pl.intakes[i]; bound.Has(in.source) && in.takes(s.values) {
			live |= 1 << in.source
		}
	}
	return live
}

func (in *intake) takes(values map[string]any) bool {
	if len(in.fields) == 0 {
		return true
	}
	return slices.ContainsFunc(in.fields, func(path []string) bool { return has(values, path) })
}

func has(values map[string]any, path []string) bool {
	for i, name := range path {
		v, ok := values[name]
		if !ok || i == len(path)-1 {
			return ok
		}
		if values, ok = v.(map[string]any); !ok {
			return false
		}
	}
	return false
}

// decide judges all conditions. One that is false makes the rule false, also
// beside one that is unknown; an expression that fails is as good as unknown.
func (r *rule) decide(s *Sample, f *Funnel) logic.Verdict {
	verdict, failed := logic.True, false
	for _, expr := range r.conditions {
		v, err := expr.Decide(s.values)
		switch {
		case err != nil:
			verdict, failed = logic.Unknown, true
		case v == logic.False:
			f.False++
			return logic.False
		case v == logic.Unknown:
			verdict = logic.Unknown
		}
	}
	switch {
	case failed:
		f.Errors++
	case verdict == logic.Unknown:
		f.Unknown++
	default:
		f.True++
	}
	return verdict
}

// opened is an object that is ready for its next member.
func opened(object []byte) []byte {
	if len(object) == 0 {
		return append(make([]byte, 0, 128), '{')
	}
	return append(object, ',')
}

// field is a field of the sample that goes out with an outcome.
type field struct{ name, key string } // the key is quoted, with its colon

func newField(name string) field { return field{name, quoted(name) + ":"} }

// appendFields appends the sample's fields as they were written, leaves out
// those that are absent, and closes the object.
func appendFields(object []byte, fields []field, s *Sample) []byte {
	for _, f := range fields {
		if value := s.raw(f.name); value != nil {
			object = append(opened(object), f.key...)
			object = appendLine(object, value)
		}
	}
	if len(object) == 0 {
		return []byte("{}")
	}
	return append(object, '}')
}

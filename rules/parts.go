package rules

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/sequence"
	"tocsin.internal/rules/series"
)

// parts is what the fields of one rule remember of one twin, beside how long its
// conditions have lasted.
type parts struct {
	told      told
	history   history
	flaps     bool
	flapTold  bool   // somebody has been told so
	unheard   uint32 // events of earlier episodes that were not told
	sent      int8   // what an output said last: 1 true, -1 false, 0 nothing
	known     []known
	was       []rawJSON // onChange: the values that counted last
	rates     []series.RateState
	rated     []jsonFloat // their last values
	window    *series.WindowState
	repeat    series.RepeatState
	unchanged series.UnchangedState
	fence     fenceState
	sequence  *sequence.State
	base      []byte // window, join: the fields of the last sample
	joined    []joined
	members   []*memberState // by twin
	newest    int64          // of the members' samples
}

// part is what the fields remember; it is made when it is asked for.
func (m *memory) part() *parts {
	if m.parts == nil {
		m.parts = &parts{}
	}
	return m.parts
}

// told is when somebody was told, for the throttle: the times that still count.
type told struct{ times []int64 }

// allow says whether one more may be told, and counts it.
func (t *told) allow(by *Throttle, at int64) bool {
	t.times = slices.DeleteFunc(t.times, func(then int64) bool { return at-then >= int64(by.Per) })
	if len(t.times) >= by.Max {
		return false
	}
	t.times = append(t.times, at)
	return true
}

// known is the last value of a field, for samples that lack it.
type known struct {
	name  string
	at    int64
	value []byte
}

// complete adds to the base what the sample lacks and an earlier one had.
func (p *parts) complete(r *stateful, j *judgement, base []byte) []byte {
	for i := range r.needs {
		f := &r.needs[i]
		k := p.knownOf(f.name)
		if raw := j.v.machine.Raw(j.v.fields + f.at); len(raw) > 0 && raw[0] != 'n' {
			if !j.old {
				k.at, k.value = j.at, j.v.machine.AppendRaw(k.value[:0], j.v.fields+f.at)
			}
			continue
		}
		if k.value == nil || r.missing.MaxAge > 0 && j.at-k.at > int64(r.missing.MaxAge) {
			continue
		}
		base[len(base)-1] = ',' // the last of duplicate names counts
		if len(base) == 2 {
			base = base[:1]
		}
		base = append(append(append(base, f.key...), k.value...), '}')
	}
	return base
}

// knownOf is what is known of a field.
func (p *parts) knownOf(name string) *known {
	i := slices.IndexFunc(p.known, func(k known) bool { return k.name == name })
	if i < 0 {
		i = len(p.known)
		p.known = append(p.known, known{name: name})
	}
	return &p.known[i]
}

// onChange is the onChange of a rule.
type onChange struct {
	fields   []field
	deadband float64
	first    bool
}

// pass says whether a field has changed since the last sample that passed.
func (c *onChange) pass(j *judgement) bool {
	p := j.m.part()
	counters := j.st.counters
	given := func(f field) []byte {
		if raw := j.feed.raw(f.at); len(raw) == 0 || raw[0] == 'n' {
			return nil
		}
		counters.raw = j.feed.machine.AppendRaw(counters.raw[:0], j.feed.fields+f.at) // as it is kept, and written down
		return counters.raw
	}
	isFirst, differs := p.was == nil, false
	for i, f := range c.fields {
		raw := given(f)
		differs = differs || raw != nil && (isFirst || !near(raw, p.was[i], c.deadband))
	}
	if !differs {
		return false
	}
	if isFirst {
		p.was = make([]rawJSON, len(c.fields))
	}
	for i, f := range c.fields {
		if raw := given(f); raw != nil {
			p.was[i] = append(p.was[i][:0], raw...)
		}
	}
	return !isFirst || c.first
}

// near says whether two values are the same, or numbers not farther apart than
// the deadband.
func near(a, b []byte, deadband float64) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := strconv.ParseFloat(string(a), 64)
	y, errY := strconv.ParseFloat(string(b), 64)
	return errX == nil && errY == nil && math.Abs(x-y) <= deadband
}

// rawJSON is a value as it was written.
type rawJSON []byte

// MarshalJSON gives null for none.
func (r rawJSON) MarshalJSON() ([]byte, error) { return json.RawMessage(r).MarshalJSON() }

// UnmarshalJSON takes null for none.
func (r *rawJSON) UnmarshalJSON(b []byte) error {
	if string(b) != "null" {
		*r = bytes.Clone(b)
	}
	return nil
}

// rate is a variable of a rule.
type rate struct {
	name  string // quoted, with its colon
	field field
	spec  series.RateSpec
}

func (r *stateful) appendRates(j *judgement, doc []byte) []byte {
	if len(r.rates) == 0 {
		return doc
	}
	p := j.m.part()
	if p.rates == nil {
		p.rates, p.rated = make([]series.RateState, len(r.rates)), make([]jsonFloat, len(r.rates))
		for i := range p.rated {
			p.rated[i] = jsonFloat(math.NaN())
		}
	}
	doc = append(doc, `"$rate":{`...)
	for i := range r.rates {
		doc = append(doc, r.rates[i].name...)
		if j.feed != nil && !j.old { // else it is what it was: the sample is of another feed, or an older one
			lost := p.rates[i].Dropped
			now, ok := r.rates[i].spec.Add(&p.rates[i], j.at, j.feed.number(r.rates[i].field))
			if !ok {
				now = math.NaN()
			}
			j.st.counters.rules[r.index].Lost += uint64(p.rates[i].Dropped - lost)
			p.rated[i] = jsonFloat(now)
		}
		doc = append(appendNumber(doc, float64(p.rated[i])), ',')
	}
	doc[len(doc)-1] = '}'
	return append(doc, ',')
}

// repeated is the repeat of a rule.
type repeated struct{ spec series.RepeatSpec }

// judge is true while the condition has been true often enough. Where the true
// samples must be in a row, one that is false ends it; unknown changes nothing.
func (r *repeated) judge(j *judgement, verdict logic.Verdict) logic.Verdict {
	if verdict == logic.Unknown || verdict == logic.Failed {
		return verdict
	}
	if r.spec.Add(&j.m.part().repeat, j.at, verdict == logic.True) {
		return logic.True
	}
	return logic.False
}

// unchanged is the unchanged of a rule.
type unchanged struct {
	field field
	spec  series.UnchangedSpec
}

func (u *unchanged) judge(j *judgement) logic.Verdict {
	state := &j.m.part().unchanged
	if j.feed == nil { // at a timer, or at another feed's sample, it is as it was
		return truthOf(j.last != noTime && u.spec.Stuck(state, j.last))
	}
	raw := j.feed.raw(u.field.at)
	if len(raw) == 0 || raw[0] == 'n' {
		return logic.Unknown
	}
	value := series.Scalar(raw)
	if n := j.feed.number(u.field); !math.IsNaN(n) {
		value = series.Number(n)
	}
	u.spec.Add(state, j.at, value)
	return truthOf(u.spec.Stuck(state, j.at))
}

func truthOf(is bool) logic.Verdict {
	if is {
		return logic.True
	}
	return logic.False
}

// enrichment makes properties of the twin, or of its model, variables.
type enrichment struct {
	as         string
	key        string // quoted, with its colon
	model      bool
	properties map[string]string
	defaults   map[string][]byte
	names      []string // that the rule reads
}

// append appends the variable and a comma.
func (e *enrichment) append(st *State, doc []byte) []byte {
	var properties []Property
	if st.facts != nil {
		properties = st.facts.Twin
		if e.model {
			properties = st.facts.Model
		}
	}
	doc = append(append(doc, e.key...), '{')
	n := 0
	for _, name := range e.names {
		value := e.find(properties, name)
		if value == nil {
			continue
		}
		doc = append(append(AppendText(appendComma(doc, n), name), ':'), value...)
		n++
	}
	return append(doc, "},"...)
}

// find is the value of a property as JSON, its default, or nil.
func (e *enrichment) find(properties []Property, name string) []byte {
	key, isKey := e.properties[name]
	for i := range properties {
		p := &properties[i]
		if isKey && p.Key == key || !isKey && lastName(p.Key) == name {
			return p.Value.json()
		}
	}
	return e.defaults[name]
}

// Name is what people call the property: the end of its key.
func (p *Property) Name() string { return lastName(p.Key) }

// lastName is the end of a property's key: what follows the last #, / or :.
func lastName(key string) string {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] == '#' || key[i] == '/' || key[i] == ':' {
			return key[i+1:]
		}
	}
	return key
}

// json is a literal as a JSON value: a number where its type or its text is one.
func (l *Literal) json() []byte {
	if l.Kind != LangLiteral && l.Kind != URI {
		if l.Value == "true" || l.Value == "false" {
			return []byte(l.Value)
		}
		if n, err := strconv.ParseFloat(l.Value, 64); err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) {
			return strconv.AppendFloat(nil, n, 'g', -1, 64)
		}
	}
	return AppendText(nil, l.Value)
}

package logic

import (
	"encoding/json"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/rules/scan"
)

// Builder collects the rules of one feed. The zero Builder is ready.
type Builder struct {
	low    lowering
	rules  []judged
	fields []field
}

// judged is a rule: its conditions, in both forms.
type judged struct {
	conditions []condition
	group      int // in Set.groups, or -1: judged alone
	bit        int // in the machine's verdicts
}

// condition is an expression in both forms.
type condition struct {
	expr   *Expr
	quick  quick
	nodes  int // how many nodes an evaluation visits at most, iterations apart
	weight int // what a node can cost, in steps, besides reading the sample
}

// field is a value that is wanted as it was written.
type field struct{ slot int }

// Rule adds a rule and gives its index, from 0. All conditions are required: a
// false one makes the rule False, else a failed one Failed, else an unknown one
// Unknown.
func (b *Builder) Rule(conditions ...*Expr) int {
	r := judged{group: -1}
	for _, e := range conditions {
		r.conditions = append(r.conditions, b.low.condition(e))
	}
	b.rules = append(b.rules, r)
	return len(b.rules) - 1
}

// Field adds a value of the sample that is wanted as it was written, and gives
// its index, from 0.
func (b *Builder) Field(path ...string) int {
	b.fields = append(b.fields, field{b.low.scan.Slot(path...)})
	return len(b.fields) - 1
}

// Build makes the set. The builder must not be used after it.
func (b *Builder) Build() *Set {
	s := &Set{rules: b.rules, fields: b.fields, pool: b.low.pool, plan: b.low.scan.Build()}
	for i := range s.rules {
		for _, c := range s.rules[i].conditions {
			s.nodes, s.weight = max(s.nodes, c.nodes), max(s.weight, c.weight)
		}
	}
	s.group()
	return s
}

// Set is the rules of one feed, ready to be judged over samples. It never
// changes: any number of goroutines may make machines of it.
type Set struct {
	plan   *scan.Plan
	rules  []judged
	groups []*group
	fields []field
	pool   []byte // the texts of all expressions
	words  int    // of a vector of verdicts
	alone  []int  // rules that are in no group

	nodes, weight int // the most of any condition
}

// Machine judges samples by the rules of a set, one sample at a time. It
// belongs to one goroutine. After its first samples it allocates nothing,
// except where the plain evaluator has to judge.
type Machine struct {
	set     *Set
	scanner *scan.Scanner
	sample  []byte
	slots   []scan.Value

	// One evaluation.
	flags   flags
	light   bool // no rule is refused by begin
	work    int
	longest int    // text that there can be, in bytes: the sample, or one that was computed
	scratch []byte // the set's texts, then texts that were computed
	frames  [maxFrames]frame

	// The sample as the plain evaluator wants it, when it has been asked.
	decoded bool
	data    any
	deopts  uint64

	judging
}

// flags say what has happened in an evaluation. They are looked at once, at the
// end; only ?? takes back what was unknown.
type flags uint8

const (
	unknown flags = 1 << iota // an input was missing
	failed                    // an operation failed before any input was missing
	deopt                     // the quick form does not know the answer
)

// NewMachine makes a machine for one goroutine.
func (s *Set) NewMachine() *Machine {
	m := &Machine{set: s, scanner: s.plan.NewScanner()}
	m.slots = m.scanner.Slots()
	m.frames[0].row = m.slots
	m.scratch = append(m.scratch, s.pool...)
	m.judging = s.newJudging()
	return m
}

// Learn says whether the machine may use what it learns from the samples it has
// seen to read the next one faster, which it does unless told otherwise.
func (m *Machine) Learn(on bool) { m.scanner.Learn(on) }

// Deopts is how many evaluations the plain evaluator had to make.
func (m *Machine) Deopts() uint64 { return m.deopts }

// Load reads a sample; false says that it is not JSON as encoding/json has it,
// or that a number in it is out of the range of float64. The machine keeps
// sample, which must not change, until the next Load.
func (m *Machine) Load(sample []byte) bool {
	m.sample = sample
	m.fresh++
	if m.decoded {
		m.decoded, m.data = false, nil
	}
	m.light = m.set.nodes*(len(sample)>>1+m.set.weight) < MaxWork/2
	m.rewind()
	return m.scanner.Scan(sample)
}

// Sample is what was loaded last.
func (m *Machine) Sample() []byte { return m.sample }

// rewind takes the texts off that were computed.
func (m *Machine) rewind() {
	m.longest = len(m.sample)
	m.scratch = m.scratch[:len(m.set.pool)]
	if cap(m.scratch)-2*len(m.set.pool) > keptScratch {
		m.scratch = slices.Clone(m.set.pool)
	}
}

// usedScratch is how much of the computed texts of other rules an evaluation
// may begin with, and keptScratch how much room for them is kept, in bytes.
const (
	usedScratch = 1 << 16
	keptScratch = 1 << 20
)

// Decide judges one rule over the sample.
func (m *Machine) Decide(rule int) Verdict {
	r := &m.set.rules[rule]
	switch {
	case r.group >= 0:
		return m.grouped(r)
	case m.all == m.fresh && m.first <= rule && rule < m.end:
		return m.verdicts.of(r.bit)
	}
	return m.decide(r)
}

// decide judges a rule by itself.
func (m *Machine) decide(r *judged) Verdict {
	if len(r.conditions) == 1 {
		return m.condition(&r.conditions[0])
	}
	verdict := True
	for i := range r.conditions {
		v := m.condition(&r.conditions[i])
		if v == False {
			return False
		}
		verdict = bothTrue(verdict, v)
	}
	return verdict
}

// bothTrue joins the verdicts of two conditions that are not false.
func bothTrue(a, b Verdict) Verdict {
	switch {
	case a == Failed || b == Failed:
		return Failed
	case a == Unknown || b == Unknown:
		return Unknown
	}
	return True
}

func (m *Machine) condition(c *condition) Verdict {
	if !m.begin(c) {
		return m.plainly(c)
	}
	truth := c.quick.truth(m)
	switch {
	case m.flags == 0 && truth:
		return True
	case m.flags == 0:
		return False
	case m.flags&deopt != 0:
		return m.plainly(c)
	case m.flags&unknown != 0:
		return Unknown
	}
	return Failed
}

// begin readies the machine for an evaluation. It refuses one that could exceed
// half of MaxWork, iterations and computed texts apart, for which the other half
// is left: the plain evaluator counts exactly, the quick form counts too much.
func (m *Machine) begin(c *condition) bool {
	m.flags, m.work = 0, MaxWork/2
	if len(m.scratch)-len(m.set.pool) > usedScratch {
		m.rewind()
	}
	return m.light || c.nodes*(len(m.sample)>>1+c.weight) < MaxWork/2
}

// plainly has the plain evaluator judge a condition.
func (m *Machine) plainly(c *condition) Verdict {
	m.deopts++
	v, err := c.expr.Decide(m.values())
	if err != nil {
		return Failed
	}
	return v
}

// values is the decoded sample.
func (m *Machine) values() any {
	if !m.decoded {
		m.decoded = true
		_ = json.Unmarshal(m.sample, &m.data) // Load has found it valid
	}
	return m.data
}

// AppendValue appends the JSON of the value of a rule's only condition. The
// error is an [*Error], as of [Expr.Value].
func (m *Machine) AppendValue(dst []byte, rule int) ([]byte, error) {
	c := &m.set.rules[rule].conditions[0]
	if m.begin(c) && len(m.sample) < MaxWork/2 {
		v := c.quick.value(m)
		if m.flags&(deopt|failed) == 0 {
			return m.appendJSON(dst, &v), nil
		}
	}
	m.deopts++
	v, err := c.expr.Value(m.values())
	if err != nil {
		return dst, err
	}
	text, err := json.Marshal(v)
	return append(dst, text...), err
}

func (m *Machine) appendJSON(dst []byte, v *scan.Value) []byte {
	switch v.Kind {
	case scan.Missing, scan.Null:
		return append(dst, "null"...)
	case scan.False:
		return append(dst, "false"...)
	case scan.True:
		return append(dst, "true"...)
	case scan.Number:
		if v.Start == v.End {
			return appendNumber(dst, v.Num)
		}
	case scan.Text:
		if v.Start >= computedText {
			quoted, _ := jsontext.AppendQuote(dst, m.text(v)) // an error would be of invalid UTF-8, of which there is none
			return quoted
		}
	}
	return scan.AppendLine(dst, m.sample[v.Start:v.End])
}

// Raw is a field as it was written, nil when it is absent.
func (m *Machine) Raw(field int) []byte {
	v := &m.slots[m.set.fields[field].slot]
	if v.Start == v.End {
		return nil
	}
	return m.sample[v.Start:v.End]
}

// Has says whether a field is there, be it null.
func (m *Machine) Has(field int) bool {
	v := &m.slots[m.set.fields[field].slot]
	return v.Start != v.End
}

// AppendRaw appends a field that is there, as it was written but on one line
// and in valid UTF-8.
func (m *Machine) AppendRaw(dst []byte, field int) []byte {
	return scan.AppendLine(dst, m.Raw(field))
}

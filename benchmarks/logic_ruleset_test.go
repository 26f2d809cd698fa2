package benchmarks

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/logic"
)

// mostPeerRules is the largest set that is given to the peers, which judge rule
// after rule: ten times the rules take ten times as long.
const mostPeerRules = 10_000

// BenchmarkRuleSet judges many rules over each sample. An op is a sample and the
// verdicts of all rules: with tocsin from the sample's bytes to the bit set of
// those that hold, or to each verdict in turn; with the peers from decoded values.
func BenchmarkRuleSet(b *testing.B) {
	random, drift, ragged := machineSamples(b, fleet()), machineSamples(b, drifting()), machineSamples(b, lacking())
	for _, n := range []int{1_000, 10_000, 100_000} {
		var set *ruleSet // made when the first benchmark that is to run wants it
		run := func(name string, samples []sample, judge func(m *logic.Machine, rules int)) {
			b.Run(fmt.Sprintf("tocsin/rules=%d/%s", n, name), func(b *testing.B) {
				if set == nil {
					set = newRuleSet(b, n)
				}
				set.measure(b, samples, judge)
			})
		}
		run("samples=random", random, together)
		run("samples=drift", drift, together)
		if n == 1_000 {
			run("samples=ragged", ragged, together)
			run("samples=random/one-by-one", random, oneByOne)
		}
		if n > mostPeerRules {
			continue
		}
		for _, peer := range peers {
			b.Run(fmt.Sprintf("%s/rules=%d/samples=random", peer.name, n), func(b *testing.B) { judgeEach(b, peer.read, n, random) })
		}
	}
}

func together(m *logic.Machine, rules int) { m.DecideAll(0, rules) }

func oneByOne(m *logic.Machine, rules int) {
	for rule := range rules {
		m.Decide(rule)
	}
}

// peers judge a set rule by rule.
var peers = []struct {
	name string
	read read
}{
	{"jsonlogic", jsonlogicCondition},
	{"expr", exprCondition},
	{"cel", celCondition},
}

// literal is a constant somewhere in the range, as all engines write floats.
func (s span) literal(r *rand.Rand) string {
	return strconv.FormatFloat(s.low+r.Float64()*(s.high-s.low), 'f', 4, 64)
}

// questions are rules over tenFields in four shapes, a quarter of each.
func questions(n int) []question {
	r, all := seeded(5), make([]question, n)
	for i := range all {
		switch i % 4 {
		case 0:
			x := temperatures.literal(r)
			all[i] = alike(fmt.Sprintf(`{">":[{"var":"temperature"},%s]}`, x), fmt.Sprintf(`temperature > %s`, x))
		case 1:
			x, zone := humidities.literal(r), zones[r.IntN(len(zones))]
			all[i] = alike(
				fmt.Sprintf(`{"and":[{">":[{"var":"humidity"},%s]},{"==":[{"var":"zone"},%q]}]}`, x, zone),
				fmt.Sprintf(`humidity > %s && zone == %q`, x, zone),
			)
		case 2:
			x := speeds.literal(r)
			all[i] = alike(fmt.Sprintf(`{"<":[{"var":"motor.rpm"},%s]}`, x), fmt.Sprintf(`motor.rpm < %s`, x))
		default:
			x, y := pressures.literal(r), temperatures.literal(r)
			all[i] = alike(
				fmt.Sprintf(`{"and":[{">=":[{"var":"pressure"},%s]},{"<":[{"var":"temperature"},%s]}]}`, x, y),
				fmt.Sprintf(`pressure >= %s && temperature < %s`, x, y),
			)
		}
	}
	return all
}

// ruleSet is the rules of a feed as an engine has loaded them.
type ruleSet struct {
	questions      []question
	set            *logic.Set
	compile, build time.Duration
	heap           uint64 // bytes of the set and one machine
}

func newRuleSet(b *testing.B, n int) *ruleSet {
	s := &ruleSet{questions: questions(n)}
	before, began := heapInUse(), time.Now()
	conditions := make([]*logic.Expr, n)
	for i, q := range s.questions {
		conditions[i] = compile(b, q.logic)
	}
	s.compile, began = time.Since(began), time.Now()
	var builder logic.Builder
	for _, e := range conditions {
		builder.Rule(e)
	}
	s.set = builder.Build()
	m := s.set.NewMachine()
	s.build = time.Since(began)
	builder, conditions = logic.Builder{}, nil
	s.heap = heapInUse() - before
	runtime.KeepAlive(m)
	return s
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// measure loads each sample into a machine and has it judged.
func (s *ruleSet) measure(b *testing.B, samples []sample, judge func(m *logic.Machine, rules int)) {
	m, n := s.set.NewMachine(), len(s.questions)
	s.check(b, m, samples)
	defer measured(b)()
	for i := 0; b.Loop(); i++ {
		if !m.Load(samples[i%ringSize].text) {
			b.Fatal("refused")
		}
		judge(m, n)
	}
	reportRules(b, n)
	b.ReportMetric(float64(s.heap)/1e6, "MB")
	b.ReportMetric(float64(s.compile.Microseconds())/1e3, "compile-ms")
	b.ReportMetric(float64(s.build.Microseconds())/1e3, "build-ms")
}

func reportRules(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
}

// check holds the machine's verdicts against those of the plain evaluator.
func (s *ruleSet) check(b *testing.B, m *logic.Machine, samples []sample) {
	plain := map[int]*logic.Expr{}
	for _, rule := range checked(len(s.questions)) {
		plain[rule] = compile(b, s.questions[rule].logic)
	}
	for i := range samples {
		require.True(b, m.Load(samples[i].text))
		truths := m.DecideAll(0, len(s.questions)).True
		holds := func(rule int) bool { bit := s.set.Bit(rule); return truths[bit/64]>>(bit%64)&1 == 1 }
		for rule, e := range plain {
			want, err := e.Decide(samples[i].values)
			require.NoError(b, err)
			text := s.questions[rule].logic
			require.Equal(b, want, m.Decide(rule), "%s of %s", text, samples[i].text)
			require.Equal(b, want == logic.True, holds(rule), "%s of %s", text, samples[i].text)
		}
	}
}

// checked are about a thousand rules out of n, of all shapes.
func checked(n int) []int {
	var rules []int
	for rule := 0; rule < n; rule += n/1_000 | 1 {
		rules = append(rules, rule)
	}
	return rules
}

// judgeEach measures a peer, which judges one rule after the other.
func judgeEach(b *testing.B, r read, n int, samples []sample) {
	conditions, all := make([]condition, n), questions(n)
	for i, q := range all {
		conditions[i] = r(b, q)
	}
	for _, rule := range checked(n) {
		plain := plainCondition(b, all[rule])
		for i := range samples {
			require.Equal(b, plain(samples[i].values), conditions[rule](samples[i].values), "%s of %s", all[rule].logic, samples[i].text)
		}
	}
	defer measured(b)()
	for i := 0; b.Loop(); i++ {
		for _, holds := range conditions {
			holds(samples[i%ringSize].values)
		}
	}
	reportRules(b, n)
}

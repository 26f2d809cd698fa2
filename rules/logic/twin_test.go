package logic_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// The tests of this file hold machines to the plain evaluator: the same
// verdicts, values and errors. Go's fuzzing runs with
//
//	go test ./rules/logic -fuzz FuzzTwins -fuzzminimizetime 20x
//
// and random pairs of rules and samples, as many as wanted, with
//
//	TOCSIN_FUZZ_CASES=10000000 go test ./rules/logic -run TestTwinsLong -v -timeout 0

// twinCase is a set of rules and the samples that one machine reads after each
// other.
type twinCase struct {
	rules     [][]condition
	fields    [][]string // that are wanted as they were written
	samples   []string
	still     bool // the machine may not learn
	backwards bool // the last rule is judged first
	values    bool // are compared too
}

// condition is an expression as it was written.
type condition struct {
	text  string
	loose bool
}

func (c condition) compile() (*logic.Expr, error) {
	raw, err := strictjson.Parse("rule", []byte(c.text))
	if err != nil {
		return nil, err
	}
	if c.loose {
		return logic.CompileLoose(raw)
	}
	return logic.Compile(raw)
}

func (c *twinCase) String() string {
	var b strings.Builder
	for i, rule := range c.rules {
		for _, e := range rule {
			fmt.Fprintf(&b, "rule %d  %s", i, e.text)
			if e.loose {
				b.WriteString("  (loose)")
			}
			b.WriteByte('\n')
		}
	}
	for _, path := range c.fields {
		fmt.Fprintf(&b, "field %q\n", path)
	}
	for i, text := range c.samples {
		if strconv.CanBackquote(text) {
			fmt.Fprintf(&b, "sample %d  %s\n", i, text)
		} else {
			fmt.Fprintf(&b, "sample %d  %q\n", i, text)
		}
	}
	if c.still {
		b.WriteString("without learning\n")
	}
	if c.backwards {
		b.WriteString("backwards\n")
	}
	return b.String()
}

// tally counts (rule, sample) pairs by how they went.
type tally struct {
	sets, pairs, values, errors, refused int
	verdicts                             [4]int
	slow, slowValues                     uint64 // judged by the plain evaluator
}

func (y *tally) add(z tally) {
	y.sets += z.sets
	y.pairs += z.pairs
	y.values += z.values
	y.errors += z.errors
	y.refused += z.refused
	y.slow += z.slow
	y.slowValues += z.slowValues
	for i, n := range z.verdicts {
		y.verdicts[i] += n
	}
}

func (y *tally) String() string {
	return fmt.Sprintf("%d pairs in %d sets: %d true, %d false, %d unknown, %d failed; %d equal values, %d equal errors; judged by the plain evaluator: %d verdicts (%.1f %%), %d values; %d samples refused",
		y.pairs, y.sets, y.verdicts[logic.True], y.verdicts[logic.False], y.verdicts[logic.Unknown], y.verdicts[logic.Failed],
		y.values, y.errors, y.slow, 100*float64(y.slow)/float64(max(1, y.pairs)), y.slowValues, y.refused)
}

// twins are a case's rules in both forms.
type twins struct {
	exprs   [][]*logic.Expr
	index   []int // of the rules in the set
	wants   []logic.Verdict
	fields  []int
	set     *logic.Set
	machine *logic.Machine
}

func (c *twinCase) compile() (*twins, error) {
	var b logic.Builder
	w := &twins{}
	for _, path := range c.fields {
		w.fields = append(w.fields, b.Field(path...))
	}
	for _, rule := range c.rules {
		exprs := make([]*logic.Expr, len(rule))
		for i, e := range rule {
			var err error
			if exprs[i], err = e.compile(); err != nil {
				return nil, err
			}
		}
		w.exprs = append(w.exprs, exprs)
		w.index = append(w.index, b.Rule(exprs...))
	}
	w.set = b.Build()
	w.wants = make([]logic.Verdict, len(c.rules))
	w.machine = w.set.NewMachine()
	if c.still {
		w.machine.Learn(false)
	}
	return w, nil
}

// compare says where the twins differ, "" if nowhere. The error is that of a
// rule that does not compile.
func (c *twinCase) compare(y *tally) (difference string, err error) {
	at := "building"
	defer func() {
		if r := recover(); r != nil {
			difference = fmt.Sprintf("%s: panic: %v", at, r)
		}
	}()
	w, err := c.compile()
	if err != nil {
		return "", err
	}
	y.sets++
	var buffer []byte
	for i, text := range c.samples {
		at = fmt.Sprintf("sample %d", i)
		var data any
		valid := json.Unmarshal([]byte(text), &data) == nil
		buffer = append(buffer[:0], text...) // over the sample before, as a worker may
		if w.machine.Load(buffer) != valid {
			return fmt.Sprintf("%s: Load says %v", at, !valid), nil
		}
		if !valid {
			y.refused++
			continue
		}
		if d := c.compareFields(w, data); d != "" {
			return at + ": " + d, nil
		}
		for r := range c.rules {
			if c.backwards {
				r = len(c.rules) - 1 - r
			}
			at = fmt.Sprintf("sample %d, rule %d", i, r)
			if d := c.comparePair(w, r, data, y); d != "" {
				return at + ": " + d, nil
			}
		}
		at = fmt.Sprintf("sample %d, all rules", i)
		if d := c.compareAll(w, buffer); d != "" {
			return at + ": " + d, nil
		}
	}
	return "", nil
}

func (c *twinCase) comparePair(w *twins, rule int, data any, y *tally) string {
	if c.backwards && c.values {
		if d := c.compareValue(w, rule, data, y); d != "" {
			return d
		}
	}
	want := judged(w.exprs[rule], data)
	w.wants[rule] = want
	before := w.machine.Deopts()
	got := w.machine.Decide(w.index[rule])
	y.slow += w.machine.Deopts() - before
	y.pairs++
	y.verdicts[want]++
	if got != want {
		return fmt.Sprintf("plain %s, machine %s", want, got)
	}
	if !c.backwards && c.values {
		return c.compareValue(w, rule, data, y)
	}
	return ""
}

// judged is the verdict of all conditions of a rule.
func judged(exprs []*logic.Expr, data any) logic.Verdict {
	var found [4]bool
	for _, e := range exprs {
		v, err := e.Decide(data)
		if err != nil {
			v = logic.Failed
		}
		found[v] = true
	}
	for _, v := range [...]logic.Verdict{logic.False, logic.Failed, logic.Unknown} {
		if found[v] {
			return v
		}
	}
	return logic.True
}

// compareAll compares the verdicts of all rules at once, or of those after the
// first few, with what comparePair has found.
func (c *twinCase) compareAll(w *twins, sample []byte) string {
	first := 0
	if c.backwards {
		w.machine.Load(sample) // forgets what was judged
		first = len(c.rules) / 3
	}
	all := w.machine.DecideAll(first, len(c.rules))
	for rule := first; rule < len(c.rules); rule++ {
		bit := w.set.Bit(w.index[rule])
		in := func(set []uint64) bool { return set[bit/64]>>(bit%64)&1 == 1 }
		got := [...]bool{!in(all.True) && !in(all.Unknown) && !in(all.Failed), in(all.True), in(all.Unknown), in(all.Failed)}
		want := w.wants[rule]
		if got != [...]bool{want == logic.False, want == logic.True, want == logic.Unknown, want == logic.Failed} {
			return fmt.Sprintf("rule %d: plain %s, machine says of false, true, unknown, failed %v", rule, want, got)
		}
		if again := w.machine.Decide(w.index[rule]); again != want {
			return fmt.Sprintf("rule %d: plain %s, machine then %s", rule, want, again)
		}
	}
	return ""
}

func (c *twinCase) compareValue(w *twins, rule int, data any, y *tally) string {
	if len(w.exprs[rule]) != 1 {
		return ""
	}
	const already = "value: "
	want, wantErr := w.exprs[rule][0].Value(data)
	before := w.machine.Deopts()
	text, err := w.machine.AppendValue([]byte(already), w.index[rule])
	y.slowValues += w.machine.Deopts() - before
	if wantErr != nil || err != nil {
		y.errors++
		if described(wantErr) != described(err) {
			return fmt.Sprintf("plain value %v, %s; machine %s, %s", want, described(wantErr), text, described(err))
		}
		return ""
	}
	y.values++
	text, ok := bytes.CutPrefix(text, []byte(already))
	var got any
	if !ok || json.Unmarshal(text, &got) != nil || !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("plain value %#v, machine %q", want, text)
	}
	return ""
}

// described is what must be the same of two errors.
func described(err error) string {
	if err == nil {
		return "no error"
	}
	failure, ok := errors.AsType[*logic.Error](err)
	if !ok {
		return fmt.Sprintf("%T %v", err, err)
	}
	return fmt.Sprintf("error %q at %s: %s", failure.Type, failure.Place().Pointer(), failure)
}

func (c *twinCase) compareFields(w *twins, data any) string {
	for i, path := range c.fields {
		want, found, plain := property(data, path)
		if !plain {
			continue
		}
		raw := w.machine.Raw(w.fields[i])
		if !found {
			if raw != nil {
				return fmt.Sprintf("field %q is %q; it is not there", path, raw)
			}
			continue
		}
		line := w.machine.AppendRaw([]byte("x"), w.fields[i])[1:]
		var got, again any
		if json.Unmarshal(raw, &got) != nil || !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("field %q is %q; want %#v", path, raw, want)
		}
		if json.Unmarshal(line, &again) != nil || !reflect.DeepEqual(again, want) || bytes.ContainsAny(line, "\r\n") || !utf8.Valid(line) {
			return fmt.Sprintf("field %q on one line is %q; want %#v", path, line, want)
		}
	}
	return ""
}

// property is the value at a path; plain is false for a part of a text.
func property(v any, path []string) (found any, ok, plain bool) {
	for _, name := range path {
		switch x := v.(type) {
		case map[string]any:
			if v, ok = x[name]; !ok {
				return nil, false, true
			}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(x) {
				return nil, false, true
			}
			v = x[i]
		case string:
			return nil, false, false
		default:
			return nil, false, true
		}
	}
	return v, true, true
}

// fieldPaths are what rules may want as it was written.
var fieldPaths = [][]string{{"n"}, {"t"}, {"o"}, {"items"}, {"l", "0"}, {"o", "n"}, {"z"}, {"x", "y"}, {"a.b"}, {"é"}, {}, {"items", "0", "q"}, {"rows", "0"}, {"s"}, {"id"}, {`k"q`}}

// anyRules is a few rules of all operators over samples that have their names.
func anyRules(choices []byte) *twinCase {
	a := &author{writer: writer{choices: choices}, used: map[string]bool{}}
	mode := a.choose(8)
	c := &twinCase{values: true, still: mode == 7, backwards: mode == 6}
	a.wild = [...]int{64, 16, 0, 5}[a.choose(4)]
	loosely := a.choose(4) == 3
	for range 1 + max(0, a.choose(8)-2) {
		rule := make([]condition, 1+max(0, a.choose(10)-7))
		for i := range rule {
			a.loose = loosely && a.choose(3) > 0
			rule[i] = condition{a.rule(), a.loose}
		}
		c.rules = append(c.rules, rule)
	}
	for range max(0, a.choose(6)-3) {
		c.fields = append(c.fields, fieldPaths[a.choose(len(fieldPaths))])
	}
	n := 2 + a.choose(8)
	if a.one(8) {
		n *= 4
	}
	c.samples = a.samples(n)
	return c
}

// manyRules is so many rules of few shapes that a set has an index of them.
func manyRules(choices []byte) *twinCase {
	l := newLine(choices)
	mode := l.choose(8)
	c := &twinCase{still: mode == 7, backwards: mode == 6, values: mode == 5}
	c.rules = l.rules()
	n := 2 + l.choose(7)
	if l.large {
		n *= 3
	}
	c.samples = l.samples(n)
	return c
}

// FuzzTwins holds machines to the plain evaluator on rules of all operators.
func FuzzTwins(f *testing.F) { fuzzTwins(f, anyRules) }

// FuzzManyRules does so on sets that are large enough to be indexed.
func FuzzManyRules(f *testing.F) { fuzzTwins(f, manyRules) }

func fuzzTwins(f *testing.F, write func([]byte) *twinCase) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		f.Add(choicesOf(random, 1500))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		var y tally
		hold(t, fmt.Sprintf("choices %q", choices), write(choices), &y)
	})
}

// hold fails the test with the smallest case it finds where the twins differ.
func hold(t testing.TB, origin string, c *twinCase, y *tally) bool {
	difference, err := c.compare(y)
	if err != nil {
		t.Errorf("%s: a rule does not compile: %v\n%s", origin, err, c)
		return false
	}
	if difference == "" {
		return true
	}
	small := shrunk(c)
	again, _ := small.compare(&tally{})
	text := small.String()
	t.Errorf("%s: %s\nat the smallest: %s\n%s", origin, difference, again, text[:min(len(text), 10_000)])
	return false
}

func choicesOf(random *rand.Rand, most int) []byte {
	b := make([]byte, 0, most+8)
	for n := 40 + random.IntN(most-40); len(b) < n; {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	return b
}

// worker runs seeds until it has seen so many pairs.
type worker struct {
	seed, step uint64
	pairs      int
	write      func([]byte) *twinCase
	most       int // choices
}

func (w worker) run(t testing.TB) tally {
	var y tally
	failures := 0
	for seed := w.seed; y.pairs < w.pairs && failures < 3; seed += w.step {
		choices := choicesOf(rand.New(rand.NewPCG(seed, uint64(w.most))), w.most)
		if !hold(t, fmt.Sprintf("seed %d", seed), w.write(choices), &y) {
			failures++
		}
	}
	return y
}

var (
	anyWorker  = worker{seed: 1, step: 1, pairs: 20_000, write: anyRules, most: 4000}
	manyWorker = worker{seed: 1, step: 1, pairs: 300_000, write: manyRules, most: 5000}
)

// TestTwins is FuzzTwins on many more seeds than a corpus should hold.
func TestTwins(t *testing.T) {
	y := anyWorker.run(t)
	t.Log(&y)
	assert.Less(t, float64(y.slow), 0.5*float64(y.pairs), "most verdicts are the machine's own")
	for v, n := range y.verdicts {
		assert.Greater(t, n, y.pairs/50, logic.Verdict(v))
	}
	assert.Greater(t, y.values, y.pairs/4)
	assert.Greater(t, y.errors, y.pairs/50)
}

// TestManyRules is FuzzManyRules so.
func TestManyRules(t *testing.T) {
	y := manyWorker.run(t)
	t.Log(&y)
	assert.Less(t, float64(y.slow), 0.2*float64(y.pairs), "most verdicts are the machine's own")
	for v, n := range y.verdicts {
		assert.Greater(t, n, y.pairs/100, logic.Verdict(v))
	}
}

// TestTwinsLong is TestTwins and TestManyRules with as many pairs as the
// environment wants.
func TestTwinsLong(t *testing.T) {
	pairs, _ := strconv.Atoi(os.Getenv("TOCSIN_FUZZ_CASES"))
	if pairs == 0 {
		t.Skip("TOCSIN_FUZZ_CASES is not set: how many pairs of a rule and a sample")
	}
	for name, part := range map[string]worker{"any rules": anyWorker, "many rules": manyWorker} {
		t.Run(name, func(t *testing.T) {
			const goroutines = 2
			var all [goroutines]tally
			var group sync.WaitGroup
			for i := range goroutines {
				w := part
				w.seed, w.step, w.pairs = 1_000_000+uint64(i), goroutines, (pairs+1)/goroutines
				group.Go(func() { all[i] = w.run(t) })
			}
			group.Wait()
			var y tally
			for i := range all {
				y.add(all[i])
			}
			t.Log(&y)
		})
	}
}

// TestTwinsOnSuites runs the samples of the suites and of this package's own
// table through machines.
func TestTwinsOnSuites(t *testing.T) {
	var y tally
	one := func(rule, data string) {
		c := &twinCase{rules: [][]condition{{{rule, true}}}, samples: []string{data, data}, values: true}
		hold(t, "suite", c, &y)
	}
	for _, c := range operatorCases {
		one(c.rule, c.data)
	}
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "fuzz" {
			return fs.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var items []any
		require.NoError(t, json.Unmarshal(text, &items))
		for _, item := range items {
			switch c := item.(type) {
			case []any:
				one(encoded(t, c[0]), encoded(t, c[1]))
			case map[string]any:
				one(encoded(t, c["rule"]), encoded(t, c["data"]))
			}
		}
		return nil
	})
	require.NoError(t, err)
	t.Log(&y)
	assert.Greater(t, y.pairs, 1_500)
}

// TestTwinsAtLimits: what takes the plain evaluator too much fails in a machine
// too, which counts otherwise.
func TestTwinsAtLimits(t *testing.T) {
	repeated := func(n int, element string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	many := func(n int, operands ...string) string { return strings.Join(slices.Repeat(operands, n), ",") }
	over := func(n int) string {
		return fmt.Sprintf(`{"list":%s,"long":"%s","n":1}`, repeated(n, "1"), strings.Repeat("x", 8*n))
	}
	longText := func(n int) string { return fmt.Sprintf(`{"list":["%s"]}`, strings.Repeat("x", n)) }
	doubled := func(n int) string {
		return fmt.Sprintf(`{"list":%s0],"other":%s}`, "["+strings.Repeat("1,", 15), repeated(n, "1"))
	}
	var y tally
	for _, c := range []struct {
		rule   string
		sample func(n int) string
		sizes  []int
	}{
		{`{"all":[{"var":"list"},{"all":[{"val":[[2],"list"]},true]}]}`, over, []int{100, 1447, 1449}},
		{`{"none":[{"var":"list"},{"in":["no",{"val":[[2],"list"]}]}]}`, over, []int{100, 1447, 1449}},
		{`{"all":[{"var":"list"},{"!=":[{"val":[[2],"long"]},"x"]}]}`, over, []int{100, 1447, 1449}},
		{`{"all":[{"var":"list"},{"==":[{"val":[[2],"long"]},{"val":[[2],"long"]}]}]}`, over, []int{100, 1447}},
		{`{"none":[{"var":"list"},{"in":["y",{"val":[[2],"long"]}]}]}`, over, []int{100, 1447, 2048}},
		{`{"all":[{"var":"list"},{"substr":[{"val":[[2],"long"]},0,1]}]}`, over, []int{100, 400, 800}},
		{`{"all":[{"var":"list"},{"!":{"missing":["list","long","n"]}}]}`, over, []int{100, 3000}},
		{`{"reduce":[{"var":"list"},{"merge":[{"var":"accumulator"},{"var":"current"}]},[]]}`, over, []int{100, 1447}},
		{`{"reduce":[{"var":"list"},{"cat":[{"var":"accumulator"},{"var":"current"}]},""]}`, over, []int{100, 600, 1000, 2047, 2895, 2900}},
		{`{"reduce":[{"var":"list"},{"substr":[{"cat":[{"var":"accumulator"},{"val":[[2],"long"]}]},1]},""]}`, over, []int{20, 50, 100}},
		{`{"all":[{"map":[{"var":"list"},{"cat":[` + many(50, `{"var":""}`) + `]}]},{"and":[` + many(100, `{"!=":[{"var":""},"x"]}`) + `]}]}`, longText, []int{10, 1000, 5000, 8000, 9000, 20000}},
		{`{"reduce":[{"var":"list"},{"if":[{"var":"current"},{"cat":[{"var":"accumulator"},{"var":"accumulator"}]},{"all":[{"val":[[2],"other"]},{"!=":[{"val":[[2],"accumulator"]},"x"]}]}]},"xx"]}`, doubled, []int{10, 200, 400, 600}},
	} {
		for _, n := range c.sizes {
			one := twinCase{rules: [][]condition{{{c.rule, false}}}, samples: []string{c.sample(n)}, values: true}
			difference, err := one.compare(&y)
			require.NoError(t, err)
			assert.Empty(t, difference, "size %d of %s", n, c.rule)
		}
	}
	t.Log(&y)
	assert.Positive(t, y.errors)
	assert.Positive(t, y.values)
}

// TestBoundsFarApart: the distance of two bounds is no finite number.
func TestBoundsFarApart(t *testing.T) {
	c := &twinCase{samples: []string{`{"n":1e308}`, `{"n":-1e308}`, `{"n":0}`, `{"n":1.7976931348623157e308}`, `{"n":-1.7976931348623157e308}`, `{"n":"Infinity"}`}}
	for _, bound := range []string{"0", "1", "2", "3", "4", "5", "1.7976931348623157e308", "-1.7976931348623157e308"} {
		for _, relation := range append(orders, equalities...) {
			c.rules = append(c.rules, []condition{{text: op(relation, variable("n"), bound)}})
		}
	}
	hold(t, "bounds", c, &tally{})
}

// TestMachinesShareASet: machines of one set do not disturb each other.
func TestMachinesShareASet(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		c := manyRules(choicesOf(random, 5000))
		w, err := c.compile()
		require.NoError(t, err)
		wants := make([][]logic.Verdict, len(c.samples))
		for i, text := range c.samples {
			data := decoded(t, text)
			for _, exprs := range w.exprs {
				wants[i] = append(wants[i], judged(exprs, data))
			}
		}
		var group sync.WaitGroup
		for g := range 4 {
			m := w.set.NewMachine()
			group.Go(func() {
				for k := range 3 * len(c.samples) {
					i := (k + g) % len(c.samples)
					assert.True(t, m.Load([]byte(c.samples[i])))
					for r, want := range wants[i] {
						assert.Equal(t, want, m.Decide(w.index[r]))
					}
				}
			})
		}
		group.Wait()
	}
}

// tokens are what a text of JSON is made of.
var tokens = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|true|false|null|.`)

// shrunk is a smaller case whose twins still differ.
func shrunk(c *twinCase) *twinCase {
	budget := 30_000_000 // bytes of cases tried
	best := *c
	differs := func(try *twinCase) bool {
		budget -= 500 + try.size()
		difference, err := try.compare(&tally{})
		return err == nil && difference != ""
	}
	for progress := true; progress && budget > 0; {
		progress = false
		for try := range best.smaller {
			if differs(try) {
				best, progress = *try, true
			}
			if progress || budget < 0 {
				break
			}
		}
	}
	return &best
}

// size is how much text a case is.
func (c *twinCase) size() int {
	n := 0
	for _, rule := range c.rules {
		for _, e := range rule {
			n += len(e.text)
		}
	}
	for _, text := range c.samples {
		n += len(text)
	}
	return n
}

// smaller gives cases with something less, the largest steps first.
func (c *twinCase) smaller(yield func(*twinCase) bool) {
	with := func(change func(*twinCase)) bool {
		try := *c
		try.rules, try.samples, try.fields = slices.Clone(c.rules), slices.Clone(c.samples), slices.Clone(c.fields)
		change(&try)
		return yield(&try)
	}
	for _, n := range [...]int{64, 16, 4, 1} {
		for i := 0; i+n <= len(c.rules); i += n {
			if !with(func(try *twinCase) { try.rules = slices.Delete(try.rules, i, i+n) }) {
				return
			}
		}
	}
	for i := range c.samples {
		if !with(func(try *twinCase) { try.samples = slices.Delete(try.samples, i, i+1) }) {
			return
		}
	}
	for i := range c.fields {
		if !with(func(try *twinCase) { try.fields = slices.Delete(try.fields, i, i+1) }) {
			return
		}
	}
	if (c.still || c.backwards) && !with(func(try *twinCase) { try.still, try.backwards = false, false }) {
		return
	}
	for i, rule := range c.rules {
		for j, e := range rule {
			if len(rule) > 1 && !with(func(try *twinCase) { try.rules[i] = slices.Delete(slices.Clone(rule), j, j+1) }) {
				return
			}
			for text := range simpler(e.text) {
				if !with(func(try *twinCase) {
					try.rules[i] = slices.Clone(rule)
					try.rules[i][j].text = text
				}) {
					return
				}
			}
		}
	}
	for i, sample := range c.samples {
		for text := range simpler(sample) {
			if !with(func(try *twinCase) { try.samples[i] = text }) {
				return
			}
		}
	}
}

// simpler gives texts of JSON with some tokens less: a run of them gone, a value
// in the place of one that it stood in, a plainer scalar.
func simpler(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		parts := tokens.FindAllString(text, -1)
		try := func(from, to int, between ...string) bool {
			shorter := strings.Join(slices.Concat(parts[:from], between, parts[to:]), "")
			return shorter == text || !json.Valid([]byte(shorter)) || yield(shorter)
		}
		for i := range parts {
			if end := ending(parts, i); end > i+1 {
				for j := i + 1; j < end; j++ {
					if !try(i, end, parts[j:ending(parts, j)]...) {
						return
					}
				}
			}
		}
		for n := min(len(parts), 60); n > 0; n-- {
			for i := 0; i+n <= len(parts); i++ {
				if !try(i, i+n) {
					return
				}
			}
		}
		for i, part := range parts {
			if len(part) > 1 && part != "true" && part != "null" && !try(i, i+1, "0") {
				return
			}
		}
	}
}

// ending is where the value ends that begins at token i.
func ending(parts []string, i int) int {
	depth := 0
	for j := i; j < len(parts); j++ {
		switch parts[j] {
		case "{", "[":
			depth++
		case "}", "]":
			depth--
		}
		if depth <= 0 {
			return j + 1
		}
	}
	return len(parts)
}

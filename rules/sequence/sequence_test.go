package sequence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/sequence"
)

// steps reads "a !x b*2 !c@5": a, then no x until b has come twice, then no c for 5.
func steps(text string) []sequence.Step {
	var out []sequence.Step
	for word := range strings.FieldsSeq(text) {
		s := sequence.Step{}
		word, s.Not = strings.CutPrefix(word, "!")
		word, absent, _ := strings.Cut(word, "@")
		name, count, counted := strings.Cut(word, "*")
		s.ID = name
		if s.For, _ = strconv.ParseInt(absent, 10, 64); !s.Not {
			s.Count = 1
		}
		if counted {
			s.Count, _ = strconv.Atoi(count)
		}
		out = append(out, s)
	}
	return out
}

// letters is a sample as a text: the steps that begin with its letters are true,
// and those with its capitals unknown.
func letters(spec sequence.Spec, sample string) sequence.Truth {
	return func(_, step int) (isTrue, known bool) {
		name := spec.Steps[step].ID[:1]
		return strings.Contains(sample, name), !strings.Contains(sample, strings.ToUpper(name))
	}
}

// show is a match as "start-end times of its steps".
func show(m sequence.Match) string { return fmt.Sprintf("%d-%d%v", m.Start, m.End, m.At) }

// run feeds samples, the n-th at n, and lets time go on to the end.
func run(t testing.TB, spec sequence.Spec, samples []string, end int64) (done []string, lost sequence.Lost) {
	t.Helper()
	m, err := sequence.New(spec)
	require.NoError(t, err)
	var st sequence.State
	for i, sample := range samples {
		found, l := m.Feed(&st, int64(i+1), nil, letters(spec, sample))
		lost.Dropped += l.Dropped
		lost.TimedOut += l.TimedOut
		for _, match := range found {
			done = append(done, show(match))
		}
	}
	found, timedOut := m.Expire(&st, end)
	lost.TimedOut += timedOut
	for _, match := range found {
		done = append(done, show(match))
	}
	return done, lost
}

func TestFeed(t *testing.T) {
	tests := []struct {
		name, steps string
		strict      bool
		samples     string // each a letter or more, with blanks between; "." is one in which nothing is true
		want        []string
		timedOut    int
	}{
		{"one step", "a", false, "a . a", []string{"1-1[1]", "3-3[3]"}, 0},
		{"two steps", "a b", false, "a b", []string{"1-2[1 2]"}, 0},
		{"others are passed over", "a b", false, "a c . b", []string{"1-4[1 4]"}, 0},
		{"the wrong order", "a b", false, "b a", nil, 1},
		{"the first of many begins", "a b", false, "a a b b", []string{"1-3[1 3]"}, 0},
		{"one sample, one step", "a a2", false, "a", nil, 1},
		{"no overlap", "a a2", false, "a a a a", []string{"1-2[1 2]", "3-4[3 4]"}, 0},
		{"a sample of both fills the later step", "a b", false, "a ab b", []string{"1-2[1 2]"}, 0},
		{"within includes its end", "a b", false, "a . . . . . . . . . b", []string{"1-11[1 11]"}, 0},
		{"too late", "a b", false, "a . . . . . . . . . . b", nil, 1},
		{"too late for one, in time for another", "a b", false, "a . a . . . . . . . . b", []string{"3-12[3 12]"}, 1},
		{"unknown fills nothing", "a b", false, "A a B b", []string{"2-4[2 4]"}, 0},
		{"count", "a*3 b", false, "a a b a b", []string{"1-5[4 5]"}, 0}, // the one that began with the second a has no b left...
		{"count at the end", "a b*2", false, "a b . b", []string{"1-4[1 4]"}, 0},

		{"strict", "a b", true, "a b", []string{"1-2[1 2]"}, 0},
		{"strict, broken", "a b", true, "a . b", nil, 0},
		{"strict, unknown breaks nothing", "a b", true, "a B b", []string{"1-3[1 3]"}, 0},
		{"strict, later start", "a a2 b", true, "a a a b", []string{"2-4[2 3 4]"}, 0},
		{"strict, count", "a*2 b", true, "a a a b", []string{"2-4[3 4]"}, 0},
		{"strict, waiting for an absence", "a b !c@3", true, "a b . . .", []string{"1-5[1 2 5]"}, 0},

		{"not", "a !x b", false, "a b a x b", []string{"1-2[1 0 2]"}, 0},
		{"not, unknown", "a !x b", false, "a X b", []string{"1-3[1 0 3]"}, 0},
		{"not ends the ones before it only", "a !x b", false, "a x a b", []string{"3-4[3 0 4]"}, 0},
		{"not on the sample of the step before", "a !x b", false, "ax b", []string{"1-2[1 0 2]"}, 0},
		{"not on the sample of the step after", "a !x b", false, "a xb b", nil, 0},
		{"not holds until the count is full", "a !x b*2", false, "a b x b", nil, 0},
		{"not is over after the step", "a !x b c", false, "a b x c", []string{"1-4[1 0 2 4]"}, 0},
		{"several nots", "a !x !y b", false, "a y a b", []string{"3-4[3 0 0 4]"}, 0},

		{"absence", "a !b@4", false, "a . . .", []string{"1-5[1 5]"}, 0},
		{"absence, not kept", "a !b@4", false, "a . . b", nil, 0},
		{"absence, ended at its last instant", "a !b@4", false, "a . . . b", nil, 0},
		{"absence, done before the sample", "a !b@4", false, "a . . . . b", []string{"1-5[1 5]"}, 0},
		{"absence, unknown", "a !b@4", false, "a B . .", []string{"1-5[1 5]"}, 0},
		{"absence, of each that began", "a !b@4", false, "a . a", []string{"1-5[1 5]", "3-7[3 7]"}, 0},
		{"absence of two", "a !x !b@4", false, "a . x .", nil, 0},
		{"absence, too late", "a b !c@4", false, "a . . . . . . b . . . . . .", nil, 1},
		{"absence, the kin are gone", "a b !c@4", false, "a a b", []string{"1-7[1 3 7]"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := sequence.Spec{Steps: steps(test.steps), Within: 10, Strict: test.strict}
			done, lost := run(t, spec, strings.Fields(test.samples), 1000)
			assert.Equal(t, test.want, done)
			assert.Equal(t, test.timedOut, lost.TimedOut)
			assert.Zero(t, lost.Dropped)
		})
	}
}

func TestTooManyPartialMatches(t *testing.T) {
	spec := sequence.Spec{Steps: steps("a b"), Within: 100, MaxPartial: 2}
	done, lost := run(t, spec, strings.Fields("a a a b"), 1000)
	assert.Equal(t, []string{"2-4[2 4]"}, done, "the oldest one went")
	assert.Equal(t, sequence.Lost{Dropped: 1}, lost)

	spec.Steps = steps("a !b@4")
	done, lost = run(t, spec, strings.Fields("a a a a a a"), 1000)
	assert.Equal(t, []string{"1-5[1 5]", "2-6[2 6]", "6-10[6 10]"}, done, "those that wait for an absence stay")
	assert.Equal(t, sequence.Lost{Dropped: 3}, lost)

	spec.Steps, spec.MaxPartial = steps("a b !c@50"), 0
	_, lost = run(t, spec, append(strings.Fields("a b"), slices.Repeat([]string{"a"}, 20)...), 1000)
	assert.Equal(t, sequence.Lost{TimedOut: 7, Dropped: 13}, lost, "eight are kept, one of them waits")

	spec.MaxPartial = 64
	_, lost = run(t, spec, slices.Repeat([]string{"a"}, 70), 1000)
	assert.Equal(t, sequence.Lost{TimedOut: 64, Dropped: 6}, lost)
}

func TestNotes(t *testing.T) {
	m, err := sequence.New(sequence.Spec{Steps: steps("a !x b c"), Within: 100})
	require.NoError(t, err)
	var st sequence.State
	note := []byte("first")
	only := func(n int) sequence.Truth {
		return func(_, step int) (isTrue, known bool) { return step == n, true }
	}
	m.Feed(&st, 1, note, only(0))
	copy(note, "other")
	m.Feed(&st, 2, []byte("second"), only(0))
	seen := map[int]string{}
	m.Feed(&st, 3, []byte("third"), func(partial, step int) (isTrue, known bool) {
		seen[partial] = string(st.Note(partial, 0))
		return step == 2 && partial == 1, true
	})
	assert.Equal(t, map[int]string{-1: "", 0: "first", 1: "second"}, seen)
	assert.Nil(t, st.Note(0, 2))
	assert.Nil(t, st.Note(7, 0))
	assert.Nil(t, st.Note(0, -1))
	assert.Equal(t, "third", string(st.Note(1, 2)))
	done, _ := m.Feed(&st, 4, nil, only(3))
	require.Len(t, done, 1)
	assert.Equal(t, sequence.Match{Start: 2, End: 4, At: []int64{2, 0, 3, 4}, Notes: [][]byte{[]byte("second"), nil, []byte("third"), nil}}, done[0])
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		spec sequence.Spec
		want string
	}{
		{"nothing", sequence.Spec{}, "no steps; want at least one\nno time within which the sequence has to happen; want one above zero"},
		{"begins with not", sequence.Spec{Steps: steps("!a b"), Within: 1}, `step 1 ("a") is the first and a not; want one that a sample fills, which begins the time`},
		{"ends with not", sequence.Spec{Steps: steps("a !b"), Within: 1}, `step 2 ("b") is the last and a not; want a time for which it must not come true`},
		{"absent for too long", sequence.Spec{Steps: steps("a !b@2"), Within: 1}, `step 2 ("b") must not come true for longer than the sequence may take; want a time up to that`},
		{"a time in between", sequence.Spec{Steps: steps("a !b@2 c"), Within: 9}, `step 2 ("b") has a time for which it must not come true; want that only of a not at the end`},
		{"count", sequence.Spec{Steps: steps("a*0 b*-1 !c*2 d"), Within: 1}, `step 1 ("a") is filled by 0 samples; want at least 1
step 2 ("b") is filled by -1 samples; want at least 1
step 3 ("c") is a not and has a count; want none`},
		{"twice", sequence.Spec{Steps: []sequence.Step{{ID: "a", Count: 1}, {ID: "a", Count: 1}}, Within: 1}, `step 2 ("a") has the id of another; want each once`},
		{"partial", sequence.Spec{Steps: steps("a"), Within: 1, MaxPartial: 65}, `65 partial matches; want 1 to 64, or 0 for 8`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := sequence.New(test.spec)
			assert.Nil(t, m)
			assert.EqualError(t, err, test.want)
		})
	}
}

// found is a match of the slow twin.
type found struct {
	text    string
	end     int64
	absent  bool // ended by time, after a sample of the same time
	start   int
	samples []int
}

// brute is the slow twin: it follows each sample that may begin a match for
// itself, then takes the matches in the order in which they end, and of those
// that share a sample the first.
func brute(spec sequence.Spec, at []int64, samples []string) []string {
	var all []found
	for i := range samples {
		if f, ok := follow(spec, at, samples, i); ok {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		switch {
		case a.end != b.end:
			return int(a.end - b.end)
		case a.absent != b.absent && b.absent:
			return -1
		case a.absent != b.absent:
			return 1
		}
		return a.start - b.start
	})
	used := map[int]bool{}
	var done []string
	for _, f := range all {
		if slices.ContainsFunc(f.samples, func(i int) bool { return used[i] }) {
			continue
		}
		for _, i := range f.samples {
			used[i] = true
		}
		done = append(done, f.text)
	}
	return done
}

func follow(spec sequence.Spec, at []int64, samples []string, begin int) (found, bool) {
	m := sequence.Match{Start: at[begin], At: make([]int64, len(spec.Steps))}
	f := found{start: begin}
	var not []string
	last, next := at[begin], 0
	for n, s := range spec.Steps {
		if s.Not {
			not = append(not, s.ID)
			if n < len(spec.Steps)-1 {
				continue
			}
			m.End = last + s.For
			for i := next; i < len(samples) && at[i] <= m.End; i++ {
				if strings.ContainsAny(samples[i], strings.Join(not, "")) {
					return f, false
				}
			}
			m.At[n], f.absent = m.End, true
			continue
		}
		for range s.Count {
			for ; ; next++ {
				if next == 0 {
					next = begin
				}
				if next == len(samples) || at[next] > m.Start+spec.Within {
					return f, false
				}
				if next > begin && strings.ContainsAny(samples[next], strings.Join(not, "")) {
					return f, false
				}
				if strings.Contains(samples[next], s.ID) {
					break
				}
				if next == begin || spec.Strict && !strings.Contains(samples[next], strings.ToUpper(s.ID)) {
					return f, false
				}
			}
			f.samples = append(f.samples, next)
			last, m.At[n], m.End = at[next], at[next], at[next]
			next++
		}
		not = nil
	}
	f.end, f.text = m.End, show(m)
	return f, m.End <= m.Start+spec.Within
}

func randomSpec(r *rand.Rand) sequence.Spec {
	names := strings.Split("abcdef", "")
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var words []string
	for i := range 1 + r.IntN(4) {
		words = append(words, names[i])
		switch {
		case i > 0 && r.IntN(3) == 0:
			words[i] = "!" + names[i]
		case r.IntN(4) == 0:
			words[i] += "*" + strconv.Itoa(1+r.IntN(3))
		}
	}
	within := int64(1 + r.IntN(25))
	if last := len(words) - 1; strings.HasPrefix(words[last], "!") {
		words[last] += "@" + strconv.FormatInt(1+r.Int64N(within), 10)
	}
	return sequence.Spec{Steps: steps(strings.Join(words, " ")), Within: within, Strict: r.IntN(3) == 0, MaxPartial: 64}
}

func randomSamples(r *rand.Rand) (at []int64, samples []string) {
	now := int64(100)
	for range r.IntN(40) {
		now += int64(r.IntN(4)) // several feeds may have the same time
		var b strings.Builder
		for _, c := range "abcdef" {
			switch r.IntN(8) {
			case 0, 1:
				b.WriteRune(c)
			case 2:
				b.WriteRune(c - 'a' + 'A')
			}
		}
		at, samples = append(at, now), append(samples, b.String())
	}
	return at, samples
}

func TestMatchesAreThoseOfTheSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matches := 0
	for range 20_000 {
		spec := randomSpec(r)
		at, samples := randomSamples(r)
		m, err := sequence.New(spec)
		require.NoError(t, err)
		var st sequence.State
		var got []string
		for i, sample := range samples {
			done, lost := m.Feed(&st, at[i], nil, letters(spec, sample))
			require.Zero(t, lost.Dropped)
			for _, match := range done {
				got = append(got, show(match))
			}
		}
		done, _ := m.Expire(&st, 10_000)
		for _, match := range done {
			got = append(got, show(match))
		}
		matches += len(got)
		require.Equal(t, brute(spec, at, samples), got, "%+v %v %q", spec, at, samples)
		require.Zero(t, m.Due(&st))
	}
	assert.Greater(t, matches, 10_000)
}

// Neither a restart at any sample nor ticks at any time change what is found;
// Due says exactly when a tick has something to do.
func checkTicks(t *testing.T, spec sequence.Spec, at []int64, samples []string) {
	t.Helper()
	m, err := sequence.New(spec)
	require.NoError(t, err)
	var plain, ticked sequence.State
	var want, got []sequence.Match
	var lost, lostTicked sequence.Lost
	now := int64(0)
	until := func(end int64) {
		for ; now < end; now++ {
			due := m.Due(&ticked)
			done, timedOut := m.Expire(&ticked, now)
			require.Equal(t, due != 0 && due <= now, len(done)+timedOut > 0)
			got = append(got, done...)
			lostTicked.TimedOut += timedOut
		}
	}
	for i, sample := range samples {
		done, l := m.Feed(&plain, at[i], []byte(sample), letters(spec, sample))
		want = append(want, done...)
		lost.TimedOut += l.TimedOut
		lost.Dropped += l.Dropped

		until(at[i])
		text, err := json.Marshal(ticked)
		require.NoError(t, err)
		ticked = sequence.State{}
		require.NoError(t, json.Unmarshal(text, &ticked))
		require.NoError(t, m.Check(&ticked))
		done, l = m.Feed(&ticked, at[i], []byte(sample), letters(spec, sample))
		got = append(got, done...)
		lostTicked.TimedOut += l.TimedOut
		lostTicked.Dropped += l.Dropped
	}
	const end = 1000
	done, timedOut := m.Expire(&plain, end)
	want = append(want, done...)
	lost.TimedOut += timedOut
	until(end + 1)
	require.Equal(t, asText(want), asText(got))
	require.Equal(t, lost, lostTicked)
}

func asText(matches []sequence.Match) string {
	var b bytes.Buffer
	for _, m := range matches {
		fmt.Fprintf(&b, "%s %q\n", show(m), m.Notes)
	}
	return b.String()
}

func TestTicksAndRestartsChangeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		spec := randomSpec(r)
		spec.MaxPartial = 1 + r.IntN(4)
		at, samples := randomSamples(r)
		checkTicks(t, spec, at, samples)
	}
}

func TestTimesAtTheEndOfTime(t *testing.T) {
	const last = int64(^uint64(0) >> 1)
	spec := sequence.Spec{Steps: steps("a !b@5"), Within: last}
	m, err := sequence.New(spec)
	require.NoError(t, err)
	var st sequence.State
	m.Feed(&st, last-2, nil, letters(spec, "a"))
	assert.Zero(t, m.Due(&st))
	done, timedOut := m.Expire(&st, last)
	assert.Empty(t, done)
	assert.Zero(t, timedOut)
}

func TestStateAsJSON(t *testing.T) {
	spec := sequence.Spec{Steps: steps("a b"), Within: 10}
	m, err := sequence.New(spec)
	require.NoError(t, err)
	var st sequence.State
	text, err := json.Marshal(st)
	require.NoError(t, err)
	assert.Equal(t, `[]`, string(text))
	m.Feed(&st, 7, []byte("x"), letters(spec, "a"))
	text, err = json.Marshal(&st)
	require.NoError(t, err)
	assert.Equal(t, `[{"s":7,"g":1,"t":[7],"n":["eA=="]}]`, string(text))
}

func TestCheck(t *testing.T) {
	m, err := sequence.New(sequence.Spec{Steps: steps("a*2 !x b !c@3"), Within: 10, MaxPartial: 2})
	require.NoError(t, err)
	tests := []struct {
		state string
		fits  bool
	}{
		{`[]`, true},
		{`[{"s":7,"c":1,"t":[7],"n":[null]}]`, true},
		{`[{"s":7,"g":1,"t":[7],"n":[null]}]`, true},
		{`[{"s":7,"g":2,"t":[7,0,8],"n":[null,null,null]}]`, true},
		{`[{"s":7,"t":[],"n":[]}]`, false},
		{`[{"s":7,"c":2,"t":[7],"n":[null]}]`, false},
		{`[{"s":7,"c":-1,"t":[7],"n":[null]}]`, false},
		{`[{"s":7,"g":-1,"c":1,"t":[7],"n":[null]}]`, false},
		{`[{"s":7,"g":3,"t":[7],"n":[null]}]`, false},
		{`[{"s":7,"g":2,"c":1,"t":[7,0,8],"n":[null,null,null]}]`, false},
		{`[{"s":7,"g":2,"t":[7],"n":[null]}]`, false},
		{`[{"s":7,"g":1,"t":[7],"n":[]}]`, false},
		{`[{"s":7,"g":1,"t":[7],"n":[null],"k":1}]`, false},
		{`[{"s":7,"g":1,"t":[7],"n":[null],"k":2}]`, false},
		{`[{"s":7,"g":1,"t":[7],"n":[null],"k":2},{"s":8,"g":1,"t":[8],"n":[null],"k":1}]`, true},
		{`[{"s":7,"g":1,"t":[7],"n":[null]},{"s":7,"g":1,"t":[7],"n":[null]},{"s":7,"g":1,"t":[7],"n":[null]}]`, false},
	}
	for _, test := range tests {
		t.Run(test.state, func(t *testing.T) {
			var st sequence.State
			require.NoError(t, json.Unmarshal([]byte(test.state), &st))
			assert.Equal(t, test.fits, m.Check(&st) == nil)
		})
	}
	assert.Error(t, json.Unmarshal([]byte(`{"s":1}`), new(sequence.State)))
}

func TestNothingNewAllocatesNothing(t *testing.T) {
	spec := sequence.Spec{Steps: steps("a !x b"), Within: 1_000_000}
	m, err := sequence.New(spec)
	require.NoError(t, err)
	var st sequence.State
	m.Feed(&st, 1, nil, letters(spec, "a"))
	truth := func(int, int) (isTrue, known bool) { return false, true }
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		m.Feed(&st, 2, []byte("note"), truth)
		m.Expire(&st, 2)
		m.Due(&st)
	}))
	assert.EqualValues(t, 24, unsafe.Sizeof(st))
}

func FuzzFeed(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Add(uint64(77), uint64(1<<60))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		spec := randomSpec(r)
		spec.MaxPartial = r.IntN(9)
		at, samples := randomSamples(r)
		checkTicks(t, spec, at, samples)
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`[{"s":7,"g":2,"t":[7,0,8],"n":[null,null,null]}]`))
	f.Add([]byte(`[{"s":7,"g":1,"t":[7],"n":["eA=="],"k":2},{"s":8,"c":1,"t":[8],"n":[null],"k":1}]`))
	spec := sequence.Spec{Steps: steps("a*2 !x b !c@3"), Within: 10}
	m, err := sequence.New(spec)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		var st sequence.State
		if json.Unmarshal(text, &st) != nil || m.Check(&st) != nil {
			return
		}
		for i, sample := range []string{"a", "ab", "x", "b", "", "c", "a"} {
			m.Feed(&st, int64(i), text, letters(spec, sample))
			require.NoError(t, m.Check(&st))
		}
		m.Due(&st)
		m.Expire(&st, 1<<40)
	})
}

func BenchmarkFeed(b *testing.B) {
	spec := sequence.Spec{Steps: steps("a !x b c"), Within: 1 << 60}
	m, err := sequence.New(spec)
	require.NoError(b, err)
	nothing := func(int, int) (isTrue, known bool) { return false, true }
	b.Run("idle", func(b *testing.B) {
		b.ReportAllocs()
		var st sequence.State
		for b.Loop() {
			m.Feed(&st, 1, nil, nothing)
		}
	})
	b.Run("eight partial matches", func(b *testing.B) {
		b.ReportAllocs()
		var st sequence.State
		for range 8 {
			m.Feed(&st, 1, nil, letters(spec, "a"))
		}
		for b.Loop() {
			m.Feed(&st, 1, nil, nothing)
		}
	})
	b.Run("a match every three", func(b *testing.B) {
		b.ReportAllocs()
		var st sequence.State
		for i := 0; b.Loop(); i++ {
			turn := []int{0, 2, 3}[i%3]
			m.Feed(&st, int64(i), nil, func(_, step int) (isTrue, known bool) { return step == turn, true })
		}
	})
}

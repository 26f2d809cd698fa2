package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// author writes random documents out of fields that may stand beside each other.
type author struct {
	r      *rand.Rand
	pieces []string
}

// document is a valid document, and the pieces of its first rule: up to four that
// are new, and most of those that it had before. Nil: there was none.
func (a *author) document(before []string) (p *rules.Program, has []string) {
	for range 100 {
		has = a.choose(before)
		if p, err := rules.Load("random.json", []byte(a.write(has))); err == nil {
			return p, has
		}
	}
	return nil, nil
}

func (a *author) choose(before []string) (has []string) {
	used := map[string]bool{}
	add := func(piece string) {
		if name, _, _ := strings.Cut(piece, ":"); !used[name] {
			used[name] = true
			has = append(has, piece)
		}
	}
	for _, piece := range before {
		if a.r.IntN(3) > 0 {
			add(piece)
		}
	}
	for range 1 + a.r.IntN(4) {
		add(a.pieces[a.r.IntN(len(a.pieces))])
	}
	return has
}

// write is a document whose rule b is another feed's alert.
func (a *author) write(has []string) string {
	fields := strings.Join(has, ",")
	limits := []string{"30"}
	read := "t"
	for _, by := range []struct{ field, variable, limit string }{
		{`"aggregate":`, "$agg.max", "30"}, {`"rate":`, "$rate.t", "3"}, {`"join":`, "t", `{"var":"g.x"}`}, {`"enrich":`, "t", `{"var":"model.max"}`},
	} {
		if strings.Contains(fields, by.field) && a.r.IntN(5) > 0 {
			read = by.variable
			limits = append(limits, by.limit)
		}
	}
	if a.r.IntN(8) > 0 {
		fields += fmt.Sprintf(`,"conditions":[{"jsonLogic":{">":[{"var":"%s"},%s]},"fieldsIncludedInOutput":["t"]}]`, read, limits[a.r.IntN(len(limits))])
	}
	first := `{"alert":{"id":"a","severity":"major","summary":"{{t}} {{u}} {{x}}",` + fields + `,"sourceId":"1","sourceFeedId":"f"}}`
	if strings.Contains(fields, `"emit":`) {
		first = `{"transformation":{"id":"a","outputFeedId":"o","outputFieldId":"v","outputTrueValue":1,"outputFalseValue":0,` + fields + `,"sourceId":"1","sourceFeedId":"f"}}`
	}
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g"}]}],"rules":[` + first +
		`,{"alert":{"id":"b","severity":"major","sourceId":"1","sourceFeedId":"g","for":"3s","conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}]}}]}`
}

// trial does random things to the states of two twins and of a group.
type trial struct {
	*author
	t      *testing.T
	p      *rules.Program
	c      *rules.Counters // one for all, as in a partition
	has    []string
	twins  [2]*rules.State
	group  *rules.State
	now    time.Time
	seq    uint64
	alerts map[string]string // the newest episode by rule
	told   int
}

func (x *trial) run(steps int) {
	x.p, x.has = x.document(nil)
	if x.p == nil {
		return
	}
	defer func() {
		if e := recover(); e != nil {
			x.t.Fatalf("panic: %v\n%s\n%s", e, x.p.Text(), debug.Stack())
		}
	}()
	x.c = x.p.NewCounters()
	x.twins = [2]*rules.State{x.p.NewState(1, x.c), x.p.NewState(1, x.c)}
	x.group = x.p.NewGroupState(x.c)
	for range steps {
		x.now = x.now.Add(time.Duration(x.r.IntN(4)) * time.Second)
		if x.r.IntN(40) == 0 {
			x.now = x.now.Add(80 * time.Second)
		}
		x.seq++
		x.judge(x.step())
		for i, st := range x.twins {
			x.twins[i] = x.reload(st)
		}
		x.group = x.reload(x.group)
	}
	again, err := rules.Load("again.json", x.p.Text())
	require.NoError(x.t, err)
	require.Equal(x.t, x.p.Hash(), again.Hash())
	require.Equal(x.t, string(x.p.Text()), string(again.Text()))
}

// step does one of all that can happen.
func (x *trial) step() (out []rules.Outcome) {
	switch x.r.IntN(20) {
	case 0:
		return x.edit()
	case 1, 2:
		return x.act()
	case 3:
		return x.bind()
	case 4, 5, 6:
		twin, st := x.some()
		out = x.p.Tick(x.now, twin, st, x.seq, out)
		return x.p.Tick(x.now, "m", x.group, x.seq, out)
	case 7, 8, 9, 10, 11:
		return x.share("g")
	default:
		return x.share("f")
	}
}

// some is one of the twins.
func (x *trial) some() (string, *rules.State) {
	i := x.r.IntN(len(x.twins))
	return fmt.Sprint("m", i+1), x.twins[i]
}

// share judges a sample of a twin, or where it is linked of another one.
func (x *trial) share(feed string) (out []rules.Outcome) {
	twin, st := x.some()
	at := x.now.Add(-time.Duration(max(0, x.r.IntN(10)-7)) * time.Second)
	s := rules.Sample{Twin: twin, Feed: feed, At: at, Data: x.reading(), Seq: x.seq}
	if x.r.IntN(3) > 0 {
		require.NoError(x.t, rules.NewReader(feed, x.p).Read(&s))
	}
	out = x.p.Eval(&s, st, out)
	for _, l := range x.p.Links() {
		if l.Feed != feed {
			continue
		}
		s.Twin = fmt.Sprint("m", x.r.IntN(3))
		if l.Group {
			out = x.p.Relay(l.ID, &s, "m", x.group, out)
		} else {
			out = x.p.Relay(l.ID, &s, twin, st, out)
		}
	}
	return out
}

func (x *trial) reading() []byte {
	var fields []string
	for _, name := range []string{"t", "u", "x"} {
		value := strconv.Itoa(x.r.IntN(60))
		switch x.r.IntN(12) {
		case 0, 1:
			continue
		case 2:
			value = []string{"null", `"a"`, "true", "[1]", "{}", "1e300", "-0.0", `"31"`}[x.r.IntN(8)]
		}
		fields = append(fields, `"`+name+`":`+value)
	}
	return []byte("{" + strings.Join(fields, ",") + "}")
}

func (x *trial) edit() (out []rules.Outcome) {
	next, has := x.document(x.has)
	if next == nil {
		return nil
	}
	x.c = next.NewCounters()
	for i, st := range x.twins {
		x.twins[i], out = next.Adopt(x.p, st, 1, x.c, x.now, fmt.Sprint("m", i+1), out)
	}
	x.group, out = next.Adopt(x.p, x.group, 1, x.c, x.now, "m", out)
	x.p, x.has = next, has
	return out
}

func (x *trial) act() []rules.Outcome {
	actions := []string{
		rules.Acknowledge, rules.Unacknowledge, rules.Clear, rules.Shelve, rules.Unshelve, rules.Reset, rules.Comment, "dance",
	}
	do := rules.Action{Do: actions[x.r.IntN(len(actions))], Rule: []string{"a", "b", "c"}[x.r.IntN(3)], By: "eva", Until: x.now.Add(5 * time.Second)}
	do.ID = x.alerts[do.Rule]
	if x.r.IntN(3) == 0 {
		return x.p.Act(do, x.now, "m", x.group, nil)
	}
	twin, st := x.some()
	return x.p.Act(do, x.now, twin, st, nil)
}

// bind changes what is known of the twin and who belongs to whom.
func (x *trial) bind() (out []rules.Outcome) {
	twin, st := x.some()
	switch x.r.IntN(4) {
	case 0:
		out = x.p.Bind(rules.SourceSet(x.r.IntN(2)), x.now, twin, st, out)
		return x.p.Bind(1, x.now, twin, st, out)
	case 1:
		st.Inform(&rules.Facts{Model: []rules.Property{{Key: "max", Value: rules.Literal{Kind: rules.StringLiteral, Value: strconv.Itoa(x.r.IntN(60))}}}})
		return nil
	case 2:
		st.Found(x.now)
		return nil
	}
	for _, l := range x.p.Links() {
		if l.Group {
			out = x.p.Leave(l.ID, twin, x.now, "m", x.seq, x.group, out)
		} else {
			x.p.Unjoin(l.ID, st)
		}
	}
	return out
}

// judge looks at what was told.
func (x *trial) judge(out []rules.Outcome) {
	x.told += len(out)
	for i := range out {
		o := &out[i]
		require.True(x.t, json.Valid(o.Data), "%s\n%s", o.Data, x.p.Text())
		if o.Kind == rules.Alert {
			x.alerts[o.Rule] = o.ID // of whichever twin
		}
	}
}

// reload is a state that was saved and, at times, read again.
func (x *trial) reload(st *rules.State) *rules.State {
	saved := st.Append(nil)
	loaded, err := x.p.LoadState(saved, x.c)
	require.NoError(x.t, err, "%s\n%s", x.p.Text(), saved)
	require.Equal(x.t, string(saved), string(loaded.Append(nil)))
	require.Equal(x.t, st.Wake(), loaded.Wake(), "%s\n%s", x.p.Text(), saved)
	if x.r.IntN(3) > 0 {
		return st
	}
	return loaded
}

// TestRandomRulesNeverPanic tries as many documents as the environment says, or
// some.
func TestRandomRulesNeverPanic(t *testing.T) {
	text, err := os.ReadFile("testdata/stateful_pieces.txt")
	require.NoError(t, err)
	pieces := strings.Split(strings.TrimSpace(string(text)), "\n")
	cases := 1000
	if text := os.Getenv("TOCSIN_FUZZ_CASES"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		cases = n
	}
	tried, told := 0, 0
	for seed := range uint64(cases) {
		x := trial{author: &author{rand.New(rand.NewPCG(seed, 9)), pieces}, t: t, now: start, alerts: map[string]string{}}
		x.run(40)
		if x.p != nil {
			tried++
		}
		told += x.told
	}
	assert.Greater(t, tried, cases/2, "most are documents")
	assert.Greater(t, told, cases, "the rules decide something")
	t.Logf("%d documents, %d outcomes", tried, told)
}

package alerts_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
)

// plant is a router with alerts, one a name, and a clock that the test moves.
type plant struct {
	t        testing.TB
	router   *alerts.Router
	now      time.Time
	last     map[string]*rules.Outcome
	episodes map[string]int
	silenced map[string]bool
}

func newPlant(t testing.TB, text string) *plant {
	return &plant{t, alerts.NewRouter(routes(t, text)), start, map[string]*rules.Outcome{}, map[string]int{}, map[string]bool{}}
}

// next makes the next outcome of the alert of a twin.
func (p *plant) next(twin, name string, change func(*rules.Outcome)) *rules.Outcome {
	var o rules.Outcome
	if last := p.last[twin]; last != nil && name != rules.EventRaised {
		o = *last
	} else {
		p.episodes[twin]++
		o = rules.Outcome{
			Kind: rules.Alert, Interaction: "i", Rule: "r", Twin: twin, ID: fmt.Sprintf("al_%s%d", twin, p.episodes[twin]),
			State: rules.StateFiring, Severity: "minor", Starts: p.now, Data: []byte("{}"), Life: &rules.Life{Key: "i|r|" + twin, Active: true, Counts: rules.Counts{Raises: 1}},
		}
	}
	life := *o.Life
	o.Life = &life
	o.At, o.Life.Event, o.Life.Silent = p.now, name, false
	o.Life.Number++
	if name == rules.EventCleared {
		o.State, o.Ends, o.Life.Active = rules.StateResolved, p.now, false
	}
	if change != nil {
		change(&o)
	}
	p.last[twin] = &o
	return &o
}

func (p *plant) take(twin, name string, change func(*rules.Outcome)) bool {
	return p.router.Take(p.next(twin, name, change), p.now)
}

func (p *plant) raise(twin string)             { p.take(twin, rules.EventRaised, nil) }
func (p *plant) clear(twin string)             { p.take(twin, rules.EventCleared, nil) }
func (p *plant) silence(o *rules.Outcome) bool { return p.silenced[o.Twin] }
func (p *plant) flush() []rules.Outcome        { return p.router.Flush(p.now, p.silence, nil) }

func severity(s string) func(*rules.Outcome) { return func(o *rules.Outcome) { o.Severity = s } }
func silent(o *rules.Outcome)                { o.Life.Silent = true }
func suppressed(o *rules.Outcome)            { o.Life.Suppression = &rules.Suppression{By: rules.ByInhibitor} }
func silentAndSuppressed(o *rules.Outcome)   { silent(o); suppressed(o) }
func unsuppressed(o *rules.Outcome)          { o.Life.Suppression = nil }
func labelled(site string) func(*rules.Outcome) {
	return func(o *rules.Outcome) { o.Labels = map[string]string{"site": site} }
}
func (p *plant) after(d time.Duration) *plant { p.now = p.now.Add(d); return p }
func (p *plant) tells(want ...string)         { p.t.Helper(); assert.Equal(p.t, want, told(p.t, p.flush())) }

func (p *plant) due(d time.Duration) { p.t.Helper(); assert.Equal(p.t, d, p.router.Due().Sub(p.now)) }

func (p *plant) never() { p.t.Helper(); assert.Zero(p.t, p.router.Due()) }

type notice struct {
	Status      string            `json:"status"`
	GroupLabels map[string]string `json:"groupLabels"`
	Firing      int               `json:"firing"`
	Resolved    int               `json:"resolved"`
	Suppressed  int               `json:"suppressed"`
	Truncated   int               `json:"truncated"`
	Alerts      []json.RawMessage `json:"alerts"`
}

func noticeOf(t testing.TB, o *rules.Outcome) (notice, []rules.Outcome) {
	t.Helper()
	var n notice
	require.NoError(t, json.Unmarshal(o.Data, &n))
	var listed []rules.Outcome
	for _, text := range n.Alerts {
		a, err := rules.DecodeOutcome(text)
		require.NoError(t, err)
		listed = append(listed, a)
	}
	return n, listed
}

// told is each notification as "topic#number: +firing -resolved ~suppressed".
func told(t testing.TB, out []rules.Outcome) []string {
	t.Helper()
	var lines []string
	for i := range out {
		n, listed := noticeOf(t, &out[i])
		line := fmt.Sprintf("%s#%d %s:", out[i].Topic, out[i].Seq, n.Status)
		for i, a := range listed {
			mark := " +"
			if i >= n.Firing {
				mark = " -"
			}
			line += mark + a.Twin
		}
		if n.Suppressed > 0 {
			line += fmt.Sprintf(" ~%d", n.Suppressed)
		}
		lines = append(lines, line)
	}
	return lines
}

const all = `[{"name":"all","sinks":["mail"]}]`

func TestNotification(t *testing.T) {
	p := newPlant(t, `[{"name":"by site","groupBy":["label.site","rule","interaction"],"sinks":["mail"]}]`)
	p.take("m2", rules.EventRaised, labelled("<brno>"))
	p.after(time.Second).take("m1", rules.EventRaised, labelled("<brno>"))
	p.after(29 * time.Second)
	out := p.flush()
	require.Len(t, out, 1)
	o := out[0]
	assert.Regexp(t, `^nt_[0-9a-f]{32}_1$`, o.ID)
	assert.Equal(t, rules.Outcome{
		Kind: rules.Notification, Interaction: "i", Rule: "r", Topic: "by site", At: start.Add(30 * time.Second), Seq: 1, ID: o.ID, Data: o.Data,
	}, o)
	m2, m1 := p.last["m2"].AppendJSON(nil), p.last["m1"].AppendJSON(nil)
	assert.Equal(t, `{"status":"firing","groupLabels":{"interaction":"i","label.site":"<brno>","rule":"r"},"firing":2,"resolved":0,"suppressed":0,"truncated":0,"alerts":[`+
		string(m2)+`,`+string(m1)+`]}`, string(o.Data))
	again, err := rules.DecodeOutcome(o.AppendJSON(nil))
	require.NoError(t, err)
	assert.Equal(t, o.Data, again.Data)
}

func TestTimingOfAGroup(t *testing.T) {
	p := newPlant(t, all)
	p.never()
	p.raise("a")
	p.due(30 * time.Second)
	p.after(20 * time.Second).raise("b")
	p.due(10 * time.Second)
	p.after(10*time.Second - 1).tells()
	p.after(1).tells("all#1 firing: +a +b")
	p.due(4 * time.Hour)
	p.tells()
	p.after(time.Minute).raise("c")
	p.due(4 * time.Minute)
	p.after(time.Minute).clear("a")
	p.due(3 * time.Minute)
	p.after(3 * time.Minute).tells("all#2 firing: +b +c -a")
	p.due(4 * time.Hour)
	p.after(time.Hour).clear("b") // long after the last one: others may still join
	p.due(30 * time.Second)
	p.after(30 * time.Second).tells("all#3 firing: +c -b")
	p.after(4 * time.Hour).tells("all#4 firing: +c")
	p.due(4 * time.Hour)
	p.clear("c")
	p.due(5 * time.Minute)
	p.after(5 * time.Minute).tells("all#5 resolved: -c")
	p.never()
}

func TestWhatEndsBeforeItIsToldIsNotTold(t *testing.T) {
	p := newPlant(t, all)
	p.raise("a")
	p.after(time.Second).clear("a")
	p.never()
	p.raise("b")
	p.raise("c")
	p.clear("b")
	p.after(30 * time.Second).tells("all#1 firing: +c")
	p.take("d", rules.EventCleared, func(o *rules.Outcome) { o.State = rules.StateResolved })
	p.due(4 * time.Hour)
}

func TestCriticalIsToldAtOnce(t *testing.T) {
	p := newPlant(t, all)
	p.raise("a")
	p.take("b", rules.EventRaised, severity("critical"))
	p.due(0)
	p.tells("all#1 firing: +a +b")
	p.after(time.Second).take("c", rules.EventRaised, severity("critical"))
	p.tells("all#2 firing: +a +b +c")
	p.after(time.Second).take("a", rules.EventUpdated, severity("critical"))
	p.tells("all#3 firing: +a +b +c")
	p.after(time.Second).clear("b")
	p.tells("all#4 firing: +a +c -b")
	p.after(time.Second).take("a", rules.EventUpdated, severity("minor"))
	p.due(5*time.Minute - time.Second)
	p.take("c", rules.EventRepeated, nil)
	p.due(5*time.Minute - time.Second)
	p.after(5 * time.Minute).tells("all#5 firing: +a +c")
}

func TestWhatIsAChange(t *testing.T) {
	tests := []struct {
		event  string
		change func(*rules.Outcome)
		due    time.Duration
	}{
		{rules.EventUpdated, severity("major"), 5 * time.Minute},
		{rules.EventUpdated, func(o *rules.Outcome) { o.Summary = "x" }, 4 * time.Hour},
		{rules.EventUpdated, func(o *rules.Outcome) { severity("major")(o); silent(o) }, 4 * time.Hour},
		{rules.EventUpdated, func(o *rules.Outcome) { o.Life.Counts.Raises++ }, 5 * time.Minute},
		{rules.EventCleared, nil, 5 * time.Minute},
		{rules.EventAcknowledged, nil, 4 * time.Hour},
		{rules.EventRepeated, nil, 4 * time.Hour},
		{rules.EventCommented, nil, 4 * time.Hour},
		{rules.EventShelved, suppressed, 4 * time.Hour},
	}
	for _, test := range tests {
		p := newPlant(t, all)
		p.raise("a")
		p.raise("b")
		p.after(30 * time.Second).tells("all#1 firing: +a +b")
		p.take("a", test.event, test.change)
		p.due(test.due)
	}
}

func TestAnotherEpisode(t *testing.T) {
	p := newPlant(t, all)
	p.raise("a")
	p.after(30 * time.Second).tells("all#1 firing: +a")
	p.after(time.Second).clear("a")
	p.after(time.Second).raise("a")
	p.due(5*time.Minute - 2*time.Second)
	p.after(5 * time.Minute).tells("all#2 firing: +a -a")
	p.after(time.Second).raise("a") // the end of the one before never came
	p.after(5 * time.Minute).tells("all#3 firing: +a -a")
}

// What was told to fire is told to end under its own id, whatever becomes of
// the episodes after it.
func TestAnEpisodeTookThePlaceOfAnotherAndNobodyHeardItsEnd(t *testing.T) {
	tests := []struct {
		name  string
		then  func(p *plant)
		lists []string
	}{
		{"raised again", func(p *plant) { p.raise("a") }, []string{"al_a2 firing", "al_a1 resolved"}},
		{"and ended again", func(p *plant) { p.raise("a"); p.clear("a") }, []string{"al_b1 firing", "al_a1 resolved"}},
		{"and quietly", func(p *plant) { p.raise("a"); p.take("a", rules.EventCleared, silent) }, []string{"al_b1 firing", "al_a1 resolved"}},
		{"and again", func(p *plant) { p.raise("a"); p.clear("a"); p.raise("a") }, []string{"al_a3 firing", "al_a1 resolved"}},
		{"raised quietly", func(p *plant) { p.take("a", rules.EventRaised, silent) }, []string{"al_b1 firing", "al_a1 resolved"}},
		{"gone to nobody", func(p *plant) { p.take("a", rules.EventRaised, severity("info")) }, []string{"al_b1 firing", "al_a1 resolved"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlant(t, `[{"name":"all","match":["severity!=info"],"sinks":["mail"]}]`)
			p.raise("a")
			p.after(30 * time.Second).tells("all#1 firing: +a")
			p.after(time.Second).clear("a")
			p.after(time.Second)
			tt.then(p)
			loaded := alerts.NewRouter(routes(t, `[{"name":"all","match":["severity!=info"],"sinks":["mail"]}]`))
			require.NoError(t, loaded.Load(p.router.Save()))
			p.router = loaded
			p.after(time.Second).raise("b")
			out := p.after(5 * time.Minute).flush()
			require.Len(t, out, 1)
			n, listed := noticeOf(t, &out[0])
			assert.Equal(t, 1, n.Resolved)
			var got []string
			for _, o := range listed {
				got = append(got, o.ID+" "+o.State)
			}
			assert.Subset(t, got, tt.lists)
			p.silenced["b"] = true
			p.after(5 * time.Hour).flush()
			p.clear("a")
			p.after(5 * time.Hour)
			for _, o := range p.flush() {
				_, listed := noticeOf(t, &o)
				for _, a := range listed {
					assert.NotEqual(t, "al_a1", a.ID, "its end was told")
				}
			}
		})
	}
}

func TestTheEndOfTheEpisodeBeforeWaitsForTheSilence(t *testing.T) {
	p := newPlant(t, all)
	p.raise("a")
	p.after(30 * time.Second).tells("all#1 firing: +a")
	p.silenced["a"] = true
	p.after(time.Second).clear("a")
	p.raise("a")
	p.after(5 * time.Minute).tells()
	p.clear("a") // nobody hears of the second one
	p.after(5 * time.Minute).tells()
	p.due(5 * time.Minute)
	delete(p.silenced, "a")
	p.after(5 * time.Minute).tells("all#2 resolved: -a")
	p.never()
}

// A notification that no server takes would be in the way of all others.
func TestANotificationIsTooLarge(t *testing.T) {
	p := newPlant(t, all)
	long := func(bytes int) func(*rules.Outcome) {
		return func(o *rules.Outcome) { o.Data = []byte(`{"log":"` + strings.Repeat("x", bytes) + `"}`) }
	}
	for i := range 100 {
		p.after(time.Millisecond).take(fmt.Sprintf("m%02d", i), rules.EventRaised, long(30_000))
	}
	p.take("huge", rules.EventRaised, long(256<<10))
	p.take("wordy", rules.EventRaised, func(o *rules.Outcome) { o.Summary = strings.Repeat("x", 256<<10) })
	p.after(-time.Hour).take("first", rules.EventRaised, long(256<<10))
	out := p.after(2 * time.Hour).flush()
	require.Len(t, out, 1)
	n, listed := noticeOf(t, &out[0])
	assert.Less(t, len(out[0].AppendJSON(nil)), alerts.MaxListedBytes+1000)
	assert.Equal(t, 103, n.Firing)
	assert.Equal(t, 103, n.Truncated+len(listed))
	assert.Greater(t, len(listed), 10)
	assert.Equal(t, "first", listed[0].Twin)
	assert.JSONEq(t, "{}", string(listed[0].Data), "it is too large to be listed with its data")
	assert.Greater(t, len(listed[1].Data), 30_000)

	p.after(4 * time.Hour)
	again := p.flush()
	require.Len(t, again, 1)
	n, listed = noticeOf(t, &again[0])
	assert.Equal(t, 103, n.Truncated+len(listed))
	assert.Less(t, len(again[0].AppendJSON(nil)), alerts.MaxListedBytes+1000)
}

func TestWhatIsNotNewerChangesNothing(t *testing.T) {
	p := newPlant(t, all)
	first := p.next("a", rules.EventRaised, severity("critical"))
	second := p.next("a", rules.EventUpdated, severity("minor"))
	assert.True(t, p.router.Take(second, p.now))
	before := p.router.Save()
	for range 2 {
		assert.True(t, p.router.Take(first, p.now.Add(time.Second)))
		assert.Equal(t, before, p.router.Save())
	}
	assert.True(t, p.router.Take(second, p.now.Add(time.Second)))
	assert.Equal(t, before, p.router.Save())
	earlier := *first
	earlier.ID, earlier.Starts = "al_0", start.Add(-1)
	assert.True(t, p.router.Take(&earlier, p.now))
	assert.Equal(t, before, p.router.Save())
}

func TestSilencedAlerts(t *testing.T) {
	p := newPlant(t, all)
	p.silenced["a"], p.silenced["b"] = true, true
	p.take("a", rules.EventRaised, severity("critical"))
	p.tells()
	p.due(5 * time.Minute) // the silence may be over by then
	p.after(5 * time.Minute).tells()
	p.raise("b")
	p.raise("c")
	p.due(30 * time.Second)
	p.after(30 * time.Second).tells("all#1 firing: +c ~2")
	delete(p.silenced, "a")
	p.after(5 * time.Minute).tells("all#2 firing: +a +c ~1")
	p.silenced["c"] = true
	p.after(time.Minute).clear("c")
	p.after(4 * time.Minute).tells()
	delete(p.silenced, "c")
	p.after(5 * time.Minute).tells("all#3 firing: +a -c ~1")
	p.clear("b")
	p.silenced["a"] = true
	p.after(9 * time.Hour).tells()
	delete(p.silenced, "a")
	p.after(5 * time.Minute).tells("all#4 firing: +a")
}

func TestASilencedAlertIsNotRepeated(t *testing.T) {
	p := newPlant(t, `[{"name":"all","repeatInterval":"1m","sinks":["mail"]}]`)
	p.raise("a")
	p.after(30 * time.Second).tells("all#1 firing: +a")
	p.after(time.Minute).tells("all#2 firing: +a")
	p.silenced["a"] = true
	p.after(time.Minute).tells()
	p.due(5 * time.Minute)
}

func TestQuietAlerts(t *testing.T) {
	p := newPlant(t, all)
	p.take("a", rules.EventRaised, silent)
	p.take("b", rules.EventRaised, silentAndSuppressed)
	p.take("c", rules.EventRaised, func(o *rules.Outcome) { silent(o); severity("critical")(o) })
	p.never()
	p.raise("d")
	p.after(30 * time.Second).tells("all#1 firing: +d ~3")
	p.take("a", rules.EventAcknowledged, nil) // an acknowledgement does not make it loud
	p.take("b", rules.EventAcknowledged, nil)
	p.due(4 * time.Hour)
	p.take("b", rules.EventUnsuppressed, unsuppressed)
	p.due(5 * time.Minute)
	p.take("a", rules.EventRepeated, nil)
	p.after(5 * time.Minute).tells("all#2 firing: +a +b +d ~1")

	p.take("a", rules.EventCleared, silent) // nobody is told, ever
	p.take("b", rules.EventCommented, silent)
	p.take("d", rules.EventRepeated, silent)
	p.take("c", rules.EventCleared, nil) // nobody was told that it fired
	p.after(4 * time.Hour).tells("all#3 firing: +b +d")

	p.take("b", rules.EventShelved, silentAndSuppressed)
	p.take("d", rules.EventSuppressed, suppressed)
	p.after(5 * time.Hour).tells()
	p.never()
	p.take("b", rules.EventUnshelved, func(o *rules.Outcome) { silent(o); unsuppressed(o) })
	p.due(30 * time.Second)
	p.after(30 * time.Second).tells("all#4 firing: +b ~1")
	p.take("d", rules.EventCleared, nil)
	p.after(5 * time.Minute).tells("all#5 firing: +b -d")
}

func TestGroups(t *testing.T) {
	p := newPlant(t, `[
	 {"name":"page","match":["severity=~critical|major"],"groupBy":["severity"],"groupWait":"10s","sinks":["pager"],"continue":true},
	 {"name":"site","match":["label.site!=\"\""],"groupBy":["label.site"],"sinks":["mail"]}]`)
	assert.False(t, p.take("x", rules.EventRaised, nil))
	assert.True(t, p.take("a", rules.EventRaised, labelled("brno")))
	assert.True(t, p.take("b", rules.EventRaised, labelled("oslo")))
	assert.True(t, p.take("c", rules.EventRaised, func(o *rules.Outcome) { labelled("oslo")(o); severity("major")(o) }))
	p.after(10 * time.Second).tells("page#1 firing: +c")
	p.after(20*time.Second).tells("site#1 firing: +a", "site#1 firing: +b +c")
	for _, o := range []*rules.Outcome{
		{Kind: rules.Output}, {Kind: rules.Alert, State: rules.StateFiring, Severity: "critical"},
	} {
		assert.False(t, p.router.Take(o, p.now), "no alert, or in its first form")
	}
	p.clear("x")
	p.clear("a")
	p.after(5 * time.Minute).tells("site#2 resolved: -a")
}

func TestEachAlertAlone(t *testing.T) {
	p := newPlant(t, `[{"name":"all","groupBy":["..."],"sinks":["mail"]}]`)
	p.raise("a")
	p.raise("b")
	p.take("c", rules.EventRaised, func(o *rules.Outcome) { o.Twin = "b" }) // another key of the same twin
	p.after(30 * time.Second)
	out := p.flush()
	assert.Equal(t, []string{"all#1 firing: +a", "all#1 firing: +b", "all#1 firing: +b"}, told(t, out))
	n, _ := noticeOf(t, &out[0])
	assert.Equal(t, map[string]string{"interaction": "i", "rule": "r", "twin": "a", "feed": ""}, n.GroupLabels)
	assert.Equal(t, "a", out[0].Twin)
	ids := map[string]bool{out[0].ID: true, out[1].ID: true, out[2].ID: true}
	assert.Len(t, ids, 3)
}

func TestAnAlertGoesOverToAnotherGroup(t *testing.T) {
	p := newPlant(t, `[
	 {"name":"minor","match":["severity=minor"],"sinks":["mail"]},
	 {"name":"major","match":["severity=major"],"sinks":["mail"]}]`)
	p.raise("a")
	p.after(30 * time.Second).tells("minor#1 firing: +a")
	p.take("a", rules.EventUpdated, severity("major"))
	p.after(30 * time.Second).tells("major#1 firing: +a")
	p.after(5*time.Minute - 30*time.Second).tells("minor#2 resolved: -a")
	p.raise("b")
	p.take("b", rules.EventUpdated, severity("major")) // the minor ones never heard of it
	p.after(5 * time.Minute).tells("major#2 firing: +a +b")
	p.take("b", rules.EventUpdated, severity("minor"))
	p.take("b", rules.EventUpdated, severity("major")) // and back
	p.take("a", rules.EventUpdated, severity("info"))  // nobody's
	p.after(5 * time.Minute).tells("major#3 firing: +b -a")
	p.due(4 * time.Hour)
	p.take("b", rules.EventUpdated, severity("info"))
	p.clear("b")
	p.after(5 * time.Minute).tells("major#4 resolved: -b")
	p.never()
	p.raise("c")
	p.after(30 * time.Second).tells("minor#1 firing: +c")
	p.take("c", rules.EventUpdated, severity("critical"))
	p.due(5 * time.Minute) // for the minor ones it is no emergency that it left
}

func TestNotificationsOfAGroupThatCameBackAreOthers(t *testing.T) {
	p := newPlant(t, all)
	ids := map[string]bool{}
	events := map[string]bool{}
	for range 3 {
		p.raise("a")
		for range 2 {
			p.after(30 * time.Second)
			for _, o := range p.flush() {
				ids[o.ID], events[o.EventID()] = true, true
			}
			p.clear("a")
			p.after(5 * time.Minute)
		}
	}
	assert.Len(t, ids, 6)
	assert.Len(t, events, 6)
}

func TestLongLists(t *testing.T) {
	p := newPlant(t, all)
	name := func(i int) string { return fmt.Sprintf("m%03d", i) }
	for i := range 150 {
		p.after(time.Millisecond).raise(name(i))
	}
	list := func() (notice, []string) {
		out := p.flush()
		require.Len(t, out, 1)
		n, listed := noticeOf(t, &out[0])
		var twins []string
		for _, o := range listed {
			twins = append(twins, strings.TrimPrefix(o.Twin, "m"))
		}
		return n, twins
	}
	p.after(time.Minute)
	n, twins := list()
	assert.Equal(t, [...]int{150, 0, 50}, [...]int{n.Firing, n.Resolved, n.Truncated})
	assert.Equal(t, "000", twins[0])
	assert.Equal(t, "099", twins[99])

	p.raise(name(150))
	p.clear(name(0))
	p.clear(name(140))
	p.silenced[name(1)] = true
	p.after(5 * time.Minute)
	n, twins = list()
	assert.Equal(t, [...]int{148, 2, 50, 1}, [...]int{n.Firing, n.Resolved, n.Truncated, n.Suppressed}, "what is new is listed first of all")
	assert.Equal(t, "002", twins[0])
	assert.Equal(t, []string{"098", "150", "000", "140"}, twins[96:])

	p.silenced[name(2)] = true // since everything was last looked at
	p.after(time.Second).take(name(151), rules.EventRaised, severity("critical"))
	n, twins = list()
	assert.Equal(t, [...]int{148, 0, 48, 2}, [...]int{n.Firing, n.Resolved, n.Truncated, n.Suppressed})
	assert.Equal(t, "003", twins[0])
	assert.Equal(t, []string{"101", "151"}, twins[98:])

	for i := range 152 {
		if i != 0 && i != 140 {
			p.clear(name(i))
		}
	}
	clear(p.silenced)
	n, twins = list() // one of them was critical
	assert.Equal(t, [...]int{0, 150, 50}, [...]int{n.Firing, n.Resolved, n.Truncated})
	assert.Equal(t, "001", twins[0])
	p.never()
}

func TestAClockThatWasSetBack(t *testing.T) {
	p := newPlant(t, all)
	p.raise("a")
	p.after(30 * time.Second).tells("all#1 firing: +a")
	p.after(-55 * time.Minute).raise("b")
	p.due(5 * time.Minute)
}

func TestLoad(t *testing.T) {
	const two = `[{"name":"all","groupBy":["label.site"],"sinks":["mail"],"continue":true},{"name":"other","sinks":["mail"]}]`
	p := newPlant(t, two)
	p.take("a", rules.EventRaised, labelled("brno"))
	p.after(30*time.Second).tells("all#1 firing: +a", "other#1 firing: +a")
	saved := p.router.Save()

	p.router = alerts.NewRouter(routes(t, `[{"name":"all","groupBy":["twin"],"sinks":["mail"],"continue":true},{"name":"other","sinks":["mail"]}]`))
	require.NoError(t, p.router.Load(saved))
	p.due(4 * time.Hour)
	assert.True(t, p.router.Take(p.last["a"], p.now), "what is current is taken again")
	p.due(30 * time.Second)
	p.after(30 * time.Second).tells("all#1 firing: +a")

	p.router = alerts.NewRouter(nil)
	require.NoError(t, p.router.Load(saved))
	p.never()
	assert.False(t, p.take("a", rules.EventCleared, nil))
}

func TestLoadErrors(t *testing.T) {
	p := newPlant(t, all)
	p.raise("a")
	before := p.router.Save()
	lines := strings.SplitAfter(string(before), "\n")
	require.Len(t, lines, 4)
	for _, tt := range []struct{ text, want string }{
		{``, `router: EOF`},
		{`{"version":2}`, `router: state of version 2; want 1`},
		{lines[0], `router: alert: EOF`},
		{lines[0] + `{"alert":7}`, `router: alert: outcome: json: cannot unmarshal number into Go value of type`},
		{lines[0] + `{"alert":{"kind":"output","data":{}}}`, `router: alert: not the outcome of an alert with its key and number`},
		{lines[0] + lines[1], `router: group: EOF`},
		{lines[0] + lines[1] + strings.Replace(lines[2], `"alert":0`, `"alert":1`, 1), `router: group: no alert 1 of 1, or unknown reason 0`},
		{lines[0] + lines[1] + strings.Replace(lines[2], `"alert":0`, `"alert":0,"left":3`, 1), `router: group: no alert 0 of 1, or unknown reason 3`},
		{lines[0] + lines[1] + strings.Replace(lines[2], `"alert":0`, `"alert":0,"ended":7`, 1), `router: group: outcome: json: cannot unmarshal number`},
		{lines[0] + lines[1] + strings.Replace(lines[2], `"alert":0`, `"alert":0,"ended":{"kind":"output","data":{}}`, 1), `router: group: the episode before is not the outcome of an alert`},
		{lines[0] + lines[1] + `{"route":"all"}`, `router: group: no members`},
		{string(before) + "{}", `router: text after the last group`},
	} {
		assert.ErrorContains(t, p.router.Load([]byte(tt.text)), tt.want)
		assert.Equal(t, before, p.router.Save())
	}
	require.NoError(t, p.router.Load(before))
}

// What is told at once asks about silences only what has changed and what is
// listed; the others are asked once in groupInterval.
func TestACriticalAlertDoesNotCostItsWholeGroup(t *testing.T) {
	p := newPlant(t, all)
	for i := range 3000 {
		p.raise(fmt.Sprint("m", i))
	}
	p.take("first", rules.EventRaised, severity("critical"))
	asked := 0
	count := func(*rules.Outcome) bool { asked++; return false }
	require.Len(t, p.router.Flush(p.now, count, nil), 1)
	assert.GreaterOrEqual(t, asked, 3001)
	asked = 0
	p.after(time.Second).take("second", rules.EventRaised, severity("critical"))
	require.Len(t, p.router.Flush(p.now, count, nil), 1)
	assert.LessOrEqual(t, asked, alerts.MaxListed)
	asked = 0
	require.Empty(t, p.router.Flush(p.now.Add(time.Hour), count, nil))
	assert.Zero(t, asked, "it is not due")
}

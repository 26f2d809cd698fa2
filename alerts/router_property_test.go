package alerts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
)

const (
	propertyRoutes = `[
	 {"name":"hot","match":["label.site=a"],"groupBy":["label.site","severity"],"sinks":["mail"],"continue":true},
	 {"name":"each","match":["severity!=info"],"groupBy":["..."],"groupWait":"0s","groupInterval":"1m","repeatInterval":"1h","sinks":["mail"],"continue":true},
	 {"name":"all","sinks":["mail"]}]`
	longestInterval = 5 * time.Minute
)

var repeatIntervals = map[string]time.Duration{"hot": 4 * time.Hour, "each": time.Hour, "all": 4 * time.Hour}

// listener is somebody who gets all notifications and remembers what they said.
type listener struct {
	t      testing.TB
	plant  *plant
	quiet  map[string]bool
	groups map[string]*heard
	ids    map[string]bool
}

type heard struct {
	firing map[string]map[string]string // twin to episode to what was said of it
	at     time.Time
}

// fires notes what was said of an episode, and says whether it is another word.
func (g *heard) fires(o *rules.Outcome) bool {
	episodes := g.firing[o.Twin]
	if episodes == nil {
		episodes = map[string]string{}
		g.firing[o.Twin] = episodes
	}
	before := episodes[o.ID]
	episodes[o.ID] = said(o)
	return before != said(o)
}

func said(o *rules.Outcome) string {
	return fmt.Sprint(o.ID, o.Severity, o.Life.Counts.Raises)
}

func (l *listener) hear(o *rules.Outcome) {
	n, listed := noticeOf(l.t, o)
	labels, _ := json.Marshal(n.GroupLabels)
	g := l.groups[o.Topic+string(labels)]
	if g == nil {
		g = &heard{firing: map[string]map[string]string{}}
		l.groups[o.Topic+string(labels)] = g
	}
	require.False(l.t, l.ids[o.ID], "the same notification twice")
	l.ids[o.ID] = true
	require.Len(l.t, listed, n.Firing+n.Resolved)
	require.Equal(l.t, n.Firing > 0, n.Status == rules.StateFiring)
	news := false
	for i := range listed {
		a := &listed[i]
		before := a.ID != l.plant.last[a.Twin].ID // an episode whose place another has taken
		require.False(l.t, l.quiet[a.Twin] && !before || l.plant.silenced[a.Twin], "left out: %s", a.Twin)
		if i < n.Firing {
			require.Equal(l.t, rules.StateFiring, a.State)
			news = g.fires(a) || news
			continue
		}
		require.NotEmpty(l.t, g.firing[a.Twin][a.ID], "resolved, but it never fired or was resolved already")
		delete(g.firing[a.Twin], a.ID)
		news = true
	}
	if !news {
		require.GreaterOrEqual(l.t, l.plant.now.Sub(g.at), repeatIntervals[o.Topic], "%s was told twice", o.Topic)
	}
	g.at = l.plant.now
}

// knows says whether all groups of the alert have been told of it as it is.
func (l *listener) knows(o *rules.Outcome) bool {
	groups := []string{`all{}`}
	if o.Labels["site"] == "a" {
		groups = append(groups, fmt.Sprintf(`hot{"label.site":"a","severity":%q}`, o.Severity))
	}
	if o.Severity != "info" {
		groups = append(groups, fmt.Sprintf(`each{"feed":"","interaction":"i","rule":"r","twin":%q}`, o.Twin))
	}
	for _, name := range groups {
		if g := l.groups[name]; g == nil || g.firing[o.Twin][o.ID] != said(o) {
			return false
		}
	}
	return true
}

// A router under random events tells everything that fires and is not left out,
// tells nothing twice without a change before its time, resolves every episode
// that it has told and no other, and can be saved and loaded at any point.
func TestRouterProperties(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			p := newPlant(t, propertyRoutes)
			l := &listener{t, p, map[string]bool{}, map[string]*heard{}, map[string]bool{}}
			rs := routes(t, propertyRoutes)
			other := alerts.NewRouter(rs)
			since := map[string]time.Time{} // when something last happened to it
			for range 200 {
				happens(random, p, other, l, since)
				end := p.now.Add(time.Duration(random.Int64N(int64([]time.Duration{time.Minute, 10 * time.Minute, 3 * time.Hour}[random.IntN(3)]))))
				for due := p.router.Due(); !due.IsZero() && !due.After(end); due = p.router.Due() {
					require.False(t, due.Before(p.now.Add(-1)), "it must not be due before now")
					p.now = due
					if random.IntN(50) == 0 {
						saved := other.Save()
						other = alerts.NewRouter(rs)
						require.NoError(t, other.Load(saved))
					}
					out := p.flush()
					require.True(t, slices.EqualFunc(out, other.Flush(p.now, p.silence, nil), same), "the loaded router tells something else")
					for i := range out {
						l.hear(&out[i])
					}
				}
				p.now = end
				require.True(t, bytes.Equal(p.router.Save(), other.Save()))
				for twin, o := range p.last {
					if p.now.Sub(since[twin]) <= 2*longestInterval {
						continue
					}
					if p.silenced[twin] {
						continue
					}
					fires := o.State == rules.StateFiring
					if fires && !l.quiet[twin] {
						require.True(t, l.knows(o), "%s fires and was not told", twin)
					}
					for name, g := range l.groups {
						for id := range g.firing[twin] {
							require.True(t, fires && id == o.ID, "%s of %s ended and was not told", id, name)
						}
					}
				}
			}
		})
	}
}

func same(a, b rules.Outcome) bool {
	return a.ID == b.ID && a.EventID() == b.EventID() && bytes.Equal(a.AppendJSON(nil), b.AppendJSON(nil))
}

// happens lets something happen to one of a few alerts.
func happens(random *rand.Rand, p *plant, other *alerts.Router, l *listener, since map[string]time.Time) {
	twin := string(rune('a' + random.IntN(6)))
	since[twin] = p.now
	if random.IntN(6) == 0 {
		p.silenced[twin] = !p.silenced[twin]
		return
	}
	severities := []string{"critical", "major", "minor", "info"}
	last := p.last[twin]
	var o *rules.Outcome
	switch {
	case last == nil || last.State == rules.StateResolved:
		o = p.next(twin, rules.EventRaised, func(o *rules.Outcome) {
			o.Severity = severities[1+random.IntN(3)]
			o.Labels = map[string]string{"site": string(rune('a' + twin[0]%2))}
			o.Life.Silent = random.IntN(4) == 0
			l.quiet[twin] = o.Life.Silent
		})
	case random.IntN(3) == 0:
		o = p.next(twin, rules.EventCleared, func(o *rules.Outcome) {
			o.Life.Silent = last.Life.Suppression != nil
			l.quiet[twin], o.Life.Suppression = o.Life.Silent, nil
		})
		if l.quiet[twin] { // nobody will be told
			for _, g := range l.groups {
				delete(g.firing[twin], o.ID)
			}
		}
	case last.Life.Suppression != nil:
		o = p.next(twin, rules.EventUnsuppressed, unsuppressed)
		l.quiet[twin] = false
	case random.IntN(4) == 0:
		o = p.next(twin, rules.EventSuppressed, silentAndSuppressed)
		l.quiet[twin] = true
	case random.IntN(3) == 0:
		o = p.next(twin, rules.EventCommented, silent)
	default:
		o = p.next(twin, rules.EventUpdated, severity(severities[random.IntN(4)]))
		l.quiet[twin] = false
	}
	assert.Equal(p.t, p.router.Take(o, p.now), other.Take(o, p.now))
	if random.IntN(4) == 0 {
		p.router.Take(o, p.now) // it comes again
		other.Take(o, p.now)
	}
}

// What comes within groupWait is told the same in whatever order it came.
func TestOrderWithinGroupWaitDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		p := newPlant(t, `[{"name":"all","groupBy":["label.site"],"sinks":["mail"]}]`)
		var all []*rules.Outcome
		for i := range 150 {
			all = append(all, p.next(fmt.Sprint("m", i), rules.EventRaised, func(o *rules.Outcome) {
				o.Starts = start.Add(time.Duration(random.IntN(20)) * time.Second)
				labelled([]string{"brno", "oslo"}[min(1, i/5)])(o)
				o.Life.Silent = i%7 == 0
			}))
			p.silenced[fmt.Sprint("m", i)] = i%11 == 0
		}
		run := func() []rules.Outcome {
			r := alerts.NewRouter(routes(t, `[{"name":"all","groupBy":["label.site"],"sinks":["mail"]}]`))
			for _, o := range all {
				r.Take(o, start)
			}
			return r.Flush(start.Add(30*time.Second), p.silence, nil)
		}
		want := run()
		require.Len(t, want, 2)
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		require.Equal(t, want, run())
	}
}

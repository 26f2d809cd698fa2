package rules

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/words"
)

// Remembered is what a rule remembers of one twin at a time, for people.
type Remembered struct {
	Phase      string           `json:"phase"` // idle, pending, firing or clearing
	Since      time.Time        `json:"since,omitzero"`
	LastTrue   time.Time        `json:"lastTrue,omitzero"`
	LastSample time.Time        `json:"lastSample,omitzero"` // of its feed, or of its group
	Waits      bool             `json:"waits,omitempty"`     // its timers wait for the next sample
	Window     *WindowContents  `json:"window,omitempty"`
	Repeat     *Progress        `json:"repeat,omitempty"`
	Unchanged  *Standing        `json:"unchanged,omitempty"`
	Geofence   *Position        `json:"geofence,omitempty"`
	Sequence   *Progress        `json:"sequence,omitempty"`
	Group      *Membership      `json:"group,omitempty"`
	Joined     []Latest         `json:"joined,omitempty"`
	LastKnown  []Latest         `json:"lastKnown,omitempty"` // onMissing lastKnown
	Schedule   string           `json:"schedule,omitempty"`  // open or closed; of the evaluation, or of the telling
	Alert      *EpisodeContents `json:"alert,omitempty"`
	Words      []string         `json:"words"` // the same, to be read

	phase   phase
	since   int64
	knownAt int64
}

// WindowContents are the samples that a window holds.
type WindowContents struct {
	Type    string    `json:"type"`
	Samples int       `json:"samples"`
	From    time.Time `json:"from,omitzero"`
}

// Progress is how much of something has come, and how much has to.
type Progress struct {
	Have  int       `json:"have"`
	Want  int       `json:"want"`
	Since time.Time `json:"since,omitzero"`
}

// Standing is since when a value has been the same.
type Standing struct {
	Since time.Time `json:"since"`
	For   string    `json:"for"` // how long it has to be
}

// Position is where a twin is.
type Position struct {
	Inside  bool      `json:"inside"`
	Leaving time.Time `json:"leaving,omitzero"` // since when it is on the other side, but not yet for long enough
}

// Membership counts the members of a group.
type Membership struct {
	Members int `json:"members"`
	Fresh   int `json:"fresh"`
	True    int `json:"true"` // of those that are fresh
}

// Latest is a value that came with an earlier sample.
type Latest struct {
	Name string          `json:"name"`
	At   time.Time       `json:"at"`
	Data json.RawMessage `json:"data"`
}

// EpisodeContents is an alert that is not closed.
type EpisodeContents struct {
	ID          string       `json:"id"`
	Status      string       `json:"status"`
	Severity    string       `json:"severity"`
	Active      bool         `json:"active"`
	Starts      time.Time    `json:"startsAt"`
	Told        bool         `json:"told"` // somebody has been told that it fires
	Suppression *Suppression `json:"suppression,omitempty"`
	AckBy       string       `json:"ackBy,omitempty"`
}

var phaseNames = [...]string{"idle", "pending", "firing", "clearing"}

// Describe says what a rule remembers of the state's twin at a time. It changes
// nothing. A rule that p does not have remembers nothing.
func (p *Program) Describe(st *State, name string, at time.Time) Remembered {
	out := Remembered{Phase: phaseNames[idle], since: noTime, knownAt: noTime}
	for _, r := range p.rules {
		if r.name == name {
			out.describe(p, r, st, at)
		}
	}
	return out
}

func timeOrZero(n int64) time.Time {
	if n == noTime || n == 0 {
		return time.Time{}
	}
	return timeOf(n)
}

func (d *Remembered) describe(p *Program, r *rule, st *State, at time.Time) {
	a := p.alertNamed[r.name]
	s := p.statefulNamed(r.name)
	d.LastSample = timeOrZero(st.feeds[r.feedSlot].newest)
	if a != nil {
		if e := st.episodes[a.slot]; e != nil {
			d.episode(a, e)
		}
	}
	if s == nil {
		if d.Alert != nil && d.Alert.Active {
			d.phase, d.since = firing, nanos(d.Alert.Starts)
		}
	} else {
		d.remembered(s, st, at)
	}
	d.Phase = phaseNames[d.phase]
	d.Since = timeOrZero(d.since)
	if a != nil && a.schedule != nil {
		d.Schedule = openness(a.schedule.Open(at))
	}
	d.Words = d.words(s, at)
}

func openness(open bool) string {
	if open {
		return "open"
	}
	return "closed"
}

func (d *Remembered) episode(a *alertRule, e *episode) {
	d.Alert = &EpisodeContents{
		ID: e.id, Status: e.status(a, false), Severity: a.severityOf(e), Active: e.active, Starts: timeOf(e.starts), Told: e.told,
		Suppression: e.suppression(), AckBy: e.ack.By,
	}
}

func (d *Remembered) remembered(r *stateful, st *State, at time.Time) {
	if r.gate != nil {
		d.Schedule = openness(r.gate.Open(at))
	}
	if r.absent != nil && d.Alert != nil && d.Alert.Active {
		d.phase, d.since = firing, nanos(d.Alert.Starts)
	}
	m := st.memory(r)
	if m == nil {
		return
	}
	if d.Waits, d.LastTrue = m.parked, timeOrZero(m.trueAt); r.absent == nil {
		d.phase = m.phase
	}
	if m.phase != idle {
		d.since, d.knownAt = m.since, m.knownAt
	}
	if m.phase == firing && r.alert != nil {
		if e := st.episodes[r.alert.slot]; e != nil && e.active {
			d.since = e.since
		}
	}
	if m.parts != nil {
		d.parts(r, m.parts, nanos(at))
	}
}

func (d *Remembered) parts(r *stateful, p *parts, at int64) {
	if r.window != nil && p.window != nil {
		samples, oldest := r.window.spec.Held(p.window)
		d.Window = &WindowContents{r.window.kind, samples, timeOrZero(oldest)}
	}
	if r.repeat != nil {
		d.Repeat = &Progress{Have: r.repeat.spec.Counted(&p.repeat), Want: r.repeat.spec.Count}
	}
	if r.unchanged != nil {
		if since, ok := p.unchanged.Since(); ok {
			d.Unchanged = &Standing{timeOf(since), inWords(r.unchanged.spec.For)}
		}
	}
	if r.fence != nil && p.fence.Known {
		d.Geofence = &Position{Inside: p.fence.In}
		if p.fence.Leaving {
			d.Geofence.Leaving = timeOf(p.fence.Since)
		}
	}
	if r.sequence != nil && p.sequence != nil {
		if stages, start, ok := p.sequence.Progress(); ok {
			d.Sequence = &Progress{stages, len(r.sequence.ids), timeOf(start)}
		}
	}
	if r.group != nil {
		d.LastSample = timeOrZero(p.newest)
		d.Group = &Membership{Members: len(p.members)}
		for _, m := range p.members {
			if r.group.isFresh(m, at) {
				d.Group.Fresh++
				if m.True {
					d.Group.True++
				}
			}
		}
	}
	for i, j := range p.joined {
		if j.Data != nil {
			d.Joined = append(d.Joined, Latest{r.joins[i].as, timeOf(j.At), j.Data})
		}
	}
	for _, k := range p.known {
		if k.value != nil {
			d.LastKnown = append(d.LastKnown, Latest{k.name, timeOf(k.at), k.value})
		}
	}
}

// inWords is a span as rules are written, such as 5m or 1h30m.
func inWords(nanos int64) string {
	return duration.Text(time.Duration(nanos))
}

// clock is a time of the day, with the day where it is another one than of.
func clock(t, of time.Time) string {
	t, of = t.UTC(), of.UTC()
	layout := "15:04:05.999"
	if t.YearDay() != of.YearDay() || t.Year() != of.Year() {
		layout = "2006-01-02 15:04:05.999"
	}
	return t.Format(layout)
}

// words say what is remembered, the phase first.
func (d *Remembered) words(r *stateful, at time.Time) []string {
	told := []string{d.phaseWords(r, at)}
	say := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	if r != nil && r.absent != nil && !d.LastSample.IsZero() {
		say("last sample %s, silent for %s of %s", clock(d.LastSample, at), inWords(nanos(at)-nanos(d.LastSample)), inWords(int64(r.absent.For)))
	}
	if w := d.Window; w != nil {
		if w.Samples == 0 {
			say("%s window is empty", w.Type)
		} else {
			say("%s window holds %s since %s", w.Type, words.Count(w.Samples, "sample"), clock(w.From, at))
		}
	}
	if d.Repeat != nil {
		say("true %d of %d times", d.Repeat.Have, d.Repeat.Want)
	}
	if u := d.Unchanged; u != nil {
		say("value unchanged since %s, %s of %s", clock(u.Since, at), inWords(nanos(at)-nanos(u.Since)), u.For)
	}
	if g := d.Geofence; g != nil {
		where := "outside"
		if g.Inside {
			where = "inside"
		}
		if g.Leaving.IsZero() {
			say("%s the fence", where)
		} else {
			say("%s the fence, on the other side since %s, which is not for long enough", where, clock(g.Leaving, at))
		}
	}
	if q := d.Sequence; q != nil {
		say("%d of %d steps seen since %s", q.Have, q.Want, clock(q.Since, at))
	}
	if g := d.Group; g != nil {
		say("%s, %d of them fresh, %d true", words.Count(g.Members, "member"), g.Fresh, g.True)
	}
	for _, j := range d.Joined {
		say("%s is %s of %s", j.Name, j.Data, clock(j.At, at))
	}
	for _, k := range d.LastKnown {
		say("last known %s is %s of %s", k.Name, k.Data, clock(k.At, at))
	}
	if d.Schedule == "closed" {
		say("outside its schedule")
	}
	if d.Waits {
		say("its timers wait for the next sample")
	}
	return append(told, d.Alert.words(at)...)
}

func (d *Remembered) phaseWords(r *stateful, at time.Time) string {
	switch d.phase {
	case pending:
		return fmt.Sprintf("pending since %s, %s of %s", clock(d.Since, at), inWords(nanos(at)-d.since), inWords(r.hold))
	case firing:
		if d.since == noTime {
			return "firing"
		}
		return "firing since " + clock(d.Since, at)
	case clearing:
		due := r.clearDue(&memory{since: d.since, trueAt: nanos(d.LastTrue)})
		return fmt.Sprintf("clearing since %s, until %s", clock(d.Since, at), clock(timeOf(due), at))
	}
	return "idle"
}

func (e *EpisodeContents) words(at time.Time) []string {
	if e == nil {
		return nil
	}
	words := []string{fmt.Sprintf("alert %s %s, %s, raised %s", e.ID, e.Status, e.Severity, clock(e.Starts, at))}
	if e.AckBy != "" {
		words = append(words, "acknowledged by "+e.AckBy)
	}
	if e.Suppression != nil {
		words = append(words, e.Suppression.words(at))
	}
	return words
}

func (s *Suppression) words(at time.Time) string {
	switch s.By {
	case ByShelf:
		text := "suppressed by a shelf until " + clock(s.Until, at) + " (" + s.Person
		if s.Comment != "" {
			text += ": " + s.Comment
		}
		return text + ")"
	case ByInhibitor:
		return "suppressed while " + strings.Join(s.Rules, ", ") + " fires"
	}
	return "suppressed outside its schedule"
}

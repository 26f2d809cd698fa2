package rules

import (
	"slices"
	"strconv"
	"time"
)

// episode is one life of an alert: from when it is raised until it is closed.
type episode struct {
	id          string
	number      uint32 // of its last event
	active      bool
	told        bool // somebody has been told that it fires
	flapping    bool
	level       uint8 // 1 + index in alertRule.levels; 0: the alert's own severity
	starts      int64
	ends        int64  // noTime while it is active
	pending     int64  // noTime: it did not wait
	since       int64  // of the last raise
	levelAt     int64  // when its levels were last looked at for their times; noTime: never
	toldAt      int64  // the last time that somebody was told
	toldRank    uint8  // of the severity that somebody was told of last
	seen        uint32 // of its feed when it was raised
	raises      uint32
	repeats     uint32
	unheard     uint32 // events that were not told since the last one that was
	summary     string
	description string
	data        []byte // of its last event
	ack         Ack
	shelf       *Suppression
	inhibitors  []string     // the rules whose alerts inhibit it
	closedHours bool         // its schedule does not let it be told now
	hoursAt     int64        // the last edge of its schedule that was seen
	put         []putSticker // what it takes off again
	fills       []byte       // what the texts of its actions read, as of its last event with a sample; one JSON object
	closed      bool         // whatever its axes say: its last event is being told
}

func (e *episode) suppression() *Suppression {
	switch {
	case e.shelf != nil:
		return e.shelf
	case len(e.inhibitors) > 0:
		return &Suppression{By: ByInhibitor, Rules: e.inhibitors}
	case e.closedHours:
		return &Suppression{By: BySchedule}
	}
	return nil
}

// status is the one word that people see of the three axes.
func (e *episode) status(a *alertRule, recovering bool) string {
	switch {
	case e.closed:
		return StatusClosed
	case !e.active && a.latched:
		return StatusLatched
	case !e.active && a.ackRequired && e.ack.At.IsZero():
		return StatusCleared
	case !e.active:
		return StatusClosed
	case e.shelf != nil:
		return StatusShelved
	case e.suppression() != nil:
		return StatusSuppressed
	case !e.ack.At.IsZero():
		return StatusAcknowledged
	case recovering:
		return StatusRecovering
	}
	return StatusFiring
}

// moment is what an outcome comes from: a sample, a timer, a control message.
type moment struct {
	p     *Program
	st    *State
	v     *view // what is judged; nil: nothing
	twin  string
	at    time.Time
	seq   uint64
	again uint64
	index uint32
	hops  uint8
	level uint8  // of an alert that is raised
	flaps bool   // it changes too often
	was   string // the severity before an update

	reason string
}

func momentOf(v *view, s *Sample, st *State) moment {
	return moment{
		p: v.program, st: st, v: v, twin: s.Twin, at: s.At, seq: s.Seq, again: s.Again, index: s.Index, hops: s.Hops + 1,
		reason: ReasonCondition,
	}
}

// raise begins an episode, or a further part of one that is not closed. Pending
// is when the conditions became true, noTime when the rule does not wait.
func (a *alertRule) raise(mo *moment, pending int64, out []Outcome) []Outcome {
	mo.st.counters.rules[a.index].Raised++
	e := mo.st.episodes[a.slot]
	if e == nil {
		e = &episode{starts: nanos(mo.at), pending: pending, toldAt: noTime, ack: Ack{Required: a.ackRequired}}
		first := mo.at
		if pending != noTime {
			first = timeOf(pending)
		}
		e.id = a.episodeID(mo.p, mo.twin, first, mo.again)
		e.seen = mo.st.feeds[a.feedSlot].seen - 1
		if m := mo.st.memoryOf(a); m != nil && m.parts != nil {
			e.unheard, m.parts.unheard = m.parts.unheard, 0
		}
		mo.st.begin(a, e)
	} else {
		e.ack = Ack{Required: a.ackRequired}
		e.told, e.toldRank, e.inhibitors = false, 0, nil
	}
	e.active, e.ends, e.level, e.flapping = true, noTime, mo.level, mo.flaps
	e.since, e.levelAt = nanos(mo.at), noTime
	e.raises++
	e.closedHours = a.schedule != nil && !a.schedule.Open(mo.at)
	e.summary = a.summary.of(mo.v, mo.twin)
	if a.description != nil {
		e.description = a.description.of(mo.v, mo.twin)
	}
	return a.tell(mo, e, EventRaised, out)
}

// clear ends the condition; the episode ends with it unless somebody has to
// acknowledge or reset it.
func (a *alertRule) clear(mo *moment, out []Outcome) []Outcome {
	e := mo.st.episodes[a.slot]
	if e == nil || !e.active {
		return out
	}
	mo.st.counters.rules[a.index].Resolved++
	e.active = false
	// A device's clock may have been ahead when it was raised.
	e.ends = max(nanos(mo.at), e.starts)
	out = a.tell(mo, e, EventCleared, out)
	if e.status(a, false) == StatusClosed {
		if m := mo.st.memoryOf(a); m != nil && m.parts != nil {
			m.parts.unheard = e.unheard // for the next one that is told
		}
		mo.st.end(a)
	}
	return out
}

// end closes the episode for another reason than its conditions.
func (a *alertRule) end(p *Program, now time.Time, twin string, st *State, reason string, out []Outcome) []Outcome {
	e := st.episodes[a.slot]
	if e == nil {
		return out
	}
	st.firing = nil
	mo := moment{p: p, st: st, twin: twin, at: now, reason: reason}
	e.data = e.data[:0]
	if !e.active {
		return a.close(&mo, e, EventClosed, out)
	}
	st.counters.rules[a.index].Resolved++
	e.active, e.ends = false, max(nanos(now), e.starts)
	return a.close(&mo, e, EventCleared, out)
}

// tell appends an event of the episode, and what the rule does at it.
func (a *alertRule) tell(mo *moment, e *episode, event string, out []Outcome) []Outcome {
	e.number++
	if mo.v != nil && mo.v.plan == a.plan { // an inhibitor's sample may be of another feed
		e.data = mo.v.appendFields(e.data[:0], a.fields)
	}
	unheard, wasTold := e.unheard, e.told
	quiet := a.quiet(mo, e, event)
	if quiet {
		e.unheard++
		mo.st.counters.rules[a.index].Quiet++
	} else {
		e.unheard, e.toldAt, e.told, e.toldRank = 0, nanos(mo.at), e.told || e.active, uint8(severityRank(a.severityOf(e)))
	}
	if event == EventUnsuppressed || event == EventUnshelved || event == EventUnacknowledged {
		e.toldAt = nanos(mo.at) // repetitions count from the end of a pause
	}
	if a.does == Alert {
		o := a.outcome(mo.p, mo.twin, mo.at, e, event, mo.reason)
		o.Data = e.appendData(spare(out))
		o.Seq, o.Index, o.Hops = mo.seq, mo.index, mo.hops
		l := o.Life
		if m := mo.st.memoryOf(a); m != nil && m.phase == clearing {
			l.Status = e.status(a, true)
		}
		l.Counts.Samples = uint64(mo.st.feeds[a.feedSlot].seen - e.seen)
		l.Counts.Suppressed, l.Silent, l.Previous = uint64(unheard), quiet, mo.was
		out = append(out, o)
	}
	return a.act(mo, e, event, tellingOf(event, quiet, wasTold), out)
}

// appendData appends the data of its last event.
func (e *episode) appendData(b []byte) []byte {
	if len(e.data) == 0 {
		return append(b, "{}"...)
	}
	return append(b, e.data...)
}

// quiet says whether nobody is to be told of an event. What was told to fire is
// told to clear; what was not told is told when nothing suppresses it any more.
func (a *alertRule) quiet(mo *moment, e *episode, event string) bool {
	switch event {
	case EventSuppressed, EventShelved, EventCommented:
		return true
	case EventCleared, EventClosed, EventReset, EventAcknowledged, EventUnacknowledged:
		return !e.told
	case EventFlapping:
		return e.suppression() != nil
	case EventUnsuppressed, EventUnshelved:
		return e.told && severityRank(a.severityOf(e)) <= int(e.toldRank) || !e.active || e.suppression() != nil
	}
	return e.suppression() != nil || e.flapping || a.throttled(mo, e)
}

// throttled counts what is told against the throttle. Critical alerts pass it.
func (a *alertRule) throttled(mo *moment, e *episode) bool {
	if a.throttle == nil || a.severityOf(e) == "critical" {
		return false
	}
	m := mo.st.memoryOf(a)
	return m != nil && !m.part().told.allow(a.throttle, nanos(mo.at))
}

func (a *alertRule) severityOf(e *episode) string {
	if e.level > 0 {
		return a.levels[e.level-1].severity
	}
	return a.severity
}

func (a *alertRule) labelOf(e *episode) string {
	if e.level > 0 {
		return a.levels[e.level-1].label
	}
	return a.label
}

// outcome is an event of the episode, without its data and what is particular
// to its cause.
func (a *alertRule) outcome(p *Program, twin string, at time.Time, e *episode, event, reason string) Outcome {
	o := Outcome{
		Kind: Alert, Interaction: p.in.ID, Rule: a.name, Twin: twin, At: at, Source: twin,
		Shadow: a.shadow, ID: e.id, State: StateFiring, Severity: a.severityOf(e), Starts: timeOf(e.starts), Summary: e.summary, Labels: a.labels, Reason: reason,
		Life: &Life{
			Number: e.number, Event: event, Feed: a.feed, Revision: a.hash, Key: a.key(p, twin), Status: e.status(a, false), Active: e.active,
			Label: a.labelOf(e), Ack: e.ack, Latched: a.latched, Flapping: e.flapping, Suppression: e.suppression(),
			Counts:      Counts{Raises: uint64(e.raises), Repeats: uint64(e.repeats), Suppressed: uint64(e.unheard)},
			Description: e.description, Runbook: a.runbook,
		},
	}
	if e.pending != noTime {
		o.Life.Pending = timeOf(e.pending)
	}
	if !e.active {
		o.State, o.Ends = StateResolved, timeOf(e.ends)
	}
	return o
}

// key is what the alert is about: one episode at a time has it.
func (a *alertRule) key(p *Program, twin string) string {
	return p.in.ID + "|" + a.name + "|" + twin + "|" + a.feed + "|"
}

// episodeID hangs on what the alert is about and on when its conditions became
// true, so that whoever judges the samples again makes the same.
func (a *alertRule) episodeID(p *Program, twin string, first time.Time, again uint64) string {
	b := append(make([]byte, 0, 256), a.key(p, twin)...)
	b = first.UTC().AppendFormat(b, time.RFC3339Nano)
	if again != 0 { // the rule may have raised it before, in an earlier life
		b = strconv.AppendUint(append(b, '|'), again, 10)
	}
	return "al_" + digest(b)
}

// Act carries out what a person does to an alert of the twin, and appends the
// events. An alert that is not there, and an action that changes nothing, give
// none. Seq, Index and Hops are the caller's.
func (p *Program) Act(do Action, now time.Time, twin string, st *State, out []Outcome) []Outcome {
	a := p.alertNamed[do.Rule]
	if a == nil {
		return out
	}
	e := st.episodes[a.slot]
	if e == nil || e.id != do.ID {
		return out
	}
	before := len(out)
	mo := moment{p: p, st: st, twin: twin, at: now, reason: ReasonManual}
	out = a.carryOut(do, &mo, e, out)
	for i := before; i < len(out); i++ {
		if l := out[i].Life; l != nil {
			l.By, l.Comment = do.By, do.Comment
		}
	}
	mo.reason = ReasonCondition
	out = p.inhibit(&mo, len(out), out)
	st.rest()
	return out
}

func (a *alertRule) carryOut(do Action, mo *moment, e *episode, out []Outcome) []Outcome {
	acked := !e.ack.At.IsZero()
	switch do.Do {
	case Acknowledge:
		if acked {
			return out
		}
		e.ack.By, e.ack.At, e.ack.Comment = do.By, mo.at, do.Comment
		out = a.tell(mo, e, EventAcknowledged, out)
		return a.closeIfDone(mo, e, out)
	case Unacknowledge:
		if !acked {
			return out
		}
		e.ack = Ack{Required: e.ack.Required}
		return a.tell(mo, e, EventUnacknowledged, out)
	case Comment:
		return a.tell(mo, e, EventCommented, out)
	case Shelve:
		if !do.Until.After(mo.at) {
			return out
		}
		e.shelf = &Suppression{By: ByShelf, Until: do.Until.UTC(), Person: do.By, Comment: do.Comment}
		return a.tell(mo, e, EventShelved, out)
	case Unshelve:
		return a.unshelve(mo, e, out)
	case Reset:
		if e.active || !a.latched {
			return out
		}
		return a.close(mo, e, EventReset, out)
	case Clear:
		if !e.active {
			return a.close(mo, e, EventClosed, out)
		}
		mo.st.firing = nil
		if r := a.stateful; r != nil {
			m := mo.st.remembered(r)
			m.phase, m.level = idle, 0
			if m.parked = r.absent != nil; m.parked && r.absent.ExpectFirst { // it begins again with the next sample
				mo.st.found = max(mo.st.found, nanos(mo.at))
			}
			mo.st.keep(r, m)
		}
		mo.st.counters.rules[a.index].Resolved++
		e.active, e.ends = false, max(nanos(mo.at), e.starts)
		return a.close(mo, e, EventCleared, out)
	}
	return out
}

func (a *alertRule) unshelve(mo *moment, e *episode, out []Outcome) []Outcome {
	if e.shelf == nil {
		return out
	}
	e.shelf = nil
	return a.tell(mo, e, EventUnshelved, out)
}

// closeIfDone closes a cleared episode that waits for nothing more.
func (a *alertRule) closeIfDone(mo *moment, e *episode, out []Outcome) []Outcome {
	if e.active || e.status(a, false) != StatusClosed {
		return out
	}
	return a.close(mo, e, EventClosed, out)
}

func (a *alertRule) close(mo *moment, e *episode, event string, out []Outcome) []Outcome {
	e.closed = true
	out = a.tell(mo, e, event, out)
	mo.st.end(a)
	return out
}

// inhibit finds, after a sample or a timer, which alerts are inhibited now. One
// that was raised by the same cause is changed before anybody hears of it.
func (p *Program) inhibit(mo *moment, before int, out []Outcome) []Outcome {
	for _, slot := range mo.st.open() {
		a, e := p.alerts[slot], mo.st.episodes[slot]
		if len(a.inhibitedBy)+len(e.inhibitors) == 0 || !e.active {
			continue
		}
		var by []string
		for _, b := range a.inhibitedBy {
			if mo.st.fires(b) {
				by = append(by, b.name)
			}
		}
		if slices.Equal(by, e.inhibitors) {
			continue
		}
		was := e.suppression() != nil
		e.inhibitors = by
		raised := slices.IndexFunc(out[before:], func(o Outcome) bool { return o.ID == e.id && o.tells(EventRaised) })
		is := e.suppression() != nil
		switch {
		case raised >= 0 && is:
			out = a.hush(mo, e, before+raised, out)
		case is && !was:
			out = a.tell(mo, e, EventSuppressed, out)
		case was && !is:
			out = a.tell(mo, e, EventUnsuppressed, out)
		}
	}
	return out
}

// hush makes what was told of an alert that was raised by the same cause untold.
func (a *alertRule) hush(mo *moment, e *episode, raised int, out []Outcome) []Outcome {
	e.told, e.toldAt = false, noTime
	for i := range out[raised:] {
		o := &out[raised+i]
		if o.ID != e.id || o.Life == nil { // else it was told beside it
			continue
		}
		if !o.Life.Silent {
			e.unheard++
			mo.st.counters.rules[a.index].Quiet++
		}
		o.Life.Silent, o.Life.Status, o.Life.Suppression = true, e.status(a, false), e.suppression()
	}
	told := func(o Outcome) bool { return o.ID == e.id && o.Kind == Notification }
	return append(out[:raised], slices.DeleteFunc(out[raised:], told)...)
}

// tells says whether the outcome tells of an event of its episode.
func (o *Outcome) tells(event string) bool {
	return o.Life != nil && o.Life.Event == event || o.Notice != nil && o.Notice.Event == event
}

package rules

import (
	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/schedule"
)

// statefulOutput is a transformation that remembers: it says its true value
// while the rule fires, also between two samples, and its false value else. It
// sends an output of its own.
type statefulOutput struct {
	*output
	feedID   string // the output feed
	emit     string
	throttle *Throttle
	schedule *schedule.Schedule
}

// tell appends the output of a verdict, or of a change that a timer has made.
func (o *statefulOutput) tell(j *judgement, ch change, verdict logic.Verdict, out []Outcome) []Outcome {
	if verdict == logic.Unknown && ch == stays {
		return out
	}
	now, piece := int8(-1), o.whenFalse
	if j.m.phase.fires() {
		now, piece = 1, o.whenTrue
	}
	switch {
	case o.emit == EmitOnChange && j.m.part().sent == now:
		return out
	case o.emit == EmitEdge && ch != fires:
		return out
	case piece == nil:
		if o.emit == EmitOnChange {
			j.m.part().sent = now
		}
		return out
	}
	if o.schedule != nil && !o.schedule.Open(j.moment.at) || o.throttle != nil && !j.m.part().told.allow(o.throttle, j.at) {
		j.st.counters.rules[o.index].Quiet++
		return out
	}
	if o.emit == EmitOnChange {
		j.m.part().sent = now
	}
	data := append(opened(spare(out)), piece...)
	if j.v != nil {
		data = j.v.appendFields(data, o.included)
	} else {
		data = append(data, '}')
	}
	return append(out, Outcome{
		Kind: Output, Interaction: j.p.in.ID, Rule: o.name, Twin: j.twin, Feed: o.feedID, At: j.moment.at, Data: data,
		Seq: j.seq, Index: j.index, Source: j.twin, Hops: j.hops, Shadow: o.shadow,
	})
}

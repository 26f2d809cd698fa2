package rules

import (
	"math/bits"

	"tocsin.internal/rules/logic"
)

// levelOf is the level that holds: the highest whose condition is true and whose
// time has come. A level that has been reached is left only by its own
// clearCondition, if it has one. The verdict says whether any level holds by its
// condition.
func (a *alertRule) levelOf(r *stateful, j *judgement) (uint8, logic.Verdict) {
	top, reached, verdict := 0, 0, logic.False
	for i := range a.levels {
		l := &a.levels[i]
		isTrue := logic.True
		if l.test != nil {
			isTrue = r.test(j.v, l.test)
			if isTrue != logic.False && verdict == logic.False {
				verdict = logic.Unknown
			}
			if isTrue == logic.True {
				verdict = logic.True
			}
		}
		if isTrue != logic.True || l.after > 0 && !j.lasts(a, l.after) {
			continue
		}
		top = i + 1
		if l.test != nil {
			reached = i + 1
		}
	}
	if now := int(j.m.level); now > top && now <= len(a.levels) {
		l := &a.levels[now-1]
		stays := l.test != nil && r.test(j.v, l.test) == logic.Unknown || l.clear != nil && r.test(j.v, l.clear) != logic.True
		if stays {
			top, reached, verdict = now, now, logic.True
		}
	}
	if reached > 0 {
		verdict = logic.True
	}
	return uint8(top), verdict
}

// lasts says whether the alert has been firing for long enough.
func (j *judgement) lasts(a *alertRule, after int64) bool {
	e := j.st.episodes[a.slot]
	return e != nil && e.active && j.at-e.since >= after
}

// levelAt is the level that is reached when a time has come.
func (a *alertRule) levelAt(r *stateful, j *judgement, e *episode) uint8 {
	level := e.level
	for i := int(level); i < len(a.levels); i++ {
		l := &a.levels[i]
		if j.at-e.since >= l.after && (l.test == nil || j.v != nil && r.test(j.v, l.test) == logic.True) {
			level = uint8(i + 1)
		}
	}
	return level
}

// reach moves an alert that fires to another level.
func (a *alertRule) reach(j *judgement, e *episode, level uint8, out []Outcome) []Outcome {
	j.m.level = level
	if a.upwardOnly {
		level = max(level, e.level)
	}
	if level == e.level {
		return out
	}
	was := a.severityOf(e)
	e.level = level
	if a.severityOf(e) == was {
		return out
	}
	j.was = was
	out = a.tell(j.moment, e, EventUpdated, out)
	j.was = ""
	return out
}

// history is the states of an alert at its last verdicts, the newest in bit 0.
type history struct {
	Bits uint64 `json:"bits,omitempty"`
	N    uint8  `json:"n,omitempty"`
}

// flap notes the alert's state, and tells when it begins and ends to change too
// often. A change counts the more the newer it is: 0.8 for the oldest, 1.2 for
// the newest (as in Kapacitor and Nagios).
func (a *alertRule) flap(j *judgement, out []Outcome) []Outcome {
	h := &j.m.part().history
	bit := uint64(0)
	if j.m.phase.fires() {
		bit = 1
	}
	h.Bits = h.Bits<<1 | bit
	h.N = min(h.N+1, uint8(a.flapping.Window))
	share := h.changes(a.flapping.Window)
	e := j.st.episodes[a.slot]
	p := j.m.part()
	switch {
	case !p.flaps && share >= a.flapping.High:
		p.flaps = true
	case p.flaps && share <= a.flapping.Low:
		p.flaps = false
	}
	if e == nil || p.flapTold == p.flaps {
		return out
	}
	e.flapping, p.flapTold = p.flaps, p.flaps
	return a.tell(j.moment, e, EventFlapping, out)
}

// changes is the weighted share of changes among the last states.
func (h *history) changes(window int) float64 {
	n := int(h.N)
	if n < 2 {
		return 0
	}
	changes := (h.Bits ^ h.Bits>>1) & (1<<(n-1) - 1)
	if bits.OnesCount64(changes) == 0 {
		return 0
	}
	sum := 0.0
	for i := range n - 1 { // i = 0 is the newest
		if changes>>i&1 == 1 {
			sum += 1.2 - 0.4*float64(i)/float64(max(window-2, 1))
		}
	}
	return sum / float64(window-1)
}

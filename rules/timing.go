package rules

import (
	"time"

	"tocsin.internal/rules/logic"
)

// change is what became of a rule with its newest verdict.
type change uint8

const (
	stays change = iota
	fires
	clears
)

// timing is how long a rule waits before it fires, and before it clears; all in
// nanoseconds.
type timing struct {
	hold   int64 // for
	clear  int64 // clearFor
	keep   int64 // keepFiringFor
	maxGap int64 // between two samples, while it waits; 0: any
}

func (t *timing) of(s *Stateful) {
	*t = timing{hold: int64(s.For), clear: int64(s.ClearFor), keep: int64(s.KeepFiringFor), maxGap: int64(s.MaxGap)}
	if t.maxGap == 0 {
		t.maxGap = 3 * t.hold
	}
}

// step takes a verdict at a time. Over says whether the conditions for clearing
// hold. Unknown changes nothing.
func (t *timing) step(m *memory, truth, over logic.Verdict, at int64) change {
	last := m.knownAt
	if truth == logic.True {
		m.trueAt = at
	}
	if truth != logic.Unknown {
		m.knownAt = at
	}
	switch m.phase {
	case idle:
		if truth == logic.True {
			m.phase, m.since = pending, at
			return t.ripe(m, at)
		}
	case pending:
		switch {
		case truth == logic.False:
			m.phase = idle
		case truth == logic.True:
			if t.maxGap > 0 && at-last > t.maxGap {
				m.since = at
			}
			return t.ripe(m, at)
		}
	case firing:
		if truth != logic.True && over == logic.True {
			m.phase, m.since = clearing, at
			return t.done(m, at)
		}
	case clearing:
		switch {
		case truth == logic.True, over == logic.False:
			m.phase = firing
		case over == logic.True:
			return t.done(m, at)
		}
	}
	return stays
}

// ripe fires what has been pending for long enough.
func (t *timing) ripe(m *memory, at int64) change {
	if at-m.since < t.hold {
		return stays
	}
	m.phase = firing
	return fires
}

// done clears what has been clearing for long enough.
func (t *timing) done(m *memory, at int64) change {
	if at < t.clearDue(m) {
		return stays
	}
	m.phase = idle
	return clears
}

func (t *timing) clearDue(m *memory) int64 { return max(m.since+t.clear, m.trueAt+t.keep) }

// due is when the phase ends by itself; noTime: never. What has to be confirmed
// by samples ends only while they are not farther apart than maxGap.
func (t *timing) due(m *memory) int64 {
	switch m.phase {
	case pending:
		if due := m.since + t.hold; t.maxGap == 0 || due-m.knownAt <= t.maxGap {
			return due
		}
	case clearing:
		return t.clearDue(m)
	}
	return noTime
}

// fallDue ends a phase whose time has come.
func (t *timing) fallDue(m *memory) change {
	switch m.phase {
	case pending:
		m.phase = firing
		return fires
	case clearing:
		m.phase = idle
		return clears
	}
	return stays
}

// tickSlack is how far behind a tick may be what it makes fall due. Ticks come
// once a second; what fell due long before one is of a backlog, or the engine
// was away: the next sample then decides by its own time.
const tickSlack = int64(time.Minute)

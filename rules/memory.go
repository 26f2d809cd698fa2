package rules

import (
	"math"
	"slices"
	"time"

	"tocsin.internal/rules/logic"
)

// noTime is before all times.
const noTime = math.MinInt64

// maxNanos bounds times so that the distance of two is one, too.
const maxNanos = 1<<62 - 1

// Nanos is a time as Unix nanoseconds. A time outside of 1823 to 2116 counts as
// the nearest of these.
func Nanos(t time.Time) int64 {
	switch year := t.Year(); {
	case year < 1700:
		return -maxNanos
	case year > 2200:
		return maxNanos
	}
	return min(max(t.UnixNano(), -maxNanos), maxNanos)
}

func nanos(t time.Time) int64 { return Nanos(t) }

func timeOf(n int64) time.Time { return time.Unix(0, n).UTC() }

// phase is where a rule is between false and true.
type phase uint8

const (
	idle     phase = iota
	pending        // true, but not yet for long enough
	firing         // true for long enough
	clearing       // no longer true, but not yet for long enough
)

func (p phase) fires() bool { return p >= firing }

// memory is what a stateful rule remembers of one twin. The zero memory is
// that of a rule that has seen nothing, and is not kept.
type memory struct {
	slot    int32
	phase   phase
	truth   logic.Verdict // true: the conditions are, whatever the schedule says
	parked  bool          // its timers wait for the next sample
	level   uint8         // 1 + index of the severity's level
	since   int64         // of the phase
	trueAt  int64         // the last true sample
	knownAt int64         // the last sample that was true or false, while it is not idle
	context []byte        // what the last sample said, for outcomes without one
	parts   *parts        // what the other fields remember; nil where there are none
}

func (m *memory) empty() bool {
	return m.phase == idle && m.parts == nil && m.truth == logic.Unknown && m.level == 0 && !m.parked
}

// forget begins anew.
func (m *memory) forget() { *m = memory{slot: m.slot} }

// memory is the one of a rule, nil when there is none.
func (st *State) memory(r *stateful) *memory {
	i, ok := st.findMemory(r.slot)
	if !ok {
		return nil
	}
	return st.memories[i]
}

func (st *State) findMemory(slot int) (int, bool) {
	return slices.BinarySearchFunc(st.memories, int32(slot), func(m *memory, slot int32) int { return int(m.slot - slot) })
}

// keep stores what is to be remembered, and drops what is not.
func (st *State) keep(r *stateful, m *memory) {
	i, found := st.findMemory(r.slot)
	switch {
	case m.empty() && found:
		st.memories = slices.Delete(st.memories, i, i+1)
		if len(st.memories) == 0 {
			st.memories = nil
		}
	case found && st.memories[i] != m:
		kept := *m
		kept.slot = int32(r.slot)
		st.memories[i] = &kept
	case !m.empty() && !found:
		kept := *m
		kept.slot = int32(r.slot)
		// Exact growth: most twins remember one thing, and there may be millions.
		memories := make([]*memory, len(st.memories)+1)
		copy(memories, st.memories[:i])
		memories[i] = &kept
		copy(memories[i+1:], st.memories[i:])
		st.memories = memories
	}
}

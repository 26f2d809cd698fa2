// Package sequence finds samples that follow each other: an automaton over
// steps, told of each sample which steps' conditions are true. It knows neither
// conditions nor samples.
package sequence

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Spec is what to find.
type Spec struct {
	Steps      []Step
	Within     int64 // nanoseconds from the first sample to the end of a match, both included
	Strict     bool  // no sample may lie between those of a match; else samples that fill nothing are passed over
	MaxPartial int   // how many partial matches a state keeps, up to 64; 0 is 8
}

// Step is one condition of a sequence.
type Step struct {
	ID    string
	Count int   // how many samples fill it, at least 1; of a Not step 0 or 1
	Not   bool  // the condition must not come true between the steps before and after it
	For   int64 // of the last step, if it is a Not: for how many nanoseconds it must not
}

const (
	defaultPartial = 8
	maxPartial     = 64 // as many as partial.kin has bits
)

// Machine is a compiled Spec. It is immutable, so many may use it at once.
type Machine struct {
	steps      int
	stages     []stage
	tail       []int // the Not steps after the last stage
	absence    int64 // how long those must not come true; 0: there are none
	within     int64
	strict     bool
	maxPartial int
}

// stage is a step that samples fill.
type stage struct {
	step  int
	count int
	not   []int // the Not steps before it
}

// New compiles a Spec, or says everything that is wrong with it.
func New(spec Spec) (*Machine, error) {
	m := &Machine{steps: len(spec.Steps), within: spec.Within, strict: spec.Strict, maxPartial: spec.MaxPartial}
	if m.maxPartial == 0 {
		m.maxPartial = defaultPartial
	}
	errs := check(spec)
	for i, s := range spec.Steps {
		if s.Not {
			m.tail = append(m.tail, i)
			m.absence = s.For
			continue
		}
		m.stages = append(m.stages, stage{step: i, count: s.Count, not: m.tail})
		m.tail = nil
	}
	if len(m.tail) == 0 {
		m.absence = 0
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

func check(spec Spec) (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(spec.Steps) == 0 {
		wrong("no steps; want at least one")
	}
	if spec.Within <= 0 {
		wrong("no time within which the sequence has to happen; want one above zero")
	}
	if spec.MaxPartial < 0 || spec.MaxPartial > maxPartial {
		wrong("%d partial matches; want 1 to %d, or 0 for %d", spec.MaxPartial, maxPartial, defaultPartial)
	}
	names := map[string]bool{}
	for i, s := range spec.Steps {
		name, last := fmt.Sprintf("step %d (%q)", i+1, s.ID), i == len(spec.Steps)-1
		if s.ID != "" && names[s.ID] {
			wrong("%s has the id of another; want each once", name)
		}
		names[s.ID] = true
		switch {
		case s.Not && i == 0:
			wrong("%s is the first and a not; want one that a sample fills, which begins the time", name)
		case s.Not && s.Count > 1:
			wrong("%s is a not and has a count; want none", name)
		case s.Not && last && s.For <= 0:
			wrong("%s is the last and a not; want a time for which it must not come true", name)
		case s.Not && last && spec.Within > 0 && s.For > spec.Within:
			wrong("%s must not come true for longer than the sequence may take; want a time up to that", name)
		case !s.Not && s.Count < 1:
			wrong("%s is filled by %d samples; want at least 1", name, s.Count)
		}
		if s.For != 0 && !(s.Not && last) {
			wrong("%s has a time for which it must not come true; want that only of a not at the end", name)
		}
	}
	return errs
}

// Match is a sequence that has happened.
type Match struct {
	Start, End int64
	At         []int64  // by step: when the last of its samples came; 0 of a Not step, but End of the last one
	Notes      [][]byte // by step: what Feed was given with that sample; must not be changed
}

// Lost counts partial matches that came to nothing for want of time or room.
type Lost struct {
	TimedOut int // not complete within the time
	Dropped  int // beyond the number that may be kept
}

// Truth says whether the condition of a step is true of the sample at hand, and
// whether that is known at all. A condition may refer to what a partial match
// has seen so far: partial is its number for [State.Note], or -1 if a new one
// would begin.
type Truth func(partial, step int) (isTrue, known bool)

// Feed takes a sample at a time, in nanoseconds, that is not before the last
// one's. It first does what [Machine.Expire] does at that time. Then each partial
// match takes the sample for the step it waits for, if that is true, or ends if a
// Not step before it is true; and the sample begins another one if the first step
// is true. What is not known fills and ends nothing.
//
// A Not step is judged from the sample after the one that filled the step before
// it, and also on one that would fill the step after it: there the Not wins. If
// Strict, a sample that does not fill a partial match ends it, unless it only
// waits for an absence.
//
// A sample is part of one match at most: when one is complete, the partial
// matches that have a sample in common with it are gone. Of several the oldest is
// the complete one. If there are too many, the oldest of them goes, but never one
// that only waits for an absence, which would hardly ever end otherwise; if all
// do, no other begins.
//
// note is copied and kept with the step that the sample fills.
func (m *Machine) Feed(st *State, at int64, note []byte, truth Truth) (done []Match, lost Lost) {
	done, lost.TimedOut = m.Expire(st, at)
	v := m.judge(st, truth)
	if v == (verdict{}) {
		return done, lost
	}
	kept := bytes.Clone(note)
	var complete uint64
	for i := range st.partials {
		p := &st.partials[i]
		if v.filled&(1<<i) == 0 {
			continue
		}
		p.kin |= v.filled &^ (1 << i)
		if m.fill(p, at, kept) {
			complete |= 1 << i
		}
	}
	if complete != 0 { // it has the sample for itself: none begins
		i := bits.TrailingZeros64(complete)
		done = append(done, m.match(&st.partials[i], at))
		st.remove(v.ended | 1<<i | st.partials[i].kin)
		return done, lost
	}
	st.remove(v.ended)
	if !v.begins {
		return done, lost
	}
	p := partial{start: at, at: make([]int64, 0, m.steps), notes: make([][]byte, 0, m.steps)}
	if m.fill(&p, at, kept) {
		return append(done, m.match(&p, at)), lost
	}
	lost.Dropped = m.keep(st, &p, squeeze(v.filled, v.ended))
	return done, lost
}

// verdict is what a sample does to a state. The sets have a bit for the number
// of each partial match.
type verdict struct {
	filled, ended uint64
	begins        bool
}

// judge asks all questions before anything changes.
func (m *Machine) judge(st *State, truth Truth) (v verdict) {
	for i := range st.partials {
		p, not := &st.partials[i], m.tail
		if p.stage < len(m.stages) {
			not = m.stages[p.stage].not
		}
		if anyTrue(i, not, truth) {
			v.ended |= 1 << i
			continue
		}
		if p.stage == len(m.stages) {
			continue
		}
		switch isTrue, known := truth(i, m.stages[p.stage].step); {
		case known && isTrue:
			v.filled |= 1 << i
		case known && m.strict:
			v.ended |= 1 << i
		}
	}
	isTrue, known := truth(-1, m.stages[0].step)
	v.begins = isTrue && known
	return v
}

func anyTrue(partial int, steps []int, truth Truth) bool {
	for _, step := range steps {
		if isTrue, known := truth(partial, step); isTrue && known {
			return true
		}
	}
	return false
}

// fill gives a sample to a partial match, and says whether that completes it.
func (m *Machine) fill(p *partial, at int64, note []byte) bool {
	s := m.stages[p.stage]
	for len(p.at) <= s.step {
		p.at, p.notes = append(p.at, 0), append(p.notes, nil)
	}
	p.at[s.step], p.notes[s.step] = at, note
	if p.count++; p.count == s.count {
		p.stage, p.count = p.stage+1, 0
	}
	return p.stage == len(m.stages) && len(m.tail) == 0
}

// keep adds a partial match whose sample those of kin have taken, too. It says
// how many were dropped, be it the new one.
func (m *Machine) keep(st *State, p *partial, kin uint64) (dropped int) {
	if len(st.partials) >= m.maxPartial {
		oldest := slices.IndexFunc(st.partials, func(p partial) bool { return p.stage < len(m.stages) })
		if oldest < 0 {
			return 1
		}
		st.remove(1 << oldest)
		kin, dropped = squeeze(kin, 1<<oldest), 1
	}
	p.kin = kin
	for i := range st.partials {
		if kin&(1<<i) != 0 {
			st.partials[i].kin |= 1 << len(st.partials)
		}
	}
	st.partials = append(st.partials, *p)
	return dropped
}

// Expire ends what time alone ends before now: partial matches that have waited
// for an absence long enough, which are done, and those that were not complete in
// time. More frequent calls change nothing.
func (m *Machine) Expire(st *State, now int64) (done []Match, timedOut int) {
	for {
		next, first, isDone := -1, now, false
		for i := range st.partials {
			if end, complete := m.end(&st.partials[i]); end < first {
				next, first, isDone = i, end, complete
			}
		}
		switch {
		case next < 0:
			return done, timedOut
		case isDone:
			done = append(done, m.match(&st.partials[next], first))
			st.remove(1<<next | st.partials[next].kin)
		default:
			timedOut++
			st.remove(1 << next)
		}
	}
}

// Due is the earliest time at which [Machine.Expire] has something to do, or 0 if
// there is none.
func (m *Machine) Due(st *State) int64 {
	first := int64(math.MaxInt64)
	for i := range st.partials {
		end, _ := m.end(&st.partials[i])
		first = min(first, end)
	}
	if first == math.MaxInt64 {
		return 0
	}
	return first + 1
}

// end is the last time at which a sample may change a partial match, and whether
// it is complete after it.
func (m *Machine) end(p *partial) (at int64, complete bool) {
	limit := later(p.start, m.within)
	if p.stage < len(m.stages) {
		return limit, false
	}
	absent := later(p.at[m.stages[len(m.stages)-1].step], m.absence)
	if absent > limit {
		return limit, false
	}
	return absent, true
}

// later is the sum, or the last of all times.
func later(at, nanos int64) int64 {
	if at > math.MaxInt64-nanos {
		return math.MaxInt64
	}
	return at + nanos
}

// match is a partial match that is complete.
func (m *Machine) match(p *partial, end int64) Match {
	out := Match{Start: p.start, End: end, At: p.at, Notes: p.notes}
	for len(out.At) < m.steps {
		out.At, out.Notes = append(out.At, 0), append(out.Notes, nil)
	}
	if len(m.tail) > 0 {
		out.At[m.steps-1] = end
	}
	return out
}

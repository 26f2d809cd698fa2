package sequence

import (
	"encoding/json"
	"fmt"
	"math/bits"
)

// State is what one twin's samples have led to. The zero State is a beginning.
// It belongs to one machine and to one worker.
type State struct{ partials []partial }

// partial is a match that is not complete. Those of a state are in the order in
// which they began.
type partial struct {
	start int64
	stage int      // the one to fill; beyond the last: waits for the absence
	count int      // how many samples have filled it
	at    []int64  // by step: when the last sample filled it
	notes [][]byte // by step: what came with it
	kin   uint64   // bit n: it has a sample in common with partial match n
}

// Note is what [Machine.Feed] was given with the last sample that filled a step
// of a partial match, or nil. It must not be changed.
func (st *State) Note(partial, step int) []byte {
	if partial < 0 || partial >= len(st.partials) || step < 0 || step >= len(st.partials[partial].notes) {
		return nil
	}
	return st.partials[partial].notes[step]
}

// remove takes out the partial matches of a set; the others move up.
func (st *State) remove(gone uint64) {
	if gone == 0 {
		return
	}
	kept := st.partials[:0]
	for i, p := range st.partials {
		if gone&(1<<i) == 0 {
			p.kin = squeeze(p.kin, gone)
			kept = append(kept, p)
		}
	}
	clear(st.partials[len(kept):])
	if st.partials = kept; len(kept) == 0 {
		st.partials = nil // most twins have none, and should not pay for it
	}
}

// squeeze takes the bits of gone out of a set; the others move up.
func squeeze(set, gone uint64) uint64 {
	for gone != 0 {
		last := 63 - bits.LeadingZeros64(gone)
		below := uint64(1)<<last - 1
		set = set&below | set>>1&^below
		gone &^= 1 << last
	}
	return set
}

// stored is a partial match as JSON.
type stored struct {
	Start int64    `json:"s"`
	Stage int      `json:"g,omitempty"`
	Count int      `json:"c,omitempty"`
	At    []int64  `json:"t"`
	Notes [][]byte `json:"n"`
	Kin   uint64   `json:"k,omitempty"`
}

// MarshalJSON writes the state for UnmarshalJSON.
func (st State) MarshalJSON() ([]byte, error) {
	all := make([]stored, len(st.partials))
	for i, p := range st.partials {
		all[i] = stored{p.start, p.stage, p.count, p.at, p.notes, p.kin}
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads what MarshalJSON has written. Whether it is a state of a
// machine is for [Machine.Check].
func (st *State) UnmarshalJSON(text []byte) error {
	var all []stored
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	st.partials = nil
	for _, s := range all {
		st.partials = append(st.partials, partial{s.Start, s.Stage, s.Count, s.At, s.Notes, s.Kin})
	}
	return nil
}

// Check says why a state that was read is none of the machine's. Such a state
// must not be used with it.
func (m *Machine) Check(st *State) error {
	if n := len(st.partials); n > m.maxPartial {
		return fmt.Errorf("%d partial matches; want at most %d", n, m.maxPartial)
	}
	for i := range st.partials {
		if p := &st.partials[i]; !m.fits(p) || p.kin>>len(st.partials) != 0 || p.kin&(1<<i) != 0 {
			return fmt.Errorf("partial match %d is not one of these steps", i)
		}
	}
	return nil
}

// fits says whether the steps of a partial match that are filled may be.
func (m *Machine) fits(p *partial) bool {
	last := p.stage // the one filled last
	switch {
	case p.stage < 0 || p.stage > len(m.stages) || p.stage == len(m.stages) && (len(m.tail) == 0 || p.count != 0):
		return false
	case p.stage < len(m.stages) && (p.count < 0 || p.count >= m.stages[p.stage].count):
		return false
	case p.count == 0:
		last--
	}
	return last >= 0 && len(p.at) == m.stages[last].step+1 && len(p.notes) == len(p.at)
}

// Progress is, for people, how far the partial match has come that is nearest to
// its end: how many stages it has filled, and when it began. ok is false when
// none has begun.
func (st *State) Progress() (stages int, start int64, ok bool) {
	for _, p := range st.partials {
		if !ok || p.stage > stages {
			stages, start, ok = p.stage, p.start, true
		}
	}
	return stages, start, ok
}

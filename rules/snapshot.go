package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// snapshotVersion changes with every change of the form that Append writes.
const snapshotVersion = 1

// Append appends the state as one line of JSON, for LoadState of the same program.
func (st *State) Append(b []byte) []byte {
	p := st.program
	b = strconv.AppendInt(append(b, `{"version":`...), snapshotVersion, 10)
	b = strconv.AppendUint(append(b, `,"bound":`...), uint64(st.bound), 10)
	b = append(b, `,"newest":{`...)
	n := 0
	for i, at := range st.newest {
		if !at.IsZero() {
			b = appendTime(append(appendText(appendComma(b, n), p.feeds[i]), ':'), at)
			n++
		}
	}
	b = append(b, `},"firing":{`...)
	n = 0
	for _, i := range slices.Sorted(maps.Keys(st.episodes)) {
		e := st.episodes[i]
		b = p.alerts[i].appendEpisode(appendComma(b, n), &e)
		n++
	}
	return append(b, "}}"...)
}

func (a *alertRule) appendEpisode(b []byte, e *episode) []byte {
	b = append(appendText(b, a.name), ':')
	b = appendText(append(b, `{"rule":`...), a.hash)
	b = appendText(append(b, `,"id":`...), e.id)
	b = appendTime(append(b, `,"starts":`...), e.starts)
	b = appendText(append(b, `,"summary":`...), e.summary)
	return append(b, '}')
}

// LoadState reads what Append has written for a program of the same rules. A
// form that this version does not know, or a state of rules that p does not
// have, is an error.
func (p *Program) LoadState(b []byte, c *Counters) (*State, error) {
	var in struct {
		Version int                  `json:"version"`
		Bound   SourceSet            `json:"bound"`
		Newest  map[string]time.Time `json:"newest"`
		Firing  map[string]struct {
			Rule    string    `json:"rule"`
			ID      string    `json:"id"`
			Starts  time.Time `json:"starts"`
			Summary string    `json:"summary"`
		} `json:"firing"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("state of %s: %w", p.in.ID, err)
	}
	if in.Version != snapshotVersion {
		return nil, fmt.Errorf("state of %s: version %d; want %d", p.in.ID, in.Version, snapshotVersion)
	}
	st := p.NewState(in.Bound, c)
	for feed, at := range in.Newest {
		pl := p.plans[feed]
		if pl == nil {
			return nil, fmt.Errorf("state of %s: no rule reads feed %q", p.in.ID, feed)
		}
		st.newest[pl.slot] = at
	}
	for name, e := range in.Firing {
		a := p.alertNamed[name]
		if a == nil || a.hash != e.Rule || e.ID == "" {
			return nil, fmt.Errorf("state of %s: alert %q is of another rule", p.in.ID, name)
		}
		st.begin(a, episode{id: e.ID, starts: e.Starts, summary: e.Summary})
	}
	return st, nil
}

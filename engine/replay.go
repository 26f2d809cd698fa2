package engine

import (
	"maps"
	"slices"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// Replay judges samples without a bus, by the very code that judges the stream.
// The same samples give the same outcomes. One goroutine may use it.
type Replay struct{ partition *partition }

// NewReplay begins with nothing remembered. With twins described, only those
// that match a rule's source count; without (nil), every twin that has the feed
// does. In the outcomes an output's twin is the source twin.
func NewReplay(programs map[string]*rules.Program, described []twins.Twin) *Replay {
	p := newPartition(newCompiler(), DefaultMaxSampleBytes)
	p.offline, p.everyone = true, described == nil
	for _, id := range slices.Sorted(maps.Keys(programs)) {
		p.putProgram(programs[id], event{}, new([]rules.Outcome))
	}
	for i := range described {
		p.put(&described[i], event{}, nil)
	}
	return &Replay{p}
}

// Judge appends what the rules decide about a sample. The error says why the
// sample cannot be judged; live it would be a dead letter.
func (r *Replay) Judge(s *rules.Sample, out []rules.Outcome) ([]rules.Outcome, error) {
	return r.partition.judge(s, out)
}

// Funnels are the counts of each interaction's rules.
func (r *Replay) Funnels() map[string]Funnels {
	out := map[string]Funnels{}
	for _, p := range r.partition.programs {
		out[p.ID()] = Funnels{Revision: p.Hash(), Names: p.Rules(), Rules: p.counters.Funnels()}
	}
	return out
}

// Twins is the number of twins that shared, or were described.
func (r *Replay) Twins() int { return len(r.partition.twins) }

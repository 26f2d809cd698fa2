package engine

import (
	"maps"
	"slices"
	"time"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// Replay judges samples without a bus, by the very code that judges the stream.
// The same samples give the same outcomes. One goroutine may use it.
type Replay struct {
	partition *partition
	watch     Watch
}

// Watch is told of what comes, before it is judged.
type Watch struct {
	Sample func(*rules.Sample) (judge bool)                // false: the sample is left out; nil: none is
	Rule   func(seq uint64, stored time.Time, text []byte) // an interaction was put into the stream; nil: nobody cares
}

// Watch lets w be told from now on.
func (r *Replay) Watch(w Watch) { r.watch = w }

// wants says whether a sample is to be judged.
func (r *Replay) wants(s *rules.Sample) bool { return r.watch.Sample == nil || r.watch.Sample(s) }

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
	return &Replay{partition: p}
}

// Judge appends what fell due before the sample's time, and what the rules
// decide about it. The error says why the sample cannot be judged; live it would
// be a dead letter.
func (r *Replay) Judge(s *rules.Sample, out []rules.Outcome) ([]rules.Outcome, error) {
	if !r.wants(s) {
		return out, nil
	}
	out, err := r.partition.judge(s, r.advance(s.At, s.Seq, out))
	return made(out), err
}

// Until lets the clock run up to a time, that included, without a sample: it
// appends what falls due. seq is its cause, such as that of the last sample.
func (r *Replay) Until(at time.Time, seq uint64, out []rules.Outcome) []rules.Outcome {
	return r.advance(at.Add(1), seq, out)
}

// advance lets the clock run up to a time.
func (r *Replay) advance(to time.Time, seq uint64, out []rules.Outcome) []rules.Outcome {
	p := r.partition
	for p.due() < rules.Nanos(to) {
		out = made(p.tick(to, false, seq, out))
	}
	return out
}

// Merge brings the samples of many twins into the order of time: each twin's
// keep their own order, and count with the newest time that the twin has shown
// so far, so that a clock that jumps back does not pull the others back.
func Merge(samples []rules.Sample) {
	newest := map[string]time.Time{}
	keys := make([]time.Time, len(samples))
	for i := range samples {
		s := &samples[i]
		if at := newest[s.Twin]; s.At.After(at) {
			newest[s.Twin] = s.At
		}
		keys[i] = newest[s.Twin]
	}
	order := make([]int, len(samples))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return keys[a].Compare(keys[b]) })
	merged := make([]rules.Sample, len(samples))
	for i, from := range order {
		merged[i] = samples[from]
	}
	copy(samples, merged)
}

// Timed says whether a rule of the replay waits for something: then it matters
// how the twins' samples lie in time.
func (r *Replay) Timed() bool {
	return slices.ContainsFunc(r.partition.programs, func(p *running) bool { return p.Timed() })
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

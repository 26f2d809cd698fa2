package backtest

import (
	"context"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
)

// Bucket is what a field was from a time on: the lowest and the highest of its
// values, in the order in which they came.
type Bucket struct {
	At        time.Time
	Low, High float64
}

// series are the values of a field, thinned so that there are at most twice as
// many buckets as were asked for. Peaks stay.
type series struct {
	buckets []Bucket
	most    int
	width   time.Duration // of a bucket; 0: each sample has its own
}

func (s *series) add(at time.Time, v float64) {
	if n := len(s.buckets); n > 0 {
		last := &s.buckets[n-1]
		if !at.After(last.At) && s.width == 0 {
			return // it is late
		}
		if s.width > 0 && at.Sub(last.At) < s.width {
			last.Low, last.High = min(last.Low, v), max(last.High, v)
			return
		}
	}
	if len(s.buckets) == 2*s.most {
		s.halve()
		s.add(at, v)
		return
	}
	if s.width > 0 {
		at = at.Truncate(s.width)
	}
	s.buckets = append(s.buckets, Bucket{at, v, v})
}

// halve joins neighbours until half of the buckets are left.
func (s *series) halve() {
	if s.width == 0 {
		first, last := s.buckets[0].At, s.buckets[len(s.buckets)-1].At
		s.width = max(last.Sub(first)/time.Duration(s.most), time.Millisecond)
		if s.width > time.Second {
			s.width = (s.width + time.Second - 1).Truncate(time.Second)
		}
	} else {
		s.width *= 2
	}
	joined := s.buckets[:0]
	for _, b := range s.buckets {
		b.At = b.At.Truncate(s.width)
		if n := len(joined); n > 0 && joined[n-1].At.Equal(b.At) {
			joined[n-1].Low, joined[n-1].High = min(joined[n-1].Low, b.Low), max(joined[n-1].High, b.High)
			continue
		}
		joined = append(joined, b)
	}
	s.buckets = joined
	if len(s.buckets) == 2*s.most {
		s.halve()
	}
}

// Panel is one rule's picture of one twin.
type Panel struct {
	Rule       Rule
	Twin       string
	Field      string // the path, with dots; "": the rule compares none with a number
	Thresholds []Threshold
	Buckets    []Bucket
	Alerts     [][]Alert // of each set
	Changes    int       // alerts that are not the same
}

// panelKey is where the values of a picture come from.
type panelKey struct{ twin, feed, field string }

// Panels are the pictures of the rules and twins that have alerts, or whose
// alerts differ, those that differ most first; at most so many, which share the
// buckets. The recording is played once more for their values.
func Panels(ctx context.Context, play Play, run *Run, most, buckets int) ([]Panel, error) {
	panels := choose(run, most)
	wanted := map[panelKey]*series{}
	fields := map[string]*extractor{} // by feed
	for _, p := range panels {
		feed, field := p.source()
		if field == nil {
			continue
		}
		if fields[feed] == nil {
			fields[feed] = &extractor{}
		}
		fields[feed].want(p.panel.Field, field)
		wanted[panelKey{p.panel.Twin, feed, p.panel.Field}] = &series{most: max(buckets/len(panels)/2, 1)}
	}
	for _, e := range fields {
		e.build()
	}
	deaf := engine.NewReplay(nil, nil)
	err := play(ctx, []*engine.Replay{deaf}, func(_ int, s *rules.Sample, _ []rules.Outcome, err error) error {
		if s == nil || err != nil {
			return nil
		}
		if e := fields[s.Feed]; e != nil {
			e.read(s, func(field string, v float64) {
				if to := wanted[panelKey{s.Twin, s.Feed, field}]; to != nil {
					to.add(s.At, v)
				}
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Panel, len(panels))
	for i, p := range panels {
		feed, _ := p.source()
		if s := wanted[panelKey{p.panel.Twin, feed, p.panel.Field}]; s != nil {
			p.panel.Buckets = s.buckets
		}
		out[i] = p.panel
	}
	return out, nil
}

// extractor reads numbers out of the samples of one feed.
type extractor struct {
	names   []string
	builder logic.Builder
	machine *logic.Machine
}

func (e *extractor) want(name string, path []string) {
	if slices.Contains(e.names, name) {
		return
	}
	e.builder.Field(path...)
	e.names = append(e.names, name)
}

func (e *extractor) build() { e.machine = e.builder.Build().NewMachine() }

func (e *extractor) read(s *rules.Sample, found func(field string, v float64)) {
	if !e.machine.Load(s.Data) {
		return
	}
	for i, name := range e.names {
		if v, err := strconv.ParseFloat(string(e.machine.Raw(i)), 64); err == nil {
			found(name, v)
		}
	}
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/sources"
)

// Component is something that the engine needs, or a sink or source of its.
type Component struct {
	Name  string    `json:"name"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since"` // it is, or is not, OK
}

// Health is what an engine is fit for.
type Health struct {
	Ready      bool        // it judges by the rules that are configured; sinks and sources do not count
	Started    bool        // it has its rules and what it works on, or has had them
	Stopping   bool        // it takes nothing more
	Components []Component // sinks and then sources last
}

// The components that are needed.
const (
	BusComponent        = "bus"        // the server is within reach
	StreamsComponent    = "streams"    // they are there
	RulesComponent      = "rules"      // there is a rulebook
	PartitionsComponent = "partitions" // those that fall to this worker are what the stream says
)

var needed = []string{BusComponent, StreamsComponent, RulesComponent, PartitionsComponent}

func sinkComponent(name string) string { return "sink " + name }

func sourceComponent(name string) string { return "source " + name }

// health remembers since when each component is as it is.
type health struct {
	stopping, started atomic.Bool
	asking            sync.Mutex // held while the bus is asked how it is and that is noted: nobody notes what is over

	mu    sync.Mutex
	order []string
	known map[string]Component // of sources those alone that run here
	fails map[string]uint64    // how often each ceased to be OK
}

// begin takes every component for good until something else is noted of it, but
// for the partitions.
func (h *health) begin(c *Config) {
	h.order, h.known, h.fails = append(h.order, needed...), map[string]Component{}, map[string]uint64{}
	for _, s := range c.Sinks {
		h.order = append(h.order, sinkComponent(s.Name))
	}
	now := time.Now()
	for _, name := range h.order {
		h.known[name] = Component{Name: name, OK: name != PartitionsComponent, Since: now}
	}
	for _, s := range c.Sources {
		h.order = append(h.order, sourceComponent(s.Name))
	}
}

// open lets a component be known that is not OK yet, close no longer.
func (h *health) open(name string, err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[name] = Component{Name: name, Error: err.Error(), Since: now}
}

func (h *health) close(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.known, name)
}

// note takes note of how a component is; err = nil: it is OK. changed says that
// it was the other way before, for so long. Of one that is not known nothing is.
func (h *health) note(name string, err error, now time.Time) (was time.Duration, changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, known := h.known[name]
	if !known || c.OK && err == nil {
		return 0, false
	}
	was, changed = now.Sub(c.Since), c.OK != (err == nil)
	if changed {
		c.OK, c.Since = err == nil, now
	}
	if changed && err != nil {
		h.fails[name]++
	}
	c.Error = ""
	if err != nil {
		c.Error = err.Error()
	}
	h.known[name] = c
	return was, changed
}

func (h *health) read() (all []Component) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range h.order {
		if c, known := h.known[name]; known {
			all = append(all, c)
		}
	}
	return all
}

// one gives a component that is known, and how often it has failed.
func (h *health) one(name string) (c Component, fails uint64, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, known = h.known[name]
	return c, h.fails[name], known
}

// Health says how the engine is. It asks nobody, so that it answers also when
// the bus does not.
func (e *Engine) Health() Health {
	e.noteBus() //nolint:errcheck // it is among the components
	e.noteComponent(PartitionsComponent, e.lacks())
	h := Health{Stopping: e.health.stopping.Load(), Components: e.health.read()}
	works := true
	for _, c := range h.Components[:len(needed)-1] { // all but the partitions
		works = works && c.OK
	}
	if works {
		e.health.started.Store(true)
	}
	h.Started = e.health.started.Load()
	h.Ready = works && h.Components[len(needed)-1].OK && !h.Stopping
	return h
}

// Stopping says whether the engine takes nothing more.
func (e *Engine) Stopping() bool { return e.health.stopping.Load() }

// noteComponent takes note of how a component that is needed is, and logs a change.
func (e *Engine) noteComponent(name string, err error) {
	was, changed := e.health.note(name, err, time.Now())
	switch {
	case !changed || name == PartitionsComponent: // of which there is more to say
	case err != nil:
		e.log.Warn().Str("component", name).Err(err).Msg("not ready")
	default:
		e.log.Info().Str("component", name).Stringer("after", was.Round(time.Millisecond)).Msg("ready again")
	}
}

// noteBus takes note of whether the server is within reach.
func (e *Engine) noteBus() error {
	e.health.asking.Lock()
	defer e.health.asking.Unlock()
	err := e.bus.Healthy()
	e.noteComponent(BusComponent, err)
	return err
}

// noteSink takes note of an attempt to deliver. A failure is logged where it is
// found.
func (e *Engine) noteSink(name string, err error) {
	was, changed := e.health.note(sinkComponent(name), err, time.Now())
	if !changed || err != nil {
		return
	}
	if alike, say := e.quiet.note("delivers again: "+name, time.Now()); say {
		e.log.Info().Str("sink", name).Stringer("after", was.Round(time.Millisecond)).Int("alike", alike).Msg("sink delivers again")
	}
}

// watch takes note of how a source is in touch with its origin, and logs it, until
// done is called.
func (e *Engine) watch(s NamedSource) (done func()) {
	remote, ok := s.Source.(sources.Remote)
	if !ok {
		return func() {}
	}
	component := sourceComponent(s.Name)
	e.health.open(component, sources.ErrConnecting, time.Now())
	heard := false
	remote.Tell(func(err error) {
		if errors.Is(err, sources.ErrConnecting) {
			return
		}
		was, changed := e.health.note(component, err, time.Now())
		first := !heard
		heard = true
		if !changed && !first {
			return
		}
		alike, say := e.quiet.note(fmt.Sprint(component, err == nil), time.Now())
		switch {
		case !say:
		case err != nil:
			e.log.Warn().Str("source", s.Name).Err(err).Int("alike", alike).Msg("source cannot read from its origin; it tries again")
		default:
			e.log.Info().Str("source", s.Name).Stringer("after", was.Round(time.Millisecond)).Int("alike", alike).Msg("source reads from its origin")
		}
	})
	return func() {
		e.health.close(component)
		remote.Tell(nil)
	}
}

const (
	// observeEvery is how often the engine looks how it is.
	observeEvery = time.Second
	// The streams are looked after in every checkEvery-th of these times.
	checkEvery = 5
	// observePatience is how long the bus may take to answer.
	observePatience = 2 * time.Second
)

// observe looks how the components are, until ctx ends.
func (e *Engine) observe(ctx context.Context) {
	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		e.look(ctx, n%checkEvery == 0)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) look(ctx context.Context, streams bool) {
	err := e.noteBus()
	e.noteComponent(PartitionsComponent, e.lacks())
	if err != nil {
		return // of the rest nothing is known
	}
	asking, cancel := context.WithTimeout(ctx, observePatience)
	defer cancel()
	if state, err := e.bus.FeedState(asking); err == nil {
		e.stats.feedLast.Store(state.Last)
	}
	e.pool.Tell(e.lag())
	if !streams {
		return
	}
	// No answer says nothing: a slow server does not make the whole pool unready.
	if err := e.bus.Check(asking); err == nil || errors.Is(err, bus.ErrMissing) {
		e.noteComponent(StreamsComponent, err)
	}
}

// Package iotics is the sink that shares the outputs of output twins on a remote
// host of IOTICS.
package iotics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/envelope"
	"tocsin.internal/sinks"
	"tocsin.internal/space"
	"tocsin.internal/twins"
)

// Config says which host, who we are there, and how twins are called there.
type Config struct {
	space.Config
	Twin string `json:"twin"` // the remote twin's id, or, with an agent, the name of its key; {twin} is the local one's id, {twin} unless said
}

// Describe is the local twin of an id, and whether there is one.
type Describe func(id string) (*twins.Twin, bool)

type sink struct {
	Config
	client   *space.Client
	describe Describe

	mu    sync.Mutex
	known map[string]string // DIDs of twins by the names of their keys
}

// New makes the sink of its Config. describe says what a remote twin is made
// from; nil: from its id alone.
func New(raw strictjson.Raw, describe Describe) (sinks.Sink, error) {
	c := Config{Config: space.Defaults(), Twin: "{twin}"}
	errs := []error{raw.Decode(&c), c.Check(raw)}
	if !strings.Contains(c.Twin, "{twin}") {
		errs = append(errs, raw.Member("twin").At.Errorf("got %q for all twins; want a text with {twin}", c.Twin))
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	client, err := space.New(c.Config)
	if err != nil {
		return nil, raw.Member("tls").At.Errorf("%w", err)
	}
	return &sink{Config: c, client: client, describe: describe, known: map[string]string{}}, nil
}

// Deliver shares an output, and makes the twin or the feed that is not there. A
// 4xx but 401, 408, 425 and 429 is Permanent; a 429 or 503 that says when is a
// RetryAfter of at most an hour; everything else is again later. What is not an
// output is Permanent.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	if err := fits(&o); err != nil {
		return sinks.Permanent(fmt.Errorf("iotics sink: %w", err))
	}
	if err := s.deliver(ctx, &o); err != nil {
		return verdict(fmt.Errorf("iotics sink %s: %w", s.client.Name(), err))
	}
	return nil
}

// Close ends the idle connections.
func (s *sink) Close() error {
	s.client.Close()
	return nil
}

// fits says why an outcome cannot be shared.
func fits(o *rules.Outcome) error {
	switch {
	case o.Kind != rules.Output:
		return fmt.Errorf(`kind %q; want "output"`, o.Kind)
	case o.Twin == "" || o.Feed == "":
		return errors.New("an output without a twin or a feed")
	case isDots(o.Twin) || isDots(o.Feed):
		return errors.New("a twin or a feed that no path can name")
	case o.At.Year() < 0 || o.At.Year() > 9999:
		return fmt.Errorf("a time in the year %d", o.At.Year())
	}
	return nil
}

func isDots(name string) bool { return name == "." || name == ".." }

func verdict(err error) error {
	e, ok := errors.AsType[*space.Error](err)
	if !ok {
		return err
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooEarly:
		return err
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if e.Wait > 0 {
			return sinks.RetryAfter(e.Wait, err)
		}
		return err
	}
	if e.Status/100 == 4 || e.Status/100 == 3 {
		return sinks.Permanent(err)
	}
	return err
}

func (s *sink) deliver(ctx context.Context, o *rules.Outcome) error {
	twin, err := s.twin(ctx, o.Twin)
	if err != nil {
		return err
	}
	sample := envelope.AppendShare(nil, o.Data, o.At)
	err = s.client.Share(ctx, twin, o.Feed, sample, o.EventID())
	if !isMissing(err) {
		return err
	}
	if err := s.provide(ctx, twin, o); err != nil {
		return err
	}
	return s.client.Share(ctx, twin, o.Feed, sample, o.EventID())
}

func isMissing(err error) bool { return hasStatus(err, http.StatusNotFound) }

func hasStatus(err error, status ...int) bool {
	e, ok := errors.AsType[*space.Error](err)
	for _, wanted := range status {
		if ok && e.Status == wanted {
			return true
		}
	}
	return false
}

// twin is the remote id of a local twin. With an agent it is a DID of its own,
// made from the agent's seed, whose document lets the agent control it.
func (s *sink) twin(ctx context.Context, local string) (string, error) {
	name := strings.ReplaceAll(s.Twin, "{twin}", local)
	if !s.client.HasIdentities() {
		return name, nil
	}
	s.mu.Lock()
	did := s.known[name]
	s.mu.Unlock()
	if did != "" {
		return did, nil
	}
	did, err := s.client.Twin(ctx, name)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[name] = did
	return did, nil
}

// provide makes the twin, or only the feed where the twin is there.
func (s *sink) provide(ctx context.Context, id string, o *rules.Outcome) error {
	t, err := s.described(ctx, id, o)
	if err != nil {
		return err
	}
	there, err := s.client.Exists(ctx, id)
	if err != nil {
		return err
	}
	if !there {
		err := s.client.Upsert(ctx, upsertBody(&t))
		if !hasStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented) {
			return err
		}
		if err := s.create(ctx, &t); err != nil {
			return err
		}
	}
	f, _ := t.Feed(o.Feed)
	return s.provideFeed(ctx, id, &f)
}

// create is for hosts that know no upsert.
func (s *sink) create(ctx context.Context, t *twins.Twin) error {
	if err := s.client.Create(ctx, t.ID); err != nil {
		return err
	}
	return s.client.UpdateTwin(ctx, t.ID, updateBody(t))
}

func (s *sink) provideFeed(ctx context.Context, twin string, f *rules.Feed) error {
	if err := s.client.CreateFeed(ctx, twin, f.ID); err != nil {
		return err
	}
	return s.client.UpdateFeed(ctx, twin, f.ID, feedBody(f))
}

// described is the remote twin: as the local one, with the feed of the outcome,
// but not as one that an interaction there has made: its engine would delete it.
func (s *sink) described(ctx context.Context, id string, o *rules.Outcome) (twins.Twin, error) {
	t := twins.Twin{Properties: []rules.Property{twins.LangString(rules.PropLabel, o.Twin, "en")}}
	local, err := s.local(ctx, o.Twin)
	if err != nil {
		return t, err
	}
	if local != nil {
		t = *local
		t.Properties = slices.DeleteFunc(slices.Clone(t.Properties), func(p rules.Property) bool { return p.Key == rules.PropCreatedFrom })
	}
	t.ID = id
	if _, ok := t.Feed(o.Feed); !ok {
		t.Feeds = append(slices.Clip(t.Feeds), rules.Feed{ID: o.Feed, StoreLast: true})
	}
	return t, nil
}

// How long a local twin is waited for: its first output may be here before it.
const (
	twinPatience = 3 * time.Second
	twinPoll     = 50 * time.Millisecond
)

// local is the local twin; nil when nobody knows it.
func (s *sink) local(ctx context.Context, id string) (*twins.Twin, error) {
	if s.describe == nil {
		return nil, nil
	}
	ticker := time.NewTicker(twinPoll)
	defer ticker.Stop()
	for range int(twinPatience / twinPoll) {
		if t, ok := s.describe(id); ok {
			return t, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, nil
}

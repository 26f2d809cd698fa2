package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/internal/pause"
	"tocsin.internal/twins"
)

// lastQuestion asks the worker that judges a twin for the last sample of a feed;
// with an interaction, for the last output that it made of the twin.
type lastQuestion struct {
	Twin        string `json:"twin"`
	Feed        string `json:"feed"`
	Interaction string `json:"interaction,omitempty"`
}

// lastAnswer is what it has; without a sample it has none.
type lastAnswer struct {
	At        uint64          `json:"at"`                  // sequence in FEED up to which the twin's partition has been judged
	Elsewhere bool            `json:"elsewhere,omitempty"` // it does not judge the twin
	Sample    *snapshotSample `json:"sample,omitempty"`
}

// LastSample is the last sample of a feed that keeps it (storeLast), also of an
// output twin's; ok says whether there is one. What was stored before it was asked
// for has been judged. Who follows the feed from its id on misses nothing, but may
// get an output twin's once more. The error may wrap ErrNoTwin or ErrNoFeed.
func (e *Engine) LastSample(ctx context.Context, twin, feed string) (last *Event, ok bool, err error) {
	t, err := e.mustKnow(ctx, twin)
	if err != nil {
		return nil, false, err
	}
	f, ok := t.Feed(feed)
	if !ok {
		return nil, false, fmt.Errorf("%w: %q of twin %q", ErrNoFeed, shorten(feed), twin)
	}
	if !f.StoreLast {
		return nil, false, nil
	}
	var at places
	sample, err := e.askSample(ctx, twin, feed, &at)
	if maker := twins.Maker(t); maker != "" && err == nil {
		var output *snapshotSample
		output, err = e.askOutput(ctx, lastQuestion{Twin: twins.Source(t), Feed: feed, Interaction: maker}, &at)
		// What was copied back from OUT is not as new as what is there.
		if output != nil && (sample == nil || sample.Hops > 0 || sample.Seq < output.Seq) {
			sample = output
		}
	}
	if sample == nil || err != nil {
		return nil, false, err
	}
	return &Event{
		ID: at.String(), Kind: SampleTopic, Twin: twin, Name: feed, At: sample.At, Mime: mimeJSON, Data: sample.Data, Subject: bus.Token(twin) + "." + bus.Token(feed),
	}, true, nil
}

// askSample gives the last sample that was shared, and up to where that is so.
func (e *Engine) askSample(ctx context.Context, twin, feed string, at *places) (*snapshotSample, error) {
	a, err := e.askLast(ctx, lastQuestion{Twin: twin, Feed: feed})
	at.set(bus.SampleTail, tailPlace{a.At, whole})
	return a.Sample, err
}

// askOutput gives the last output, and a place in OUT before the next one.
func (e *Engine) askOutput(ctx context.Context, q lastQuestion, at *places) (*snapshotSample, error) {
	_, end, err := e.bus.TailEnds(ctx, bus.OutputTail)
	if err != nil {
		return nil, err
	}
	at.set(bus.OutputTail, tailPlace{end, whole})
	a, err := e.askLast(ctx, q)
	return a.Sample, err
}

// lastPatience is how long a question waits for somebody to judge the twin, and
// lastPoll how often it is looked.
const (
	lastPatience = 10 * time.Second
	lastPoll     = 20 * time.Millisecond
)

// errUnjudged says that no worker judges a twin just now.
var errUnjudged = errors.New("no worker judges the twin just now")

// askLast asks whoever judges the twin, while it changes hands until it has somebody.
func (e *Engine) askLast(ctx context.Context, q lastQuestion) (lastAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, lastPatience)
	defer cancel()
	for last := errUnjudged; ; {
		a, err := e.askJudge(ctx, q)
		if err == nil && !a.Elsewhere {
			return a, nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		if pause.For(ctx, lastPoll) != nil {
			return lastAnswer{}, fmt.Errorf("the last sample: %w", last)
		}
	}
}

func (e *Engine) askJudge(ctx context.Context, q lastQuestion) (lastAnswer, error) {
	switch owner := e.pool.Owner(partitionLease + strconv.Itoa(e.bus.Partition(q.Twin))); owner {
	case "":
		return lastAnswer{}, errUnjudged
	case e.config.WorkerID:
		return e.lastHere(ctx, q)
	default:
		return e.lastThere(ctx, owner, q)
	}
}

func (e *Engine) lastThere(ctx context.Context, worker string, q lastQuestion) (a lastAnswer, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	body, err = e.askWorker(ctx, worker, request{Op: "last", Body: body})
	if err != nil {
		return a, err
	}
	err = json.Unmarshal(body, &a)
	return a, err
}

// answerLast answers another worker.
func (e *Engine) answerLast(ctx context.Context, body []byte) ([]byte, error) {
	var q lastQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lastPatience)
	defer cancel()
	a, err := e.lastHere(ctx, q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(a)
}

// lastHere looks at the partition, when what is stored has been judged.
func (e *Engine) lastHere(ctx context.Context, q lastQuestion) (a lastAnswer, err error) {
	number := e.bus.Partition(q.Twin)
	_, end, err := e.bus.PartitionState(ctx, number)
	if err != nil {
		return a, err
	}
	var s *seat
	for {
		is, ok := e.seats.Load(number)
		if !ok {
			return lastAnswer{Elsewhere: true}, nil
		}
		if s = is.(*seat); s.judged.Load() >= end {
			break
		}
		if err := pause.For(ctx, readyPoll); err != nil {
			return a, fmt.Errorf("waiting for the partition to be judged: %w", err)
		}
	}
	err = e.worker.order(ctx, func(context.Context) error {
		if e.worker.seats[number] != s {
			a.Elsewhere = true
			return nil
		}
		a.At, a.Sample = s.at, s.lastOf(q)
		return nil
	})
	return a, err
}

// lastOf is a copy of what is asked for; nil when there is none.
func (p *partition) lastOf(q lastQuestion) *snapshotSample {
	m := p.twins[q.Twin]
	if m == nil {
		return nil
	}
	l := m.lastOf(q)
	if l == nil || l.seq == 0 {
		return nil
	}
	return &snapshotSample{l.at, l.seq, l.hops, slices.Clone(l.data)}
}

func (m *member) lastOf(q lastQuestion) *lastSample {
	if q.Interaction == "" {
		if f := m.feed(q.Feed); f != nil {
			return f.newest()
		}
		return nil
	}
	for _, b := range m.bindings {
		if b.program.ID() != q.Interaction {
			continue
		}
		for i := range b.outputs {
			if b.outputs[i].feed == q.Feed {
				return &b.outputs[i].lastSample
			}
		}
	}
	return nil
}

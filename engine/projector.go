package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// projector keeps the open alerts what the alerts in OUT make of them, and tells
// the routes of them. It owns its place in OUT: what it has taken in and what the
// router remembers are kept together, so that both go on from there. One
// goroutine runs it.
type projector struct {
	engine   *Engine
	router   *alerts.Router // nil: there are no routes
	position uint64         // of the last alert of OUT that was taken in
	outbox   []rules.Outcome
	caughtUp bool

	dirty   bool // position or router are not those that were kept
	savedAt time.Time
	saving  time.Duration // how long it took to keep them
	journal journal       // what the router was asked since then
}

// projection is the head of what is kept; the router's own state follows it.
type projection struct {
	Position uint64       `json:"position"`
	Outbox   []outboxItem `json:"outbox,omitempty"` // made, and perhaps not published
}

type outboxItem struct {
	ID      string          `json:"id"`
	Outcome json.RawMessage `json:"outcome"`
}

// recoverAlerts reads which alerts are open, and how far the projector has come.
func (e *Engine) recoverAlerts(ctx context.Context) error {
	e.board.clear()
	e.hush.clear()
	for doc, err := range e.bus.Alerts(ctx) {
		if err != nil {
			return err
		}
		r, err := alerts.DecodeRecord(doc)
		if err != nil {
			return fmt.Errorf("bucket alerts: %w", err)
		}
		e.board.load(&r)
	}
	p := &projector{engine: e}
	if len(e.config.Routes) > 0 {
		p.router = alerts.NewRouter(e.config.Routes)
	}
	state, err := e.bus.LoadRouter(ctx)
	if err == nil {
		err = p.load(state)
	}
	if err == nil {
		err = p.loadJournal(ctx, state)
	}
	if err != nil {
		return err
	}
	e.projector = p
	e.stats.projected.Store(p.position)
	return nil
}

func (p *projector) load(state []byte) error {
	if len(state) == 0 {
		return nil
	}
	text, rest, _ := bytes.Cut(state, []byte("\n"))
	var head projection
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("bucket router: %w", err)
	}
	p.position = head.Position
	var err error
	if p.outbox, err = readOutbox(head.Outbox); err != nil {
		return err
	}
	if p.router == nil || len(rest) == 0 {
		return nil
	}
	if err := p.router.Load(rest); err != nil {
		return fmt.Errorf("bucket router: %w", err)
	}
	return nil
}

func readOutbox(items []outboxItem) (outbox []rules.Outcome, err error) {
	for _, item := range items {
		o, err := rules.DecodeOutcome(item.Outcome)
		if err != nil {
			return nil, fmt.Errorf("bucket router: %w", err)
		}
		o.ID = item.ID
		outbox = append(outbox, o)
	}
	return outbox, nil
}

func (p *projector) outboxItems() (items []outboxItem) {
	for i := range p.outbox {
		items = append(items, outboxItem{p.outbox[i].ID, p.outbox[i].AppendJSON(nil)})
	}
	return items
}

func (p *projector) state() ([]byte, error) {
	head := projection{Position: p.position, Outbox: p.outboxItems()}
	b, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	if b = append(b, '\n'); p.router != nil {
		b = append(b, p.router.Save()...)
	}
	return b, nil
}

// run takes in alerts, from when the silences are known, and tells of them until
// ctx ends. The error of ctx is not one.
func (p *projector) run(ctx context.Context, reader *bus.AlertReader, silences <-chan struct{}) error {
	defer reader.Close()
	select {
	case <-silences:
	case <-ctx.Done():
		return nil
	}
	err := p.publish(ctx) // what was made and perhaps not told
	var batch []bus.AlertEvent
	for err == nil {
		if batch, err = reader.Next(ctx, p.patience(time.Now()), batch); err != nil {
			break
		}
		if err = p.takeIn(ctx, batch); err == nil {
			err = p.tell(ctx, len(batch) == 0)
		}
	}
	if ctx.Err() == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if p.dirty && len(p.journal.replay) == 0 {
		return p.save(ctx)
	}
	return nil
}

// patience is how long the projector waits for an alert before it looks what is
// due.
func (p *projector) patience(now time.Time) time.Duration {
	if p.router != nil && len(p.journal.replay) == 0 {
		if due := p.router.Due(); !due.IsZero() {
			return min(max(due.Sub(now), 0), idle)
		}
	}
	return idle
}

// takeIn brings the open alerts up to date. Taken in again after a crash, the
// same outcomes change nothing in the end.
func (p *projector) takeIn(ctx context.Context, batch []bus.AlertEvent) error {
	if len(batch) == 0 {
		return nil
	}
	changed := map[string]*alerts.Record{}
	for i := range batch {
		event := &batch[i]
		if event.Err != nil {
			p.engine.trouble(fmt.Errorf("alert at %d of OUT: %w", event.Seq, event.Err))
			continue
		}
		if r := p.engine.board.take(&event.Outcome); r != nil {
			changed[r.Outcome.Life.Fingerprint()] = r
		}
	}
	if err := p.keep(ctx, changed); err != nil {
		return err
	}
	for i := range batch {
		event := &batch[i]
		p.replay(event.Seq - 1)
		if p.router != nil && event.Err == nil {
			p.router.Take(&event.Outcome, event.Stored)
		}
	}
	p.position, p.dirty = batch[len(batch)-1].Seq, true
	p.engine.stats.projected.Store(p.position)
	return nil
}

// keep writes the records to the bucket.
func (p *projector) keep(ctx context.Context, changed map[string]*alerts.Record) error {
	changes := make([]bus.AlertChange, 0, len(changed))
	for _, fingerprint := range slices.Sorted(maps.Keys(changed)) {
		change := bus.AlertChange{Fingerprint: fingerprint}
		if r := changed[fingerprint]; r.Current() {
			change.Record = r.AppendJSON(nil)
		}
		changes = append(changes, change)
	}
	return retry(ctx, func(ctx context.Context) error {
		if !p.engine.pool.Sure() {
			return errUnsure
		}
		return p.engine.bus.ChangeAlerts(ctx, changes)
	}, p.engine.trouble)
}

// tell publishes the notifications that are due, and writes down where the
// projector is. What it is about to tell is written down first: after a crash it
// is told again under the same id, and nothing else is.
func (p *projector) tell(ctx context.Context, idle bool) error {
	if done, err := p.askedAgain(ctx, idle); !done || err != nil {
		return err
	}
	now := time.Now()
	if p.router != nil {
		if idle && !p.caughtUp {
			p.caughtUp = true
			p.retake(now)
		}
		p.flush(now)
	}
	if len(p.outbox) > 0 {
		if err := p.note(ctx); err != nil {
			return err
		}
		return p.publish(ctx)
	}
	if p.dirty && now.Sub(p.savedAt) >= max(saveEvery, saveShare*p.saving) {
		return p.save(ctx)
	}
	return nil
}

const (
	// saveEvery is how often the projector writes down where it is: what a crash
	// makes it take in again.
	saveEvery = time.Second
	// At most one part in saveShare of its time goes into that.
	saveShare = 20
)

// retake shows the router what fires, because its routes may have changed.
func (p *projector) retake(now time.Time) {
	for _, r := range p.engine.board.all() {
		if r.Outcome.State == rules.StateFiring {
			p.router.Take(&r.Outcome, now)
		}
	}
	p.dirty, p.journal.broken = true, true
}

func (p *projector) publish(ctx context.Context) error {
	for i := range p.outbox {
		if err := retry(ctx, func(ctx context.Context) error { return p.put(ctx, &p.outbox[i]) }, p.engine.trouble); err != nil {
			return err
		}
		p.dirty = true
	}
	p.outbox = nil
	return nil
}

// put publishes a notification. One that the bus never takes becomes a dead
// letter, so that it is not in the way of the others.
func (p *projector) put(ctx context.Context, o *rules.Outcome) error {
	err := p.engine.bus.PutNotification(ctx, o)
	if err == nil {
		p.engine.stats.notifications.Add(1)
		return nil
	}
	if !errors.Is(err, bus.ErrTooLarge) {
		return err
	}
	letter := bus.DeadLetter{Stage: bus.StageSink, Route: o.Topic, Reason: err.Error(), Twin: o.Twin, Data: o.AppendJSON(nil)}
	if err := p.engine.bus.Bury(ctx, letter); err != nil {
		return err
	}
	p.engine.stats.undelivered.Add(1)
	p.engine.stats.deadLetters.Add(1)
	p.engine.stats.buried(bus.StageSink, letterTooLarge)
	p.engine.log.Error().Str("route", o.Topic).Err(err).Msg("notification given up; kept as a dead letter")
	return nil
}

// save writes down the position and what the router remembers.
func (p *projector) save(ctx context.Context) error {
	began := time.Now()
	state, err := p.state()
	if err != nil {
		return err
	}
	if err := retry(ctx, func(ctx context.Context) error { return p.engine.bus.SaveRouter(ctx, state) }, p.engine.trouble); err != nil {
		return err
	}
	p.dirty, p.savedAt, p.saving = false, time.Now(), time.Since(began)
	p.journal = journal{base: sumOf(state), size: len(state)}
	p.engine.bus.Projected(p.position)
	return nil
}

// silenced says whether a silence quiets an alert now.
func (e *Engine) silenced(now time.Time) func(*rules.Outcome) bool {
	return silencedBy(e.Silences(), now)
}

func silencedBy(silences alerts.Silences, now time.Time) func(*rules.Outcome) bool {
	return func(o *rules.Outcome) bool {
		_, quiet := silences.Match(o, now)
		return quiet
	}
}

// projected says whether every alert that is decided has been taken in.
func (e *Engine) projected(ctx context.Context) (bool, error) {
	waits, err := e.bus.AlertsWait(ctx, e.stats.projected.Load())
	return !waits, err
}

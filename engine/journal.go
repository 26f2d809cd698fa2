package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tocsin.internal/alerts"
)

// journal is what the router was asked since its state was written down. A
// router does the same when it is asked the same, so where its state is large,
// the questions are written down instead, and asked again after a crash between
// the alerts of OUT where they were asked before.
type journal struct {
	base    string // the sum of the state that it goes on from; "" = none
	size    int    // of that state, in bytes
	asked   []question
	broken  bool // something else has happened to the router: only its state tells
	replay  []question
	written int // bytes since the state
}

// question is a flush of the router.
type question struct {
	Position uint64            `json:"position"` // of the last alert that was taken in before
	At       time.Time         `json:"at"`
	Silences []json.RawMessage `json:"silences,omitempty"` // those that were active
}

// journalDoc is how a journal is written.
type journalDoc struct {
	Base   string       `json:"base"`
	Outbox []outboxItem `json:"outbox"`
	Asked  []question   `json:"asked"`
}

const (
	// smallState is how large the router's state may be to be written every time.
	smallState = 256 << 10
	// journalMax is how many questions a journal has at most.
	journalMax = 1000
)

func sumOf(state []byte) string {
	sum := sha256.Sum256(state)
	return hex.EncodeToString(sum[:])
}

// flush asks the router what is due.
func (p *projector) flush(now time.Time) {
	due := p.router.Due()
	if due.IsZero() || now.Before(due) {
		return
	}
	q := question{Position: p.position, At: now}
	silences := p.engine.Silences()
	for i := range silences {
		if s := &silences[i]; !now.Before(s.StartsAt) && !s.Expired(now) {
			q.Silences = append(q.Silences, s.AppendJSON(nil))
		}
	}
	p.outbox = p.router.Flush(now, silencedBy(silences, now), p.outbox)
	p.dirty, p.journal.asked = true, append(p.journal.asked, q)
}

// note writes down what is about to be told, and how the router came to it.
func (p *projector) note(ctx context.Context) error {
	j := &p.journal
	if j.base == "" || j.broken || j.size <= smallState || len(j.asked) > journalMax || j.written > j.size {
		return p.save(ctx)
	}
	doc, err := json.Marshal(journalDoc{j.base, p.outboxItems(), j.asked})
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	j.written += len(doc)
	return retry(ctx, func(ctx context.Context) error { return p.engine.bus.SaveJournal(ctx, doc) }, p.engine.trouble)
}

// loadJournal reads what the router was asked after the state was written down.
func (p *projector) loadJournal(ctx context.Context, state []byte) error {
	text, err := p.engine.bus.LoadJournal(ctx)
	if err != nil || len(text) == 0 {
		return err
	}
	var doc journalDoc
	if err := json.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("bucket router: journal: %w", err)
	}
	if doc.Base != sumOf(state) {
		return nil // of a state before
	}
	if p.outbox, err = readOutbox(doc.Outbox); err != nil {
		return err
	}
	p.journal.replay = doc.Asked
	return nil
}

// replay asks the router again what it was asked when the alerts up to position
// had been taken in. What it answers has been told.
func (p *projector) replay(position uint64) {
	for len(p.journal.replay) > 0 && p.journal.replay[0].Position <= position {
		q := p.journal.replay[0]
		p.journal.replay = p.journal.replay[1:]
		if p.router != nil {
			p.router.Flush(q.At, silencedBy(p.silencesOf(q), q.At), nil)
		}
		p.dirty, p.journal.broken = true, true
	}
}

func (p *projector) silencesOf(q question) (silences alerts.Silences) {
	var errs []error
	for _, doc := range q.Silences {
		s, err := decodeSilence(doc)
		silences, errs = append(silences, s), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		p.engine.trouble(fmt.Errorf("bucket router: journal: %w", err))
	}
	return silences
}

// askedAgain says whether everything of the journal has been asked again. What
// OUT does not have any more is not waited for.
func (p *projector) askedAgain(ctx context.Context, idle bool) (bool, error) {
	p.replay(p.position)
	if len(p.journal.replay) > 0 && idle {
		if done, err := p.engine.projected(ctx); !done || err != nil {
			return false, err
		}
		p.replay(p.journal.replay[len(p.journal.replay)-1].Position)
	}
	return len(p.journal.replay) == 0, nil
}

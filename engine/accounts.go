package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
)

// people are the accounts as this worker knows them: who they are is asked of
// memory, what is changed is kept by the server first.
type people struct {
	changing sync.Mutex // held while a change is made, its I/O included

	mu        sync.RWMutex
	read      bool
	directory *accounts.Directory
	revisions map[string]bus.Revision // of documents, those that are gone too
}

func newPeople() *people {
	return &people{directory: accounts.NewDirectory(), revisions: map[string]bus.Revision{}}
}

// ErrNotRead says that the engine has not read yet what it is asked about.
var ErrNotRead = errors.New("the accounts are not read yet")

// Identify says who shows the secret of a user; false when it is nobody's. The
// error is [ErrNotRead].
func (e *Engine) Identify(secret string) (who accounts.Identity, known bool, err error) {
	p := e.people
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.read {
		return accounts.Identity{}, false, ErrNotRead
	}
	who, known = p.directory.Identify(secret, time.Now())
	return who, known, nil
}

// LookUp lets look see the accounts, which it neither changes nor keeps. The
// error is that of look, or [ErrNotRead].
func (e *Engine) LookUp(look func(*accounts.Directory) error) error {
	p := e.people
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.read {
		return ErrNotRead
	}
	return look(p.directory)
}

// ChangeAccounts keeps the documents that decide makes of what is there, in their
// order. Nobody else changes any of them meanwhile: else decide is asked again.
// An error of decide leaves everything as it was.
func (e *Engine) ChangeAccounts(ctx context.Context, decide func(there *accounts.Directory, now time.Time) ([]accounts.Document, error)) error {
	e.people.changing.Lock()
	defer e.people.changing.Unlock()
	for {
		var docs []accounts.Document
		var there []bus.Revision // of what decide has seen
		err := e.LookUp(func(d *accounts.Directory) (err error) {
			docs, err = decide(d, time.Now().UTC().Truncate(time.Millisecond))
			for _, doc := range docs {
				there = append(there, e.people.revisions[doc.ID])
			}
			return err
		})
		for i := 0; i < len(docs) && err == nil; i++ {
			err = e.keepAccount(ctx, docs[i], there[i])
		}
		if !errors.Is(err, bus.ErrOvertaken) {
			return err
		}
		for _, doc := range docs { // another worker was first: what it has kept counts
			text, revision, err := e.bus.Document(ctx, bus.Accounts, doc.ID)
			if err != nil {
				return err
			}
			e.noteAccount(doc.ID, text, revision)
		}
	}
}

// keepAccount keeps a document in place of the one with a revision.
func (e *Engine) keepAccount(ctx context.Context, doc accounts.Document, revision bus.Revision) error {
	if doc.Text == "" {
		if err := e.bus.DeleteDocument(ctx, bus.Accounts, doc.ID, revision); err != nil {
			return err
		}
		revision++ // that of the mark of its deletion is at least this
	} else {
		var err error
		if revision, err = e.bus.PutDocument(ctx, bus.Accounts, doc.ID, doc.Text, revision); err != nil {
			return err
		}
	}
	e.noteAccount(doc.ID, doc.Text, revision)
	return nil
}

// noteAccount takes in a document, unless a newer one is known.
func (e *Engine) noteAccount(id, text string, revision bus.Revision) {
	p := e.people
	p.mu.Lock()
	defer p.mu.Unlock()
	if revision < p.revisions[id] {
		return
	}
	p.revisions[id] = revision
	if err := p.directory.Apply(accounts.Document{ID: id, Text: text}); err != nil {
		e.trouble(fmt.Errorf("accounts: %w", err))
	}
	if office := e.post.Load(); text == "" && office != nil {
		office.sweepSoon()
	}
}

// removed says whether there was such a user, or such an account, and is no more.
// Of who was never kept, such as an API key, it says no.
func (p *people) removed(account, user string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.directory.Removed(account, user)
}

// named is the name of a user, or its id where it has none.
func (p *people) named(user string) string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return cmp.Or(p.directory.NameOf(user), user)
}

// followAccounts keeps what this worker knows as the server has it.
func (e *Engine) followAccounts(ctx context.Context) {
	e.bus.WatchDocuments(ctx, bus.Accounts, e.noteAccount, func() {
		e.people.mu.Lock()
		defer e.people.mu.Unlock()
		e.people.read = true
		if office := e.post.Load(); office != nil {
			office.sweepSoon()
		}
	})
}

// knowsAccounts says whether those that there are have been read, the own one with
// them where this worker makes it.
func (e *Engine) knowsAccounts() bool {
	e.people.mu.RLock()
	defer e.people.mu.RUnlock()
	d := e.atDesk()
	return e.people.read && (d == nil || closed(d.founded))
}

// found makes the own account where there is none, and invites its first user.
func (e *Engine) found(ctx context.Context, d *desk) error {
	err := retry(ctx, func(ctx context.Context) error {
		return e.ChangeAccounts(ctx, func(d *accounts.Directory, now time.Time) ([]accounts.Document, error) { return d.Founding(now), nil })
	}, e.founding)
	if err != nil {
		return nil //nolint:nilerr // ctx ended
	}
	close(d.founded)
	if e.config.Invite == nil {
		return nil
	}
	var pin string
	var until time.Time
	err = retry(ctx, func(ctx context.Context) error {
		return e.ChangeAccounts(ctx, func(d *accounts.Directory, now time.Time) ([]accounts.Document, error) {
			if pin = ""; !d.Empty(now) {
				return nil, nil
			}
			var user *accounts.User
			var err error
			if pin, user, err = d.Invite(now); err != nil {
				return nil, err
			}
			until = user.PIN.Until
			return []accounts.Document{user.Document()}, nil
		})
	}, e.founding)
	if err == nil && pin != "" {
		e.config.Invite(pin, until)
	}
	return nil
}

// founding logs why the own account is not there yet, but for what passes by itself.
func (e *Engine) founding(err error) {
	if !errors.Is(err, ErrNotRead) {
		e.trouble(err)
	}
}

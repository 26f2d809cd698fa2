package iotics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tocsin.internal/internal/stompclient"
	"tocsin.internal/sources"
	"tocsin.internal/space"
)

const (
	// perLink is how many feeds one connection follows.
	perLink = 100
	// most is how many samples are handed to emit at once.
	most = 500
	// longestBlock bounds how long a feed is left out that the host does not let us follow.
	longestBlock = time.Hour
	// handover is how long an old connection may take to bring what the host has begun to send.
	handover = 30 * time.Second
	// mostEarly bounds the bytes of what a host sends before it has said yes to everything.
	mostEarly = 64 << 20
)

// Run follows until ctx ends. A host that is not there, or goes away, is waited
// for as long as it takes. The error says that the host, before anything ever
// worked, does not want to know us.
func (s *source) Run(ctx context.Context, emit sources.Emit) error {
	client, err := space.New(s.Config.Config)
	if err != nil {
		return fmt.Errorf("iotics source: %w", err)
	}
	defer client.Close()
	g, work := errgroup.WithContext(ctx)
	r := &reading{source: s, client: client, emit: emit, group: g, feeds: map[space.Feed]*followed{}, follower: s.Follower, connected: make(chan struct{}, 1)}
	g.Go(func() error { return r.manage(work) })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("iotics source %s: %w", client.Name(), err)
	}
	return nil
}

// search is the part of the host that is asked what to follow. Links and feeds that
// may not be followed are parts, too.
const search = "search"

// reading is one call of Run. One goroutine manages: it searches, and gives feeds
// to links. Each link has a goroutine that reads.
type reading struct {
	*source
	client *space.Client
	emit   sources.Emit
	group  *errgroup.Group
	linked atomic.Bool // the host has let us follow something

	connected chan struct{} // a value when a link has a new connection

	// Of the manager alone.
	feeds    map[space.Feed]*followed
	links    []*link
	number   int
	follower string
	hostID   string
	worked   bool // the host has answered a search, or there is none
}

// manage searches every now and then, and shows new tokens before the old ones end.
func (r *reading) manage(ctx context.Context) error {
	var backoff sources.Backoff
	for {
		err := r.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			r.worked = true
			backoff.Reset()
			r.Reached(search)
		case !r.worked && isRefused(err):
			return err
		default:
			r.Lost(search, fmt.Errorf("%s: looking for feeds: %w", r.client.Name(), err))
			if backoff.Wait(ctx) != nil {
				return nil
			}
			continue
		}
		next := time.Now().Add(r.Refresh)
		for now := time.Now(); now.Before(next); now = time.Now() {
			if r.wait(ctx, min(next.Sub(now), r.tokenDue(now))) != nil {
				return nil
			}
			r.renew(ctx)
		}
	}
}

// wait is pause.For until a link has a connection, whose token may end soon.
func (r *reading) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.connected:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// isRefused says that the host does not want to know us.
func isRefused(err error) bool {
	if e, ok := errors.AsType[*space.Error](err); ok {
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	}
	_, ok := errors.AsType[*stompclient.ServerError](err)
	return ok
}

// refresh finds out what to follow, and follows that.
func (r *reading) refresh(ctx context.Context) error {
	if err := r.introduce(ctx); err != nil {
		return err
	}
	wanted, err := r.wanted(ctx)
	if err != nil {
		return err
	}
	for feed, f := range r.feeds {
		if !wanted[feed] {
			f.link.remove(f)
			delete(r.feeds, feed)
			r.Reached(f)
		}
	}
	var added []*followed
	for feed := range wanted {
		if r.feeds[feed] == nil {
			f := &followed{feed: feed, twin: r.local(feed), destination: feed.Destination(r.followerOf(feed))}
			r.feeds[feed] = f
			added = append(added, f)
		}
	}
	slices.SortFunc(added, func(a, b *followed) int { return compare(a.feed, b.feed) })
	for _, f := range added {
		r.number++
		f.number, f.id = r.number, "tocsin-"+strconv.Itoa(r.number)
	}
	r.place(ctx, added)
	now := time.Now()
	r.links = slices.DeleteFunc(r.links, func(l *link) bool { return l.tidy(now) })
	return nil
}

func compare(a, b space.Feed) int {
	return slices.Compare([]string{a.Host, a.Twin, a.ID}, []string{b.Host, b.Twin, b.ID})
}

// introduce makes the twin that follows, once.
func (r *reading) introduce(ctx context.Context) error {
	if r.FollowerKey == "" || r.follower != "" {
		return nil
	}
	twin, err := r.client.Twin(ctx, r.FollowerKey)
	if err != nil {
		return err
	}
	if err := r.client.Create(ctx, twin); err != nil {
		return err
	}
	r.follower = twin
	return nil
}

func (r *reading) followerOf(f space.Feed) string {
	if r.follower != "" {
		return r.follower
	}
	return f.Twin
}

// wanted is what is to be followed now.
func (r *reading) wanted(ctx context.Context) (map[space.Feed]bool, error) {
	wanted := map[space.Feed]bool{}
	for _, t := range r.Follow {
		wanted[space.Feed{Host: t.Host, Twin: t.Twin, ID: t.Feed}] = true
	}
	if r.Filter == nil {
		return wanted, nil
	}
	found, err := r.client.Search(ctx, r.Filter.AppendJSON(nil), r.Scope)
	if err != nil {
		return nil, err
	}
	if r.Scope == space.Global && r.hostID == "" {
		if r.hostID, err = r.client.HostID(ctx); err != nil {
			return nil, err
		}
	}
	for _, t := range found {
		if r.Scope == space.Local || t.Host == r.hostID {
			t.Host = ""
		}
		for _, feed := range t.Feeds {
			if len(r.Feeds) == 0 || slices.Contains(r.Feeds, feed) {
				wanted[space.Feed{Host: t.Host, Twin: t.Twin, ID: feed}] = true
			}
		}
	}
	return wanted, nil
}

// place gives feeds to links that have room, and to new ones.
func (r *reading) place(ctx context.Context, added []*followed) {
	for _, l := range r.links {
		n := min(perLink-l.size(), len(added))
		l.add(added[:n])
		added = added[n:]
	}
	for piece := range slices.Chunk(added, perLink) {
		l := newLink(ctx, r)
		r.Lost(l, sources.ErrConnecting)
		l.add(piece)
		r.links = append(r.links, l)
		r.group.Go(l.run)
	}
}

// tokenDue is how long it takes until a token has to be made anew.
func (r *reading) tokenDue(now time.Time) time.Duration {
	due := r.Refresh
	for _, l := range r.links {
		if until := l.tokenEnd(); !until.IsZero() {
			due = min(due, max(until.Add(-r.client.Lead()).Sub(now), r.client.Lead()/8))
		}
	}
	return due
}

// renew opens new connections for those whose token is about to end. The old
// ones go on until then, so that nothing is missed.
func (r *reading) renew(ctx context.Context) {
	for _, l := range r.links {
		until := l.tokenEnd()
		if !until.IsZero() && time.Now().Add(r.client.Lead()).After(until) {
			l.renew(ctx)
		}
	}
}

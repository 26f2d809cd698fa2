package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/subscriptions"
)

// ErrNoSubscription is what the error wraps when there is no such subscription,
// or none that the token is of.
var ErrNoSubscription = errors.New("no such subscription")

// maxSubscriptions is how many subscriptions an account may have.
const maxSubscriptions = 100_000

// ErrTooMany is what the error wraps when there are as many as there may be.
var ErrTooMany = errors.New("too many")

// subscribers are the subscriptions, as far as this worker at the desk knows them.
type subscribers struct {
	mu      sync.RWMutex
	byID    map[string]*subscriber
	byTopic map[string]map[string]*subscriber // topic, id
	held    map[string]int                    // how many each account has
	gone    map[string]bus.Revision           // when those that have lately gone did
}

// subscriber is a subscription and the revision of its document. It is never changed.
type subscriber struct {
	*subscriptions.Subscription
	revision bus.Revision
}

func newSubscribers() *subscribers {
	return &subscribers{byID: map[string]*subscriber{}, byTopic: map[string]map[string]*subscriber{}, held: map[string]int{}, gone: map[string]bus.Revision{}}
}

// set takes in what a document has become; nil: it is gone. What is older than
// what is known already changes nothing.
func (s *subscribers) set(id string, is *subscriptions.Subscription, r bus.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byID[id]
	if old != nil && old.revision >= r || s.gone[id] >= r {
		return
	}
	if old != nil {
		delete(s.byTopic[old.Topic], id)
		if len(s.byTopic[old.Topic]) == 0 {
			delete(s.byTopic, old.Topic)
		}
		if s.held[old.Account]--; s.held[old.Account] == 0 {
			delete(s.held, old.Account)
		}
		delete(s.byID, id)
	}
	if is == nil {
		s.gone[id] = r
		return
	}
	now := &subscriber{is, r}
	s.byID[id] = now
	s.held[is.Account]++
	if s.byTopic[is.Topic] == nil {
		s.byTopic[is.Topic] = map[string]*subscriber{}
	}
	s.byTopic[is.Topic][id] = now
}

// get is the subscription with an id; nil when there is none.
func (s *subscribers) get(id string) *subscriptions.Subscription {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if is := s.byID[id]; is != nil {
		return is.Subscription
	}
	return nil
}

func (s *subscribers) count(account string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.held[account]
}

// told are those that are told of a notice now.
func (s *subscribers) told(n *subscriptions.Notice, now time.Time) (ids []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id, is := range s.byTopic[n.Topic] {
		if is.State == subscriptions.Confirmed && is.Alive(now) && is.Takes(n) {
			ids = append(ids, id)
		}
	}
	return ids
}

// all are the subscriptions in the order of their making.
func (s *subscribers) all() (out []*subscriptions.Subscription) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, is := range s.byID {
		out = append(out, is.Subscription)
	}
	slices.SortFunc(out, func(a, b *subscriptions.Subscription) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// ended are those that are over. What has gone before it was asked last is forgotten.
func (s *subscribers) ended(over func(*subscriptions.Subscription) bool) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.gone)
	for id, is := range s.byID {
		if over(is.Subscription) {
			ids = append(ids, id)
		}
	}
	return ids
}

// followSubscribers keeps the subscriptions, calls ready when it knows all of them,
// and goes on until ctx ends.
func (e *Engine) followSubscribers(ctx context.Context, s *subscribers, ready func()) {
	e.bus.WatchDocuments(ctx, bus.Subscriptions, func(id, text string, r bus.Revision) {
		if text == "" {
			s.set(id, nil, r)
			return
		}
		is, err := subscriptions.Decode(text)
		if err != nil {
			e.log.Error().Str("subscription", id).Err(err).Msg("a subscription cannot be read; it is told nothing")
			return
		}
		s.set(id, is, r)
	}, ready)
}

// office is who delivers to subscribers; an error when another worker does, or
// none yet.
func (e *Engine) office(ctx context.Context) (*post, error) {
	if err := e.awaitDesk(ctx); err != nil {
		return nil, err
	}
	p := e.post.Load()
	if p == nil {
		return nil, ErrNotAtDesk
	}
	select {
	case <-p.open:
		return p, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the subscriptions: %w", context.Cause(ctx))
	}
}

// editSubscription keeps what edit makes of a subscription, nil for none.
func (e *Engine) editSubscription(ctx context.Context, p *post, id string, edit func(there *subscriptions.Subscription) (*subscriptions.Subscription, error)) error {
	err := e.editDocument(ctx, bus.Subscriptions, id, func(text string) (string, error) {
		var there *subscriptions.Subscription
		var err error
		if text != "" {
			if there, err = subscriptions.Decode(text); err != nil {
				return "", err
			}
		}
		is, err := edit(there)
		if err != nil || is == nil {
			return "", err
		}
		return is.Encode(), nil
	})
	if err != nil {
		return err
	}
	text, revision, err := e.bus.Document(ctx, bus.Subscriptions, id)
	if err != nil {
		return err
	}
	if text == "" {
		p.subscribers.set(id, nil, revision)
		return nil
	}
	is, err := subscriptions.Decode(text)
	if err == nil {
		p.subscribers.set(id, is, revision)
	}
	return err
}

// SubscribeWebhook subscribes somebody, or somebody again, and asks the endpoint to
// confirm it where it has not. The error may wrap subscriptions.ErrRequest,
// outbound.ErrForbidden or ErrTooMany.
func (e *Engine) SubscribeWebhook(ctx context.Context, who subscriptions.Subscriber, r subscriptions.Request) (*subscriptions.Subscription, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	p, err := e.office(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.client.Check(ctx, r.CallbackURL); err != nil {
		return nil, err
	}
	now, id := time.Now(), subscriptions.IDOf(who, &r)
	if p.subscribers.get(id) == nil && p.subscribers.count(who.Account) >= maxSubscriptions {
		return nil, fmt.Errorf("%w: the account has %d subscriptions", ErrTooMany, maxSubscriptions)
	}
	var is *subscriptions.Subscription
	var asked []bus.Job
	err = e.editSubscription(ctx, p, id, func(there *subscriptions.Subscription) (*subscriptions.Subscription, error) {
		is, asked = subscriptions.Subscribe(there, who, &r, now), nil
		if is.State == subscriptions.Confirmed {
			return is, nil
		}
		// The job first: one of a subscription that did not come to be is dropped.
		asked = []bus.Job{{Subscription: id, ID: is.Confirmation(now).ID, Data: confirmationJob}}
		return is, e.bus.PutJobs(ctx, asked)
	})
	if err != nil {
		return nil, err
	}
	p.put(asked, now)
	return is, nil
}

// claimed does something to the subscription that a token is of. The error may
// wrap ErrNoSubscription.
func (e *Engine) claimed(ctx context.Context, token string, edit func(is *subscriptions.Subscription, now time.Time) (*subscriptions.Subscription, error)) (out *subscriptions.Subscription, err error) {
	claim, ok := subscriptions.ReadToken(token)
	if !ok {
		return nil, ErrNoSubscription
	}
	p, err := e.office(ctx)
	if err != nil {
		return nil, err
	}
	err = e.editSubscription(ctx, p, claim.ID, func(there *subscriptions.Subscription) (*subscriptions.Subscription, error) {
		now := time.Now()
		if there == nil || !there.Proves(claim) || !there.Alive(now) || there.State == subscriptions.Disabled || p.orphaned(there) {
			return nil, ErrNoSubscription
		}
		is, err := edit(there, now)
		out = cmp.Or(is, there)
		return is, err
	})
	return out, err
}

// ConfirmSubscription confirms the subscription that a token is of; one that is
// confirmed stays so. The error may wrap ErrNoSubscription.
func (e *Engine) ConfirmSubscription(ctx context.Context, token string) (*subscriptions.Subscription, error) {
	return e.claimed(ctx, token, func(is *subscriptions.Subscription, now time.Time) (*subscriptions.Subscription, error) {
		return is.Confirm(now), nil
	})
}

// RefreshSubscription lets the subscription that a token is of, and that is
// confirmed, hold for longer. The error may wrap ErrNoSubscription or
// subscriptions.ErrRequest.
func (e *Engine) RefreshSubscription(ctx context.Context, token string, r subscriptions.Request) (*subscriptions.Subscription, error) {
	return e.claimed(ctx, token, func(is *subscriptions.Subscription, now time.Time) (*subscriptions.Subscription, error) {
		if is.State != subscriptions.Confirmed {
			return nil, ErrNoSubscription
		}
		return is.Refresh(&r, now)
	})
}

// EndSubscription ends the subscription that a token is of. The error may wrap
// ErrNoSubscription.
func (e *Engine) EndSubscription(ctx context.Context, token string) (*subscriptions.Subscription, error) {
	is, err := e.claimed(ctx, token, func(*subscriptions.Subscription, time.Time) (*subscriptions.Subscription, error) { return nil, nil })
	if err == nil {
		e.forgetQueue(ctx, is.ID)
	}
	return is, err
}

// forgetQueue forgets what waits for a subscription that has ended.
func (e *Engine) forgetQueue(ctx context.Context, id string) {
	if p := e.post.Load(); p != nil {
		p.poke(id)
	}
	if err := e.bus.EndDeliveries(ctx, id); err != nil {
		e.trouble(err) // the post office forgets it later
	}
}

// SubscriptionStatus is a subscription as operators see it: without its secrets.
type SubscriptionStatus struct {
	ID          string                 `json:"id"`
	Account     string                 `json:"account"`
	User        string                 `json:"user,omitempty"`
	Topic       string                 `json:"topic"`
	CallbackURL string                 `json:"callbackUrl"` // without its query
	State       subscriptions.State    `json:"state"`
	Reason      string                 `json:"reason,omitempty"` // why it is disabled
	Signed      bool                   `json:"signed"`           // its messages have a hash
	Created     time.Time              `json:"created"`
	Expires     time.Time              `json:"expires"`
	Waiting     int                    `json:"waiting"`        // messages that have not been delivered
	Breaker     string                 `json:"breaker"`        // closed or open
	Last        *subscriptions.Attempt `json:"last,omitempty"` // attempt
}

// Subscriptions are all of them.
func (e *Engine) Subscriptions(ctx context.Context) ([]SubscriptionStatus, error) {
	p, err := e.office(ctx)
	if err != nil {
		return nil, err
	}
	out := []SubscriptionStatus{}
	for _, is := range p.subscribers.all() {
		if is.Alive(time.Now()) {
			out = append(out, p.status(is))
		}
	}
	return out, nil
}

// Deliveries are the last attempts to deliver something to a subscription, the
// newest first. The error may wrap ErrNoSubscription.
func (e *Engine) Deliveries(ctx context.Context, id string) ([]subscriptions.Attempt, error) {
	if _, err := e.subscription(ctx, id); err != nil {
		return nil, err
	}
	kept, err := e.bus.Attempts(ctx, id)
	if err != nil {
		return nil, err
	}
	out := make([]subscriptions.Attempt, len(kept))
	for i, text := range kept {
		if err := json.Unmarshal(text, &out[i]); err != nil {
			return nil, fmt.Errorf("subscription %s: %w", id, err)
		}
	}
	return out, nil
}

func (e *Engine) subscription(ctx context.Context, id string) (*post, error) {
	p, err := e.office(ctx)
	if err == nil && p.subscribers.get(id) == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoSubscription, id)
	}
	return p, err
}

// RetrySubscription tries at once what waits for its next attempt. The error may
// wrap ErrNoSubscription.
func (e *Engine) RetrySubscription(ctx context.Context, id string) error {
	p, err := e.subscription(ctx, id)
	if err == nil {
		p.hurry(id)
	}
	return err
}

// DeleteSubscription ends a subscription. The error may wrap ErrNoSubscription.
func (e *Engine) DeleteSubscription(ctx context.Context, id string) error {
	p, err := e.subscription(ctx, id)
	if err != nil {
		return err
	}
	if err := e.editSubscription(ctx, p, id, func(*subscriptions.Subscription) (*subscriptions.Subscription, error) { return nil, nil }); err != nil {
		return err
	}
	e.forgetQueue(ctx, id)
	return nil
}

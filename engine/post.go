package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/internal/outbound"
	"tocsin.internal/internal/standardwebhooks"
	"tocsin.internal/subscriptions"
)

const (
	// carriers are how many messages are posted at a time, of which those to
	// endpoints whose last attempt has failed have at most half.
	carriers = 512
	suspects = carriers / 2
	// bagged is how many messages of a subscription wait in memory; the others do
	// in the stream alone.
	bagged = 32
	// overEvery is how often subscriptions that are over go.
	overEvery = 30 * time.Second
	// tidyEvery is how often what was delivered is removed from the stream, of so
	// many subscriptions at most.
	tidyEvery = time.Second
	tidyMost  = 500
)

// post is the post office: one worker's, at the desk. It makes a job of each
// notice for each of its subscribers, and delivers them: one at a time to each, in
// their order. What has failed stays the first of its queue.
type post struct {
	engine      *Engine
	subscribers *subscribers
	client      *outbound.Client
	retry       []time.Duration
	open        chan struct{} // closed when it knows what there is
	over        chan struct{} // has one when subscriptions may be over before their time

	mu      sync.Mutex
	some    sync.Cond
	lines   map[string]*line
	ready   [2][]*line // to be delivered to: those that are well, and those that are not
	unwell  int        // that are being delivered to
	dirty   []*line    // with jobs that are done in the stream
	closed  bool
	waiting int // jobs
}

// line is the queue of one subscription. The office's lock guards it; while it is
// busy, what is in hand belongs to its carrier.
type line struct {
	id      string
	jobs    []bus.Job // that come next
	more    bool      // others may follow them in the stream
	waiting int       // jobs, here and in the stream
	last    subscriptions.Attempt
	done    uint64 // the last job that is
	queued  bool   // it is ready, or busy
	again   bool   // something came while it was busy
	hurried bool   // it was asked to try at once while it was busy
	timer   *time.Timer
	dirty   bool
}

func newPost(e *Engine) *post {
	p := &post{
		engine: e, subscribers: newSubscribers(), client: e.config.Outbound, retry: e.config.SubscriberRetry,
		open: make(chan struct{}), over: make(chan struct{}, 1), lines: map[string]*line{},
	}
	p.some.L = &p.mu
	return p
}

// runPost is the post office's time at the desk.
func (e *Engine) runPost(ctx context.Context, run func(func(context.Context) error)) {
	p := newPost(e)
	known := make(chan struct{})
	run(func(ctx context.Context) error {
		e.followSubscribers(ctx, p.subscribers, sync.OnceFunc(func() { close(known) }))
		return nil
	})
	e.post.Store(p)
	run(e.tellNotices)
	run(func(ctx context.Context) error {
		defer e.post.CompareAndSwap(p, nil)
		select {
		case <-known:
		case <-ctx.Done():
			return nil
		}
		return p.run(ctx)
	})
}

// run works until ctx ends and what is under way has been answered.
func (p *post) run(ctx context.Context) error {
	notices, err := p.begin(ctx)
	if err != nil {
		return nil //nolint:nilerr // it was only stopped
	}
	defer notices.Close()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		p.close()
		time.AfterFunc(p.engine.config.DrainTimeout, cancel)
	})()
	var all sync.WaitGroup
	for range carriers {
		all.Go(func() {
			for l, unwell := p.take(); l != nil; l, unwell = p.take() {
				p.release(l, unwell, p.turn(work, l))
			}
		})
	}
	all.Go(func() { p.tidy(ctx) })
	p.sweepSoon()
	close(p.open)
	p.sort(ctx, notices)
	all.Wait()
	return nil
}

// begin reads what waits, after it has finished with the notice that the worker
// before may have left half done: only then is anything delivered of it.
func (p *post) begin(ctx context.Context) (notices *bus.NoticeReader, err error) {
	trouble := p.engine.trouble
	err = retry(ctx, func(ctx context.Context) (err error) {
		notices, err = p.engine.bus.ReadNotices(ctx)
		return err
	}, trouble)
	if err == nil {
		err = retry(ctx, func(ctx context.Context) error { return p.catchUp(ctx, notices) }, trouble)
	}
	if err == nil {
		err = retry(ctx, p.recall, trouble)
	}
	if err != nil && notices != nil {
		notices.Close()
	}
	return notices, err
}

// catchUp makes the jobs of the notices that are there.
func (p *post) catchUp(ctx context.Context, notices *bus.NoticeReader) error {
	for {
		if waits, err := notices.Waits(ctx); err != nil || !waits {
			return err
		}
		batch, err := notices.Next(ctx, time.Second, nil)
		if err == nil && len(batch) > 0 {
			err = p.all(ctx, notices, batch, func([]bus.Job, time.Time) {})
		}
		if err != nil {
			return err
		}
	}
}

// recall reads what waits for each subscription, and where its queue stands.
func (p *post) recall(ctx context.Context) error {
	lines := map[string]*line{}
	at := func(id string) *line {
		if lines[id] == nil {
			lines[id] = &line{id: id}
		}
		return lines[id]
	}
	err := p.engine.bus.Queues(ctx, func(id string, attempt []byte) {
		if l := at(id); json.Unmarshal(attempt, &l.last) == nil {
			l.done = l.last.Done()
		}
	}, func(id string, seq uint64) {
		if l := at(id); seq > l.done {
			l.waiting++
			l.more = true
		} else if !l.dirty {
			l.dirty = true
		}
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines, p.dirty, p.waiting, p.ready = lines, nil, 0, [2][]*line{}
	for _, l := range lines {
		p.waiting += l.waiting
		if l.dirty {
			p.dirty = append(p.dirty, l)
		}
		p.enqueue(l)
	}
	return nil
}

// sort makes jobs of the notices that come, until ctx ends or another worker does.
func (p *post) sort(ctx context.Context, notices *bus.NoticeReader) {
	var batch []bus.StoredNotice
	for {
		var err error
		if batch, err = notices.Next(ctx, time.Minute, batch); err == nil && len(batch) > 0 {
			err = p.all(ctx, notices, batch, p.put)
		}
		if err != nil {
			return
		}
	}
}

// all makes the jobs of a batch of notices, and has them delivered when it is
// known that they are not made again. The error is that of ctx, or wraps
// bus.ErrOvertaken: another worker does it.
func (p *post) all(ctx context.Context, notices *bus.NoticeReader, batch []bus.StoredNotice, put func([]bus.Job, time.Time)) error {
	var jobs []bus.Job
	for i := range batch {
		jobs = append(jobs, p.jobs(&batch[i])...)
	}
	err := retry(ctx, func(ctx context.Context) error { return p.engine.bus.PutJobs(ctx, jobs) }, p.engine.trouble)
	overtaken := false
	if err == nil {
		err = retry(ctx, func(ctx context.Context) error {
			err := notices.Done(ctx, batch[len(batch)-1].Seq)
			if overtaken = errors.Is(err, bus.ErrOvertaken); overtaken {
				return nil
			}
			return err
		}, p.engine.trouble)
	}
	if overtaken {
		return bus.ErrOvertaken
	}
	if err == nil {
		put(jobs, time.Now())
	}
	return err
}

// job is what is kept in the stream of something that is to be delivered.
type job struct {
	Notice string          `json:"notice,omitempty"` // its id; "": the subscription is to be confirmed
	Body   json.RawMessage `json:"body,omitempty"`
}

var confirmationJob = []byte("{}")

// jobs are those of a notice.
func (p *post) jobs(stored *bus.StoredNotice) (jobs []bus.Job) {
	n, err := subscriptions.DecodeNotice(stored.ID, stored.Body)
	if err != nil {
		p.engine.log.Error().Err(err).Msg("nobody is told of it")
		return nil
	}
	told := p.subscribers.told(n, time.Now())
	if len(told) == 0 {
		return nil
	}
	body, err := n.Public().Encode() // who else is told is no matter of theirs
	if err != nil {
		return nil // what was read is JSON
	}
	text, err := json.Marshal(job{stored.ID, body})
	if err != nil {
		return nil // so is this
	}
	for _, id := range told {
		jobs = append(jobs, bus.Job{Subscription: id, ID: stored.ID, Data: text})
	}
	return jobs
}

// put has jobs delivered that are in the stream. Those of one subscription come in
// their order.
func (p *post) put(jobs []bus.Job, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range jobs {
		j := jobs[i]
		j.Stored = now
		l := p.line(j.Subscription)
		l.waiting++
		p.waiting++
		if j.Seq == 0 || l.more || len(l.jobs) >= bagged {
			l.more = true // it is somewhere in the stream
		} else {
			l.jobs = append(l.jobs, j)
		}
		p.enqueue(l)
	}
	p.some.Broadcast()
}

// poke lets a subscription have a turn, in which it is forgotten where it is over.
func (p *post) poke(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.line(id)
	l.more = true
	l.last.Next = time.Time{}
	l.hurried = true
	p.enqueue(l)
	p.some.Broadcast()
}

// hurry tries at once what waits for its next attempt.
func (p *post) hurry(id string) {
	p.mu.Lock()
	known := p.lines[id] != nil
	p.mu.Unlock()
	if known {
		p.poke(id)
	}
}

func (p *post) line(id string) *line {
	l := p.lines[id]
	if l == nil {
		l = &line{id: id}
		p.lines[id] = l
	}
	return l
}

// enqueue lets a line have its turn, when it is time and there is something.
func (p *post) enqueue(l *line) {
	if l.queued {
		l.again = true
		return
	}
	if len(l.jobs) == 0 && !l.more || p.closed {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if wait := time.Until(l.last.Next); wait > 0 && !l.last.Next.IsZero() {
		l.timer = time.AfterFunc(wait, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.enqueue(l)
			p.some.Signal()
		})
		return
	}
	l.queued = true
	p.ready[l.health()] = append(p.ready[l.health()], l)
}

// health is 0 of a line that is well, 1 of one whose last attempt has failed.
func (l *line) health() int { return min(l.last.Failures, 1) }

// take waits for a line that is to be delivered to; nil when there is nothing to
// do any more.
func (p *post) take() (l *line, unwell bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return nil, false
		case len(p.ready[0]) > 0:
			l, p.ready[0] = p.ready[0][0], p.ready[0][1:]
			l.hurried = false
			return l, false
		case len(p.ready[1]) > 0 && p.unwell < suspects:
			l, p.ready[1] = p.ready[1][0], p.ready[1][1:]
			l.hurried = false
			p.unwell++
			return l, true
		}
		p.some.Wait()
	}
}

// release takes a line back after its turn. One that is over is forgotten, unless
// something has come for it.
func (p *post) release(l *line, unwell, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unwell {
		p.unwell--
	}
	l.queued = false
	if over && !l.again {
		p.waiting -= l.waiting
		delete(p.lines, l.id)
		return
	}
	l.again = false
	p.enqueue(l)
	p.some.Signal()
}

// close lets nothing more begin.
func (p *post) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.lines {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	p.some.Broadcast()
}

// turn delivers the next job of a line, and says whether the line is over.
func (p *post) turn(ctx context.Context, l *line) (over bool) {
	j, ok, err := p.next(ctx, l)
	is := p.subscribers.get(l.id)
	switch {
	case err != nil:
	case !ok && is == nil:
		err = p.engine.bus.EndDeliveries(ctx, l.id)
		over = err == nil
	case !ok:
	case is == nil || is.State == subscriptions.Disabled || p.orphaned(is):
		if err = p.engine.bus.EndJobs(ctx, l.id, j.Seq); err == nil {
			p.advance(l, &j)
		}
	default:
		p.deliver(ctx, l, is, &j)
	}
	if err != nil {
		p.engine.trouble(err)
		p.pause(l)
	}
	return over
}

// deliver tries a job once. What has become of it is kept before anything else is
// sent to the subscription.
func (p *post) deliver(ctx context.Context, l *line, is *subscriptions.Subscription, j *bus.Job) {
	a, ok := p.attempt(ctx, l, is, j)
	if ok {
		ok = retry(ctx, func(ctx context.Context) error { return p.settle(ctx, is, j, a) }, p.engine.trouble) == nil
	}
	if !ok {
		p.pause(l) // it was cut short
		return
	}
	p.engine.stats.post.of(a.Result).Add(1)
	p.note(l, a)
	if a.Result != subscriptions.Again {
		p.advance(l, j)
	}
}

func (p *post) note(l *line, a *subscriptions.Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.last = *a; l.hurried {
		l.last.Next = time.Time{} // the attempt may have been known before it is noted here
	}
}

// pauseTime is how long a line is left alone whose turn could not be ended.
const pauseTime = time.Second

func (p *post) pause(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.more, l.jobs = true, nil
	l.last.Next = time.Now().Add(pauseTime)
}

// next is the first job of a line that is not done.
func (p *post) next(ctx context.Context, l *line) (bus.Job, bool, error) {
	p.mu.Lock()
	if len(l.jobs) > 0 {
		j := l.jobs[0]
		p.mu.Unlock()
		return j, true, nil
	}
	done, more := l.done, l.more
	p.mu.Unlock()
	if !more {
		return bus.Job{}, false, nil
	}
	j, ok, err := p.engine.bus.NextJob(ctx, l.id, done+1)
	if err == nil && !ok {
		p.mu.Lock()
		// What came meanwhile is looked for again.
		if l.more = l.again; !l.more {
			p.waiting -= l.waiting
			l.waiting = 0
		}
		p.mu.Unlock()
	}
	return j, ok, err
}

// attempt tries a job once, and says what has become of it; false: it was cut short.
func (p *post) attempt(ctx context.Context, l *line, is *subscriptions.Subscription, j *bus.Job) (*subscriptions.Attempt, bool) {
	now := time.Now()
	a := &subscriptions.Attempt{Job: j.ID, Seq: j.Seq, At: now.UTC()}
	message, due := message(is, j, now)
	if !due {
		a.Result, a.Failures = subscriptions.Dropped, l.last.Failures
		return a, true
	}
	a.Message, a.Number = message.ID, 1
	if was := &l.last; was.Result == subscriptions.Again && was.Seq == j.Seq {
		a.Number = was.Number + 1
	}
	got := p.send(ctx, is, message)
	if got.Err != nil && ctx.Err() != nil {
		return nil, false
	}
	a.Took = time.Since(now).Seconds()
	a.Judge(got, j.Stored, l.last.Failures, p.retry)
	return a, true
}

// message is what is posted for a job; false when nothing is any more.
func message(is *subscriptions.Subscription, j *bus.Job, now time.Time) (subscriptions.Post, bool) {
	var what job
	if !is.Alive(now) || json.Unmarshal(j.Data, &what) != nil {
		return subscriptions.Post{}, false
	}
	if what.Notice == "" {
		asks := is.Confirmation(now)
		return asks, is.State == subscriptions.Unconfirmed && asks.ID == j.ID
	}
	n, err := subscriptions.DecodeNotice(what.Notice, what.Body)
	if err != nil || is.State != subscriptions.Confirmed {
		return subscriptions.Post{}, false
	}
	return is.Notification(n, now), true
}

// send posts a message once.
func (p *post) send(ctx context.Context, is *subscriptions.Subscription, m subscriptions.Post) subscriptions.Answer {
	now := time.Now()
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Tocsin"}}
	standardwebhooks.Stamp(h, is.Key(), m.ID, now, m.Body)
	got, err := p.client.Post(ctx, is.CallbackURL, h, m.Body)
	if err != nil {
		return subscriptions.Answer{Err: err, Never: errors.Is(err, outbound.ErrForbidden)}
	}
	v := standardwebhooks.Judge(got.Status, got.Header, time.Now())
	a := subscriptions.Answer{Status: got.Status, Never: v.Never, Gone: got.Status == http.StatusGone, After: v.After}
	if !v.Arrived {
		a.Err = fmt.Errorf("answer %d %s", got.Status, http.StatusText(got.Status))
	}
	return a
}

// settle keeps what has become of a job. What is given up is a dead letter.
func (p *post) settle(ctx context.Context, is *subscriptions.Subscription, j *bus.Job, a *subscriptions.Attempt) error {
	e := p.engine
	if a.Result == subscriptions.GivenUp {
		letter := bus.DeadLetter{Stage: bus.StageSink, Sink: subscriberSink + is.ID, Reason: a.Error, Attempts: a.Number, Seq: j.Seq, Data: j.Data}
		if err := e.bus.Bury(ctx, letter); err != nil {
			return err
		}
		e.stats.deadLetters.Add(1)
		e.stats.buried(bus.StageSink, letterRetries)
	}
	if a.Result == subscriptions.Gone {
		err := e.editSubscription(ctx, p, is.ID, func(there *subscriptions.Subscription) (*subscriptions.Subscription, error) {
			if there == nil || there.State == subscriptions.Disabled {
				return there, nil
			}
			return there.Disable("its endpoint has answered 410 Gone"), nil
		})
		if err != nil {
			return err
		}
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return e.bus.PutAttempt(ctx, is.ID, text)
}

// advance goes on behind a job that is done.
func (p *post) advance(l *line, j *bus.Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.done = j.Seq
	if len(l.jobs) > 0 && l.jobs[0].Seq == j.Seq {
		l.jobs = l.jobs[1:]
	}
	if l.waiting > 0 {
		l.waiting--
		p.waiting--
	}
	if !l.dirty {
		l.dirty = true
		p.dirty = append(p.dirty, l)
	}
}

// tidy removes what is done from the stream, and subscriptions that are over,
// until ctx ends.
func (p *post) tidy(ctx context.Context) {
	every := time.NewTicker(tidyEvery)
	defer every.Stop()
	swept := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.over:
			swept = time.Time{}
		case <-every.C:
		}
		for _, l := range p.untidy() {
			if err := p.engine.bus.EndJobs(ctx, l.id, l.done); err != nil && ctx.Err() == nil {
				p.engine.trouble(err)
			}
		}
		if time.Since(swept) >= overEvery {
			swept = time.Now()
			p.sweep(ctx, swept)
		}
	}
}

// doneJobs are those up to a number.
type doneJobs struct {
	id   string
	done uint64
}

func (p *post) untidy() (out []doneJobs) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.dirty[:min(len(p.dirty), tidyMost)] {
		l.dirty = false
		out = append(out, doneJobs{l.id, l.done})
	}
	p.dirty = p.dirty[len(out):]
	return out
}

// sweepSoon has the subscriptions looked after at once.
func (p *post) sweepSoon() {
	select {
	case p.over <- struct{}{}:
	default:
	}
}

// orphaned says whether nobody is there any more who has subscribed.
func (p *post) orphaned(is *subscriptions.Subscription) bool {
	return p.engine.people.removed(is.Account, is.User)
}

// sweep removes the subscriptions that are over.
func (p *post) sweep(ctx context.Context, now time.Time) {
	over := func(is *subscriptions.Subscription) bool { return !is.Alive(now) || p.orphaned(is) }
	for _, id := range p.subscribers.ended(over) {
		err := p.engine.editSubscription(ctx, p, id, func(there *subscriptions.Subscription) (*subscriptions.Subscription, error) {
			if there == nil || !over(there) {
				return there, nil
			}
			return nil, nil
		})
		if err != nil {
			p.engine.trouble(err)
			continue
		}
		if p.subscribers.get(id) == nil {
			p.engine.forgetQueue(ctx, id)
		}
	}
}

// status is a subscription as operators see it.
func (p *post) status(is *subscriptions.Subscription) SubscriptionStatus {
	where, _, _ := bytes.Cut([]byte(is.CallbackURL), []byte("?"))
	s := SubscriptionStatus{
		ID: is.ID, Account: is.Account, User: is.User, Topic: is.Topic, CallbackURL: string(where), State: is.State, Reason: is.Reason,
		Signed: is.Key() != nil, Created: is.Created.UTC(), Expires: is.End().UTC(), Breaker: "closed",
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lines[is.ID]; l != nil {
		s.Waiting = l.waiting
		if l.last.Open() {
			s.Breaker = "open"
		}
		if l.last.Result != "" {
			last := l.last
			s.Last = &last
		}
	}
	return s
}

// PostCounts are what became of attempts to deliver to subscribers since this
// worker's start, and what waits now.
type PostCounts struct {
	Results     map[subscriptions.Result]uint64
	Waiting     int // messages
	Open        int // breakers
	Subscribers int
}

// postMeter counts attempts by their results.
type postMeter struct{ arrived, again, givenUp, gone, dropped atomic.Uint64 }

func (m *postMeter) of(r subscriptions.Result) *atomic.Uint64 {
	switch r {
	case subscriptions.Arrived:
		return &m.arrived
	case subscriptions.Again:
		return &m.again
	case subscriptions.GivenUp:
		return &m.givenUp
	case subscriptions.Gone:
		return &m.gone
	}
	return &m.dropped
}

// PostCounts are the counts of the post office. What waits only the worker at the
// desk knows.
func (e *Engine) PostCounts() PostCounts {
	c := PostCounts{Results: map[subscriptions.Result]uint64{}}
	for _, r := range []subscriptions.Result{subscriptions.Arrived, subscriptions.Again, subscriptions.GivenUp, subscriptions.Gone, subscriptions.Dropped} {
		c.Results[r] = e.stats.post.of(r).Load()
	}
	p := e.post.Load()
	if p == nil {
		return c
	}
	c.Subscribers = len(p.subscribers.all())
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Waiting = p.waiting
	for _, l := range p.lines {
		if l.last.Open() {
			c.Open++
		}
	}
	return c
}

// subscriberSink begins the name of the sink in the dead letters of a subscription.
const subscriberSink = "subscription "

// sendAgain lets a subscription have the message of a dead letter again.
func (e *Engine) sendAgain(ctx context.Context, l *bus.DeadLetter, id string) error {
	p, err := e.subscription(ctx, id)
	if errors.Is(err, ErrNoSubscription) {
		return cannotRetry("there is no subscription %s any more", id)
	}
	if err != nil {
		return err
	}
	jobs := []bus.Job{{Subscription: id, ID: fmt.Sprintf("letter %d", l.Letter), Data: l.Data}}
	if err := e.bus.PutJobs(ctx, jobs); err != nil {
		return err
	}
	p.put(jobs, time.Now())
	p.hurry(id)
	if err := e.bus.DropLetter(ctx, l); err != nil && !errors.Is(err, ErrNoLetter) {
		return err
	}
	return nil
}

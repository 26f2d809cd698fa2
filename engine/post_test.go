package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/outbound"
	"tocsin.internal/subscriptions"
)

// posted is a message that an endpoint has got.
type posted struct {
	id, Type, Trigger, Message, Twin string
	Event                            struct {
		N     int
		Color string
	}
	ConfirmationURL string `json:"confirmation_url"`
	Subscription    struct {
		UnsubscribeURL string `json:"unsubscribe_url"`
	}
}

// endpoint is an HTTP server to which is posted.
type endpoint struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	got    []posted
	answer http.HandlerFunc // to notifications; nil: 200
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	p := &endpoint{t: t}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// ServeHTTP keeps what comes.
func (p *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	assert.NoError(p.t, err)
	m := posted{id: r.Header.Get("webhook-id")}
	assert.NoError(p.t, json.Unmarshal(text, &m))
	p.mu.Lock()
	p.got = append(p.got, m)
	answer := p.answer
	p.mu.Unlock()
	if answer != nil && m.Type == "Notification" {
		answer(w, r)
	}
}

func (p *endpoint) answers(f http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// notifications are those that it has got, by the number of their event.
func (p *endpoint) notifications() (numbers []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		if m.Type == "Notification" {
			assert.Equal(p.t, m.Message, m.id)
			numbers = append(numbers, m.Event.N)
		}
	}
	return numbers
}

func (p *endpoint) last(kind string) (m posted, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range slices.Backward(p.got) {
		if m.Type == kind {
			return m, true
		}
	}
	return m, false
}

// posting is an engine that may post to this machine, with these waits.
func posting(t *testing.T, retry ...time.Duration) func(*engine.Config) {
	t.Helper()
	allow, _, err := outbound.ReadAllow([]string{"127.0.0.0/8"})
	require.NoError(t, err)
	client := outbound.New(allow)
	t.Cleanup(client.Close)
	return func(c *engine.Config) { c.Outbound, c.SubscriberRetry = client, retry }
}

var subscriber = subscriptions.Subscriber{Account: accounts.Own(), User: "user", Base: "http://space.example"}

func (w *works) asked(p *endpoint, topic string) *subscriptions.Subscription {
	w.t.Helper()
	is, err := w.SubscribeWebhook(w.t.Context(), subscriber, subscriptions.Request{CallbackURL: p.url, Topic: topic, Expires: time.Hour, ClientSecret: "MDEyMzQ1Njc4OWFi"})
	require.NoError(w.t, err)
	w.until("asked to confirm", func() bool { m, ok := p.last("subscription.confirmation"); return ok && m.ConfirmationURL != "" })
	return is
}

func tokenIn(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	require.NoError(t, err)
	return u.Query().Get("token")
}

// confirmed subscribes an endpoint that confirms.
func (w *works) confirmed(p *endpoint, topic string) *subscriptions.Subscription {
	w.t.Helper()
	w.asked(p, topic)
	m, _ := p.last("subscription.confirmation")
	is, err := w.ConfirmSubscription(w.t.Context(), tokenIn(w.t, m.ConfirmationURL))
	require.NoError(w.t, err)
	return is
}

func (w *works) notice(topic string, n int, recipients ...string) {
	w.t.Helper()
	notice := subscriptions.Notice{
		ID: fmt.Sprintf("%s-%d", topic, n), Trigger: "sticker.put", Account: accounts.Own(), Topic: topic, Twin: "did:x:1",
		Event: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)), At: time.Date(2026, 11, 2, 8, 0, n, 0, time.UTC), Recipients: recipients,
	}
	body, err := notice.Encode()
	require.NoError(w.t, err)
	require.NoError(w.t, w.bus.PutNotice(w.t.Context(), notice.Account, topic, bus.Notice{ID: notice.ID, Body: body}))
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i+1)
	}
	return numbers
}

func (w *works) got(p *endpoint, want []int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d notifications", len(want)), func() bool { return len(p.notifications()) >= len(want) })
	assert.Equal(w.t, want, p.notifications())
}

func (w *works) attempts(id string) []subscriptions.Attempt {
	w.t.Helper()
	log, err := w.Deliveries(w.t.Context(), id)
	require.NoError(w.t, err)
	return log
}

func TestSubscriptions(t *testing.T) {
	w := start(t, engine.DataDir(t), posting(t))
	p := newEndpoint(t)
	is := w.asked(p, "red")
	assert.Equal(t, subscriptions.Unconfirmed, is.State)
	behind := newEndpoint(t)
	w.confirmed(behind, "after.red")
	w.notice("red", 1) // nobody is told
	w.notice("after.red", 1)
	w.got(behind, []int{1}) // who confirms from now on is told what comes from now on
	m, _ := p.last("subscription.confirmation")
	token := tokenIn(t, m.ConfirmationURL)
	_, err := w.RefreshSubscription(t.Context(), token, subscriptions.Request{Expires: time.Hour})
	require.ErrorIs(t, err, engine.ErrNoSubscription, "it is not confirmed")
	other := newEndpoint(t)
	w.confirmed(other, "red")
	w.notice("red", 2)
	w.got(other, []int{2})
	_, err = w.ConfirmSubscription(t.Context(), token[:len(token)-4]+"AAAA")
	require.ErrorIs(t, err, engine.ErrNoSubscription)
	is, err = w.ConfirmSubscription(t.Context(), token)
	require.NoError(t, err)
	assert.Equal(t, subscriptions.Confirmed, is.State)
	w.notice("red", 3)
	w.notice("blue", 4)
	w.notice("red", 5, "somebody else")
	w.notice("red", 6, "user")
	w.notice("red", 6, "user") // put again
	w.got(p, []int{3, 6})
	w.got(other, []int{2, 3, 6})

	again, err := w.SubscribeWebhook(t.Context(), subscriber, subscriptions.Request{CallbackURL: p.url, Topic: "red", Expires: 2 * time.Hour})
	require.NoError(t, err)
	assert.Equal(t, is.ID, again.ID)
	assert.Equal(t, subscriptions.Confirmed, again.State)
	assert.True(t, again.Expires.After(is.Expires))
	all, err := w.Subscriptions(t.Context())
	require.NoError(t, err)
	assert.Len(t, all, 3)

	last, _ := p.last("Notification")
	_, err = w.EndSubscription(t.Context(), tokenIn(t, last.Subscription.UnsubscribeURL))
	require.NoError(t, err)
	_, err = w.EndSubscription(t.Context(), token)
	require.ErrorIs(t, err, engine.ErrNoSubscription)
	w.notice("red", 7)
	w.got(other, []int{2, 3, 6, 7})
	w.got(p, []int{3, 6})
	_, err = w.Deliveries(t.Context(), is.ID)
	require.ErrorIs(t, err, engine.ErrNoSubscription)

	_, err = w.SubscribeWebhook(t.Context(), subscriber, subscriptions.Request{CallbackURL: "http://10.0.0.1/", Topic: "red", Expires: time.Hour})
	require.ErrorIs(t, err, outbound.ErrForbidden)
	_, err = w.SubscribeWebhook(t.Context(), subscriber, subscriptions.Request{CallbackURL: p.url, Topic: "red"})
	require.ErrorIs(t, err, subscriptions.ErrRequest)
}

// What falls due while the subscription expires is not sent, and then it is gone.
func TestSubscriptionExpires(t *testing.T) {
	w := start(t, engine.DataDir(t), posting(t, time.Hour))
	p := newEndpoint(t)
	is := w.confirmed(p, "red")
	p.answers(status(500))
	w.notice("red", 1)
	w.got(p, []int{1})
	token := is.Token()
	_, err := w.RefreshSubscription(t.Context(), token, subscriptions.Request{Expires: time.Second})
	require.NoError(t, err)
	w.until("expired", func() bool {
		_, err := w.ConfirmSubscription(t.Context(), token)
		return errors.Is(err, engine.ErrNoSubscription)
	})
	w.until("nothing waits for it", func() bool {
		_ = w.RetrySubscription(t.Context(), is.ID) // it may be gone
		return w.PostCounts().Waiting == 0
	})
	w.got(p, []int{1})
}

// A user that is removed was told until its subscription ran out, up to a week later.
func TestASubscriptionOfARemovedUserGoesOn(t *testing.T) {
	w := start(t, engine.DataDir(t), posting(t, time.Hour))
	w.pin() // the own account is there
	var gone *accounts.User
	change := func(decide func(*accounts.Directory, time.Time) (accounts.Document, error)) {
		t.Helper()
		require.NoError(t, w.ChangeAccounts(t.Context(), func(d *accounts.Directory, now time.Time) ([]accounts.Document, error) {
			doc, err := decide(d, now)
			return []accounts.Document{doc}, err
		}))
	}
	name, role := "Jane", accounts.SuperAdmin(accounts.Own())
	change(func(d *accounts.Directory, now time.Time) (doc accounts.Document, err error) {
		if gone, err = d.CreateUser(anyAdministrator, accounts.UserForm{Name: &name, Role: &role}, now); err != nil {
			return doc, err
		}
		return gone.Document(), nil
	})
	stays, goes := newEndpoint(t), newEndpoint(t)
	w.confirmed(stays, "red")
	user := subscriber.User
	subscriber.User = gone.UUID
	is := w.confirmed(goes, "red")
	subscriber.User = user
	goes.answers(status(500))
	w.notice("red", 1)
	w.got(stays, []int{1})
	w.got(goes, []int{1})
	goes.answers(nil)

	change(func(*accounts.Directory, time.Time) (accounts.Document, error) { return gone.Gone(), nil })
	_, err := w.RefreshSubscription(t.Context(), is.Token(), subscriptions.Request{Expires: time.Hour})
	require.ErrorIs(t, err, engine.ErrNoSubscription, "at once")
	w.notice("red", 2)
	w.got(stays, []int{1, 2})
	w.until("it is gone, and what waited for it", func() bool {
		all, err := w.Subscriptions(t.Context())
		return err == nil && len(all) == 1 && w.PostCounts().Waiting == 0
	})
	w.got(goes, []int{1})
}

// Who asks for another attempt, or ends a subscription, while one is under way does
// not wait until the next is due.
func TestPokedInTheMiddleOfAnAttempt(t *testing.T) {
	w := start(t, t.TempDir(), posting(t, time.Hour))
	p := newEndpoint(t)
	is := w.confirmed(p, "red")
	busy := make(chan struct{})
	p.answers(func(w http.ResponseWriter, _ *http.Request) {
		<-busy
		w.WriteHeader(http.StatusInternalServerError)
	})
	w.notice("red", 1)
	w.got(p, []int{1})
	require.NoError(t, w.RetrySubscription(t.Context(), is.ID))
	busy <- struct{}{}
	w.got(p, []int{1, 1})
	require.NoError(t, w.DeleteSubscription(t.Context(), is.ID))
	close(busy)
	w.until("nothing waits", func() bool { return w.PostCounts().Waiting == 0 })
	w.got(p, []int{1, 1})
}

// One endpoint that is dead delays nobody; each gets its messages in their order.
func TestOrderAndDeadEndpoints(t *testing.T) {
	w := start(t, engine.DataDir(t), posting(t, slices.Repeat([]time.Duration{time.Millisecond}, 50)...))
	hangs, fails, well := newEndpoint(t), newEndpoint(t), newEndpoint(t)
	for _, p := range []*endpoint{hangs, fails, well} {
		w.confirmed(p, "red")
	}
	release := make(chan struct{})
	hangs.answers(func(http.ResponseWriter, *http.Request) { <-release })
	failed := map[string]int{}
	fails.answers(func(w http.ResponseWriter, r *http.Request) {
		if failed[r.Header.Get("webhook-id")]++; failed[r.Header.Get("webhook-id")] < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	const n = 40 // more than wait in memory
	var want, thrice []int
	for i := 1; i <= n; i++ {
		w.notice("red", i)
		want, thrice = append(want, i), append(thrice, i, i, i)
	}
	w.got(well, want)
	w.got(fails, thrice)
	assert.Equal(t, []int{1}, slices.Compact(hangs.notifications()))
	close(release)
	w.until("nothing waits", func() bool { return w.PostCounts().Waiting == 0 })
	assert.Equal(t, want, slices.Compact(hangs.notifications()))
	timeouts := len(hangs.notifications()) - n // it was tried again where the others took longer than an answer may
	c := w.PostCounts()
	assert.Equal(t, uint64(3*n+3), c.Results[subscriptions.Arrived])
	assert.Equal(t, uint64(2*n+timeouts), c.Results[subscriptions.Again])
}

func TestAnswersOfEndpoints(t *testing.T) {
	w := start(t, engine.DataDir(t), posting(t, time.Minute))
	p := newEndpoint(t)
	is := w.confirmed(p, "red")
	p.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1800")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	w.notice("red", 1)
	w.until("an attempt", func() bool { return len(w.attempts(is.ID)) == 2 })
	last := w.attempts(is.ID)[0]
	assert.Equal(t, subscriptions.Again, last.Result)
	assert.Equal(t, http.StatusTooManyRequests, last.Status)
	ended := last.At.Add(time.Duration(last.Took * float64(time.Second)))
	assert.Equal(t, 30*time.Minute, last.Next.Sub(ended), "from its end")

	p.answers(nil)
	require.NoError(t, w.RetrySubscription(t.Context(), is.ID))
	w.got(p, []int{1, 1})
	p.answers(status(422)) // it is there, and will never take it
	w.notice("red", 2)
	p.waitFor(w, 3)
	w.until("a dead letter", func() bool {
		_, n, err := w.DeadLetters(t.Context(), engine.LetterFilter{}, 10)
		return err == nil && n == 1
	})
	letters, _, err := w.DeadLetters(t.Context(), engine.LetterFilter{Sink: "subscription " + is.ID}, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	assert.Equal(t, "answer 422 Unprocessable Entity", letters[0].Reason)
	p.answers(nil)
	_, err = w.RetryDeadLetter(t.Context(), letters[0].Seq)
	require.NoError(t, err)
	w.got(p, []int{1, 1, 2, 2})

	p.answers(status(http.StatusGone))
	w.notice("red", 3)
	w.until("disabled", func() bool {
		all, err := w.Subscriptions(t.Context())
		return err == nil && len(all) == 1 && all[0].State == subscriptions.Disabled && all[0].Reason == "its endpoint has answered 410 Gone"
	})
	w.notice("red", 4)
	_, err = w.RefreshSubscription(t.Context(), is.Token(), subscriptions.Request{Expires: time.Hour})
	require.ErrorIs(t, err, engine.ErrNoSubscription)
	w.got(p, []int{1, 1, 2, 2, 3})
	require.NoError(t, w.DeleteSubscription(t.Context(), is.ID))
	require.ErrorIs(t, w.DeleteSubscription(t.Context(), is.ID), engine.ErrNoSubscription)
}

func (p *endpoint) waitFor(w *works, n int) {
	w.until("notifications", func() bool { return len(p.notifications()) >= n })
}

// The last attempt has failed: a dead letter, and what waits behind goes on.
func TestGivenUpForASubscriber(t *testing.T) {
	w := start(t, engine.DataDir(t), posting(t, time.Millisecond, time.Millisecond))
	p := newEndpoint(t)
	is := w.confirmed(p, "red")
	p.answers(status(500))
	w.notice("red", 1)
	w.until("a dead letter", func() bool {
		_, n, err := w.DeadLetters(t.Context(), engine.LetterFilter{}, 10)
		return err == nil && n == 1
	})
	w.got(p, []int{1, 1, 1})
	p.answers(nil)
	w.notice("red", 2)
	w.got(p, []int{1, 1, 1, 2})
	w.until("the attempts", func() bool { return len(w.attempts(is.ID)) == 5 })
	log := w.attempts(is.ID)
	assert.Equal(t, subscriptions.Arrived, log[0].Result)
	assert.Equal(t, subscriptions.GivenUp, log[1].Result)
	assert.Equal(t, 3, log[1].Number)
}

// A worker goes away while something waits, and comes again: nothing is lost,
// nothing comes twice, and the log is still there.
func TestSubscribersAfterARestart(t *testing.T) {
	dir := engine.DataDir(t)
	w := start(t, dir, posting(t, time.Hour))
	p := newEndpoint(t)
	is := w.confirmed(p, "red")
	p.answers(status(500))
	for i := range 40 {
		w.notice("red", i+1)
	}
	w.until("an attempt, and jobs of all notices", func() bool {
		all, err := w.Subscriptions(t.Context())
		return err == nil && all[0].Waiting == 40 && len(w.attempts(is.ID)) == 2
	})
	w.stop()

	// What another worker left half done: a notice of which the job is there already.
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	down := &works{t: t, bus: b}
	down.notice("red", 41)
	body := fmt.Sprintf(`{"notice":"red-41","body":{"trigger":"sticker.put","account":%q,"topic":"red","twin":"did:x:1","event":{"n":41},"at":"2026-11-02T08:00:41Z"}}`, accounts.Own())
	require.NoError(t, b.PutJobs(t.Context(), []bus.Job{{Subscription: is.ID, ID: "red-41", Data: []byte(body)}}))
	down.notice("red", 42)
	b.Close()

	w = start(t, dir, posting(t, time.Hour))
	all, err := w.Subscriptions(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, 42, all[0].Waiting)
	log := w.attempts(is.ID)
	require.Len(t, log, 2)
	assert.Equal(t, 1, log[0].Number)
	p.answers(nil)
	require.NoError(t, w.RetrySubscription(t.Context(), is.ID))
	w.got(p, append([]int{1}, upTo(42)...))
	w.until("the attempts", func() bool { return len(w.attempts(is.ID)) == 44 })
	w.stop()
	w = start(t, dir, posting(t, time.Hour))
	w.notice("red", 43)
	w.got(p, append([]int{1}, upTo(43)...))
}

// Of two workers one is at the desk; when it goes the other one delivers.
func TestSubscribersOfTwoDesks(t *testing.T) {
	hub, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Partitions: 4, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(hub.Close)
	p := newEndpoint(t)
	change := posting(t)
	c := &crew{t: t, bus: hub, at: map[string]*works{}, config: func() (c engine.Config) {
		change(&c)
		return c
	}}
	outside := &works{t: t, bus: hub}
	first := c.join()
	c.at[first].confirmed(p, "red")
	second := c.join()
	for i := range 20 {
		outside.notice("red", i+1)
		if i == 10 {
			c.leave(first)
		}
	}
	c.at[second].got(p, upTo(20))
	is := c.at[second].confirmed(newEndpoint(t), "blue")
	c.at[second].until("the attempt", func() bool { return len(c.at[second].attempts(is.ID)) == 1 })
}

// Who follows notifications gets the notices of its account, and what is meant for it.
func TestFollowersOfNotices(t *testing.T) {
	w := start(t, engine.DataDir(t), posting(t))
	var mu sync.Mutex
	var got []string
	hear := func(name string) func(*engine.Event) {
		return func(e *engine.Event) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, name+" "+e.Subject+" "+e.Twin)
		}
	}
	for name, topic := range map[string]engine.Topic{
		"all": {}, "red": {Pattern: "red"}, "user": {Recipients: []string{"user", accounts.Own()}}, "stranger": {Recipients: []string{"stranger"}},
	} {
		topic.Kind = engine.NotificationTopic
		stop, err := w.Follow(t.Context(), topic, "", hear(name))
		require.NoError(t, err)
		t.Cleanup(stop)
	}
	w.notice("red", 1)
	w.notice("blue", 2, "user")
	w.notice("red", 3, "somebody else")
	w.notice("last", 4)
	w.until("all events", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 9 })
	assert.ElementsMatch(t, []string{
		"all red did:x:1", "all blue did:x:1", "all red did:x:1", "all last did:x:1", "red red did:x:1", "red red did:x:1",
		"user red did:x:1", "user blue did:x:1", "user last did:x:1",
	}, got)
}

// What a rule says is told once, also where its outcome is dealt with again.
func TestRuleTellsSubscribers(t *testing.T) {
	const rule = `{"id":"i","sources":[{"id":"1","feeds":[{"id":"currentTemp"}],"modelDid":"did:model"}],"rules":[
	 {"notification":{"id":"hot","topic":"red","body":{"n":7},"conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],"sourceId":"1","sourceFeedId":"currentTemp"}}]}`
	dir := engine.DataDir(t)
	file := ruleFile(t, rule)
	change := func(c *engine.Config) {
		posting(t)(c)
		c.Twins, c.RulesPath = machines(1), file
	}
	w := start(t, dir, change)
	p := newEndpoint(t)
	w.confirmed(p, "red")
	w.emit(reading("machine_0", 1, 31))
	w.got(p, []int{7})
	m, _ := p.last("Notification")
	assert.Equal(t, "rule", m.Trigger)
	assert.Equal(t, "machine_0", m.Twin)
	w.stop()
	w = start(t, dir, change)
	w.notice("red", 8)
	w.got(p, []int{7, 8})
}

// Whoever had an account of its own, as a contractor has, was not told of the
// stickers whose recipient it was.
func TestAContractorOfAnotherAccountWasNotTold(t *testing.T) {
	post := posting(t)
	w := start(t, engine.DataDir(t), func(c *engine.Config) { post(c); meters(c) })
	subscribe := func(account, user string) *endpoint {
		p := newEndpoint(t)
		who := subscriptions.Subscriber{Account: account, User: user, Base: "http://space.example"}
		_, err := w.SubscribeWebhook(t.Context(), who, subscriptions.Request{CallbackURL: p.url, Topic: "new-request", Expires: time.Hour})
		require.NoError(t, err)
		w.until("asked to confirm", func() bool { _, ok := p.last("subscription.confirmation"); return ok })
		m, _ := p.last("subscription.confirmation")
		_, err = w.ConfirmSubscription(t.Context(), tokenIn(t, m.ConfirmationURL))
		require.NoError(t, err)
		return p
	}
	theirs, others, ours := subscribe("account-2", contractor), subscribe("account-3", stranger), subscribe(accounts.Own(), company)
	w.put(sticker("machine_1", "red", time.Hour))
	s := sticker("machine_1", "blue", time.Hour)
	s.Recipients = []string{"account-3"}
	w.put(s)
	twice := func(p *endpoint) func() bool { return func() bool { return len(p.notifications()) == 2 } }
	w.until("the account is told of all", twice(ours))
	w.until("the contractor is told", func() bool { return len(theirs.notifications()) == 1 && len(others.notifications()) == 1 })
	m, _ := theirs.last("Notification")
	assert.Equal(t, "red", m.Event.Color)
	m, _ = others.last("Notification")
	assert.Equal(t, "blue", m.Event.Color)
}

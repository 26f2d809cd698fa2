//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// metersVariable says how many meters leak: each costs two kills.
const metersVariable = "TOCSIN_CHAOS_METERS"

// leakRules have whoever is at the place of %q repair a meter that leaks.
const leakRules = `{"id":"meters","sources":[{"id":"m","feeds":[{"id":"reading"}],"modelDid":"did:meter"}],"rules":[
{"sticker":{"id":"repair","sourceId":"m","sourceFeedId":"reading","conditions":[{"jsonLogic":{"==":[{"var":"leak"},true]}}],
 "op":"put","color":"red","note":"{{twin}} leaks","recipients":[%q],"validity":"8760h","removeOnClear":false,
 "publish":{"on_put":"new-request","on_remove":["task-completed"]}}}]}`

// A rule puts a sticker on each meter that leaks, a contractor takes it off, and
// both are told by webhooks; the engine is killed in the middle of each step:
// each sticker is put and taken off once, and each is told of, under one id.
func TestKilledEngineHasMetersRepaired(t *testing.T) {
	random := dice(t)
	const contractor = "5b7f2b36-7f7c-4d2e-9f36-1a1d2f2f0c11"
	meters := number(t, metersVariable, 5)
	told := newCallbacks(t)
	_, e := newEmbedded(t, &world{rules: fmt.Sprintf(leakRules, contractor), twins: meterTwins(meters)}, map[string]any{
		"notifications": map[string]any{"allow": []string{told.host()}},
	})
	for _, topic := range []string{"new-request", "task-completed"} {
		e.subscribe(told, topic)
	}
	kills := 0
	perhaps := func(do func() bool) {
		done := false
		switch random.IntN(3) {
		case 0: // in the middle
			kills++
			done = e.killed(time.Duration(random.IntN(5000))*time.Microsecond, do)
		case 1: // a little later
			kills++
			e.insist(do)
			done = e.killed(time.Duration(random.IntN(50))*time.Millisecond, func() bool { pass(t, 60*time.Millisecond); return true })
		}
		if !done {
			e.insist(do)
		}
	}
	for i := range meters {
		meter := fmt.Sprint("meter_", i)
		line := fmt.Sprintf(`{"twin":%q,"feed":"reading","occurredAt":"2026-11-02T12:00:00Z","data":{"leak":true}}`, meter)
		perhaps(func() bool { return e.post(meter, []string{line}) })
		told.await(t, "sticker.put", meter)
		perhaps(func() bool { return e.takeOff(meter) })
		told.await(t, "sticker.removed", meter)
	}
	e.kill()
	e.launch()
	e.ready()
	for i := range meters {
		meter := fmt.Sprint("meter_", i)
		assert.Len(t, told.ids("sticker.put", meter), 1, meter)
		assert.Len(t, told.ids("sticker.removed", meter), 1, meter)
		status, text, err := e.request(http.MethodGet, "/twins/"+meter+"/stickers/red", "", nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusNotFound, status, "%s has come back: %s", meter, text)
	}
	t.Logf("killed %d times; %d callbacks for %d meters", kills, told.count(), meters)
}

func meterTwins(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"twinId":{"id":"meter_%d"},"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:meter"}}],"feeds":[{"id":"reading"}]}`, i)
	}
	return "[" + strings.Join(all, ",") + "]"
}

// insist does something until it is done.
func (w *worker) insist(do func() bool) {
	w.t.Helper()
	until(w.t, startPatience, w.name, do)
}

// takeOff takes the red sticker off a meter; one that is off is off.
func (w *worker) takeOff(meter string) bool {
	status, text, err := w.request(http.MethodDelete, "/twins/"+meter+"/stickers/red", "", nil)
	if err != nil || status >= http.StatusInternalServerError {
		return false
	}
	require.Contains(w.t, []int{http.StatusOK, http.StatusNotFound}, status, text)
	return true
}

// subscribe has the callbacks hear of a topic.
func (w *worker) subscribe(told *callbacks, topic string) {
	w.t.Helper()
	status, text, err := w.request(http.MethodPost, "/notifications/webhooks", fmt.Sprintf(`{"callback_url":%q,"topic":%q}`, told.server.URL+"/"+topic, topic), nil)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, status, text)
	var confirm string
	until(w.t, startPatience, "the confirmation of "+topic, func() bool { confirm = told.confirmation(topic); return confirm != "" })
	u, err := url.Parse(confirm)
	require.NoError(w.t, err)
	status, text, err = w.request(http.MethodGet, u.RequestURI(), "", nil)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, status, text)
}

// callbacks are what webhooks have been told.
type callbacks struct {
	server *httptest.Server

	mu       sync.Mutex
	messages []message
}

type message struct {
	Type         string `json:"type"`
	Trigger      string `json:"trigger"`
	Message      string `json:"message"`
	Twin         string `json:"twin"`
	Confirm      string `json:"confirmation_url"`
	Subscription struct {
		Topic string `json:"topic"`
	} `json:"subscription"`
}

func newCallbacks(t *testing.T) *callbacks {
	c := &callbacks{}
	c.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return // the engine was killed in the middle; it tells of it again
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			t.Errorf("callback %s: %v: %s", r.URL, err, text)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.messages = append(c.messages, m)
	}))
	t.Cleanup(c.server.Close)
	return c
}

func (c *callbacks) host() string { return strings.TrimPrefix(c.server.URL, "http://") }

func (c *callbacks) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.messages)
}

func (c *callbacks) confirmation(topic string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.messages {
		if m.Confirm != "" && m.Subscription.Topic == topic {
			return m.Confirm
		}
	}
	return ""
}

// ids are the messages of a trigger about a meter, each once.
func (c *callbacks) ids(trigger, meter string) (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.messages {
		if m.Trigger == trigger && m.Twin == meter && !slices.Contains(ids, m.Message) {
			ids = append(ids, m.Message)
		}
	}
	return ids
}

func (c *callbacks) await(t *testing.T, trigger, meter string) {
	t.Helper()
	until(t, startPatience, trigger+" of "+meter, func() bool { return len(c.ids(trigger, meter)) > 0 })
}

package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const lowBattery = `{"id":"battery","sources":[{"id":"meters","filter":{"properties":[{"key":"type","stringLiteralValue":{"value":"meter"}}]},"feeds":[{"id":"ledger","fieldIds":["battery"]}]}],
"rules":[{"alert":{"id":"low","severity":"major","summary":"{{battery}} %","sourceId":"meters","sourceFeedId":"ledger","conditions":[{"jsonLogic":{"<":[{"var":"battery"},10]}}]}}]}`

func meter() twins.Twin {
	return twins.Twin{ID: "meter", Properties: []rules.Property{twins.String("type", "meter")}}
}

// entries are those of a request's body.
func entries(t *testing.T, text string) map[string]twins.EntryUpdate {
	t.Helper()
	raw, err := strictjson.Parse("body", []byte(text))
	require.NoError(t, err)
	all, err := twins.DecodeEntries(raw, false)
	require.NoError(t, err)
	return all
}

// add adds entries to a ledger, or changes those that are there.
func (w *works) enter(of engine.LedgerOf, text string, second int) {
	w.t.Helper()
	require.NoError(w.t, w.EditLedger(w.t.Context(), of, func(l *twins.Ledger) error {
		at := twins.TimestampOf(noon.Add(time.Duration(second) * time.Second))
		refused, err := l.Add(entries(w.t, text), at)
		if len(refused) > 0 {
			refused, err = l.Update(entries(w.t, text), at)
		}
		assert.Empty(w.t, refused)
		return err
	}))
	w.until("it is told", func() bool {
		l, err := w.Ledger(w.t.Context(), of)
		return err == nil && len(l.Unsent) == 0
	})
	w.drain()
}

func (w *works) summaries() (out []string) {
	records, _ := w.Alerts(nil, 100)
	for _, r := range records {
		out = append(out, r.Outcome.Summary)
	}
	return out
}

// A rule follows a ledger, from its first entry on and across a restart.
func TestLedgerIsASource(t *testing.T) {
	dir, rule := engine.DataDir(t), ruleFile(t, lowBattery)
	own := engine.LedgerOf{Twin: "meter", Account: accounts.Own()}
	configure := func(c *engine.Config) { c.RulesPath, c.Twins = rule, []twins.Twin{meter()} }
	w := start(t, dir, configure)
	w.enter(own, `{"battery":{"value":5},"log":{"value":[]}}`, 0)
	assert.Equal(t, []string{"5 %"}, w.summaries())
	last, ok, err := w.LastSample(t.Context(), "meter", "ledger")
	require.NoError(t, err)
	require.True(t, ok)
	assert.JSONEq(t, `{"battery":5,"log":[],"_changed":["battery","log"]}`, string(last.Data))
	assert.True(t, noon.Equal(last.At))

	w.enter(engine.LedgerOf{Twin: "meter", Account: "b0000000-0000-4000-8000-000000000001"}, `{"battery":{"value":99}}`, 1)
	assert.Len(t, w.summaries(), 1, "what another account says goes its own way")
	_, ok, err = w.LastSample(t.Context(), "meter", "ledger:b0000000-0000-4000-8000-000000000001")
	require.NoError(t, err)
	assert.True(t, ok)

	w.stop()
	w = start(t, dir, configure)
	w.drain()
	assert.Len(t, w.summaries(), 1, "the file does not say that the twin has a ledger")
	require.NoError(t, w.PutTwin(t.Context(), meter()))
	w.drain()
	assert.Len(t, w.summaries(), 1)
	w.enter(own, `{"battery":{"value":80}}`, 2)
	assert.Empty(t, w.summaries())

	require.NoError(t, w.DeleteTwin(t.Context(), "meter"))
	w.enter(own, `{"battery":{"value":3}}`, 3)
	assert.Empty(t, w.summaries())
	assert.Zero(t, w.Stats().DeadLetters, "a twin that is gone tells nothing")
}

// What was not told when the engine ended is told by the next one, and what was
// told and not taken off the document is not told again.
func TestLedgerIsToldOnce(t *testing.T) {
	dir := engine.DataDir(t)
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	of := engine.LedgerOf{Twin: "meter", Account: accounts.Own()}
	document := struct {
		Of engine.LedgerOf `json:"of"`
		twins.Ledger
	}{Of: of}
	at := twins.TimestampOf(noon)
	for _, change := range []func() (map[string]error, error){
		func() (map[string]error, error) {
			return document.Add(entries(t, `{"a":{"value":1,"history":"INF","publish":{"topic":["low","all"]}},"b":{"value":2,"publish":{"topic":"low"}}}`), at)
		},
		func() (map[string]error, error) { return document.Update(entries(t, `{"a":{"value":3}}`), at+1000) },
		func() (map[string]error, error) { return document.Delete([]string{"b"}, at+2000) },
	} {
		refused, err := change()
		require.NoError(t, err)
		assert.Empty(t, refused)
	}
	text, err := json.Marshal(document)
	require.NoError(t, err)
	key := "ledger:" + of.Account + ":meter"
	_, err = b.PutDocument(t.Context(), bus.Ledgers, key, string(text), 0)
	require.NoError(t, err)
	b.Close()

	for range 2 {
		w := start(t, dir, func(c *engine.Config) { c.Twins = []twins.Twin{meter()} })
		w.until("it is told", func() bool {
			l, err := w.Ledger(t.Context(), of)
			return err == nil && len(l.Unsent) == 0
		})
		w.drain()
		h, err := w.LedgerHistory(t.Context(), of, "a")
		require.NoError(t, err)
		assert.Len(t, h.Records, 2)
		_, r, err := w.bus.Document(t.Context(), bus.Ledgers, key)
		require.NoError(t, err)
		w.stop()
		b, err = bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4, Listen: "127.0.0.1:0"})
		require.NoError(t, err)
		assert.Equal(t, []string{
			`ledger.entry.added all {"a":{"new_value":1,"old_value":null,"changed_ts":1793620800.000}}`,
			`ledger.entry.added low {"a":{"new_value":1,"old_value":null,"changed_ts":1793620800.000},"b":{"new_value":2,"old_value":null,"changed_ts":1793620800.000}}`,
			`ledger.entry.updated all {"a":{"new_value":3,"old_value":1,"changed_ts":1793620801.000}}`,
			`ledger.entry.updated low {"a":{"new_value":3,"old_value":1,"changed_ts":1793620801.000}}`,
			`ledger.entry.deleted low {"b":{"new_value":null,"old_value":2,"changed_ts":1793620802.000}}`,
		}, notices(t, b.ClientURL()))
		assert.Len(t, kept(t, b.ClientURL(), "FEED", "feed.*.meter.ledger"), 3)
		forgetDuplicates(t, b.ClientURL())
		_, err = b.PutDocument(t.Context(), bus.Ledgers, key, string(text), r) // as if it had been killed before it took them off
		require.NoError(t, err)
		b.Close()
	}
}

// forgetDuplicates lets FEED forget what it was put before it starts again, as after
// an outage that was longer than its window of duplicates.
func forgetDuplicates(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(patience))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), "FEED")
	require.NoError(t, err)
	config := s.CachedInfo().Config
	config.Duplicates = 100 * time.Millisecond
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
}

// kept are the messages of a stream.
func kept(t *testing.T, url, stream, subject string) (out [][]byte) {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(patience))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	c, err := js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	require.NoError(t, err)
	batch, err := c.FetchNoWait(100)
	require.NoError(t, err)
	for m := range batch.Messages() {
		out = append(out, m.Data())
	}
	return out
}

// notices are those that are kept for subscribers.
func notices(t *testing.T, url string) (out []string) {
	t.Helper()
	for _, text := range kept(t, url, "NOTIFY", "notice."+accounts.Own()+".>") {
		var n struct {
			Trigger, Account, Topic, Twin string
			Event                         json.RawMessage
			At                            time.Time
		}
		require.NoError(t, json.Unmarshal(text, &n))
		assert.Equal(t, "meter", n.Twin)
		assert.Equal(t, accounts.Own(), n.Account)
		out = append(out, n.Trigger+" "+n.Topic+" "+string(n.Event))
	}
	return out
}

package benchmarks

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// The loops here are what an engine is measured by: they read FEED and say
// something about each message, and judge nothing, or as a program by hand would.

// sameStream takes what the loops with a guarantee store. It is made as OUT is.
const sameStream = "SAME"

func (w *works) makeSame(b *testing.B, replicas int) {
	b.Helper()
	_, err := w.js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: sameStream, Subjects: []string{"same.>"}, Replicas: replicas, Duplicates: 20 * time.Second,
		AllowBatchPublish: true, AllowAtomicPublish: true, AllowRollup: true, AllowMsgTTL: true, Compression: jetstream.S2Compression,
	})
	require.NoError(b, err)
}

// consume hands the n messages of FEED to each, in their order and without acknowledging.
func (w *works) consume(b *testing.B, n int, each func(m jetstream.Msg) error) {
	b.Helper()
	c, err := w.js.OrderedConsumer(b.Context(), feedStream, jetstream.OrderedConsumerConfig{})
	require.NoError(b, err)
	done := make(chan error, 1)
	consume, err := c.Consume(func(m jetstream.Msg) {
		n--
		if err := each(m); err != nil || n == 0 {
			select {
			case done <- err:
			default:
			}
		}
	}, jetstream.PullMaxMessages(2000), heartbeat)
	require.NoError(b, err)
	defer consume.Stop()
	require.NoError(b, receive(b, done, "the last message"))
}

const feedStream = "FEED"

// outcome is where the engine would put the outcome of a message of FEED, and
// what it would say: the same bytes each time but for the sequence, which is
// what its checkpoint is made of.
func outcome(m jetstream.Msg, body []byte) (subject string, _ []byte) {
	path := strings.Split(m.Subject(), ".") // feed.<p>.<twin>.<feed>
	_, seq, _ := strings.Cut(m.Reply(), ".1.")
	seq, _, _ = strings.Cut(seq, ".")
	body = append(body[:0], `{"kind":"output","interaction":"overheating","rule":"1.currentTemp.temperature_status.status0","twin":"`...)
	body = append(body, path[2]...)
	body = append(body, `_overheating","feed":"temperature_status","occurredAt":"2026-11-22T12:00:00.123456Z","data":{"status0":"extreme","temperature":31.2},"cause":{"seq":`...)
	body = append(append(body, seq...), `,"hops":1}}`...)
	return "same." + path[1] + "." + path[2] + ".temperature_status." + path[2] + "_overheating", body
}

// fast stores an outcome of each message by fast-ingest publish, one batch that
// never ends, so that the last one that is stored is the checkpoint.
func (w *works) fast(b *testing.B, n int) {
	const flow, window = 500, 1500
	inbox := nats.NewInbox()
	var mu sync.Mutex
	room := sync.NewCond(&mu)
	var acked, sent uint64
	ended := make(chan error, 1)
	sub, err := w.nc.Subscribe(inbox+".>", func(m *nats.Msg) {
		var a struct {
			Type       string
			Seq, Count uint64
			Error      *jetstream.APIError
		}
		err := json.Unmarshal(m.Data, &a)
		if err == nil && a.Error != nil {
			err = a.Error
		}
		mu.Lock()
		acked = max(acked, a.Seq)
		mu.Unlock()
		room.Broadcast()
		if err != nil || a.Type == "" {
			if a.Count != uint64(n) && err == nil {
				err = fmt.Errorf("stored %d of %d", a.Count, n)
			}
			select {
			case ended <- err:
			default:
			}
		}
	})
	require.NoError(b, err)
	defer sub.Unsubscribe() //nolint:errcheck // the connection closes
	reply := func(op int) string {
		return inbox + "." + strconv.Itoa(flow) + ".fail." + strconv.FormatUint(sent, 10) + "." + strconv.Itoa(op) + ".$FI"
	}
	var body []byte
	w.consume(b, n, func(m jetstream.Msg) error {
		var subject string
		subject, body = outcome(m, body)
		mu.Lock()
		for sent-acked >= window {
			room.Wait()
		}
		mu.Unlock()
		sent++
		return w.nc.PublishRequest(subject, reply(min(int(sent)-1, 1)), body)
	})
	sent++
	require.NoError(b, w.nc.PublishRequest("same.end", reply(3), nil))
	require.NoError(b, receive(b, ended, "the end of the batch"))
}

// exactly stores an outcome of each message in atomic batches, whose last
// message is a checkpoint that expects the one before it; the next batch is on
// its way while one is being committed.
func (w *works) exactly(b *testing.B, n int) {
	const most = 999
	answers, err := w.nc.SubscribeSync(nats.NewInbox())
	require.NoError(b, err)
	defer answers.Unsubscribe() //nolint:errcheck // the connection closes
	checkpoint, batch, staged, committing := uint64(0), unique(), 0, false
	await := func() error {
		if !committing {
			return nil
		}
		m, err := answers.NextMsg(time.Minute)
		if err != nil {
			return err
		}
		var a struct {
			Seq   uint64
			Error *jetstream.APIError
		}
		if err := json.Unmarshal(m.Data, &a); err != nil {
			return err
		}
		if a.Error != nil {
			return a.Error
		}
		checkpoint, committing = a.Seq, false
		return nil
	}
	publish := func(m *nats.Msg) error {
		staged++
		m.Header.Set("Nats-Batch-Id", batch)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(staged))
		return w.nc.PublishMsg(m)
	}
	commit := func() error {
		if err := await(); err != nil {
			return err
		}
		err := publish(&nats.Msg{Subject: "same.ckpt", Reply: answers.Subject, Header: nats.Header{
			"Nats-Batch-Commit": {"1"}, "Nats-Rollup": {"sub"}, "Nats-Expected-Last-Subject-Sequence": {strconv.FormatUint(checkpoint, 10)},
		}})
		batch, staged, committing = unique(), 0, true
		return err
	}
	var body []byte
	left := n
	w.consume(b, n, func(m jetstream.Msg) error {
		var subject string
		subject, body = outcome(m, body)
		left--
		if err := publish(&nats.Msg{Subject: subject, Header: nats.Header{}, Data: body}); err != nil {
			return err
		}
		if staged < most && left > 0 {
			return nil
		}
		return commit()
	})
	require.NoError(b, await())
}

func unique() string { return strings.TrimPrefix(nats.NewInbox(), nats.InboxPrefix) }

// byHand is the worker that one writes without an engine: a durable consumer with
// explicit acknowledgement, an answer published for each sample, and the sample
// acknowledged when the answer is stored. A crash may store an answer twice.
func (w *works) byHand(b *testing.B, n int, judge func(sample []byte) ([]byte, error)) {
	b.Helper()
	c, err := w.js.CreateConsumer(b.Context(), feedStream, jetstream.ConsumerConfig{Durable: "by-hand", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000})
	require.NoError(b, err)
	type answered struct {
		jetstream.PubAckFuture
		sample jetstream.Msg
	}
	answers, done := make(chan answered, 4096), make(chan error, 2)
	fail := func(err error) {
		select {
		case done <- err:
		default:
		}
	}
	go func() {
		for range n {
			var a answered
			select {
			case a = <-answers:
			case <-b.Context().Done():
				return
			}
			select {
			case <-a.Ok():
			case err := <-a.Err():
				fail(err)
				return
			}
			if err := a.sample.Ack(); err != nil {
				fail(err)
				return
			}
		}
		fail(nil)
	}()
	consume, err := c.Consume(func(m jetstream.Msg) {
		answer, err := judge(m.Data())
		if err != nil {
			fail(err)
			return
		}
		twin := strings.Split(m.Subject(), ".")[2]
		future, err := w.js.PublishAsync("same.answers."+twin, answer, jetstream.WithStallWait(time.Minute))
		if err != nil {
			fail(err)
			return
		}
		answers <- answered{future, m}
	}, jetstream.PullMaxMessages(2000), heartbeat)
	require.NoError(b, err)
	defer consume.Stop()
	require.NoError(b, receive(b, done, "the last answer"))
}

// byStruct judges with what Go itself offers.
func byStruct(text []byte) ([]byte, error) {
	var sample struct {
		Temperature float64 `json:"temperature"`
	}
	if err := json.Unmarshal(text, &sample); err != nil {
		return nil, err
	}
	answer := struct {
		Status      string  `json:"status0"`
		Temperature float64 `json:"temperature"`
	}{"normal", sample.Temperature}
	if sample.Temperature > 30 {
		answer.Status = "extreme"
	}
	return json.Marshal(answer)
}

// byLibrary judges with the JSONLogic library for Go.
func byLibrary(b *testing.B) func([]byte) ([]byte, error) {
	var logic any
	require.NoError(b, json.Unmarshal([]byte(tooHot), &logic))
	return func(text []byte) ([]byte, error) {
		var sample map[string]any
		if err := json.Unmarshal(text, &sample); err != nil {
			return nil, err
		}
		truth, err := jsonlogic.ApplyInterface(logic, sample)
		if err != nil {
			return nil, err
		}
		hot, ok := truth.(bool)
		if !ok {
			return nil, errors.New("the condition is neither true nor false")
		}
		status := "normal"
		if hot {
			status = "extreme"
		}
		return json.Marshal(map[string]any{"status0": status, "temperature": sample["temperature"]})
	}
}

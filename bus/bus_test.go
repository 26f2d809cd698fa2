package bus

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/internal/natstest"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/rules"
)

// The store of an atomic batch that is being staged when the server stops outlives
// it (nats-server v2.15.2).
func TestMain(m *testing.M) {
	if dir := os.Getenv(serveFrom); dir != "" {
		serve(dir)
	}
	const server = "github.com/nats-io/nats-server/v2/server."
	natstest.Main(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreTopFunction(server+"(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction(server+"(*fileStore).flushStreamStateLoop"),
	)
}

func open(t *testing.T, c Config) *Bus {
	t.Helper()
	if c.Dir == "" && c.URL == "" {
		c.Dir = t.TempDir()
	}
	b, err := Open(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// external starts a server of its own, as an operator would, and gives a
// function that starts it again on the same port and data.
func external(t *testing.T) (url string, stop, start func()) {
	t.Helper()
	dir, port := t.TempDir(), porttest.Port(t)
	var s *server.Server
	start = func() {
		var err error
		s, err = server.NewServer(&server.Options{JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: dir, Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
		require.NoError(t, err)
		s.Start()
		require.True(t, s.ReadyForConnections(patience))
	}
	stop = func() {
		done := make(chan struct{})
		go func(s *server.Server) { s.Shutdown(); s.WaitForShutdown(); close(done) }(s)
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("the server did not stop")
		}
	}
	start()
	t.Cleanup(func() { stop() })
	return s.ClientURL(), stop, start
}

// The variables that make the test binary a server, with its data in a folder, on
// a port.
const (
	serveFrom = "BUS_TEST_SERVES_FROM"
	serveOn   = "BUS_TEST_SERVES_ON"
)

// serve says its address, and goes on until its input ends.
func serve(dir string) {
	port, err := strconv.Atoi(os.Getenv(serveOn))
	if err != nil {
		os.Exit(1)
	}
	s, err := server.NewServer(&server.Options{JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: dir, Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		os.Exit(1)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		os.Exit(1)
	}
	fmt.Println(s.ClientURL())
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // whatever ends it
	s.Shutdown()
	os.Exit(0)
}

// elsewhere is a server in a process of its own.
type elsewhere struct {
	t    *testing.T
	dir  string
	port int
	cmd  *exec.Cmd
	url  string
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	e.start()
	t.Cleanup(func() { e.kill() })
	return e
}

func (e *elsewhere) start() {
	e.t.Helper()
	e.cmd = exec.CommandContext(context.WithoutCancel(e.t.Context()), os.Args[0])
	e.cmd.Env = append(os.Environ(), serveFrom+"="+e.dir, serveOn+"="+strconv.Itoa(e.port))
	_, err := e.cmd.StdinPipe() // ends with this process at the latest
	require.NoError(e.t, err)
	out, err := e.cmd.StdoutPipe()
	require.NoError(e.t, err)
	require.NoError(e.t, e.cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(e.t, err)
	e.url = strings.TrimSpace(line)
}

func (e *elsewhere) kill() {
	e.cmd.Process.Kill() //nolint:errcheck // it may have been before
	e.cmd.Wait()         //nolint:errcheck // it was killed
}

// restart kills the server and starts it again, with the same data and port.
func (e *elsewhere) restart() {
	e.t.Helper()
	e.kill()
	e.start()
}

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func sample(twin string, n int) rules.Sample {
	return rules.Sample{Twin: twin, Feed: "temp", At: noon.Add(time.Duration(n) * time.Second), Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

func read(t *testing.T, b *Bus, from uint64, n int) []Message {
	t.Helper()
	r := b.NewReader()
	defer r.Close()
	require.NoError(t, r.Whole(t.Context(), from))
	var all []Message
	for len(all) < n {
		got, err := r.Next(t.Context(), patience, nil)
		require.NoError(t, err)
		require.NotEmpty(t, got, "want %d messages, have %d", n, len(all))
		all = append(all, got...)
	}
	return all
}

func TestTokens(t *testing.T) {
	for name, want := range map[string]string{
		"machine_1": "machine_1", "did:iotics:iotABC": "did:iotics:iotABC", "": "%", "a.b": "a%2Eb", "a b": "a%20b",
		"*": "%2A", ">": "%3E", "a/b+c#d%": "a%2Fb%2Bc%23d%25", "a\nb": "a%0Ab", "é": "é",
	} {
		assert.Equal(t, want, Token(name))
		assert.Equal(t, name, Name(want))
	}
	assert.Equal(t, "100%", Name("100%"), "what was not well encoded stays")
}

func FuzzTokens(f *testing.F) {
	f.Add("a.b c%")
	f.Fuzz(func(t *testing.T, name string) {
		token := Token(name)
		if strings.ContainsAny(token, ".*> \t\r\n\x00") || token == "" || Name(token) != name {
			t.Fatalf("%q became %q and back %q", name, token, Name(token))
		}
	})
}

func TestMarks(t *testing.T) {
	m := Mark{Seq: 17, Index: 3, Ordinal: 1, Count: 2}
	assert.Equal(t, "17.3 1/2", string(appendMark(nil, m)))
	got, err := parseMark("17.3 1/2")
	require.NoError(t, err)
	assert.Equal(t, m, got)
	_, err = parseMark("17")
	require.EqualError(t, err, `got "17"; want "seq.index ordinal/count"`)
	for _, tt := range []struct {
		tail, mark Mark
		want       bool
	}{
		{Mark{}, m, false},
		{m, m, true},
		{m, Mark{17, 3, 0, 2}, true},
		{Mark{17, 3, 0, 2}, m, false},
		{Mark{17, 4, 0, 1}, m, true},
		{Mark{18, 0, 0, 1}, m, true},
		{Mark{16, 9, 9, 10}, m, false},
	} {
		assert.Equal(t, tt.want, tt.tail.Covers(tt.mark), "%v %v", tt.tail, tt.mark)
	}
}

// The server's own partition() and ours must agree, or a device that publishes
// to in.> and one behind a source would be judged by different workers.
func TestPartitionsAreTheServers(t *testing.T) {
	b := open(t, Config{})
	nc, err := b.Dial(t.Context())
	require.NoError(t, err)
	defer nc.Close()
	const n = 300
	for i := range n {
		require.NoError(t, nc.Publish(fmt.Sprintf("in.%s.temp", Token(fmt.Sprintf("did:x/%d", i))), []byte(`{"n":1}`)))
	}
	seen := map[int]bool{}
	for _, m := range read(t, b, 1, n) {
		assert.Equal(t, b.Partition(m.Twin), m.Partition, m.Twin)
		assert.Equal(t, OneSample, m.Kind)
		assert.Equal(t, "temp", m.Feed)
		seen[m.Partition] = true
	}
	assert.Len(t, seen, b.Partitions())
}

func TestPutKeepsOrderAndTime(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	var batch []rules.Sample
	for i := range 1500 {
		batch = append(batch, sample(fmt.Sprintf("m%d", i%3), i))
	}
	batch[700].ID = "mine"
	batch[701].Data = []byte("{\n}")
	batch[702].Data = []byte("not JSON")
	require.NoError(t, b.Put(t.Context(), CallID(), batch))
	state, err := b.FeedState(t.Context())
	require.NoError(t, err)
	assert.False(t, state.Controls)

	at := map[string]int{}
	got := 0
	for _, m := range read(t, b, 1, int(state.Last)) {
		if m.Kind == OneSample {
			assert.False(t, m.At.Equal(m.Stored), "the header's time counts")
			got++
			continue
		}
		require.Equal(t, ManySamples, m.Kind)
		for line := range strings.Lines(string(m.Data)) {
			var twin string
			var n int
			_, err := fmt.Sscanf(line, `{"twin":"m%1s","feed":"temp","occurredAt":"2026-11-01T12:`, &twin)
			require.NoError(t, err, line)
			_, err = fmt.Sscanf(line[strings.Index(line, `"data":`):], `"data":{"n":%d}}`, &n)
			require.NoError(t, err, line)
			assert.GreaterOrEqual(t, n, at[twin], "order of %s", twin)
			at[twin] = n
			got++
		}
	}
	assert.Equal(t, 1500, got)
}

func TestPutTwiceStoresOnce(t *testing.T) {
	b := open(t, Config{})
	batch := []rules.Sample{sample("a", 1), sample("b", 2), sample("c", 3)}
	batch[1].ID = "once"
	for range 3 {
		require.NoError(t, b.Put(t.Context(), "call", batch))
	}
	state, err := b.FeedState(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(3), state.Last)
}

func TestAFullStoreSaysSo(t *testing.T) {
	b := open(t, Config{Streams: Streams{Feed: Stream{MaxBytes: 1 << 20}}})
	big := sample("a", 1)
	big.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 200_000))
	var err error
	for range 10 {
		if err = b.Put(t.Context(), CallID(), []rules.Sample{big}); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrFull)
	// What was judged makes room.
	state, err := b.FeedState(t.Context())
	require.NoError(t, err)
	judged(t, b, state.Last)
	require.NoError(t, b.MakeRoom(t.Context()))
	require.NoError(t, b.Put(t.Context(), CallID(), []rules.Sample{big}))
}

func TestForeignMessages(t *testing.T) {
	b := open(t, Config{Partitions: 2})
	nc, err := b.Dial(t.Context())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for _, m := range []*nats.Msg{
		{Subject: "in.a.temp", Data: []byte(`{}`), Header: nats.Header{"Tocsin-Time": {"yesterday"}}},
		{Subject: "in.a.temp", Data: []byte(`{}`), Header: nats.Header{"Tocsin-Time": {"2026-11-01T13:00:00+01:00"}}},
		{Subject: "feed.9.a.temp", Data: []byte(`{}`)},
		{Subject: "feed.0._batch", Data: []byte("{}\n")},
		{Subject: "feed.0.a%2Eb.temp", Data: []byte(`{}`)},
	} {
		_, err := js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
	}
	got := read(t, b, 1, 5)
	assert.Equal(t, Unreadable, got[0].Kind)
	assert.Equal(t, "time", got[0].Reason)
	assert.True(t, got[1].At.Equal(noon))
	assert.Equal(t, "subject", got[2].Reason)
	assert.Equal(t, ManySamples, got[3].Kind)
	assert.Equal(t, "a.b", got[4].Twin)
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: "feed.0.a.temp", Header: nats.Header{headerSource: {"OUT 1 > > out.0.a.b.c"}}})
	require.Error(t, err, "nobody can say that something is an output of ours")
}

func outcome(twin string, seq uint64) (*rules.Outcome, Mark) {
	return &rules.Outcome{
		Kind: rules.Output, Interaction: "i", Rule: "r", Twin: twin + "-out", Source: twin, Feed: "status", At: noon,
		Data: []byte(`{"status":"normal"}`), Seq: seq, Hops: 1,
	}, Mark{Seq: seq, Count: 1}
}

// ownWriter is a writer that owns every partition.
type ownWriter struct {
	Writer
	t *testing.T
	b *Bus
}

func newWriter(t *testing.T, b *Bus, trouble func(error)) ownWriter {
	t.Helper()
	id := CallID()
	w, err := b.NewWriter(t.Context(), id, trouble)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	for p := range b.Partitions() {
		f, err := b.Fence(t.Context(), p, id, 1)
		require.NoError(t, err)
		w.Own(f)
	}
	return ownWriter{w, t, b}
}

// put writes an outcome where it belongs.
func (w ownWriter) put(o *rules.Outcome, m Mark) {
	w.t.Helper()
	require.NoError(w.t, w.Write(w.t.Context(), w.b.home(o), o, m))
}

func (w ownWriter) flush() {
	w.t.Helper()
	require.NoError(w.t, w.Flush(w.t.Context()))
}

func (b *Bus) home(o *rules.Outcome) int { return b.Partition(cmp.Or(o.Source, o.Twin)) }

func tail(t *testing.T, b *Bus, twin string) Mark {
	t.Helper()
	m, err := b.Tail(t.Context(), b.Partition(twin))
	require.NoError(t, err)
	return m
}

// messages gives what OUT has.
func messages(t *testing.T, b *Bus) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	info, err := b.out.Info(t.Context())
	require.NoError(t, err)
	for i := max(info.State.FirstSeq, 1); i <= info.State.LastSeq; i++ {
		m, err := b.out.GetMsg(t.Context(), i)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // a fence that has been put up anew
		}
		require.NoError(t, err)
		all = append(all, m)
	}
	return all
}

// stored gives the sequences of the causes in OUT, in order.
func stored(t *testing.T, b *Bus) (seqs []uint64) {
	t.Helper()
	for _, m := range messages(t, b) {
		if strings.HasPrefix(m.Subject, fencePrefix) {
			continue
		}
		o, err := rules.DecodeOutcome(m.Data)
		require.NoError(t, err)
		seqs = append(seqs, o.Seq)
	}
	return seqs
}

// fewer is a part of so many, in short tests.
func fewer(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

func inOrder(n int) []uint64 {
	want := make([]uint64, n)
	for i := range want {
		want[i] = uint64(i + 1)
	}
	return want
}

func TestReaderGoesOnWhenTheServerComesBack(t *testing.T) {
	url, stop, start := external(t)
	b := open(t, Config{URL: url})
	require.NoError(t, b.Put(t.Context(), CallID(), []rules.Sample{sample("a", 1)}))
	r := b.NewReader()
	defer r.Close()
	require.NoError(t, r.Whole(t.Context(), 1))
	got, err := r.Next(t.Context(), patience, nil)
	require.NoError(t, err)
	require.Len(t, got, 1)
	stop()
	require.Eventually(t, func() bool { return b.Healthy() != nil }, patience, 10*time.Millisecond)
	require.Error(t, b.Put(t.Context(), "again", []rules.Sample{sample("a", 2)}), "nothing is buffered while it is away")
	start()
	require.Eventually(t, func() bool {
		return b.Put(t.Context(), "again", []rules.Sample{sample("a", 2)}) == nil
	}, patience, 50*time.Millisecond)
	got, err = r.Next(t.Context(), patience, got)
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, uint64(2), got[0].Seq)
}

func TestDeadLetters(t *testing.T) {
	b := open(t, Config{})
	seq, index, err := b.LastBuried(t.Context(), 3)
	require.NoError(t, err)
	assert.Zero(t, seq)
	assert.Zero(t, index)
	l := DeadLetter{Stage: StageFeed, Partition: 3, Reason: "not JSON\nat all", Twin: "a.b", Feed: "temp", Seq: 17, Index: 2, Data: make([]byte, 100_000)}
	require.NoError(t, b.Bury(t.Context(), l))
	require.NoError(t, b.Bury(t.Context(), l), "twice is once")
	require.NoError(t, b.Bury(t.Context(), DeadLetter{Stage: StageSink, Sink: "pager", Reason: "410 Gone", Seq: 99}))
	got, err := b.DeadLetters(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, got, 2)
	assert.Equal(t, "pager", got[0].Sink)
	assert.Equal(t, StageSink, got[0].Stage)
	assert.Equal(t, "not JSON at all", got[1].Reason)
	assert.Equal(t, "a.b", got[1].Twin)
	assert.Len(t, got[1].Data, DeadLetterBytes)
	assert.Equal(t, 3, got[1].Partition)
	seq, index, err = b.LastBuried(t.Context(), 3)
	require.NoError(t, err)
	assert.Equal(t, uint64(17), seq)
	assert.Equal(t, uint32(2), index)
	seq, _, err = b.LastBuried(t.Context(), b.Partition("a.b"))
	require.NoError(t, err)
	assert.Zero(t, seq, "the partition that judged it counts, not that of the name in it")
}

func TestSinksGetWhatTheyWantUntilItArrives(t *testing.T) {
	b := open(t, Config{})
	d, err := b.Subscribe(t.Context(), Subscription{Name: "ops.pager", Kind: rules.Alert, Workers: 2})
	require.NoError(t, err)
	w := newWriter(t, b, nil)
	o, m := outcome("machine", 1)
	w.put(o, m)
	a := &rules.Outcome{
		Kind: rules.Alert, Interaction: "i", Rule: "r", Twin: "machine", At: noon, Data: []byte(`{}`), Seq: 2,
		ID: "al_x", State: rules.StateFiring, Severity: "critical", Starts: noon,
	}
	w.put(a, Mark{Seq: 2, Index: 5, Count: 1})
	w.flush()

	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var attempts []int
	done := make(chan error)
	go func() {
		done <- d.Run(ctx, time.Second, func(_ context.Context, d Delivery) Answer {
			mu.Lock()
			defer mu.Unlock()
			assert.NoError(t, d.Err)
			assert.Equal(t, rules.Alert, d.Outcome.Kind)
			assert.Equal(t, "machine", d.Outcome.Source)
			assert.Equal(t, uint32(5), d.Outcome.Index)
			attempts = append(attempts, d.Attempt)
			if d.Attempt < 3 {
				return Answer{Again: 10 * time.Millisecond}
			}
			cancel()
			return Answer{Done: true}
		})
	}()
	require.NoError(t, <-done)
	assert.Equal(t, []int{1, 2, 3}, attempts)
	require.Eventually(t, func() bool {
		n, err := d.Waiting(t.Context())
		return err == nil && n == 0
	}, patience, 5*time.Millisecond)
	_, err = b.Subscribe(t.Context(), Subscription{Name: "ops.pager", Kind: rules.Alert})
	require.NoError(t, err, "a consumer is found again")
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(t.Context(), Config{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, b.PutTwin(t.Context(), "did:a.b/c", []byte("one")))
	require.NoError(t, b.PutTwin(t.Context(), "other", []byte("two")))
	require.NoError(t, b.DeleteTwin(t.Context(), "other"))
	_, err = b.PutRule(t.Context(), "r", []byte("rule"))
	require.NoError(t, err)
	require.NoError(t, b.DeleteRule(t.Context(), "r"))
	none, r, err := b.LoadSnapshot(t.Context(), 3)
	require.NoError(t, err)
	assert.Nil(t, none)
	large := bytes.Repeat([]byte("state"), 300_000)
	for _, state := range [][]byte{large, {}, []byte("small"), large} {
		r, err = b.SaveSnapshot(t.Context(), 3, 17, state, r)
		require.NoError(t, err)
		got, _, err := b.LoadSnapshot(t.Context(), 3)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(state, got))
	}
	b.Close()

	b = open(t, Config{Dir: dir})
	var got []string
	for doc, err := range b.Twins(t.Context()) {
		require.NoError(t, err)
		got = append(got, string(doc))
	}
	assert.Equal(t, []string{"one"}, got)
	state, _, err := b.LoadSnapshot(t.Context(), 3)
	require.NoError(t, err)
	assert.Equal(t, large, state)
}

// writeOutcomes stores n outcomes in OUT.
func writeOutcomes(t *testing.T, b *Bus, n int) {
	w := newWriter(t, b, nil)
	for i := range n {
		o, m := outcome("machine", uint64(i+1))
		w.put(o, m)
	}
	w.flush()
}

func TestRoomIsMadeOnlyOfWhatEverySinkHas(t *testing.T) {
	b := open(t, Config{ReplayWindow: time.Nanosecond})
	slow, err := b.Subscribe(t.Context(), Subscription{Name: "slow", Kind: rules.Output})
	require.NoError(t, err)
	_, err = b.Subscribe(t.Context(), Subscription{Name: "alerts", Kind: rules.Alert})
	require.NoError(t, err, "a sink that waits for what does not come holds nothing up")
	writeOutcomes(t, b, 10)
	left := func() int {
		require.NoError(t, b.MakeRoom(t.Context()))
		return len(stored(t, b))
	}
	require.Equal(t, 10, left(), "the sink has nothing yet")
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	require.NoError(t, slow.Run(ctx, time.Second, func(context.Context, Delivery) Answer {
		if seen++; seen == 10 {
			cancel()
		}
		return Answer{Done: true}
	}))
	eventually(t, func() bool { return left() == 1 }, "the last one is the checkpoint")
}

func TestRoomIsMadeWithoutSinksThatAreGone(t *testing.T) {
	b := open(t, Config{ReplayWindow: time.Nanosecond})
	_, err := b.Subscribe(t.Context(), Subscription{Name: "gone"})
	require.NoError(t, err)
	b.sinks.Clear() // as after a restart without it
	writeOutcomes(t, b, 3)
	require.NoError(t, b.MakeRoom(t.Context()))
	assert.Len(t, stored(t, b), 1)
}

// What the writer says to the stream itself is not for those who listen.
func TestPlainSubscribersSeeOnlyOutcomes(t *testing.T) {
	b := open(t, Config{})
	nc, err := b.Dial(t.Context())
	require.NoError(t, err)
	defer nc.Close()
	sub, err := nc.SubscribeSync("out.>")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	w := newWriter(t, b, nil)
	for i := range 3 {
		o, m := outcome("machine", uint64(i+1))
		w.put(o, m)
		w.flush()
	}
	for range 3 {
		m, err := sub.NextMsg(patience)
		require.NoError(t, err)
		assert.NotEmpty(t, m.Data)
	}
	_, err = sub.NextMsg(50 * time.Millisecond)
	require.ErrorIs(t, err, nats.ErrTimeout)
}

func TestChain(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	w := newWriter(t, b, nil)
	o, m := outcome("before", 1)
	w.put(o, m)
	w.flush()
	require.NoError(t, b.Chain(t.Context(), true))
	require.NoError(t, b.Chain(t.Context(), true), "on is on")
	o, m = outcome("machine", 2)
	w.put(o, m)
	w.flush()
	got := read(t, b, 1, 1)[0]
	assert.Equal(t, OneSample, got.Kind)
	assert.Equal(t, "machine-out", got.Twin, "only what came since")
	assert.Equal(t, "status", got.Feed)
	assert.Equal(t, uint8(1), got.Hops)
	assert.Equal(t, b.Partition("machine-out"), got.Partition)
	assert.JSONEq(t, `{"status":"normal"}`, string(got.Data))
	assert.True(t, got.At.Equal(noon))
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close() //nolint:errcheck // it was only taken
	dir := t.TempDir()
	locked := open(t, Config{Dir: filepath.Join(dir, "locked"), Partitions: 8})
	_ = locked
	made := filepath.Join(dir, "made")
	b, err := Open(t.Context(), Config{Dir: made, Partitions: 8})
	require.NoError(t, err)
	b.Close()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, tt := range map[string]struct {
		config Config
		want   string
	}{
		"port taken":      {Config{Dir: t.TempDir(), Listen: taken.Addr().String()}, "bus.listen: listen tcp " + taken.Addr().String() + ": bind: address already in use"},
		"no port":         {Config{Dir: t.TempDir(), Listen: "localhost"}, `bus.listen "localhost": want host:port`},
		"folder in use":   {Config{Dir: filepath.Join(dir, "locked")}, "another engine uses it; want one engine a folder"},
		"folder a file":   {Config{Dir: file}, "data folder " + file},
		"partitions":      {Config{Dir: t.TempDir(), Partitions: 65}, "bus: partitions: got 65; want 1 to 64"},
		"partitions made": {Config{Dir: made, Partitions: 4}, "has 8 partitions and the configuration says 4"},
		"durability":      {Config{Dir: t.TempDir(), Durability: "often"}, `bus: durability: got "often"; want fast, interval or always`},
		"both":            {Config{URL: "nats://127.0.0.1:1", Listen: "127.0.0.1:0"}, "bus: listen: both url and listen"},
		"another scheme":  {Config{URL: "http://u:s3cret@127.0.0.1:4222"}, "bus: url: not the address of a NATS server; want nats://host:port, or several with commas between"},
		"commit":          {Config{Commit: "often"}, `bus: commit: got "often"; want fast or exactly`},
		"fast replicas":   {Config{Commit: CommitFast, Replicas: 3}, "bus: commit: fast on 3 replicas of OUT; want exactly"},
		"nobody there":    {Config{URL: "nats://127.0.0.1:1"}, "bus.url nats://127.0.0.1:1: "},
		"no such creds":   {Config{URL: "nats://127.0.0.1:1", TLS: TLS{CA: "/nowhere"}}, "tls ca: open /nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), tt.config)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestListening(t *testing.T) {
	b := open(t, Config{Listen: "127.0.0.1:0"})
	nc, err := nats.Connect(b.ClientURL(), nats.Timeout(patience))
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.Publish("in.a.temp", []byte(`{"n":1}`)))
	assert.Equal(t, "a", read(t, b, 1, 1)[0].Twin)
	assert.Empty(t, open(t, Config{}).ClientURL(), "it listens only when it is told to")
	require.ErrorIs(t, putError(&jetstream.APIError{ErrorCode: codeStoreFailed}), ErrFull)
}

// What may be otherwise in a moment is told from what will not.
func TestWhatIsNotYet(t *testing.T) {
	_, nobody := Open(t.Context(), Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", porttest.Port(t))})
	plain := natstest.Serve(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	_, without := Open(t.Context(), Config{URL: plain.ClientURL()})
	assert.ErrorContains(t, without, "no JetStream")
	locked := natstest.Serve(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "a", Password: "b", NoLog: true, NoSigs: true})
	_, refused := Open(t.Context(), Config{URL: locked.ClientURL()})
	url, _, _ := external(t)
	_, wrong := Open(t.Context(), Config{URL: url, Streams: Streams{Feed: Stream{Existing: true}}})
	for _, c := range []struct {
		err    error
		notYet bool
	}{
		{nobody, true},
		{without, true},
		{&jetstream.APIError{Code: 503, ErrorCode: 10008}, true}, // the cluster has no leader yet
		{&net.OpError{Op: "dial", Err: errors.New("no such host")}, true},
		{jetstream.ErrJetStreamNotEnabled, false}, // for this account
		{refused, false},
		{wrong, false},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, false},
	} {
		require.Error(t, c.err)
		assert.Equal(t, c.notYet, NotYet(c.err), "%v", c.err)
	}
}

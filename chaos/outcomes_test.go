//go:build unix

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
)

// readPatience is how long nothing may come of what is still expected.
const readPatience = 3 * time.Minute

// outcome is one of OUT, or one that a replay has printed: what is compared of it.
type outcome struct {
	text   string // without cause, an output without its twin
	seq    uint64 // in OUT, or the line
	stored time.Time
}

// outcomes are kept by the twin that was judged, each twin's in their order.
type outcomes struct {
	byTwin map[string][]outcome
	count  int
}

func (o *outcomes) add(twin string, line []byte, seq uint64, stored time.Time) {
	if o.byTwin == nil {
		o.byTwin = map[string][]outcome{}
	}
	o.byTwin[twin] = append(o.byTwin[twin], outcome{string(compared(line)), seq, stored})
	o.count++
}

// compared is an outcome without what differs between a replay and the stream:
// its cause, which is its last member, and the twin of an output.
func compared(line []byte) []byte {
	line = bytes.TrimSpace(line)
	if i := bytes.LastIndex(line, []byte(`,"cause":{`)); i > 0 {
		line = append(slices.Clone(line[:i]), '}')
	}
	if !bytes.HasPrefix(line, []byte(`{"kind":"output"`)) {
		return line
	}
	before, rest, found := bytes.Cut(line, []byte(`,"twin":"`))
	if !found {
		return line
	}
	_, after, _ := bytes.Cut(rest, []byte(`"`))
	return slices.Concat(before, after)
}

// replay judges samples offline, in the order in which they are given.
func (s *site) replay(samples []string) *outcomes {
	s.t.Helper()
	recording := write(s.t, s.dir, "feed.ndjson", strings.Join(samples, "\n")+"\n")
	return s.replayed("--samples", recording, "--twins", s.twins)
}

// replayStream judges offline what FEED retains, in its order.
func (s *site) replayStream() *outcomes {
	s.t.Helper()
	config := fmt.Sprintf(`{"bus":{"url":%q,"partitions":%v,"replicas":%d}}`, s.urls(), s.bus["partitions"], max(len(s.servers), 1))
	return s.replayed("-c", write(s.t, s.dir, "replay.json", config))
}

func (s *site) replayed(arguments ...string) *outcomes {
	s.t.Helper()
	file := filepath.Join(s.dir, "replayed.ndjson")
	cmd := exec.CommandContext(s.t.Context(), engineBinary(s.t), append([]string{"replay", "--rules", s.rules, "--out", file}, arguments...)...)
	summary, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%s", summary)
	require.NotContains(s.t, string(summary), "could not be judged")
	text, err := os.ReadFile(file)
	require.NoError(s.t, err)
	o := &outcomes{}
	for line := range bytes.Lines(text) {
		var id struct{ Twin string }
		require.NoError(s.t, json.Unmarshal(line, &id))
		o.add(id.Twin, line, uint64(o.count+1), time.Time{})
	}
	return o
}

// reader reads a stream from where it has stopped the last time.
type reader struct {
	js   jetstream.JetStream
	name string
	seq  uint64 // of the last message read
}

// next calls each for every message that has come since. It goes on where the
// connection was lost, or the server was not there.
func (r *reader) next(ctx context.Context, each func(m jetstream.Msg, meta *jetstream.MsgMetadata)) error {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	for {
		err := r.try(ctx, each)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if stopped := pause.For(ctx, 50*time.Millisecond); stopped != nil {
			return err
		}
	}
}

func (r *reader) try(ctx context.Context, each func(m jetstream.Msg, meta *jetstream.MsgMetadata)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stream, err := r.js.Stream(ctx, r.name)
	if err != nil {
		return err
	}
	if info := stream.CachedInfo(); info.State.LastSeq <= r.seq || info.State.Msgs == 0 {
		return nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.seq + 1})
	if err != nil {
		return err
	}
	for left := uint64(1); left > 0; {
		batch, err := consumer.FetchNoWait(1000)
		if err != nil {
			return err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			each(m, meta)
			r.seq, left = meta.Sequence.Stream, meta.NumPending
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// collector gathers the outcomes of OUT.
type collector struct {
	outcomes
	reader
	times map[int][]time.Time // by partition: when its outcomes were stored, in order
}

func newCollector(t *testing.T, s *site) *collector {
	t.Helper()
	_, js := connect(t, s.urls())
	return &collector{reader: reader{js: js, name: "OUT"}, times: map[int][]time.Time{}}
}

func (c *collector) read(ctx context.Context) error {
	return c.next(ctx, func(m jetstream.Msg, meta *jetstream.MsgMetadata) {
		tokens := strings.Split(m.Subject(), ".")
		var twin string
		switch tokens[0] {
		case "out":
			twin = tokens[2]
		case "alert":
			twin = tokens[4]
		default:
			return // not an outcome: who writes a partition
		}
		c.add(twin, m.Data(), meta.Sequence.Stream, meta.Timestamp)
		if p, err := strconv.Atoi(tokens[1]); err == nil {
			c.times[p] = append(c.times[p], meta.Timestamp)
		}
	})
}

// await reads until n outcomes are there, or nothing comes any more.
func (c *collector) await(t *testing.T, n int) {
	t.Helper()
	for last := time.Now(); c.count < n && time.Since(last) < readPatience; {
		before := c.count
		require.NoError(t, c.read(t.Context()))
		if c.count > before {
			last = time.Now()
		}
		pass(t, 100*time.Millisecond)
	}
}

// stop is a time in which a partition had no new outcome.
type stop struct {
	partition int
	from, to  time.Time
}

func (s stop) length() time.Duration { return s.to.Sub(s.from) }

// longest is, of all partitions, the longest time in which one had no new outcome.
func (c *collector) longest() (worst stop) {
	for p := range c.times {
		if s := c.longestOf(p, time.Time{}); s.length() > worst.length() {
			worst = s
		}
	}
	return worst
}

// longestOf is that of a partition, of those that end after a time.
func (c *collector) longestOf(p int, after time.Time) (worst stop) {
	times := c.times[p]
	for i := 1; i < len(times); i++ {
		if s := (stop{p, times[i-1], times[i]}); times[i].After(after) && s.length() > worst.length() {
			worst = s
		}
	}
	return worst
}

// feed gives the samples that FEED has, as lines, in its order.
func (s *site) feed() (lines []string) {
	s.t.Helper()
	_, js := connect(s.t, s.urls())
	r := reader{js: js, name: "FEED"}
	require.NoError(s.t, r.next(s.t.Context(), func(m jetstream.Msg, _ *jetstream.MsgMetadata) {
		tokens := strings.Split(m.Subject(), ".")
		switch tokens[2] {
		case "_ctl", "_tick":
		case "_batch":
			for line := range bytes.Lines(m.Data()) {
				lines = append(lines, string(bytes.TrimSpace(line)))
			}
		default:
			x := sample{twin: tokens[2], feed: tokens[3], data: string(m.Data())}
			x.at, _ = time.Parse(time.RFC3339Nano, m.Headers().Get("Tocsin-Time")) // none: it counts when it was stored
			lines = append(lines, x.line())
		}
	}))
	return lines
}

// deadLetters gives the reasons of those of judging.
func (s *site) deadLetters() (reasons []string) {
	s.t.Helper()
	_, js := connect(s.t, s.urls())
	r := reader{js: js, name: "DLQ"}
	require.NoError(s.t, r.next(s.t.Context(), func(m jetstream.Msg, _ *jetstream.MsgMetadata) {
		reasons = append(reasons, m.Subject()+" "+m.Headers().Get("Tocsin-Reason"))
	}))
	return reasons
}

// verify compares what came out with what a replay of FEED gives, after every
// worker has stopped, so that nothing can come any more. One that has its server
// inside is started once more.
func (s *site) verify(c *collector, want *outcomes) {
	s.t.Helper()
	c.await(s.t, want.count)
	for _, w := range s.workers {
		w.term()
		if len(s.servers) == 0 {
			w.launch()
			w.ready()
		}
	}
	require.NoError(s.t, c.read(s.t.Context()))
	if text := difference(want.byTwin, c.byTwin); text != "" {
		assert.Fail(s.t, "OUT is not what a replay gives", "%d outcomes, want %d\n%s", c.count, want.count, text)
	}
	assert.Empty(s.t, s.deadLetters())
}

// difference tells the first twin, in the order of their names, that differs,
// and of how many twins there are too few, too many or the same in another order.
func difference(want, got map[string][]outcome) string {
	names := map[string]bool{}
	for name := range want {
		names[name] = true
	}
	for name := range got {
		names[name] = true
	}
	var first string
	var few, many, other int
	for _, name := range slices.Sorted(maps.Keys(names)) {
		i := mismatch(want[name], got[name])
		switch {
		case i < 0:
			continue
		case len(got[name]) < len(want[name]):
			few++
		case len(got[name]) > len(want[name]):
			many++
		default:
			other++
		}
		if first == "" {
			first = fmt.Sprintf("%s: outcome %d of %d, want %d:\n got  %s\n want %s\n then got  %s\n then want %s\n before    %s",
				name, i, len(got[name]), len(want[name]), at(got[name], i), at(want[name], i), at(got[name], i+1), at(want[name], i+1), at(got[name], i-1))
		}
	}
	if first == "" {
		return ""
	}
	return fmt.Sprintf("%d twins have too few, %d too many, %d others\n%s", few, many, other, first)
}

// mismatch is the first place where the two differ, or -1.
func mismatch(want, got []outcome) int {
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i].text != got[i].text {
			return i
		}
	}
	return -1
}

func at(all []outcome, i int) string {
	if i < 0 || i >= len(all) {
		return "nothing"
	}
	return fmt.Sprintf("%d: %s", all[i].seq, all[i].text)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const crashRule = `{"id":"overheating","sources":[{"id":"1","feeds":[{"id":"currentTemp"}],"modelDid":"did:m"}],"rules":[
{"transformation":{"conditions":[{"fieldsIncludedInOutput":["temperature"],"jsonLogic":{">":[{"var":"temperature"},30]}}],"outputFeedId":"temperature_status","outputFieldId":"status","outputTrueValue":"extreme","outputFalseValue":"normal","sourceFeedId":"currentTemp","sourceId":"1"}},
{"alert":{"id":"too-hot","severity":"critical","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}]}}]}`

// process is an engine that can be killed.
type process struct {
	t    *testing.T
	dir  string
	port int
	nats int
	cmd  *exec.Cmd
	log  bytes.Buffer
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.CommandContext(p.t.Context(), os.Args[0], "run", "-c", filepath.Join(p.dir, "engine.json"))
	p.cmd.Env = append(os.Environ(), asEngine+"=1")
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, &p.log
	require.NoError(p.t, p.cmd.Start())
	require.Eventually(p.t, func() bool {
		status, _, err := request(p.t.Context(), http.MethodGet, p.url("/readyz"), "", nil)
		return err == nil && status == http.StatusOK
	}, 30*time.Second, 10*time.Millisecond, "%s", &p.log)
}

func (p *process) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path) }

func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may be dead already
	p.cmd.Wait()         //nolint:errcheck // killed is what it is meant to be
}

// post sends a batch under its key until it is answered, and says whether it was.
func (p *process) post(key string, batch []string) bool {
	header := http.Header{"Content-Type": {"application/x-ndjson"}, "Idempotency-Key": {key}}
	status, text, err := request(p.t.Context(), http.MethodPost, p.url("/api/v1/samples"), strings.Join(batch, "\n"), header)
	if err != nil {
		return false
	}
	require.Equal(p.t, http.StatusOK, status, text)
	return true
}

// feed posts lines in batches until each has been answered. Before those of which
// due says so the engine is killed, after the time that it says, and started again.
func (p *process) feed(lines []string, size int, due func(i int) (time.Duration, bool)) (kills int) {
	p.t.Helper()
	for i := 0; i < len(lines); i += size {
		key, batch := fmt.Sprint("batch-", i), lines[i:min(i+size, len(lines))]
		if wait, ok := due(i); ok {
			kills++
			timer := time.AfterFunc(wait, func() { p.cmd.Process.Kill() }) //nolint:errcheck // it may be dead already
			p.post(key, batch)
			timer.Stop()
			p.kill()
			p.start()
		}
		for !p.post(key, batch) {
			p.kill()
			p.start()
		}
	}
	return kills
}

// Ten thousand samples through HTTP, the engine killed again and again in the
// middle, and what was not answered sent again: the outcomes are those of a
// replay, none missing, none twice, in order.
func TestKilledEngineLosesAndDoublesNothing(t *testing.T) {
	p := &process{t: t, dir: t.TempDir(), port: freePort(t), nats: freePort(t)}
	write := func(name, text string) string {
		file := filepath.Join(p.dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	const twinCount, sampleCount, batchSize = 50, 10_000, 100
	var twins []string
	for i := range twinCount {
		twins = append(twins, fmt.Sprintf(`{"twinId":"machine_%d","properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}],"feeds":[{"id":"currentTemp"}]}`, i))
	}
	rule := write("rule.json", crashRule)
	write("engine.json", fmt.Sprintf(`{"bus":{"dir":%q,"listen":"127.0.0.1:%d"},"http":{"listen":"127.0.0.1:%d"},"rules":%q,"twins":{"files":[%q]},"snapshotEvery":"100ms"}`,
		filepath.Join(p.dir, "data"), p.nats, p.port, rule, write("twins.json", "["+strings.Join(twins, ",")+"]")))

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	begin := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	var samples []string
	for i := range sampleCount {
		samples = append(samples, fmt.Sprintf(`{"twin":"machine_%d","feed":"currentTemp","occurredAt":%q,"data":{"temperature":%.1f}}`,
			random.IntN(twinCount), begin.Add(time.Duration(i)*time.Second).Format(time.RFC3339), 25+10*random.Float64()))
	}
	want := replayLines(t, rule, write("samples.ndjson", strings.Join(samples, "\n")+"\n"))

	p.start()
	defer p.kill()
	kills := p.feed(samples, batchSize, func(i int) (time.Duration, bool) {
		return time.Duration(random.IntN(4000)) * time.Microsecond, i == sampleCount/2 || random.IntN(25) == 0
	})
	got := outLines(t, p.nats, len(want.all))
	t.Logf("%d samples, %d outcomes, killed %d times", sampleCount, len(want.all), kills)
	assert.Equal(t, want.byTwin, got)
}

// outcomes are lines without cause and output twin, by source twin.
type outcomes struct {
	all    []string
	byTwin map[string][]string
}

func (o *outcomes) add(t *testing.T, source string, line []byte) {
	var fields map[string]any
	require.NoError(t, json.Unmarshal(line, &fields))
	delete(fields, "cause")
	delete(fields, "twin")
	text, err := json.Marshal(fields)
	require.NoError(t, err)
	o.all = append(o.all, string(text))
	if o.byTwin == nil {
		o.byTwin = map[string][]string{}
	}
	o.byTwin[source] = append(o.byTwin[source], string(text))
}

func replayLines(t *testing.T, rule, samples string) (o outcomes) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitFine, run([]string{"replay", "--rules", rule, "--samples", samples}, &stdout, &stderr), stderr.String())
	for line := range bytes.Lines(stdout.Bytes()) {
		var id struct{ Twin string }
		require.NoError(t, json.Unmarshal(line, &id))
		o.add(t, id.Twin, line)
	}
	return o
}

// outLines reads n outcomes from the stream, and then what should not be there.
func outLines(t *testing.T, port, n int) map[string][]string {
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", port))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, "OUT")
	require.NoError(t, err)
	var last uint64
	require.Eventually(t, func() bool {
		info, err := stream.Info(ctx)
		require.NoError(t, err)
		done := info.State.LastSeq >= uint64(n) && info.State.LastSeq == last
		last = info.State.LastSeq
		return done
	}, 90*time.Second, 300*time.Millisecond)
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	var o outcomes
	for read := uint64(0); read < last; {
		batch, err := consumer.FetchNoWait(1000)
		require.NoError(t, err)
		for m := range batch.Messages() {
			o.add(t, strings.Split(m.Subject(), ".")[sourceToken(m.Subject())], m.Data())
			meta, err := m.Metadata()
			require.NoError(t, err)
			read = meta.Sequence.Stream
		}
		require.NoError(t, ctx.Err())
	}
	return o.byTwin
}

func sourceToken(subject string) int {
	if strings.HasPrefix(subject, "alert.") {
		return 4
	}
	return 2
}

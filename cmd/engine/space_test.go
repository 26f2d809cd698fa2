package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/identity"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/twins"
)

// TestTwoSpaces has one engine follow the output twin of another, which shares the
// same outputs there, while either of them is killed: each sample is stored once.
func TestTwoSpaces(t *testing.T) {
	far := &watched{process: process{t: t, dir: t.TempDir(), port: porttest.Port(t)}}
	near := &watched{process: process{t: t, dir: t.TempDir(), port: porttest.Port(t)}}
	output := twins.OutputID("overheating", "machine_1")
	far.write("rule.json", crashRule)
	far.write("twins.json", `[{"twinId":"machine_1","properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}],"feeds":[{"id":"currentTemp"}]},
		{"twinId":"machine_2","properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}],"feeds":[{"id":"currentTemp"}]}]`)
	far.write("engine.json", fmt.Sprintf(`{"bus":{"dir":%q},"http":{"listen":"127.0.0.1:%d"},"rules":%q,"twins":{"files":[%q]},"log":{"level":"warn"},
		"sinks":[{"name":"near","kind":"iotics","outcome":"output","retry":["100ms","500ms"%s],"with":{"host":%q}}]}`,
		far.file("data"), far.port, far.file("rule.json"), far.file("twins.json"), strings.Repeat(`,"1s"`, 200), near.url("")))
	natsPort := porttest.Port(t)
	near.write("twins.json", fmt.Sprintf(`[{"twinId":"far.%s","feeds":[{"id":"temperature_status","storeLast":true}]}]`, output))
	near.write("engine.json", fmt.Sprintf(`{"bus":{"dir":%q,"listen":"127.0.0.1:%d"},"http":{"listen":"127.0.0.1:%d"},"twins":{"files":[%q]},"log":{"level":"warn"},
		"sources":[{"name":"far","kind":"iotics","with":{"host":%q,"twin":"far.{twin}","refresh":"1s","durable":"near",
			"filter":{"properties":[{"key":"https://data.iotics.com/app#createdFrom","uriValue":{"value":"https://data.iotics.com/app#ByInteraction"}}]}}}]}`,
		near.file("data"), natsPort, near.port, near.file("twins.json"), far.url("")))

	near.start()
	t.Cleanup(near.kill)
	far.start()
	t.Cleanup(far.kill)
	shared := 0
	share := func(n int) {
		for range n {
			shared++
			status, text := far.ask(http.MethodPost, "/api/v1/samples", fmt.Sprintf(
				`{"twin":"machine_1","feed":"currentTemp","occurredAt":"2026-11-02T10:%02d:%02dZ","data":{"temperature":%d}}`, shared/60, shared%60, shared))
			require.Equal(t, http.StatusOK, status, text)
		}
	}
	followed := func() bool {
		_, text := far.ask(http.MethodGet, "/metrics", "")
		return strings.Contains(text, `tocsin_stomp_subscriptions 2`)
	}
	require.Eventually(t, followed, time.Minute, 20*time.Millisecond, "%s", &far.log)
	share(20)
	near.stored(natsPort, "far."+output, 20)
	near.stored(natsPort, output, 20)

	far.kill()
	far.start()
	share(20) // some of it before it is followed again
	near.stored(natsPort, "far."+output, 40)
	near.stored(natsPort, output, 40)

	near.kill()
	share(20) // while nobody is there
	near.start()
	near.stored(natsPort, "far."+output, 60)
	near.stored(natsPort, output, 60)
	assert.Eventually(t, func() bool {
		_, text := near.ask(http.MethodGet, "/metrics", "")
		return strings.Contains(text, `tocsin_source_up{source="far"} 1`)
	}, time.Minute, 20*time.Millisecond, "%s", &near.log)
}

// stored wants the samples of a twin in the stream to be the first n, each once.
func (w *watched) stored(natsPort int, twin string, n int) {
	w.t.Helper()
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", natsPort))
	require.NoError(w.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(w.t, err)
	c, err := js.OrderedConsumer(w.t.Context(), "FEED", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"feed.*." + bus.Token(twin) + ".*", "feed.*._batch"}})
	require.NoError(w.t, err)
	seen := map[int]int{}
	end := time.Now().Add(2 * time.Minute) // both sides may be about to try again, or to be given again
	for rest := uint64(1); len(seen) < n || rest > 0; {
		m, err := c.Next(jetstream.FetchMaxWait(30 * time.Second))
		if err != nil && time.Now().Before(end) {
			<-time.After(20 * time.Millisecond)
			continue
		}
		require.NoError(w.t, err, "%d of %d samples of %s: %v\n%s", len(seen), n, twin, seen, &w.log)
		meta, err := m.Metadata()
		require.NoError(w.t, err)
		rest = meta.NumPending
		for line := range strings.SplitSeq(strings.TrimSpace(string(m.Data())), "\n") {
			var in struct {
				Twin        string
				Temperature int
				Data        struct{ Temperature int }
			}
			require.NoError(w.t, json.Unmarshal([]byte(line), &in))
			if in.Twin == "" || in.Twin == twin {
				seen[in.Temperature+in.Data.Temperature]++
			}
		}
	}
	for i := 1; i <= n; i++ {
		assert.Equal(w.t, 1, seen[i], "sample %d of %s", i, twin)
	}
}

// TestSpaceThatWantsIdentities has an engine share its outputs in a space that asks
// for tokens of agents, and follow them there, while its tokens end: the space's
// resolver knows nobody before.
func TestSpaceThatWantsIdentities(t *testing.T) {
	far := inDID(t, "", "", "")
	near := &watched{process: process{t: t, dir: t.TempDir(), port: porttest.Port(t)}}
	key, err := identity.FromSeed([]byte(strings.Repeat("a", 32)), identity.Twin, "out-"+twins.OutputID("overheating", "machine_1"))
	require.NoError(t, err)
	near.write("user", hex.EncodeToString([]byte(strings.Repeat("u", 32))))
	near.write("agent", hex.EncodeToString([]byte(strings.Repeat("a", 32))))
	near.write("rule.json", crashRule)
	near.write("twins.json", fmt.Sprintf(`[{"twinId":"machine_1","properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}],"feeds":[{"id":"currentTemp"}]},
		{"twinId":"back.%s","feeds":[{"id":"temperature_status","storeLast":true}]}]`, key.DID()))
	natsPort := porttest.Port(t)
	who := fmt.Sprintf(`"host":%q,"user":{"seedFile":%q,"name":"user"},"agent":{"seedFile":%q,"name":"agent"},"tokenTime":"20s"`, far.url(""), near.file("user"), near.file("agent"))
	near.write("engine.json", fmt.Sprintf(`{"bus":{"dir":%q,"listen":"127.0.0.1:%d"},"http":{"listen":"127.0.0.1:%d"},"rules":%q,"twins":{"files":[%q]},"log":{"level":"warn"},
		"sinks":[{"name":"far","kind":"iotics","outcome":"output","with":{%s,"twin":"out-{twin}"}}],
		"sources":[{"name":"far","kind":"iotics","with":{%s,"twin":"back.{twin}","refresh":"1s","followerKey":"follower",
			"filter":{"properties":[{"key":"https://data.iotics.com/app#dataSource","uriValue":{"value":"machine_1"}}]}}}]}`,
		near.file("data"), natsPort, near.port, near.file("rule.json"), near.file("twins.json"), who, who))
	near.start()
	t.Cleanup(near.kill)
	connections := func() (n int) {
		_, text := far.ask(http.MethodGet, "/metrics", "", "")
		_, text, _ = strings.Cut(text, "\ntocsin_stomp_connections_total ")
		fmt.Sscan(text, &n) //nolint:errcheck // 0 then
		return n
	}
	began := time.Now()
	for n := 1; n < 10 || connections() < 2 || time.Since(began) < 22*time.Second; n++ { // the first makes the twin, which is then found; the first token ends
		status, text := near.ask(http.MethodPost, "/api/v1/samples", fmt.Sprintf(
			`{"twin":"machine_1","feed":"currentTemp","occurredAt":"2026-11-02T10:%02d:%02dZ","data":{"temperature":%d}}`, n/60, n%60, n))
		require.Equal(t, http.StatusOK, status, text)
		near.stored(natsPort, "back."+key.DID(), n)
		<-time.After(100 * time.Millisecond)
	}
	_, text := far.ask(http.MethodGet, "/metrics", "", "")
	_, errors, _ := strings.Cut(text, "\ntocsin_stomp_errors_total ")
	errors, _, _ = strings.Cut(errors, "\n")
	assert.Equal(t, "0", errors, "no connection outlived its token")
}

package alertmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
	"tocsin.internal/rules"
)

// actual is a Prometheus Alertmanager whose receiver is a webhook of the test.
type actual struct {
	t        *testing.T
	binary   string
	address  string
	config   string
	stop     func()
	received chan string
}

func newReal(t *testing.T) *actual {
	t.Helper()
	binary, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "no prometheus-alertmanager; want it where everything is tested")
		t.Skip("prometheus-alertmanager is not installed")
	}
	m := &actual{t: t, binary: binary, received: make(chan string, 100)}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Alerts []struct {
				Status      string
				Labels      map[string]string
				Fingerprint string
			}
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			return
		}
		for _, a := range body.Alerts {
			m.received <- a.Labels["severity"] + " " + a.Status
		}
	}))
	t.Cleanup(hook.Close)
	m.config = filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(m.config, fmt.Appendf(nil, `
route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: '%s', send_resolved: true}]}]
`, hook.URL), 0o600))
	m.address = fmt.Sprintf("127.0.0.1:%d", porttest.Port(t))
	return m
}

// start starts it without any memory, and waits until it is ready.
func (m *actual) start() {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, m.binary, "--config.file="+m.config, "--storage.path="+m.t.TempDir(), "--web.listen-address="+m.address, "--cluster.listen-address=")
	require.NoError(m.t, cmd.Start())
	var stopped bool
	m.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			_ = cmd.Wait() // it was killed
		}
	}
	m.t.Cleanup(m.stop)
	require.Eventually(m.t, func() bool {
		resp, err := http.Get("http://" + m.address + "/-/ready") //nolint:noctx // it has its own end
		if err != nil {
			return false
		}
		defer resp.Body.Close() //nolint:errcheck // it was only read
		return resp.StatusCode == http.StatusOK
	}, 2*time.Minute, 50*time.Millisecond)
}

// active are the severities of what fires there, with the end that it knows.
func (m *actual) active() map[string]time.Time {
	m.t.Helper()
	resp, err := http.Get("http://" + m.address + "/api/v2/alerts?active=true") //nolint:noctx // it has its own end
	require.NoError(m.t, err)
	defer resp.Body.Close() //nolint:errcheck // it was only read
	var list []struct {
		Labels map[string]string
		EndsAt time.Time
	}
	require.NoError(m.t, json.NewDecoder(resp.Body).Decode(&list))
	out := map[string]time.Time{}
	for _, a := range list {
		out[a.Labels["severity"]] = a.EndsAt
	}
	return out
}

func (m *actual) hears(want string) {
	m.t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		select {
		case got := <-m.received:
			if got == want {
				return
			}
		case <-timeout:
			require.Fail(m.t, "the receiver was not told", want)
		}
	}
}

func TestRealAlertmanager(t *testing.T) {
	m := newReal(t)
	m.start()
	s := open(t, fmt.Sprintf(`{"urls":["http://%s"]}`, m.address))
	raised := event(1, rules.EventRaised, "major", "")
	require.NoError(t, s.Deliver(t.Context(), raised))
	m.hears("error firing")
	first := m.active()["error"]

	require.NoError(t, s.Repeat(t.Context(), []rules.Outcome{raised}))
	assert.True(t, m.active()["error"].After(first), "it fires on")

	worse := event(2, rules.EventUpdated, "critical", "major")
	require.NoError(t, s.Deliver(t.Context(), worse))
	m.hears("critical firing")
	require.Eventually(t, func() bool { return len(m.active()) == 1 }, time.Minute, 50*time.Millisecond)
	assert.Contains(t, m.active(), "critical")

	m.stop()
	for len(m.received) > 0 { // it says some things twice when the answer is late
		<-m.received
	}
	require.Error(t, s.Repeat(t.Context(), []rules.Outcome{worse}))
	m.start()
	assert.Empty(t, m.active(), "it has forgotten")
	require.NoError(t, s.Repeat(t.Context(), []rules.Outcome{worse}))
	assert.Contains(t, m.active(), "critical")
	m.hears("critical firing")

	require.NoError(t, s.Deliver(t.Context(), event(3, rules.EventCleared, "critical", "")))
	m.hears("critical resolved")
	require.Eventually(t, func() bool { return len(m.active()) == 0 }, time.Minute, 50*time.Millisecond)
}

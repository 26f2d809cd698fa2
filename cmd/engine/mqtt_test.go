//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/keys"
	"tocsin.internal/bus"
	"tocsin.internal/internal/brokertest"
	"tocsin.internal/internal/natstest"
	"tocsin.internal/internal/porttest"
)

// mosquitto runs mosquitto_sub and mosquitto_pub at an engine, as somebody with a token.
type mosquitto struct {
	t    *testing.T
	port int
	ca   string // "": without TLS
}

func (m mosquitto) command(program, token string, args ...string) *exec.Cmd {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Minute)
	m.t.Cleanup(cancel)
	args = append(args, "-h", "127.0.0.1", "-p", fmt.Sprint(m.port))
	if token != "" {
		args = append(args, "-u", "any", "-P", token)
	}
	if m.ca != "" {
		args = append(args, "--cafile", m.ca)
	}
	args = append([]string{"-oL", brokertest.Find(m.t, "mosquitto-clients", program)}, args...)
	return exec.CommandContext(ctx, "stdbuf", args...)
}

// listener is a mosquitto_sub that has subscribed.
type listener struct {
	*exec.Cmd
	t    *testing.T
	said *paper
}

func (m mosquitto) listen(token string, args ...string) *listener {
	m.t.Helper()
	l := &listener{m.command("mosquitto_sub", token, append(args, "-d", "-F", "heard %t %q %p")...), m.t, &paper{more: make(chan struct{}, 1)}}
	l.Stdout, l.Stderr = l.said, l.said
	require.NoError(m.t, l.Start())
	m.t.Cleanup(func() { l.Process.Kill(); l.Wait() }) //nolint:errcheck // it may have ended
	l.hears("Subscribed (mid: 1): ")
	return l
}

func (l *listener) hears(words ...string) {
	l.t.Helper()
	for _, w := range words {
		require.Eventually(l.t, func() bool { return strings.Contains(l.said.String(), w) }, time.Minute, 10*time.Millisecond, "%q in %s", w, l.said)
	}
}

// leave ends it without a goodbye that would end its session.
func (l *listener) leave() {
	l.Process.Kill() //nolint:errcheck // it runs
	l.Wait()         //nolint:errcheck // killed is what it is meant to be
}

func (m mosquitto) publish(token, topic, text string) {
	m.t.Helper()
	out, err := m.command("mosquitto_pub", token, "-q", "1", "-t", topic, "-m", text).CombinedOutput()
	require.NoError(m.t, err, "%s", out)
}

const hotRule = `{"id":"hot","sources":[{"id":"1","feeds":[{"id":"temp"}],"modelDid":"did:m"}],
"rules":[{"alert":{"id":"too hot","severity":"critical","sourceId":"1","sourceFeedId":"temp","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}}]}`

const hotTwins = `[{"twinId":{"id":"boiler.7 east"},"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}],"feeds":[{"id":"temp"}]}]`

// Who listens over MQTT hears alerts by the QoS for which it asks, those that came while
// it or the engine was away too, shows a token, and may no more than that says.
func TestMQTT(t *testing.T) {
	p := &process{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	cert, key := brokertest.Certificate(t, p.dir)
	m := mosquitto{t, porttest.Port(t), cert}
	made := map[string]string{}
	var all []keys.Key
	for role, twins := range map[string][]string{"admin": nil, "viewer": nil, "device": {"boiler.7 east"}} {
		k, secret, err := keys.New(role, []string{role}, twins, time.Now(), time.Time{})
		require.NoError(t, err)
		all, made[role] = append(all, k), secret
	}
	file := func(name, text string) string {
		path := filepath.Join(p.dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	ring := filepath.Join(p.dir, "keys.json")
	require.NoError(t, keys.Write(ring, all))
	file("engine.json", fmt.Sprintf(`{"bus":{"dir":%q,"mqtt":{"listen":"127.0.0.1:%d","tls":{"cert":%q,"key":%q}}},"http":{"listen":"127.0.0.1:%d"},"auth":{"mode":"token","keys":%q},
		"rules":%q,"twins":{"files":[%q]},"sinks":[{"name":"mqtt","kind":"nats","with":{"mqtt":true}}]}`,
		filepath.Join(p.dir, "data"), m.port, cert, key, p.port, ring, file("rule.json", hotRule), file("twins.json", hotTwins)))
	p.start()
	t.Cleanup(p.kill)
	const topic = "alerts/v1/tocsin/critical/hot:too%20hot/boiler%2E7%20east/"
	temperature := func(t int) { m.publish(made["device"], "in/boiler%2E7%20east/temp", fmt.Sprintf(`{"t":%d}`, t)) }

	for _, token := range []string{"", "guessed", accounts.SecretPrefix + "x"} {
		out, err := m.command("mosquitto_sub", token, "-t", "alerts/v1/#").CombinedOutput()
		require.Error(t, err, token)
		assert.Contains(t, string(out), "not authorised", token)
	}
	for topic, granted := range map[string]int{"alerts/v1/#": 1, "outputs/v1/#": 1, "stickers/v1/#": 1, "notify/v1/#": 1, "#": 128, "alert/#": 128, "in/#": 128, "$JS/#": 128} {
		l := m.listen(made["viewer"], "-t", topic, "-q", "1", "-W", "120")
		l.hears(fmt.Sprintf("Subscribed (mid: 1): %d\n", granted))
		l.leave()
	}
	blind := m.listen(made["device"], "-t", "alerts/v1/#")
	blind.hears("Subscribed (mid: 1): 128")

	once := m.listen(made["viewer"], "-t", "alerts/v1/+/critical/+/+/raised")
	lasting := []string{"-t", "alerts/v1/#", "-q", "1", "-i", "console", "-c"}
	console := m.listen(made["viewer"], lasting...)
	m.publish(made["viewer"], topic+"raised", "forged")
	m.publish(made["viewer"], "in/boiler%2E7%20east/temp", `{"t":99}`)
	m.publish(made["device"], "alert/0/critical/hot:x/boiler/raised", "forged")
	temperature(31)
	once.hears("heard "+topic+`raised 0 {"kind":"alert"`, `"data":{"t":31}`)
	console.hears("heard " + topic + "raised 1 {")

	// While nobody listens, and over a stop and a start of the engine.
	restart := func() {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.cmd.Wait())
		p.start()
	}
	console.leave()
	temperature(29)
	require.Eventually(t, func() bool {
		_, text := p.ask("GET", "/api/v1/stats", made["viewer"], "")
		return strings.Contains(text, `"delivered":2`)
	}, time.Minute, 10*time.Millisecond)
	restart()
	console = m.listen(made["viewer"], lasting...)
	console.hears("heard " + topic + "cleared 1 {")
	// While somebody listens, who comes back by itself.
	restart()
	console.hears("Subscribed (mid: 2): 1")
	temperature(32)
	console.hears(`"data":{"t":32}`)
	for _, l := range []*listener{once, console} {
		assert.NotContains(t, l.said.String(), "forged")
		assert.NotContains(t, l.said.String(), `{"t":99}`)
	}

	// Whose secret is revoked is sent away.
	reader := (&clerk{process: p, secret: made["admin"]}).hires("reader", `"read"`)
	l := m.listen(reader.secret, "-t", "alerts/v1/#", "-q", "1")
	(&clerk{process: p, secret: made["admin"]}).must(200, "DELETE", "/users/"+reader.user+"/secrets", "")
	var ended *exec.ExitError
	require.ErrorAs(t, l.Wait(), &ended, "%s", l.said)
	assert.Contains(t, l.said.String(), "not authorised")
}

// The user console of deploy/nats was denied alerts/v1/#, with which the file itself
// says how to listen: that topic takes in alerts/v1, too.
func TestConsoleOfDeployedNATSListensOverMQTT(t *testing.T) {
	text, err := os.ReadFile("../../deploy/nats/nats-server.conf")
	require.NoError(t, err)
	m := mosquitto{t: t, port: porttest.Port(t)}
	const off = `#mqtt { listen: "127.0.0.1:1883" }`
	require.Contains(t, string(text), off)
	path := filepath.Join(t.TempDir(), "nats-server.conf")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), off, fmt.Sprintf(`mqtt { listen: "127.0.0.1:%d" }`, m.port), 1)), 0o600))
	s := natstest.Deployed(t, path)

	console := []string{"-u", "console", "-P", "of-console", "-q", "1", "-t"}
	l := m.listen("", append(console, "alerts/v1/#")...)
	l.hears("Subscribed (mid: 1): 1\n")
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("engine", "of-engine"))
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.Publish("alerts.v1.tocsin.critical.hot:too-hot.machine_1.raised", []byte(`{"kind":"alert"}`)))
	l.hears(`heard alerts/v1/tocsin/critical/hot:too-hot/machine_1/raised 0 {"kind":"alert"}`)
	for _, topic := range []string{"#", "alerts/#", "alert/#", "in/#", "outputs/v1/#"} {
		m.listen("", append(console, topic)...).hears("Subscribed (mid: 1): 128")
	}
}

// What somebody may do over MQTT is what their token lets them do elsewhere.
func TestGuestsOfMQTT(t *testing.T) {
	hears := []string{"alerts.v1", "alerts.v1.>", "outputs.v1", "outputs.v1.>", "notify.v1", "notify.v1.>"}
	all := append(append([]string{}, hears...), "stickers.v1", "stickers.v1.>")
	read, share := []access.Action{access.Read}, []access.Action{access.Share}
	for _, c := range []struct {
		name   string
		caller access.Caller
		want   bus.Guest
	}{
		{"anybody", *access.Anybody, bus.Guest{Hears: all, Twins: []string{"*"}}},
		{"a viewer", access.Caller{Name: "v", Actions: read}, bus.Guest{Hears: all}},
		{"a user, who sees its own stickers only", access.Caller{Name: "u", Actions: read, Account: "a", User: "u"}, bus.Guest{Hears: hears}},
		{"a device", access.Caller{Name: "d", Actions: share, Twins: []string{"pump_1", "pump_1*", "b"}}, bus.Guest{Twins: []string{"pump_1", "b"}}},
		{"a device of all", access.Caller{Name: "d", Actions: share, Twins: []string{"*"}}, bus.Guest{Twins: []string{"*"}}},
		{"an agent, of whom only documents say what it controls", access.Caller{Name: "did:u", Agent: "did:a", Actions: append(read, share...)}, bus.Guest{Hears: all}},
	} {
		g, err := mqttGuest(t.Context(), nil, &c.caller, "")
		require.NoError(t, err, c.name)
		assert.Equal(t, c.want, g, c.name)
	}
	_, err := mqttGuest(t.Context(), nil, &access.Caller{Name: "x", Actions: []access.Action{access.Operate}}, "")
	require.ErrorContains(t, err, "x may not read")
	_, err = mqttGuest(t.Context(), nil, &access.Caller{Name: "x", Actions: share, Twins: []string{"a*"}}, "")
	assert.Error(t, err, "nothing that a subject can say")
}

// A listener that cannot be is refused with its place, and one that nobody would hear
// anything at is a warning.
func TestConfigOfMQTT(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"bus":{"mqtt":{"listen":"1883"}}}`, `engine.json:1:26: /bus/mqtt/listen: got "1883"; want host:port`},
		{`{"bus":{"mqtt":{"listen":"0.0.0.0:1883"}}}`, `engine.json:1:26: /bus/mqtt/listen: got "0.0.0.0:1883", which other machines reach`},
		{`{"bus":{"url":"nats://h","mqtt":{"listen":"127.0.0.1:1883"}}}`, `/bus/mqtt/listen: it is the embedded server's; want mqtt { listen }`},
		{`{"bus":{"mqtt":{"listen":"127.0.0.1:1883","tls":{"cert":"a.pem"}}}}`, `/bus/mqtt/tls: want cert and key together`},
		{`{"bus":{"mqtt":{"lissen":"127.0.0.1:1883"}}}`, `did you mean "listen"?`},
	} {
		assert.ErrorContains(t, checkConfig("engine.json", []byte(c.text)), c.want, c.text)
	}
	for text, warned := range map[string]bool{
		`{"bus":{"mqtt":{"listen":"127.0.0.1:1883"}}}`:                                                                true,
		`{"bus":{"mqtt":{"listen":"127.0.0.1:1883"}},"sinks":[{"name":"a","kind":"nats","with":{"url":"nats://h"}}]}`: true,
		`{"bus":{"mqtt":{"listen":"127.0.0.1:1883"}},"sinks":[{"name":"a","kind":"nats"}]}`:                           false,
		`{}`: false,
	} {
		c, err := readConfig("engine.json", []byte(text))
		require.NoError(t, err)
		assert.Equal(t, warned, len(c.mqttWarnings()) == 1, text)
	}
}

//go:build unix

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/brokertest"
	"tocsin.internal/internal/natstest"
	"tocsin.internal/internal/porttest"
)

const (
	raised = `"event":"raised"`
	// The commands of these are tried elsewhere: what they want is not here.
	webhooks = "examples/stickers/tutorial.sh, with its own receiver"
)

// onThePage has every command of docs/subscribers.md, in its order, and a part of what
// it prints. One that waits for what comes is ended when it has printed that.
var onThePage = []struct {
	command, prints string
	instead         string // where it is tried, if not here
}{
	{command: `echo "whsec_$(openssl rand -base64 32)"`, prints: "whsec_"},
	{command: `curl -X POST http://127.0.0.1:8080/notifications/webhooks -d '{"callback_url":"http://127.0.0.1:8099/x","topic":"red","client_secret":"MDEyMzQ1Njc4OWFi"}'`, prints: `"server_secret":"`},
	{command: `curl "http://127.0.0.1:8080/notifications/webhooks/5404aaf0-…?token=MV9fXzU0…"`, instead: webhooks},
	{command: `python3 examples/notifications/hook.py pKTRhcj8t7ya7dZgeipum1q2g5SG4Vo4`, instead: webhooks},
	{command: `nats sub 'alerts.v1.tocsin.>'`, prints: raised},
	{command: `nats sub 'alerts.v1.tocsin.critical.*.*.raised'`, prints: raised},
	{command: `nats sub 'alerts.v1.*.*.*.machine_1.*'`, prints: raised},
	{command: `nats sub 'outputs.v1.tocsin.overheating.*.temperature_status'`, prints: `"status":"extreme"`},
	{command: `mosquitto_sub -h 127.0.0.1 -u console -P "$TOCSIN_TOKEN" -q 1 -t 'alerts/v1/#'`, prints: raised},
	{command: `mosquitto_sub -h 127.0.0.1 -u console -P "$TOCSIN_TOKEN" -q 1 -t 'alerts/v1/+/critical/#' -v`, prints: "alerts/v1/tocsin/critical/overheating-alert:too-hot/machine_1/raised {"},
	{command: `mosquitto_sub -h 127.0.0.1 -u console -P "$TOCSIN_TOKEN" -q 1 -t 'alerts/v1/+/+/+/machine_1/+'`, prints: raised},
	{command: `mosquitto_sub -h 127.0.0.1 -u console -P "$TOCSIN_TOKEN" -q 1 -c -i console -t 'alerts/v1/#'`, prints: raised},
	{command: `mosquitto_sub -h 127.0.0.1 -V 5 -q 1 -t 'alerts/v1/#' -F '%t | %P | %p'`, prints: "/raised | tocsin-id:ev_"},
	{command: `mosquitto_sub -h 127.0.0.1 -q 1 -t 'alerts/v1/+/critical/+/+/raised' -v`, prints: "/machine_1/raised {"},
	{command: `mosquitto_sub -h 127.0.0.1 -t 'state/v1/#' -v`, prints: "state/v1/tocsin/overheating-alert:too-hot/machine_2/al_"},
	{command: `mosquitto_sub -h 127.0.0.1 -i console -c -q 1 -t 'alerts/v1/#'`, prints: raised},
	{command: `nats sub --new 'alert.>'`, prints: raised},
	{command: `nats sub --all 'alert.*.*.*.machine_1.*'`, prints: raised},
	{command: `nats sub --all 'out.*.machine_1.>'`, prints: `"kind":"output"`},
	{command: `nats sub 'out.>'`, prints: `"kind":"output"`},
	{command: `nats consumer add ALERTS console --pull --ack explicit --deliver new --defaults`, prints: "Information for Consumer ALERTS > console"},
	{command: `nats consumer next ALERTS console --raw`, prints: `{"kind":"alert"`},
	{command: `nats sub --stream ALERTS --durable console --ack --raw`, prints: `{"kind":"alert"`},
	{command: `nats consumer rm ALERTS console -f`},
	{command: `nats sub --stream ALERTS 'alert.*.critical.>' --since 2h --raw --terminate-at-end`, prints: raised},
	{command: `nats sub --stream ALERTS '>' --since 2h --raw`, prints: raised},
	{command: `nats kv ls alerts`, prints: "525ed1364cb28956"},
	{command: `nats kv get alerts 525ed1364cb28956 --raw`, prints: `"twin":"machine_2"`},
	{command: `for f in $(nats kv ls alerts); do nats kv get alerts $f --raw; done`, prints: `"twin":"machine_2"`},
	{command: `nats kv watch alerts`, prints: "PUT alerts > 525ed1364cb28956: {"},
	{command: `nats consumer next ALERTS pager --raw --user pager --password "$PAGER_PASSWORD" --inbox-prefix _INBOX_pager`, prints: `{"kind":"alert"`},
	{command: `nats sub 'alerts.v1.>' --user console --password "$CONSOLE_PASSWORD" --inbox-prefix _INBOX_console`, prints: raised},
	{command: `curl -d '{"stickers":{"red":{"note":"repair now","recipients":["5b7f2b36-7f7c-4d2e-9f36-1a1d2f2f0c11"],"publish":{"on_put":"new-request","on_remove":["task-completed"]}}}}' localhost:8080/twins/meter_1/stickers`, prints: `"repair now"`},
	{command: `curl 'localhost:8080/stickers?color=red&limit=10'`, prints: `"repair now"`},
	{command: `curl -X DELETE localhost:8080/twins/meter_1/stickers/red`, prints: `"repair now"`},
	{command: `curl -N 'http://127.0.0.1:8080/api/v1/events?topics=alerts,feed:machine_1/currentTemp'`, prints: "event: alert"},
	{command: `engine listen alerts feed:machine_1/currentTemp`, prints: raised},
	{command: `bin/engine run -c engine.json | jq -c 'select(.kind == "alert") | [.state, .severity, .twin, .summary]'`, instead: "run.txtar, without jq"},
}

var (
	blockOf     = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	inline      = regexp.MustCompile("`((?:engine|nats|mosquitto_sub|python3|curl|echo) [^`]+)`")
	commandLine = regexp.MustCompile(`^(?:\$ )?((?:nats|mosquitto_sub|curl|(?:bin/)?engine|for) .*?)(?:\s{2,}#.*)?$`)
)

// commandsOf are the commands of a page, in its order, and the blocks of Python.
func commandsOf(page string) (commands, python []string) {
	rest := page
	for {
		at := blockOf.FindStringSubmatchIndex(rest)
		prose := rest
		if at != nil {
			prose = rest[:at[0]]
		}
		for _, m := range inline.FindAllStringSubmatch(prose, -1) {
			commands = append(commands, m[1])
		}
		if at == nil {
			return commands, python
		}
		block := rest[at[4]:at[5]]
		if rest[at[2]:at[3]] == "python" {
			python = append(python, block)
			block = ""
		}
		for line := range strings.Lines(block) {
			if m := commandLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				commands = append(commands, m[1])
			}
		}
		rest = rest[at[1]:]
	}
}

// reader is somebody who follows the page on a machine where the ports are others.
type reader struct {
	t     *testing.T
	env   []string
	ports *strings.Replacer // as the page has them, and as they are
	home  string
}

func (r *reader) file(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.home, name)
	require.NoError(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(r.t, os.WriteFile(path, []byte(text), 0o700))
}

// sees runs a command until it has printed something, or, where that is nothing, has ended well.
func (r *reader) sees(name, prints string, args ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute)
	defer cancel()
	out := &paper{more: make(chan struct{}, 1)}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = out, out, r.env, r.home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell's children go with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	require.NoError(r.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for prints == "" || !strings.Contains(out.String(), prints) {
		select {
		case <-out.more:
		case err := <-ended:
			require.NoError(r.t, err, "%s: %s", name, out)
			assert.Contains(r.t, out.String(), prints, name)
			return
		}
	}
	cancel()
	<-ended //nolint:errcheck // killed is what it is meant to be, if it had not ended
}

// asked replaces what the page says of ports.
func (r *reader) asked(command string) string { return r.ports.Replace(command) }

// Every command of the subscribers' page does what the page says, at a real engine,
// with the programs of other people.
func TestSubscribersPage(t *testing.T) {
	if _, err := exec.LookPath("nats"); err != nil {
		require.Empty(t, os.Getenv("CI"), "no nats; want it where everything is tested")
		t.Skip("no nats command line; .ci/run says how to install it")
	}
	for program, pkg := range map[string]string{"mosquitto_sub": "mosquitto-clients", "curl": "curl", "openssl": "openssl", "bash": "bash"} {
		brokertest.Find(t, pkg, program)
	}
	text, err := os.ReadFile("../../docs/subscribers.md")
	require.NoError(t, err)
	commands, python := commandsOf(string(text))
	var known []string
	for _, c := range onThePage {
		known = append(known, c.command)
	}
	require.Equal(t, known, commands, "each command of the page has a row in onThePage, and each row is on the page")
	require.Len(t, python, 3, "the blocks of Python")

	broker := brokertest.Mosquitto(t)
	mqttPort, natsPort, stompPort := porttest.Port(t), porttest.Port(t), porttest.Port(t)
	p := &process{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	config := fmt.Sprintf(`{"bus":{"dir":%q,"listen":"127.0.0.1:%d","mqtt":{"listen":"127.0.0.1:%d"}},"http":{"listen":"127.0.0.1:%d"},"stomp":{"listen":"127.0.0.1:%d"},
		"notifications":{"allow":["127.0.0.1:8099"]},"rules":%q,"twins":{"files":["../../examples/rules/overheating/twins.json"]},
		"sinks":[{"name":"names","kind":"nats","with":{"mqtt":true}},{"name":"broker","kind":"mqtt","outcome":"alert","order":"twin","with":{"url":%q,"user":"guest","password":"guest","retain":"state"}}]}`,
		filepath.Join(p.dir, "data"), natsPort, mqttPort, p.port, stompPort, bothRules(t), broker.URL)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "engine.json"), []byte(config), 0o600))
	p.start()
	t.Cleanup(p.kill)
	status, answer := p.ask(http.MethodPut, "/qapi/twins", "", `{"twinId":"meter_1"}`)
	require.Equal(t, http.StatusOK, status, answer)
	guarded, guard := guardedEngine(t)

	r := &reader{t: t, home: t.TempDir(), ports: strings.NewReplacer("8080", fmt.Sprint(p.port), "61613", fmt.Sprint(stompPort))}
	r.env = append(os.Environ(), "HOME="+r.home, "XDG_CONFIG_HOME="+filepath.Join(r.home, "config"), "PATH="+filepath.Join(r.home, "bin")+":"+os.Getenv("PATH"), "TOCSIN_URL="+p.url(""), "PAGER_PASSWORD=of-pager", "CONSOLE_PASSWORD=of-console", "NATS_TIMEOUT=1m")
	r.file("bin/engine", fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", asEngine, os.Args[0]))
	heat(t, p, guarded)
	for _, c := range onThePage {
		if c.instead != "" {
			continue
		}
		url, mosquitto := fmt.Sprintf("nats://127.0.0.1:%d", natsPort), fmt.Sprintf("-p %d\n", mqttPort)
		switch {
		case strings.Contains(c.command, "_PASSWORD"):
			url = guard
		case strings.HasPrefix(c.command, "mosquitto_sub") && !strings.Contains(c.command, "TOCSIN_TOKEN"):
			mosquitto = "-u guest\n-P guest\n-p " + broker.Address[strings.LastIndex(broker.Address, ":")+1:] + "\n"
		}
		r.file("config/mosquitto_sub", mosquitto)
		r.sees(c.command, c.prints, "bash", "-c", "export NATS_URL="+url+"; exec 2>&1; "+r.asked(c.command))
	}
	r.sees("STOMP in Python", raised, pythonWithStomp(t), "-u", "-c", r.asked(python[2]))
	body, key := `{"type":"alert.raised"}`, []byte("0123456789abcdef01234567")
	at := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "ev_1.%s.%s", at, body)
	r.sees("the signature in Python", "True False", pythonWithStomp(t), "-c", fmt.Sprintf(`%s
h = {"webhook-id": "ev_1", "webhook-timestamp": %q, "webhook-signature": "v1,%s"}
print(verify(h, b'%s', "whsec_%s"), verify(h, b'{}', "whsec_%[5]s"))`, python[0], at, base64.StdEncoding.EncodeToString(mac.Sum(nil)), body, base64.StdEncoding.EncodeToString(key)))
}

// pythonWithStomp is the Python that Debian's python3-stomp is for.
func pythonWithStomp(t *testing.T) string {
	if err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import stomp").Run(); err != nil {
		brokertest.Find(t, "python3-stomp", "no python3 with stomp")
	}
	return "/usr/bin/python3"
}

// bothRules is a folder with the rules of the page.
func bothRules(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"overheating", "overheating-alert"} {
		text, err := os.ReadFile("../../examples/rules/" + name + "/interaction.json")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600))
	}
	return dir
}

// heat lets machine_2 be hot, and machine_1 again and again, as long as the test goes on.
func heat(t *testing.T, engines ...*process) {
	send := func(twin string, temperature int) {
		for _, p := range engines {
			_, _, _ = request(t.Context(), http.MethodPost, p.url("/api/v1/samples"), fmt.Sprintf(`{"twin":%q,"feed":"currentTemp","data":{"temperature":%d}}`, twin, temperature), nil)
		}
	}
	send("machine_2", 40)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for hot := 40; ; hot = 60 - hot {
			select {
			case <-done:
				return
			case <-tick.C:
				send("machine_1", hot)
			}
		}
	}()
	t.Cleanup(func() { close(done); <-stopped })
}

// guardedEngine is an engine on a server as deploy/nats has it, where an operator has
// made the consumer of pager.
func guardedEngine(t *testing.T) (p *process, url string) {
	s := natstest.Deployed(t, "../../deploy/nats/nats-server.conf")
	p = &process{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	config := fmt.Sprintf(`{"bus":{"url":%q},"http":{"listen":"127.0.0.1:%d"},"rules":%q,"twins":{"files":["../../examples/rules/overheating/twins.json"]},"sinks":[{"name":"names","kind":"nats"}]}`,
		strings.Replace(s.ClientURL(), "nats://", "nats://engine:of-engine@", 1), p.port, bothRules(t))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "engine.json"), []byte(config), 0o600))
	p.start()
	t.Cleanup(p.kill)
	out, err := exec.CommandContext(t.Context(), "nats", "--timeout", "1m", "-s", s.ClientURL(), "--user", "engine", "--password", "of-engine", "consumer", "add", "ALERTS", "pager", "--pull", "--ack", "explicit", "--deliver", "new", "--defaults").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return p, s.ClientURL()
}

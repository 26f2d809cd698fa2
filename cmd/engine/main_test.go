package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// asEngine makes the test binary be the engine: what is tested is a process.
const asEngine = "TOCSIN_TEST_AS_ENGINE"

func TestMain(m *testing.M) {
	if os.Getenv(asEngine) != "" {
		os.Unsetenv(asEngine) //nolint:errcheck // it is set
		main()
	}
	testscript.Main(m, map[string]func(){"engine": main})
}

// TestScripts runs the command line as its manual says it is used.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PORT", fmt.Sprint(porttest.Port(t)))
			e.Setenv("NATS_PORT", fmt.Sprint(porttest.Port(t)))
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"http": httpCmd, "await": awaitCmd, "capture": captureCmd},
	})
}

// request gives the status and the body of an answer.
func request(ctx context.Context, method, url, body string, header http.Header) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it is read
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// shown is the token of the environment, as commands show it.
func shown(ts *testscript.TestScript) http.Header {
	if token := ts.Getenv(tokenVariable); token != "" {
		return http.Header{"Authorization": {"Bearer " + token}}
	}
	return nil
}

// httpCmd is: http METHOD PATH [FILE]. The status and body become stdout.
func httpCmd(ts *testscript.TestScript, _ bool, args []string) {
	body := ""
	if len(args) > 2 {
		body = ts.ReadFile(args[2])
	}
	status, text, err := request(context.Background(), args[0], "http://127.0.0.1:"+ts.Getenv("PORT")+args[1], body, shown(ts))
	ts.Check(err)
	_, err = fmt.Fprintf(ts.Stdout(), "%d %s\n", status, text)
	ts.Check(err)
}

// awaitCmd is: await PATH TEXT: waits until the answer holds the text.
func awaitCmd(ts *testscript.TestScript, _ bool, args []string) {
	last := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		var err error
		_, last, err = request(context.Background(), http.MethodGet, "http://127.0.0.1:"+ts.Getenv("PORT")+args[0], "", shown(ts))
		if err == nil && strings.Contains(last, args[1]) {
			return
		}
		<-time.After(25 * time.Millisecond)
	}
	ts.Fatalf("%s never said %q; last: %s", args[0], args[1], last)
}

// captureCmd is: capture NAME REGEXP: sets the variable to what the group of the
// regexp has found in the last command's output.
func captureCmd(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("stdout has no %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func TestEnvironmentOverlay(t *testing.T) {
	c := defaultConfig()
	warnings, err := c.overlay([]string{
		"HOME=/", "TOCSIN_HTTP_LISTEN=127.0.0.1:9", "TOCSIN_BUS_PARTITIONS=4", "TOCSIN_DRAINTIMEOUT=5s", "TOCSIN_LOG_LEVL=debug", "TOCSIN_PORT_8080_TCP_ADDR=10.0.0.1",
	})
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:9", c.HTTP.Listen)
	assert.Equal(t, 4, c.Bus.Partitions)
	assert.Equal(t, 5*time.Second, c.DrainTimeout)
	assert.Equal(t, []string{`TOCSIN_LOG_LEVL is no setting; did you mean "TOCSIN_LOG_LEVEL"?`, "TOCSIN_PORT_8080_TCP_ADDR is no setting"}, warnings)
	_, err = c.overlay([]string{"TOCSIN_BUS_PARTITIONS=many", "TOCSIN_DRAINTIMEOUT=5"})
	require.EqualError(t, err, "TOCSIN_BUS_PARTITIONS:1:1: got \"many\"; want a whole number\n"+
		`TOCSIN_DRAINTIMEOUT:1:1: got "5"; want a duration with its unit, such as "90s" or "15m"`)
}

func TestRulesAndDataInOneFolderLostTheRules(t *testing.T) {
	for range 10 { // the flags were the keys of a map
		c, _, err := loadConfig(runFlags{rules: "plant", data: "plant"}, nil)
		require.NoError(t, err)
		assert.Equal(t, "plant", c.Rules)
		assert.Equal(t, "plant", c.Bus.Dir)
		assert.Equal(t, "127.0.0.1:8080", c.HTTP.Listen)
	}
}

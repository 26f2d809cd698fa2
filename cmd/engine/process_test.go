package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const crashRule = `{"id":"overheating","sources":[{"id":"1","feeds":[{"id":"currentTemp"}],"modelDid":"did:m"}],"rules":[
{"transformation":{"conditions":[{"fieldsIncludedInOutput":["temperature"],"jsonLogic":{">":[{"var":"temperature"},30]}}],"outputFeedId":"temperature_status","outputFieldId":"status","outputTrueValue":"extreme","outputFalseValue":"normal","sourceFeedId":"currentTemp","sourceId":"1"}},
{"alert":{"id":"too-hot","severity":"critical","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}]}}]}`

// process is an engine that runs beside the test.
type process struct {
	t    *testing.T
	dir  string
	port int
	cmd  *exec.Cmd
	log  paper
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
	}, time.Minute, 10*time.Millisecond, "%s", &p.log)
}

func (p *process) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path) }

func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may be dead already
	p.cmd.Wait()         //nolint:errcheck // killed is what it is meant to be
	// What is sent next goes to the process that is there then.
	http.DefaultClient.CloseIdleConnections()
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// The tutorial of stickers and notifications runs from its start to its end, with
// curl, where nobody is asked who they are and where everybody is.
func TestTutorialOfStickers(t *testing.T) {
	for _, program := range []string{"bash", "curl", "python3"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "" {
				t.Skipf("no %s on this machine", program)
			}
			t.Fatal(err)
		}
	}
	for _, mode := range []string{"none", "token"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			p := &process{t: t, dir: dir, port: porttest.Port(t)}
			callback := porttest.Port(t)
			config := fmt.Sprintf(`{"bus":{"dir":%q},"http":{"listen":"127.0.0.1:%d"},"auth":{"mode":%q,"keys":%q},"notifications":{"allow":["127.0.0.1:%d"]},"log":{"format":"json"}}`,
				filepath.Join(dir, "data"), p.port, mode, filepath.Join(dir, "keys.json"), callback)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "engine.json"), []byte(config), 0o600))
			p.start()
			defer p.kill()
			admin := ""
			if mode == "token" {
				admin = p.firstAdministrator()
			}
			cmd := exec.CommandContext(t.Context(), "bash", "../../examples/stickers/tutorial.sh")
			cmd.Env = append(os.Environ(), "ENGINE="+p.url(""), "ADMIN="+admin, fmt.Sprint("CALLBACK=", callback))
			text, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", text)
			assert.True(t, strings.HasSuffix(string(text), "== Done\n"), "%s", text)
		})
	}
}

var bootstrap = regexp.MustCompile(`curl -X POST http://[^/]+(/secrets/[^/]+/[A-Z2-7]+)`)

// firstAdministrator is the secret that the engine's log leads to.
func (p *process) firstAdministrator() string {
	p.t.Helper()
	var found []string
	require.Eventually(p.t, func() bool { found = bootstrap.FindStringSubmatch(p.log.String()); return found != nil }, 30*time.Second, 20*time.Millisecond, "%s", &p.log)
	status, text := p.ask(http.MethodPost, found[1], "", "")
	require.Equal(p.t, http.StatusCreated, status, text)
	var made struct{ Secret string }
	require.NoError(p.t, json.Unmarshal([]byte(text), &made))
	return made.Secret
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

// Who changes something, or tries to, is written down; never what shows who they are.
func TestAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	audit, err := OpenAudit(path, false, zerolog.Nop())
	require.NoError(t, err)
	guard := keys(map[string]*access.Caller{
		"secret-r": reader, "secret-w": {Name: "did:iotics:iotUser", Agent: "did:iotics:iotAgent", Twins: []string{"machine_*"}},
	})
	change := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := guard.May(r.Context(), access.From(r.Context()), access.Control, r.PathValue("twin")); err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, map[string]any{})
	})
	h := served(Options{
		Engine: new(engine.Engine), Samples: http.NotFoundHandler(), Guard: guard, Audit: audit.Record, Rate: Rate{PerSecond: 0.001, Burst: 6},
		Routes: append([]access.Route{{Pattern: "DELETE /qapi/twins/{twin}", Action: access.Control, Handler: change}}, things...),
	})
	for _, tt := range []struct{ method, path, token string }{
		{"DELETE", "/qapi/twins/machine_1?access_token=secret-q", "secret-w"},
		{"DELETE", "/qapi/twins/pump_1", "secret-w"},
		{"DELETE", "/qapi/twins/machine_1", "secret-r"},
		{"DELETE", "/qapi/twins/machine_1", "secret-wrong"},
		{"DELETE", "/qapi/twins/" + strings.Repeat("x", 10_000), "secret-w"},
		{"GET", "/things", "secret-r"},
		{"POST", "/api/v1/samples", "secret-w"},
		{"DELETE", "/qapi/twins/a%0ab", "secret-w"},
		{"DELETE", "/qapi/twins/machine_2", "secret-w"},
		{"DELETE", "/qapi/twins/machine_3", "secret-w"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, http.NoBody)
		r.RemoteAddr = "192.0.2.7:4000"
		r.Header.Set("Authorization", "Bearer "+tt.token)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	require.NoError(t, audit.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "secret")
	var got []string
	for line := range strings.Lines(string(text)) {
		var l auditLine
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		assert.Equal(t, "192.0.2.7:4000", l.From)
		assert.Regexp(t, `^2\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ$`, l.Time)
		assert.LessOrEqual(t, len(line), 1200)
		got = append(got, fmt.Sprintf("%s|%s|%s %.40s|%s|%.20s|%d|%s", l.Caller, l.Agent, l.Method, l.Path, l.Action, l.Twin, l.Status, l.Refused))
	}
	const user = "did:iotics:iotUser|did:iotics:iotAgent|DELETE /qapi/twins/"
	assert.Equal(t, []string{
		user + "machine_1|control|machine_1|200|",
		user + "pump_1|control|pump_1|403|",
		"reader||DELETE /qapi/twins/machine_1|control|machine_1|403|denied",
		"||DELETE /qapi/twins/machine_1|control|machine_1|401|unauthenticated",
		user + strings.Repeat("x", 28) + "|control|xxxxxxxxxxxxxxxxxxxx|403|",
		user + "a\nb|control|a\nb|403|",
		user + "machine_2|control|machine_2|200|",
		user + "machine_3|control|machine_3|429|rate",
	}, got)
}

// What another worker hands over was counted and recorded there.
func TestWhatWasHandedOverIsRecordedOnce(t *testing.T) {
	recorded := 0
	h := served(Options{
		Engine: new(engine.Engine), Samples: http.NotFoundHandler(), Rate: Rate{PerSecond: 0.001, Burst: 1}, Audit: func(access.Entry) { recorded++ },
		Guard: keys(map[string]*access.Caller{"w": writer}),
		Routes: []access.Route{{Pattern: "DELETE /qapi/twins/{twin}", Action: access.Control, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]any{})
		})}},
	})
	for range 3 {
		text := serveCall(t.Context(), h, []byte(`{"method":"DELETE","url":"/qapi/twins/a","header":{"Authorization":["Bearer w"]}}`))
		assert.Contains(t, string(text), `"code":200`)
	}
	assert.Zero(t, recorded)
	text := serveCall(t.Context(), h, []byte(`{"method":"DELETE","url":"/qapi/twins/a"}`))
	assert.Contains(t, string(text), `"code":401`, "who asks is looked at again")
}

func TestAuditGoesOnInANewFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	audit, err := OpenAudit(path, true, zerolog.Nop())
	require.NoError(t, err)
	audit.Record(access.Entry{Path: "/1", Action: access.Share})
	require.NoError(t, os.Rename(path, path+".1"))
	audit.Record(access.Entry{Path: "/2", Action: access.Control})
	require.NoError(t, audit.Reopen())
	audit.Record(access.Entry{Path: "/3", Action: access.Control})
	require.NoError(t, audit.Close())
	old, err := os.ReadFile(path + ".1")
	require.NoError(t, err)
	fresh, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, 2, bytes.Count(old, []byte("\n")))
	assert.Equal(t, 1, bytes.Count(fresh, []byte("\n")))
	assert.Contains(t, string(fresh), `"/3"`)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = OpenAudit(filepath.Join(dir, "none", "audit.log"), false, zerolog.Nop())
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Where no file is named it is the log that says so; a file that cannot be
// written is told once.
func TestAuditInTheLog(t *testing.T) {
	var log bytes.Buffer
	audit, err := OpenAudit("", false, zerolog.New(&log))
	require.NoError(t, err)
	audit.Record(access.Entry{Caller: "ann", Action: access.Operate, Status: 200})
	audit.Record(access.Entry{Caller: "ann", Action: access.Share, Status: 200})
	require.NoError(t, audit.Reopen())
	require.NoError(t, audit.Close())
	assert.Equal(t, 1, strings.Count(log.String(), "\n"))
	assert.Contains(t, log.String(), `"audit":{"time":"`)

	log.Reset()
	broken, err := OpenAudit(filepath.Join(t.TempDir(), "a"), false, zerolog.New(&log))
	require.NoError(t, err)
	require.NoError(t, broken.Close())
	for range 3 {
		broken.Record(access.Entry{Action: access.Operate})
	}
	require.NoError(t, broken.Reopen())
	broken.Record(access.Entry{Action: access.Operate})
	require.NoError(t, broken.Close())
	assert.Equal(t, 1, strings.Count(log.String(), "cannot be written"))
	assert.Contains(t, log.String(), `"lost":3`)

	var none *AuditLog
	none.Record(access.Entry{Action: access.Operate})
	assert.NoError(t, errors.Join(none.Reopen(), none.Close()))
}

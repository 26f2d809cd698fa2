package alertmanager

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/sinktest"
)

var at = time.Date(2026, 11, 2, 8, 1, 0, 0, time.UTC)

func open(t *testing.T, config string) *sink {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(config))
	require.NoError(t, err)
	s, err := New(raw)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.(*sink).Close()) })
	return s.(*sink)
}

// event is one of an episode.
func event(number uint32, name, severity, previous string) rules.Outcome {
	o := sinktest.Alert()
	o.At, o.Starts, o.Severity = at.Add(time.Duration(number)*time.Minute), at, severity
	o.Life = &rules.Life{Number: number, Event: name, Key: "overheating|too-hot|machine_1||", Status: rules.StatusFiring, Active: true, Label: severity, Previous: previous}
	if name == rules.EventCleared {
		o.State, o.Ends, o.Life.Status, o.Life.Active = rules.StateResolved, o.At, rules.StatusClosed, false
	}
	return o
}

// answering is a server that keeps what it is told and answers with a status.
func answering(t *testing.T, status int) (url string, got <-chan []alert) {
	t.Helper()
	told := make(chan []alert, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/am/api/v2/alerts" || r.Header.Get("Authorization") != "Basic dTpw" {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		var list []alert
		if json.Unmarshal(body, &list) == nil {
			told <- list
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "\"what is\n wrong\"")
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/am/", told
}

func config(urls ...string) string {
	b, _ := json.Marshal(urls) //nolint:errchkjson // texts
	return fmt.Sprintf(`{"urls":%s,"username":"u","password":"p","link":"https://h/alerts/{{.id}}"}`, b)
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinks.Sink {
		one, _ := answering(t, http.StatusOK)
		two, _ := answering(t, http.StatusOK)
		raw, err := strictjson.Parse("c", []byte(config(one, two)))
		require.NoError(t, err)
		s, err := New(raw)
		require.NoError(t, err)
		return s
	})
}

func states(list []alert, now time.Time) (out []string) {
	for _, a := range list {
		state := "firing"
		if !a.EndsAt.After(now) {
			state = "resolved"
		}
		out = append(out, a.Labels["severity"]+" "+state)
	}
	return out
}

func TestLife(t *testing.T) {
	url, got := answering(t, http.StatusOK)
	s := open(t, config(url))
	now := time.Now()
	raised, worse := event(1, rules.EventRaised, "major", ""), event(2, rules.EventUpdated, "critical", "major")
	require.NoError(t, s.Deliver(t.Context(), raised))
	first := <-got
	assert.Equal(t, []string{"error firing"}, states(first, now))
	assert.Equal(t, map[string]string{"alertname": "too-hot", "interaction": "overheating", "severity": "error", "twin": "machine_1", "site": "brno", "space": "tocsin"}, first[0].Labels)
	assert.Equal(t, map[string]string{"summary": "machine_1 is at 31.2", "alert_id": raised.ID, "status": "firing"}, first[0].Annotations)
	assert.Equal(t, "https://h/alerts/"+raised.ID, first[0].GeneratorURL)
	assert.True(t, first[0].StartsAt.Equal(at))
	assert.WithinDuration(t, now.Add(4*time.Minute), first[0].EndsAt, time.Minute)

	require.NoError(t, s.Deliver(t.Context(), worse))
	assert.Equal(t, []string{"error resolved", "critical firing"}, states(<-got, now), "another severity is another alert")
	require.NoError(t, s.Deliver(t.Context(), raised))
	assert.Empty(t, got, "an earlier event that comes late")
	require.NoError(t, s.Repeat(t.Context(), []rules.Outcome{worse}))
	assert.Equal(t, []string{"critical firing", "error resolved"}, states(<-got, now))

	over := event(3, rules.EventCleared, "critical", "")
	require.NoError(t, s.Deliver(t.Context(), over))
	last := <-got
	assert.Equal(t, []string{"critical resolved"}, states(last, now))
	assert.True(t, last[0].EndsAt.Equal(over.Ends))
	require.NoError(t, s.Repeat(t.Context(), []rules.Outcome{worse}))
	assert.ElementsMatch(t, []string{"critical resolved", "error resolved"}, states(<-got, now), "what the repetition knows is older than the end")
}

// TestForgetsEnds is of what was over more than 15 minutes ago.
func TestForgetsEnds(t *testing.T) {
	s := open(t, config("http://h"))
	now := time.Now()
	_, err := s.news([]rules.Outcome{event(1, rules.EventRaised, "major", ""), event(2, rules.EventCleared, "major", "")}, now)
	require.NoError(t, err)
	s.forget(nil, now.Add(14*time.Minute))
	assert.Len(t, s.ended, 1)
	s.forget(nil, now.Add(16*time.Minute))
	assert.Empty(t, s.ended)
	assert.Empty(t, s.episodes)
}

// TestSeverityOfAnEarlierProcess is of a sink that has not told what it was before.
func TestSeverityOfAnEarlierProcess(t *testing.T) {
	url, got := answering(t, http.StatusOK)
	require.NoError(t, open(t, config(url)).Deliver(t.Context(), event(2, rules.EventUpdated, "critical", "major")))
	assert.Equal(t, []string{"error resolved", "critical firing"}, states(<-got, time.Now()))
}

// TestClockAhead is of samples that are ahead of the engine's clock.
func TestClockAhead(t *testing.T) {
	url, got := answering(t, http.StatusOK)
	s := open(t, config(url))
	o := event(1, rules.EventCleared, "major", "")
	o.Starts, o.At, o.Ends = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), time.Now().Add(2*time.Hour)
	require.NoError(t, s.Deliver(t.Context(), o))
	a := (<-got)[0]
	assert.False(t, a.EndsAt.After(time.Now()))
	assert.False(t, a.EndsAt.Before(a.StartsAt))
}

func TestGroup(t *testing.T) {
	url, got := answering(t, http.StatusOK)
	a, b := event(1, rules.EventRaised, "major", ""), event(2, rules.EventCleared, "info", "")
	b.ID, b.Twin = "al_00000000000000000000000000", "machine_2"
	data := []byte(`{"status":"firing","groupLabels":{},"firing":1,"resolved":1,"suppressed":0,"truncated":0,"alerts":[`)
	data = append(b.AppendJSON(append(a.AppendJSON(data), ',')), "]}"...)
	require.NoError(t, open(t, config(url)).Deliver(t.Context(), rules.Outcome{Kind: rules.Notification, Topic: "r", At: at, Data: data}))
	assert.Equal(t, []string{"error firing", "info resolved"}, states(<-got, time.Now()))
}

func TestAnswers(t *testing.T) {
	good, _ := answering(t, http.StatusOK)
	for status, permanent := range map[int]bool{400: true, 404: true, 302: true, 429: false, 500: false, 503: false} {
		bad, _ := answering(t, status)
		err := open(t, config(good, bad)).Deliver(t.Context(), event(1, rules.EventRaised, "major", ""))
		require.ErrorContains(t, err, fmt.Sprintf(`answer %d "what is wrong"`, status))
		assert.Equal(t, permanent, sinks.IsPermanent(err), status)
		bad2, _ := answering(t, 500)
		assert.False(t, sinks.IsPermanent(open(t, config(bad, bad2)).Deliver(t.Context(), event(1, rules.EventRaised, "major", ""))), "one of them may still take it")
	}
}

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(token, []byte("a\nb"), 0o600))
	for text, want := range map[string]string{
		`{}`:                                        `c:1:1: field "urls" is missing`,
		`{"url":["http://h"]}`:                      "c:1:1: field \"urls\" is missing\nc:1:2: /url: unknown field \"url\"; did you mean \"urls\"?",
		`{"urls":[]}`:                               `c:1:9: /urls: no URL; want that of at least one Alertmanager`,
		`{"urls":["h:9093"]}`:                       `c:1:10: /urls/0: not the URL of an Alertmanager; want http://host:9093 or https://host/prefix`,
		`{"urls":["http://u:s3cret@h"]}`:            `c:1:10: /urls/0: a user in the URL; want username and password beside it`,
		`{"urls":["http://h/api/v2/alerts"]}`:       `c:1:10: /urls/0: the path of its API; want the URL without /api/v2/alerts`,
		`{"urls":["http://h"],"resend":"0s"}`:       `c:1:31: /resend: got 0s; want more than nothing`,
		`{"urls":["http://h"],"password":"s3cret"}`: `c:1:1: field "username" is missing`,
		`{"urls":["http://h"],"username":"u","password":"s3cret","passwordFile":"f"}`: `c:1:72: /passwordFile: password and passwordFile; want one of them`,
		`{"urls":["http://h"],"username":"u","tokenFile":"f"}`:                        `c:1:49: /tokenFile: tokenFile and username; want one of them`,
		`{"urls":["http://h"],"tokenFile":"` + token + `"}`:                           `c:1:34: /tokenFile: file ` + token + `: want one line of text`,
		`{"urls":["http://h"],"tls":{"ca":"nowhere.pem"}}`:                            `c:1:28: /tls: tls ca: open nowhere.pem: no such file or directory`,
		`{"urls":["http://h"],"link":"https://h/{{.ide}}"}`:                           `c:1:42: /link: template: no field "ide"; did you mean "id"?`,
	} {
		raw, err := strictjson.Parse("c", []byte(text))
		require.NoError(t, err)
		_, err = New(raw)
		require.EqualError(t, err, want, text)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

package log_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/log"
	"tocsin.internal/sinks/sinktest"
)

func open(t *testing.T, config string, w io.Writer) sinks.Sink {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(config))
	require.NoError(t, err)
	s, err := log.New(raw, w)
	require.NoError(t, err)
	return s
}

func TestContract(t *testing.T) {
	for _, config := range []string{`{}`, `{"format":"text"}`} {
		sinktest.Run(t, func(t *testing.T) sinks.Sink { return open(t, config, new(bytes.Buffer)) })
	}
}

func TestLines(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 5e8, time.UTC)
	output := rules.Outcome{Kind: rules.Output, Interaction: "overheating", Rule: "r", Twin: "machine_1", Feed: "status", At: at, Data: []byte(`{"status":"extreme"}`), Seq: 3}
	odd := output
	odd.Twin, odd.Interaction = "a\nb", "\x1b[31m"
	resolved := sinktest.Alert()
	resolved.State, resolved.Summary = rules.StateResolved, "all\r\nclear"
	put, told := output, output
	put.Kind, put.Feed, put.Sticker = rules.Sticker, "", &rules.StickerChange{Op: rules.PutSticker, Event: rules.EventRaised, Twin: "machine_1", Color: "red", Note: "too hot"}
	told.Kind, told.Feed, told.Notice = rules.Notification, "", &rules.Notice{Event: rules.EventRaised, Topic: "heat", Body: []byte(`"too hot"`)}
	json := func(o rules.Outcome) string { return string(o.AppendJSON(nil)) }
	for name, tt := range map[string]struct {
		config  string
		outcome rules.Outcome
		want    string
	}{
		"json is the default": {`{}`, output, json(output)},
		"json":                {`{"format":"json"}`, sinktest.Alert(), json(sinktest.Alert())},
		"text, output":        {`{"format":"text"}`, output, `2026-11-22T10:00:00.5Z output overheating/r machine_1 status: {"status":"extreme"}`},
		"text, alert":         {`{"format":"text"}`, sinktest.Alert(), `2026-11-22T10:00:00Z alert raised critical overheating/too-hot machine_1: machine_1 is at 31.2 {"temperature":31.2}`},
		"text, sticker":       {`{"format":"text"}`, put, `2026-11-22T10:00:00.5Z sticker raised overheating/r machine_1: sticker "red" put on machine_1 {"status":"extreme"}`},
		"text, notification":  {`{"format":"text"}`, told, `2026-11-22T10:00:00.5Z notification raised overheating/r machine_1: topic "heat" told: "too hot" {"status":"extreme"}`},
		"text on one line":    {`{"format":"text"}`, resolved, `2026-11-22T10:00:00Z alert cleared critical overheating/too-hot machine_1: "all\r\nclear" {"temperature":31.2}`},
		"text without colour": {`{"format":"text"}`, odd, `2026-11-22T10:00:00.5Z output "\x1b[31m/r" "a\nb" status: {"status":"extreme"}`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, open(t, tt.config, &b).Deliver(t.Context(), tt.outcome))
			assert.Equal(t, tt.want+"\n", b.String())
		})
	}
}

// writes counts the calls of Write.
type writes struct{ lines []string }

func (w *writes) Write(p []byte) (int, error) {
	w.lines = append(w.lines, string(p))
	return len(p), nil
}

func TestLinesDoNotMix(t *testing.T) {
	var w writes
	s := open(t, `{}`, &w)
	done := make(chan error)
	for range 20 {
		go func() { done <- s.Deliver(t.Context(), sinktest.Alert()) }()
	}
	for range 20 {
		require.NoError(t, <-done)
	}
	require.Len(t, w.lines, 20, "one call of Write a line")
	for _, line := range w.lines {
		assert.Equal(t, 1, strings.Count(line, "\n"))
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe closed") }

func TestWriteError(t *testing.T) {
	err := open(t, `{}`, broken{}).Deliver(t.Context(), sinktest.Alert())
	require.EqualError(t, err, "log sink: pipe closed")
	assert.False(t, sinks.IsPermanent(err))
}

func TestConfigMayBeAbsent(t *testing.T) {
	var b bytes.Buffer
	s, err := log.New(strictjson.Raw{}, &b)
	require.NoError(t, err)
	require.NoError(t, s.Deliver(t.Context(), sinktest.Alert()))
	assert.Contains(t, b.String(), `{"kind":"alert"`)
}

func TestConfigErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{"format":"xml"}`: `c:1:11: /format: got "xml"; want json or text`,
		`{"fromat":"txt"}`: `c:1:2: /fromat: unknown field "fromat"; did you mean "format"?`,
		`[]`:               `c:1:1: got an array; want an object`,
	} {
		raw, err := strictjson.Parse("c", []byte(config))
		require.NoError(t, err)
		_, err = log.New(raw, io.Discard)
		require.EqualError(t, err, want)
	}
}

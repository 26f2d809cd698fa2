package api

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/rs/zerolog"

	"tocsin.internal/api/access"
)

// AuditLog writes down everything that changes something: as a line of JSON in a
// file of its own, or in the log. The nil AuditLog writes nothing.
type AuditLog struct {
	path    string
	log     zerolog.Logger
	samples bool

	mu   sync.Mutex
	file *os.File
	lost int // entries that could not be written
}

// OpenAudit appends to the file, or writes to the log when path is "". With
// samples it records those that are shared too.
func OpenAudit(path string, samples bool, log zerolog.Logger) (*AuditLog, error) {
	a := &AuditLog{path: path, log: log, samples: samples}
	return a, a.Reopen()
}

// Reopen goes on in the file that is at the path now: the old one may have been
// moved away. When there is an error, it goes on in the old one.
func (a *AuditLog) Reopen() error {
	if a == nil || a.path == "" {
		return nil
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("http.audit: %w", err)
	}
	a.mu.Lock()
	was := a.file
	a.file = f
	a.mu.Unlock()
	if was != nil {
		return was.Close()
	}
	return nil
}

// Close ends it; what comes later is lost.
func (a *AuditLog) Close() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

// auditLine is an entry as it is written.
type auditLine struct {
	Time    string        `json:"time"`
	Caller  string        `json:"caller,omitempty"`
	Agent   string        `json:"agent,omitempty"`
	From    string        `json:"from"`
	Method  string        `json:"method"`
	Path    string        `json:"path"`
	Action  access.Action `json:"action"`
	Twin    string        `json:"twin,omitempty"`
	Status  int           `json:"status"`
	Refused string        `json:"refused,omitempty"`
	Took    float64       `json:"tookMs"`
}

// Record writes an entry. It is an [access.Audit].
func (a *AuditLog) Record(e access.Entry) {
	if a == nil || e.Action == access.Share && !a.samples {
		return
	}
	text, err := json.Marshal(auditLine{
		Time: e.At.UTC().Format("2006-01-02T15:04:05.000Z"), Caller: shortened(e.Caller), Agent: shortened(e.Agent), From: e.From, Method: shortened(e.Method),
		Path: shortened(e.Path), Action: e.Action, Twin: shortened(e.Twin), Status: e.Status, Refused: e.Refused, Took: float64(e.Took.Microseconds()) / 1e3,
	})
	if err != nil {
		a.log.Error().Err(err).Msg("audit")
		return
	}
	if a.path == "" {
		a.log.Info().RawJSON("audit", text).Msg("audit")
		return
	}
	a.append(append(text, '\n'))
}

// append writes a line. What cannot be written is logged once, until it can be
// again: the twins go on.
func (a *AuditLog) append(line []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.file.Write(line); err != nil {
		if a.lost++; a.lost == 1 {
			a.log.Error().Err(err).Str("file", a.path).Msg("audit log cannot be written; what is changed meanwhile is not in it")
		}
		return
	}
	if a.lost > 0 {
		a.log.Warn().Int("lost", a.lost).Str("file", a.path).Msg("audit log is written again")
		a.lost = 0
	}
}

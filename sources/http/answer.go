package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"tocsin.internal/sources"
)

// answer is what a client gets: a status, and the rest as JSON.
type answer struct {
	status     int
	lineStatus int // of the line that was refused last
	retryAfter int // seconds
	kept       int // how many of Refused are dead letters
	keptMore   int // and of More

	Stored  int       `json:"stored"`
	Error   string    `json:"error,omitempty"` // about the request
	Refused []refusal `json:"refused,omitempty"`
	More    int       `json:"moreRefused,omitempty"` // beyond those listed
}

// refusal is about one line.
type refusal struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

func failed(status int, format string, args ...any) *answer {
	return &answer{status: status, Error: fmt.Sprintf(format, args...)}
}

func (a *answer) refuse(line int, reason string, status int) {
	a.lineStatus = status
	if len(a.Refused) == listed {
		a.More++
		return
	}
	a.Refused = append(a.Refused, refusal{line, reason})
}

// statusError is the error of an Emit that refuses for good.
type statusError interface {
	error
	Status() int
}

// stored is for an Emit that has stored so many samples, and what was refused.
func (a *answer) stored(good int) {
	a.Stored += good
	a.kept, a.keptMore = len(a.Refused), a.More
}

// notStored is for an Emit that has failed. What is stored already stays so. Who is
// refused is not told what is wrong with the lines: it would say which twins there are.
func (a *answer) notStored(err error) {
	if refused, ok := errors.AsType[statusError](err); ok {
		a.Refused, a.More = a.Refused[:a.kept], a.keptMore
		a.status, a.Error = refused.Status(), refused.Error()
		return
	}
	a.status, a.retryAfter = http.StatusServiceUnavailable, 2
	a.Error = fmt.Sprintf("not stored: %v; send again, with an id or an Idempotency-Key nothing is stored twice", err)
	if errors.Is(err, sources.ErrFull) {
		a.retryAfter = 30
		a.Error = fmt.Sprintf("not stored: %v; send again when its operator has given it more room or the samples in it have been judged", err)
	}
}

func (a *answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a) // a client that has gone away has nobody to tell
}

package qapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// The codes of a gRPC status that are used.
const (
	codeInvalid       = 3
	codeDeadline      = 4
	codeNotFound      = 5
	codeExists        = 6
	codeDenied        = 7
	codeExhausted     = 8
	codeUnimplemented = 12
	codeInternal      = 13
	codeUnavailable   = 14
	codeUnknown       = 16 // who asks is not known
)

// codes are the statuses of HTTP and what each of them is in gRPC.
var codes = map[int]int{
	http.StatusBadRequest:            codeInvalid,
	http.StatusUnauthorized:          codeUnknown,
	http.StatusForbidden:             codeDenied,
	http.StatusNotFound:              codeNotFound,
	http.StatusMethodNotAllowed:      codeUnimplemented,
	http.StatusRequestTimeout:        codeDeadline,
	http.StatusConflict:              codeExists,
	http.StatusRequestEntityTooLarge: codeInvalid,
	http.StatusTooManyRequests:       codeExhausted,
	http.StatusInternalServerError:   codeInternal,
	http.StatusServiceUnavailable:    codeUnavailable,
	http.StatusGatewayTimeout:        codeDeadline,
}

// refusal is an error with its status.
type refusal struct {
	status int
	error
}

func (e *refusal) Unwrap() error { return e.error }

// GRPCCode is the code for those who do not speak HTTP.
func (e *refusal) GRPCCode() int { return cmp.Or(codes[e.status], codeInternal) }

func wrongf(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &refusal{http.StatusNotFound, fmt.Errorf(format, args...)}
}

func statusOf(err error) int {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.status
	}
	if r, ok := access.AsRefused(err); ok {
		return r.Status()
	}
	_, long := errors.AsType[*http.MaxBytesError](err)
	_, bad := errors.AsType[*strictjson.Error](err)
	switch {
	case long:
		return http.StatusRequestEntityTooLarge
	case bad:
		return http.StatusBadRequest
	case errors.Is(err, engine.ErrNoTwin), errors.Is(err, engine.ErrNoFeed), errors.Is(err, engine.ErrNoInput):
		return http.StatusNotFound // it has gone since it was looked for
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusServiceUnavailable
}

// Refuse answers with a gRPC status as JSON.
func Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	status := statusOf(err)
	if status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "2")
	}
	b := append([]byte(`{"code":`), strconv.Itoa(cmp.Or(codes[status], codeInternal))...)
	b = rules.AppendText(append(b, `,"message":`...), err.Error())
	write(w, status, append(b, `,"details":[]}`...))
}

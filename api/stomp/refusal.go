package stomp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

// code is that of a gRPC status, as in the IOTICS API.
type code int

const (
	invalid     code = 3
	deadline    code = 4
	notFound    code = 5
	exists      code = 6
	exhausted   code = 8
	internal    code = 13
	unavailable code = 14
)

// refusal ends a connection.
type refusal struct {
	code code
	text string
}

// Error is what the client is told.
func (r *refusal) Error() string { return r.text }

func refuse(c code, format string, args ...any) error {
	return &refusal{c, fmt.Sprintf(format, args...)}
}

// codeOf is the code that an error is told with.
func codeOf(err error) code {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.code
	}
	if r, ok := access.AsRefused(err); ok {
		return code(r.Code)
	}
	var coded interface{ GRPCCode() int }
	_, malformed := errors.AsType[*strictjson.Error](err)
	switch {
	case errors.As(err, &coded):
		return code(coded.GRPCCode())
	case malformed:
		return invalid
	case errors.Is(err, engine.ErrTopic), errors.Is(err, engine.ErrEventID):
		return invalid
	case errors.Is(err, engine.ErrNoTwin), errors.Is(err, engine.ErrNoFeed):
		return notFound
	case errors.Is(err, engine.ErrOtherTopic):
		return exists
	case errors.Is(err, engine.ErrStopped):
		return unavailable
	case errors.Is(err, context.DeadlineExceeded):
		return deadline
	}
	return internal
}

// expired is how a body says that a token is. Clients of IOTICS get a new one when
// they read exactly this, and otherwise come again with the old one for ever.
const expired = "UNAUTHENTICATED: token expired"

// status is the JSON of an error, as in the IOTICS API.
func status(err error) []byte {
	message := err.Error()
	if r, ok := access.AsRefused(err); ok && r.Expired {
		message = expired
	}
	text, jsonErr := json.Marshal(map[string]any{"code": codeOf(err), "message": message, "details": []any{}})
	if jsonErr != nil {
		return []byte(`{"code":13}`) // a string and a number are JSON
	}
	return text
}

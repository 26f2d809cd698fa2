package engine

import (
	"context"
	"encoding/json"
	"fmt"
)

// request is what one worker asks of the one at the desk.
type request struct {
	Op   string          `json:"op"`
	ID   string          `json:"id,omitempty"`   // adopt: the twin's
	Body json.RawMessage `json:"body,omitempty"` // call: what the handler gets

	Number uint64 `json:"number,omitempty"` // ruleset: the revision that is waited for
}

type reply struct {
	Error string          `json:"error,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// HandOver lets the worker at the desk answer what this one cannot: body and
// answer are JSON, what they mean is between OnHandOver's function and the caller.
func (e *Engine) HandOver(ctx context.Context, body []byte) ([]byte, error) {
	return e.ask(ctx, request{Op: "call", Body: body})
}

// OnHandOver says how this worker answers what others hand over while it is at
// the desk.
func (e *Engine) OnHandOver(f func(ctx context.Context, body []byte) []byte) { e.handler.Store(f) }

// Elsewhere is the worker at the desk, when it is another one; "" when it is
// this one, or nobody yet.
func (e *Engine) Elsewhere() string {
	if owner := e.pool.Owner(deskLease); owner != e.config.WorkerID {
		return owner
	}
	return ""
}

func (e *Engine) ask(ctx context.Context, q request) ([]byte, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	text, err := e.bus.AskDesk(ctx, body)
	if err != nil {
		return nil, fmt.Errorf("the desk: %w", err)
	}
	return replied("the desk", text)
}

// askWorker asks another worker of what it has itself.
func (e *Engine) askWorker(ctx context.Context, id string, q request) ([]byte, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	text, err := e.bus.AskWorker(ctx, id, body)
	if err != nil {
		return nil, err
	}
	return replied("worker "+id, text)
}

// replied is the body of a reply.
func replied(who string, text []byte) ([]byte, error) {
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	if r.Error != "" {
		return nil, fmt.Errorf("%s: %s", who, r.Error)
	}
	return r.Body, nil
}

// answerSelf is what this worker says of itself.
func (e *Engine) answerSelf(ctx context.Context, text []byte) []byte {
	var q request
	var r reply
	err := json.Unmarshal(text, &q)
	switch {
	case err != nil:
		r.Error = err.Error()
	case q.Op == "rules":
		r.Body, err = json.Marshal(e.ruleCounts(ctx))
	case q.Op == "last":
		r.Body, err = e.answerLast(ctx, q.Body)
	default:
		r.Error = fmt.Sprintf("no request %q", q.Op)
	}
	if err != nil {
		r.Error = err.Error()
	}
	out, err := json.Marshal(r)
	if err != nil {
		return []byte(`{"error":"an answer that is no JSON"}`)
	}
	return out
}

// answer is what the desk says to another worker.
func (e *Engine) answer(ctx context.Context, text []byte) []byte {
	var q request
	var r reply
	err := json.Unmarshal(text, &q)
	f, _ := e.handler.Load().(func(context.Context, []byte) []byte)
	switch {
	case err != nil:
		r.Error = err.Error()
	case q.Op == "adopt":
		e.adopt(q.ID)
	case q.Op == "ruleset":
		if err := e.awaitRuns(ctx, q.Number); err != nil {
			r.Error = err.Error()
		}
	case q.Op == "call" && f != nil:
		r.Body = f(ctx, q.Body)
	default:
		r.Error = fmt.Sprintf("no request %q", q.Op)
	}
	out, err := json.Marshal(r)
	if err != nil {
		return []byte(`{"error":"an answer that is no JSON"}`)
	}
	return out
}

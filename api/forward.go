package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"

	"tocsin.internal/engine"
)

// Of a pool's workers one is at the desk: it alone knows the open alerts and may
// change twins. What another worker is asked about these it hands over, so that
// a client may talk to any of them.

// maxHandedOver bounds the body of a request that is handed over.
const maxHandedOver = 512 << 10

// call is a request on its way to the desk, and answered its answer.
type call struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

type answered struct {
	Code   int         `json:"code"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

// handedOver marks a request that has been handed over once.
const handedOver = "Tocsin-Handed-Over"

// atDesk serves by next where this worker is at the desk, or nobody is yet; else
// the worker that is answers.
func atDesk(e *engine.Engine, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case e.Elsewhere() == "":
			next(w, r)
		case r.Header.Get(handedOver) != "":
			answer(w, http.StatusServiceUnavailable, map[string]any{"error": "the desk is changing hands; try again"})
		default:
			handOver(w, r, e)
		}
	}
}

// serveOthers answers what other workers hand over.
func serveOthers(e *engine.Engine, mux http.Handler) {
	e.OnHandOver(func(ctx context.Context, body []byte) []byte { return serveCall(ctx, mux, body) })
}

func handOver(w http.ResponseWriter, r *http.Request, e *engine.Engine) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHandedOver))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, map[string]any{"error": err.Error()})
		return
	}
	r.Header.Set(handedOver, "1")
	text, err := json.Marshal(call{r.Method, r.URL.RequestURI(), r.Header, body})
	if err == nil {
		text, err = e.HandOver(r.Context(), text)
	}
	var a answered
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		answer(w, http.StatusServiceUnavailable, map[string]any{"error": err.Error()})
		return
	}
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Code)
	w.Write(a.Body) //nolint:errcheck // the client is gone
}

// serveCall answers what another worker has handed over.
func serveCall(ctx context.Context, next http.Handler, text []byte) []byte {
	var c call
	err := json.Unmarshal(text, &c)
	var r *http.Request
	if err == nil {
		r, err = http.NewRequestWithContext(ctx, c.Method, c.URL, bytes.NewReader(c.Body))
	}
	rec := &recorder{header: http.Header{}, code: http.StatusOK}
	if err != nil {
		answer(rec, http.StatusBadRequest, map[string]any{"error": err.Error()})
	} else {
		r.Header = c.Header
		next.ServeHTTP(rec, r)
	}
	out, err := json.Marshal(answered{rec.code, rec.header, rec.body.Bytes()})
	if err != nil {
		return []byte(`{"code":500}`)
	}
	return out
}

// recorder keeps an answer instead of sending it.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header, WriteHeader and Write make it a ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader keeps the status.
func (r *recorder) WriteHeader(code int) { r.code = code }

// Write keeps a part of the body.
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

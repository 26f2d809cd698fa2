package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"time"

	"tocsin.internal/api/access"
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
	Host   string      `json:"host,omitempty"`
	Secure bool        `json:"secure,omitempty"` // it came by TLS
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

type answered struct {
	Code   int         `json:"code"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

// handOverAfter is when it is worth to ask again for what could not be handed over.
const handOverAfter = 2 * time.Second

// handedOver marks a request that has been handed over once.
const handedOver = "Tocsin-Handed-Over"

// atDesk serves by next where this worker is at the desk, or nobody is yet; else
// the worker that is answers.
func atDesk(e *engine.Engine, next http.HandlerFunc) http.HandlerFunc {
	return atDeskIf(e, access.Route{Desk: func(*http.Request) bool { return true }, Handler: next}).ServeHTTP
}

// atDeskIf is atDesk for the requests of a route that only the desk can answer.
func atDeskIf(e *engine.Engine, r access.Route) http.Handler {
	no := r.Refuse
	if no == nil {
		no = func(w http.ResponseWriter, _ *http.Request, err error) { refuse(w, err) }
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case e.Elsewhere() == "" || !r.Desk(req):
			r.Handler.ServeHTTP(w, req)
		case req.Header.Get(handedOver) != "":
			no(w, req, &access.Refused{Code: access.Unavailable, Why: "the desk is changing hands; try again"})
		default:
			if err := handOver(w, req, e); err != nil {
				no(w, req, err)
			}
		}
	})
}

// serveOthers answers what other workers hand over.
func serveOthers(e *engine.Engine, mux http.Handler) {
	e.OnHandOver(func(ctx context.Context, body []byte) []byte { return serveCall(ctx, mux, body) })
}

func handOver(w http.ResponseWriter, r *http.Request, e *engine.Engine) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHandedOver))
	if err != nil {
		return badRequest{err}
	}
	r.Header.Set(handedOver, "1")
	text, err := json.Marshal(call{r.Method, r.URL.RequestURI(), r.Host, r.TLS != nil, r.Header, body})
	if err == nil {
		text, err = e.HandOver(r.Context(), text)
	}
	var a answered
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		return &access.Refused{Code: access.Unavailable, Why: err.Error(), After: handOverAfter}
	}
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Code)
	w.Write(a.Body) //nolint:errcheck // the client is gone
	return nil
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
		r.Header, r.Host = c.Header, c.Host
		if c.Secure {
			r.TLS = new(tls.ConnectionState)
		}
		next.ServeHTTP(rec, r.WithContext(passedOn(ctx)))
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

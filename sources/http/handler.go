package http

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// Options say where a Handler stores samples and what it takes. The zero of a
// limit is its default.
type Options struct {
	Emit           sources.Emit
	MaxSampleBytes int              // of a sample's data; 256 KiB
	MaxBodyBytes   int              // of a request, after inflation; 32 MiB
	MaxInFlight    int              // requests that wait to be stored; 64. Each may hold a body
	Now            func() time.Time // time.Now; the time of a sample that has none

	// Known says whether a sample of the feed at that time would be judged;
	// reason says why not, in full, such as `unknown twin "machne_1"; did you mean
	// "machine_1"?`. nil knows all.
	Known func(twin, feed string, at time.Time) (ok bool, reason string)
}

const (
	defaultSampleBytes = 256 << 10
	defaultBodyBytes   = 32 << 20
	defaultInFlight    = 64

	// emitted is how many lines of a batch go to Emit at once.
	emitted = 1000
	// listed is how many refused lines an answer lists.
	listed = 100
	// bodyTimeout is how long a client may take to send a body: it holds a place meanwhile.
	bodyTimeout = time.Minute
	// maxKeyBytes leaves room for "/" and a line's number in a message id.
	maxKeyBytes = sources.MaxIDBytes - 16
)

// Handler takes samples by POST: one JSON object, which may span lines, or
// several, one a line (NDJSON). It answers when they are stored.
//
//	200 {"stored":998,"refused":[{"line":3,"error":"…"}]}: the lines that are good are stored, the others are dead letters
//	400 none is good, or the request is broken
//	405 not POST
//	408 the body came too slowly: it took longer than a minute
//	413 the body is too large and nothing of it is stored, or the only sample is, and it is a dead letter
//	415 a Content-Encoding other than gzip
//	422 the only sample is one that Known refuses, and is a dead letter
//	429 too many requests wait; with Retry-After
//	503 not stored, or only the first "stored" samples are; with Retry-After
//
// A sample may carry an id, and a request an Idempotency-Key, which gives the
// samples without an id the id KEY/LINE: with either it is safe to send again.
type Handler struct {
	Options
	places chan struct{}
}

// NewHandler makes a handler that stores by o.Emit, which it must have.
func NewHandler(o Options) *Handler {
	o.MaxSampleBytes = cmp.Or(o.MaxSampleBytes, defaultSampleBytes)
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, defaultBodyBytes)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, defaultInFlight)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Handler{Options: o, places: make(chan struct{}, o.MaxInFlight)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		failed(http.StatusMethodNotAllowed, "method %s; want POST with a sample, or several as NDJSON", r.Method).write(w)
		return
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		a := failed(http.StatusTooManyRequests, "%d requests wait to be stored; send again later", h.MaxInFlight)
		a.retryAfter = 1
		a.write(w)
		return
	}
	h.take(w, r).write(w)
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request) *answer {
	key := r.Header.Get("Idempotency-Key")
	if key != "" {
		if err := sources.CheckID(key); err != nil || len(key) > maxKeyBytes {
			return failed(http.StatusBadRequest, "Idempotency-Key of %d bytes; want at most %d without control characters", len(key), maxKeyBytes)
		}
	}
	body, a := h.body(w, r)
	switch {
	case a != nil:
		return a
	case len(bytes.TrimSpace(body)) == 0:
		return failed(http.StatusBadRequest, `empty body; want {"twin","feed","occurredAt","data":{…}}, or several, one a line`)
	case isBatch(r.Header.Get("Content-Type"), body):
		return h.store(r.Context(), key, bytes.Lines(body))
	}
	a = h.store(r.Context(), key, func(yield func([]byte) bool) { yield(body) })
	if a.status == http.StatusBadRequest {
		a.status = a.lineStatus
	}
	return a
}

// body reads the whole body, inflated, or says why not.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, *answer) {
	tooLarge := failed(http.StatusRequestEntityTooLarge, "body of more than %d bytes; want at most that, nothing of it is stored", h.MaxBodyBytes)
	if r.ContentLength > int64(h.MaxBodyBytes) {
		return nil, tooLarge
	}
	conn := http.NewResponseController(w)
	timed := conn.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	var in io.Reader = http.MaxBytesReader(w, r.Body, int64(h.MaxBodyBytes))
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip":
		inflated, err := gzip.NewReader(in)
		if err != nil {
			return nil, unread(err, tooLarge)
		}
		in = inflated
	default:
		return nil, failed(http.StatusUnsupportedMediaType, "Content-Encoding %q; want gzip or none", encoding)
	}
	body, err := io.ReadAll(io.LimitReader(in, int64(h.MaxBodyBytes)+1))
	switch {
	case err != nil:
		return nil, unread(err, tooLarge)
	case len(body) > h.MaxBodyBytes:
		return nil, tooLarge
	case timed:
		// The request may now wait for as long as it takes. After an error the
		// limit stays, for the server still reads what is left of the body.
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, unread(err, tooLarge)
	}
	return body, nil
}

func unread(err error, tooLarge *answer) *answer {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return failed(http.StatusRequestTimeout, "the body came too slowly; nothing of it is stored")
	}
	return failed(http.StatusBadRequest, "the body cannot be read: %v; nothing of it is stored", err)
}

var batchTypes = []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}

// isBatch says that a body has a sample a line: its type says so, or it has
// lines and the first or the last is an object by itself, which no line at
// either end of one object is.
func isBatch(contentType string, body []byte) bool {
	if media, _, err := mime.ParseMediaType(contentType); err == nil && slices.Contains(batchTypes, media) {
		return true
	}
	body = bytes.TrimSpace(body)
	first := bytes.IndexByte(body, '\n')
	if first < 0 {
		return false
	}
	last := bytes.LastIndexByte(body, '\n')
	return isObject(body[:first]) || isObject(body[last+1:])
}

func isObject(line []byte) bool {
	line = bytes.TrimSpace(line)
	return bytes.HasPrefix(line, []byte("{")) && json.Valid(line)
}

// store hands the lines to Emit, and answers.
func (h *Handler) store(ctx context.Context, key string, lines iter.Seq[[]byte]) *answer {
	a := &answer{}
	var batch []rules.Sample
	good := 0
	emit := func() bool {
		if err := h.Emit(ctx, batch...); err != nil {
			a.notStored(err)
			return false
		}
		a.stored(good)
		batch, good = nil, 0
		return true
	}
	n := 0
	for line := range lines {
		n++
		line = bytes.TrimRight(line, " \t\r\n")
		if len(line) == 0 {
			continue
		}
		s, status := h.sample(line, n, key)
		if s.Refused == "" {
			good++
		} else {
			a.refuse(n, s.Refused, status)
		}
		batch = append(batch, s)
		if len(batch) == emitted && !emit() {
			return a
		}
	}
	if len(batch) > 0 && !emit() {
		return a
	}
	a.status = http.StatusOK
	if a.Stored == 0 {
		a.status = http.StatusBadRequest
	}
	return a
}

// sample reads a line. One that is refused comes as a dead letter, with the
// status of a request that has nothing else.
func (h *Handler) sample(line []byte, n int, key string) (rules.Sample, int) {
	s, err := sources.ParseLine(line, n)
	if s.ID == "" && key != "" {
		s.ID = key + "/" + strconv.Itoa(n)
	}
	if s.At.IsZero() {
		s.At = h.Now().UTC()
	}
	status := http.StatusBadRequest
	if err == nil {
		status, err = h.judge(&s, line, n)
	}
	if err != nil {
		if e, ok := errors.AsType[*strictjson.Error](err); ok {
			e.File = "body"
		}
		s.Refused, s.Data = err.Error(), line
	}
	return s, status
}

// judge says what is wrong with a sample whose line could be read.
func (h *Handler) judge(s *rules.Sample, line []byte, n int) (int, error) {
	if len(s.Data) > h.MaxSampleBytes {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("data of %d bytes; want at most %d", len(s.Data), h.MaxSampleBytes)
	}
	if at, err := check(s.Data); err != nil {
		start := cap(line) - cap(s.Data) // Data is a part of line
		return http.StatusBadRequest, wrong(line[:start+at], n, "/data", err)
	}
	s.Data, _ = sources.OneLine(s.Data) // it has been checked
	if h.Known == nil {
		return http.StatusOK, nil
	}
	if ok, reason := h.Known(s.Twin, s.Feed, s.At); !ok {
		if reason == "" {
			reason = fmt.Sprintf("unknown twin %q or feed %q", s.Twin, s.Feed)
		}
		return http.StatusUnprocessableEntity, errors.New(reason)
	}
	return http.StatusOK, nil
}

package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

// What a stream of server-sent events is held to.
const (
	maxQueued  = 2048             // events that wait for a client
	maxPast    = 256              // of those from before it came
	writeTime  = 10 * time.Second // for a client to take what is written
	beatEvery  = 15 * time.Second // a comment, so that nobody on the way takes the connection for dead
	checkEvery = time.Minute      // whether the client may still follow
	reconnect  = 2 * time.Second  // after which a browser comes back
	fullPage   = 64 << 10         // bytes that are written at once, about
)

// Why a stream ended.
const (
	endedGone     = "gone"    // the client went
	endedSlow     = "slow"    // it did not read
	endedRefused  = "refused" // its token expired or was revoked
	endedStopping = "stopping"
)

// live is the part of the API that sends what happens as it happens.
type live struct {
	follow func(ctx context.Context, topics []engine.Topic, after string, f func(*engine.Event)) (from string, stop func(), err error)
	guard  *access.Guard
	counts *counts
	stop   <-chan struct{} // closed when the server stops
	beat   time.Duration   // between comments
	check  time.Duration   // between looks at the client
	write  time.Duration   // for the client to take what is written
}

func eventRoutes(d *door, e *engine.Engine, stop <-chan struct{}) []access.Route {
	l := live{follow: e.FollowFrom, guard: d.guard, counts: &d.counts, stop: stop, beat: beatEvery, check: checkEvery, write: writeTime}
	return []access.Route{{Pattern: "GET /api/v1/events", Action: access.Read, QueryToken: true, Handler: http.HandlerFunc(l.serve)}}
}

// eventParameters are what a question for events may have.
var eventParameters = []string{"topics", "after", "quiet", access.TokenParameter}

// serve sends events until the client goes.
func (l live) serve(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(eventParameters, name) {
			refuse(w, wrong("%s: no such parameter%s", shortened(name), strictjson.DidYouMean(name, eventParameters)))
			return
		}
	}
	var quiet bool
	if text := query.Get("quiet"); text != "" {
		if err := yesOrNo(&quiet, text); err != nil {
			refuse(w, wrong("quiet: %w", err))
			return
		}
	}
	topics, err := readTopics(query["topics"], quiet)
	if err != nil {
		refuse(w, err)
		return
	}
	for i := range topics {
		if topics[i].Kind == engine.StickerTopic || topics[i].Kind == engine.NotificationTopic {
			topics[i].Recipients = access.From(r.Context()).Recipients()
		}
	}
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = query.Get("after")
	}
	if err := l.send(w, r, topics, after); err != nil {
		refuse(w, err)
	}
}

// send is one stream. Its error is from before it has begun.
func (l live) send(w http.ResponseWriter, r *http.Request, topics []engine.Topic, after string) error {
	q := newQueue(r.Context())
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	from, leave, err := l.follow(ctx, topics, after, q.put)
	cancel()
	switch {
	case errors.Is(err, engine.ErrTopic), errors.Is(err, engine.ErrEventID):
		return badRequest{err}
	case err != nil:
		return err
	}
	defer leave()
	s := stream{live: l, queue: q, w: w, conn: http.NewResponseController(w), token: tokenOf(r, true), caller: access.From(r.Context())}
	l.counts.streamBegun()
	why := s.run(r.Context(), from)
	l.counts.streamEnded(why, q.lost())
	return nil
}

// queue is what waits for a client. Those that give never wait for it, but for
// what was before.
type queue struct {
	gone <-chan struct{}
	past chan *engine.Event // before live
	live chan *engine.Event
	full chan struct{} // closed when there was no room for one
	over bool          // the same, for the one who gives
}

func newQueue(ctx context.Context) *queue {
	return &queue{gone: ctx.Done(), past: make(chan *engine.Event, maxPast), live: make(chan *engine.Event, maxQueued), full: make(chan struct{})}
}

func (q *queue) put(e *engine.Event) {
	if e.Past {
		select {
		case q.past <- e:
		case <-q.gone:
		}
		return
	}
	if q.over {
		return
	}
	select {
	case q.live <- e:
	default:
		q.over = true
		close(q.full)
	}
}

// lost is how many events have not been sent.
func (q *queue) lost() int { return len(q.past) + len(q.live) }

// stream is a client that follows.
type stream struct {
	live
	queue  *queue
	w      http.ResponseWriter
	conn   *http.ResponseController
	token  string
	caller *access.Caller
	page   []byte
	events int // in the page
}

// run sends until somebody ends it, and says why.
func (s *stream) run(ctx context.Context, from string) (why string) {
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // for nginx
	s.conn.SetReadDeadline(time.Time{})   //nolint:errcheck // what a client may send more is not read
	s.page = append(strconv.AppendInt([]byte("retry: "), reconnect.Milliseconds(), 10), "\nid: "+from+"\n\n"...)
	beat := time.NewTicker(s.beat)
	defer beat.Stop()
	check := time.NewTimer(s.untilCheck())
	defer check.Stop()
	for {
		if err := s.flush(); err != nil {
			return s.unread(err)
		}
		select {
		case e := <-s.queue.past:
			s.take(e)
		case e := <-s.queue.live:
			s.take(e)
		case <-beat.C:
			s.page = append(s.page, ":\n\n"...)
		case <-check.C:
			if err := s.mayStill(ctx); err != nil {
				s.end(err.Error())
				return endedRefused
			}
			check.Reset(s.untilCheck())
		case <-s.queue.full:
			return endedSlow
		case <-s.stop:
			s.end("the engine is stopping")
			return endedStopping
		case <-ctx.Done():
			return endedGone
		}
	}
}

// unread says why a client did not take what was written: it does not read, or
// it is gone.
func (s *stream) unread(err error) (why string) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return endedSlow
	}
	select {
	case <-s.queue.full:
		return endedSlow
	default:
		return endedGone
	}
}

// take adds what waits to the page, as far as that has room: what was before comes
// first.
func (s *stream) take(e *engine.Event) {
	if !e.Past {
		for more := true; more; {
			select {
			case past := <-s.queue.past:
				s.add(past)
			default:
				more = false
			}
		}
	}
	s.add(e)
	for len(s.page) < fullPage {
		select {
		case e := <-s.queue.past:
			s.add(e)
			continue
		default:
		}
		select {
		case e := <-s.queue.live:
			s.add(e)
		default:
			return
		}
	}
}

func (s *stream) add(e *engine.Event) {
	s.page = appendEvent(s.page, e)
	s.events++
}

// flush writes the page.
func (s *stream) flush() error {
	s.conn.SetWriteDeadline(time.Now().Add(s.write)) //nolint:errcheck // then the server's own holds
	_, err := s.w.Write(s.page)
	if err == nil {
		err = s.conn.Flush()
	}
	s.counts.sent(s.events)
	s.page, s.events = s.page[:0], 0
	return err
}

// end tells the client why there is no more.
func (s *stream) end(why string) {
	text, err := json.Marshal(map[string]string{"error": why})
	if err != nil {
		return
	}
	s.page = append(append(append(s.page, "event: end\ndata: "...), text...), "\n\n"...)
	s.flush() //nolint:errcheck // it ends anyway
}

// untilCheck is when the client has to be looked at again.
func (s *stream) untilCheck() time.Duration {
	check := cmp.Or(access.LookAgain(s.token), s.check)
	if s.caller.Expires.IsZero() {
		return check
	}
	return max(min(check, time.Until(s.caller.Expires)), time.Millisecond)
}

// mayStill says why the client may not follow any more.
func (s *stream) mayStill(ctx context.Context) error {
	if !s.caller.Expires.IsZero() && !time.Now().Before(s.caller.Expires) {
		return access.Unknown("the token has expired")
	}
	caller, err := s.guard.Caller(ctx, s.token)
	if err != nil {
		return err
	}
	if err := s.caller.StillMay(caller); err != nil {
		return err
	}
	s.caller = caller
	return nil
}

// appendEvent adds an event as a browser takes it.
func appendEvent(b []byte, e *engine.Event) []byte {
	b = append(append(append(b, "id: "...), e.ID...), "\nevent: "...)
	b = append(append(b, e.Kind...), "\ndata: "...)
	b = append(b, eventData(e)...)
	return append(b, "\n\n"...)
}

// sampleData and inputData are what is sent of a sample, and of a message to an input.
type (
	sampleData struct {
		Twin string          `json:"twin"`
		Feed string          `json:"feed"`
		At   time.Time       `json:"occurredAt"`
		Data json.RawMessage `json:"data"`
	}
	inputData struct {
		Twin  string    `json:"twin"`
		Input string    `json:"input"`
		From  string    `json:"from,omitempty"`
		At    time.Time `json:"occurredAt"`
		Mime  string    `json:"mime"`
		Data  []byte    `json:"data"`
	}
)

// eventData is what an event says, as JSON on one line.
func eventData(e *engine.Event) []byte {
	var text []byte
	var err error
	switch {
	case e.Kind == engine.InputTopic:
		text, err = json.Marshal(inputData{e.Twin, e.Name, e.From, e.At.UTC(), e.Mime, e.Data})
	case e.Kind == engine.SampleTopic:
		text, err = json.Marshal(sampleData{e.Twin, e.Name, e.At.UTC(), e.Data})
	case bytes.ContainsAny(e.Data, "\r\n"):
		var line bytes.Buffer
		err = json.Compact(&line, e.Data)
		text = line.Bytes()
	default:
		return e.Data
	}
	if err != nil {
		return []byte("null") // no stored event is like this
	}
	return text
}

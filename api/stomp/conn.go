package stomp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/api/access"
)

// conn is a connection. One goroutine reads and does what the client asks for;
// one writes, and it alone.
type conn struct {
	server *Server
	net    net.Conn
	cut    func()          // ends it at once
	bye    func(why error) // ends it after the last frame, so that the client gets that
	joined bool            // several frames may be written as one
	shown  string          // the token that was shown before the first frame, by HTTP

	in     *reader
	out    *queue
	ctx    context.Context //nolint:containedctx // it ends with the connection, whose life this is
	cancel context.CancelFunc
	ended  atomic.Bool
	ending sync.Once
	why    error          // it is being ended, and the writer says so; set before out.finish
	wrote  chan struct{}  // closed when the writer is done
	others sync.WaitGroup // what else runs for it
	beats  atomic.Int64   // nanoseconds between ours; 0: none
	spoken atomic.Int64   // the version; 0 until it is agreed

	timers struct {
		sync.Mutex
		linger, slow, expiry, again *time.Timer
	}

	// Of the reader alone.
	silence       time.Duration // that the client may keep; 0: any
	firstBy       time.Time     // when the first frame must have come; zero after it
	token         string
	caller        *access.Caller
	subs          map[string]*subscription // by id; without one, by what begins with a blank
	made          uint64                   // subscriptions that were made
	begin         func()                   // lets come what waits for a new subscription, after its receipt; nil: nothing does
	transactions  map[string][]*frame.Frame
	deferred      int // frames in them
	deferredBytes int
	subscribed    atomic.Int64
}

func newConn(s *Server, n net.Conn) *conn {
	c := &conn{server: s, net: n, out: newQueue(s.Limits.Queue), wrote: make(chan struct{}), subs: map[string]*subscription{}}
	c.in = newReader(c, &s.Limits)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// serve serves the connection until it is over.
func (c *conn) serve() {
	defer c.cancel()
	admitted := c.server.admit(c)
	if admitted == nil {
		defer c.server.release(c)
	}
	go c.write()
	err := admitted
	if err == nil {
		err = c.session()
	}
	c.fail(err, nil)
	io.Copy(io.Discard, c.net) //nolint:errcheck // it ends with an error, or with the stream
	c.cancel()
	<-c.wrote
	c.stopTimers()
	c.cut()
	c.leaveAll()
	c.others.Wait()
}

// session does what the client asks for until it disconnects (nil), goes away, or
// does what it may not.
func (c *conn) session() error {
	c.firstBy = time.Now().Add(c.server.Limits.Connect)
	for {
		f, err := c.in.next()
		if _, ok := errors.AsType[*refusal](err); err != nil && !ok {
			return errGone
		}
		switch {
		case err != nil:
			return err
		case c.ended.Load():
			return nil
		case f == nil:
			continue
		}
		c.server.counts.frames.Add(1)
		switch err := c.handle(f); {
		case errors.Is(err, errDisconnect):
			return nil
		case err != nil:
			c.fail(err, f)
			return nil
		}
	}
}

// Read reads from the client, which must not be silent for too long.
func (c *conn) Read(p []byte) (int, error) {
	if patience, why := c.patience(); why != nil {
		defer time.AfterFunc(patience, func() { c.fail(why, nil) }).Stop()
	}
	return c.net.Read(p)
}

// patience is how long the client may be silent now, and what it is told after
// that; nil: it may be for as long as it likes.
func (c *conn) patience() (patience time.Duration, why error) {
	limits := &c.server.Limits
	if !c.firstBy.IsZero() {
		return time.Until(c.firstBy), refuse(deadline, "no CONNECT or STOMP frame in %s", limits.Connect)
	}
	if c.silence > 0 {
		patience, why = c.silence, refuse(deadline, "no heart-beat in %s", c.silence)
	}
	if began := c.in.began; !began.IsZero() {
		if left := time.Until(began.Add(limits.Receive)); why == nil || left < patience {
			patience, why = left, refuse(deadline, "a frame that was not complete in %s", limits.Receive)
		}
	}
	return patience, why
}

// version is what is spoken.
func (c *conn) version() version { return version(c.spoken.Load()) }

// errDisconnect says that the client wants no more.
var errDisconnect = errors.New("disconnected")

// errGone says that the client is not there any more.
var errGone = errors.New("the client is gone")

// handlers do what a client asks for when it is connected.
var handlers = map[string]func(*conn, *frame.Frame) error{
	frame.SUBSCRIBE: (*conn).subscribe, frame.UNSUBSCRIBE: (*conn).unsubscribe, frame.SEND: (*conn).send,
	frame.ACK: (*conn).ack, frame.NACK: (*conn).nack,
	frame.DISCONNECT: func(*conn, *frame.Frame) error { return errDisconnect },
}

// handle does what a frame asks for, and then gives the receipt that it wants.
func (c *conn) handle(f *frame.Frame) error {
	first := f.Command == frame.CONNECT || f.Command == frame.STOMP
	switch {
	case first && c.version() == 0:
		if err := c.connect(f); err != nil {
			return err
		}
		return c.receipt(f)
	case first:
		return refuse(invalid, "%s on a connection that is connected", f.Command)
	case c.version() == 0:
		return refuse(invalid, "%s before CONNECT", f.Command)
	}
	err := c.do(f)
	if err != nil && !errors.Is(err, errDisconnect) {
		return err
	}
	err = errors.Join(err, c.receipt(f))
	if c.begin != nil {
		c.begin()
		c.begin = nil
	}
	return err
}

// do does what a frame asks for, at once or when its transaction is committed.
func (c *conn) do(f *frame.Frame) error {
	switch f.Command {
	case frame.BEGIN, frame.COMMIT, frame.ABORT:
		return c.transact(f)
	case frame.SEND, frame.ACK, frame.NACK:
		if name, ok := f.Header.Contains(frame.Transaction); ok {
			return c.postpone(name, f)
		}
	}
	return handlers[f.Command](c, f)
}

// receipt tells the client that a frame has been dealt with, where it wants to know.
func (c *conn) receipt(f *frame.Frame) error {
	id, ok := f.Header.Contains(frame.Receipt)
	if !ok || c.out.reply(encode(c.version(), frame.RECEIPT, nil, frame.ReceiptId, id)) {
		return nil
	}
	return errUnread
}

var errUnread = refuse(exhausted, "too many frames were asked for that have not been read")

// versions are those that are spoken, the best first.
var versions = []version{v12, v11, v10}

var errVersion = refuse(invalid, "want one of 1.2,1.1,1.0")

// agree takes the best version that both speak. Who says nothing speaks 1.0.
func agree(accepted string) (version, bool) {
	if accepted == "" {
		return v10, true
	}
	for _, v := range versions {
		for a := range strings.SplitSeq(accepted, ",") {
			if strings.TrimSpace(a) == v.String() {
				return v, true
			}
		}
	}
	return 0, false
}

// connect agrees on version and heart-beats, and finds out who asks.
func (c *conn) connect(f *frame.Frame) error {
	v, ok := agree(f.Header.Get(frame.AcceptVersion))
	if !ok {
		return fmt.Errorf("accept-version %.60q; %w", f.Header.Get(frame.AcceptVersion), errVersion)
	}
	c.token = f.Header.Get(frame.Passcode)
	for _, other := range []string{access.Bearer(authorization(f)), c.shown} {
		if c.token == "" {
			c.token = other
		}
	}
	caller, err := c.server.Guard.Caller(c.ctx, c.token)
	switch {
	case err != nil && c.token == "":
		return access.Unknown("no token; want it as passcode or in a header Authorization")
	case err != nil:
		return err
	}
	var theirs, ours time.Duration
	if v != v10 { // which knows none
		if theirs, ours, err = c.heartBeats(f.Header.Get(frame.HeartBeat)); err != nil {
			return err
		}
	}
	c.spoken.Store(int64(v))
	c.caller, c.in.version, c.firstBy = caller, v, time.Time{}
	c.silence = 2 * theirs
	c.expireAt(caller.Expires)
	c.watch(caller, c.token)
	headers := []string{frame.Version, v.String(), frame.Session, newSession(), frame.Server, "tocsin/" + c.server.Version}
	if v != v10 {
		headers = append(headers, frame.HeartBeat, millis(ours)+","+millis(theirs))
	}
	c.beats.Store(int64(ours * 4 / 5))
	c.out.reply(encode(v10, frame.CONNECTED, nil, headers...)) // CONNECTED is not escaped in any version
	return nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// maxBeat is the longest that a client may be silent and still beat.
const maxBeat = time.Hour

// heartBeats agrees on how often each side beats; 0 = not at all.
func (c *conn) heartBeats(text string) (theirs, ours time.Duration, err error) {
	if text == "" {
		return 0, 0, nil
	}
	can, wants, ok := strings.Cut(text, ",")
	x, err1 := strconv.ParseUint(strings.TrimSpace(can), 10, 40)
	y, err2 := strconv.ParseUint(strings.TrimSpace(wants), 10, 40)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, refuse(invalid, "heart-beat %.40q; want MILLISECONDS,MILLISECONDS", text)
	}
	return c.interval(x), c.interval(y), nil
}

func (c *conn) interval(ms uint64) time.Duration {
	if ms == 0 {
		return 0
	}
	return max(c.server.Limits.Beat, min(time.Duration(ms)*time.Millisecond, maxBeat))
}

// authorization is the HTTP header of the name in a frame.
func authorization(f *frame.Frame) string {
	for i := range f.Header.Len() {
		if name, value := f.Header.GetAt(i); strings.EqualFold(name, "Authorization") {
			return value
		}
	}
	return ""
}

// who is who sends a frame, which may show another token than the connection did.
// A newer one of the same caller lets the connection go on.
func (c *conn) who(f *frame.Frame) (*access.Caller, error) {
	token := access.Bearer(authorization(f))
	if token == "" || token == c.token {
		return c.caller, nil
	}
	caller, err := c.server.Guard.Caller(c.ctx, token)
	if err != nil {
		return nil, err
	}
	if caller.Name == c.caller.Name && (caller.Expires.IsZero() || caller.Expires.After(c.caller.Expires) && !c.caller.Expires.IsZero()) {
		c.caller, c.token = caller, token
		c.expireAt(caller.Expires)
		c.watch(caller, token)
	}
	return caller, nil
}

// expireAt ends the connection when its token does.
func (c *conn) expireAt(t time.Time) {
	c.timers.Lock()
	defer c.timers.Unlock()
	if c.timers.expiry != nil {
		c.timers.expiry.Stop()
		c.timers.expiry = nil
	}
	if !t.IsZero() {
		over := &access.Refused{Code: access.Unauthenticated, Why: "the token has expired", Expired: true}
		c.timers.expiry = time.AfterFunc(time.Until(t), func() { c.fail(over, nil) })
	}
}

// watch ends the connection when its token holds no longer, or allows something else
// than it did.
func (c *conn) watch(caller *access.Caller, token string) {
	every := cmp.Or(access.LookAgain(token), c.server.Limits.Check)
	c.timers.Lock()
	defer c.timers.Unlock()
	if c.timers.again != nil {
		c.timers.again.Stop()
		c.timers.again = nil
	}
	if token == "" {
		return
	}
	var mine *time.Timer
	mine = time.AfterFunc(every, func() {
		c.lookAgain(caller, token)
		c.timers.Lock()
		defer c.timers.Unlock()
		if c.timers.again == mine && !c.ended.Load() {
			mine.Reset(every)
		}
	})
	c.timers.again = mine
}

func (c *conn) lookAgain(was *access.Caller, token string) {
	is, err := c.server.Guard.Caller(c.ctx, token)
	if err == nil {
		err = was.StillMay(is)
	}
	if refused, _ := access.AsRefused(err); refused != nil && refused.Code == access.Unauthenticated {
		c.fail(err, nil)
	}
}

// fail ends the connection: with an ERROR where the client is still there to read
// it, and after that frame of the client's which is at fault, if one is; without
// one when err is nil.
func (c *conn) fail(err error, f *frame.Frame) {
	c.ending.Do(func() {
		c.ended.Store(true)
		c.why = err
		c.linger()
		switch {
		case err == nil:
			c.out.finish(nil)
		case errors.Is(err, errGone):
			c.out.finish(nil)
			c.cut()
		default:
			c.server.counts.errors.Add(1)
			c.out.finish(c.errorFrame(err, f))
		}
		c.cancel()
	})
}

// linger cuts the connection when the client does not take its last frame.
func (c *conn) linger() {
	c.timers.Lock()
	defer c.timers.Unlock()
	c.timers.linger = time.AfterFunc(c.server.Limits.Linger, c.cut)
}

func (c *conn) stopTimers() {
	c.timers.Lock()
	defer c.timers.Unlock()
	for _, t := range []*time.Timer{c.timers.linger, c.timers.slow, c.timers.expiry, c.timers.again} {
		if t != nil {
			t.Stop()
		}
	}
	c.timers.again = nil
}

// errorFrame is the ERROR of an error.
func (c *conn) errorFrame(err error, f *frame.Frame) []byte {
	headers := []string{frame.Message, shortened(err.Error()), frame.ContentType, "application/json"}
	if errors.Is(err, errVersion) {
		headers = append(headers, frame.Version, "1.2,1.1,1.0")
	}
	if f != nil {
		if id, ok := f.Header.Contains(frame.Receipt); ok {
			headers = append(headers, frame.ReceiptId, id)
		}
		headers = append(headers, echoed(f)...)
	}
	v := c.version()
	if v == 0 {
		v = v12
	}
	return encode(v, frame.ERROR, status(err), headers...)
}

// maxMessage bounds the header that has an error's text; the body has all of it.
const maxMessage = 200

func shortened(text string) string {
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// echoed are those headers of a frame that an answer repeats, in pairs.
func echoed(f *frame.Frame) (headers []string) {
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		if len(name) > len("Iotics-") && strings.EqualFold(name[:len("Iotics-")], "Iotics-") {
			headers = append(headers, name, value)
		}
	}
	return headers
}

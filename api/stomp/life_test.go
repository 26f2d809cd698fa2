package stomp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tocsin.internal/api/access"
	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
)

func TestWhoSaysNothingIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, nil)
		for _, said := range []string{"", "\n", "CONN", "CONNECT\naccept-version:1.2\n\n"} {
			c := h.dial()
			start := time.Now()
			c.send(said)
			c.wantError(4, "no CONNECT or STOMP frame in 10s")
			assert.Equal(t, 10*time.Second, time.Since(start))
		}
	})
}

func TestAFrameThatIsNotFinishedIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, nil)
		c := h.connected("1.2")
		time.Sleep(time.Hour)
		c.send("SUBSCRIBE\nid:")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for c.writes("x") {
				time.Sleep(time.Second)
			}
		}()
		start := time.Now()
		c.wantError(4, "a frame that was not complete in 30s")
		assert.Equal(t, 30*time.Second, time.Since(start))
		<-done
	})
}

// writes writes, and says whether that was taken.
func (c *client) writes(text string) bool {
	_, err := io.WriteString(c.Conn, text)
	return err == nil
}

func TestHeartBeatsThatStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, nil)
		c := h.dial()
		c.send("CONNECT\naccept-version:1.2\nheart-beat:10000,0\n\n\x00")
		c.want("CONNECTED\nheart-beat:0,10000")
		for range 5 {
			time.Sleep(19 * time.Second)
			c.send("\n")
		}
		start := time.Now()
		c.wantError(4, "no heart-beat in 20s")
		assert.Equal(t, 20*time.Second, time.Since(start))
	})
}

func TestHeartBeatsOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, nil)
		c := h.dial()
		c.send("CONNECT\naccept-version:1.2\nheart-beat:0,10000\n\n\x00")
		c.want("CONNECTED\nheart-beat:10000,0")
		start := time.Now()
		for i := range 10 {
			f, err := c.frames.Read() // the newline behind CONNECTED is none: the frame ends with its NUL
			require.NoError(t, err)
			require.Nil(t, f)
			assert.Equal(t, time.Duration(i+1)*8*time.Second, time.Since(start))
		}
	})
}

func TestSilenceIsAllowedToThoseWhoDoNotBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, nil)
		c := h.connected("1.2")
		time.Sleep(48 * time.Hour)
		c.subscribe("1", "/twins/a/feeds/b")
	})
}

// TestATokenThatIsRevoked proves that what is followed ends within a minute.
func TestATokenThatIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		h := serve(t, true, func(o *stomp.Options) {
			o.Guard = &access.Guard{Identify: func(context.Context, string) (*access.Caller, error) {
				if revoked.Load() {
					return nil, access.Unknown("no such API key")
				}
				return &access.Caller{Name: "ann"}, nil
			}}
		})
		c := h.dial()
		c.send("STOMP\naccept-version:1.2\npasscode:key\n\n\x00")
		c.want("CONNECTED")
		c.subscribe("1", "/twins/a/feeds/b")
		time.Sleep(90 * time.Second)
		revoked.Store(true)
		now := time.Now()
		c.wantError(16, "no such API key")
		assert.Equal(t, 30*time.Second, time.Since(now))
	})
}

// A role with the same actions is another one among the recipients of stickers, who are
// looked at where something is subscribed to.
func TestAConnectionEndsWhereItsUserGetsAnotherRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var role atomic.Value
		role.Store("old")
		h := serve(t, true, func(o *stomp.Options) {
			o.Guard = &access.Guard{Identify: func(context.Context, string) (*access.Caller, error) {
				return &access.Caller{Name: "Jane", Account: "a", User: "u", Role: role.Load().(string), Actions: []access.Action{access.Read}}, nil
			}}
		})
		c := h.dial()
		c.send("STOMP\naccept-version:1.2\npasscode:secret\n\n\x00")
		c.want("CONNECTED")
		c.subscribe("1", "/topic/stickers/>")
		time.Sleep(90 * time.Second)
		role.Store("new")
		c.wantError(16, "what you may do has changed; connect again")
	})
}

func TestATokenThatExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		h := serve(t, true, func(o *stomp.Options) {
			o.Guard = keys(map[string]*access.Caller{
				"short": {Name: "ann", Expires: now.Add(time.Minute)}, "long": {Name: "ann", Expires: now.Add(time.Hour)},
				"other": {Name: "bob", Expires: now.Add(time.Hour)},
			})
		})
		c := h.dial()
		c.send("STOMP\naccept-version:1.2\npasscode:short\n\n\x00")
		c.want("CONNECTED")
		c.subscribe("1", "/twins/a/feeds/b", "Authorization:Bearer other")
		c.wantErrorAs(16, "the token has expired", "UNAUTHENTICATED: token expired")
		assert.Equal(t, time.Minute, time.Since(now))

		now = time.Now()
		c = h.dial()
		c.send("STOMP\naccept-version:1.2\nAuthorization:Bearer long\n\n\x00")
		c.want("CONNECTED")
		c.wantErrorAs(16, "the token has expired", "UNAUTHENTICATED: token expired")
		assert.Equal(t, 59*time.Minute, time.Since(now))
	})
}

// A client of IOTICS comes again with the token that it has until it reads that this
// one has expired.
func TestATokenThatHasExpiredBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := "token: expired at 2026-11-02T13:00:00Z"
		h := serve(t, true, func(o *stomp.Options) {
			o.Guard = &access.Guard{Identify: func(context.Context, string) (*access.Caller, error) {
				return nil, &access.Refused{Code: access.Unauthenticated, Why: why, Expired: true}
			}}
		})
		c := h.dial()
		c.send("STOMP\naccept-version:1.2\npasscode:old\n\n\x00")
		c.wantErrorAs(16, why, "UNAUTHENTICATED: token expired")
	})
}

func TestANewerTokenOfTheSameCallerGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		h := serve(t, true, func(o *stomp.Options) {
			o.Guard = keys(map[string]*access.Caller{
				"old": {Name: "ann", Expires: now.Add(time.Minute)}, "new": {Name: "ann", Expires: now.Add(time.Hour)}, "for ever": {Name: "ann"},
			})
		})
		c := h.dial()
		c.send("STOMP\naccept-version:1.2\npasscode:old\n\n\x00")
		c.want("CONNECTED")
		c.subscribe("1", "/twins/a/feeds/b", "Authorization:Bearer new")
		c.subscribe("2", "/twins/a/feeds/b", "Authorization:Bearer old")
		time.Sleep(59 * time.Minute)
		c.subscribe("3", "/twins/a/feeds/b", "Authorization:Bearer for ever")
		time.Sleep(48 * time.Hour)
		c.subscribe("4", "/twins/a/feeds/b")
	})
}

func TestASubscriberThatDoesNotReadSlowsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, func(o *stomp.Options) { o.Limits.Queue = 10; o.Limits.Write = time.Hour; o.Limits.Linger = time.Second })
		stuck, fast := h.connected("1.2"), h.connected("1.2")
		stuck.subscribe("1", "/twins/a/feeds/b")
		fast.subscribe("1", "/twins/a/feeds/b")
		start := time.Now()
		for i := range 1000 {
			require.Equal(t, 2, h.world.share("a", "b", strconv.Itoa(i)))
			fast.want("MESSAGE\n\n" + strconv.Itoa(i))
			if i == 0 {
				synctest.Wait() // it is being written to the other too
			}
		}
		assert.Zero(t, time.Since(start), "nobody waited")
		assert.Equal(t, uint64(1000-10-1), h.Stats().Dropped, "one is being written")
		time.Sleep(35 * time.Second)
		synctest.Wait()
		assert.Equal(t, 1, h.Stats().Open, "the one that does not read is gone")
		assert.Equal(t, uint64(1), h.Stats().Slow)
		fast.send("DISCONNECT\nreceipt:1\n\n\x00")
		fast.want("RECEIPT")
	})
}

// One that reads, but too slowly, gets the newest messages, and is told why it is
// disconnected.
func TestASubscriberThatIsTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, func(o *stomp.Options) { o.Limits = stomp.Limits{Queue: 10} })
		c := h.connected("1.2")
		c.subscribe("1", "/twins/a/feeds/b")
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					h.world.share("a", "b", strconv.Itoa(i))
				}
			}
		}()
		start := time.Now()
		for got := -1; ; {
			time.Sleep(time.Second)
			f := c.next()
			if f.Command == "ERROR" {
				assert.Equal(t, "slow consumer: messages were dropped for 30s", f.Header.Get("message"))
				assert.JSONEq(t, `{"code":8,"message":"slow consumer: messages were dropped for 30s","details":[]}`, string(f.Body))
				break
			}
			n, err := strconv.Atoi(string(f.Body))
			require.NoError(t, err)
			require.Greater(t, n, got)
			got = n
		}
		assert.InDelta(t, 30, time.Since(start).Seconds(), 2)
		c.over()
		assert.Equal(t, uint64(1), h.Stats().Slow)
		assert.Equal(t, uint64(1), h.Stats().Errors)
	})
}

// A burst that is read in the end is no reason to be disconnected.
func TestASubscriberThatCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, func(o *stomp.Options) { o.Limits.Queue = 10 })
		c := h.connected("1.2")
		c.subscribe("1", "/twins/a/feeds/b")
		for range 3 {
			for i := range 100 {
				h.world.share("a", "b", strconv.Itoa(i))
			}
			time.Sleep(20 * time.Second)
			for c.next(); string(c.next().Body) != "99"; { //nolint:revive // it reads until then
			}
		}
		time.Sleep(time.Hour)
		assert.Equal(t, 1, h.Stats().Open)
		assert.Zero(t, h.Stats().Slow)
	})
}

func TestAClientThatAsksAndDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, func(o *stomp.Options) { o.Limits.Queue = 10; o.Limits.Linger = time.Second })
		c := h.connected("1.2")
		go c.writes(strings.Repeat("BEGIN\ntransaction:t\nreceipt:1\n\n\x00ABORT\ntransaction:t\nreceipt:2\n\n\x00", 100))
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Zero(t, h.Stats().Open)
	})
}

func TestAWriteThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, nil)
		c := h.connected("1.2")
		c.subscribe("1", "/twins/a/feeds/b")
		h.world.share("a", "b", "1")
		time.Sleep(29 * time.Second)
		assert.Equal(t, 1, h.Stats().Open)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Zero(t, h.Stats().Open)
		assert.Equal(t, uint64(1), h.Stats().Slow)
	})
}

func TestTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := stomp.New(stomp.Options{Live: w})
		p := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx, p) }()
		h := &house{Server: s, t: t, world: w, pipes: p}
		reads, silent := h.connected("1.2"), h.connected("1.2")
		reads.subscribe("1", "/twins/a/feeds/b")
		silent.subscribe("1", "/twins/a/feeds/b")
		start := time.Now()
		stop()
		reads.wantError(14, "the server is stopping")
		require.NoError(t, <-done)
		assert.Equal(t, 5*time.Second, time.Since(start), "the one that does not read is waited for so long")
		assert.Empty(t, w.followers)
	})
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	assert.ErrorIs(t, stomp.New(stomp.Options{Live: newWorld()}).Run(t.Context(), l), net.ErrClosed)
}

func TestClientsThatGoAwayLeaveNothingBehind(t *testing.T) {
	h := serve(t, false, nil)
	for _, send := range []string{"", "CONN", connect12, connect12 + "SUBSCRIBE\nid:1\ndestination:/twins/a/feeds/b\n\n\x00", connect12 + "SUBSCRIBE\nid:1\ndestination:/twins/a/feeds/b\nack:client\n\n\x00SEND\nx"} {
		c := h.dial()
		c.send(send)
		require.NoError(t, c.Close())
	}
	require.Eventually(t, func() bool {
		h.world.mu.Lock()
		defer h.world.mu.Unlock()
		return h.Stats().Open == 0 && len(h.world.followers) == 0 && h.Stats().Connections == 5
	}, 30*time.Second, time.Millisecond)
	assert.Zero(t, h.Stats().Errors)
	assert.Zero(t, h.Stats().Subscriptions)
}

// leaving is a connection whose client goes as soon as it has read a message: the
// write of that returns after the connection has been closed.
type leaving struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

// Write writes, and waits for the end after a message.
func (l *leaving) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	if err == nil && strings.HasPrefix(string(b), "MESSAGE\n") {
		<-l.closed
	}
	return n, err
}

// Close is the end.
func (l *leaving) Close() error {
	err := l.Conn.Close()
	l.once.Do(func() { close(l.closed) })
	return err
}

func TestAMessageThatWasReadCountsThoughItsClientIsGone(t *testing.T) {
	h := serve(t, true, nil)
	n, theirs := net.Pipe()
	h.pipes.conns <- &leaving{Conn: theirs, closed: make(chan struct{})}
	c := newClient(t, n)
	c.send(connect12)
	c.want("CONNECTED")
	c.subscribe("1", "/twins/a/feeds/b")
	require.Equal(t, 1, h.world.share("a", "b", "1"))
	c.want("MESSAGE\nsubscription:1\n\n1")
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return h.Stats().Open == 0 }, 30*time.Second, time.Millisecond)
	assert.Equal(t, uint64(1), h.Stats().Messages)
}

// connectionsVariable says how many connections TestManyConnections makes.
const connectionsVariable = "TOCSIN_STOMP_CONNECTIONS"

func TestManyConnections(t *testing.T) {
	count := 2000
	if text := os.Getenv(connectionsVariable); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	h := serve(t, false, func(o *stomp.Options) {
		o.Limits = stomp.Limits{Connections: count, Connect: time.Minute, Linger: time.Minute}
	})
	clients := make([]*client, count)
	var group errgroup.Group
	group.SetLimit(100)
	for i := range clients {
		clients[i] = h.dial()
		group.Go(func() error {
			_, err := io.WriteString(clients[i], "CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:"+strconv.Itoa(i)+"\ndestination:/twins/a/feeds/b\nreceipt:r\n\n\x00")
			for _, want := range []string{"CONNECTED", "RECEIPT"} {
				if err != nil {
					return err
				}
				f, readErr := clients[i].frames.Read()
				if err = readErr; err == nil && f.Command != want {
					return fmt.Errorf("got %s; want %s", f.Command, want)
				}
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	assert.Equal(t, count, h.Stats().Open)
	assert.Equal(t, count, h.Stats().Subscriptions)
	require.Equal(t, count, h.world.share("a", "b", "hello"))
	for i, c := range clients {
		c.want("MESSAGE\nsubscription:" + strconv.Itoa(i) + "\n\nhello")
	}
	assert.Zero(t, h.Stats().Dropped)
}

func TestAcknowledgement(t *testing.T) {
	for _, c := range []struct {
		name, version, mode string
		frames              []string // after three messages f1, f2, f3
		want                []string
	}{
		{"one", "1.2", "client-individual", []string{"ACK\nid:1.f2"}, []string{"ack f2"}},
		{"all before it", "1.2", "client", []string{"ACK\nid:1.f2"}, []string{"ack f1", "ack f2"}},
		{"not one", "1.2", "client-individual", []string{"NACK\nid:1.f2"}, []string{"nak f2 1s"}},
		{"none before it", "1.2", "client", []string{"NACK\nid:1.f2"}, []string{"nak f1 1s", "nak f2 1s"}},
		{"twice", "1.2", "client-individual", []string{"ACK\nid:1.f2", "ACK\nid:1.f2", "ACK\nid:1.f1"}, []string{"ack f1", "ack f2"}},
		{"what never came", "1.2", "client-individual", []string{"ACK\nid:7.f2", "ACK\nid:x", "ACK\nid:1.f9", "ACK\nid:1.f1"}, []string{"ack f1"}},
		{"in 1.1", "1.1", "client-individual", []string{"ACK\nsubscription:s\nmessage-id:f3"}, []string{"ack f3"}},
		{"in 1.1, of another subscription", "1.1", "client", []string{"ACK\nsubscription:t\nmessage-id:f3", "NACK\nsubscription:s\nmessage-id:f1"}, []string{"nak f1 1s"}},
		{"in 1.0", "1.0", "client", []string{"ACK\nmessage-id:f3"}, []string{"ack f1", "ack f2", "ack f3"}},
		{"in a transaction", "1.2", "client-individual", []string{"BEGIN\ntransaction:t", "ACK\nid:1.f1\ntransaction:t", "ACK\nid:1.f3", "COMMIT\ntransaction:t"}, []string{"ack f1", "ack f3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := serve(t, false, nil)
			peer := h.connected(c.version)
			peer.subscribe("s", "/topic/stickers/>", "ack:"+c.mode)
			p := h.world.places["anybody/"]
			require.NotNil(t, p)
			for i := range 3 {
				p.events <- &engine.Event{ID: fmt.Sprintf("f%d", i+1), At: noon, Subject: "a.red", Data: []byte("{}")}
				f := peer.want(fmt.Sprintf("MESSAGE\nsubscription:s\nmessage-id:f%d\ndestination:/topic/stickers/a/red", i+1))
				assert.Equal(t, c.version == "1.2", f.Header.Get("ack") == fmt.Sprintf("1.f%d", i+1))
			}
			for _, text := range c.frames {
				peer.send(text + "\n\n\x00")
			}
			peer.send("DISCONNECT\nreceipt:r\n\n\x00")
			peer.want("RECEIPT\nreceipt-id:r")
			var got []string
			for len(got) < len(c.want) {
				got = append(got, <-p.settled)
			}
			assert.ElementsMatch(t, c.want, got)
			assert.Equal(t, "closed", <-p.settled)
		})
	}
}

func TestOnlySoManyMessagesWaitForTheirAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, func(o *stomp.Options) { o.Limits.Unacked = 3 })
		c := h.connected("1.2")
		c.subscribe("s", "/topic/stickers/>", "ack:client-individual")
		p := h.world.places["anybody/"]
		for i := range 10 {
			p.events <- &engine.Event{ID: fmt.Sprintf("f%d", i), At: noon, Subject: "a.red"}
		}
		for i := range 3 {
			c.want(fmt.Sprintf("MESSAGE\nmessage-id:f%d", i))
		}
		synctest.Wait()
		assert.Len(t, p.events, 7)
		c.send("ACK\nid:1.f1\n\n\x00")
		c.want("MESSAGE\nmessage-id:f3")
		c.send("NACK\nid:1.f0\n\n\x00")
		c.want("MESSAGE\nmessage-id:f4")
		synctest.Wait()
		assert.Len(t, p.events, 5)
	})
}

func TestAMessageThatComesAgain(t *testing.T) {
	h := serve(t, false, func(o *stomp.Options) { o.Limits.Unacked = 2 })
	c := h.connected("1.2")
	c.subscribe("s", "/topic/stickers/>", "ack:client")
	p := h.world.places["anybody/"]
	for range 5 {
		p.events <- &engine.Event{ID: "f1", At: noon, Subject: "a.again"}
		c.want("MESSAGE\nmessage-id:f1\nack:1.f1\nredelivered:true")
	}
	c.send("ACK\nid:1.f1\n\n\x00ACK\nid:1.f1\nreceipt:r\n\n\x00")
	c.want("RECEIPT")
	assert.Equal(t, "ack f1", <-p.settled)
	assert.Empty(t, p.settled)
}

func TestADurablePlace(t *testing.T) {
	h := serve(t, false, func(o *stomp.Options) {
		o.Guard = keys(map[string]*access.Caller{"a": {Name: "ann"}, "b": {Name: "bob"}})
	})
	connect := func(token string) *client {
		c := h.dial()
		c.send("STOMP\naccept-version:1.2\npasscode:" + token + "\n\n\x00")
		c.want("CONNECTED")
		return c
	}
	c := connect("a")
	c.subscribe("s", "/topic/alerts/>", "ack:client-individual", "durable:console")
	p := h.world.places["ann/console"]
	require.NotNil(t, p)
	for i := range 10 {
		p.events <- &engine.Event{ID: fmt.Sprintf("f%d", i), At: noon, Subject: "a.red"}
		c.want(fmt.Sprintf("MESSAGE\nmessage-id:f%d", i))
	}
	c.send("ACK\nid:1.f1\nreceipt:r\n\n\x00")
	c.want("RECEIPT")
	assert.Equal(t, "ack f1", <-p.settled)
	require.NoError(t, c.Close())
	for _, n := range []int{0, 2, 3, 4, 5, 6, 7, 8, 9} {
		assert.Equal(t, fmt.Sprintf("nak f%d 0s", n), <-p.settled, "they come again at once, and in order")
	}
	assert.Equal(t, "closed", <-p.settled)

	c = connect("a")
	c.subscribe("s", "/topic/alerts/>", "ack:auto", "durable:console")
	p.events <- &engine.Event{ID: "f0", At: noon, Subject: "a.red"}
	c.want("MESSAGE\nmessage-id:f0")
	assert.Equal(t, "ack f0", <-p.settled, "written is as good as acknowledged")
	c.send("UNSUBSCRIBE\nid:s\nreceipt:r\n\n\x00")
	c.want("RECEIPT")
	assert.Equal(t, "closed", <-p.settled)

	c.subscribe("s", "/topic/alerts/>", "ack:client", "durable:console")
	assert.Same(t, p, h.world.places["ann/console"])
	c.send("UNSUBSCRIBE\nid:s\ndurable:console\nreceipt:r\n\n\x00")
	c.want("RECEIPT")
	assert.NotContains(t, h.world.places, "ann/console", "it is given up")

	connect("b").subscribe("s", "/topic/alerts/>", "ack:client", "durable:console")
	assert.NotNil(t, h.world.places["bob/console"], "a name is its owner's alone")
}

func TestAPlaceThatIsGoneEndsTheConnection(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.2")
	c.subscribe("s", "/topic/alerts/>", "ack:client")
	h.world.places["anybody/"].events <- nil
	c.wantError(14, `subscription "s": the place is gone`)
}

func TestEverybodyGetsTheSameBytes(t *testing.T) {
	h := serve(t, false, nil)
	var all []*client
	for i := range 20 {
		c := h.connected("1.2")
		c.subscribe("1", fmt.Sprintf("/qapi/twins/f%d/interests/twins/a/feeds/b", i))
		all = append(all, c)
	}
	for n := range 50 {
		require.Equal(t, 20, h.world.share("a", "b", strings.Repeat("x", n)))
	}
	for i, c := range all {
		for n := range 50 {
			f := c.want(fmt.Sprintf("MESSAGE\ndestination:/qapi/twins/f%d/interests/twins/a/feeds/b\nmessage-id:f%d", i, n+1))
			require.Contains(t, string(f.Body), fmt.Sprintf(`"followerTwinId":{"id":"f%d"}`, i))
		}
	}
	assert.Eventually(t, func() bool { return h.Stats().Messages == 1000 }, 30*time.Second, time.Millisecond)
}

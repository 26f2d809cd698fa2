package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"

	"tocsin.internal/internal/secret"
	"tocsin.internal/sinks"
)

const (
	// connectPatience bounds how long it takes to be connected.
	connectPatience = 15 * time.Second
	// writePatience bounds how long the broker may take to take a packet.
	writePatience = 10 * time.Second
	// largestAnswer bounds the packets of the broker.
	largestAnswer = 64 << 10
	// keepAlive is after how many seconds of silence the broker is asked whether it is there.
	keepAlive = 30
)

// link is one connection.
type link struct {
	client  *paho.Client
	largest uint32                  // packet that the broker takes; 0: any
	places  chan struct{}           // for as many messages as the broker takes before it answers
	life    context.Context         // ends with the connection
	end     context.CancelCauseFunc // says why
}

// dial connects. The connection outlives ctx.
func dial(ctx context.Context, c *Config) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	hello, err := c.connect()
	if err != nil {
		return nil, err
	}
	conn, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	l := new(link)
	l.life, l.end = context.WithCancelCause(context.Background())
	ping := &pinger{DefaultPinger: paho.NewDefaultPinger(), connected: make(chan struct{})}
	l.client = paho.NewClient(paho.ClientConfig{
		Conn: &patient{Conn: conn}, Session: &session{State: state.NewInMemory()}, AuthHandler: noAuth{}, PingHandler: ping, PacketTimeout: max(c.Timeout, connectPatience),
		OnClientError:      func(err error) { l.end(fmt.Errorf("the connection has ended: %w", err)) },
		OnServerDisconnect: func(d *paho.Disconnect) { l.end(disconnected(d)) },
	})
	welcome, err := l.client.Connect(ctx, hello)
	switch {
	case welcome != nil && welcome.ReasonCode >= 0x80:
		return nil, fmt.Errorf("the broker says %#x %s", welcome.ReasonCode, (&packets.Connack{ReasonCode: welcome.ReasonCode}).Reason())
	case err != nil:
		return nil, err
	}
	close(ping.connected)
	most := uint16(math.MaxUint16)
	if p := welcome.Properties; p != nil {
		if p.MaximumPacketSize != nil {
			l.largest = *p.MaximumPacketSize
		}
		if p.ReceiveMaximum != nil {
			most = *p.ReceiveMaximum
		}
	}
	l.places = make(chan struct{}, most)
	return l, nil
}

// connect is the first packet. The file is read anew.
func (c *Config) connect() (*paho.Connect, error) {
	password := string(c.Password)
	if c.PasswordFile != "" {
		var err error
		if password, err = secret.ReadHeader(c.PasswordFile); err != nil {
			return nil, fmt.Errorf("passwordFile: %w", err)
		}
	}
	one, size := uint16(1), uint32(largestAnswer) // of messages to us: there are none
	hello := &paho.Connect{
		ClientID: c.ClientID, CleanStart: true, KeepAlive: keepAlive, Properties: &paho.ConnectProperties{ReceiveMaximum: &one, MaximumPacketSize: &size},
		UsernameFlag: c.User != "", Username: c.User, PasswordFlag: password != "", Password: []byte(password),
	}
	if w := c.Will; w != nil {
		hello.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: []byte(w.Payload), QoS: w.QoS, Retain: w.Retain}
	}
	return hello, nil
}

func (c *Config) open(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	scheme := schemes[u.Scheme]
	port := u.Port()
	if port == "" {
		port = scheme.port
	}
	address := net.JoinHostPort(u.Hostname(), port)
	if !scheme.tls {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	config, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
}

// patient is a connection whose writes end, and from which no large packet
// comes: the client makes room for what a packet says of its length. The lock
// keeps the pieces of a packet that is written together.
type patient struct {
	net.Conn
	sync.Mutex

	head int // bytes of the head of the packet that is being read
	left int // bytes of its rest, as far as they are known
}

// Read implements net.Conn.
func (p *patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	for i := range n {
		switch {
		case p.head == 0:
			p.head, p.left = 1, 0
		case p.head > 0: // of the length: seven bits in each byte, the lowest first
			p.left |= int(b[i]&0x7f) << (7 * (p.head - 1))
			p.head++
			if p.left > largestAnswer || p.head > 5 {
				return 0, errors.New("the broker sends too large a packet")
			}
			if b[i] < 0x80 {
				p.head = -1
			}
		default:
			p.left--
		}
		if p.head < 0 && p.left == 0 {
			p.head = 0
		}
	}
	return n, err
}

// Write implements net.Conn.
func (p *patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// session is what the client and the broker know of messages under way. What the
// broker says of them after the end is dropped: the client would answer to the
// connection that it has let go of, and panic.
type session struct {
	*state.State
	sync.Mutex

	ended bool
}

// PacketReceived implements paho's session.SessionManager.
func (s *session) PacketReceived(p *packets.ControlPacket, messages chan<- *packets.Publish) error {
	s.Lock()
	defer s.Unlock()
	if s.ended {
		return nil
	}
	return s.State.PacketReceived(p, messages)
}

// ConnectionLost implements paho's session.SessionManager.
func (s *session) ConnectionLost(d *packets.Disconnect) error {
	s.Lock()
	defer s.Unlock()
	s.ended = true
	return s.State.ConnectionLost(d)
}

// pinger begins when Connect has returned: a ping that fails before would end the
// connection while the client still makes it, and then its counting of its
// goroutines may panic.
type pinger struct {
	*paho.DefaultPinger
	connected chan struct{}
}

// Run implements paho.Pinger.
func (p *pinger) Run(ctx context.Context, conn net.Conn, keepAlive uint16) error {
	select {
	case <-p.connected:
		return p.DefaultPinger.Run(ctx, conn, keepAlive)
	case <-ctx.Done():
		return nil
	}
}

// noAuth answers a broker that wants another authentication than a password.
type noAuth struct{}

// Authenticate implements paho.Auther.
func (noAuth) Authenticate(*paho.Auth) *paho.Auth {
	return &paho.Auth{ReasonCode: packets.DisconnectProtocolError}
}

// Authenticated implements paho.Auther.
func (noAuth) Authenticated() {}

// Ended implements sinks.Link.
func (l *link) Ended() bool { return l.life.Err() != nil }

// Close says goodbye and waits until everything has ended.
func (l *link) Close() error {
	_ = l.client.Disconnect(&paho.Disconnect{}) // what was not said, the end says
	<-l.client.Done()
	return nil
}

func disconnected(d *paho.Disconnect) error {
	return fmt.Errorf("the broker has ended the connection: %#x %s", d.ReasonCode, (&packets.Disconnect{ReasonCode: d.ReasonCode}).Reason())
}

// publish returns nil when the broker has the message. When ctx ends before, the
// connection is given up: the client would take the message for one under way for
// as long as it lasts, until there was no place for another.
func (l *link) publish(ctx context.Context, m *paho.Publish) error {
	if size := packetSize(m); l.largest > 0 && size > int(l.largest) {
		return sinks.Permanent(fmt.Errorf("a packet of %d bytes; the broker takes at most %d", size, l.largest))
	}
	// The client forgets who begins to publish while the connection ends.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.life, func() { cancel(context.Cause(l.life)) })() //nolint:contextcheck // of two lives the shorter one
	if m.QoS > 0 {
		select {
		case l.places <- struct{}{}:
			defer func() { <-l.places }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	answer, err := l.client.Publish(ctx, m)
	if answer != nil && answer.ReasonCode >= 0x80 {
		return verdict(answer.ReasonCode, (&packets.Puback{ReasonCode: answer.ReasonCode}).Reason())
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
		if m.QoS > 0 {
			l.end(fmt.Errorf("the connection is given up: no answer to a message: %w", err))
		}
	}
	return err
}

func packetSize(m *paho.Publish) int {
	size := 5 // the fixed header, at most
	for _, b := range m.Packet().Buffers() {
		size += len(b)
	}
	return size
}

package api

import (
	"maps"
	"sync"
	"time"

	"tocsin.internal/api/access"
)

// The reasons for which requests are refused before they get to their route.
const (
	reasonUnauthenticated = "unauthenticated"
	reasonDenied          = "denied"
	reasonRate            = "rate"
	reasonForeign         = "foreign"
	reasonConnections     = "connections"
	reasonOther           = "other"
)

var reasons = map[access.Code]string{access.Unauthenticated: reasonUnauthenticated, access.Denied: reasonDenied, access.Exhausted: reasonRate}

// reasonOf names why somebody was refused.
func reasonOf(err error) string {
	if refused, ok := access.AsRefused(err); ok && reasons[refused.Code] != "" {
		return reasons[refused.Code]
	}
	return reasonOther
}

// counts are of what became of requests. The zero counts can be used.
type counts struct {
	mu       sync.Mutex
	requests map[counted]uint64
	refused  map[string]uint64
	streams  int64             // of events, that are open
	events   uint64            // that were sent on streams
	ended    map[string]uint64 // streams, by why
	unsent   uint64            // events that waited for streams that ended

	crowd *crowd        // nil before the server listens
	certs *certificates // nil: plain HTTP
}

// meet says where connections are counted.
func (c *counts) meet(guests *crowd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crowd = guests
}

// counted is what requests are counted by.
type counted struct {
	route string
	code  int
}

func (c *counts) request(route string, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil {
		c.requests = map[counted]uint64{}
	}
	c.requests[counted{route, code}]++
}

func (c *counts) refuse(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]uint64{}
	}
	c.refused[reason]++
}

// streamBegun counts a stream of events.
func (c *counts) streamBegun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams++
}

// streamEnded counts one that has ended, and the events that it has not sent.
func (c *counts) streamEnded(why string, unsent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = map[string]uint64{}
	}
	c.streams--
	c.ended[why]++
	if why == endedSlow {
		c.unsent += uint64(unsent)
	}
}

// sent counts events.
func (c *counts) sent(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events += uint64(n)
}

// serving is what the counts say at a time.
type serving struct {
	requests    map[counted]uint64
	refused     map[string]uint64
	connections int64
	streams     int64
	events      uint64
	ended       map[string]uint64
	unsent      uint64
	expiry      time.Time // of the certificate; zero without one
	certGood    bool
}

func (c *counts) read() serving {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := serving{
		requests: maps.Clone(c.requests), refused: map[string]uint64{}, streams: c.streams, events: c.events, ended: maps.Clone(c.ended), unsent: c.unsent,
	}
	for _, reason := range []string{reasonUnauthenticated, reasonDenied, reasonRate, reasonForeign, reasonConnections} {
		s.refused[reason] = c.refused[reason]
	}
	if c.crowd != nil {
		s.connections = c.crowd.open.Load()
		s.refused[reasonConnections] = c.crowd.turnedAway.Load()
	}
	if c.certs != nil {
		s.expiry, s.certGood = c.certs.state()
	}
	return s
}

package bus

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// MQTT is the embedded server's listener for clients of MQTT 3.1.1.
type MQTT struct {
	Listen string      // host:port; "" = none
	TLS    *tls.Config // nil = none
}

// Guest is what somebody who came in over MQTT may do.
type Guest struct {
	Hears []string  // subjects, with wildcards, that it may subscribe to
	Twins []string  // whose samples it may publish where the door is; "*" is all
	Until time.Time // when it is sent away; zero: never
	// Again is how often it is asked for anew, at least once a minute.
	Again time.Duration
}

func (g Guest) same(o Guest) bool {
	return slices.Equal(g.Hears, o.Hears) && slices.Equal(g.Twins, o.Twins) && g.Until.Equal(o.Until)
}

// Admit says what somebody may do who shows a password; an error keeps them out.
type Admit func(ctx context.Context, password string) (Guest, error)

const (
	// guestsPatience is how long who connects while the engine starts waits to be let in.
	guestsPatience = 30 * time.Second
	// secretPatience is how long it may take to agree on TLS, where the machine is busy.
	secretPatience = 10 * time.Second
	// lookAtGuests is how often guests are looked at, whose Again is due by then.
	lookAtGuests = time.Second / 2
	// mqttKept is for how long, and mqttBytes up to how much, messages wait for
	// clients that are away.
	mqttKept  = 7 * 24 * time.Hour
	mqttBytes = 1 << 30
)

// The server's own names: messages of QoS 1 and 2 for its MQTT clients, and where a
// client gets them.
const (
	mqttStream    = "$MQTT_msgs"
	mqttStored    = "$MQTT.msgs.>"
	mqttDelivered = "$MQTT.sub.>"
	mqttType      = "mqtt" // of a connection, as the server's list has it
)

// guests are the MQTT clients of the embedded server. Everybody else who reaches
// it may do everything.
type guests struct {
	server  *server.Server
	door    template
	ready   chan struct{} // closed when admit is there
	stopped chan struct{}

	mu    sync.Mutex
	admit Admit
	in    map[uint64]*guestIn // by the number of the connection
}

type guestIn struct {
	Guest
	password string
	asked    time.Time
}

func newGuests(door template) *guests {
	return &guests{door: door, ready: make(chan struct{}), stopped: make(chan struct{}), in: map[uint64]*guestIn{}}
}

// Check implements server.Authentication.
func (g *guests) Check(c server.ClientAuthentication) bool {
	if !g.isMQTT(c.GetID()) {
		return true
	}
	select {
	case <-g.ready:
	case <-g.stopped:
		return false
	case <-time.After(guestsPatience):
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	password := c.GetOpts().Password
	guest, err := g.admit(ctx, password)
	if err != nil {
		return false
	}
	c.RegisterUser(&server.User{Permissions: g.permissions(guest), ConnectionDeadline: guest.Until})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in[c.GetID()] = &guestIn{guest, password, time.Now()}
	return true
}

// isMQTT takes who is not in the server's list any more for one of MQTT: the least.
func (g *guests) isMQTT(id uint64) bool {
	list, err := g.server.Connz(&server.ConnzOptions{CID: id})
	return err != nil || len(list.Conns) != 1 || list.Conns[0].Type == mqttType
}

func (g *guests) permissions(guest Guest) *server.Permissions {
	subscribe := append([]string{mqttDelivered}, guest.Hears...)
	var publish []string
	for _, twin := range guest.Twins {
		publish = append(publish, g.door.of(twin))
	}
	p := &server.Permissions{Subscribe: &server.SubjectPermission{Allow: subscribe}, Publish: &server.SubjectPermission{Allow: publish}}
	if len(publish) == 0 {
		p.Publish.Deny = []string{">"}
	}
	return p
}

// due are the guests that are to be asked for anew; who has gone is forgotten.
func (g *guests) due(now time.Time) map[uint64]guestIn {
	g.mu.Lock()
	defer g.mu.Unlock()
	due := map[uint64]guestIn{}
	for id, in := range g.in {
		switch {
		case g.server.GetClient(id) == nil:
			delete(g.in, id)
		case now.Sub(in.asked) >= min(cmp.Or(in.Again, time.Minute), time.Minute):
			in.asked = now
			due[id] = *in
		}
	}
	return due
}

// look sends away who may not any more what it may, so that it has to come anew.
func (g *guests) look(ctx context.Context) {
	for id, in := range g.due(time.Now()) {
		if now, err := g.admit(ctx, in.password); err == nil && now.same(in.Guest) || ctx.Err() != nil {
			continue
		}
		g.server.DisconnectClientByID(id) //nolint:errcheck // it may have gone by itself
	}
}

// ServeMQTT lets clients of MQTT in, as admit says, and sends those away that it
// does not let in any more, until ctx ends. Without such a listener it returns at once.
func (b *Bus) ServeMQTT(ctx context.Context, admit Admit) error {
	if b.embedded == nil || b.embedded.guests == nil {
		return nil
	}
	g := b.embedded.guests
	g.admit = admit
	close(g.ready)
	tick := time.NewTicker(lookAtGuests)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.look(ctx)
		}
	}
}

// MQTTAddress is where the embedded server listens for MQTT; "" for nowhere.
func (b *Bus) MQTTAddress() string { return b.config.MQTT.Listen }

// limitMQTT bounds what the server keeps for MQTT clients that are away: without, one
// that never comes back would fill the disk.
func (b *Bus) limitMQTT(ctx context.Context) error {
	if b.config.MQTT.Listen == "" {
		return nil
	}
	_, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: mqttStream, Description: "what waits for MQTT clients", Subjects: []string{mqttStored},
		Retention: jetstream.InterestPolicy, MaxAge: mqttKept, MaxBytes: mqttBytes, Duplicates: b.config.DuplicateWindow,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", mqttStream, err)
	}
	return nil
}

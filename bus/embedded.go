package bus

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// maxPayload is the largest message that the embedded server takes: more than
// any sample may have, so that one that is too large becomes a dead letter with
// its reason and not a broken connection.
const maxPayload = 8 << 20

// lockPatience is how long a folder may still be another's.
const lockPatience = 2 * time.Second

// embeddedPatience is how long the embedded server may take to start, to greet who
// connects, and to answer a request that has no limit of its own: where it is there
// is no other, and it is late only where the machine is busy.
const embeddedPatience = 30 * time.Second

// bucketBytes is what the buckets may have beside the streams: a million twins
// with their states are about two gibibytes.
const bucketBytes = 4 << 30

// spareMemory is what streams of others may have in memory beside the engine's.
const spareMemory = 1 << 30

// sizes are what the streams may have together on disk and in memory.
func (s Streams) sizes() (store, memory int64) {
	for _, stream := range []Stream{s.Feed, s.Out, s.Dead, s.Alerts, s.Notify, s.Shadow, s.Deliveries, s.Sent} {
		if stream.Storage == Memory {
			memory += stream.MaxBytes
		} else {
			store += stream.MaxBytes
		}
	}
	return store, memory
}

// embedded is a NATS server in this process.
type embedded struct {
	server *server.Server
	guests *guests // nil: nobody comes over MQTT
	lock   *os.File
}

func startEmbedded(c Config) (*embedded, error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", c.Dir, err)
	}
	lock, err := lockFile(filepath.Join(c.Dir, "lock"))
	// A process that was just killed may need a moment to be gone.
	for end := time.Now().Add(lockPatience); errors.Is(err, ErrLocked) && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		lock, err = lockFile(filepath.Join(c.Dir, "lock"))
	}
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", c.Dir, err)
	}
	e := &embedded{lock: lock}
	store, memory := c.Streams.sizes()
	opts := &server.Options{
		ServerName: "tocsin", JetStream: true, StoreDir: c.Dir, NoLog: true, NoSigs: true, DontListen: true,
		MaxPayload:        maxPayload,
		SyncAlways:        c.Durability == Always,
		JetStreamMaxStore: 2*store + bucketBytes, JetStreamMaxMemory: 2*memory + spareMemory,
		JetStreamLimits: server.JSLimitOpts{MaxBatchInflightPerStream: 50},
	}
	if c.Durability == Interval {
		opts.SyncInterval = time.Second
	}
	if err := e.listen(c, opts); err != nil {
		e.close()
		return nil, err
	}
	if e.server, err = server.NewServer(opts); err != nil {
		e.close()
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	if e.guests != nil {
		e.guests.server = e.server
	}
	e.server.Start()
	if !e.server.ReadyForConnections(embeddedPatience) {
		e.close()
		return nil, fmt.Errorf("embedded NATS did not start; is %s listening, and is %s whole?", c.Listen, c.Dir)
	}
	if !e.server.JetStreamEnabled() {
		e.close()
		return nil, fmt.Errorf("embedded NATS: JetStream could not open %s", c.Dir)
	}
	return e, nil
}

// listen says where the server is to listen.
func (e *embedded) listen(c Config, opts *server.Options) error {
	if c.Listen != "" {
		host, port, err := freeAddress("bus.listen", c.Listen)
		if err != nil {
			return err
		}
		opts.DontListen, opts.Host, opts.Port = false, host, port
	}
	if c.MQTT.Listen == "" {
		return nil
	}
	host, port, err := freeAddress("bus.mqtt.listen", c.MQTT.Listen)
	if err != nil {
		return err
	}
	door, err := parseTemplate(c.FeedSubject, c.Prefix)
	if err != nil {
		return err
	}
	e.guests = newGuests(door)
	opts.CustomClientAuthentication = e.guests
	opts.MQTT.Host, opts.MQTT.Port, opts.MQTT.TLSConfig = host, port, c.MQTT.TLS
	opts.MQTT.TLSTimeout, opts.MQTT.AuthTimeout = secretPatience.Seconds(), guestsPatience.Seconds()
	return nil
}

// freeAddress looks first whether the address is free: the server itself
// would only write that to a log. A port of 0 becomes the server's word for any.
func freeAddress(name, address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%s %q: want host:port: %w", name, address, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%s %q: want a port from 1 to 65535", name, address)
	}
	probe, err := net.Listen("tcp", address)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", name, err)
	}
	if err := probe.Close(); err != nil {
		return "", 0, fmt.Errorf("%s: %w", name, err)
	}
	if port == 0 {
		port = -1
	}
	return host, port, nil
}

func (e *embedded) close() {
	if e.guests != nil {
		close(e.guests.stopped)
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	e.lock.Close() //nolint:errcheck // the lock goes with the descriptor
}

// ErrLocked is what Open's error wraps while another process has the data folder.
var ErrLocked = errors.New("another engine uses it; want one engine a folder")

// ServerVersion is the version of the embedded NATS server.
const ServerVersion = server.VERSION

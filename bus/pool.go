package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// DefaultLease is how long a worker counts as alive after its last sign of life.
const DefaultLease = 2 * time.Second

// MinLease is the shortest time that the server can give a message to live.
const MinLease = time.Second

// renewals is how many signs of life a worker gives within a lease.
const renewals = 4

// poolWait bounds a request of the pool: a worker that waits longer has lost
// its place.
const poolWait = 5 * time.Second

// ErrLeaseLost is the cause with which the context of a lease ends that another
// worker has taken: what was held is not ours any more, nothing can be saved.
var ErrLeaseLost = errors.New("another worker has taken the lease")

// PoolConfig says who joins the workers of a bus.
type PoolConfig struct {
	ID       string        // of this worker; nobody else alive has it
	Lease    time.Duration // default DefaultLease
	Names    []string      // what can be held: each by one worker at a time
	Balanced []string      // of these each worker holds equally many, but for one
	Trouble  func(error)   // told of what the pool is about to mend itself
}

// Lease is the right to be the only one who does what its name says. Each
// holder has a higher epoch than the one before.
type Lease struct {
	Name  string
	Epoch uint64
}

// Pool is this worker's place among the workers of a bus: it shows that it is
// alive, and holds leases. There is no coordinator: each worker works out from
// the list of those alive who should hold what (rendezvous hashing), and takes
// what is free by compare-and-set.
type Pool struct {
	bus    *Bus
	config PoolConfig
	wake   chan struct{} // a hold has ended

	mu      sync.Mutex
	members map[string]member
	records map[string]record
	holding map[string]*heldLease
	self    member
	twin    int       // signs of life of an older worker with our id
	renewed time.Time // when the server last took our sign of life
	back    time.Time // when it did so again, after an outage
	waits   time.Time // nothing is taken before
	changes uint64
	known   bool // the bucket has been read
	leaving bool
}

// member is what a worker says of itself under w.<id>.
type member struct {
	Leaving bool      `json:"leaving,omitempty"` // it gives back what it holds and takes nothing
	Since   int64     `json:"since"`             // when it joined, Unix nanoseconds
	Life    string    `json:"life"`              // a name that no other process has
	Lag     uint64    `json:"lag,omitempty"`     // messages that wait for it
	seen    time.Time // its last sign of life
}

// record is who holds a lease, under l.<name>. It is the truth: a worker whose
// sign of life came late goes on as long as nobody has taken its leases.
type record struct {
	Owner    string `json:"owner"` // "" = nobody
	Epoch    uint64 `json:"epoch"`
	revision uint64
}

type heldLease struct {
	epoch  uint64
	cancel context.CancelCauseFunc
	asked  bool // to give it back
}

// NewPool prepares to join; Run joins.
func (b *Bus) NewPool(c PoolConfig) *Pool {
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	return &Pool{
		bus: b, config: c, wake: make(chan struct{}, 1),
		members: map[string]member{}, records: map[string]record{}, holding: map[string]*heldLease{},
		self: member{Since: time.Now().UnixNano(), Life: nuid.Next()},
	}
}

// forgetWorkers is for a server that has just started in this process: who had
// joined its pool ended with it, and nobody has to wait for their leases. Should
// one come back by itself, it says so soon.
func (b *Bus) forgetWorkers(ctx context.Context) error {
	bucket := b.pool.Bucket()
	s, err := b.js.Stream(ctx, "KV_"+bucket)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject("$KV."+bucket+"."+memberPrefix+">"))
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	return nil
}

// Workers is how many workers are alive.
func (p *Pool) Workers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live(time.Now()))
}

// Others are the ids of the other workers that live.
func (p *Pool) Others() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(p.live(time.Now()), func(id string) bool { return id == p.config.ID })
}

// Changes is how many leases this worker has won and lost.
func (p *Pool) Changes() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changes
}

// Tell says how many messages wait for this worker; the others know it from its
// next sign of life on.
func (p *Pool) Tell(lag uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.self.Lag = lag
}

// Lag is how many messages wait for the workers that are alive.
func (p *Pool) Lag() (n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for id, m := range p.members {
		if id != p.config.ID && p.alive(id, now) {
			n += m.Lag
		}
	}
	return n + p.self.Lag
}

// Held are the names that this worker holds, sorted.
func (p *Pool) Held() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.holding))
}

// Owner is who holds a lease; "" when nobody does, or it is not known yet.
func (p *Pool) Owner(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.records[name]
	if r.Owner != p.config.ID && !p.alive(r.Owner, time.Now()) {
		return ""
	}
	return r.Owner
}

// Settled says whether this worker has joined, and holds what it should.
func (p *Pool) Settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known || p.leaving || time.Now().Before(p.waits) || p.members[p.config.ID].seen.IsZero() {
		return false
	}
	for name, id := range p.wanted(time.Now()) {
		if (id == p.config.ID) != (p.holding[name] != nil) {
			return false
		}
	}
	return true
}

// Sure says whether nobody can have taken over from this worker: it has shown
// that it is alive within the lease.
func (p *Pool) Sure() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.renewed) < p.config.Lease
}

// Run joins the pool and calls hold, in a goroutine of its own, for each lease
// that this worker wins. When hold's context ends it has to return soon: with
// the cause ErrLeaseLost somebody else has the lease already; otherwise it is
// given back when hold returns, and hold may save what the next one needs.
// After ctx has ended Run gives back everything, and returns nil.
func (p *Pool) Run(ctx context.Context, hold func(context.Context, Lease)) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	events, stop := p.watch(work)
	defer func() { stop() }()
	back := p.bus.nc.StatusChanged(nats.CONNECTED)
	defer p.bus.nc.RemoveStatusListener(back)
	var holds sync.WaitGroup
	defer holds.Wait()
	tick := time.NewTicker(p.config.Lease / renewals)
	defer tick.Stop()
	p.lookForTwin(work)
	p.renew(work)
	done := ctx.Done()
	for {
		select {
		case <-done:
			done = nil
			p.mu.Lock()
			p.leaving = true
			p.mu.Unlock()
			p.renew(work)
		case e, ok := <-events:
			switch {
			case !ok: // the watch ends only with its context
				return nil
			case e == nil:
				p.mu.Lock()
				p.known = true
				p.mu.Unlock()
			default:
				p.note(e)
			}
		case <-back:
			// A server that was away has forgotten the watch, which itself would notice ten seconds later.
			stop()
			p.forget()
			events, stop = p.watch(work)
			p.renew(work)
		case <-tick.C:
			p.renew(work)
			if events == nil {
				events, stop = p.watch(work)
			}
		case <-p.wake:
		}
		if p.doubled() {
			cancel()
			return fmt.Errorf("%w: another worker is alive under the id %q; want an id of its own for each", ErrConfig, p.config.ID)
		}
		p.settle(work, hold, &holds)
		if done == nil && p.idle() {
			p.leave(work)
			return nil
		}
	}
}

// lookForTwin looks whether a worker with our id has shown that it is alive.
// While it may be, nothing that it holds is ours.
func (p *Pool) lookForTwin(ctx context.Context) {
	_, err := p.bus.pool.Get(ctx, memberPrefix+p.config.ID)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return
	}
	if err != nil {
		p.trouble(fmt.Errorf("bucket %s: %w", p.bus.pool.Bucket(), away(err)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits = time.Now().Add(p.config.Lease)
}

// doubled says whether an older worker with our id is alive. One that has just
// been killed shows no sign of life any more.
func (p *Pool) doubled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.twin > 1
}

// watch gives what the bucket has and what changes in it. It may fail for now:
// then it gives nothing.
func (p *Pool) watch(ctx context.Context) (<-chan jetstream.KeyValueEntry, func()) {
	w, err := p.bus.pool.WatchAll(ctx)
	if err != nil {
		p.trouble(fmt.Errorf("bucket %s: %w", p.bus.pool.Bucket(), away(err)))
		return nil, func() {}
	}
	return w.Updates(), func() { w.Stop() } //nolint:errcheck // it ends with the context at the latest
}

// forget begins to read the bucket anew.
func (p *Pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = false
	clear(p.members)
	clear(p.records)
}

const (
	memberPrefix = "w."
	leasePrefix  = "l."
)

// note takes in what has changed in the bucket.
func (p *Pool) note(e jetstream.KeyValueEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id, ok := strings.CutPrefix(e.Key(), memberPrefix); ok {
		if e.Operation() != jetstream.KeyValuePut {
			delete(p.members, id)
			return
		}
		m := member{seen: time.Now()}
		if json.Unmarshal(e.Value(), &m) != nil {
			return
		}
		if id == p.config.ID && p.known && m.Life != p.self.Life && m.Since < p.self.Since {
			p.twin++
		}
		p.members[id] = m
		return
	}
	name, ok := strings.CutPrefix(e.Key(), leasePrefix)
	if !ok {
		return
	}
	r := record{revision: e.Revision()}
	if e.Operation() == jetstream.KeyValuePut && json.Unmarshal(e.Value(), &r) != nil {
		return
	}
	if r.revision >= p.records[Name(name)].revision {
		p.records[Name(name)] = r
	}
}

// renew shows that this worker is alive.
func (p *Pool) renew(ctx context.Context) {
	p.mu.Lock()
	p.self.Leaving = p.leaving
	body, err := json.Marshal(p.self)
	p.mu.Unlock()
	if err != nil {
		p.trouble(err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, poolWait)
	defer cancel()
	m := nats.NewMsg("$KV." + p.bus.pool.Bucket() + "." + memberPrefix + p.config.ID)
	m.Data = body
	m.Header.Set(jetstream.MsgTTLHeader, p.config.Lease.String())
	if _, err := p.bus.js.PublishMsg(ctx, m); err != nil {
		p.trouble(fmt.Errorf("pool: showing that this worker is alive: %w", away(err)))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.renewed.IsZero() && now.Sub(p.renewed) > p.config.Lease {
		p.back = now
	}
	p.renewed = now
}

func (p *Pool) trouble(err error) {
	if p.config.Trouble != nil {
		p.config.Trouble(err)
	}
}

// live are the ids of those alive that take leases, sorted. The server says who
// is dead. Should its word be lost, silence is one too, but only while we hear
// of ourselves.
func (p *Pool) live(now time.Time) []string {
	var ids []string
	for id, m := range p.members {
		if !m.Leaving && p.alive(id, now) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// silence is after how many leases without a sign of life a worker counts as
// dead without the server's word.
const silence = 3

func (p *Pool) alive(id string, now time.Time) bool {
	m, ok := p.members[id]
	if !ok || id == p.config.ID {
		return ok
	}
	return now.Sub(m.seen) < silence*p.config.Lease || now.Sub(p.members[p.config.ID].seen) > p.config.Lease
}

// free says whether a lease may be taken. After an outage the others need a
// moment to show that they are alive, before anyone takes what is theirs.
func (p *Pool) free(r record, now time.Time) bool {
	if r.Owner == "" || r.Owner == p.config.ID {
		return true
	}
	return !p.alive(r.Owner, now) && now.Sub(p.back) >= p.config.Lease
}

// settle gives back what others should hold, notes what was lost, and takes
// what is free and ours.
func (p *Pool) settle(ctx context.Context, hold func(context.Context, Lease), holds *sync.WaitGroup) {
	p.mu.Lock()
	now := time.Now()
	if !p.known || now.Before(p.waits) {
		p.mu.Unlock()
		return
	}
	wanted := p.wanted(now)
	var free []string
	var forgotten []Lease
	for _, name := range slices.Concat(p.config.Balanced, p.config.Names) {
		r, h := p.records[name], p.holding[name]
		switch {
		case h != nil && (r.Owner != p.config.ID || r.Epoch != h.epoch):
			h.asked = true
			h.cancel(ErrLeaseLost)
		case h != nil && wanted[name] != p.config.ID && !h.asked && (wanted[name] != "" || p.leaving):
			h.asked = true
			h.cancel(nil)
		case h == nil && wanted[name] == p.config.ID && p.free(r, now):
			free = append(free, name)
		case h == nil && wanted[name] != p.config.ID && r.Owner == p.config.ID:
			forgotten = append(forgotten, Lease{name, r.Epoch})
		}
	}
	p.mu.Unlock()
	for _, l := range forgotten { // giving it back had failed
		p.giveBack(ctx, l, false)
	}
	for _, l := range p.take(ctx, free) {
		held, cancel := context.WithCancelCause(ctx)
		p.mu.Lock()
		p.holding[l.Name] = &heldLease{epoch: l.Epoch, cancel: cancel}
		p.changes++
		p.mu.Unlock()
		holds.Go(func() {
			hold(held, l)
			p.giveBack(ctx, l, errors.Is(context.Cause(held), ErrLeaseLost))
			cancel(nil)
		})
	}
}

// take takes leases by compare-and-set, all at once, and gives those won.
func (p *Pool) take(ctx context.Context, names []string) (won []Lease) {
	ctx, cancel := context.WithTimeout(ctx, poolWait)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, len(names))
	records := make([]record, len(names))
	for i, name := range names {
		p.mu.Lock()
		r := p.records[name]
		p.mu.Unlock()
		records[i] = record{Owner: p.config.ID, Epoch: r.Epoch + 1}
		f, err := p.write(name, records[i], r.revision)
		if err != nil {
			p.trouble(fmt.Errorf("pool: lease %s: %w", name, away(err)))
			return won
		}
		futures[i] = f
	}
	for i, f := range futures {
		select {
		case ack := <-f.Ok():
			records[i].revision = ack.Sequence
			p.mu.Lock()
			if ack.Sequence > p.records[names[i]].revision {
				p.records[names[i]] = records[i]
			}
			p.mu.Unlock()
			won = append(won, Lease{names[i], records[i].Epoch})
		case err := <-f.Err():
			if !overtaken(err) { // somebody was quicker: the watch says who
				p.trouble(fmt.Errorf("pool: lease %s: %w", names[i], away(err)))
			}
		case <-ctx.Done():
			return won
		}
	}
	return won
}

// write stores who holds a lease, where nobody has since revision.
func (p *Pool) write(name string, r record, revision uint64) (jetstream.PubAckFuture, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg("$KV." + p.bus.pool.Bucket() + "." + leasePrefix + Token(name))
	m.Data = body
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	return p.bus.js.PublishMsgAsync(m, jetstream.WithStallWait(publishTimeout))
}

// giveBack ends a lease that hold has returned from.
func (p *Pool) giveBack(ctx context.Context, l Lease, lost bool) {
	p.mu.Lock()
	r := p.records[l.Name]
	p.mu.Unlock()
	if ours := r.Owner == p.config.ID && r.Epoch == l.Epoch; ours && !lost {
		if ack, err := p.writeWait(ctx, l.Name, record{Epoch: l.Epoch}, r.revision); err == nil {
			p.mu.Lock()
			if ack > p.records[l.Name].revision {
				p.records[l.Name] = record{Epoch: l.Epoch, revision: ack}
			}
			p.mu.Unlock()
		} else if !overtaken(err) {
			p.trouble(fmt.Errorf("pool: giving back lease %s: %w", l.Name, away(err)))
		}
	}
	p.mu.Lock()
	delete(p.holding, l.Name)
	p.changes++
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Pool) writeWait(ctx context.Context, name string, r record, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, poolWait)
	defer cancel()
	f, err := p.write(name, r, revision)
	if err != nil {
		return 0, err
	}
	select {
	case ack := <-f.Ok():
		return ack.Sequence, nil
	case err := <-f.Err():
		return 0, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (p *Pool) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.holding) == 0
}

// leave tells the others that this worker is gone.
func (p *Pool) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, poolWait)
	defer cancel()
	if err := p.bus.pool.Purge(ctx, memberPrefix+p.config.ID, jetstream.PurgeTTL(time.Minute)); err != nil {
		p.trouble(fmt.Errorf("pool: leaving: %w", away(err)))
	}
}

// wanted says who should hold what. What is not shared evenly stays where it is
// while its holder lives: to move it costs something and gains nothing.
func (p *Pool) wanted(now time.Time) map[string]string {
	live := p.live(now)
	out := assign(live, p.config.Names, p.config.Balanced)
	for _, name := range p.config.Names {
		if owner := p.records[name].Owner; slices.Contains(live, owner) {
			out[name] = owner
		}
	}
	return out
}

// assign says which of the workers should hold what. It hangs on nothing but
// its arguments, so that all workers come to the same. A worker that comes or
// goes moves little: each name goes to the worker with the highest hash of both
// (rendezvous hashing), and of the balanced ones to the highest that has room.
func assign(workers, names, balanced []string) map[string]string {
	out := make(map[string]string, len(names)+len(balanced))
	if len(workers) == 0 {
		return out
	}
	room := (len(balanced) + len(workers) - 1) / len(workers)
	load := map[string]int{}
	for _, name := range balanced {
		for _, w := range ranked(workers, name) {
			if load[w] < room {
				load[w]++
				out[name] = w
				break
			}
		}
	}
	for _, name := range names {
		out[name] = ranked(workers, name)[0]
	}
	return out
}

// ranked are the workers in the order in which they should hold the name.
func ranked(workers []string, name string) []string {
	score := func(worker string) uint64 {
		h := fnv.New64a()
		h.Write([]byte(worker))
		h.Write([]byte{0})
		h.Write([]byte(name))
		v := h.Sum64() // FNV alone changes little in the high bits when the end differs
		v ^= v >> 33
		v *= 0xff51afd7ed558ccd
		v ^= v >> 33
		v *= 0xc4ceb9fe1a85ec53
		return v ^ v>>33
	}
	out := slices.Clone(workers)
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(score(b), score(a)), strings.Compare(a, b))
	})
	return out
}

// Package engine is the only room that starts things: the worker that judges
// the stream, the rulebook, the output twins, the sources and the sinks.
package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/internal/outbound"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sources"
	"tocsin.internal/subscriptions"
	"tocsin.internal/twins"
)

// DefaultMaxSampleBytes is how large a sample may be.
const DefaultMaxSampleBytes = 256 << 10

// DefaultMaxSkew is how far a device's clock may be ahead.
const DefaultMaxSkew = 5 * time.Minute

// Config says what an engine works with.
type Config struct {
	Bus            *bus.Bus
	Log            zerolog.Logger
	WorkerID       string        // this worker's among those of the bus, while it runs; default a new one
	Lease          time.Duration // after how long without a sign of life others take over; default bus.DefaultLease
	RulesPath      string        // a file or folder of interactions, watched; "" = none
	Twins          []twins.Twin  // described by the operator
	Unknown        Policy        // default DeadLetter
	CreateFrom     string        // Create: the model's id
	MaxSampleBytes int           // default DefaultMaxSampleBytes
	Sources        []NamedSource
	Sinks          []NamedSink
	DrainTimeout   time.Duration  // for what sinks have begun; default 30 s
	SnapshotEvery  time.Duration  // default 30 s: how much is judged again after a crash
	Clock          Clock          // whose time ticks carry; default WallClock
	MaxSkew        time.Duration  // how far a sample may be ahead of when it was stored; default DefaultMaxSkew
	Routes         []alerts.Route // alerts that are told in groups

	Outbound        *outbound.Client // to those who subscribe; default one that reaches public addresses only
	SubscriberRetry []time.Duration  // waits between the attempts to tell one; default subscriptions.DefaultRetry

	// Invite is told of a PIN for the first Super Admin of the own account, each
	// time that this worker comes to the desk and none can show a secret; nil: none
	// is made.
	Invite func(pin string, until time.Time)
}

// NamedSource is a source and its name in logs.
type NamedSource struct {
	Name   string // also of its lease: of all workers one runs it, unless it is sources.Local
	Source sources.Source
}

// NamedSink is a sink, what it gets, and how often it is tried.
type NamedSink struct {
	Name    string // also of its place in the stream: it outlives restarts
	Type    string // the kind of sink, for metrics
	Kind    rules.Kind
	Sink    sinks.Sink
	Workers int             // deliveries at a time; default 1, which keeps their order
	ByTwin  bool            // one twin's outcomes one after the other and in order, also when one has to be tried again
	Rate    float64         // deliveries a second at most; 0 = as many as it takes
	Burst   int             // deliveries that may go at once under Rate; default a tenth of a second's
	Match   alerts.Matchers // it gets only outcomes that fit; of an alert that it was told of it gets the end all the same
	Retry   []time.Duration // waits between attempts; default DefaultRetry. After the last: dead letter
	Quiet   bool            // it gets also the alerts of which nobody is to be told: quiet ones and silenced ones
}

// ErrConfig is what the error wraps when the configuration cannot be used: a
// restart does not help, an edit does.
var ErrConfig = errors.New("the configuration cannot be used")

// Engine is one worker of a pool, often the only one. It judges the partitions
// that fall to it; one of the workers is at the desk (see desk).
type Engine struct {
	config  Config
	life    string // what it writes under; a configured WorkerID can be that of an earlier process, whose batches may still be open
	log     zerolog.Logger
	bus     *bus.Bus
	pool    *bus.Pool
	unknown Unknown
	worker  *worker
	seats   sync.Map // int -> *seat: the partitions that are judged here
	board   *board
	hush    *hush
	stats   stats
	health  health
	hub     *hub
	people  *people

	decisions *bus.Deliveries      // what rules have decided of stickers; set by Run
	notices   *bus.Deliveries      // what rules tell those who subscribe; set by Run
	desk      atomic.Pointer[desk] // nil: another worker is there
	projector *projector           // the desk's
	post      atomic.Pointer[post] // the desk's; nil: another worker is there
	ready     chan struct{}        // closed when the engine is ready for the first time
	scanning  chan struct{}        // who looks through the whole history has a place in it
	handler   atomic.Value         // func(context.Context, []byte) []byte: answers what other workers hand over
	unstored  map[string]bool      // under mu: configured twins that the bucket does not have so
	followed  atomic.Uint64        // revision of the bucket of twins that the registry has

	change  sync.Mutex // held while a change is made, its I/O included
	chained bool       // under change: outputs are samples too
	mu      sync.RWMutex
	twins   twins.Registry            // under mu
	files   map[string]*rules.Program // under mu: interactions from RulesPath
	filedAt map[string]string         // under mu: the file of each
	pushed  pushed                    // under mu: interactions that were pushed to the server
	runs    atomic.Uint64             // the revision of these that the partitions have been told of; the desk's
	owned   map[string]ruleTwin       // under mu: interactions from interaction twins
	failed  map[string]Refusal        // under mu: why the newest edit of an interaction twin was refused
	refused map[string]Refusal        // under mu: the same of files and of the set, by RuleSource.Kind
	since   map[string]ruleRevision   // under mu: since when each interaction runs as it does; the desk's
	orphan  map[string]time.Time      // under mu: output twins without a match, since when

	dirty     chan struct{}
	strangers map[string]bool // under mu: twins that the policy has created in the stream
	pending   map[string]bool // under mu: twins to look at again
	all       bool            // under mu: look at all of them

	room chan struct{} // streams need room
	full atomic.Bool   // FEED is full: only a snapshot lets something go

	running sync.WaitGroup // background work
	cancel  context.CancelFunc
	working context.Context
	quiet   troubles
	sent    sentLog // what sinks have tried
}

// ruleTwin is an interaction that lives in a twin.
type ruleTwin struct {
	program *rules.Program
	twin    *twins.Twin
}

// New reads what the bus remembers and brings it together with the
// configuration. It judges nothing yet.
func New(ctx context.Context, c Config) (*Engine, error) {
	c = c.withDefaults()
	e := &Engine{
		config: c, life: bus.CallID(), log: c.Log, bus: c.Bus, ready: make(chan struct{}), scanning: make(chan struct{}, 1), board: newBoard(), hush: newHush(), people: newPeople(),
		files: map[string]*rules.Program{}, owned: map[string]ruleTwin{}, failed: map[string]Refusal{}, refused: map[string]Refusal{}, since: map[string]ruleRevision{}, orphan: map[string]time.Time{},
		dirty: make(chan struct{}, 1), room: make(chan struct{}, 1), strangers: map[string]bool{}, pending: map[string]bool{}, unstored: map[string]bool{},
	}
	e.config.Routes, e.config.Sinks = slices.Clone(c.Routes), slices.Clone(c.Sinks)
	for i := range e.config.Routes {
		e.config.Routes[i].Match = e.config.Routes[i].Match.Bind(e.propertyValues)
	}
	for i := range e.config.Sinks {
		e.config.Sinks[i].Match = e.config.Sinks[i].Match.Bind(e.propertyValues)
	}
	e.stats.eval.Bounds = evalBounds
	e.health.begin(&e.config)
	e.working, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.prepare(ctx); err != nil {
		e.cancel()
		return nil, err
	}
	return e, nil
}

func (c Config) withDefaults() Config {
	if c.WorkerID == "" {
		c.WorkerID = bus.CallID()
	}
	if c.MaxSampleBytes == 0 {
		c.MaxSampleBytes = DefaultMaxSampleBytes
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = 30 * time.Second
	}
	if c.Unknown == "" {
		c.Unknown = DeadLetter
	}
	if c.Clock == "" {
		c.Clock = WallClock
	}
	if c.MaxSkew == 0 {
		c.MaxSkew = DefaultMaxSkew
	}
	if c.Outbound == nil {
		c.Outbound = outbound.New(new(outbound.Allow))
	}
	if c.SubscriberRetry == nil {
		c.SubscriberRetry = subscriptions.DefaultRetry
	}
	return c
}

func (e *Engine) prepare(ctx context.Context) (err error) {
	if slices.ContainsFunc(e.config.Sinks, func(s NamedSink) bool { return s.Name == stickerSink }) {
		return fmt.Errorf("%w: sinks: the name %q is the engine's own", ErrConfig, stickerSink)
	}
	if err := e.readTwins(ctx); err != nil {
		return err
	}
	if err := e.policy(); err != nil {
		return err
	}
	if err := e.readPushed(ctx); err != nil {
		return err
	}
	rulesErr := e.loadRules()
	e.stats.reloaded(rulesErr)
	for t := range e.twins.All() {
		e.readRuleTwin(t)
	}
	if rulesErr != nil {
		if err := e.keepLastGood(ctx, rulesErr); err != nil {
			return err
		}
	}
	e.worker = newWorker(e)
	e.worker.reader = e.bus.NewReader()
	e.worker.shadows = e.bus.NewShadowWriter(e.trouble)
	if e.worker.writer, err = e.bus.NewWriter(ctx, e.life, e.writerTrouble); err != nil {
		return err
	}
	e.hub = newHub(e)
	e.pool = e.bus.NewPool(bus.PoolConfig{
		ID: e.config.WorkerID, Lease: e.config.Lease, Names: e.leases(), Balanced: partitionLeases(e.bus.Partitions()), Trouble: e.trouble,
	})
	return nil
}

// policy finds the model of the policy for unknown twins.
func (e *Engine) policy() error {
	e.unknown = Unknown{Policy: e.config.Unknown}
	switch e.config.Unknown {
	case DeadLetter:
		return nil
	case Create:
		model, ok := e.twins.Get(e.config.CreateFrom)
		if !ok {
			return fmt.Errorf("%w: twins.createFrom: no twin %q%s", ErrConfig, e.config.CreateFrom, didYouMean(e.twins.Suggest(e.config.CreateFrom)))
		}
		e.unknown.Model = model
		return nil
	}
	return fmt.Errorf("%w: twins.unknown: got %q; want %s or %s", ErrConfig, e.config.Unknown, DeadLetter, Create)
}

func didYouMean(id string) string {
	if id == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", id)
}

// The names of leases.
const (
	partitionLease = "p"
	sourceLease    = "source."
)

func partitionLeases(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = partitionLease + strconv.Itoa(i)
	}
	return names
}

// leases are those beside the partitions'.
func (e *Engine) leases() []string {
	names := []string{deskLease}
	for _, s := range e.config.Sources {
		if _, local := s.Source.(sources.Local); !local {
			names = append(names, sourceLease+s.Name)
		}
	}
	return names
}

// Run judges until ctx ends. Then it takes nothing more from its sources,
// finishes and writes down what it has begun, gives back what it holds, lets the
// sinks finish, and returns nil. A source that ends with an error ends the
// engine. What serve names runs beside the sources and is stopped with them.
func (e *Engine) Run(ctx context.Context, serve ...func(context.Context) error) error {
	defer e.running.Wait()
	defer e.cancel()
	if err := e.subscribeSoon(ctx); err != nil {
		if ctx.Err() != nil {
			err = nil // it was only stopped
		}
		return join([]error{err, e.closeSinks()})
	}
	// Two generations: what brings in ends first, then what is held in the pool.
	inCtx, stopIn := context.WithCancelCause(ctx)
	defer stopIn(nil)
	poolCtx, stopPool := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPool()
	judgeCtx, stopJudge := context.WithCancel(context.WithoutCancel(ctx))
	defer stopJudge()

	var in, pool, judge errgroup.Group
	fail := func(err error) error {
		if err == nil || errors.Is(err, context.Canceled) && inCtx.Err() != nil {
			return nil // it was only stopped
		}
		stopIn(err)
		return err
	}
	judge.Go(func() error { return fail(e.worker.run(judgeCtx)) })
	judge.Go(func() error { e.follow(judgeCtx); return nil })
	judge.Go(func() error { e.followAccounts(judgeCtx); return nil })
	judge.Go(func() error { e.hub.run(judgeCtx); return nil })
	judge.Go(func() error { return fail(e.tellStrangers(judgeCtx)) })
	judge.Go(func() error { e.observe(judgeCtx); return nil })
	judge.Go(func() error { e.keepSent(judgeCtx); return nil })
	judge.Go(func() error { return fail(e.bus.ServeWorker(judgeCtx, e.config.WorkerID, e.answerSelf)) })
	pool.Go(func() error {
		return fail(e.pool.Run(poolCtx, func(ctx context.Context, l bus.Lease) { fail(e.hold(ctx, l)) })) //nolint:errcheck // fail has told
	})
	in.Go(func() error { e.sayReady(inCtx); return nil })
	e.firstTick(ctx)
	if e.config.Clock == SamplesClock { // each worker knows the newest sample of its own partitions
		in.Go(func() error { e.tick(inCtx); return nil })
	}
	for _, s := range e.config.Sources {
		if _, local := s.Source.(sources.Local); local {
			in.Go(func() error { return fail(e.runSource(inCtx, s)) })
		}
	}
	for _, f := range serve {
		in.Go(func() error { return fail(f(inCtx)) })
	}
	<-inCtx.Done()
	e.health.stopping.Store(true)
	errs := []error{in.Wait()}
	stopPool()
	errs = append(errs, pool.Wait())
	stopJudge()
	errs = append(errs, judge.Wait(), e.closeSinks())
	if err := context.Cause(inCtx); err != nil && ctx.Err() == nil {
		errs = append([]error{err}, errs...)
	}
	return join(errs)
}

// join joins errors, each once.
func join(errs []error) error {
	var once []error
	for _, err := range errs {
		if err != nil && !slices.ContainsFunc(once, func(e error) bool { return errors.Is(e, err) || errors.Is(err, e) }) {
			once = append(once, err)
		}
	}
	return errors.Join(once...)
}

// hold does what a lease is for, until its context ends.
func (e *Engine) hold(ctx context.Context, l bus.Lease) error {
	if l.Name == deskLease {
		return e.holdDesk(ctx)
	}
	if name, ok := strings.CutPrefix(l.Name, sourceLease); ok {
		i := slices.IndexFunc(e.config.Sources, func(s NamedSource) bool { return s.Name == name })
		if err := e.awaitReady(ctx); err != nil {
			return nil //nolint:nilerr // it was only stopped
		}
		err := e.runSource(ctx, e.config.Sources[i])
		if err == nil {
			<-ctx.Done() // it has no more; given back, the lease would begin it again
		}
		return err
	}
	number, err := strconv.Atoi(strings.TrimPrefix(l.Name, partitionLease))
	if err != nil {
		return fmt.Errorf("lease %q: %w", l.Name, err)
	}
	e.holdPartition(ctx, number, l)
	return nil
}

func (e *Engine) runSource(ctx context.Context, s NamedSource) error {
	defer e.watch(s)()
	if err := s.Source.Run(ctx, e.EmitFrom(s.Name)); err != nil && ctx.Err() == nil {
		return fmt.Errorf("source %s: %w", s.Name, err)
	}
	return nil
}

// background runs f beside the worker; Run waits for it.
func (e *Engine) background(f func(context.Context)) {
	e.running.Go(func() { f(e.working) })
}

// readyPoll is how often a worker that is not ready yet looks whether it is.
const readyPoll = 5 * time.Millisecond

// sayReady notes, once, that the engine is ready.
func (e *Engine) sayReady(ctx context.Context) {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for e.lacks() != nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
	close(e.ready)
	e.log.Info().Str("worker", e.config.WorkerID).Int("workers", e.pool.Workers()).Int("partitions", len(e.taken())).Bool("desk", e.atDesk() != nil).
		Int("interactions", len(e.wanted())).Int("twins", e.Stats().Twins).Msg("ready")
}

func (e *Engine) awaitReady(ctx context.Context) error {
	select {
	case <-e.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the engine to catch up: %w", ctx.Err())
	}
}

// Ready says what the engine still lacks before it judges by the rules that are
// configured; nil when it lacks nothing.
func (e *Engine) Ready() error {
	if err := e.bus.Healthy(); err != nil {
		return err
	}
	return e.lacks()
}

func (e *Engine) lacks() error {
	if !e.pool.Settled() {
		return errors.New("joining the pool")
	}
	held, leases := 0, e.pool.Held()
	if slices.Contains(leases, deskLease) && !e.told() {
		return errors.New("telling the partitions what is wanted")
	}
	if !e.knowsAccounts() {
		return errors.New("reading the accounts")
	}
	for _, name := range leases {
		if strings.HasPrefix(name, partitionLease) {
			held++
		}
	}
	seats := e.taken()
	if len(seats) < held {
		return fmt.Errorf("taking partitions: %d of %d", len(seats), held)
	}
	behind := uint64(0)
	for _, s := range seats {
		if !s.caughtUp() {
			behind = max(behind, s.target-s.judged.Load())
		}
	}
	if behind > 0 {
		return fmt.Errorf("catching up: %d messages to judge", behind)
	}
	return nil
}

// taken are the partitions that are judged here, in their order.
func (e *Engine) taken() (seats []*seat) {
	for i := range e.bus.Partitions() {
		if s, ok := e.seats.Load(i); ok {
			seats = append(seats, s.(*seat))
		}
	}
	return seats
}

// Drained waits until everything that is stored has been judged and everything
// decided has been dealt with by the sinks, or ctx ends. It has an answer where
// one worker does it all.
func (e *Engine) Drained(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		done, err := e.drained(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *Engine) drained(ctx context.Context) (bool, error) {
	seats := e.taken()
	if len(seats) < e.bus.Partitions() || !e.told() {
		return false, nil
	}
	for _, s := range seats {
		_, last, err := e.bus.PartitionState(ctx, s.number)
		if err != nil || s.settled.Load() < last {
			return false, err
		}
	}
	if done, err := e.projected(ctx); !done || err != nil {
		return false, err
	}
	for _, d := range *e.stats.deliveries.Load() {
		n, err := d.waiting.Waiting(ctx)
		if err != nil || n > 0 {
			return false, err
		}
	}
	return true, nil
}

// writerTrouble sees to it that there is room again when OUT is full.
func (e *Engine) writerTrouble(err error) {
	if errors.Is(err, bus.ErrFull) {
		e.wantRoom()
	}
	e.trouble(err)
}

// roomEvery is how often the streams are looked after.
const roomEvery = 10 * time.Second

func (e *Engine) wantRoom() {
	select {
	case e.room <- struct{}{}:
	default:
	}
}

// makeRoom drops from the streams what nobody needs any more. It does not hang
// on the worker, which may be waiting for just that.
func (e *Engine) makeRoom(ctx context.Context) {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	for linked := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-e.room:
		}
		// Once a rule has looked at several twins, a snapshot of that time may be in use.
		linked = linked || e.linksTwins()
		e.bus.Apart(!linked)
		if err := e.bus.MakeRoom(ctx); err != nil && ctx.Err() == nil {
			e.trouble(err)
		}
	}
}

// linksTwins says whether a rule looks at several twins.
func (e *Engine) linksTwins() bool {
	for _, p := range e.wanted() {
		if len(p.Links()) > 0 {
			return true
		}
	}
	return false
}

// trouble logs what the engine mends itself: at most once in five seconds for
// one text, with the number of those that were left out.
func (e *Engine) trouble(err error) {
	if n, ok := e.quiet.note(err.Error(), time.Now()); ok {
		e.log.Warn().Err(err).Int("alike", n).Msg("trouble; trying again")
	}
}

type troubles struct {
	mu   sync.Mutex
	last map[string]time.Time
	left map[string]int
}

func (t *troubles) note(text string, now time.Time) (alike int, say bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || len(t.last) > 1000 {
		t.last, t.left = map[string]time.Time{}, map[string]int{}
	}
	if now.Sub(t.last[text]) < 5*time.Second {
		t.left[text]++
		return 0, false
	}
	alike = t.left[text]
	t.last[text], t.left[text] = now, 0
	return alike, true
}

// stats are what the engine counts of itself.
type stats struct {
	meter
	samples, deadLetters, delivered, undelivered      atomic.Uint64
	silent, silenced, filtered, routed, notifications atomic.Uint64
	projected                                         atomic.Uint64 // sequence in OUT
	post                                              postMeter
	newest                                            atomic.Int64 // time of the newest sample judged, Unix nanoseconds; 0 = none yet
	deliveries                                        atomic.Pointer[[]*delivery]
}

// Funnels are the counts of an interaction's rules.
type Funnels struct {
	Revision string         `json:"revision"`
	Names    []string       `json:"names"`
	Rules    []rules.Funnel `json:"rules"`
}

// Stats are counts since the engine's start.
type Stats struct {
	Samples       uint64             `json:"samples"`
	Outputs       uint64             `json:"outputs"`
	Alerts        uint64             `json:"alerts"` // events of alerts
	OpenAlerts    int                `json:"openAlerts"`
	Silent        uint64             `json:"silent"`        // not delivered to a sink: the rule, a shelf or an inhibitor keeps it quiet
	Silenced      uint64             `json:"silenced"`      // not delivered to a sink: a silence
	Filtered      uint64             `json:"filtered"`      // not delivered to a sink: its match
	Routed        uint64             `json:"routed"`        // not delivered to a sink singly: it gets the route's notifications
	Notifications uint64             `json:"notifications"` // of the routes
	DeadLetters   uint64             `json:"deadLetters"`
	Delivered     uint64             `json:"delivered"`
	Undelivered   uint64             `json:"undelivered"` // given up
	Judged        uint64             `json:"judged"`      // sequence in FEED: the newest message
	Snapshot      uint64             `json:"snapshot"`    // sequence in FEED: what the oldest snapshot stands for
	Twins         int                `json:"twins"`
	Funnels       map[string]Funnels `json:"interactions"`
	Refused       map[string]string  `json:"refused,omitempty"` // interactions whose newest edit was refused, and why
}

// Stats gives the counts; those of the rules are at most a second old.
func (e *Engine) Stats() Stats {
	s := &e.stats
	out := Stats{
		Samples: s.samples.Load(), Outputs: s.outcomesOf(rules.Output), Alerts: s.outcomesOf(rules.Alert), DeadLetters: s.deadLetters.Load(),
		OpenAlerts: e.board.len(), Silent: s.silent.Load(), Silenced: s.silenced.Load(), Filtered: s.filtered.Load(), Routed: s.routed.Load(), Notifications: s.notifications.Load(),
		Delivered: s.delivered.Load(), Undelivered: s.undelivered.Load(), Funnels: s.rules.funnels(),
	}
	for i, seat := range e.taken() {
		out.Judged = max(out.Judged, seat.judged.Load())
		if saved := seat.saved.Load(); i == 0 || saved < out.Snapshot {
			out.Snapshot = saved
		}
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	out.Twins = e.twins.Len()
	for id, r := range e.failed {
		if out.Refused == nil {
			out.Refused = map[string]string{}
		}
		out.Refused[id] = r.Error
	}
	return out
}

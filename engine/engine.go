// Package engine is the only room that starts things: the worker that judges
// the stream, the rulebook, the output twins, the sources and the sinks.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sources"
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
	RulesPath      string       // a file or folder of interactions, watched; "" = none
	Twins          []twins.Twin // described by the operator
	Unknown        Policy       // default DeadLetter
	CreateFrom     string       // Create: the model's id
	MaxSampleBytes int          // default DefaultMaxSampleBytes
	Sources        []NamedSource
	Sinks          []NamedSink
	DrainTimeout   time.Duration  // for what sinks have begun; default 30 s
	SnapshotEvery  time.Duration  // default 30 s: how much is judged again after a crash
	Clock          Clock          // whose time ticks carry; default WallClock
	MaxSkew        time.Duration  // how far a sample may be ahead of when it was stored; default DefaultMaxSkew
	Routes         []alerts.Route // alerts that are told in groups
}

// NamedSource is a source and its name in logs.
type NamedSource struct {
	Name   string
	Source sources.Source
}

// NamedSink is a sink, what it gets, and how often it is tried.
type NamedSink struct {
	Name    string // also of its place in the stream: it outlives restarts
	Kind    rules.Kind
	Sink    sinks.Sink
	Workers int             // deliveries at a time; default 1, which keeps their order
	Retry   []time.Duration // waits between attempts; default DefaultRetry. After the last: dead letter
	Quiet   bool            // it gets also the alerts of which nobody is to be told: quiet ones and silenced ones
}

// ErrConfig is what the error wraps when the configuration cannot be used: a
// restart does not help, an edit does.
var ErrConfig = errors.New("the configuration cannot be used")

// Engine is one worker with its rulebook.
type Engine struct {
	config  Config
	log     zerolog.Logger
	bus     *bus.Bus
	unknown Unknown
	worker  *worker
	board   *board
	hush    *hush
	stats   stats

	projector *projector
	ready     chan struct{} // closed when the partitions are what is configured
	scanning  chan struct{} // who looks through the whole history has a place in it

	change  sync.Mutex // held while a change is made, its I/O included
	chained bool       // under change: outputs are samples too
	mu      sync.RWMutex
	twins   twins.Registry            // under mu
	files   map[string]*rules.Program // under mu: interactions from RulesPath
	owned   map[string]ruleTwin       // under mu: interactions from interaction twins
	failed  map[string]error          // under mu: why the newest edit of an interaction twin was refused
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
}

// ruleTwin is an interaction that lives in a twin.
type ruleTwin struct {
	program *rules.Program
	twin    *twins.Twin
}

// New reads what the bus remembers and brings it together with the
// configuration. It judges nothing yet.
func New(ctx context.Context, c Config) (*Engine, error) {
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
	e := &Engine{
		config: c, log: c.Log, bus: c.Bus, ready: make(chan struct{}), scanning: make(chan struct{}, 1), board: newBoard(), hush: newHush(),
		files: map[string]*rules.Program{}, owned: map[string]ruleTwin{}, failed: map[string]error{}, orphan: map[string]time.Time{},
		dirty: make(chan struct{}, 1), room: make(chan struct{}, 1), strangers: map[string]bool{}, pending: map[string]bool{},
	}
	e.working, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.recover(ctx); err != nil {
		e.cancel()
		return nil, err
	}
	return e, nil
}

func (e *Engine) recover(ctx context.Context) error {
	for doc, err := range e.bus.Twins(ctx) {
		if err != nil {
			return err
		}
		t, err := decodeTwin(doc)
		if err != nil {
			return fmt.Errorf("bucket twins: %w", err)
		}
		e.twins.Put(*t)
	}
	for i := range e.config.Twins {
		t := &e.config.Twins[i]
		if !e.twins.Put(*t) {
			continue
		}
		if err := e.bus.PutTwin(ctx, t.ID, t.AppendJSON(nil)); err != nil {
			return err
		}
	}
	if err := e.policy(); err != nil {
		return err
	}
	if err := e.recoverAlerts(ctx); err != nil {
		return err
	}
	state, err := e.bus.FeedState(ctx)
	if err != nil {
		return err
	}
	rulesErr := e.loadRules()
	for t := range e.twins.All() {
		e.readRuleTwin(t)
	}
	parts, seq, err := e.recoverPartitions(ctx, state)
	if err != nil {
		return err
	}
	if rulesErr != nil {
		if err := e.keepLastGood(parts, rulesErr); err != nil {
			return err
		}
	}
	return e.newWorker(ctx, parts, seq, state.Last)
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

func (e *Engine) newWorker(ctx context.Context, parts []*partition, seq, target uint64) error {
	w := &worker{engine: e, bus: e.bus, parts: parts, seq: seq, saved: seq, target: target, saving: make(chan struct{}, 1)}
	var err error
	if w.tail, err = e.bus.Tail(ctx); err != nil {
		return err
	}
	if w.buried.seq, w.buried.index, err = e.bus.LastBuried(ctx); err != nil {
		return err
	}
	if w.writer, err = e.bus.NewWriter(ctx, e.writerTrouble); err != nil {
		return err
	}
	e.worker = w
	e.stats.judged.Store(seq)
	e.stats.settled.Store(seq)
	e.stats.target.Store(target)
	e.stats.snapshot.Store(seq)
	return nil
}

// Run judges until ctx ends. Then it takes nothing more from its sources,
// finishes and writes down what it has begun, lets the sinks finish, and
// returns nil. A source that ends with an error ends the engine. What serve
// names runs beside the sources and is stopped with them.
func (e *Engine) Run(ctx context.Context, serve ...func(context.Context) error) error {
	defer e.running.Wait()
	defer e.cancel()
	defer e.worker.writer.Close()

	deliveries, err := e.subscribe(ctx)
	if err != nil {
		return err
	}
	found, err := e.bus.ReadAlerts(ctx, e.projector.position)
	if err != nil {
		return err
	}
	// Three generations: what brings in ends first, then what judges, then what takes out.
	inCtx, stopIn := context.WithCancelCause(ctx)
	defer stopIn(nil)
	judgeCtx, stopJudge := context.WithCancel(context.WithoutCancel(ctx))
	defer stopJudge()
	outCtx, stopOut := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOut()

	var in, judge, out errgroup.Group
	fail := func(err error) error {
		if err == nil || errors.Is(err, context.Canceled) && inCtx.Err() != nil {
			return nil // it was only stopped
		}
		stopIn(err)
		return err
	}
	listening := make(chan struct{})
	out.Go(func() error { return fail(e.listen(outCtx, sync.OnceFunc(func() { close(listening) }))) })
	out.Go(func() error { return fail(e.projector.run(outCtx, found, listening)) })
	for _, d := range deliveries {
		out.Go(func() error { return fail(d.run(outCtx, listening)) })
	}
	judge.Go(func() error { return fail(e.worker.run(judgeCtx)) })
	judge.Go(func() error { return fail(e.keep(judgeCtx)) })
	judge.Go(func() error { e.makeRoom(judgeCtx); return nil })
	in.Go(func() error { e.tick(inCtx); return nil })
	e.firstTick(ctx)
	if e.config.RulesPath != "" {
		in.Go(func() error { return fail(e.watchRules(inCtx)) })
	}
	for _, s := range e.config.Sources {
		in.Go(func() error { return fail(e.runSource(inCtx, s)) })
	}
	for _, f := range serve {
		in.Go(func() error { return fail(f(inCtx)) })
	}
	<-inCtx.Done()
	errs := []error{in.Wait()}
	stopJudge()
	errs = append(errs, judge.Wait())
	stopOut()
	errs = append(errs, out.Wait())
	for _, d := range deliveries {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}

func (e *Engine) runSource(ctx context.Context, s NamedSource) error {
	if err := s.Source.Run(ctx, e.Emit); err != nil && ctx.Err() == nil {
		return fmt.Errorf("source %s: %w", s.Name, err)
	}
	return nil
}

// background runs f beside the worker; Run waits for it.
func (e *Engine) background(f func(context.Context)) {
	e.running.Go(func() { f(e.working) })
}

// Ready says what the engine still lacks before it judges by the rules that are
// configured; nil when it lacks nothing.
func (e *Engine) Ready() error {
	if err := e.bus.Healthy(); err != nil {
		return err
	}
	select {
	case <-e.ready:
		return nil
	default:
		return fmt.Errorf("catching up: %d messages to judge", e.behind())
	}
}

func (e *Engine) behind() uint64 {
	target, judged := e.stats.target.Load(), e.stats.judged.Load()
	return target - min(target, judged)
}

// Drained waits until everything that is stored has been judged and everything
// decided has been dealt with by the sinks, or ctx ends.
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
	state, err := e.bus.FeedState(ctx)
	if err != nil || e.stats.settled.Load() < state.Last {
		return false, err
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-e.room:
		}
		if err := e.bus.MakeRoom(ctx, e.stats.snapshot.Load()); err != nil && ctx.Err() == nil {
			e.trouble(err)
		}
	}
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
	samples, outputs, alerts, others, deadLetters, delivered, undelivered atomic.Uint64
	judged, settled, target, snapshot                                     atomic.Uint64
	silent, silenced, routed, notifications                               atomic.Uint64
	projected                                                             atomic.Uint64 // sequence in OUT
	newest                                                                atomic.Int64  // time of the newest sample judged, Unix nanoseconds; 0 = none yet
	funnels                                                               atomic.Pointer[map[string]Funnels]
	deliveries                                                            atomic.Pointer[[]*delivery]
}

func (s *stats) count(o *rules.Outcome) {
	switch o.Kind {
	case rules.Output:
		s.outputs.Add(1)
	case rules.Alert:
		s.alerts.Add(1)
	default:
		s.others.Add(1)
	}
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
	Routed        uint64             `json:"routed"`        // not delivered to a sink singly: it gets the route's notifications
	Notifications uint64             `json:"notifications"` // of the routes
	DeadLetters   uint64             `json:"deadLetters"`
	Delivered     uint64             `json:"delivered"`
	Undelivered   uint64             `json:"undelivered"` // given up
	Judged        uint64             `json:"judged"`      // sequence in FEED
	Snapshot      uint64             `json:"snapshot"`    // sequence in FEED
	Twins         int                `json:"twins"`
	Funnels       map[string]Funnels `json:"interactions"`
	Refused       map[string]string  `json:"refused,omitempty"` // interactions whose newest edit was refused, and why
}

// Stats gives the counts; those of the rules are at most a second old.
func (e *Engine) Stats() Stats {
	s := &e.stats
	out := Stats{
		Samples: s.samples.Load(), Outputs: s.outputs.Load(), Alerts: s.alerts.Load(), DeadLetters: s.deadLetters.Load(),
		OpenAlerts: e.board.len(), Silent: s.silent.Load(), Silenced: s.silenced.Load(), Routed: s.routed.Load(), Notifications: s.notifications.Load(),
		Delivered: s.delivered.Load(), Undelivered: s.undelivered.Load(), Judged: s.judged.Load(), Snapshot: s.snapshot.Load(),
	}
	if f := s.funnels.Load(); f != nil {
		out.Funnels = *f
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	out.Twins = e.twins.Len()
	for id, err := range e.failed {
		if out.Refused == nil {
			out.Refused = map[string]string{}
		}
		out.Refused[id] = err.Error()
	}
	return out
}

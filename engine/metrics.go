package engine

import (
	"cmp"
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// Metrics are what a worker counts of itself since its start, and what it is at.
// No twin is named in them.
type Metrics struct {
	Samples      map[string]uint64 // stored, by source
	Sources      []SourceMetrics   // those that run at this worker and read from something that may be away
	Judged       uint64            // samples
	Lag          time.Duration     // from when the sample that was judged last was stored until it was judged
	Outcomes     map[rules.Kind]uint64
	Eval         Histogram // of samples, by the share of each in its batch's time
	Interactions map[string]InteractionMetrics
	DeadLetters  map[LetterClass]uint64
	OpenAlerts   map[AlertStatus]int // of the whole pool; none where Pool.Desk is false
	AlertEvents  map[AlertEvent]uint64
	Sinks        []SinkMetrics
	Deliveries   map[string]Histogram // attempts, by the kind of sink
	Undone       map[rules.Kind]int   // stickers and notices that rules have decided, and that wait for the desk; none where Pool.Desk is false
	Twins        int
	Followers    Followers
	Post         PostCounts
	Partitions   []PartitionStatus
	Pool         PoolStatus
	Reload       Reload
	RulesHash    uint64 // 48 bits, of the interactions that run and their revisions; 0: none runs
}

// Followers are how many follow something at this worker.
type Followers struct {
	Live   int64 // what happens
	Behind int64 // what was before they came
}

// InteractionMetrics are the counts of an interaction's rules. They go on over
// its edits, for as long as a rule keeps its name.
type InteractionMetrics struct {
	Funnels
	Told  []Told // of each rule
	Twins int    // that match
	Late  uint64 // samples that some rule found late
	State string // one of the states below
}

// Told is what became of a rule's outcomes on their way out. Each sink counts.
type Told struct {
	Delivered   uint64 `json:"delivered"`   // a sink took it, or a route that tells of it with others
	Silenced    uint64 `json:"silenced"`    // a silence kept it from a sink
	Undelivered uint64 `json:"undelivered"` // a sink gave it up
}

func (t *Told) add(u Told) {
	t.Delivered += u.Delivered
	t.Silenced += u.Silenced
	t.Undelivered += u.Undelivered
}

// telling counts them by rule. The zero value is ready to use.
type telling struct {
	mu sync.Mutex
	n  map[ruleKey]*Told
}

// add counts what became of an outcome; a notification of a route is of no rule.
func (t *telling) add(o *rules.Outcome, n Told) {
	if o.Rule == "" {
		return
	}
	key := ruleKey{o.Interaction, o.Rule}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[ruleKey]*Told{}
	}
	if t.n[key] == nil {
		t.n[key] = &Told{}
	}
	t.n[key].add(n)
}

// read gives those of the interactions that are wanted, and forgets the others.
func (t *telling) read(wanted func(interaction string) bool) map[ruleKey]Told {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.n, func(key ruleKey, _ *Told) bool { return !wanted(key.interaction) })
	out := make(map[ruleKey]Told, len(t.n))
	for key, n := range t.n {
		out[key] = *n
	}
	return out
}

// The states of an interaction.
const (
	RulesOK       = "ok"
	RulesDegraded = "degraded" // its newest edit was refused; the one before runs
	RulesDisabled = "disabled"
)

// LetterClass is where something became a dead letter, and a reason out of few.
type LetterClass struct{ From, Reason string }

// AlertStatus is how an open alert stands.
type AlertStatus struct{ Severity, Status string }

// AlertEvent is what happened to an alert.
type AlertEvent struct{ Event, Severity string }

// SinkMetrics are the attempts to deliver to one sink.
type SinkMetrics struct {
	Name, Kind                string
	Arrived, Retried, GivenUp uint64
	Filtered                  uint64 // what its match left out
	Queue                     int    // what waits for it; -1: unknown, or told by another worker
}

// SourceMetrics are how a source is in touch with its origin.
type SourceMetrics struct {
	Name string
	Up   bool   // it reads all that it should
	Lost uint64 // how often it ceased to
}

// PartitionStatus is how far a partition that the worker holds has come.
type PartitionStatus struct {
	Partition   int
	Seq         uint64 // in FEED, of the last message judged
	Lag         uint64 // messages that wait to be judged
	SnapshotAge time.Duration
	CaughtUp    bool // it is what the stream says
}

// PoolStatus is the pool as this worker sees it.
type PoolStatus struct {
	Workers      int    // that live
	Partitions   int    // that this one holds
	LeaseChanges uint64 // leases won or lost by this one
	Lag          uint64 // messages that wait to be judged, whoever holds their partitions
	Desk         bool   // this one reads the rule files and keeps the open alerts
}

// Reload is how reading the rule files went.
type Reload struct {
	Tried     bool
	OK        bool
	Succeeded time.Time // last
}

// Histogram is how many observations there were, by their size.
type Histogram struct {
	Bounds []float64 // upper ones, both ends included
	Counts []uint64  // up to each bound and above the one before; the last one is of what is above them all
	Sum    float64
}

// histogram collects a Histogram. The bounds are set before the first observation.
type histogram struct {
	mu sync.Mutex
	Histogram
}

func (h *histogram) observe(v float64, times uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Counts == nil {
		h.Counts = make([]uint64, len(h.Bounds)+1)
	}
	i, _ := slices.BinarySearch(h.Bounds, v)
	h.Counts[i] += times
	h.Sum += v * float64(times)
}

func (h *histogram) read() Histogram {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := make([]uint64, len(h.Bounds)+1)
	copy(counts, h.Counts)
	return Histogram{Bounds: h.Bounds, Counts: counts, Sum: h.Sum}
}

// counts are counters by what they count. The zero value is ready to use.
type counts[K comparable] struct {
	mu sync.Mutex
	n  map[K]uint64
}

func (c *counts[K]) add(k K, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[K]uint64{}
	}
	c.n[k] += n
}

// read gives all of them, and those of known that are still at zero.
func (c *counts[K]) read(known ...K) map[K]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[K]uint64, len(c.n)+len(known))
	for _, k := range known {
		out[k] = 0
	}
	maps.Copy(out, c.n)
	return out
}

// kinds are the kinds of outcome, in the order of meter.outcomes.
var kinds = [...]rules.Kind{rules.Output, rules.Alert, rules.Notification, rules.Sticker, rules.Command}

// What the histograms tell apart, in seconds.
var (
	evalBounds     = []float64{1e-6, 2e-6, 3e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 1e-1, 1}
	deliveryBounds = []float64{1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
)

// meter counts what Metrics tells.
type meter struct {
	stored   counts[string] // samples, by source
	outcomes [len(kinds)]atomic.Uint64
	events   counts[AlertEvent]
	letters  counts[LetterClass]
	eval     histogram
	lag      atomic.Int64 // nanoseconds
	rules    tally
	told     telling
	feedLast atomic.Uint64 // the last sequence of FEED, when it was looked at last
	judgedTo atomic.Uint64 // the sequence in FEED of the message that was judged last
	pending  atomic.Uint64 // after it
	whole    atomic.Bool   // the reader reads all partitions by one consumer

	mu     sync.Mutex
	sinks  []*sinkMeter // under mu
	reload Reload       // under mu
}

// count counts an outcome that has been handed to the bus.
func (m *meter) count(o *rules.Outcome) {
	if i := slices.Index(kinds[:], o.Kind); i >= 0 {
		m.outcomes[i].Add(1)
	}
	if o.Kind == rules.Alert && o.Life != nil {
		m.events.add(AlertEvent{o.Life.Event, o.Severity}, 1)
	}
}

// outcomesOf is how many there were of a kind.
func (m *meter) outcomesOf(kind rules.Kind) uint64 {
	return m.outcomes[slices.Index(kinds[:], kind)].Load()
}

// judging is a batch that is being judged.
type judging struct {
	began   time.Time
	samples uint64 // that had been judged before
}

// begin begins a batch, of which nothing is measured but its ends.
func (s *stats) begin() judging { return judging{time.Now(), s.samples.Load()} }

// end ends a batch with its last message; whole: all partitions are read by one
// consumer.
func (s *stats) end(j judging, m *bus.Message, whole bool) {
	now := time.Now()
	s.lag.Store(int64(max(0, now.Sub(m.Stored))))
	s.judgedTo.Store(m.Seq)
	s.pending.Store(m.Pending)
	s.whole.Store(whole)
	if n := s.samples.Load() - j.samples; n > 0 {
		s.eval.observe(now.Sub(j.began).Seconds()/float64(n), n)
	}
}

// reloaded takes note of how reading the rule files went.
func (m *meter) reloaded(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reload.Tried, m.reload.OK = true, err == nil
	if err == nil {
		m.reload.Succeeded = time.Now()
	}
}

// sinkMeter counts the attempts to deliver to one sink.
type sinkMeter struct {
	name, kind                          string
	arrived, retried, givenUp, filtered atomic.Uint64
	took                                histogram
}

// sink is the meter of a sink.
func (m *meter) sink(name, kind string) *sinkMeter {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sinks {
		if s.name == name {
			return s
		}
	}
	s := &sinkMeter{name: name, kind: kind}
	s.took.Bounds = deliveryBounds
	m.sinks = append(m.sinks, s)
	return s
}

// buried counts a dead letter.
func (m *meter) buried(stage, reason string) {
	m.letters.add(LetterClass{stage, reason}, 1)
}

// The reasons of dead letters in metrics.
const (
	letterUnreadable = "unreadable"
	letterTooLarge   = "too_large"
	letterRefused    = "refused"      // the receiver does not take it, however often it comes
	letterRetries    = "retries_used" // the last attempt failed
)

// letterReasons are the reasons of samples by how their texts begin.
var letterReasons = []struct{ text, class string }{
	{reasonUnknownTwin, "unknown_twin"},
	{reasonUnknownFeed, "unknown_feed"},
	{reasonTooLarge, letterTooLarge},
	{"data of ", letterTooLarge},
	{reasonLoop, "loop"},
	{reasonFuture, "in_the_future"},
	{rules.NotJSON, "not_json"},
	{rules.NotObject, "not_an_object"},
	{rules.NumberOutOfRange, "number_out_of_range"},
	{rules.TooDeep, "too_deep"},
	{rules.RepeatedNames, "repeated_names"},
	{reasonNoName, "bad_name"},
	{reasonLongName, "bad_name"},
	{reasonOtherPartition, "other_partition"},
	{string(rules.Sticker) + " of rule ", "not_made"},
	{string(rules.Notification) + " of rule ", "not_made"},
}

// letterReason is the class of a sample's reason: it has to be one of few.
func letterReason(text string) string {
	for _, r := range letterReasons {
		if strings.HasPrefix(text, r.text) {
			return r.class
		}
	}
	return letterUnreadable
}

// knownLetters are told also where there is none, so that the first one shows
// as an increase.
func knownLetters() []LetterClass {
	out := []LetterClass{
		{bus.StageDoor, letterUnreadable},
		{bus.StageFeed, letterUnreadable},
		{bus.StageSink, letterUnreadable},
		{bus.StageSink, letterTooLarge},
		{bus.StageSink, letterRefused},
		{bus.StageSink, letterRetries},
	}
	for _, r := range letterReasons {
		out = append(out, LetterClass{bus.StageDoor, r.class}, LetterClass{bus.StageFeed, r.class})
	}
	return out
}

func knownEvents() (out []AlertEvent) {
	for _, s := range alerts.Severities {
		out = append(out, AlertEvent{rules.EventRaised, s.Name}, AlertEvent{rules.EventCleared, s.Name})
	}
	return out
}

// tally adds up what the partitions count of their rules. The totals outlive
// partitions that go and programs that are edited.
type tally struct {
	mu           sync.Mutex
	interactions map[string]*InteractionMetrics
	rules        map[ruleKey]*rules.Funnel
	places       map[*rules.Program]*place
	buf          []rules.Funnel
}

type ruleKey struct{ interaction, rule string }

// place is where the counts of a program go.
type place struct {
	of    *InteractionMetrics
	is    Funnels // without counts
	state string
	rules []*rules.Funnel
}

// collect takes what the partitions have counted since the last time. It is for
// their owner to call: once a second or so, and before a partition goes.
// Interactions that none of them has are forgotten.
func (t *tally) collect(parts []*partition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	runs := map[*rules.Program]bool{}
	for _, to := range t.places {
		to.of.Twins = 0
	}
	for _, p := range parts {
		for _, r := range p.retired {
			t.take(r)
		}
		p.retired = nil
		for _, r := range p.programs {
			to := t.take(r)
			to.of.Funnels, to.of.State = to.is, to.state
			to.of.Twins += r.twins
			runs[r.Program] = true
		}
	}
	if len(runs) != len(t.places) {
		t.forget(runs)
	}
}

func (t *tally) take(r *running) *place {
	counted, late := r.counters.Take(t.buf)
	t.buf = counted
	to := t.place(r.Program)
	to.of.Late += late
	for i := range counted {
		to.rules[i].Add(counted[i])
	}
	return to
}

func (t *tally) place(p *rules.Program) *place {
	if to := t.places[p]; to != nil {
		return to
	}
	if t.places == nil {
		t.interactions, t.rules, t.places = map[string]*InteractionMetrics{}, map[ruleKey]*rules.Funnel{}, map[*rules.Program]*place{}
	}
	of := t.interactions[p.ID()]
	if of == nil {
		of = &InteractionMetrics{}
		t.interactions[p.ID()] = of
	}
	to := &place{of: of, is: Funnels{Revision: p.Hash(), Names: p.Rules()}, state: RulesOK}
	if !p.Enabled() {
		to.state = RulesDisabled
	}
	for _, name := range to.is.Names {
		key := ruleKey{p.ID(), name}
		if t.rules[key] == nil {
			t.rules[key] = &rules.Funnel{}
		}
		to.rules = append(to.rules, t.rules[key])
	}
	t.places[p] = to
	return to
}

// forget drops all that is not of programs that run.
func (t *tally) forget(runs map[*rules.Program]bool) {
	ids, keys := map[string]bool{}, map[ruleKey]bool{}
	for p, to := range t.places {
		if !runs[p] {
			delete(t.places, p)
			continue
		}
		ids[p.ID()] = true
		for _, name := range to.is.Names {
			keys[ruleKey{p.ID(), name}] = true
		}
	}
	maps.DeleteFunc(t.interactions, func(id string, _ *InteractionMetrics) bool { return !ids[id] })
	maps.DeleteFunc(t.rules, func(key ruleKey, _ *rules.Funnel) bool { return !keys[key] })
}

func (t *tally) read() map[string]InteractionMetrics {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]InteractionMetrics, len(t.interactions))
	for id, of := range t.interactions {
		in := *of
		in.Rules = make([]rules.Funnel, len(in.Names))
		for i, name := range in.Names {
			in.Rules[i] = *t.rules[ruleKey{id, name}]
		}
		out[id] = in
	}
	return out
}

// funnels are the counts as Stats gives them.
func (t *tally) funnels() map[string]Funnels {
	out := map[string]Funnels{}
	for id, in := range t.read() {
		out[id] = in.Funnels
	}
	return out
}

// Metrics gives what the worker counts; the counts of rules are at most a second
// old. The bus is asked what waits for the sinks, until ctx ends.
func (e *Engine) Metrics(ctx context.Context) Metrics {
	m := &e.stats.meter
	out := Metrics{
		Samples: m.stored.read(), Judged: e.stats.samples.Load(), Lag: time.Duration(m.lag.Load()), Outcomes: map[rules.Kind]uint64{},
		Eval: m.eval.read(), Interactions: m.rules.read(), DeadLetters: m.letters.read(knownLetters()...), AlertEvents: m.events.read(knownEvents()...),
		Deliveries: map[string]Histogram{}, Partitions: e.Partitions(), Pool: e.Pool(), Followers: e.hub.counts(), Post: e.PostCounts(),
	}
	for i, kind := range kinds {
		out.Outcomes[kind] = m.outcomes[i].Load()
	}
	for _, s := range e.config.Sources {
		out.Samples[s.Name] += 0
		if c, fails, runs := e.health.one(sourceComponent(s.Name)); runs {
			out.Sources = append(out.Sources, SourceMetrics{s.Name, c.OK, fails})
		}
	}
	if out.Pool.Desk {
		out.OpenAlerts = e.board.statuses()
	}
	e.mu.RLock()
	out.Twins = e.twins.Len()
	for id := range e.failed {
		if in, ok := out.Interactions[id]; ok && in.State == RulesOK {
			in.State = RulesDegraded
			out.Interactions[id] = in
		}
	}
	e.mu.RUnlock()
	out.RulesHash = hashOf(out.Interactions)
	out.tellOf(e.toldOf())
	m.mu.Lock()
	out.Reload = m.reload
	sinks := slices.Clone(m.sinks)
	m.mu.Unlock()
	out.Undone = e.undone(ctx)
	waits := e.waiting(ctx)
	for _, s := range sinks {
		queue, ok := waits[s.name]
		if !ok {
			queue = -1
		}
		out.Sinks = append(out.Sinks, SinkMetrics{s.name, s.kind, s.arrived.Load(), s.retried.Load(), s.givenUp.Load(), s.filtered.Load(), queue})
		out.Deliveries[s.kind] = out.Deliveries[s.kind].with(s.took.read())
	}
	return out
}

// tellOf adds what became of the rules' outcomes. A worker that delivers does not
// have to judge.
func (m *Metrics) tellOf(told map[ruleKey]Told) {
	for key := range told {
		if _, judges := m.Interactions[key.interaction]; !judges {
			m.Interactions[key.interaction] = InteractionMetrics{State: RulesOK}
		}
	}
	for id, in := range m.Interactions {
		in.Told = make([]Told, len(in.Names))
		for i, name := range in.Names {
			in.Told[i] = told[ruleKey{id, name}]
		}
		m.Interactions[id] = in
	}
	for _, key := range slices.SortedFunc(maps.Keys(told), compareKeys) {
		in := m.Interactions[key.interaction]
		if !slices.Contains(in.Names, key.rule) {
			in.Names, in.Rules, in.Told = append(slices.Clip(in.Names), key.rule), append(in.Rules, rules.Funnel{}), append(in.Told, told[key])
			m.Interactions[key.interaction] = in
		}
	}
}

func compareKeys(a, b ruleKey) int {
	return cmp.Or(strings.Compare(a.interaction, b.interaction), strings.Compare(a.rule, b.rule))
}

// toldOf is what became of the outcomes of the rules that are wanted.
func (e *Engine) toldOf() map[ruleKey]Told {
	wanted := e.wanted()
	return e.stats.told.read(func(id string) bool { return wanted[id] != nil })
}

// with adds the observations of another histogram with the same bounds.
func (h Histogram) with(g Histogram) Histogram {
	for i, n := range h.Counts {
		g.Counts[i] += n
	}
	g.Sum += h.Sum
	return g
}

// waiting is how many outcomes wait for each sink to which this worker delivers;
// -1 where the bus does not say.
func (e *Engine) waiting(ctx context.Context) map[string]int {
	out := map[string]int{}
	all := e.stats.deliveries.Load()
	if all == nil {
		return out
	}
	for _, d := range *all {
		if !d.running.Load() {
			continue // another worker does, and tells
		}
		n, err := d.waiting.Waiting(ctx)
		if err != nil || out[d.sink.Name] < 0 {
			out[d.sink.Name] = -1
			continue
		}
		out[d.sink.Name] += n
	}
	return out
}

// undone is how much of what rules decide waits to be carried out, by its kind. The
// worker at the desk tells.
func (e *Engine) undone(ctx context.Context) map[rules.Kind]int {
	out := map[rules.Kind]int{}
	if e.atDesk() == nil {
		return out
	}
	for kind, d := range map[rules.Kind]*bus.Deliveries{rules.Sticker: e.decisions, rules.Notification: e.notices} {
		if n, err := d.Waiting(ctx); err == nil {
			out[kind] = n
		}
	}
	return out
}

func hashOf(interactions map[string]InteractionMetrics) uint64 {
	if len(interactions) == 0 {
		return 0
	}
	h := fnv.New64a()
	for _, id := range slices.Sorted(maps.Keys(interactions)) {
		h.Write([]byte(id + "\x00" + interactions[id].Revision + "\x00"))
	}
	return h.Sum64() >> 16 // a metric is a 64-bit float, which holds 53 bits
}

// Partitions are those that the worker holds. A worker that reads all of them by
// one consumer knows only how many messages wait for all; it shows each an equal
// part.
func (e *Engine) Partitions() []PartitionStatus {
	m, n := &e.stats.meter, e.bus.Partitions()
	to := m.judgedTo.Load()
	rest := max(m.pending.Load(), max(m.feedLast.Load(), to)-to)
	whole := m.whole.Load()
	out := []PartitionStatus{}
	for _, s := range e.taken() {
		lag := s.pending.Load()
		if whole {
			lag = share(rest, s.number, n)
		}
		out = append(out, PartitionStatus{s.number, s.judged.Load(), lag, time.Since(time.Unix(0, s.savedAt.Load())), s.caughtUp()})
	}
	return out
}

// lag is how many messages wait, of the partitions that are held here.
func (e *Engine) lag() (n uint64) {
	for _, p := range e.Partitions() {
		n += p.Lag
	}
	return n
}

// share is the i-th of n parts that are as equal as whole numbers can be.
func share(whole uint64, i, n int) uint64 {
	part := whole / uint64(n)
	if uint64(i) < whole%uint64(n) {
		part++
	}
	return part
}

// Pool is the pool as this worker sees it.
func (e *Engine) Pool() PoolStatus {
	e.pool.Tell(e.lag())
	return PoolStatus{
		Workers: e.pool.Workers(), Partitions: len(e.taken()), LeaseChanges: e.pool.Changes(), Lag: e.pool.Lag(), Desk: e.atDesk() != nil,
	}
}

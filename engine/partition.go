package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// MaxHops is how many interactions may make a sample one after the other. Where
// one more would follow there is a loop, and the sample becomes a dead letter.
const MaxHops = 8

// The reasons of dead letters that are found where samples are judged; those of
// unreadable data are rules.DataError's.
const (
	reasonUnknownTwin    = "unknown twin"
	reasonUnknownFeed    = "unknown feed"
	reasonTooLarge       = "too large"
	reasonLoop           = "loop: made by 8 interactions, and one more follows"
	reasonFuture         = "in the future"
	reasonOtherPartition = "in a batch of another partition"
)

// partition is the unit of judging: the twins whose samples come in one order,
// the rulebook as of that place in the order, and what the rules remember. It
// is a pure state machine over the messages of its partition; whoever feeds it
// the same messages gets the same outcomes. See docs/adr/0001.
type partition struct {
	compiler  *compiler
	programs  []*running // by id
	retired   []*running // were replaced or deleted, and what they have counted has not been collected
	twins     map[string]*member
	unknown   Unknown
	readers   map[string]*rules.Reader // by feed; made when a sample comes
	maxBytes  int                      // of a sample
	seq       uint64                   // the snapshot's it was loaded from: it has all messages up to it
	timers    timers
	bySamples bool      // the last tick's time is that of the newest sample
	now       time.Time // of the last tick
	resumed   time.Time // since when the wall's clock has run without a break; zero: always has
	groups    map[groupKey]*binding
	linked    map[linkKey][]*binding // whom a join brings samples of other twins
	peers     *peers
	fresh     []freshRules           // that wait to be primed
	models    map[string]*twins.Twin // that other partitions' twins were made from
	links     bool                   // a rule looks at several twins
	shadow    bool                   // another worker judges it: here it only tells what its twins are

	offline  bool                                   // outcomes name the source twin, and nothing is kept for later
	everyone bool                                   // every twin matches every source, described or not
	created  func(string)                           // told of a twin that the policy has created
	decode   func(body []byte) (*twins.Twin, error) // gives twins that nobody changes
}

// running is a program and what is counted of it here.
type running struct {
	*rules.Program
	counters *rules.Counters
	twins    int // that match
}

// member is a twin of the partition.
type member struct {
	twin     *twins.Twin
	maker    string // the interaction whose output twin it is, or ""
	bindings []*binding
	feeds    []*memberFeed // few, and twins are many: a map of its own would be a third of what a twin takes
	links    []linkKey     // its places in partition.linked
	groups   []membership  // that it is of
}

// memberFeed is a feed of a member: its last sample, and who reads it.
type memberFeed struct {
	id       string // one text for all twins
	last     lastSample
	late     *lastSample // the last one that came, where it is older than that; else nil
	bindings []*binding
}

// feed is the feed of that id, nil when the twin has none.
func (m *member) feed(id string) *memberFeed {
	for _, f := range m.feeds {
		if f.id == id {
			return f
		}
	}
	return nil
}

// lastSample is kept for the programs that a twin comes to match later.
type lastSample struct {
	at   time.Time
	seq  uint64
	hops uint8
	data []byte
}

// newest is the sample that came last.
func (f *memberFeed) newest() *lastSample {
	if f.late != nil {
		return f.late
	}
	return &f.last
}

func (l *lastSample) set(at time.Time, seq uint64, hops uint8, data []byte) {
	l.at, l.seq, l.hops = at, seq, hops
	l.data = append(l.data[:0], data...)
}

// lastOutput is the last output of a binding under a feed of its output twin.
type lastOutput struct {
	feed string
	lastSample
}

// binding is a program that a twin matches, with what it remembers of the twin.
type binding struct {
	program *running
	state   *rules.State
	twin    string
	output  string // the output twin's id
	outputs []lastOutput
	wake    int64 // when its alarm rings; NoWake: it has none
	gone    bool  // the twin matches no longer
}

func newPartition(c *compiler, maxBytes int) *partition {
	p := &partition{compiler: c, groups: map[groupKey]*binding{}, linked: map[linkKey][]*binding{}, twins: map[string]*member{}, readers: map[string]*rules.Reader{}, models: map[string]*twins.Twin{}, unknown: Unknown{Policy: DeadLetter}, maxBytes: maxBytes, decode: decodeTwin}
	p.alone()
	return p
}

// judge appends what the rules decide about a sample. The error is a
// *rules.DataError, the reason why the sample is a dead letter.
func (p *partition) judge(s *rules.Sample, out []rules.Outcome) ([]rules.Outcome, error) {
	if len(s.Data) > p.maxBytes {
		return out, &rules.DataError{Reason: reasonTooLarge, Err: fmt.Errorf("%d bytes; want at most %d", len(s.Data), p.maxBytes)}
	}
	m := p.twins[s.Twin]
	if m == nil {
		if m = p.stranger(s); m == nil {
			return out, &rules.DataError{Reason: reasonUnknownTwin, Err: fmt.Errorf("%q", s.Twin)}
		}
	}
	f := m.feed(s.Feed)
	if f == nil {
		if !p.everyone {
			return out, &rules.DataError{Reason: reasonUnknownFeed, Err: fmt.Errorf("%q of twin %q", s.Feed, s.Twin)}
		}
		f = p.newFeed(m, s.Feed)
	}
	s.Twin, s.Feed = m.twin.ID, f.id // one text each, which is found equal at its address; and the message can go
	if err := p.reader(s.Feed).Read(s); err != nil {
		return out, err
	}
	if s.Hops >= MaxHops && len(f.bindings) > 0 {
		return out, &rules.DataError{Reason: reasonLoop}
	}
	if s.Seq <= p.seq && p.seq > 0 {
		return p.relay(m, f.bindings, s, out), nil // only others have not seen it
	}
	if p.shadow {
		return p.relay(m, f.bindings, s, out), nil
	}
	for _, b := range f.bindings {
		out = b.judge(s, out, p.offline)
		p.watch(b)
	}
	out = p.relay(m, f.bindings, s, out)
	if !p.offline {
		f.keep(s)
	}
	return out, nil
}

// keep takes note of a sample that has come.
func (f *memberFeed) keep(s *rules.Sample) {
	if s.At.Before(f.last.at) {
		if f.late == nil {
			f.late = new(lastSample)
		}
		f.late.set(s.At, s.Seq, s.Hops, s.Data)
		return
	}
	f.last.set(s.At, s.Seq, s.Hops, s.Data)
	f.late = nil
}

// reader is the one of a feed, for all programs that take it.
func (p *partition) reader(feed string) *rules.Reader {
	r := p.readers[feed]
	if r == nil {
		var programs []*rules.Program
		for _, program := range p.programs {
			if program.Takes(feed) {
				programs = append(programs, program.Program)
			}
		}
		r = p.compiler.reader(feed, programs)
		p.readers[feed] = r
	}
	return r
}

// unread forgets the readers that know, or do not know, a program.
func (p *partition) unread(program *rules.Program) {
	maps.DeleteFunc(p.readers, func(feed string, _ *rules.Reader) bool { return program.Takes(feed) })
}

func (b *binding) judge(s *rules.Sample, out []rules.Outcome, offline bool) []rules.Outcome {
	before := len(out)
	out = b.program.Eval(s, b.state, out)
	b.address(out[before:], offline)
	return out
}

// address gives outputs the output twin, which keeps the last of them. Offline
// there is none.
func (b *binding) address(out []rules.Outcome, offline bool) {
	if offline {
		return
	}
	for i := range out {
		if o := &out[i]; o.Kind == rules.Output {
			o.Twin = b.output
			if !o.Shadow {
				b.lastOutput(o.Feed).set(o.At, o.Seq, o.Hops, o.Data)
			}
		}
	}
}

// lastOutput is the place of the last output under a feed.
func (b *binding) lastOutput(feed string) *lastSample {
	for i := range b.outputs {
		if b.outputs[i].feed == feed {
			return &b.outputs[i].lastSample
		}
	}
	b.outputs = append(b.outputs, lastOutput{feed: feed})
	return &b.outputs[len(b.outputs)-1].lastSample
}

// forget drops the last outputs under feeds that the program has no longer.
func (b *binding) forget() {
	b.outputs = slices.DeleteFunc(b.outputs, func(l lastOutput) bool {
		return !slices.ContainsFunc(b.program.Feeds(), func(f rules.Feed) bool { return f.ID == l.feed })
	})
}

// stranger is what the policy makes of a twin that nobody has described.
func (p *partition) stranger(s *rules.Sample) *member {
	switch {
	case p.everyone:
		return p.put(&twins.Twin{ID: s.Twin}, event{}, nil)
	case p.unknown.Policy == Create:
		t := twins.FromModel(p.unknown.Model, s.Twin, s.Twin)
		m := p.put(&t, event{}, nil)
		if p.created != nil {
			p.created(s.Twin)
		}
		return m
	}
	return nil
}

// newFeed adds a feed that nobody has described.
func (p *partition) newFeed(m *member, id string) *memberFeed {
	f := &memberFeed{id: unique.Make(id).Value()}
	m.feeds = append(m.feeds, f)
	m.twin.Feeds = append(m.twin.Feeds, rules.Feed{ID: id})
	p.rebind(m, event{}, nil)
	return f
}

// event is the place in the stream from which a control message acts.
type event struct {
	seq uint64
	at  time.Time
}

// apply carries out a control message and appends what it ends or begins. An
// error leaves the partition as it was.
func (p *partition) apply(text []byte, e event, out []rules.Outcome) ([]rules.Outcome, error) {
	var c control
	if err := json.Unmarshal(text, &c); err != nil {
		return out, fmt.Errorf("control message: %w", err)
	}
	before := len(out)
	switch c.Op {
	case opInteractionPut, opInteractionDelete, opInteractions:
		put, gone, err := c.interactions()
		if err != nil {
			return out, err
		}
		programs, err := compileAll(func(_ string, text []byte) (*rules.Program, error) { return p.compiler.compile(text) }, put)
		if err != nil {
			return out, err
		}
		for _, program := range programs {
			p.putProgram(program, e, &out)
		}
		for _, id := range gone {
			p.deleteProgram(id, e, &out)
		}
	case opTwinPut:
		t, err := p.decode(c.Twin)
		if err != nil {
			return out, err
		}
		p.put(t, e, &out)
	case opTwinDelete:
		p.deleteTwin(c.ID, e, &out)
	case opUnknown:
		u, err := c.unknown()
		if err != nil {
			return out, err
		}
		p.unknown = u
	case opModelPut:
		t, err := p.decode(c.Twin)
		if err != nil {
			return out, err
		}
		p.putModel(t)
	case opModelDelete:
		delete(p.models, c.ID)
		p.informAll()
	case opAlertAct:
		if c.Act == nil {
			return out, errors.New("control message: alert.act without act")
		}
		out = p.act(c.Act, e, out)
	default:
		return out, fmt.Errorf("control message: unknown op %q", c.Op)
	}
	for i := before; i < len(out); i++ {
		if out[i].Seq == 0 { // an ending has no sample as its cause
			out[i].Seq = e.seq
		}
	}
	return out, nil
}

// act carries out what a person does to an alert. Where it is not, nothing happens.
func (p *partition) act(a *action, e event, out []rules.Outcome) []rules.Outcome {
	do, at := a.action(), e.at
	if p.bySamples && !p.now.IsZero() { // the clock of the rules is not that of people
		do.Until, at = do.Until.Add(p.now.Sub(at)), p.now
	}
	var bindings []*binding
	if m := p.twins[a.Twin]; m != nil {
		bindings = append(bindings, m.bindings...)
	}
	if b := p.groups[groupKey{a.Interaction, a.Twin}]; b != nil {
		bindings = append(bindings, b)
	}
	for _, b := range bindings {
		if b.program.ID() == a.Interaction {
			out = b.program.Act(do, at, a.Twin, b.state, out)
			p.watch(b)
		}
	}
	return out
}

// putModel takes note of a model that lies in another partition.
func (p *partition) putModel(t *twins.Twin) {
	p.models[t.ID] = t
	p.informAll()
}

func (p *partition) informAll() {
	for _, m := range p.twins {
		p.inform(m)
	}
}

// inform tells the rules what they read of a twin beside its samples.
func (p *partition) inform(m *member) {
	var facts *rules.Facts
	for _, b := range m.bindings {
		if !b.program.WantsFacts() {
			continue
		}
		if facts == nil {
			facts = &rules.Facts{Twin: m.twin.Properties}
			if model := p.model(twins.Model(m.twin)); model != nil {
				facts.Model = model.Properties
			}
		}
		b.state.Inform(facts)
	}
}

func (p *partition) model(id string) *twins.Twin {
	if m := p.twins[id]; m != nil {
		return m.twin
	}
	return p.models[id]
}

// ids gives the twins in an order that hangs on nothing but their names, so
// that the outcomes of one control message have the same order again.
func (p *partition) ids() []string { return slices.Sorted(maps.Keys(p.twins)) }

func (p *partition) find(id string) (int, bool) {
	return slices.BinarySearchFunc(p.programs, id, func(r *running, id string) int { return strings.Compare(r.ID(), id) })
}

func (p *partition) putProgram(program *rules.Program, e event, out *[]rules.Outcome) {
	next := &running{Program: program, counters: program.NewCounters()}
	if !p.resumed.IsZero() {
		next.counters.Resumed(p.resumed)
	}
	p.initTime(next)
	var replaced *running
	i, found := p.find(program.ID())
	if found {
		if p.programs[i].Hash() == program.Hash() {
			return
		}
		replaced = p.programs[i]
		p.retired = append(p.retired, replaced)
		p.unread(replaced.Program)
		p.programs[i] = next
		p.regroup(replaced, next, e, out)
	} else {
		p.programs = slices.Insert(p.programs, i, next)
	}
	p.links = p.linksAny()
	p.unread(program)
	for _, id := range p.ids() {
		p.rebind(p.twins[id], e, out)
	}
	var was *rules.Program
	if replaced != nil {
		was = replaced.Program
	}
	if names := program.Fresh(was); len(names) > 0 && e.seq > 0 && program.Enabled() {
		p.fresh = append(p.fresh, freshRules{next, names})
	}
}

func (p *partition) deleteProgram(id string, e event, out *[]rules.Outcome) {
	i, found := p.find(id)
	if !found {
		return
	}
	old := p.programs[i]
	p.retired = append(p.retired, old)
	p.unread(old.Program)
	p.programs = slices.Delete(p.programs, i, i+1)
	p.links = p.linksAny()
	p.regroup(old, nil, e, out)
	for _, id := range p.ids() {
		p.rebind(p.twins[id], e, out)
	}
}

func (p *partition) put(t *twins.Twin, e event, out *[]rules.Outcome) *member {
	m := p.twins[t.ID]
	if m == nil {
		m = &member{}
		p.twins[t.ID] = m
	}
	m.twin, m.maker = t, twins.Maker(t)
	was := member{feeds: m.feeds}
	m.feeds = make([]*memberFeed, 0, len(t.Feeds))
	for _, f := range t.Feeds {
		if m.feed(f.ID) != nil {
			continue
		}
		feed := was.feed(f.ID)
		if feed == nil {
			feed = &memberFeed{id: unique.Make(f.ID).Value()}
		}
		m.feeds = append(m.feeds, feed)
	}
	p.rebind(m, e, out)
	return m
}

func (p *partition) deleteTwin(id string, e event, out *[]rules.Outcome) {
	m := p.twins[id]
	if m == nil {
		return
	}
	for _, b := range m.bindings {
		*out = b.program.Close(e.at, id, b.state, rules.ReasonTwinRemoved, *out)
		b.program.twins--
		b.gone = true
	}
	m.bindings = nil
	p.connect(m, e, out)
	delete(p.twins, id)
}

// rebind finds the programs that a twin matches now. What it matched before
// goes on where it was; what it matches no longer ends its alerts; to what it
// matches newly its last samples are shown once (out = nil: not at all).
func (p *partition) rebind(m *member, e event, out *[]rules.Outcome) {
	if out == nil {
		out = new([]rules.Outcome)
	}
	var next, fresh []*binding
	for _, program := range p.programs {
		set := p.match(program.Program, m)
		i := slices.IndexFunc(m.bindings, func(b *binding) bool { return b.program.ID() == program.ID() })
		switch {
		case i < 0 && set != 0:
			b := &binding{
				program: program, state: program.NewState(set, program.counters), twin: m.twin.ID, output: twins.OutputID(program.ID(), m.twin.ID), wake: rules.NoWake,
			}
			program.twins++
			if !e.at.IsZero() {
				b.state.Found(e.at)
			}
			next, fresh = append(next, b), append(fresh, b)
		case i >= 0 && set != 0 && m.bindings[i].program == program:
			*out = program.Bind(set, e.at, m.twin.ID, m.bindings[i].state, *out)
			next = append(next, m.bindings[i])
		case i >= 0 && set != 0:
			b := m.bindings[i]
			b.state, *out = program.Adopt(b.program.Program, b.state, set, program.counters, e.at, m.twin.ID, *out)
			b.program = program
			b.forget()
			program.twins++
			next = append(next, b)
		}
	}
	for _, b := range m.bindings {
		if !slices.Contains(next, b) {
			b.program.twins--
			*out = b.program.Close(e.at, m.twin.ID, b.state, p.parting(b), *out)
			b.gone = true
		}
	}
	m.bindings = next
	m.index()
	p.inform(m)
	p.connect(m, e, out)
	p.showLast(m, fresh, e, out)
	for _, b := range m.bindings {
		p.watch(b)
	}
}

func (p *partition) parting(b *binding) string {
	if _, found := p.find(b.program.ID()); found {
		return rules.ReasonTwinRemoved
	}
	return rules.ReasonRuleDeleted
}

// match says which of a program's sources take the twin. An output twin is
// never a source of its own interaction.
func (p *partition) match(program *rules.Program, m *member) (set rules.SourceSet) {
	if m.maker == program.ID() {
		return 0
	}
	for i, s := range program.Sources() {
		if p.everyone || twins.Match(&s.Filter, m.twin) {
			set |= 1 << i
		}
	}
	return set
}

// index notes for each feed which bindings read it.
func (m *member) index() {
	for _, f := range m.feeds {
		f.bindings = f.bindings[:0]
		for _, b := range m.bindings {
			if b.program.Takes(f.id) {
				f.bindings = append(f.bindings, b)
			}
		}
	}
}

// showLast judges a twin's last samples for the programs that it has just come
// to match: a thing that shares once a day need not wait for tomorrow.
func (p *partition) showLast(m *member, fresh []*binding, e event, out *[]rules.Outcome) {
	if len(fresh) == 0 {
		return
	}
	feeds := slices.SortedFunc(slices.Values(m.feeds), func(a, b *memberFeed) int { return strings.Compare(a.id, b.id) })
	for _, f := range feeds {
		id, l := f.id, &f.last
		if l.seq == 0 {
			continue
		}
		s := rules.Sample{Twin: m.twin.ID, Feed: id, At: l.at, Seq: l.seq, Hops: l.hops, Data: l.data, Again: e.seq}
		if p.reader(id).Read(&s) != nil {
			continue // it was readable when it came
		}
		for _, b := range fresh {
			if b.program.Takes(id) {
				*out = b.judge(&s, *out, p.offline)
			}
		}
	}
}

// compiler keeps the programs of the documents that it has compiled, and the
// readers that it has made, because every partition gets the same document. It
// is safe for concurrent use; its readers belong to one goroutine.
type compiler struct {
	mu      sync.Mutex
	known   map[string]*rules.Program
	readers map[string][]feedReader // by feed, the newest last
}

type feedReader struct {
	programs []*rules.Program
	*rules.Reader
}

// maxReaders is how many readers of a feed are kept: partitions follow each
// other through the changes of the rules.
const maxReaders = 4

func newCompiler() *compiler {
	return &compiler{known: map[string]*rules.Program{}, readers: map[string][]feedReader{}}
}

func (c *compiler) reader(feed string, programs []*rules.Program) *rules.Reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := c.readers[feed]
	for _, r := range made {
		if slices.Equal(r.programs, programs) {
			return r.Reader
		}
	}
	if len(made) == maxReaders {
		made = slices.Delete(made, 0, 1)
	}
	r := rules.NewReader(feed, programs...)
	c.readers[feed] = append(made, feedReader{programs, r})
	return r
}

func (c *compiler) compile(text []byte) (*rules.Program, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.known[string(text)]; p != nil {
		return p, nil
	}
	p, err := rules.Load("interaction", text)
	if err != nil {
		return nil, err
	}
	if len(c.known) > 10_000 {
		clear(c.known)
	}
	c.known[string(text)] = p
	return p, nil
}

func dataReason(err error) string {
	if e, ok := errors.AsType[*rules.DataError](err); ok {
		return e.Error()
	}
	return err.Error()
}

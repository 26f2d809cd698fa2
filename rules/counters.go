package rules

import (
	"slices"

	"tocsin.internal/rules/schedule"
	"tocsin.internal/rules/series"
)

// Funnel counts what became of the samples of a rule's feed, of the twins that
// its interaction takes. Each one that matches is either judged (Unknown, Errors,
// True or False), taken in by a window or held back because nothing has changed
// (Skipped), or, by a rule that keeps a state, dropped as late; a rule without a
// state judges late ones too. A window that closes is judged as well.
type Funnel struct {
	Received uint64 `json:"received"`
	Matched  uint64 `json:"matched"` // of them: the rule's own source takes the twin, and the sample has one of its fieldIds
	Late     uint64 `json:"late"`    // not newer than the newest sample of their feed, less allowedLateness
	Skipped  uint64 `json:"skipped"` // taken in by a window, not changed, or outside the schedule
	Unknown  uint64 `json:"unknown"` // an input was missing, null or not finite
	Errors   uint64 `json:"errors"`  // an expression failed: a division by zero, a throw
	True     uint64 `json:"true"`
	False    uint64 `json:"false"`
	Held     uint64 `json:"held"` // true, but not for long enough yet: "for"
	Raised   uint64 `json:"raised"`
	Resolved uint64 `json:"resolved"`
	Quiet    uint64 `json:"quiet"`   // outcomes that were throttled or suppressed, and what was true outside the schedule
	Lost     uint64 `json:"lost"`    // values of windows and rates, and begun sequences, for which there was no room
	NotMade  uint64 `json:"notMade"` // stickers and notifications whose texts did not fit: they were not made
}

// Counters are the funnels of a program's rules. One worker owns them.
type Counters struct {
	rules   []Funnel          // in the order of Program.Rules
	seen    []uint64          // samples, by plan.slot
	slots   []int             // of each rule: that of its feed; -1: it counts for itself what it receives
	late    uint64            // samples that some rule found late
	tallies []*manyTally      // by plan.slot, where there are many alerts
	readers []*Reader         // by plan.slot, for samples that come without one
	private []*view           // by stateful.slot, of rules with a document of their own
	gates   []schedule.Cursor // by stateful.slot
	resumed int64             // since when the clock runs without a break; noTime: always has

	scratch series.Scratch // of windows
	told    []telling      // by a window
	tell    series.Emit
	memory  memory // scratch: of a rule that has remembered nothing so far
	values  []float64
	doc     []byte
	raw     []byte
	now     int64 // of the last tick; noTime: the clock is that of the samples

	explains func(r *stateful, doc []byte) // told of the rules' own documents; nil but where somebody asks why
}

// NewCounters are counters at zero.
func (p *Program) NewCounters() *Counters {
	c := &Counters{
		rules: make([]Funnel, len(p.rules)), tallies: make([]*manyTally, len(p.feeds)), readers: make([]*Reader, len(p.feeds)),
		private: make([]*view, len(p.stateful)), resumed: noTime, now: noTime, gates: make([]schedule.Cursor, len(p.stateful)),
		seen: make([]uint64, len(p.feeds)), slots: make([]int, len(p.rules)),
	}
	for i, r := range p.rules {
		c.slots[i] = r.feedSlot
		if r.stateful != nil && r.stateful.group != nil {
			c.slots[i] = -1
		}
	}
	c.tell = c.note
	return c
}

// Funnels are the counts of each rule, in the order of Program.Rules.
func (c *Counters) Funnels() []Funnel {
	c.settle()
	return slices.Clone(c.rules)
}

// settle brings to the rules what is counted for several at once.
func (c *Counters) settle() {
	for _, t := range c.tallies {
		t.settle(c)
	}
	for i, slot := range c.slots {
		if slot >= 0 {
			c.rules[i].Received += c.seen[slot]
		}
	}
	clear(c.seen)
}

// Take gives the counts since the last Take, and starts again at zero: those of
// each rule, in the order of Program.Rules and in buf's memory, and how many
// samples some rule has found late, each counted once.
func (c *Counters) Take(buf []Funnel) (counts []Funnel, late uint64) {
	c.settle()
	buf, late = append(buf[:0], c.rules...), c.late
	clear(c.rules)
	c.late = 0
	return buf, late
}

// reader is the program's own reader of a feed.
func (c *Counters) reader(p *Program, pl *plan, feed string) *Reader {
	r := c.readers[pl.slot]
	if r == nil {
		r = NewReader(feed, p)
		c.readers[pl.slot] = r
	}
	return r
}

// Add adds what another worker has counted of the same rule.
func (f *Funnel) Add(g Funnel) {
	f.Received += g.Received
	f.Matched += g.Matched
	f.Late += g.Late
	f.Skipped += g.Skipped
	f.Unknown += g.Unknown
	f.Errors += g.Errors
	f.True += g.True
	f.False += g.False
	f.Held += g.Held
	f.Raised += g.Raised
	f.Resolved += g.Resolved
	f.Quiet += g.Quiet
	f.Lost += g.Lost
	f.NotMade += g.NotMade
}

package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/sequence"
	"tocsin.internal/rules/series"
)

// snapshotVersion changes with every change of the form that Append writes, but
// not with a member that only a rule of a newer form has: who reads it knows
// that rule. Version 1 knew simple alerts only; it is still read.
const snapshotVersion = 2

// Append appends the state as one line of JSON, for LoadState of the same program.
func (st *State) Append(b []byte) []byte {
	p := st.program
	b = strconv.AppendInt(append(b, `{"version":`...), snapshotVersion, 10)
	b = strconv.AppendUint(append(b, `,"bound":`...), uint64(st.bound), 10)
	if st.found != noTime {
		b = strconv.AppendInt(append(b, `,"found":`...), st.found, 10)
	}
	if st.group {
		b = append(b, `,"group":true`...)
	}
	b = append(b, `,"feeds":{`...)
	n := 0
	for i, f := range st.feeds {
		if f.newest != noTime || f.seen > 0 {
			b = append(AppendText(appendComma(b, n), p.feeds[i]), ":["...)
			b = strconv.AppendInt(b, f.newest, 10)
			b = append(strconv.AppendUint(append(b, ','), uint64(f.seen), 10), ']')
			n++
		}
	}
	b = append(b, '}')
	if len(st.episodes) > 0 {
		b = append(b, `,"episodes":{`...)
		for n, i := range st.open() {
			b = append(AppendText(appendComma(b, n), p.alerts[i].name), ':')
			b = append(b, p.alerts[i].encode(st.episodes[i])...)
		}
		b = append(b, '}')
	}
	if len(st.memories) > 0 {
		b = append(b, `,"memories":{`...)
		for n, m := range st.memories {
			r := p.stateful[m.slot]
			b = append(AppendText(appendComma(b, n), r.name), ':')
			b = append(b, r.encode(m)...)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// episodeJSON is how an episode is written. Times are Unix nanoseconds.
type episodeJSON struct {
	Rule        string       `json:"rule"` // its hash
	ID          string       `json:"id"`
	Number      uint32       `json:"n"`
	Active      bool         `json:"active"`
	Told        bool         `json:"told"`
	Flapping    bool         `json:"flapping,omitempty"`
	Level       uint8        `json:"level,omitempty"`
	Starts      int64        `json:"starts"`
	Ends        *int64       `json:"ends,omitempty"`
	Pending     *int64       `json:"pending,omitempty"`
	Since       int64        `json:"since"`
	LevelAt     *int64       `json:"levelAt,omitempty"`
	ToldAt      *int64       `json:"toldAt,omitempty"`
	ToldRank    uint8        `json:"toldRank,omitempty"`
	Seen        uint32       `json:"seen"`
	Raises      uint32       `json:"raises"`
	Repeats     uint32       `json:"repeats,omitempty"`
	Unheard     uint32       `json:"unheard,omitempty"`
	Summary     string       `json:"summary"`
	Description string       `json:"description,omitempty"`
	Data        rawJSON      `json:"data,omitempty"`
	Ack         Ack          `json:"ack,omitzero"`
	Shelf       *Suppression `json:"shelf,omitempty"`
	Inhibitors  []string     `json:"inhibitors,omitempty"`
	ClosedHours bool         `json:"closedHours,omitempty"`
	HoursAt     int64        `json:"hoursAt,omitempty"`
	Put         []putSticker `json:"put,omitempty"`
	Fills       rawJSON      `json:"fills,omitempty"`
}

func optional(t int64) *int64 {
	if t == noTime {
		return nil
	}
	return &t
}

func orNoTime(t *int64) int64 {
	if t == nil {
		return noTime
	}
	return *t
}

// encoded is a value of this package's own as JSON, which cannot fail.
func encoded(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // values have to come back as they were
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (a *alertRule) encode(e *episode) []byte {
	return encoded(&episodeJSON{
		a.hash, e.id, e.number, e.active, e.told, e.flapping, e.level, e.starts, optional(e.ends), optional(e.pending), e.since, optional(e.levelAt), optional(e.toldAt), e.toldRank,
		e.seen, e.raises, e.repeats, e.unheard, e.summary, e.description, e.data, e.ack, e.shelf, e.inhibitors, e.closedHours, e.hoursAt, e.put, e.fills,
	})
}

func (w *episodeJSON) episode() *episode {
	return &episode{
		w.ID, w.Number, w.Active, w.Told, w.Flapping, w.Level, w.Starts, orNoTime(w.Ends), orNoTime(w.Pending), w.Since, orNoTime(w.LevelAt), orNoTime(w.ToldAt), w.ToldRank,
		w.Seen, w.Raises, w.Repeats, w.Unheard, w.Summary, w.Description, w.Data, w.Ack, w.Shelf, w.Inhibitors, w.ClosedHours, w.HoursAt, w.Put, w.Fills, false,
	}
}

// memoryJSON is how a memory is written. Times are Unix nanoseconds.
type memoryJSON struct {
	Rule    string     `json:"rule"` // its hash
	Phase   phase      `json:"phase,omitempty"`
	Truth   bool       `json:"true,omitempty"`
	Parked  bool       `json:"parked,omitempty"`
	Level   uint8      `json:"level,omitempty"`
	Since   int64      `json:"since,omitempty"`
	TrueAt  int64      `json:"trueAt,omitempty"`
	KnownAt int64      `json:"knownAt,omitempty"`
	Context rawJSON    `json:"context,omitempty"`
	Parts   *partsJSON `json:"parts,omitempty"`
}

// partsJSON is how the parts of a memory are written.
type partsJSON struct {
	Told      []int64           `json:"told,omitempty"`
	History   history           `json:"history,omitzero"`
	Flaps     bool              `json:"flaps,omitempty"`
	FlapTold  bool              `json:"flapTold,omitempty"`
	Unheard   uint32            `json:"unheard,omitempty"`
	Sent      int8              `json:"sent,omitempty"`
	Known     []knownJSON       `json:"known,omitempty"`
	Was       []rawJSON         `json:"was,omitempty"`
	Rates     []json.RawMessage `json:"rates,omitempty"`
	Rated     []jsonFloat       `json:"rated,omitempty"`
	Window    json.RawMessage   `json:"window,omitempty"`
	Repeat    json.RawMessage   `json:"repeat,omitempty"`
	Unchanged json.RawMessage   `json:"unchanged,omitempty"`
	Fence     fenceState        `json:"fence,omitzero"`
	Sequence  *sequence.State   `json:"sequence,omitempty"`
	Base      rawJSON           `json:"base,omitempty"`
	Joined    []joined          `json:"joined,omitempty"`
	Members   []*memberState    `json:"members,omitempty"`
	Newest    int64             `json:"newest,omitempty"`
}

type knownJSON struct {
	Name  string  `json:"name"`
	At    int64   `json:"at"`
	Value rawJSON `json:"value,omitempty"`
}

func (r *stateful) encode(m *memory) []byte {
	return encoded(&memoryJSON{r.hash, m.phase, m.truth == logic.True, m.parked, m.level, m.since, m.trueAt, m.knownAt, m.context, r.encodeParts(m.parts)})
}

func (r *stateful) encodeParts(p *parts) *partsJSON {
	if p == nil {
		return nil
	}
	w := &partsJSON{
		Told: p.told.times, History: p.history, Flaps: p.flaps, FlapTold: p.flapTold, Unheard: p.unheard, Sent: p.sent, Was: p.was, Fence: p.fence, Sequence: p.sequence, Rated: p.rated, Base: p.base, Joined: p.joined, Members: p.members, Newest: p.newest,
	}
	for _, k := range p.known {
		w.Known = append(w.Known, knownJSON{k.name, k.at, k.value})
	}
	for i := range p.rates {
		w.Rates = append(w.Rates, r.rates[i].spec.Append(&p.rates[i], nil))
	}
	if r.window != nil && p.window != nil {
		w.Window = r.window.spec.Append(p.window, nil)
	}
	if r.repeat != nil {
		w.Repeat = r.repeat.spec.Append(&p.repeat, nil)
	}
	if r.unchanged != nil {
		w.Unchanged = r.unchanged.spec.Append(&p.unchanged, nil)
	}
	return w
}

func (r *stateful) decode(w *memoryJSON) (*memory, error) {
	m := &memory{slot: int32(r.slot), phase: w.Phase, parked: w.Parked, level: w.Level, since: w.Since, trueAt: w.TrueAt, knownAt: w.KnownAt, context: w.Context}
	if w.Truth {
		m.truth = logic.True
	}
	if w.Phase > clearing || r.alert != nil && int(w.Level) > len(r.alert.levels) {
		return nil, fmt.Errorf("phase %d, level %d", w.Phase, w.Level)
	}
	var err error
	m.parts, err = r.decodeParts(w.Parts)
	return m, err
}

func (r *stateful) decodeParts(w *partsJSON) (*parts, error) {
	if w == nil {
		return nil, nil
	}
	p := &parts{
		told: told{w.Told}, history: w.History, flaps: w.Flaps, flapTold: w.FlapTold, unheard: w.Unheard, sent: w.Sent, was: w.Was, fence: w.Fence, sequence: w.Sequence, rated: w.Rated, base: w.Base, joined: w.Joined, members: w.Members, newest: w.Newest,
	}
	for _, k := range w.Known {
		p.known = append(p.known, known{k.Name, k.At, k.Value})
	}
	lengths := []struct{ got, want int }{{len(w.Rates), len(r.rates)}, {len(w.Rated), len(r.rates)}, {len(w.Joined), len(r.joins)}}
	if r.onChange != nil {
		lengths = append(lengths, struct{ got, want int }{len(w.Was), len(r.onChange.fields)})
	}
	for _, n := range lengths {
		if n.got != 0 && n.got != n.want {
			return nil, fmt.Errorf("%d values; want %d", n.got, n.want)
		}
	}
	if r.sequence != nil && p.sequence != nil {
		if err := r.sequence.machine.Check(p.sequence); err != nil {
			return nil, fmt.Errorf("sequence: %w", err)
		}
	}
	if len(w.Rates) > 0 {
		p.rates = make([]series.RateState, len(r.rates))
	}
	for i, text := range w.Rates {
		if err := r.rates[i].spec.Load(&p.rates[i], text); err != nil {
			return nil, fmt.Errorf("rate: %w", err)
		}
	}
	if r.window != nil && w.Window != nil {
		p.window = &series.WindowState{}
		if err := r.window.spec.Load(p.window, w.Window); err != nil {
			return nil, fmt.Errorf("window: %w", err)
		}
	}
	if r.repeat != nil && w.Repeat != nil {
		if err := r.repeat.spec.Load(&p.repeat, w.Repeat); err != nil {
			return nil, fmt.Errorf("repeat: %w", err)
		}
	}
	if r.unchanged != nil && w.Unchanged != nil {
		if err := r.unchanged.spec.Load(&p.unchanged, w.Unchanged); err != nil {
			return nil, fmt.Errorf("unchanged: %w", err)
		}
	}
	return p, nil
}

// stateJSON is how a state is read.
type stateJSON struct {
	Version  int                    `json:"version"`
	Bound    SourceSet              `json:"bound"`
	Found    *int64                 `json:"found"`
	Group    bool                   `json:"group"`
	Feeds    map[string][2]int64    `json:"feeds"`
	Episodes map[string]episodeJSON `json:"episodes"`
	Memories map[string]memoryJSON  `json:"memories"`

	// Version 1.
	Newest map[string]time.Time `json:"newest"`
	Firing map[string]struct {
		Rule    string    `json:"rule"`
		ID      string    `json:"id"`
		Starts  time.Time `json:"starts"`
		Summary string    `json:"summary"`
	} `json:"firing"`
}

// upgrade turns version 1 into the newest.
func (in *stateJSON) upgrade() {
	if in.Version != 1 {
		return
	}
	in.Version = snapshotVersion
	in.Feeds, in.Episodes = map[string][2]int64{}, map[string]episodeJSON{}
	for feed, at := range in.Newest {
		in.Feeds[feed] = [2]int64{nanos(at), 0}
	}
	for name, e := range in.Firing {
		in.Episodes[name] = episodeJSON{
			Rule: e.Rule, ID: e.ID, Number: 1, Active: true, Told: true, Starts: nanos(e.Starts), Since: nanos(e.Starts), ToldAt: optional(nanos(e.Starts)), Raises: 1, Summary: e.Summary,
		}
	}
}

// LoadState reads what Append has written for a program of the same rules. A
// form that this version does not know, or a state of rules that p does not
// have, is an error.
func (p *Program) LoadState(b []byte, c *Counters) (*State, error) {
	var in stateJSON
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("state of %s: %w", p.in.ID, err)
	}
	in.upgrade()
	if in.Version != snapshotVersion {
		return nil, fmt.Errorf("state of %s: version %d; want %d", p.in.ID, in.Version, snapshotVersion)
	}
	st := p.NewState(in.Bound, c)
	st.found, st.group = orNoTime(in.Found), in.Group
	for feed, f := range in.Feeds {
		pl := p.plans[feed]
		if pl == nil {
			return nil, fmt.Errorf("state of %s: no rule reads feed %q", p.in.ID, feed)
		}
		st.feeds[pl.slot] = feedState{f[0], uint32(f[1])}
	}
	for name, w := range in.Episodes {
		a := p.alertNamed[name]
		if a == nil || a.hash != w.Rule || w.ID == "" || int(w.Level) > len(a.levels) {
			return nil, fmt.Errorf("state of %s: alert %q is of another rule", p.in.ID, name)
		}
		st.begin(a, w.episode())
	}
	for name, w := range in.Memories {
		r := p.statefulNamed(name)
		if r == nil || r.hash != w.Rule {
			return nil, fmt.Errorf("state of %s: what rule %q remembers is of another rule", p.in.ID, name)
		}
		m, err := r.decode(&w)
		if err != nil {
			return nil, fmt.Errorf("state of %s: rule %q: %w", p.in.ID, name, err)
		}
		st.keep(r, m)
	}
	st.rest()
	return st, nil
}

func (p *Program) statefulNamed(name string) *stateful {
	for _, r := range p.stateful {
		if r.name == name {
			return r
		}
	}
	return nil
}

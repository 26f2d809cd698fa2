package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// snapshotVersion changes with every change of the form below.
const snapshotVersion = 1

// snapshot is a partition as of a place in the stream: what it knows, what its
// rules remember, and the last samples. It stands for all messages up to Seq.
type snapshot struct {
	Version      int               `json:"version"`
	Seq          uint64            `json:"seq"`
	Unknown      control           `json:"unknown"`
	Interactions []json.RawMessage `json:"interactions"`
	Twins        []snapshotTwin    `json:"twins"`
	Models       []json.RawMessage `json:"models,omitempty"`
	Groups       []snapshotGroup   `json:"groups,omitempty"`
	Now          time.Time         `json:"now,omitzero"`
	BySamples    bool              `json:"bySamples,omitempty"`
	Resumed      time.Time         `json:"resumed,omitzero"`
}

type snapshotGroup struct {
	Interaction string          `json:"interaction"`
	Twin        string          `json:"twin"`
	State       json.RawMessage `json:"state"`
}

type snapshotTwin struct {
	Twin   json.RawMessage            `json:"twin"`
	States map[string]json.RawMessage `json:"states,omitempty"` // by interaction
	Last   map[string]snapshotSample  `json:"last,omitempty"`   // by feed
	Late   map[string]snapshotSample  `json:"late,omitempty"`   // by feed: what came last, where it is older

	Outputs map[string]map[string]snapshotSample `json:"outputs,omitempty"` // the last ones, by interaction and output feed
}

type snapshotSample struct {
	At   time.Time       `json:"at"`
	Seq  uint64          `json:"seq"`
	Hops uint8           `json:"hops,omitempty"`
	Data json.RawMessage `json:"data"`
}

// save gives the partition as of seq.
func (p *partition) save(seq uint64) ([]byte, error) {
	s := snapshot{Version: snapshotVersion, Seq: seq, Unknown: p.unknown.control(), Now: p.now, BySamples: p.bySamples, Resumed: p.resumed}
	for _, program := range p.programs {
		s.Interactions = append(s.Interactions, program.Text())
	}
	for _, id := range p.ids() {
		s.Twins = append(s.Twins, p.twins[id].save())
	}
	for _, program := range p.programs {
		for _, key := range p.groupsOf(program.ID()) {
			s.Groups = append(s.Groups, snapshotGroup{key.program, key.twin, p.groups[key].state.Append(nil)})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.models)) {
		s.Models = append(s.Models, p.models[id].AppendJSON(nil))
	}
	return json.Marshal(s)
}

func (m *member) save() snapshotTwin {
	t := snapshotTwin{Twin: m.twin.AppendJSON(nil)}
	for _, b := range m.bindings {
		if outputs := b.saveOutputs(); outputs != nil {
			if t.Outputs == nil {
				t.Outputs = map[string]map[string]snapshotSample{}
			}
			t.Outputs[b.program.ID()] = outputs
		}
		if b.state.Empty() {
			continue
		}
		if t.States == nil {
			t.States = map[string]json.RawMessage{}
		}
		t.States[b.program.ID()] = b.state.Append(nil)
	}
	for _, f := range m.feeds {
		t.Last = f.last.save(t.Last, f.id)
		if f.late != nil {
			t.Late = f.late.save(t.Late, f.id)
		}
	}
	return t
}

func (b *binding) saveOutputs() (to map[string]snapshotSample) {
	for i := range b.outputs {
		to = b.outputs[i].save(to, b.outputs[i].feed)
	}
	return to
}

// save puts it under a feed, unless nothing has come.
func (l *lastSample) save(to map[string]snapshotSample, feed string) map[string]snapshotSample {
	if l.seq == 0 {
		return to
	}
	if to == nil {
		to = map[string]snapshotSample{}
	}
	to[feed] = snapshotSample{l.at, l.seq, l.hops, l.data}
	return to
}

func (s *snapshotSample) load() lastSample { return lastSample{s.At, s.Seq, s.Hops, s.Data} }

// load makes the partition what it was, and gives the sequence that it stands for.
func (p *partition) load(text []byte) (uint64, error) {
	var s snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	if s.Version > snapshotVersion {
		return 0, errVersion(s.Version)
	}
	var err error
	if p.unknown, err = s.Unknown.unknown(); err != nil {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	p.now, p.bySamples, p.resumed = s.Now, s.BySamples, s.Resumed
	for _, text := range s.Models {
		t, err := p.decode(text)
		if err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
		p.models[t.ID] = t
	}
	var none []rules.Outcome
	for _, text := range s.Interactions {
		program, err := p.compiler.compile(text)
		if err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
		p.putProgram(program, event{}, &none)
	}
	for _, t := range s.Twins {
		if err := p.loadTwin(t); err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
	}
	for _, g := range s.Groups {
		if err := p.loadGroup(g); err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
	}
	p.seq = s.Seq
	return s.Seq, nil
}

func errVersion(v int) error {
	return fmt.Errorf("snapshot of version %d; this engine reads up to version %d: it is older than the one that wrote it", v, snapshotVersion)
}

func (p *partition) loadGroup(s snapshotGroup) error {
	i, found := p.find(s.Interaction)
	if !found {
		return fmt.Errorf("group %q: no interaction %q", s.Twin, s.Interaction)
	}
	program := p.programs[i]
	state, err := program.LoadState(s.State, program.counters)
	if err != nil {
		return fmt.Errorf("group %q: %w", s.Twin, err)
	}
	b := &binding{program: program, state: state, twin: s.Twin, output: twins.OutputID(program.ID(), s.Twin), wake: rules.NoWake}
	p.groups[groupKey{s.Interaction, s.Twin}] = b
	p.watch(b)
	return nil
}

func (p *partition) loadTwin(s snapshotTwin) error {
	t, err := p.decode(s.Twin)
	if err != nil {
		return err
	}
	m := p.put(t, event{}, nil)
	for _, b := range m.bindings {
		for feed, l := range s.Outputs[b.program.ID()] {
			*b.lastOutput(feed) = l.load()
		}
		text := s.States[b.program.ID()]
		if text == nil {
			continue
		}
		state, err := b.program.LoadState(text, b.program.counters)
		if err != nil {
			return fmt.Errorf("twin %q: %w", t.ID, err)
		}
		b.state = state
		p.watch(b)
	}
	p.inform(m)
	for id, l := range s.Last {
		if f := m.feed(id); f != nil {
			f.last = l.load()
		}
	}
	for id, l := range s.Late {
		if f := m.feed(id); f != nil {
			f.late = &lastSample{}
			*f.late = l.load()
		}
	}
	return nil
}

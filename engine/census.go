package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// census is what a partition has been told: its snapshot, and the control
// messages after it. The desk compares it with what is wanted, wherever the
// partition is judged.
type census struct {
	interactions map[string]json.RawMessage // documents by id
	twins        map[string]json.RawMessage // upsert bodies by id
	models       map[string]json.RawMessage // of other partitions
	unknown      control
}

// begun says whether the partitions have a state: a snapshot each, or control
// messages to begin with. A stream that has neither begins with what is wanted
// now: that is its first state.
func (e *Engine) begun(ctx context.Context) (bool, error) {
	state, err := e.bus.FeedState(ctx)
	if err != nil || state.Controls {
		return true, err
	}
	for p := range e.bus.Partitions() {
		if revision, err := e.bus.SnapshotRevision(ctx, p); err != nil || revision == 0 {
			return false, err
		}
	}
	return true, nil
}

// firstState is written down before the first sample is judged. A partition that
// has one, of a desk that did not get to the end, keeps it; told are those that
// begin with what is wanted now.
func (e *Engine) firstState(ctx context.Context, told map[int]bool) error {
	state, err := e.bus.FeedState(ctx)
	if err != nil {
		return err
	}
	first := max(state.First, 1) - 1
	compiler, wanted := newCompiler(), e.wanted()
	home, models := e.byHome()
	for i := range home {
		if revision, err := e.bus.SnapshotRevision(ctx, i); err != nil {
			return err
		} else if revision != 0 {
			continue
		}
		p := newPartition(compiler, e.config.MaxSampleBytes)
		p.unknown = e.unknown
		for _, program := range wanted {
			p.putProgram(program, event{}, new([]rules.Outcome))
		}
		for _, t := range home[i] {
			p.put(t, event{}, nil)
		}
		for _, t := range models {
			if e.bus.Partition(t.ID) != i {
				p.putModel(t)
			}
		}
		text, err := p.save(first)
		if err != nil {
			return err
		}
		if _, err := e.bus.SaveSnapshot(ctx, i, first, text, 0); err != nil {
			return err
		}
		told[i] = true
	}
	return nil
}

// byHome are the twins of each partition, and all models.
func (e *Engine) byHome() (home [][]*twins.Twin, models []*twins.Twin) {
	home = make([][]*twins.Twin, e.bus.Partitions())
	for t := range e.twins.All() {
		p := e.bus.Partition(t.ID)
		home[p] = append(home[p], t)
		if twins.IsModel(t) {
			models = append(models, t)
		}
	}
	return home, models
}

func (e *Engine) count(ctx context.Context, number int) (*census, error) {
	return takeCensus(ctx, e.bus, number)
}

// takeCensus finds what a partition has been told.
func takeCensus(ctx context.Context, b *bus.Bus, number int) (*census, error) {
	c := &census{
		interactions: map[string]json.RawMessage{}, twins: map[string]json.RawMessage{}, models: map[string]json.RawMessage{},
		unknown: Unknown{Policy: DeadLetter}.control(),
	}
	text, _, err := b.LoadSnapshot(ctx, number)
	if err != nil {
		return nil, err
	}
	seq := uint64(0)
	if text != nil {
		if seq, err = c.load(text); err != nil {
			return nil, fmt.Errorf("partition %d: %w", number, err)
		}
	}
	for m, err := range b.Controls(ctx, number, seq+1) {
		if err != nil {
			return nil, err
		}
		c.apply(m.Data)
	}
	return c, nil
}

// load takes in a snapshot, and gives the sequence that it stands for.
func (c *census) load(text []byte) (uint64, error) {
	var s snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	if s.Version > snapshotVersion {
		return 0, errVersion(s.Version)
	}
	for _, doc := range s.Interactions {
		c.interactions[idOf(doc)] = doc
	}
	for _, t := range s.Twins {
		c.twins[idOf(t.Twin)] = t.Twin
	}
	for _, doc := range s.Models {
		c.models[idOf(doc)] = doc
	}
	c.unknown = s.Unknown
	return s.Seq, nil
}

// idOf reads the id of a document.
func idOf(doc []byte) string {
	if id, ok := twins.IDOf(doc); ok {
		return id
	}
	var d struct {
		ID   string `json:"id"`     // an interaction's
		Twin string `json:"twinId"` // an upsert body's
	}
	if json.Unmarshal(doc, &d) != nil {
		return ""
	}
	return cmp.Or(d.Twin, d.ID)
}

// apply takes in a control message. What the partition refuses it does not have.
func (c *census) apply(text []byte) {
	var m control
	if json.Unmarshal(text, &m) != nil {
		return
	}
	switch m.Op {
	case opInteractionPut, opInteractionDelete, opInteractions:
		put, gone, err := m.interactions()
		if err != nil {
			return
		}
		programs, err := compileAll(rules.Load, put)
		if err != nil {
			return
		}
		for i, p := range programs {
			c.interactions[p.ID()] = put[i]
		}
		for _, id := range gone {
			delete(c.interactions, id)
		}
	case opTwinPut:
		c.twins[idOf(m.Twin)] = m.Twin
	case opTwinDelete:
		delete(c.twins, m.ID)
	case opUnknown:
		c.unknown = m
	case opModelPut:
		c.models[idOf(m.Twin)] = m.Twin
	case opModelDelete:
		delete(c.models, m.ID)
	}
}

// sendDifferences tells each partition, but those that know, how what is wanted
// differs from what it has been told.
func (e *Engine) sendDifferences(ctx context.Context, told map[int]bool) error {
	wanted, compiler := e.wanted(), newCompiler()
	home, models := e.byHome()
	for number := range home {
		if told[number] {
			continue
		}
		c, err := e.count(ctx, number)
		if err != nil {
			return err
		}
		if err := e.putControls(ctx, number, e.differences(compiler, c, number, wanted, home[number], models)); err != nil {
			return err
		}
	}
	return nil
}

// controlWindow is how many descriptions of twins are on their way to a partition
// at a time.
const controlWindow = 500

// putControls sends one after the other; but descriptions of twins, each of its
// own twin, are not waited for one by one.
func (e *Engine) putControls(ctx context.Context, number int, controls []control) error {
	var bodies [][]byte
	for i, c := range controls {
		bodies = append(bodies, c.encode())
		if c.Op == opTwinPut && len(bodies) < controlWindow && i+1 < len(controls) && controls[i+1].Op == opTwinPut {
			continue
		}
		if !e.pool.Sure() {
			return errUnsure
		}
		if err := e.bus.PutControls(ctx, number, bodies); err != nil {
			return err
		}
		bodies = bodies[:0]
	}
	return nil
}

// differences are the control messages that bring a partition to what is wanted.
func (e *Engine) differences(compiler *compiler, c *census, number int, wanted map[string]*rules.Program, home, models []*twins.Twin) (out []control) {
	var change ruleChange
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		if doc, ok := c.interactions[id]; !ok || !sameDocument(compiler, doc, wanted[id]) {
			change.put = append(change.put, wanted[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.interactions)) {
		if wanted[id] == nil {
			change.gone = append(change.gone, id)
		}
	}
	out = change.controls(e.bus.MaxMessage())
	if string(c.unknown.encode()) != string(e.unknown.control().encode()) {
		out = append(out, e.unknown.control())
	}
	for _, t := range home {
		if doc, ok := c.twins[t.ID]; !ok || !sameTwin(doc, t) {
			out = append(out, putTwin(t))
		}
		delete(c.twins, t.ID)
	}
	for id, doc := range c.twins { // those that nobody knows any more
		if e.madeByPolicy(doc) {
			e.adopt(id)
		} else {
			out = append(out, control{Op: opTwinDelete, ID: id})
		}
	}
	for _, t := range models {
		if doc, ok := c.models[t.ID]; e.bus.Partition(t.ID) != number && (!ok || !sameTwin(doc, t)) {
			out = append(out, putModel(t))
		}
	}
	for id := range c.models {
		if !slices.ContainsFunc(models, func(t *twins.Twin) bool { return t.ID == id }) {
			out = append(out, control{Op: opModelDelete, ID: id})
		}
	}
	return out
}

// sameDocument compares with a document of another partition, which is mostly
// the same text each time.
func sameDocument(c *compiler, doc []byte, p *rules.Program) bool {
	if bytes.Equal(doc, p.Text()) {
		return true
	}
	was, err := c.compile(doc)
	return err == nil && was.Hash() == p.Hash()
}

func sameTwin(doc []byte, t *twins.Twin) bool {
	if bytes.Equal(doc, t.AppendJSON(nil)) {
		return true
	}
	was, err := decodeTwin(doc)
	return err == nil && was.Equal(t)
}

// madeByPolicy says whether a twin is one that the policy creates.
func (e *Engine) madeByPolicy(doc []byte) bool {
	if e.unknown.Policy != Create {
		return false
	}
	t, err := decodeTwin(doc)
	if err != nil {
		return false
	}
	made := twins.FromModel(e.unknown.Model, t.ID, t.ID)
	return made.Equal(t)
}

// keepLastGood lets an engine whose rule files are broken go on with what the
// stream has: a bad edit that was refused while it ran must not keep it from
// starting again. An engine that has nothing yet says what is wrong.
func (e *Engine) keepLastGood(ctx context.Context, why error) error {
	c, err := e.count(ctx, 0)
	if err != nil {
		return err
	}
	for id, doc := range c.interactions {
		if _, owned := e.owned[id]; owned || e.pushed.programs[id] != nil {
			continue
		}
		if p, err := rules.Load("interaction", doc); err == nil {
			e.files[id] = p
		}
	}
	if len(e.files) == 0 {
		return fmt.Errorf("%w: %w", ErrConfig, why)
	}
	e.log.Error().Err(why).Int("interactions", len(e.files)).Msg("rules refused; the last good ones keep running")
	return nil
}

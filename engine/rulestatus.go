package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// The doors by which interactions come in.
const (
	FileRules = "file" // the rules folder
	SetRules  = "set"  // pushed to the server
	TwinRules = "twin" // an interaction twin
)

// RuleSource is where an interaction comes from.
type RuleSource struct {
	Kind     string `json:"kind"`               // one of the doors
	Name     string `json:"name"`               // of the file, of the document in the set, of the twin
	Revision uint64 `json:"revision,omitempty"` // of the set
}

// Refusal is an edit that was refused: what ran before runs on.
type Refusal struct {
	Source RuleSource `json:"source"`
	Error  string     `json:"error"` // a line for each problem, with its place
	At     time.Time  `json:"at"`
}

// ruleRevision is since when an interaction runs as it does.
type ruleRevision struct {
	hash   string
	number uint64 // in the bucket
	at     time.Time
}

// RulesStatus is what runs in the pool.
type RulesStatus struct {
	Workers      int                 `json:"workers"` // of the pool
	Counted      int                 `json:"counted"` // of them: whose counts are in it
	Set          Ruleset             `json:"set"`     // what was pushed last
	Interactions []InteractionStatus `json:"interactions"`
	Refused      []Refusal           `json:"refused,omitempty"`
}

// InteractionStatus is an interaction that runs, with what its rules have
// counted since the start of each worker.
type InteractionStatus struct {
	ID       string       `json:"id"`
	Label    string       `json:"label"`
	State    string       `json:"state"` // RulesOK, RulesDegraded, RulesDisabled
	Mode     string       `json:"mode"`
	Revision string       `json:"revision"`         // the hash of what it means
	Number   uint64       `json:"number,omitempty"` // of its revision in the bucket of the rules
	Since    time.Time    `json:"since,omitzero"`   // it runs as it does
	Source   RuleSource   `json:"source"`
	Hides    []RuleSource `json:"hides,omitempty"` // those with its id that do not run because of it
	Twins    int          `json:"twins"`           // that match
	Rules    []RuleStatus `json:"rules"`
	Refused  *Refusal     `json:"refused,omitempty"` // its newest edit
	Warnings []string     `json:"warnings,omitempty"`
}

// RuleStatus is a rule with its funnel.
type RuleStatus struct {
	Rule string `json:"rule"`
	Kind string `json:"kind"`
	Mode string `json:"mode"`

	ShadowOf string      `json:"shadowOf,omitempty"` // as the document says
	Shadow   *Comparison `json:"shadow,omitempty"`   // of a shadow alert, where one interaction is asked for
	rules.Funnel
	Told
}

// refuse takes note of how reading the rules of a door went.
func (e *Engine) refuse(kind, name string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		delete(e.refused, kind)
		return
	}
	e.refused[kind] = Refusal{RuleSource{Kind: kind, Name: name}, err.Error(), time.Now()}
}

// keepRevision keeps the interaction as its newest revision.
func (e *Engine) keepRevision(ctx context.Context, p *rules.Program) error {
	number, err := e.bus.PutRule(ctx, p.ID(), p.Text())
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since[p.ID()] = ruleRevision{p.Hash(), number, time.Now()}
	return nil
}

// keepRevisions finds, when this worker has come to the desk, since when the
// interactions run as they do, and keeps those that the bucket does not have so.
func (e *Engine) keepRevisions(ctx context.Context) error {
	kept, err := e.bus.RuleRevisions(ctx)
	if err != nil {
		return err
	}
	wanted, compiler := e.wanted(), newCompiler()
	for _, r := range kept {
		if p := wanted[r.ID]; p != nil && sameDocument(compiler, r.Doc, p) {
			e.mu.Lock()
			e.since[r.ID] = ruleRevision{p.Hash(), r.Revision, r.At}
			e.mu.Unlock()
			delete(wanted, r.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		if err := e.keepRevision(ctx, wanted[id]); err != nil {
			return err
		}
	}
	return nil
}

// ruleCounts is what this worker has counted of the rules until now, or, where it
// is too busy to say, a moment ago.
func (e *Engine) ruleCounts(ctx context.Context) map[string]ruleCounts {
	ctx, cancel := context.WithTimeout(ctx, countPatience/2)
	defer cancel()
	e.worker.order(ctx, func(context.Context) error { //nolint:errcheck // see above
		e.worker.collect()
		return nil
	})
	m := Metrics{Interactions: e.stats.rules.read()}
	m.tellOf(e.toldOf())
	out := make(map[string]ruleCounts, len(m.Interactions))
	for id, in := range m.Interactions {
		out[id] = ruleCounts{in.Twins, in.Names, in.Rules, in.Told}
	}
	return out
}

// ruleCounts are an interaction's in one worker.
type ruleCounts struct {
	Twins int            `json:"twins"`
	Names []string       `json:"names"`
	Rules []rules.Funnel `json:"rules"`
	Told  []Told         `json:"told"`
}

// countPatience is how long a worker may take to say what it has counted.
const countPatience = 2 * time.Second

// allCounts are those of all workers of the pool that answer.
func (e *Engine) allCounts(ctx context.Context) (all []map[string]ruleCounts) {
	ctx, cancel := context.WithTimeout(ctx, countPatience)
	defer cancel()
	all = []map[string]ruleCounts{e.ruleCounts(ctx)}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, id := range e.pool.Others() {
		asked.Go(func() {
			counts, err := e.countsOf(ctx, id)
			if err != nil {
				e.trouble(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, counts)
		})
	}
	asked.Wait()
	return all
}

func (e *Engine) countsOf(ctx context.Context, worker string) (counts map[string]ruleCounts, err error) {
	body, err := e.askWorker(ctx, worker, request{Op: "rules"})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &counts); err != nil {
		return nil, fmt.Errorf("worker %s: %w", worker, err)
	}
	return counts, nil
}

// ErrNoInteraction is what the error wraps when no interaction of that name runs.
var ErrNoInteraction = errors.New("no such interaction")

// Rules says what runs, with the counts of all workers that answer. The worker at
// the desk knows best.
func (e *Engine) Rules(ctx context.Context) (RulesStatus, error) {
	last, err := e.bus.LastRuleset(ctx)
	if err != nil {
		return RulesStatus{}, err
	}
	set, err := rulesetOf(&last)
	if err != nil {
		return RulesStatus{}, err
	}
	all := e.allCounts(ctx)
	out := RulesStatus{Workers: max(e.pool.Workers(), len(all)), Counted: len(all), Set: set, Interactions: []InteractionStatus{}}
	wanted := e.wanted()
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		in := e.interactionStatus(wanted[id], all)
		if text := circle(id, wanted); text != "" {
			in.Warnings = append(in.Warnings, text)
		}
		out.Interactions = append(out.Interactions, in)
	}
	for _, refused := range []map[string]Refusal{e.refused, e.failed} {
		for _, key := range slices.Sorted(maps.Keys(refused)) {
			out.Refused = append(out.Refused, refused[key])
		}
	}
	return out, nil
}

// InteractionOf says the same of one interaction, and how its shadow alerts did in
// the last time beside the live ones. The error may wrap ErrNoInteraction.
func (e *Engine) InteractionOf(ctx context.Context, id string, last time.Duration) (InteractionStatus, error) {
	all, err := e.Rules(ctx)
	if err != nil {
		return InteractionStatus{}, err
	}
	ids := make([]string, len(all.Interactions))
	for i := range all.Interactions {
		if ids[i] = all.Interactions[i].ID; ids[i] == id {
			in := &all.Interactions[i]
			return *in, e.compareShadows(ctx, all.Interactions, in, time.Now().Add(-last))
		}
	}
	return InteractionStatus{}, fmt.Errorf("%w: %q%s", ErrNoInteraction, id, strictjson.DidYouMean(id, ids))
}

// interactionStatus needs mu.
func (e *Engine) interactionStatus(p *rules.Program, all []map[string]ruleCounts) InteractionStatus {
	id := p.ID()
	doors := e.doors(id)
	s := InteractionStatus{ID: id, Label: p.Label(), State: RulesOK, Mode: p.Mode(), Revision: p.Hash(), Source: doors[0], Hides: doors[1:], Rules: []RuleStatus{}}
	if r := e.since[id]; r.hash == p.Hash() {
		s.Since, s.Number = r.at, r.number
	}
	for _, info := range p.Infos() {
		s.Rules = append(s.Rules, RuleStatus{Rule: info.Name, Kind: info.Kind, Mode: info.Mode, ShadowOf: info.ShadowOf})
	}
	for _, counts := range all {
		s.add(counts[id])
	}
	for _, w := range p.Warnings() {
		s.Warnings = append(s.Warnings, w.Error())
	}
	if s.Refused = e.refusalOf(id, doors[0]); s.Refused != nil {
		s.State = RulesDegraded
	}
	if !p.Enabled() {
		s.State = RulesDisabled
	}
	return s
}

// add adds what a worker has counted.
func (s *InteractionStatus) add(c ruleCounts) {
	s.Twins += c.Twins
	for i, name := range c.Names {
		k := slices.IndexFunc(s.Rules, func(r RuleStatus) bool { return r.Rule == name })
		if k >= 0 && i < len(c.Rules) && i < len(c.Told) {
			s.Rules[k].Add(c.Rules[i])
			s.Rules[k].add(c.Told[i])
		}
	}
}

// doors are where an interaction of that id comes from, the one that runs first.
func (e *Engine) doors(id string) (doors []RuleSource) {
	if e.files[id] != nil {
		doors = append(doors, RuleSource{Kind: FileRules, Name: e.filedAt[id]})
	}
	if e.pushed.programs[id] != nil {
		doors = append(doors, RuleSource{Kind: SetRules, Name: e.pushed.where[id], Revision: e.pushed.number})
	}
	if o, ok := e.owned[id]; ok {
		doors = append(doors, RuleSource{Kind: TwinRules, Name: o.twin.ID})
	}
	if len(doors) == 0 { // it has gone since it was asked for
		doors = append(doors, RuleSource{})
	}
	return doors
}

// refusalOf is why the newest edit of an interaction was refused, as far as that
// is about its own document; nil: it was not.
func (e *Engine) refusalOf(id string, from RuleSource) *Refusal {
	if r, ok := e.failed[id]; ok && from.Kind == TwinRules {
		return &r
	}
	r, ok := e.refused[from.Kind]
	if !ok || from.Name == "" {
		return nil
	}
	var own []string
	for line := range strings.Lines(r.Error) {
		if strings.HasPrefix(line, from.Name+":") {
			own = append(own, strings.TrimSpace(line))
		}
	}
	if len(own) == 0 {
		return nil
	}
	return &Refusal{from, strings.Join(own, "\n"), r.At}
}

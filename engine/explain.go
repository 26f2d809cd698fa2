package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/duration"
	"tocsin.internal/twins"
)

// Question is what somebody wants explained.
type Question struct {
	About  string        // an interaction, interaction/rule, or the id of an alert, of which the first characters are enough
	Twin   string        // "" = the only one
	At     string        // RFC 3339, or a time of the day of the last sample; "" = the last sample
	Window time.Duration // of the timeline, half before At and half after; 0 = none
	Since  time.Time     // where Play is nil: from when on it is judged; zero = all that the stream retains
}

// Recording is what happened, as far as it is kept.
type Recording struct {
	Programs map[string]*rules.Program
	Running  bool          // Programs are those that run: of a stream what was in force at the time counts
	Twins    []twins.Twin  // nil: every twin that has the feed counts
	Bus      *bus.Bus      // whose stream it is; nil: it is a file
	MaxSkew  time.Duration // of the stream

	// Play has a replay judge the recording; nil: the stream.
	Play func(ctx context.Context, r *Replay, each func(*rules.Sample, []rules.Outcome, error) error) error
}

// ErrQuestion says that a question cannot be answered as it is asked.
var ErrQuestion = errors.New("")

// questionError wraps ErrQuestion without a word more.
type questionError struct{ text string }

func (e questionError) Error() string        { return e.text }
func (e questionError) Is(target error) bool { return target == ErrQuestion }

func unclear(format string, args ...any) error { return questionError{fmt.Sprintf(format, args...)} }

// Explain says why a rule did what it did, or did nothing: for each rule that the
// question is about. The recording is judged again, twice for each. The error may
// be an ErrQuestion.
func Explain(ctx context.Context, q Question, in *Recording) ([]*Explained, error) {
	if strings.HasPrefix(q.About, "al_") {
		x, err := in.explainAlert(ctx, q)
		if err != nil {
			return nil, err
		}
		return []*Explained{x}, nil
	}
	of, err := in.rulesOf(q.About)
	if err != nil {
		return nil, err
	}
	var out []*Explained
	for _, ref := range of {
		x, err := in.explain(ctx, q, ref, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// ruleRef is a rule of an interaction.
type ruleRef struct{ interaction, rule string }

// maxExplained is how many rules of one interaction are explained at a time.
const maxExplained = 20

// rulesOf are the rules that a name means.
func (in *Recording) rulesOf(name string) ([]ruleRef, error) {
	ids := slices.Sorted(maps.Keys(in.Programs))
	for _, id := range ids {
		p := in.Programs[id]
		if id == name {
			return in.all(p)
		}
		if rule, ok := strings.CutPrefix(name, id+"/"); ok {
			if !slices.Contains(p.Rules(), rule) {
				return nil, unclear("interaction %q has no rule %q%s", id, rule, orOneOf(strictjson.DidYouMean(rule, p.Rules()), p.Rules()))
			}
			return []ruleRef{{id, rule}}, nil
		}
	}
	names := slices.Clone(ids)
	for _, id := range ids {
		for _, rule := range in.Programs[id].Rules() {
			if rule == name {
				return []ruleRef{{id, rule}}, nil
			}
			names = append(names, id+"/"+rule)
		}
	}
	if len(ids) == 0 {
		return nil, unclear("no interaction runs here")
	}
	return nil, unclear("no rule %q%s", name, orOneOf(strictjson.DidYouMean(name, names), names[len(ids):]))
}

func (in *Recording) all(p *rules.Program) ([]ruleRef, error) {
	var out []ruleRef
	for _, rule := range p.Rules() {
		out = append(out, ruleRef{p.ID(), rule})
	}
	if len(out) > maxExplained {
		return nil, unclear("interaction %q has %d rules; want one of them, such as %s/%s", p.ID(), len(out), p.ID(), out[0].rule)
	}
	return out, nil
}

// orOneOf is the hint, or else what there is.
func orOneOf(hint string, known []string) string {
	if hint != "" || len(known) == 0 {
		return hint
	}
	more := ""
	if len(known) > 10 {
		known, more = known[:10], ", …"
	}
	return "; want one of " + strings.Join(known, ", ") + more
}

// play brings the recording to a replay.
func (in *Recording) play(ctx context.Context, since time.Time, r *Replay, each func(*rules.Sample, []rules.Outcome, error) error) error {
	if in.Play != nil {
		return in.Play(ctx, r, each)
	}
	return r.Stream(ctx, in.Bus, since, in.MaxSkew, each)
}

// replay begins a replay of one program.
func (in *Recording) replay(p *rules.Program) *Replay {
	return NewReplay(map[string]*rules.Program{p.ID(): p}, in.Twins)
}

// Explain says how a rule judges a sample that has not been judged yet, for its
// twin and, where the rule judges many twins as one, for their group. It is nil
// where the rule does not judge the twin at all.
func (r *Replay) Explain(x *rules.Explainer, s *rules.Sample) (*rules.Explanation, error) {
	p := r.partition
	m := p.twins[s.Twin]
	if m == nil && p.everyone {
		m = p.stranger(s)
	}
	if m == nil {
		return nil, nil
	}
	if m.feed(s.Feed) == nil && p.everyone {
		p.newFeed(m, s.Feed)
	}
	again := rules.Sample{Twin: s.Twin, Feed: s.Feed, At: s.At, Data: bytes.Clone(s.Data), Seq: s.Seq, Index: s.Index, Hops: s.Hops}
	for _, b := range m.bindings {
		if b.program.Program != x.Program() {
			continue
		}
		if x.Grouped() {
			return r.explainGroup(x, m, b, &again)
		}
		return x.Explain(&again, s.Twin, b.state, func(st *rules.State, out []rules.Outcome) []rules.Outcome {
			return b.program.Eval(&again, st, out)
		})
	}
	return nil, nil
}

// ExplainClock says what falls due for a rule of a twin, or of a group, up to a
// time. It is nil where nothing is remembered of it.
func (r *Replay) ExplainClock(x *rules.Explainer, twin string, at time.Time) (*rules.Explanation, error) {
	var of *binding
	if m := r.partition.twins[twin]; m != nil {
		for _, b := range m.bindings {
			if b.program.Program == x.Program() {
				of = b
			}
		}
	}
	if g := r.partition.groups[groupKey{x.Program().ID(), twin}]; g != nil && x.Grouped() {
		of = g
	}
	if of == nil {
		return nil, nil
	}
	return x.Explain(&rules.Sample{Twin: twin, At: at}, twin, of.state, func(st *rules.State, out []rules.Outcome) []rules.Outcome {
		return of.program.Tick(at.Add(1), twin, st, 0, out) // what is due at a time falls due after it
	})
}

func (r *Replay) explainGroup(x *rules.Explainer, m *member, b *binding, s *rules.Sample) (*rules.Explanation, error) {
	for _, l := range b.program.Links() {
		value, ok := valueOf(m.twin, l.Property)
		if !l.Group || l.Name != x.Rule() || !ok {
			continue
		}
		twin := standIn(&l, value)
		st := b.program.NewGroupState(b.program.counters)
		if g := r.partition.groups[groupKey{b.program.ID(), twin}]; g != nil {
			st = g.state
		}
		return x.Explain(s, twin, st, func(st *rules.State, out []rules.Outcome) []rules.Outcome {
			return b.program.Relay(l.ID, s, twin, st, out)
		})
	}
	return nil, nil
}

// spot is where a sample stands.
type spot struct {
	seq   uint64
	index uint32
}

// mark is a sample of the rule's feed.
type mark struct {
	at time.Time
	spot
}

// revision is a document of an interaction, and from where on it counts.
type revision struct {
	seq  uint64
	text []byte
}

// survey is what the first reading finds.
type survey struct {
	feed   string
	marks  map[string][]mark // by twin
	feeds  map[string]int    // how many samples the other feeds have
	newest time.Time         // of all samples
	texts  map[string][]revision
}

// survey reads the recording without judging it.
func (in *Recording) survey(ctx context.Context, since time.Time, feed string) (*survey, error) {
	s := &survey{feed: feed, marks: map[string][]mark{}, feeds: map[string]int{}, texts: map[string][]revision{}}
	r := NewReplay(nil, []twins.Twin{})
	r.Watch(Watch{Sample: s.note, Rule: s.noteRule})
	err := in.play(ctx, since, r, func(*rules.Sample, []rules.Outcome, error) error { return nil })
	return s, err
}

func (s *survey) note(sample *rules.Sample) bool {
	if sample.At.After(s.newest) {
		s.newest = sample.At
	}
	if sample.Feed == s.feed {
		s.marks[sample.Twin] = append(s.marks[sample.Twin], mark{sample.At, spot{sample.Seq, sample.Index}})
	} else {
		s.feeds[sample.Feed]++
	}
	return false
}

func (s *survey) noteRule(seq uint64, _ time.Time, text []byte) {
	var head struct{ ID string }
	if json.Unmarshal(text, &head) == nil {
		s.texts[head.ID] = append(s.texts[head.ID], revision{seq, bytes.Clone(text)})
	}
}

// inForce is the text of an interaction at a place of the stream; nil when it
// was put before what is retained.
func (s *survey) inForce(id string, seq uint64) []byte {
	var text []byte
	for _, r := range s.texts[id] {
		if r.seq <= seq {
			text = r.text
		}
	}
	return text
}

// last is the newest of the marks that is not after a time; ok is false when
// there is none.
func last(marks []mark, until time.Time) (m mark, ok bool) {
	for _, k := range marks {
		if !k.at.After(until) && (!ok || !k.at.Before(m.at)) {
			m, ok = k, true
		}
	}
	return m, ok
}

// find is the mark at a place.
func find(marks []mark, at spot) (mark, bool) {
	i := slices.IndexFunc(marks, func(m mark) bool { return m.spot == at })
	if i < 0 {
		return mark{}, false
	}
	return marks[i], true
}

// Check says what is wrong with a question that can be seen without samples.
func (q *Question) Check() error {
	_, err := q.readTime(time.Time{})
	return err
}

// readTime reads the At of a question; the day of a time of day is that of the
// last sample, or the one before where it would lie after it.
func (q *Question) readTime(newest time.Time) (time.Time, error) {
	if q.At == "" {
		return newest, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, q.At); err == nil {
			return t.UTC(), nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04", "15:04Z", "15:04:05Z"} {
		t, err := time.Parse(layout, q.At)
		if err != nil {
			continue
		}
		day := newest.UTC()
		at := time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
		if at.After(newest) {
			at = at.AddDate(0, 0, -1)
		}
		return at, nil
	}
	return time.Time{}, unclear("time %q; want 03:12, 03:12:30 or 2026-11-02T03:12:00Z", q.At)
}

// Explain answers a question from the stream: what it retains is judged again,
// beside what is judged live. One question is answered at a time. The error may
// be an ErrQuestion.
func (e *Engine) Explain(ctx context.Context, q Question) ([]*Explained, error) {
	done, err := e.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	in := &Recording{Bus: e.bus, Running: true, MaxSkew: e.config.MaxSkew}
	if in.Programs, err = RulesOf(ctx, e.bus); err != nil {
		return nil, err
	}
	if in.Twins, err = TwinsOf(ctx, e.bus); err != nil {
		return nil, err
	}
	return Explain(ctx, q, in)
}

// ParseSpan reads a duration as rules have it, such as 10m or 7d.
func ParseSpan(text string) (time.Duration, error) {
	raw, err := strictjson.Value("duration", text)
	if err != nil {
		return 0, err
	}
	d, err := duration.Decode(raw)
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		return 0, e.Err // the place says nothing of what is no document
	}
	return d, err
}

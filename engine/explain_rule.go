package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// Explained is why a rule did what it did for one twin.
type Explained struct {
	Interaction string             `json:"interaction"`
	Rule        string             `json:"rule"`
	Revision    string             `json:"revision"` // of the interaction
	Enabled     bool               `json:"enabled"`
	Shadow      bool               `json:"shadow,omitempty"` // nobody is told
	Twin        string             `json:"twin,omitempty"`
	From        time.Time          `json:"from,omitzero"` // of the samples that were judged
	To          time.Time          `json:"to,omitzero"`
	Funnel      []Stage            `json:"funnel,omitempty"`
	Alert       *rules.Outcome     `json:"-"`                  // the event that is explained
	Event       json.RawMessage    `json:"event,omitempty"`    // the same
	Sample      *rules.Explanation `json:"sample,omitempty"`   // the last one at or before the time, or the one that caused the event
	Clock       *rules.Explanation `json:"clock,omitempty"`    // what then fell due, where that caused the event
	Timeline    []Moment           `json:"timeline,omitempty"` //
	Hidden      int                `json:"hidden,omitempty"`   // moments that were too many to list
	Sent        []Sent             `json:"sent,omitempty"`     // of an alert: what was tried to tell of it, the oldest first
	Notes       []string           `json:"notes,omitempty"`    // what else is to be known

	at       time.Time
	ofStream bool
}

// Stage is a stage of the funnel.
type Stage struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
	Stops bool   `json:"stops,omitempty"` // here everything stopped
}

// Moment is a line of the timeline.
type Moment struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	Text string    `json:"text"`
}

// errEnough ends a reading.
var errEnough = errors.New("enough")

// maxMoments bounds a timeline.
const maxMoments = 500

// inquiry is one rule of one twin, under way.
type inquiry struct {
	in       *Recording
	q        Question
	x        *rules.Explainer
	out      *Explained
	survey   *survey
	target   mark
	from, to time.Time           // of the timeline
	groups   map[string][]string // of a rule that judges many twins as one: the members
	facts    sampleFacts

	received       uint64
	raised, silent uint64
	made           uint64
	waits          []Moment // of the timeline
	told           []Moment
}

// explain explains one rule. Event, if there is one, is the alert's event whose
// cause is wanted.
func (in *Recording) explain(ctx context.Context, q Question, ref ruleRef, event *rules.Outcome) (*Explained, error) {
	p := in.Programs[ref.interaction]
	x, err := p.Explainer(ref.rule)
	if err != nil {
		return nil, unclear("%v", err)
	}
	out := &Explained{Interaction: p.ID(), Rule: ref.rule, Revision: p.Hash(), Enabled: p.Enabled(), Shadow: x.Shadow(), ofStream: in.Bus != nil, Alert: event}
	k := &inquiry{in: in, q: q, x: x, out: out}
	if k.survey, err = in.survey(ctx, q.Since, x.Feed()); err != nil {
		return nil, err
	}
	if found, err := k.choose(event); err != nil || !found {
		return out, err
	}
	if err := k.revise(); err != nil {
		return nil, err
	}
	if err := k.judge(ctx); err != nil {
		return nil, err
	}
	if err := k.history(ctx); err != nil {
		return nil, err
	}
	k.finish()
	return out, nil
}

// choose finds the twin and the sample; false where there is none to explain,
// which the notes then say.
func (k *inquiry) choose(event *rules.Outcome) (bool, error) {
	until, err := k.q.readTime(k.survey.newest)
	if err != nil {
		return false, err
	}
	k.out.at = until
	sharers := slices.Sorted(maps.Keys(k.survey.marks))
	if len(sharers) == 0 {
		k.out.Twin = k.q.Twin
		k.note("no sample of feed %q%s", k.x.Feed(), k.otherFeeds())
		return false, nil
	}
	twin := k.q.Twin
	matching := k.matching(sharers)
	if k.x.Grouped() {
		k.group(matching)
		matching = slices.Sorted(maps.Keys(k.groups))
		for name, members := range k.groups {
			if slices.Contains(members, twin) {
				twin = name
			}
		}
	}
	switch {
	case twin == "" && len(matching) == 1:
		twin = matching[0]
	case twin == "" && len(matching) == 0:
		k.note("no twin matches the filter of its source%s", k.closest(", closest are ", sharers))
		return false, nil
	case twin == "" && event == nil:
		return false, unclear("which twin? Want --twin with%s", strings.TrimPrefix(orOneOf("", matching), "; want"))
	}
	k.out.Twin = twin
	marks := k.survey.marks[twin]
	for _, member := range k.groups[twin] {
		marks = append(slices.Clip(marks), k.survey.marks[member]...)
	}
	if marks == nil {
		if !k.known(twin) {
			return false, unclear("no twin %q%s", twin, orOneOf(strictjson.DidYouMean(twin, sharers), sharers))
		}
		k.note("twin %q has not shared a sample of feed %q", twin, k.x.Feed())
		return false, nil
	}
	found := false
	if event != nil {
		until, k.out.at = event.At, event.At
		k.target, found = find(marks, spot{event.Seq, event.Index})
		found = found && !k.target.at.After(until) // else it was the clock
	}
	if !found {
		k.target, found = last(marks, until)
	}
	if !found {
		k.note("twin %q has shared no sample of feed %q at or before %s; the first is of %s", twin, k.x.Feed(), instant(until), instant(marks[0].at))
	}
	if k.q.Window > 0 {
		k.from, k.to = until.Add(-k.q.Window/2), until.Add(k.q.Window/2)
	}
	return found, nil
}

func (k *inquiry) note(format string, args ...any) {
	k.out.Notes = append(k.out.Notes, fmt.Sprintf(format, args...))
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") }

// otherFeeds are the feeds that have samples.
func (k *inquiry) otherFeeds() string {
	feeds := slices.Sorted(maps.Keys(k.survey.feeds))
	if len(feeds) == 0 {
		return ", nor of any other"
	}
	if hint := strictjson.DidYouMean(k.x.Feed(), feeds); hint != "" {
		return hint
	}
	return "; feeds seen: " + strings.Join(feeds[:min(len(feeds), 10)], ", ")
}

// described is a twin by its id.
func (in *Recording) described(id string) *twins.Twin {
	for i := range in.Twins {
		if in.Twins[i].ID == id {
			return &in.Twins[i]
		}
	}
	return nil
}

func (k *inquiry) known(twin string) bool { return k.in.described(twin) != nil }

// filter is that of the rule's source.
func (k *inquiry) filter() *rules.Filter { return &k.x.Program().Sources()[k.x.Source()].Filter }

// matching are the twins that the rule's source takes.
func (k *inquiry) matching(sharers []string) []string {
	if k.in.Twins == nil {
		return sharers
	}
	var out []string
	for _, id := range sharers {
		if t := k.in.described(id); t != nil && twins.Match(k.filter(), t) {
			out = append(out, id)
		}
	}
	return out
}

// closest are twins that nearly match, and what they lack.
func (k *inquiry) closest(words string, sharers []string) string {
	type near struct {
		id, lacks string
		n         int
	}
	var all []near
	for _, id := range sharers {
		t := k.in.described(id)
		if t == nil {
			continue
		}
		lacks, n := lacking(k.filter(), t)
		all = append(all, near{id, lacks, n})
	}
	slices.SortStableFunc(all, func(a, b near) int { return a.n - b.n })
	if len(all) == 0 {
		return ""
	}
	var texts []string
	for _, c := range all[:min(len(all), 3)] {
		texts = append(texts, c.id+" ("+c.lacks+")")
	}
	return words + strings.Join(texts, ", ")
}

// lacking says what of a filter a twin does not have, and how much that is.
func lacking(f *rules.Filter, t *twins.Twin) (string, int) {
	var lacks []string
	for _, want := range f.Properties {
		if slices.Contains(t.Properties, want) {
			continue
		}
		text := "no " + lastName(want.Key)
		for _, has := range t.Properties {
			if has.Key == want.Key {
				text = fmt.Sprintf("%s is %q, not %q", lastName(want.Key), has.Value.Value, want.Value.Value)
			}
		}
		lacks = append(lacks, text)
	}
	if rest := (&rules.Filter{Text: f.Text}); f.Text != "" && !twins.Match(rest, t) {
		lacks = append(lacks, fmt.Sprintf("its words lack %q", f.Text))
	}
	if rest := (&rules.Filter{Location: f.Location}); f.Location != nil && !twins.Match(rest, t) {
		lacks = append(lacks, "it lies outside the circle")
	}
	return strings.Join(lacks, ", "), len(lacks)
}

// lastName is the end of a property's key.
func lastName(key string) string { return key[strings.LastIndexAny(key, "#/:")+1:] }

// group finds the groups of the rule, and their members.
func (k *inquiry) group(matching []string) {
	k.groups = map[string][]string{}
	for _, l := range k.x.Program().Links() {
		if !l.Group || l.Name != k.x.Rule() {
			continue
		}
		for _, id := range matching {
			t := k.in.described(id)
			if t == nil {
				t = &twins.Twin{ID: id}
			}
			if value, ok := valueOf(t, l.Property); ok {
				name := standIn(&l, value)
				k.groups[name] = append(k.groups[name], id)
			}
		}
	}
}

// revise takes the revision of the rule that was in force at the sample.
func (k *inquiry) revise() error {
	if !k.in.Running {
		return nil
	}
	text := k.survey.inForce(k.out.Interaction, k.target.seq)
	if text == nil {
		return nil
	}
	p, err := rules.Load("interaction", text)
	if err != nil || p.Hash() == k.out.Revision {
		return nil //nolint:nilerr // what the stream took before can be what is not taken any more
	}
	x, err := p.Explainer(k.out.Rule)
	if err != nil {
		k.note("at the time the interaction was revision %s, without this rule; the present one is explained", p.Hash())
		return nil
	}
	k.note("the rule has been edited since: revision %s runs now", k.out.Revision)
	k.x, k.out.Revision, k.out.Enabled = x, p.Hash(), p.Enabled()
	return nil
}

// concerns says whether a sample can matter to the rule of the twin.
func (k *inquiry) concerns(s *rules.Sample) bool {
	return s.Twin == k.out.Twin || len(k.x.Program().Links()) > 0
}

// ours says whether a sample is one that the rule judges for the twin.
func (k *inquiry) ours(s *rules.Sample) bool {
	return s.Feed == k.x.Feed() && (s.Twin == k.out.Twin || slices.Contains(k.groups[k.out.Twin], s.Twin))
}

// judge judges the recording up to the sample, or up to the end of the timeline.
func (k *inquiry) judge(ctx context.Context) error {
	r := k.in.replay(k.x.Program())
	var wrong error
	last, judged := false, false
	r.Watch(Watch{Sample: func(s *rules.Sample) bool {
		judged = k.concerns(s) && (!last || !s.At.After(k.to))
		if !judged {
			return false
		}
		isTarget := k.ours(s) && spot{s.Seq, s.Index} == k.target.spot
		listed := k.ours(s) && k.within(s.At)
		if listed && len(k.waits) == maxMoments {
			k.out.Hidden++
			listed = false
		}
		if isTarget || listed {
			e, err := r.Explain(k.x, s)
			wrong = errors.Join(wrong, err)
			k.see(s, e, isTarget, listed)
		}
		last = last || isTarget
		return true
	}})
	err := k.in.play(ctx, k.q.Since, r, func(s *rules.Sample, out []rules.Outcome, err error) error {
		if s != nil && judged && k.ours(s) {
			k.facts.note(s)
			if err == nil {
				k.received++
			}
		}
		k.count(out)
		if !last {
			return nil
		}
		if o := k.out.Alert; o != nil && k.out.Clock == nil && (o.Seq != k.target.seq || o.Index != k.target.index) {
			k.out.Clock, err = r.ExplainClock(k.x, k.out.Twin, o.At)
			wrong = errors.Join(wrong, err)
		}
		f := r.Funnels()[k.out.Interaction]
		if k.out.Funnel == nil {
			k.out.Funnel = k.stages(f.Rules[slices.Index(f.Names, k.out.Rule)])
		}
		if k.to.IsZero() || s != nil && s.At.After(k.to) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, wrong)
}

func (k *inquiry) within(at time.Time) bool {
	return !k.from.IsZero() && !at.Before(k.from) && !at.After(k.to)
}

// see takes note of how a sample is judged.
func (k *inquiry) see(s *rules.Sample, e *rules.Explanation, isTarget, listed bool) {
	if isTarget {
		k.out.Sample = e
	}
	if !listed {
		return
	}
	text := "the rule does not judge it"
	if e != nil {
		text = e.Line()
	}
	k.waits = append(k.waits, Moment{s.At, "sample", text})
}

// count takes note of what the rule decided about the twin.
func (k *inquiry) count(out []rules.Outcome) {
	for i := range out {
		o := &out[i]
		if o.Rule != k.out.Rule || o.Interaction != k.out.Interaction || o.Twin != k.out.Twin {
			continue
		}
		if o.Kind == k.x.Does() {
			k.made++
		}
		if (o.Sticker != nil || o.Notice != nil) && k.within(o.At) {
			k.told = append(k.told, actionOf(o))
		}
		if o.Life != nil && o.Life.Event == rules.EventRaised {
			k.raised++
			if o.Life.Silent {
				k.silent++
			}
		}
		if o.Life != nil && k.in.Bus == nil && k.within(o.At) {
			k.told = append(k.told, momentOf(o))
		}
	}
}

// actionOf is what a rule does as a line of a timeline.
func actionOf(o *rules.Outcome) Moment {
	return Moment{o.At, strings.ToUpper(string(o.Kind)), o.Does()}
}

// momentOf is an event of an alert as a line of a timeline.
func momentOf(o *rules.Outcome) Moment {
	what, text := strings.ToUpper(o.Life.Event), []string{o.ID, o.Severity}
	if o.Life.Event == rules.EventAcknowledged {
		what = "ACKED"
	}
	if len(o.Data) > 2 {
		text = append(text, fields(o.Data))
	}
	if !o.Life.Active && !o.Ends.IsZero() {
		text = append(text, "after "+inWords(o.Ends.Sub(o.Starts)))
	} else if !o.Life.Pending.IsZero() && o.Life.Event == rules.EventRaised {
		text = append(text, "(true for "+inWords(o.At.Sub(o.Life.Pending))+")")
	}
	if o.Life.By != "" {
		text = append(text, "by "+o.Life.By)
	}
	if o.Life.Comment != "" {
		text = append(text, fmt.Sprintf("%q", o.Life.Comment))
	}
	if o.Life.Silent {
		text = append(text, "nobody is told")
	}
	return Moment{o.At, what, strings.Join(text, "  ")}
}

// fields are the members of an object, as name=value.
func fields(data []byte) string {
	raw, err := strictjson.Parse("data", data)
	if err != nil {
		return string(data)
	}
	var out []string
	for _, m := range raw.Members() {
		out = append(out, m.Name+"="+m.Value.Shown())
	}
	return strings.Join(out, " ")
}

// stages is the funnel of the rule for the twin.
func (k *inquiry) stages(f rules.Funnel) []Stage {
	known := f.True + f.False
	out := []Stage{{Name: "samples received", Count: k.received}, {Name: "matched source filter", Count: f.Received}}
	if f.Late > 0 {
		out = append(out, Stage{Name: "not late", Count: f.Received - f.Late})
	}
	if f.Skipped > 0 {
		out = append(out, Stage{Name: "judged", Count: known + f.Unknown + f.Errors})
	}
	out = append(out, Stage{Name: "all inputs known", Count: known}, Stage{Name: "condition true", Count: f.True})
	if does := k.x.Does(); does != rules.Alert {
		out = append(out, Stage{Name: string(does) + "s made", Count: k.made})
	} else {
		if k.x.Hold() > 0 {
			out = append(out, Stage{Name: "held for " + inWords(k.x.Hold()), Count: k.raised})
		}
		out = append(out, Stage{Name: "not suppressed", Count: k.raised - k.silent}, Stage{Name: "alerts raised", Count: k.raised - k.silent})
	}
	for i := 1; i < len(out); i++ {
		if out[i].Count == 0 && out[i-1].Count > 0 {
			out[i].Stops = true
			break
		}
	}
	return out
}

// finish puts the parts together.
func (k *inquiry) finish() {
	k.out.From, k.out.To = k.facts.first, k.facts.last
	k.out.Timeline = append(k.waits, k.told...)
	slices.SortStableFunc(k.out.Timeline, func(a, b Moment) int { return a.At.Compare(b.At) })
	if n := len(k.out.Timeline) - maxMoments; n > 0 {
		k.out.Timeline = k.out.Timeline[:maxMoments]
		k.out.Hidden += n
	}
	if e := k.out.Sample; e == nil {
		k.note("twin %q does not match the filter of the rule's source%s", k.out.Twin, k.closest(": ", []string{k.out.Twin}))
	}
	k.out.Notes = append(k.out.Notes, k.facts.notes(k.x)...)
	if silence := k.out.at.Sub(k.target.at); k.out.Alert == nil && silence > max(time.Minute, 5*k.facts.cadence()) {
		k.note("no sample since %s (%s)", instant(k.target.at), inWords(silence.Round(time.Second)))
	}
}

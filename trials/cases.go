package trials

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// caseJSON is one element of tests.json.
type caseJSON struct {
	Name       string         `json:"name" strict:"required"`
	Start      strictjson.Raw `json:"start"`
	Samples    strictjson.Raw `json:"samples"`
	File       strictjson.Raw `json:"file"`
	Until      strictjson.Raw `json:"until"`
	Twin       string         `json:"twin"`
	Feed       string         `json:"feed"`
	TwinColumn string         `json:"twinColumn"`
	TimeColumn string         `json:"timeColumn"`
	Twins      strictjson.Raw `json:"twins"`
	Want       strictjson.Raw `json:"want"`
	Never      strictjson.Raw `json:"never"`
	Exactly    bool           `json:"exactly"`
}

// want is an outcome that has to come.
type want struct {
	place   strictjson.Place
	at      time.Time // zero: at any time
	outcome partial
}

// partial are the members of an outcome that count.
type partial struct {
	place strictjson.Place
	value map[string]any
}

// listed are the tests of tests.json.
func (f *Folder) listed() {
	name := filepath.Join(f.Dir, casesFile)
	if !exists(name) {
		return
	}
	text, err := os.ReadFile(name)
	if err != nil {
		f.Err = err
		return
	}
	raw, err := strictjson.Parse(name, text)
	if err != nil {
		f.Err = err
		return
	}
	if raw.Kind() != strictjson.Array {
		f.Err = raw.At.Errorf("got %s; want an array of tests, such as [{\"name\":…,\"samples\":[…],\"want\":[…]}]", raw.Shown())
		return
	}
	if len(raw.Elems()) == 0 {
		f.Err = raw.At.Errorf("an empty list; want at least one test")
		return
	}
	names := map[string]bool{}
	for i, r := range raw.Elems() {
		c := f.listedCase(r)
		if c.Name == "" {
			c.Name = fmt.Sprintf("test %d", i+1)
		}
		if names[c.Name] {
			c.Err = strictjson.Join(c.Err, r.Member("name").At.Errorf("test %q is there twice; want each name once", c.Name))
		}
		names[c.Name] = true
		f.Cases = append(f.Cases, c)
	}
}

// caseReader reads one case and gathers what is wrong with it.
type caseReader struct {
	folder *Folder
	raw    strictjson.Raw
	doc    caseJSON
	clock  clock
	errs   []error
}

func (c *caseReader) errorf(at strictjson.Place, format string, args ...any) {
	c.errs = append(c.errs, at.Errorf(format, args...))
}

func (f *Folder) listedCase(r strictjson.Raw) *Case {
	out := &Case{folder: f, Place: placed(r.At), file: r.At.File(), twins: f.twins}
	c := &caseReader{folder: f, raw: r, clock: clock{day: firstDay, origin: firstDay}}
	c.errs = append(c.errs, r.Decode(&c.doc))
	out.Name, out.exactly = c.doc.Name, c.doc.Exactly
	if r.Kind() == strictjson.Object {
		c.samples(out)
		c.described(out)
		c.wants(out)
		c.nevers(out)
		c.asserts(out)
	}
	out.Err = strictjson.Join(c.errs...)
	return out
}

// samples reads those of the case, and with them what its times count from.
func (c *caseReader) samples(out *Case) {
	if r := c.doc.Start; !r.IsZero() {
		at, ok := parseAbsolute(r.Str())
		if !ok {
			c.errorf(r.At, `got %s; want a time with its day, such as "2026-11-02T22:00:00+01:00"`, r.Shown())
		}
		c.clock.begin(at, true)
	}
	switch hasFile := !c.doc.File.IsZero(); {
	case hasFile && !c.doc.Samples.IsZero():
		c.errorf(c.doc.File.At, `both "samples" and "file"; want one of them`)
	case hasFile:
		c.fileSamples(out)
	case c.doc.Samples.IsZero() && c.doc.Until.IsZero():
		c.errorf(c.raw.At, `no samples; want "samples" or "file"`)
	default:
		c.inline(out)
	}
	if r := c.doc.Until; !r.IsZero() {
		var err error
		out.until, err = c.clock.read(r)
		c.errs = append(c.errs, err)
	}
}

func (c *caseReader) fileSamples(out *Case) {
	if c.doc.File.Str() == "" {
		c.errorf(c.doc.File.At, "got %s; want the name of a file of samples", c.doc.File.Shown())
		return
	}
	out.file = filepath.Join(c.folder.Dir, c.doc.File.Str())
	how := c.folder.reading()
	how.twin, how.twinColumn, how.timeColumn = c.doc.Twin, c.doc.TwinColumn, c.doc.TimeColumn
	if c.doc.Feed != "" {
		how.feed = c.doc.Feed
	}
	var err error
	if out.samples, err = readSamples(out.file, how); err != nil {
		c.errs = append(c.errs, c.doc.File.At.Errorf("%w", err))
	}
	if len(out.samples) > 0 {
		c.clock.begin(out.samples[0].At, true)
	}
}

// inline reads samples that stand in the case.
func (c *caseReader) inline(out *Case) {
	if r := c.doc.Samples; !r.IsZero() && r.Kind() != strictjson.Array {
		c.errorf(r.At, `got %s; want an array of samples such as {"at":"00:05","twin":"machine_1","feed":"currentTemp","data":{"temperature":31}}`, r.Shown())
		return
	}
	elems := c.doc.Samples.Elems()
	if len(elems) == 0 && c.doc.Until.IsZero() {
		c.errorf(c.doc.Samples.At, "an empty list; want at least one sample")
	}
	for _, r := range elems {
		s, ok := c.sample(r)
		if ok {
			out.samples = append(out.samples, s)
		}
	}
}

// sample reads {"at","twin","feed","data"}.
func (c *caseReader) sample(r strictjson.Raw) (rules.Sample, bool) {
	before := len(c.errs)
	doc := struct {
		At         strictjson.Raw `json:"at"`
		OccurredAt strictjson.Raw `json:"occurredAt"`
		Twin       string         `json:"twin"`
		Feed       string         `json:"feed"`
		Data       strictjson.Raw `json:"data" strict:"required"`
	}{Twin: c.doc.Twin, Feed: c.defaultFeed()}
	if err := r.Decode(&doc); err != nil {
		c.errs = append(c.errs, err)
	}
	if r.Kind() != strictjson.Object {
		return rules.Sample{}, false
	}
	s := rules.Sample{Twin: doc.Twin, Feed: doc.Feed, Seq: uint64(position(r.At).Line)}
	switch {
	case !doc.At.IsZero() && !doc.OccurredAt.IsZero():
		c.errorf(r.At, `both "at" and "occurredAt"; want one of them`)
	case doc.At.IsZero() && doc.OccurredAt.IsZero():
		c.errorf(r.At, `field "at" is missing; %s`, wantTime)
	default:
		when := doc.At
		if when.IsZero() {
			when = doc.OccurredAt
		}
		var err error
		s.At, err = c.clock.first(when)
		c.errs = append(c.errs, err)
	}
	if s.Twin == "" {
		c.errorf(r.At, `no twin; want "twin" here, or in the test for all of its samples`)
	}
	if s.Feed == "" {
		c.errorf(r.At, `no feed; want "feed" here, or in the test for all of its samples`)
	}
	switch {
	case doc.Data.IsZero():
	case doc.Data.Kind() != strictjson.Object:
		c.errorf(doc.Data.At, `got %s; want an object such as {"temperature":31}`, doc.Data.Shown())
	default:
		var line bytes.Buffer
		if err := json.Compact(&line, doc.Data.Text()); err != nil {
			c.errorf(doc.Data.At, "%v", err)
		}
		s.Data = line.Bytes()
	}
	return s, !slices.ContainsFunc(c.errs[before:], func(err error) bool { return err != nil })
}

func (c *caseReader) defaultFeed() string {
	how := c.folder.reading()
	how.feed = c.doc.Feed
	return how.onlyFeed()
}

// described reads twins that stand in the case.
func (c *caseReader) described(out *Case) {
	r := c.doc.Twins
	switch r.Kind() {
	case strictjson.None:
		return
	case strictjson.Null:
		out.twins = nil
		return
	}
	list, err := twins.Decode(r)
	c.errs = append(c.errs, err)
	if list == nil {
		list = []twins.Twin{}
	}
	out.twins = list
}

func (c *caseReader) wants(out *Case) {
	r := c.doc.Want
	if !r.IsZero() && r.Kind() != strictjson.Array {
		c.errorf(r.At, `got %s; want an array such as [{"at":"00:05","outcome":{"rule":"too-hot","event":"raised"}}]`, r.Shown())
	}
	for _, e := range r.Elems() {
		var doc struct {
			At      strictjson.Raw `json:"at"`
			Outcome strictjson.Raw `json:"outcome" strict:"required"`
		}
		if err := e.Decode(&doc); err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		w := want{place: e.At, outcome: c.partial(doc.Outcome)}
		if !doc.At.IsZero() {
			var err error
			w.at, err = c.clock.read(doc.At)
			c.errs = append(c.errs, err)
		}
		out.want = append(out.want, w)
	}
}

func (c *caseReader) nevers(out *Case) {
	r := c.doc.Never
	if !r.IsZero() && r.Kind() != strictjson.Array {
		c.errorf(r.At, `got %s; want an array such as [{"rule":"too-hot","event":"raised"}]`, r.Shown())
	}
	for _, e := range r.Elems() {
		out.never = append(out.never, c.partial(e))
	}
}

// asserts refuses a test that could never fail.
func (c *caseReader) asserts(out *Case) {
	if len(c.doc.Want.Elems()) == 0 && len(c.doc.Never.Elems()) == 0 && (!out.exactly || c.doc.Want.IsZero()) {
		c.errorf(c.raw.At, `wants nothing and forbids nothing; want "want", or "never" such as [{"event":"raised"}]`)
	}
}

// outcomeFields are the members that an outcome can have, each with the words it
// can be where it is one of few.
var outcomeFields = map[string][]string{
	"kind":  {string(rules.Output), string(rules.Alert), string(rules.Notification), string(rules.Sticker), string(rules.Command)},
	"event": rules.ActionEvents(),
	"op":    {rules.PutSticker, rules.RemoveSticker},
	"mode":  {"shadow"},
	"state": {rules.StateFiring, rules.StateResolved},
	"status": {
		rules.StatusFiring, rules.StatusAcknowledged, rules.StatusRecovering, rules.StatusShelved, rules.StatusSuppressed, rules.StatusLatched, rules.StatusCleared, rules.StatusClosed,
	},
	"severity":         {"critical", "major", "minor", "warning", "info"},
	"previousSeverity": {"critical", "major", "minor", "warning", "info"},
	"condition":        {"active", "normal"},
	"reason": {
		rules.ReasonCondition, rules.ReasonTimer, rules.ReasonAbsent, rules.ReasonManual, rules.ReasonRuleChanged, rules.ReasonRuleDeleted, rules.ReasonTwinRemoved,
	},
	"interaction": nil, "rule": nil, "twin": nil, "id": nil, "topic": nil, "feed": nil, "occurredAt": nil, "data": nil, "cause": nil,
	"seq": nil, "key": nil, "fingerprint": nil, "severityLabel": nil, "pendingSince": nil, "ack": nil, "latched": nil, "flapping": nil,
	"suppression": nil, "counts": nil, "notify": nil, "by": nil, "comment": nil, "description": nil, "runbook": nil, "revision": nil,
	"startsAt": nil, "endsAt": nil, "summary": nil, "labels": nil,
	"color": nil, "onTwin": nil, "own": nil, "account": nil, "note": nil, "recipients": nil, "validity_ts": nil, "publish": nil, "onExisting": {rules.KeepSticker, rules.ReplaceSticker, rules.RefuseSticker}, "onRemove": {rules.Acknowledge, rules.Clear}, "body": nil,
}

// partial reads members of an outcome. A slip would let a test pass that forbids
// it, so names and words are checked.
func (c *caseReader) partial(r strictjson.Raw) partial {
	p := partial{place: r.At}
	if r.Kind() != strictjson.Object {
		c.errorf(r.At, `got %s; want members of an outcome, such as {"rule":"too-hot","event":"raised"}`, r.Shown())
		return p
	}
	known := slices.Collect(maps.Keys(outcomeFields))
	for _, m := range r.Members() {
		words, ok := outcomeFields[m.Name]
		switch m.Name {
		case "rule":
			words = c.folder.ruleNames()
		case "interaction":
			words = slices.Sorted(maps.Keys(c.folder.programs))
		}
		switch {
		case !ok:
			c.errs = append(c.errs, strictjson.Unknown(r, m, known))
		case words != nil && !slices.Contains(words, m.Value.Str()):
			c.errorf(m.Value.At, "no %s %s%s", m.Name, m.Value.Shown(), oneOf(m.Value.Str(), words))
		}
	}
	p.value, _ = r.Any().(map[string]any)
	return p
}

// oneOf is the hint for a word that is none of the known ones.
func oneOf(written string, known []string) string {
	if hint := strictjson.DidYouMean(written, known); hint != "" {
		return hint
	}
	return "; want one of " + join(known)
}

func (f *Folder) ruleNames() []string {
	var out []string
	for _, p := range f.programs {
		out = append(out, p.Rules()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func join(list []string) string {
	const most = 12
	if len(list) > most {
		list = append(slices.Clone(list[:most]), "…")
	}
	return strings.Join(list, ", ")
}

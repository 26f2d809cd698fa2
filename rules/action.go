package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
)

// actions are what an alert does at its events, beside being told.
type actions struct {
	stickers []stickerAction
	notices  []noticeAction
	fills    []field // of the sample, that their texts read
}

// stickerAction is a StickerSpec, compiled.
type stickerAction struct {
	*StickerSpec
	on                 eventSet
	twin, color, note  pattern
	put, remove, lapse []pattern // topics
}

// noticeAction is a NoticeSpec, compiled.
type noticeAction struct {
	*NoticeSpec
	on    eventSet
	topic pattern
	body  *template // nil: what is known of the alert
}

// putSticker is a sticker that an alert has put and takes off when it clears,
// whatever the rule and the sample say by then.
type putSticker struct {
	Entry   int    `json:"entry,omitempty"` // in actions.stickers
	Twin    string `json:"twin"`
	Color   string `json:"color"`
	Account string `json:"account,omitempty"`
}

// pattern is a text with {{field}} in it. Beside fields it knows words of the
// alert: see alertWords.
type pattern []blank

// blank is a literal text, a word of the alert, or a field of the sample.
type blank struct{ text, word, field string }

// alertWords are what texts may say of the alert, unless the feed has a field of
// that name.
var alertWords = map[string]func(*filling) string{
	"twin":        func(f *filling) string { return f.mo.twin },
	"interaction": func(f *filling) string { return f.mo.p.in.ID },
	"rule":        func(f *filling) string { return f.a.name },
	"event":       func(f *filling) string { return f.event },
	"severity":    func(f *filling) string { return f.a.severityOf(f.e) },
	"summary":     func(f *filling) string { return f.e.summary },
}

// isStatic says whether the text is the same at all times.
func (p pattern) isStatic() bool {
	return !slices.ContainsFunc(p, func(b blank) bool { return b.text == "" })
}

// template is a JSON value whose strings are patterns.
type template struct {
	kind    strictjson.Kind
	text    pattern     // of a string
	names   []string    // of an object: quoted, with their colons
	parts   []*template // of an object or an array
	literal []byte      // of anything else
}

// actions compiles what an alert does.
func (c *compiler) actions(spec *RuleSpec, a *alertRule) {
	for i := range spec.Alert.Stickers {
		c.sticker(spec, &spec.Alert.Stickers[i], a)
	}
	for i := range spec.Alert.Notices {
		c.notice(spec, &spec.Alert.Notices[i], a)
	}
	c.clashingStickers(a)
}

func (c *compiler) sticker(spec *RuleSpec, s *StickerSpec, a *alertRule) {
	out := stickerAction{StickerSpec: s, on: on(s.On, s.defaultOn())}
	out.twin = c.pattern(spec, s.Twin, at(s.raw, "twin"), a, nil)
	out.color = c.pattern(spec, s.Color, at(s.raw, "color"), a, CheckStickerColor)
	out.note = c.pattern(spec, s.Note, at(s.raw, "note"), a, CheckStickerNote)
	out.put = c.topics(spec, s, "on_put", s.Publish.Put, a)
	out.remove = c.topics(spec, s, "on_remove", s.Publish.Remove, a)
	out.lapse = c.topics(spec, s, "on_expire", s.Publish.Expire, a)
	if s.Twin == "" && spec.GroupBy != nil {
		c.errorf(s.raw.At.Start().As(CodeNeeds), `no "twin", and the rule is of a group of twins; want the twin that has the sticker`)
	}
	c.unlikely(s.raw, s.Recipients)
	a.stickers = append(a.stickers, out)
}

// topics compiles the topics of one event of a sticker.
func (c *compiler) topics(spec *RuleSpec, s *StickerSpec, event string, topics []string, a *alertRule) (out []pattern) {
	written := s.raw.Member("publish")
	for i, topic := range topics {
		place := written.At
		if m := written.Member(event); !m.IsZero() {
			place = elemAt(written, event, i)
		}
		out = append(out, c.pattern(spec, topic, place, a, CheckTopic))
	}
	return out
}

func (c *compiler) notice(spec *RuleSpec, n *NoticeSpec, a *alertRule) {
	out := noticeAction{NoticeSpec: n, on: on(n.On, EventRaised)}
	out.topic = c.pattern(spec, n.Topic, at(n.raw, "topic"), a, CheckTopic)
	if !n.Body.IsZero() {
		out.body = c.template(spec, n.Body, a)
	}
	c.unlikely(n.raw, n.Recipients)
	a.notices = append(a.notices, out)
}

// unlikely warns of recipients that are no ids: nobody has them.
func (c *compiler) unlikely(raw strictjson.Raw, recipients []string) {
	for i, id := range recipients {
		if !isUUID(id) {
			c.warnf(elemAt(raw, "recipients", i).As(CodeRecipient), "recipient %q is not the UUID of a user, a role or an account, so nobody is it", shownText(id))
		}
	}
}

// isUUID says whether a text is 8-4-4-4-12 hexadecimal digits.
func isUUID(s string) bool {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(s) != len(form) {
		return false
	}
	for i := range len(s) {
		if form[i] == '-' && s[i] != '-' || form[i] == 'x' && !strings.Contains("0123456789abcdefABCDEF", s[i:i+1]) {
			return false
		}
	}
	return true
}

// template compiles a body.
func (c *compiler) template(spec *RuleSpec, r strictjson.Raw, a *alertRule) *template {
	t := &template{kind: r.Kind()}
	switch t.kind {
	case strictjson.String:
		t.text = c.pattern(spec, r.Str(), r.At, a, nil)
	case strictjson.Object:
		for _, m := range r.Members() {
			t.names = append(t.names, quoted(m.Name)+":")
			t.parts = append(t.parts, c.template(spec, m.Value, a))
		}
	case strictjson.Array:
		for _, e := range r.Elems() {
			t.parts = append(t.parts, c.template(spec, e, a))
		}
	default:
		t.literal = r.Text()
	}
	return t
}

// pattern compiles a text; one that says the same at all times is checked here.
func (c *compiler) pattern(spec *RuleSpec, text string, place strictjson.Place, a *alertRule, check func(string) error) pattern {
	segments, err := parseSummary(text)
	if err != nil {
		c.errorf(place, "%v", err)
		return nil
	}
	var out pattern
	for _, s := range segments {
		out = append(out, c.blank(spec, s, place, a))
	}
	if check == nil || !out.isStatic() || text == "" {
		return out
	}
	if err := check(text); err != nil {
		c.errorf(place, "%v", err)
	}
	return out
}

func (c *compiler) blank(spec *RuleSpec, s segment, place strictjson.Place, a *alertRule) blank {
	if s.path == nil {
		return blank{text: s.text}
	}
	name, feed := s.path[0], c.feed(a.rule)
	declared := feed != nil && slices.Contains(feed.FieldIDs, name)
	if _, ok := alertWords[name]; ok && len(s.path) == 1 && !declared {
		return blank{word: name}
	}
	c.reads(spec, a.rule, s.path, place)
	path := strings.Join(s.path, ".")
	if f := (field{path, quoted(path) + ":", a.plan.field(s.path...)}); !slices.Contains(a.fills, f) {
		a.fills = append(a.fills, f)
	}
	if feed != nil && !a.rule.stateful.makes(name) && !feed.covers(s.path...) {
		known := append(slices.Clone(feed.FieldIDs), "summary", "severity", "event", "twin", "interaction", "rule")
		c.warnf(place.As(CodeBlank), "field %q is not among the fieldIds of feed %q%s", path, feed.ID, nearest(path, known))
	}
	return blank{field: path}
}

// clashingStickers finds entries of one rule that are at odds: at one event they
// do something to the same sticker.
func (c *compiler) clashingStickers(a *alertRule) {
	for i := range a.stickers {
		s := &a.stickers[i]
		if s.TakeOff && s.on.has(EventCleared) {
			c.errorf(at(s.raw, "on").As(CodeContradicts), `puts the sticker on "cleared", and takes it off then; want "removeOnClear":false, or other events`)
		}
		for j := range a.stickers[:i] {
			o := &a.stickers[j]
			if s.Twin != o.Twin || s.Color != o.Color || s.Account != o.Account || s.Color == "" {
				continue
			}
			both := s.on & o.on
			if s.Op == RemoveSticker && o.TakeOff || o.Op == RemoveSticker && s.TakeOff {
				both |= (s.on | o.on) & on(nil, EventCleared)
			}
			if both == 0 {
				continue
			}
			what := "puts"
			if o.Op == RemoveSticker || s.on&o.on == 0 && o.TakeOff {
				what = "removes"
			}
			c.errorf(at(s.raw, "color").As(CodeContradicts), "another entry %s sticker %q on %q too; want one entry for it, or other events", what, s.Color, both.first())
		}
	}
}

// first is the event that comes first of a set.
func (s eventSet) first() string {
	for i, name := range actionEvents {
		if s>>i&1 == 1 {
			return name
		}
	}
	return ""
}

// filling fills patterns at one event of an alert.
type filling struct {
	a     *alertRule
	mo    moment // its own: it must not make that of every sample escape
	e     *episode
	event string
	known map[string]json.RawMessage // fields of the sample by their paths
	err   error                      // the first text that cannot be made
}

// maxNoticeBody is the largest body of a notification, in bytes: Trusted Twin's
// bound on what its API takes. No text is longer.
const maxNoticeBody = 64 << 10

// maxTwinID bounds the id of a sticker's twin, in bytes.
const maxTwinID = 1024

func (f *filling) fail(what string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("%s: %w", what, err)
	}
}

// text fills a pattern. A field that is absent or null is an error: half a text
// would be the name of something else.
func (f *filling) text(p pattern, what string, check func(string) error) string {
	text := string(f.fill(nil, p, what))
	if check != nil && f.err == nil {
		if err := check(text); err != nil {
			f.fail(what, err)
		}
	}
	return text
}

func (f *filling) fill(b []byte, p pattern, what string) []byte {
	for i := range p {
		switch s := &p[i]; {
		case s.word != "":
			b = append(b, alertWords[s.word](f)...)
		case s.field != "":
			value := f.known[s.field]
			if len(value) == 0 || value[0] == 'n' {
				f.fail(what, fmt.Errorf("the sample has no field %q", s.field))
			}
			b = appendPlain(b, value)
		default:
			b = append(b, s.text...)
		}
		if len(b) > maxNoticeBody {
			f.fail(what, fmt.Errorf("more than %d bytes", maxNoticeBody))
			return nil
		}
	}
	return b
}

// append appends a template, filled.
func (f *filling) append(b []byte, t *template) []byte {
	switch t.kind {
	case strictjson.String:
		return AppendText(b, f.text(t.text, "body", nil))
	case strictjson.Object:
		b = append(b, '{')
		for i, part := range t.parts {
			b = f.append(append(appendComma(b, i), t.names[i]...), part)
		}
		return append(b, '}')
	case strictjson.Array:
		b = append(b, '[')
		for i, part := range t.parts {
			b = f.append(appendComma(b, i), part)
		}
		return append(b, ']')
	}
	return append(b, t.literal...)
}

// act appends what the rule does at an event. Stickers are moved whether
// somebody is told or not: they say how the twin is, as the condition does.
// Notifications are told when the alert is; telling is the event for them.
func (a *alertRule) act(mo *moment, e *episode, event, telling string, out []Outcome) []Outcome {
	if len(a.stickers)+len(a.notices)+len(e.put) == 0 {
		return out
	}
	f := &filling{a: a, mo: *mo, e: e, event: event}
	f.know()
	if event == EventCleared {
		out = f.takeOff(func(putSticker) bool { return true }, out)
	}
	for i := range a.stickers {
		if s := &a.stickers[i]; s.on.has(event) {
			out = f.sticker(i, s, out)
		}
	}
	f.event = telling
	for i := range a.notices {
		if n := &a.notices[i]; n.on.has(telling) {
			out = f.notice(n, out)
		}
	}
	return out
}

// tellingOf is the event that notifications are told of; "": none. An alert that
// was raised while nobody was to be told is raised for them when it is told.
func tellingOf(event string, quiet, wasTold bool) string {
	switch {
	case event == EventSuppressed, event == EventShelved, event == EventCommented: // whoever asks for them means it
		return event
	case quiet:
		return ""
	case event != EventUnsuppressed && event != EventUnshelved:
		return event
	case !wasTold:
		return EventRaised
	}
	return event
}

// know finds the fields that the texts read: in the sample or, where there is
// none, as the last one had them.
func (f *filling) know() {
	a, e, v := f.a, f.e, f.mo.v
	if len(a.fills) == 0 {
		return
	}
	if v == nil || v.plan != a.plan {
		if len(e.fills) > 0 && json.Unmarshal(e.fills, &f.known) != nil {
			f.known = nil
		}
		return
	}
	f.known, e.fills = map[string]json.RawMessage{}, e.fills[:0]
	for i := range a.fills {
		if fill := &a.fills[i]; v.raw(fill.at) != nil {
			value := compacted(v.raw(fill.at))
			f.known[fill.name] = value
			e.fills = append(append(opened(e.fills), fill.key...), value...)
		}
	}
	if len(e.fills) > 0 {
		e.fills = append(e.fills, '}')
	}
}

// compacted is a copy of a value as a snapshot keeps it, so that a text is the
// same before and after.
func compacted(value []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return slices.Clone(value)
	}
	return b.Bytes()
}

// outcome is one of a kind that an alert makes, without its content.
func (f *filling) outcome(kind Kind, feed string, out []Outcome) Outcome {
	mo := f.mo
	return Outcome{
		Kind: kind, Interaction: mo.p.in.ID, Rule: f.a.name, Twin: mo.twin, Feed: feed, At: mo.at, Source: mo.twin, Shadow: f.a.shadow, ID: f.e.id,
		Data: f.e.appendData(spare(out)), Seq: mo.seq, Index: mo.index, Hops: mo.hops,
	}
}

// add appends an outcome; what cannot be made is for the dead letters.
func (f *filling) add(o Outcome, out []Outcome) []Outcome {
	if f.err != nil {
		f.mo.st.counters.rules[f.a.index].NotMade++
		o.Refused = fmt.Sprintf("%s of rule %q: %v", o.Kind, f.a.name, f.err)
		f.err = nil
	}
	return append(out, o)
}

// takeOff removes stickers that the alert has put.
func (f *filling) takeOff(which func(putSticker) bool, out []Outcome) []Outcome {
	kept := f.e.put[:0]
	for _, p := range f.e.put {
		if !which(p) {
			kept = append(kept, p)
			continue
		}
		o := f.outcome(Sticker, p.Color, out)
		o.Sticker = &StickerChange{Op: RemoveSticker, Event: f.event, Twin: p.Twin, Account: p.Account, Color: p.Color, Own: true}
		out = append(out, o)
	}
	f.e.put = kept
	return out
}

// sticker appends one change of a sticker. What the rule takes off again it
// remembers; where that has another colour now, or is on another twin, it goes.
func (f *filling) sticker(entry int, s *stickerAction, out []Outcome) []Outcome {
	change := f.change(s)
	if s.Op == PutSticker && s.TakeOff && f.err == nil {
		put := putSticker{entry, change.Twin, change.Color, change.Account}
		out = f.takeOff(func(p putSticker) bool { return p.Entry == entry && p != put }, out)
		if !slices.Contains(f.e.put, put) {
			f.e.put = append(f.e.put, put)
		}
	}
	o := f.outcome(Sticker, change.Color, out)
	o.Sticker = change
	return f.add(o, out)
}

// change is what a sticker action means at this event.
func (f *filling) change(s *stickerAction) *StickerChange {
	change := &StickerChange{
		Op: s.Op, Event: f.event, Twin: f.mo.twin, Account: s.Account, Color: f.text(s.color, "color", CheckStickerColor), Note: f.text(s.note, "note", CheckStickerNote),
		Recipients: s.Recipients, Until: s.Until, Publish: StickerTopics{f.topics(s.put), f.topics(s.remove), f.topics(s.lapse)}, OnExisting: s.OnExisting, OnRemove: s.OnRemove,
	}
	if s.Twin != "" {
		change.Twin = f.text(s.twin, "twin", checkTwinID)
	}
	if s.Validity > 0 {
		change.Until = f.mo.at.Add(s.Validity).Truncate(time.Millisecond).UTC()
	}
	return change
}

func checkTwinID(id string) error {
	if id == "" || len(id) > maxTwinID || !utf8.ValidString(id) {
		return fmt.Errorf("got the twin %q; want 1 to %d bytes", shownText(id), maxTwinID)
	}
	return nil
}

// topics fills them.
func (f *filling) topics(topics []pattern) (out []string) {
	for _, p := range topics {
		out = append(out, f.text(p, "publish", CheckTopic))
	}
	return out
}

// notice appends what the subscribers of a topic are told.
func (f *filling) notice(n *noticeAction, out []Outcome) []Outcome {
	notice := &Notice{Event: f.event, Account: n.Account, Topic: f.text(n.topic, "topic", CheckTopic), Recipients: n.Recipients, Body: f.body(n)}
	o := f.outcome(Notification, notice.Topic, out)
	o.Notice = notice
	return f.add(o, out)
}

// body fills the body of a notification.
func (f *filling) body(n *noticeAction) []byte {
	if n.body == nil {
		return f.defaultBody()
	}
	b := f.append(nil, n.body)
	if len(b) > maxNoticeBody {
		f.fail("body", fmt.Errorf("%d bytes; want at most %d", len(b), maxNoticeBody))
	}
	return b
}

// defaultBody is what is known of the alert.
func (f *filling) defaultBody() []byte {
	b := AppendText([]byte(`{"interaction":`), f.mo.p.in.ID)
	b = AppendText(append(b, `,"rule":`...), f.a.name)
	b = AppendText(append(b, `,"twin":`...), f.mo.twin)
	b = AppendText(append(b, `,"event":`...), f.event)
	b = AppendText(append(b, `,"severity":`...), f.a.severityOf(f.e))
	b = AppendText(append(b, `,"summary":`...), f.e.summary)
	return append(f.e.appendData(append(b, `,"data":`...)), '}')
}

package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
)

// StickerSpec is what a rule does to a sticker at events of its alert. Twin,
// Color, Note and the topics are texts with {{field}}.
type StickerSpec struct {
	On         []string // events of an alert; nil: the default
	Op         string   // PutSticker or RemoveSticker
	Twin       string   // "": the twin that is judged
	Color      string
	Note       string
	Account    string // "": the installation's own
	Recipients []string
	Validity   time.Duration // 0: see Until
	Until      time.Time     // zero: as long as a sticker may stay
	Publish    StickerTopics
	OnExisting string // "": KeepSticker
	OnRemove   string // Acknowledge or Clear: what a recipient who takes it off does to the alert; "": nothing
	TakeOff    bool   // it is removed when the alert clears

	raw strictjson.Raw
}

// NoticeSpec is what a rule tells the subscribers of a topic at events of its
// alert. Topic and all strings in Body are texts with {{field}}.
type NoticeSpec struct {
	On         []string // events of an alert; nil: the default
	Topic      string
	Body       strictjson.Raw // a text, an object or an array; None: what is known of the alert
	Account    string         // "": the installation's own
	Recipients []string       // nil: all who subscribe

	raw strictjson.Raw
}

// Raw is the sticker as it was written; of a rule of that kind, the rule.
func (s *StickerSpec) Raw() strictjson.Raw { return s.raw }

// actionEvents are the events at which a rule may do something. Their order is
// that of the bits in an eventSet.
var actionEvents = []string{
	EventRaised, EventUpdated, EventCleared, EventRepeated, EventAcknowledged, EventUnacknowledged, EventCommented, EventShelved, EventUnshelved,
	EventSuppressed, EventUnsuppressed, EventFlapping, EventReset, EventClosed,
}

// ActionEvents are the events of an alert that "on" may name.
func ActionEvents() []string { return slices.Clone(actionEvents) }

// eventSet is a set of actionEvents.
type eventSet uint16

func eventsOf(names []string) (set eventSet) {
	for _, name := range names {
		if i := slices.Index(actionEvents, name); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

func (s eventSet) has(event string) bool { return s&eventsOf([]string{event}) != 0 }

// The members of a sticker and of a notification in a document.
var (
	stickerNames = []string{"on", "op", "twin", "color", "note", "recipients", "validity", "validity_ts", "publish", "onExisting", "onRemove", "removeOnClear", "account"}
	noticeNames  = []string{"on", "topic", "body", "recipients", "account"}
)

// actionNames are the members, by the kind of rule, that say what it does.
var actionNames = map[Kind][]string{Alert: {"stickers", "notifications"}, Sticker: stickerNames, Notification: noticeNames}

// raws are the members of an object, each to be read later.
func raws(names []string) fields {
	known := fields{}
	for _, name := range names {
		known[name] = new(strictjson.Raw)
	}
	return known
}

// stickerRule reads a rule of kind sticker: an alert that is not told and does
// one thing. What it puts stays as long as its conditions hold.
func (d *decoder) stickerRule(r strictjson.Raw) RuleSpec {
	a := &AlertSpec{Does: Sticker}
	spec := d.alertOf(r, a, raws(stickerNames))
	s := d.stickerOf(r, true)
	d.ofNoAlert(r)
	if s.On == nil {
		s.On = []string{EventRaised}
	}
	a.Stickers = []StickerSpec{s}
	return spec
}

// noticeRule reads a rule of kind notification.
func (d *decoder) noticeRule(r strictjson.Raw) RuleSpec {
	a := &AlertSpec{Does: Notification}
	spec := d.alertOf(r, a, raws(noticeNames))
	a.Notices = []NoticeSpec{d.noticeOf(r)}
	d.ofNoAlert(r)
	return spec
}

// ofNoAlert complains about what people make of an alert that is told.
func (d *decoder) ofNoAlert(r strictjson.Raw) {
	if m := r.Member("onRemove"); !m.IsZero() {
		d.errorf(m.At.As(CodeNoMeaning), `"onRemove" acts on an alert, and nobody sees the one of this rule; want the sticker among an alert's stickers`)
	}
	for _, e := range oneOrAll(r.Member("on")) {
		switch e.Str() {
		case EventAcknowledged, EventUnacknowledged, EventCommented, EventShelved, EventUnshelved, EventReset, EventClosed:
			d.errorf(e.At.As(CodeNoMeaning), "%q is of alerts that are told; want this in an alert's stickers or notifications", e.Str())
		}
	}
}

// oneOrAll are the elements of a list, or the value itself.
func oneOrAll(r strictjson.Raw) []strictjson.Raw {
	switch r.Kind() {
	case strictjson.None:
		return nil
	case strictjson.Array:
		return r.Elems()
	}
	return []strictjson.Raw{r}
}

func (d *decoder) sticker(r strictjson.Raw) StickerSpec {
	d.shaped(r, `{"color":"red","recipients":["…"]}`, raws(stickerNames))
	return d.stickerOf(r, false)
}

func (d *decoder) notice(r strictjson.Raw) NoticeSpec {
	d.shaped(r, `{"topic":"new-request"}`, raws(noticeNames))
	return d.noticeOf(r)
}

// stickerOf reads a sticker out of an object that may have other members too.
func (d *decoder) stickerOf(r strictjson.Raw, takeOff bool) StickerSpec {
	s := StickerSpec{Op: PutSticker, TakeOff: takeOff, raw: r}
	if r.Kind() != strictjson.Object {
		return s
	}
	d.word(r.Member("op"), &s.Op, PutSticker, RemoveSticker)
	s.On = d.events(r.Member("on"))
	d.into(r.Member("twin"), (*optionalName)(&s.Twin))
	d.into(r.Member("account"), (*optionalName)(&s.Account))
	d.into(r.Member("color"), (*optionalName)(&s.Color))
	d.required(r, "color")
	if s.Op == RemoveSticker {
		s.TakeOff = false
		for _, name := range []string{"note", "recipients", "validity", "validity_ts", "publish", "onExisting", "onRemove", "removeOnClear"} {
			if m := r.Member(name); !m.IsZero() {
				d.errorf(m.At.As(CodeNoMeaning), `%q is of a sticker that is put; "op":"remove" takes on, twin, color and account`, name)
			}
		}
		return s
	}
	d.into(r.Member("note"), (*optionalName)(&s.Note))
	d.required(r, "recipients")
	s.Recipients = d.recipients(r.Member("recipients"))
	d.validity(r, &s)
	s.Publish = d.publish(r.Member("publish"), s.Color)
	d.word(r.Member("onExisting"), &s.OnExisting, KeepSticker, ReplaceSticker, RefuseSticker)
	d.word(r.Member("onRemove"), &s.OnRemove, Acknowledge, Clear)
	if m := r.Member("removeOnClear"); !m.IsZero() {
		d.into(m, &s.TakeOff)
	}
	return s
}

// noticeOf reads a notification out of an object that may have other members too.
func (d *decoder) noticeOf(r strictjson.Raw) NoticeSpec {
	n := NoticeSpec{raw: r}
	if r.Kind() != strictjson.Object {
		return n
	}
	n.On = d.events(r.Member("on"))
	d.into(r.Member("account"), (*optionalName)(&n.Account))
	d.into(r.Member("topic"), (*optionalName)(&n.Topic))
	d.required(r, "topic")
	n.Body = r.Member("body")
	switch n.Body.Kind() {
	case strictjson.None, strictjson.String, strictjson.Object, strictjson.Array:
	default:
		d.wrong(n.Body, strictjson.Object, "a text, an object or an array, whose texts may have {{field}} in them")
		n.Body = strictjson.Raw{}
	}
	n.Recipients = d.recipients(r.Member("recipients"))
	return n
}

// optionalName is named for a member that need not be there.
type optionalName string

// DecodeStrict reads the text.
func (n *optionalName) DecodeStrict(r strictjson.Raw) error {
	if r.IsZero() {
		return nil
	}
	return (*named)(n).DecodeStrict(r)
}

// events reads one event of an alert, or several.
func (d *decoder) events(r strictjson.Raw) []string {
	return d.wordsOf(r, "the events of an alert", actionEvents)
}

// wordsOf reads one of the known words, or a list of them, each once; nil: none.
func (d *decoder) wordsOf(r strictjson.Raw, what string, known []string) (out []string) {
	if r.Kind() == strictjson.Array && len(r.Elems()) == 0 {
		d.errorf(r.At, "an empty list; want %s", what)
	}
	for _, e := range oneOrAll(r) {
		var word string
		d.word(e, &word, known...)
		if word != "" && slices.Contains(out, word) {
			d.errorf(e.At.As(strictjson.NotUnique), "%q is there twice; want each once", word)
		}
		out = append(out, word)
	}
	return slices.DeleteFunc(out, func(word string) bool { return word == "" })
}

func (d *decoder) recipients(r strictjson.Raw) (out []string) {
	if r.IsZero() {
		return nil
	}
	d.into(r, (*names)(&out))
	switch n := len(r.Elems()); {
	case r.Kind() != strictjson.Array:
	case n == 0:
		d.errorf(r.At, "an empty list; want at least one user, role or account")
	case n > MaxStickerRecipients:
		d.errorf(r.At, "%d recipients; want at most %d", n, MaxStickerRecipients)
	}
	for i, e := range r.Elems() {
		if e.Str() != "" && slices.ContainsFunc(r.Elems()[:i], func(before strictjson.Raw) bool { return before.Str() == e.Str() }) {
			d.errorf(e.At.As(strictjson.NotUnique), "%q is there twice; want each recipient once", e.Str())
		}
	}
	return out
}

// validity reads how long, or until when, a sticker stays.
func (d *decoder) validity(r strictjson.Raw, s *StickerSpec) {
	span, until := r.Member("validity"), r.Member("validity_ts")
	if !span.IsZero() {
		v, err := duration.Decode(span)
		d.errs = append(d.errs, err)
		if v > MaxStickerValidity {
			d.errorf(span.At.As(strictjson.WrongTime), `got %s; want at most a year, "365d"`, span.Shown())
		}
		s.Validity = v
	}
	if until.IsZero() {
		return
	}
	if !span.IsZero() {
		d.errorf(until.At.As(CodeContradicts), `"validity_ts" beside "validity"; want one of them`)
	}
	const lastSecond = 253402300800 // the year 10000
	seconds, ok := until.Any().(float64)
	if !ok || seconds <= 0 || seconds >= lastSecond {
		d.wrong(until, strictjson.Number, "a time in seconds since 1970, such as 1793577600.000")
		return
	}
	s.Until = secondsOf(seconds)
}

// publishNames are the events of a sticker on which its topics are told.
var publishNames = []string{"on_put", "on_remove", "on_expire"}

// publish reads which topics are told of a sticker: an object of events, or the
// older list of events, whose topic is the colour.
func (d *decoder) publish(r strictjson.Raw, color string) (t StickerTopics) {
	topics := map[string]*[]string{"on_put": &t.Put, "on_remove": &t.Remove, "on_expire": &t.Expire}
	switch r.Kind() {
	case strictjson.None:
	case strictjson.Array:
		if len(r.Elems()) == 0 {
			return t
		}
		for _, event := range d.wordsOf(r, "events of a sticker", publishNames) {
			*topics[event] = []string{color}
		}
	case strictjson.Object:
		known := fields{}
		for _, name := range slices.Sorted(maps.Keys(topics)) {
			known[name] = (*oneOrMore)(topics[name])
		}
		d.object(r, known)
	default:
		d.wrong(r, strictjson.Object, `an object such as {"on_remove":"task-completed"}, or a list of events such as ["on_put"]`)
	}
	return t
}

// oneOrMore is a text, or a list of them.
type oneOrMore []string

// DecodeStrict reads them.
func (l *oneOrMore) DecodeStrict(r strictjson.Raw) error {
	if r.Kind() == strictjson.Array {
		return (*names)(l).DecodeStrict(r)
	}
	var one named
	err := one.DecodeStrict(r)
	*l = []string{string(one)}
	return err
}

// CheckStickerColor says what is wrong with a colour: Trusted Twin's pattern
// [0-9A-Za-z\-]{3,48} and its older ^[a-z_][0-9a-z_]{0,127}$ are both taken.
func CheckStickerColor(color string) error {
	plain := strings.Trim(color, alphanumeric+"-") == ""
	older := strings.Trim(color, "0123456789abcdefghijklmnopqrstuvwxyz_") == "" && color != "" && (color[0] > '9')
	switch n := len(color); {
	case plain && n >= 3 && n <= 48, older && n <= 128:
		return nil
	}
	return fmt.Errorf("got the colour %q; want 3 to 48 letters, digits and -, or up to 128 of a to z, digits and _, the first no digit", shownText(color))
}

// CheckTopic says what is wrong with a topic.
func CheckTopic(topic string) error {
	if topic != "" && len(topic) <= 127 && strings.Trim(topic, alphanumeric+".-_") == "" {
		return nil
	}
	return fmt.Errorf("got the topic %q; want 1 to 127 letters, digits, ., - and _", shownText(topic))
}

// CheckStickerNote says what is wrong with a note.
func CheckStickerNote(note string) error {
	if n := utf8.RuneCountInString(note); n > MaxStickerNote {
		return fmt.Errorf("a note of %d characters; want at most %d", n, MaxStickerNote)
	}
	return nil
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// shownText is the beginning of a text that may be long, for errors.
func shownText(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// on is the set of events, or the default.
func on(events []string, event string) eventSet {
	if events == nil {
		events = []string{event}
	}
	return eventsOf(events)
}

// defaultOn is when an alert does it that does not say.
func (s *StickerSpec) defaultOn() string {
	if s.Op == RemoveSticker {
		return EventCleared
	}
	return EventRaised
}

package lint

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Model is what is known of one twin: how it describes its feeds.
type Model struct {
	Twin  string
	Feeds []rules.Feed

	// Values are the only ones that a field of a feed can have, where that is
	// known: those that the rules of another interaction write.
	Values map[Cell][]any
}

// Cell is a field of a feed.
type Cell struct{ Feed, Field string }

// Models gives the twins that a source may find. Where it finds none, others are
// what the twins have that are known in place of what the source asks for; none
// when nothing is known of such twins.
type Models func(rules.SourceSpec) (found []Model, others []string)

// kinds are the JSON types that a value may have; 0 when nothing is known.
type kinds uint8

const (
	null kinds = 1 << iota
	boolean
	number
	text
	list
	object
)

func (k kinds) only(of kinds) bool { return k != 0 && k&^of == 0 }

// field is what is known of a field of a feed.
type field struct {
	path     string
	feed     string
	kinds    kinds
	whole    bool
	min, max float64
	values   []any    // the only ones, where that is known
	unit     string   // a URI, or ""
	says     string   // the twin that describes it
	lacking  []string // twins of the source whose feed does not have it
	other    string   // another twin with another unit
	unit2    string
	told     bool // that the units differ
}

func newField(feed, path string) *field {
	return &field{path: path, feed: feed, min: math.Inf(-1), max: math.Inf(1)}
}

// bounded says whether something is known of the values beside their type.
func (f *field) bounded() bool {
	return f.values != nil || f.whole || !math.IsInf(f.min, 0) || !math.IsInf(f.max, 0) || f.kinds == boolean
}

// ranges are the XSD types of whole numbers.
var ranges = map[string][2]float64{
	"byte": {-128, 127}, "short": {-32768, 32767}, "int": {-2147483648, 2147483647}, "long": {-1 << 63, 1 << 63},
	"unsignedByte": {0, 255}, "unsignedShort": {0, 65535}, "unsignedInt": {0, 4294967295}, "unsignedLong": {0, 1 << 64},
	"positiveInteger": {1, math.Inf(1)}, "nonNegativeInteger": {0, math.Inf(1)},
	"negativeInteger": {math.Inf(-1), -1}, "nonPositiveInteger": {math.Inf(-1), 0}, "integer": {math.Inf(-1), math.Inf(1)},
}

// typed notes what a data type says.
func (f *field) typed(dataType string) {
	span, whole := ranges[dataType]
	switch {
	case whole:
		f.kinds, f.whole, f.min, f.max = number, true, span[0], span[1]
	case dataType == "decimal", dataType == "double", dataType == "float":
		f.kinds = number
	case dataType == "boolean":
		f.kinds = boolean
	case dataType != "":
		f.kinds = text
	}
}

// The properties of a feed that bound its only number.
const (
	propLeast = "https://schema.org/minValue"
	propMost  = "https://schema.org/maxValue"
)

// bound notes the range that a feed of one value declares.
func (f *field) bound(feed rules.Feed) {
	if len(feed.Values) != 1 || !f.kinds.only(number) {
		return
	}
	for _, p := range feed.Properties {
		n, err := strconv.ParseFloat(p.Value.Value, 64)
		switch {
		case err != nil || math.IsNaN(n):
		case p.Key == propLeast:
			f.min = n
		case p.Key == propMost:
			f.max = n
		}
	}
}

// catalogue is what is known of the feeds of one interaction's sources.
type catalogue struct {
	models [][]Model  // by source
	others [][]string // by source
	fields map[fieldKey]*field
}

type fieldKey struct {
	source     int
	feed, path string
}

func newCatalogue(in *rules.Interaction, models Models) *catalogue {
	c := &catalogue{models: make([][]Model, len(in.Sources)), others: make([][]string, len(in.Sources)), fields: map[fieldKey]*field{}}
	if models == nil {
		return c
	}
	for i, s := range in.Sources {
		c.models[i], c.others[i] = models(s)
	}
	return c
}

// feeds are the descriptions of a feed by the twins that have it, each with the
// twin.
func (c *catalogue) feeds(source int, id string) (found []rules.Feed, twins []Model) {
	for _, m := range c.models[source] {
		for _, f := range m.Feeds {
			if f.ID == id {
				found, twins = append(found, f), append(twins, m)
			}
		}
	}
	return found, twins
}

// labels are the fields that a feed has by the models; none where one of them
// does not say.
func (c *catalogue) labels(source int, id string) []string {
	var out []string
	feeds, _ := c.feeds(source, id)
	for _, f := range feeds {
		if len(f.Values) == 0 {
			return nil
		}
		for _, v := range f.Values {
			out = append(out, v.Label)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// field is what the models say of a field; never nil.
func (c *catalogue) field(source int, feed, path string) *field {
	key := fieldKey{source, feed, path}
	if f := c.fields[key]; f != nil {
		return f
	}
	f := newField(feed, path)
	c.fields[key] = f
	if source < 0 {
		return f
	}
	feeds, twins := c.feeds(source, feed)
	for i, described := range feeds {
		f.describe(described, twins[i])
	}
	return f
}

func (f *field) describe(feed rules.Feed, m Model) {
	if len(feed.Values) == 0 {
		return
	}
	at := slices.IndexFunc(feed.Values, func(v rules.Value) bool { return covers(v.Label, f.path) })
	if at < 0 {
		f.lacking = append(f.lacking, m.Twin)
		return
	}
	v := feed.Values[at]
	if f.says != "" {
		if f.unit != "" && v.Unit != "" && v.Unit != f.unit && f.other == "" {
			f.other, f.unit2 = m.Twin, v.Unit
		}
		return
	}
	f.says = m.Twin
	if v.Label == f.path {
		f.unit = v.Unit
		f.typed(v.DataType)
		f.bound(feed)
		f.values = m.Values[Cell{feed.ID, v.Label}]
	}
}

// covers says whether a described value is the field, or an object that it is in.
func covers(label, path string) bool {
	return label == path || strings.HasPrefix(path, label+".")
}

// declared checks what the sources name against what the twins have.
func (l *linter) declared() {
	for i := range l.in.Sources {
		s := &l.in.Sources[i]
		if others := l.feeds.others[i]; len(l.feeds.models[i]) == 0 && len(others) > 0 {
			asks := s.ModelDID
			if len(s.Filter.Properties) > 0 {
				asks = s.Filter.Properties[0].Value.Value
			}
			l.say(memberAt(s.Raw(), "filter", "modelDid"), codeNoTwin, "no known twin matches source %q: none has %q%s", s.ID, asks, nearest(asks, others))
		}
		for j := range s.Feeds {
			l.declaredFeed(i, &s.Feeds[j])
		}
	}
}

func (l *linter) declaredFeed(source int, f *rules.SourceFeed) {
	feeds, _ := l.feeds.feeds(source, f.ID)
	at := f.Raw().Member("id").At
	if len(feeds) == 0 {
		var ids []string
		for _, m := range l.feeds.models[source] {
			for _, has := range m.Feeds {
				ids = append(ids, has.ID)
			}
		}
		if f.ID != "" && len(ids) > 0 {
			l.say(at, codeNoFeed, "no twin of this source has a feed %q%s", f.ID, nearest(f.ID, ids))
		}
		return
	}
	labels := l.feeds.labels(source, f.ID)
	for k, id := range f.FieldIDs {
		if len(labels) == 0 || slices.ContainsFunc(labels, func(label string) bool { return covers(label, id) || covers(id, label) }) {
			continue
		}
		place := f.Raw().Member("fieldIds").Elems()[k].At
		l.say(place.Noting("unknown on every sample: what asks for it never decides").Renamed(id, labels), rules.CodeField,
			"no twin's feed %q has a field %q%s", f.ID, id, nearest(id, labels))
	}
}

// memberAt is the place of the first of the members that is there, or the start
// of the object.
func memberAt(r strictjson.Raw, names ...string) strictjson.Place {
	for _, name := range names {
		if m := r.Member(name); !m.IsZero() {
			return m.At
		}
	}
	return r.At.Start()
}

// nearest is the hint for a name that is not one of known.
func nearest(written string, known []string) string {
	if hint := strictjson.DidYouMean(written, known); hint != "" {
		return hint
	}
	const most = 12
	known = slices.Compact(slices.Sorted(slices.Values(known)))
	if len(known) > most {
		known = append(known[:most], "…")
	}
	return "; want one of " + strings.Join(known, ", ")
}

// unitName is the end of a unit's URI, for messages.
func unitName(uri string) string {
	return cmp.Or(uri[strings.LastIndexAny(uri, "/#")+1:], uri)
}

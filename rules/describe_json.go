package rules

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
	"unique"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/internal/strictjson"
)

// Bounds of what a description may hold, in characters.
const (
	maxFeedID     = 128
	maxFilterText = 1000
)

// dataTypes are the XSD short names: those of the iotics API (common.proto)
// and the others that RDF 1.1 (section 5.1) recommends.
var dataTypes = []string{
	"string", "boolean", "decimal", "integer", "double", "float", "date", "time", "dateTime", "dateTimeStamp",
	"gYear", "gMonth", "gDay", "gYearMonth", "gMonthDay", "duration", "yearMonthDuration", "dayTimeDuration",
	"byte", "short", "int", "long", "unsignedByte", "unsignedShort", "unsignedInt", "unsignedLong",
	"positiveInteger", "nonNegativeInteger", "negativeInteger", "nonPositiveInteger", "hexBinary", "base64Binary",
	"anyURI", "language", "normalizedString", "token", "NMTOKEN", "Name", "NCName",
}

func checkDataType(r strictjson.Raw) error {
	if r.IsZero() || slices.Contains(dataTypes, r.Str()) {
		return nil
	}
	hint := ""
	if r.Kind() == strictjson.String {
		hint = strictjson.DidYouMean(r.Str(), dataTypes)
	}
	if hint == "" {
		hint = "; want an XSD short name such as string, boolean, decimal, integer or dateTime"
	}
	return r.At.Renamed(r.Str(), dataTypes).Errorf("no data type %s%s", r.Shown(), hint)
}

// DecodeID reads an id in any of its forms: "x", {"value":"x"} or {"id":"x"}, where
// "id" may hold one of the others, and the ids of its twin and host may stand
// beside it. It is printable text and not empty. What is wrong with other fields
// does not keep it from being read.
func DecodeID(r strictjson.Raw) (string, error) {
	if r.Kind() != strictjson.Object {
		return decodeIDText(r)
	}
	var in struct {
		Value  strictjson.Raw `json:"value"`
		ID     strictjson.Raw `json:"id"`
		TwinID strictjson.Raw `json:"twinId"`
		HostID strictjson.Raw `json:"hostId"`
	}
	err := r.Decode(&in)
	if in.ID.Kind() == strictjson.Object && in.Value.IsZero() && in.ID.Member("id").Kind() != strictjson.Object {
		id, wrong := DecodeID(in.ID)
		return id, strictjson.Join(err, wrong)
	}
	text := in.Value
	if text.IsZero() {
		text = in.ID
	}
	if !in.ID.IsZero() && in.ID.Str() != text.Str() {
		return "", r.At.Errorf("value is %s and id is %s; want one id", in.Value.Shown(), in.ID.Shown())
	}
	if text.IsZero() && err != nil {
		return "", err // an unknown name may have been meant as the id
	}
	if text.IsZero() {
		return "", wrongID(r)
	}
	id, wrong := decodeIDText(text)
	return id, strictjson.Join(err, wrong)
}

func decodeIDText(text strictjson.Raw) (string, error) {
	if text.Str() == "" {
		return "", wrongID(text)
	}
	if strings.ContainsFunc(text.Str(), func(c rune) bool { return !unicode.IsPrint(c) }) {
		return "", text.At.Errorf("got %s; want an id of printable characters", text.Shown())
	}
	return text.Str(), nil
}

func wrongID(r strictjson.Raw) error {
	return r.At.Errorf(`got %s; want an id: "x", {"value":"x"} or {"id":"x"}`, r.Shown())
}

// decodeText reads a string that must not be empty; absent is left to `required`.
func decodeText(r strictjson.Raw, want string) (string, error) {
	if !r.IsZero() && r.Str() == "" {
		return "", r.At.Errorf("got %s; want %s", r.Shown(), want)
	}
	return r.Str(), nil
}

// shared is the text that all equal ones share: a hundred thousand twins have the
// same few keys.
func shared(text string) string { return unique.Make(text).Value() }

// literalNames are the members of the API by LiteralKind.
var literalNames = [...]string{
	StringLiteral: "stringLiteralValue",
	URI:           "uriValue",
	LangLiteral:   "langLiteralValue",
	TypedLiteral:  "literalValue",
}

// LiteralNames are the members by which a property may have its literal.
func LiteralNames() []string { return literalNames[:] }

const wantLiteral = "one of uriValue, stringLiteralValue, langLiteralValue, literalValue"

type literalMembers struct {
	String strictjson.Raw `json:"stringLiteralValue"`
	URI    strictjson.Raw `json:"uriValue"`
	Lang   strictjson.Raw `json:"langLiteralValue"`
	Typed  strictjson.Raw `json:"literalValue"`
}

// one reads the only literal among the members of the object r. One that is null
// is none, and wrong where it stands.
func (in *literalMembers) one(r strictjson.Raw, l *Literal) error {
	var have []LiteralKind
	var wrong error
	byKind := [...]strictjson.Raw{StringLiteral: in.String, URI: in.URI, LangLiteral: in.Lang, TypedLiteral: in.Typed}
	for kind, m := range byKind {
		switch m.Kind() {
		case strictjson.None:
		case strictjson.Null:
			wrong = strictjson.Join(wrong, m.Wrong(strictjson.Object, "an object"))
		default:
			have = append(have, LiteralKind(kind))
		}
	}
	switch len(have) {
	case 0:
		if slices.ContainsFunc(r.Members(), func(m strictjson.Member) bool { return m.Name != "key" }) {
			return wrong // an unknown name, which has its own complaint, may have been meant as the literal
		}
		return r.At.Start().As(strictjson.MissingField).Errorf("has no value; want %s", wantLiteral)
	case 1:
		return strictjson.Join(wrong, l.decode(have[0], byKind[have[0]]))
	}
	return strictjson.Join(wrong, r.At.Errorf("has both %s and %s; want one", literalNames[have[0]], literalNames[have[1]]))
}

// DecodeStrict reads an object with exactly one literal member: {"uriValue":{"value":V}}.
func (l *Literal) DecodeStrict(r strictjson.Raw) error {
	if r.Kind() != strictjson.Object {
		return r.At.Errorf("got %s; want an object with %s", r.Shown(), wantLiteral)
	}
	var in literalMembers
	err := r.Decode(&in)
	return strictjson.Join(err, in.one(r, l))
}

// langTag is the form of a language tag: en, de-CH, zh-Hant-TW.
var langTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

func (l *Literal) decode(kind LiteralKind, r strictjson.Raw) error {
	*l = Literal{Kind: kind}
	switch kind {
	case URI:
		var in struct {
			Value strictjson.Raw `json:"value" strict:"required"`
		}
		err := r.Decode(&in)
		uri, wrong := decodeText(in.Value, "a URI")
		l.Value = uri
		return strictjson.Join(err, wrong)
	case LangLiteral:
		var in struct {
			Lang  strictjson.Raw `json:"lang" strict:"required"`
			Value string         `json:"value" strict:"required"`
		}
		err := r.Decode(&in)
		l.Lang, l.Value = shared(in.Lang.Str()), in.Value
		if !in.Lang.IsZero() && !langTag.MatchString(l.Lang) {
			err = strictjson.Join(err, in.Lang.At.Errorf(`got %s; want a language such as "en"`, in.Lang.Shown()))
		}
		return err
	case TypedLiteral:
		var in struct {
			DataType strictjson.Raw `json:"dataType" strict:"required"`
			Value    string         `json:"value" strict:"required"`
		}
		err := r.Decode(&in)
		l.DataType, l.Value = shared(in.DataType.Str()), in.Value
		return strictjson.Join(err, checkDataType(in.DataType))
	default:
		var in struct {
			Value string `json:"value" strict:"required"`
		}
		err := r.Decode(&in)
		l.Value = in.Value
		return err
	}
}

// AppendJSON appends the form that DecodeStrict reads.
func (l *Literal) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	return append(l.appendMember(b), '}')
}

func (l *Literal) appendMember(b []byte) []byte {
	b = append(b, '"')
	b = append(b, literalNames[l.Kind]...)
	b = append(b, `":{`...)
	switch l.Kind {
	case LangLiteral:
		b = append(AppendText(append(b, `"lang":`...), l.Lang), ',')
	case TypedLiteral:
		b = append(AppendText(append(b, `"dataType":`...), l.DataType), ',')
	}
	b = AppendText(append(b, `"value":`...), l.Value)
	return append(b, '}')
}

// DecodeStrict reads {"key":K} with exactly one literal member beside it.
func (p *Property) DecodeStrict(r strictjson.Raw) error {
	if r.Kind() != strictjson.Object {
		return r.At.Errorf("got %s; want an object with key and %s", r.Shown(), wantLiteral)
	}
	var in struct {
		Key strictjson.Raw `json:"key" strict:"required"`
		literalMembers
	}
	err := r.Decode(&in)
	key, wrongKey := decodeText(in.Key, "a URI")
	p.Key = shared(key)
	return strictjson.Join(err, wrongKey, in.one(r, &p.Value))
}

// AppendJSON appends the form that DecodeStrict reads.
func (p *Property) AppendJSON(b []byte) []byte {
	b = append(AppendText(append(b, `{"key":`...), p.Key), ',')
	return append(p.Value.appendMember(b), '}')
}

// filterProperty may also be written as interactions write it, with the
// literal one level down: {"key":K,"value":{"uriValue":{"value":V}}}.
type filterProperty Property

func (p *filterProperty) DecodeStrict(r strictjson.Raw) error {
	if r.Member("value").IsZero() {
		return (*Property)(p).DecodeStrict(r)
	}
	var in struct {
		Key   strictjson.Raw `json:"key" strict:"required"`
		Value Literal        `json:"value"`
	}
	err := r.Decode(&in)
	key, wrongKey := decodeText(in.Key, "a URI")
	*p = filterProperty{key, in.Value}
	return strictjson.Join(err, wrongKey)
}

// DecodeStrict reads {"label","comment","unit","dataType"}; all but the label may be absent or empty.
func (v *Value) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Label    strictjson.Raw `json:"label" strict:"required"`
		Comment  string         `json:"comment"`
		Unit     string         `json:"unit"`
		DataType strictjson.Raw `json:"dataType"`
	}
	err := r.Decode(&in)
	label, wrongLabel := decodeText(in.Label, "the name of a field")
	*v = Value{label, in.Comment, in.Unit, in.DataType.Str()}
	if in.DataType.Kind() == strictjson.String && v.DataType == "" {
		return strictjson.Join(err, wrongLabel)
	}
	return strictjson.Join(err, wrongLabel, checkDataType(in.DataType))
}

// AppendJSON appends the form that DecodeStrict reads, always with all four members.
func (v *Value) AppendJSON(b []byte) []byte {
	b = AppendText(append(b, `{"label":`...), v.Label)
	b = AppendText(append(b, `,"comment":`...), v.Comment)
	b = AppendText(append(b, `,"unit":`...), v.Unit)
	b = AppendText(append(b, `,"dataType":`...), v.DataType)
	return append(b, '}')
}

type inputMembers struct {
	ID         strictjson.Raw `json:"id" strict:"required"`
	Values     []Value        `json:"values"`
	Properties []Property     `json:"properties"`
}

// feed checks what the members say together; r is the object that they are of.
func (in *inputMembers) feed(r strictjson.Raw, f *Feed) error {
	f.Values, f.Properties = in.Values, in.Properties
	var errs []error
	seen := map[string]bool{}
	for _, v := range r.Member("values").Elems() {
		label := v.Member("label")
		if label.Str() != "" && seen[label.Str()] {
			errs = append(errs, label.At.As(strictjson.NotUnique).Errorf("value %q is there twice; want each label once", label.Str()))
		}
		seen[label.Str()] = true
	}
	if !in.ID.IsZero() {
		id, err := DecodeID(in.ID)
		if n := utf8.RuneCountInString(id); n > maxFeedID {
			err = in.ID.At.Errorf("id of %d characters; want at most %d", n, maxFeedID)
		}
		f.ID = shared(id)
		errs = append(errs, err)
	}
	return strictjson.Join(errs...)
}

// DecodeStrict reads {"id","storeLast","values","properties"}. storeLast is
// true when it is absent; the id has any form of DecodeID, at most 128
// characters long.
func (f *Feed) DecodeStrict(r strictjson.Raw) error {
	in := struct {
		inputMembers
		StoreLast bool `json:"storeLast"`
	}{StoreLast: true}
	err := r.Decode(&in)
	*f = Feed{StoreLast: in.StoreLast}
	return strictjson.Join(err, in.feed(r, f))
}

type input Feed

func (f *input) DecodeStrict(r strictjson.Raw) error {
	var in inputMembers
	err := r.Decode(&in)
	return strictjson.Join(err, in.feed(r, (*Feed)(f)))
}

// DecodeFeeds reads an array of feeds, each id once. An absent array is empty.
func DecodeFeeds(r strictjson.Raw) ([]Feed, error) {
	if r.IsZero() {
		return nil, nil
	}
	var feeds []Feed
	err := r.Decode(&feeds)
	return feeds, strictjson.Join(err, onceEach(r, feeds))
}

// DecodeInputs reads an array of inputs, each id once: feeds without a
// storeLast, for they store nothing. An absent array is empty.
func DecodeInputs(r strictjson.Raw) ([]Feed, error) {
	if r.IsZero() {
		return nil, nil
	}
	var inputs []input
	err := r.Decode(&inputs)
	feeds := make([]Feed, len(inputs))
	for i, in := range inputs {
		feeds[i] = Feed(in)
	}
	return feeds, strictjson.Join(err, onceEach(r, feeds))
}

func onceEach(r strictjson.Raw, feeds []Feed) error {
	var errs []error
	seen := map[string]bool{}
	for i, f := range feeds {
		if f.ID != "" && seen[f.ID] {
			errs = append(errs, r.Elems()[i].Member("id").At.As(strictjson.NotUnique).Errorf("%q is there twice; want each id once", f.ID))
		}
		seen[f.ID] = true
	}
	return strictjson.Join(errs...)
}

// AppendJSON appends the form that DecodeStrict reads.
func (f *Feed) AppendJSON(b []byte) []byte {
	b = AppendText(append(b, `{"id":`...), f.ID)
	b = strconv.AppendBool(append(b, `,"storeLast":`...), f.StoreLast)
	return f.appendLists(b)
}

// AppendInputJSON appends the form that DecodeInputs reads, which has no storeLast.
func (f *Feed) AppendInputJSON(b []byte) []byte {
	return f.appendLists(AppendText(append(b, `{"id":`...), f.ID))
}

func (f *Feed) appendLists(b []byte) []byte {
	b = append(b, `,"values":[`...)
	for i := range f.Values {
		b = f.Values[i].AppendJSON(appendComma(b, i))
	}
	b = AppendProperties(append(b, `],"properties":`...), f.Properties)
	return append(b, '}')
}

// AppendProperties appends an array of properties.
func AppendProperties(b []byte, ps []Property) []byte {
	b = append(b, '[')
	for i := range ps {
		b = ps[i].AppendJSON(appendComma(b, i))
	}
	return append(b, ']')
}

// appendComma separates the i-th element from the one before.
func appendComma(b []byte, i int) []byte {
	if i == 0 {
		return b
	}
	return append(b, ',')
}

// DecodeStrict reads {"lat","lon"} in degrees.
func (l *Location) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Lat strictjson.Raw `json:"lat" strict:"required"`
		Lon strictjson.Raw `json:"lon" strict:"required"`
	}
	err := r.Decode(&in)
	lat, wrongLat := decodeDegrees(in.Lat, 90)
	lon, wrongLon := decodeDegrees(in.Lon, 180)
	*l = Location{lat, lon}
	return strictjson.Join(err, wrongLat, wrongLon)
}

func decodeDegrees(r strictjson.Raw, most float64) (float64, error) {
	d, ok := r.Any().(float64)
	if !r.IsZero() && (!ok || math.Abs(d) > most) {
		return 0, r.At.Errorf("got %s; want degrees from -%g to %g", r.Shown(), most, most)
	}
	return d, nil
}

// AppendJSON appends the form that DecodeStrict reads. Both members are finite.
func (l *Location) AppendJSON(b []byte) []byte {
	b = strconv.AppendFloat(append(b, `{"lat":`...), l.Lat, 'g', -1, 64)
	b = strconv.AppendFloat(append(b, `,"lon":`...), l.Lon, 'g', -1, 64)
	return append(b, '}')
}

// DecodeStrict reads {"location":{"lat","lon"},"radiusKm"}.
func (c *Circle) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Location Location       `json:"location" strict:"required"`
		RadiusKm strictjson.Raw `json:"radiusKm" strict:"required"`
	}
	err := r.Decode(&in)
	km, _ := in.RadiusKm.Any().(float64)
	*c = Circle{in.Location, km}
	if !in.RadiusKm.IsZero() && km <= 0 {
		err = strictjson.Join(err, in.RadiusKm.At.Errorf("got %s; want a number of kilometres above 0", in.RadiusKm.Shown()))
	}
	return err
}

// AppendJSON appends the form that DecodeStrict reads.
func (c *Circle) AppendJSON(b []byte) []byte {
	b = c.Location.AppendJSON(append(b, `{"location":`...))
	b = strconv.AppendFloat(append(b, `,"radiusKm":`...), c.RadiusKm, 'g', -1, 64)
	return append(b, '}')
}

// DecodeStrict reads {"properties","text","location"}, each of which may be
// absent; text and location may be null. A property may have either shape:
// {"key":K,"uriValue":{…}} or {"key":K,"value":{"uriValue":{…}}}.
func (f *Filter) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Properties []filterProperty `json:"properties"`
		Text       *string          `json:"text"`
		Location   *Circle          `json:"location"`
	}
	err := r.Decode(&in)
	*f = Filter{Location: in.Location}
	for _, p := range in.Properties {
		f.Properties = append(f.Properties, Property(p))
	}
	if in.Text != nil {
		f.Text = *in.Text
	}
	return strictjson.Join(err, checkFilterText(r.Member("text"), f.Text))
}

func checkFilterText(r strictjson.Raw, text string) error {
	n := utf8.RuneCountInString(text)
	switch {
	case n > maxFilterText:
		return r.At.Errorf("text of %d characters; want at most %d", n, maxFilterText)
	case n > 0 && !strings.ContainsFunc(text, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }):
		return r.At.Errorf("got %s; want a keyword with a letter or digit, or null", r.Shown())
	}
	return nil
}

// AppendJSON appends the form that DecodeStrict reads, without the text and
// location that are not set.
func (f *Filter) AppendJSON(b []byte) []byte {
	b = AppendProperties(append(b, `{"properties":`...), f.Properties)
	if f.Text != "" {
		b = AppendText(append(b, `,"text":`...), f.Text)
	}
	if f.Location != nil {
		b = f.Location.AppendJSON(append(b, `,"location":`...))
	}
	return append(b, '}')
}

// AppendText appends s as a JSON string; what is not UTF-8 in it becomes U+FFFD.
func AppendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			b, _ = jsontext.AppendQuote(b, s) // its only error says that something was replaced
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

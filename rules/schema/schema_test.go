package schema_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/schema"
)

const root = "../.."

// compiled is the schema of a kind of document.
func compiled(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	id := "urn:tocsin:schema:" + name
	require.NoError(t, c.AddResource(id, parsed(t, text(t, name))))
	s, err := c.Compile(id)
	require.NoError(t, err)
	return s
}

func text(t testing.TB, name string) []byte {
	t.Helper()
	b, ok := schema.Text(name)
	require.True(t, ok, name)
	return b
}

func parsed(t testing.TB, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	require.NoError(t, err)
	return v
}

// raw is a schema, or a part of one, as it was written.
func raw(t testing.TB, name string) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(text(t, name), &v))
	return v
}

func TestText(t *testing.T) {
	for _, d := range schema.Documents() {
		b := raw(t, d.Name)
		assert.Equal(t, "urn:tocsin:schema:"+d.Name, b["$id"])
		compiled(t, d.Name)
	}
	_, ok := schema.Text("nothing")
	assert.False(t, ok)
}

// An editor shows a title, and for each member what it is for.
func TestEverythingIsDescribed(t *testing.T) {
	for _, d := range schema.Documents() {
		b := raw(t, d.Name)
		for _, keyword := range []string{"title", "description", "examples"} {
			assert.NotEmpty(t, b[keyword], "%s: %s", d.Name, keyword)
		}
		defs, _ := b["$defs"].(map[string]any)
		described := func(property any) bool {
			for property != nil {
				p, _ := property.(map[string]any)
				if p["description"] != nil || p["title"] != nil || p["const"] != nil {
					return true
				}
				name, _ := p["$ref"].(string)
				property = defs[strings.TrimPrefix(name, "#/$defs/")]
			}
			return false
		}
		var walk func(path string, v any)
		walk = func(path string, v any) {
			switch v := v.(type) {
			case map[string]any:
				if properties, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == false && v["description"] != nil {
					for name, property := range properties {
						assert.True(t, described(property), "%s: %s/%s has no description", d.Name, path, name)
					}
				}
				for name, e := range v {
					walk(path+"/"+name, e)
				}
			case []any:
				for _, e := range v {
					walk(path, e)
				}
			}
		}
		walk("", b)
	}
}

func TestExamplesOfTheSchemasAreValid(t *testing.T) {
	for _, d := range schema.Documents() {
		s := compiled(t, d.Name)
		for _, example := range raw(t, d.Name)["examples"].([]any) {
			b, err := json.Marshal(example)
			require.NoError(t, err)
			assert.NoError(t, s.Validate(parsed(t, b)), d.Name)
			if d.Name == "interaction" {
				_, err := rules.Load("x.json", b)
				assert.NoError(t, err)
			}
		}
	}
}

// documents are all interactions of the repository that load, by where they stand.
func documents(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	add := func(name string, b []byte) {
		if _, err := rules.Load(name, b); err == nil {
			out[name] = b
		}
	}
	for _, pattern := range []string{"examples/rules/*/*.json", "rules/testdata/*.json", "rules/importer/*/testdata/*/want/*.json"} {
		for _, name := range files(t, pattern) {
			add(name, read(t, name))
		}
	}
	for _, name := range files(t, "cmd/engine/testdata/*.txtar") {
		for _, f := range txtar.Parse(read(t, name)).Files {
			add(name+"/"+f.Name, f.Data)
		}
	}
	fence := regexp.MustCompile("(?s)```json[^\n]*\n(.*?)```")
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/rules/*/*.md"} {
		for _, name := range files(t, pattern) {
			for i, found := range fence.FindAllSubmatch(read(t, name), -1) {
				add(fmt.Sprintf("%s#%d", name, i), found[1])
			}
		}
	}
	return out
}

func files(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, pattern))
	require.NoError(t, err)
	return names
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return b
}

func TestWhatLoadsIsValid(t *testing.T) {
	s := compiled(t, "interaction")
	all := documents(t)
	assert.Greater(t, len(all), 40)
	for name, b := range all {
		assert.NoError(t, s.Validate(parsed(t, b)), name)
	}
}

func TestTwinsAndOutcomesOfTheExamples(t *testing.T) {
	for file, document := range map[string]string{"twins.json": "twins", "tests.json": "tests"} {
		s := compiled(t, document)
		for _, name := range files(t, "examples/rules/*/"+file) {
			assert.NoError(t, s.Validate(parsed(t, read(t, name))), name)
		}
	}
	s := compiled(t, "outcome")
	names := files(t, "examples/rules/*/outcomes.ndjson")
	require.NotEmpty(t, names)
	for _, name := range names {
		for line := range bytes.Lines(read(t, name)) {
			assert.NoError(t, s.Validate(parsed(t, line)), "%s: %s", name, line)
		}
	}
}

// everything is a document in which every object stands that an interaction can
// have. It need not make sense.
const everything = `{
 "feeds": [{"id": "o", "values": [{"label": "a"}], "properties": [{"key": "k", "uriValue": {"value": "v"}}]}],
 "sources": [{"id": "s", "feeds": [{"id": "f"}], "filter": {
   "properties": [{"key": "k", "value": {"uriValue": {"value": "v"}}}, {"key": "k", "langLiteralValue": {"lang": "en", "value": "v"}},
     {"key": "k", "stringLiteralValue": {"value": "v"}}, {"key": "k", "literalValue": {"dataType": "integer", "value": "1"}}],
   "location": {"location": {"lat": 1, "lon": 2}, "radiusKm": 3}}}],
 "rules": [
  {"transformation": {"sourceId": "s", "sourceFeedId": "f", "outputFeedId": "o", "outputFieldId": "a", "conditions": [{"jsonLogic": true}]}},
  {"alert": {
    "id": "a", "severity": "major", "sourceId": "s", "sourceFeedId": "f", "conditions": [{"jsonLogic": true}], "clearCondition": {"jsonLogic": true},
    "repeat": {"count": 2}, "absent": {"for": "1m"}, "unchanged": {"field": "a", "for": "1m"}, "rate": [{"field": "a"}],
    "window": {"type": "sliding", "size": "1m"}, "aggregate": {"m": {"op": "avg", "field": "a"}}, "onChange": {"fields": ["a"]},
    "onMissing": {"mode": "lastKnown"}, "schedule": {"active": [{"from": "06:00"}]}, "throttle": {"max": 1, "per": "1m"},
    "levels": [{"severity": "major", "jsonLogic": true, "clearCondition": {"jsonLogic": true}}], "flapping": {},
    "join": [{"as": "j", "sourceId": "s", "sourceFeedId": "f", "on": {"property": "p"}}], "groupBy": {}, "quorum": {"count": 1},
    "geofence": {"circle": {"lat": 1, "lon": 2, "radiusKm": 3}}, "sequence": [{"jsonLogic": true}], "within": "1m", "enrich": [{"from": "twin"}]}},
  {"alert": {
    "id": "b", "severity": "major", "sourceId": "s", "sourceFeedId": "f",
    "geofence": {"polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}},
    "join": {"as": "j", "sourceId": "s", "sourceFeedId": "f"}, "enrich": {"from": "twin"}, "rate": {"field": "a"},
    "stickers": [{"color": "red", "recipients": ["u"], "publish": {"on_put": "t"}}, {"op": "remove", "color": "blue"}], "notifications": [{"topic": "t"}]}},
  {"sticker": {"id": "c", "sourceId": "s", "sourceFeedId": "f", "conditions": [{"jsonLogic": true}], "color": "red", "recipients": ["u"]}},
  {"notification": {"id": "d", "sourceId": "s", "sourceFeedId": "f", "conditions": [{"jsonLogic": true}], "topic": "t"}}
 ]}`

const stray = "qqqqqqqqqqqqqqqq"

// Every object takes the names in the schema that the decoder takes, and no
// others: each gets a stray member, and the decoder says which it knows.
func TestNamesAreThoseOfTheDecoder(t *testing.T) {
	s := raw(t, "interaction")
	seen := 0
	for _, pointer := range objects(t, []byte(everything)) {
		if strings.HasSuffix(pointer, "/aggregate") {
			continue // names of the author's own
		}
		err := decode(with(t, everything, pointer))
		found := regexp.MustCompile(regexp.QuoteMeta(pointer+"/"+stray) + ": unknown (?:field|kind of rule) .*; want one of (.*)").FindStringSubmatch(err)
		require.Len(t, found, 2, "%s: %s", pointer, err)
		want := strings.Split(found[1], ", ")
		got := propertiesAt(t, s, s, strings.Split(pointer, "/")[1:])
		switch parts := strings.Split(pointer, "/"); {
		case strings.HasPrefix(pointer, "/sources/0/filter/properties/") && len(parts) == 6:
			assert.Subset(t, got, want, pointer) // a property has two forms
		case len(parts) == 4 && parts[1] == "rules":
			want = slices.DeleteFunc(want, func(name string) bool { return ofTheOther(parts[3], name) })
			fallthrough
		default:
			assert.Equal(t, want, got, "pointer %q", pointer)
		}
		seen++
	}
	assert.Greater(t, seen, 30)
}

// ofTheOther says whether a field is one of the other kind of rule.
func ofTheOther(kind, name string) bool {
	_, err := rules.Load("x.json", fmt.Appendf(nil, `{"sources":[],"rules":[{%q:{%q:%s}}]}`, kind, name, cmp.Or(one[name], `""`)))
	return strings.Contains(fmt.Sprint(err), fmt.Sprintf("%q is of ", name)) || strings.Contains(fmt.Sprint(err), fmt.Sprintf("%q acts on an alert", name))
}

func decode(b []byte) string {
	_, err := rules.Decode("x.json", b)
	return fmt.Sprint(err)
}

// objects are the pointers of all objects but those of expressions.
func objects(t testing.TB, b []byte) (out []string) {
	t.Helper()
	r, err := strictjson.Parse("x.json", b)
	require.NoError(t, err)
	var walk func(r strictjson.Raw)
	walk = func(r strictjson.Raw) {
		if r.Kind() == strictjson.Object {
			out = append(out, r.At.Pointer())
		}
		for _, m := range r.Members() {
			walk(m.Value)
		}
		for _, e := range r.Elems() {
			walk(e)
		}
	}
	walk(r)
	return out
}

// with is the document with a stray member in the object at the pointer.
func with(t testing.TB, document, pointer string) []byte {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(document), &v))
	at := v
	for _, part := range strings.Split(pointer, "/")[1:] {
		switch x := at.(type) {
		case map[string]any:
			at = x[part]
		case []any:
			var i int
			_, err := fmt.Sscan(part, &i)
			require.NoError(t, err)
			at = x[i]
		}
	}
	at.(map[string]any)[stray] = 1
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

// propertiesAt are the names that a schema knows at a path of an instance.
func propertiesAt(t testing.TB, whole, at map[string]any, path []string) []string {
	t.Helper()
	names := map[string]bool{}
	for _, s := range subschemas(whole, at, path) {
		if p, ok := s["properties"].(map[string]any); ok && s["additionalProperties"] == false {
			for name := range p {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// subschemas are those that an instance at the path has to obey; of branches all.
func subschemas(whole, at map[string]any, path []string) []map[string]any {
	out := []map[string]any{}
	var here []map[string]any
	var open func(s map[string]any)
	open = func(s map[string]any) {
		here = append(here, s)
		if name, ok := s["$ref"].(string); ok {
			open(whole["$defs"].(map[string]any)[strings.TrimPrefix(name, "#/$defs/")].(map[string]any))
		}
		for _, keyword := range []string{"then", "else"} {
			if branch, ok := s[keyword].(map[string]any); ok {
				open(branch)
			}
		}
	}
	open(at)
	if len(path) == 0 {
		return here
	}
	for _, s := range here {
		for _, keyword := range []string{"items", "additionalProperties"} {
			if next, ok := s[keyword].(map[string]any); ok {
				out = append(out, subschemas(whole, next, path[1:])...)
			}
		}
		properties, _ := s["properties"].(map[string]any)
		if next, ok := properties[path[0]].(map[string]any); ok {
			out = append(out, subschemas(whole, next, path[1:])...)
		}
	}
	return out
}

// one is a valid value of each field that makes a rule remember.
var one = map[string]string{
	"for": `"1m"`, "clearFor": `"1m"`, "keepFiringFor": `"1m"`, "maxGap": `"1m"`, "allowedLateness": `"0s"`, "repeatInterval": `"1h"`,
	"clearCondition": `{"jsonLogic":{"<":[{"var":"a"},1]}}`, "repeat": `{"count":2}`, "absent": `{"for":"1m"}`, "unchanged": `{"field":"a","for":"1m"}`,
	"rate": `{"field":"a"}`, "window": `{"type":"sliding","size":"1m"}`, "aggregate": `{"m":{"op":"avg","field":"a"}}`, "emit": `"edge"`,
	"onChange": `{"fields":["a"]}`, "onMissing": `"lastKnown"`, "schedule": `{"mute":[{"from":"22:00","to":"06:00"}]}`, "throttle": `{"max":1,"per":"1m"}`,
	"levels": `[{"severity":"major","jsonLogic":{">":[{"var":"a"},1]}}]`, "lowering": `false`, "inhibitedBy": `["other"]`, "flapping": `{}`,
	"join": `{"as":"j","sourceId":"s","sourceFeedId":"f"}`, "groupBy": `{}`, "quorum": `{"count":1}`, "geofence": `{"circle":{"lat":1,"lon":2,"radiusKm":3}}`,
	"sequence": `[{"jsonLogic":{">":[{"var":"a"},1]}}]`, "within": `"1m"`, "contiguity": `"strict"`, "enrich": `{"from":"twin"}`, "latched": `true`, "ackRequired": `true`,
	"conditions": `[{"jsonLogic":{">":[{"var":"a"},1]}}]`,
}

// What excludes each other, and what needs another, is said of every two and
// three fields as the decoder says it.
func TestFieldsBesideEachOther(t *testing.T) {
	s := compiled(t, "interaction")
	names := rules.StatefulFields()
	for _, name := range names {
		require.NotEmpty(t, one[name], "a value of %q", name)
	}
	const document = `{"sources":[{"id":"s","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{%q:{"id":"r","sourceId":"s","sourceFeedId":"f",%s}},
	 {"alert":{"id":"other","severity":"major","sourceId":"s","sourceFeedId":"f","conditions":[{"jsonLogic":{"==":[{"var":"a"},1]}}]}}]}`
	fine := 0
	own := map[string]string{
		"alert": `"severity":"major"`, "transformation": `"outputFeedId":"o","outputFieldId":"v"`,
		"sticker": `"color":"red","twin":"m","recipients":["u"]`, "notification": `"topic":"t"`,
	}
	for kind, rest := range own {
		for i, a := range names {
			for _, b := range names[i:] {
				for variant := range 4 {
					members := rest
					for _, name := range completed(a, b, variant) {
						members += fmt.Sprintf(",%q:%s", name, one[name])
					}
					doc := fmt.Appendf(nil, document, kind, members)
					_, err := rules.Load("x.json", doc)
					if unsaid(err) {
						continue
					}
					invalid := s.Validate(parsed(t, doc))
					require.Equal(t, err == nil, invalid == nil, "%s\ndecoder: %v\nschema: %v", members, err, invalid)
					if err == nil {
						fine++
					}
				}
			}
		}
	}
	assert.Greater(t, fine, 300)
}

// completed are two fields, with conditions in every other variant and with what
// they need in the last two.
func completed(a, b string, variant int) []string {
	needs := map[string][]string{
		"aggregate": {"window"}, "window": {"aggregate"}, "quorum": {"groupBy"}, "groupBy": {"quorum"}, "sequence": {"within"}, "within": {"sequence"},
		"contiguity": {"sequence", "within"}, "lowering": {"levels"}, "maxGap": {"for"},
	}
	names := []string{a, b}
	if variant >= 2 {
		names = slices.Concat(names, needs[a], needs[b])
	}
	if variant%2 == 1 {
		names = append(names, "conditions")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unsaid are complaints that a schema cannot make.
func unsaid(err error) bool {
	var all strictjson.Errors
	if e, ok := err.(strictjson.Errors); ok { //nolint:errorlint // Load gives it as it is
		all = e
	}
	known := regexp.MustCompile(`reads |no aggregate|is of a group of twins|a rate is of samples|no member|field "a" is`)
	return len(all) > 0 && !slices.ContainsFunc(all, func(e *strictjson.Error) bool { return !known.MatchString(e.Err.Error()) })
}

// Every operator has a branch, and the counts of operands are those of the compiler.
func TestOperators(t *testing.T) {
	expr := raw(t, "interaction")["$defs"].(map[string]any)["expr"].(map[string]any)
	got := slices.Sorted(maps.Keys(expr["properties"].(map[string]any)))
	assert.Equal(t, logic.Operators(), got)
	s := compiled(t, "interaction")
	const document = `{"sources":[{"id":"s","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"r","severity":"major","sourceId":"s","sourceFeedId":"f","conditions":[{"jsonLogic":%s}]}}]}`
	operand := `{"map":[{"var":"a"},{"var":"b"}]}`
	for _, op := range logic.Operators() {
		forms := []string{`"a"`, `1`, `true`, `null`, operand, `[[1]]`, `["a"]`, `[1,"a"]`, `[true,[1]]`, `[{"var":"a"},null]`, `["a","b","c"]`, `[[1],["a"],1]`, `{}`, `{"a":1,"b":2}`}
		for n := range 6 {
			forms = append(forms, "["+strings.TrimSuffix(strings.Repeat(operand+",", n), ",")+"]")
		}
		for _, form := range forms {
			expression := fmt.Sprintf(`{%q:%s}`, op, form)
			r, err := strictjson.Parse("x", []byte(expression))
			require.NoError(t, err)
			_, refused := logic.Compile(r)
			invalid := s.Validate(parsed(t, fmt.Appendf(nil, document, expression)))
			if strings.Contains(fmt.Sprint(refused), "can never work with") || strings.Contains(fmt.Sprint(refused), "reads nothing here") {
				continue // a schema knows some of them
			}
			assert.Equal(t, refused == nil, invalid == nil, "%s\ncompiler: %v\nschema: %v", expression, refused, invalid)
		}
	}
}

// Mistakes that a schema can see; each breaks a document that is fine.
func TestBrokenDocuments(t *testing.T) {
	const fine = `{"sources":[{"id":"s","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"r","severity":"major","sourceId":"s","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"a"},1]}}],"for":"5m"}}]}`
	s := compiled(t, "interaction")
	require.NoError(t, s.Validate(parsed(t, []byte(fine))))
	for _, c := range []struct{ name, old, broken string }{
		{"a field with a slip", `"for":`, `"fro":`},
		{"a kind with a slip", `{"alert":`, `{"alrt":`},
		{"two kinds", `{"alert":`, `{"transformation":{},"alert":`},
		{"an operator of another language", `{">":`, `{"=>":`},
		{"two operators in one object", `{"var":"a"}`, `{"var":"a","val":"b"}`},
		{"too few operands", `[{"var":"a"},1]`, `[{"var":"a"}]`},
		{"an operand that is no list", `[{"var":"a"},1]`, `1`},
		{"a number without a unit", `"5m"`, `300`},
		{"a number without a unit in quotes", `"5m"`, `"300"`},
		{"a unit that is none", `"5m"`, `"5min"`},
		{"a duration of nothing", `"5m"`, `"0s"`},
		{"a calendar month", `"5m"`, `"P1M"`},
		{"another word for a severity", `"major"`, `"urgent"`},
		{"a severity that is a number", `"major"`, `1`},
		{"no severity", `"severity":"major",`, ``},
		{"no id", `"id":"r",`, ``},
		{"no conditions", `"conditions":[{"jsonLogic":{">":[{"var":"a"},1]}}],`, ``},
		{"an empty list of conditions", `[{"jsonLogic":{">":[{"var":"a"},1]}}]`, `[]`},
		{"a condition that is not in a list", `[{"jsonLogic":{">":[{"var":"a"},1]}}]`, `{"jsonLogic":true}`},
		{"an expression without its object", `{"jsonLogic":{">":[{"var":"a"},1]}}`, `{">":[{"var":"a"},1]}`},
		{"an empty name", `"sourceId":"s"`, `"sourceId":""`},
		{"no source", `"sources":[{"id":"s","modelDid":"m","feeds":[{"id":"f"}]}],`, ``},
		{"a source for every twin", `"modelDid":"m",`, ``},
		{"a source without feeds", `"feeds":[{"id":"f"}]`, `"feeds":[]`},
		{"feeds as texts", `[{"id":"f"}]`, `["f"]`},
		{"fields that exclude each other", `"for":`, `"absent":{"for":"1m"},"for":`},
		{"a field without the one that it needs", `"for":`, `"maxGap":"1m","within":"1m","for":`},
		{"a field of transformations", `"for":`, `"emit":"edge","for":`},
		{"an enabled in quotes", `{"sources"`, `{"enabled":"true","sources"`},
		{"a rule that is a list", `"rules":[{`, `"rules":[[],{`},
		{"a day that is none", `"for":`, `"schedule":{"mute":[{"days":["mo-fri"]}]},"for":`},
		{"an hour that is none", `"for":`, `"schedule":{"mute":[{"from":"25:00"}]},"for":`},
		{"a window that lacks its size", `"for":`, `"window":{"type":"sliding"},"aggregate":{"m":{"op":"count"}},"for":`},
		{"a percentile without a number", `"for":`, `"window":{"type":"sliding","size":"1m"},"aggregate":{"m":{"op":"percentile","field":"a"}},"for":`},
	} {
		require.Contains(t, fine, c.old, c.name)
		broken := strings.Replace(fine, c.old, c.broken, 1)
		_, err := rules.Load("x.json", []byte(broken))
		assert.Error(t, err, c.name)
		assert.Error(t, s.Validate(parsed(t, []byte(broken))), c.name)
	}
}

func TestWordsAreThoseOfTheDecoder(t *testing.T) {
	s := compiled(t, "interaction")
	const document = `{"sources":[{"id":"s","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"r","severity":%q,"sourceId":"s","sourceFeedId":"f","absent":{"for":%q}}}]}`
	valid := func(severity, duration string) (decoder, schema bool) {
		b := fmt.Appendf(nil, document, severity, duration)
		_, err := rules.Load("x.json", b)
		return err == nil, s.Validate(parsed(t, b)) == nil
	}
	for word := range strings.FieldsSeq("critical crit fatal page emergency major high error significant minor medium normal warning low warn info indeterminate notice none MAJOR Critical cRIT urgent p1 debug majors") {
		decoder, schema := valid(word, "1m")
		assert.Equal(t, decoder, schema, word)
	}
	for d := range strings.FieldsSeq("1m 90s 1d12h 1.5h 1,5h 2w 5ms 5us 5ns PT15M P1DT2H P1W PT0.5S P P1 PT 0s 0m 1h0m 1x m 1m1h 1M P1Y P1M -1m +1m 1m30 15 1h1h") {
		decoder, schema := valid("major", d)
		assert.Equal(t, decoder, schema, d)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/schema"
	"tocsin.internal/sinks/alertmanager"
	"tocsin.internal/sinks/email"
	filesink "tocsin.internal/sinks/file"
	ioticssink "tocsin.internal/sinks/iotics"
	logsink "tocsin.internal/sinks/log"
	"tocsin.internal/sinks/mqtt"
	natssink "tocsin.internal/sinks/nats"
	stompsink "tocsin.internal/sinks/stomp"
	"tocsin.internal/sinks/webhook"
	"tocsin.internal/sources/file"
	"tocsin.internal/sources/http"
	ioticssource "tocsin.internal/sources/iotics"
	natssource "tocsin.internal/sources/nats"
	"tocsin.internal/sources/stomp"
	"tocsin.internal/trials"
)

func configSchema(t *testing.T) (*jsonschema.Schema, map[string]any) {
	t.Helper()
	text, ok := schema.Text("config")
	require.True(t, ok)
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("urn:tocsin:schema:config", parsed))
	compiled, err := c.Compile("urn:tocsin:schema:config")
	require.NoError(t, err)
	var raw map[string]any
	require.NoError(t, json.Unmarshal(text, &raw))
	return compiled, raw
}

// The members of the configuration are those of the structs that read it.
func TestConfigSchemaKnowsTheNames(t *testing.T) {
	_, raw := configSchema(t)
	defs := raw["$defs"].(map[string]any)
	sameMembers(t, "", defs, raw, reflect.TypeFor[config]())
	source, sink := defs["source"].(map[string]any), defs["sink"].(map[string]any)
	sameMembers(t, "sink", defs, sink, reflect.TypeFor[part]())
	kinds := func(of map[string]any) []any {
		return of["properties"].(map[string]any)["kind"].(map[string]any)["enum"].([]any)
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(sourceKinds)), kinds(source))
	assert.ElementsMatch(t, slices.Collect(maps.Keys(sinkKinds)), kinds(sink))
	settings := map[string]reflect.Type{
		"source file": reflect.TypeFor[file.Config](), "source http": reflect.TypeFor[http.Config](), "source nats": reflect.TypeFor[natssource.Config](),
		"source iotics": reflect.TypeFor[ioticssource.Config](), "sink iotics": reflect.TypeFor[ioticssink.Config](),
		"source stomp":      reflect.TypeFor[stomp.Config](),
		"sink alertmanager": reflect.TypeFor[alertmanager.Config](), "sink email": reflect.TypeFor[email.Config](),
		"sink file": reflect.TypeFor[filesink.Config](), "sink mqtt": reflect.TypeFor[mqtt.Config](), "sink stomp": reflect.TypeFor[stompsink.Config](),
		"sink log": reflect.TypeFor[logsink.Config](), "sink nats": reflect.TypeFor[natssink.Config](), "sink webhook": reflect.TypeFor[webhook.Config](),
	}
	for side, of := range map[string]map[string]any{"source ": source, "sink ": sink} {
		for _, branch := range of["allOf"].([]any) {
			b := branch.(map[string]any)
			kind := b["if"].(map[string]any)["properties"].(map[string]any)["kind"].(map[string]any)["const"].(string)
			sameMembers(t, side+kind, defs, b["then"].(map[string]any)["properties"].(map[string]any)["with"].(map[string]any), settings[side+kind])
			delete(settings, side+kind)
		}
	}
	assert.Empty(t, settings, "kinds without settings in the schema")
}

func TestConfigSchemaKnowsRoutes(t *testing.T) {
	_, raw := configSchema(t)
	r, err := strictjson.Parse("x.json", []byte(`[{"name":"r","sinks":["s"],"qqqqqqqqqqqqqqqq":1}]`))
	require.NoError(t, err)
	_, err = alerts.DecodeRoutes(r, []string{"s"})
	_, known, found := strings.Cut(err.Error(), "; want one of ")
	require.True(t, found, err)
	properties := raw["$defs"].(map[string]any)["route"].(map[string]any)["properties"].(map[string]any)
	assert.Equal(t, strings.Split(known, ", "), slices.Sorted(maps.Keys(properties)))
}

// sameMembers compares the members of a schema and those that a struct takes.
func sameMembers(t *testing.T, path string, defs, s map[string]any, of reflect.Type) {
	t.Helper()
	if name, ok := s["$ref"].(string); ok {
		s = defs[strings.TrimPrefix(name, "#/$defs/")].(map[string]any)
	}
	properties := s["properties"].(map[string]any)
	fields := jsonFields(of)
	assert.Equal(t, slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(properties)), "members of %q", path)
	for name, field := range fields {
		if inner, ok := properties[name].(map[string]any); ok && field.Kind() == reflect.Struct && field != reflect.TypeFor[strictjson.Raw]() && !reflect.PointerTo(field).Implements(reflect.TypeFor[strictjson.Decoder]()) {
			sameMembers(t, path+"."+name, defs, inner, field)
		}
	}
}

func jsonFields(of reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range of.Fields() {
		if f.Anonymous {
			maps.Copy(out, jsonFields(f.Type))
			continue
		}
		if tag := f.Tag.Get("json"); tag != "" && tag != "-" {
			out[tag] = f.Type
		}
	}
	return out
}

// Configurations that load are valid, those with one mistake are not.
func TestConfigSchemaAgreesWithTheDecoder(t *testing.T) {
	compiled, _ := configSchema(t)
	valid := func(text []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return compiled.Validate(v)
	}
	text, err := os.ReadFile("../../examples/engine.json")
	require.NoError(t, err)
	require.NoError(t, valid(text))
	names, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	seen := 0
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		require.NoError(t, err)
		for _, f := range archive.Files {
			raw, err := strictjson.Parse(f.Name, f.Data)
			if err != nil || kindOfDocument(raw) != "configuration" {
				continue
			}
			if _, err := readConfig(f.Name, f.Data); err == nil {
				assert.NoError(t, valid(f.Data), "%s: %s", name, f.Name)
				seen++
			}
		}
	}
	assert.Positive(t, seen)
	for _, c := range []struct{ name, text string }{
		{"a slip in a name", `{"buss":{}}`},
		{"a duration without a unit", `{"drainTimeout":30}`},
		{"a duration with a unit that is none", `{"drainTimeout":"30sec"}`},
		{"a durability that is none", `{"bus":{"durability":"sometimes"}}`},
		{"partitions beyond the bounds", `{"bus":{"partitions":65}}`},
		{"url and listen", `{"bus":{"url":"nats://127.0.0.1:4222","listen":"127.0.0.1:4222"}}`},
		{"a kind that is none", `{"sinks":[{"name":"a","kind":"webhok","with":{"url":"https://example.com"}}]}`},
		{"a webhook without a url", `{"sinks":[{"name":"a","kind":"webhook","with":{}}]}`},
		{"settings of another kind", `{"sinks":[{"name":"a","kind":"log","with":{"url":"https://example.com"}}]}`},
		{"a source with a rate", `{"sources":[{"name":"a","kind":"http","with":{"listen":":1"},"rate":3}]}`},
		{"a sink without a name", `{"sinks":[{"kind":"log"}]}`},
		{"a level that is none", `{"log":{"level":"loud"}}`},
		{"create without a model", `{"twins":{"unknown":"create"}}`},
		{"a burst below none", `{"http":{"rate":{"perSecond":1,"burst":-1}}}`},
		{"an origin with a path", `{"http":{"cors":["https://a.example/b"]}}`},
		{"a certificate without its key", `{"http":{"tls":{"cert":"a.pem"}}}`},
		{"a key without its certificate", `{"stomp":{"listen":"127.0.0.1:61613","tls":{"key":"a.pem"}}}`},
		{"an MQTT address without a port", `{"bus":{"mqtt":{"listen":"127.0.0.1"}}}`},
		{"an address without a port", `{"stomp":{"listen":"127.0.0.1"}}`},
		{"a route without sinks", `{"routes":[{"name":"r"}]}`},
	} {
		_, err := readConfig("x.json", []byte(c.text))
		assert.Error(t, err, c.name)
		assert.Error(t, valid([]byte(c.text)), c.name)
	}
}

// The members of tests.json are those that the decoder of tests takes.
func TestSchemaOfTestsKnowsTheNames(t *testing.T) {
	const stray = "qqqqqqqqqqqqqqqq"
	dir := t.TempDir()
	text, err := os.ReadFile("../../examples/rules/overheating-alert/interaction.json")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "interaction.json"), text, 0o600))
	cases := `[{"name":"n","qqqqqqqqqqqqqqqq":1,"samples":[{"at":"5m","twin":"t","feed":"f","data":{},"qqqqqqqqqqqqqqqq":1}],
	 "want":[{"outcome":{"event":"raised"},"qqqqqqqqqqqqqqqq":1}],"never":[{"qqqqqqqqqqqqqqqq":1}]}]`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tests.json"), []byte(cases), 0o600))
	folders, err := trials.Find(dir)
	require.NoError(t, err)
	require.Len(t, folders, 1)
	require.Len(t, folders[0].Cases, 1)
	said := folders[0].Cases[0].Err.Error()
	text, ok := schema.Text("tests")
	require.True(t, ok)
	var raw map[string]any
	require.NoError(t, json.Unmarshal(text, &raw))
	defs := raw["$defs"].(map[string]any)
	for pointer, def := range map[string]string{"/0": "test", "/0/samples/0": "sample", "/0/want/0": "want", "/0/never/0": "partial"} {
		_, known, found := strings.Cut(said, pointer+"/"+stray+": unknown field \""+stray+"\"; want one of ")
		require.True(t, found, "%s: %s", pointer, said)
		known, _, _ = strings.Cut(known, "\n")
		assert.Equal(t, strings.Split(known, ", "), slices.Sorted(maps.Keys(defs[def].(map[string]any)["properties"].(map[string]any))), pointer)
	}
}

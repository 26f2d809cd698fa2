package api

import (
	"bytes"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	operations "tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/accounts"
	"tocsin.internal/api/ledgers"
	"tocsin.internal/api/notifications"
	"tocsin.internal/api/openapi"
	"tocsin.internal/api/qapi"
	"tocsin.internal/api/resolver"
	"tocsin.internal/api/stickers"
	"tocsin.internal/api/stomp"
	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
)

// described is the document, parsed, and a compiler of its schemas.
func described(t *testing.T) (map[string]any, *jsonschema.Compiler) {
	t.Helper()
	text, err := openapi.Document("1.2.3")
	require.NoError(t, err)
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("openapi.json", parsed))
	return parsed.(map[string]any), c
}

// everyRoute is every way in that a server has.
func everyRoute() []access.Route {
	e := new(engine.Engine)
	return Routes(Options{Engine: e, Samples: http.NotFoundHandler(), Routes: slices.Concat(
		qapi.New(qapi.Options{Engine: e}).Routes(), resolver.Routes(resolver.Options{}),
		accounts.Routes(e, time.Now), stickers.Routes(e, time.Now), ledgers.Routes(e, nil, time.Now), notifications.Routes(notifications.Options{Engine: e}),
		[]access.Route{stomp.New(stomp.Options{}).Route()},
	)})
}

var wildcard = regexp.MustCompile(`\{([^}]+)\}`)

// Every route has an operation and the other way round; both want the same of
// who asks.
func TestTheAPIIsWhatItsDescriptionSays(t *testing.T) {
	doc, _ := described(t)
	assert.Equal(t, "1.2.3", doc["info"].(map[string]any)["version"])
	operations := map[string]map[string]any{}
	for p, methods := range doc["paths"].(map[string]any) {
		for method, o := range methods.(map[string]any) {
			operations[strings.ToUpper(method)+" "+p] = o.(map[string]any)
		}
	}
	ids := map[any]string{}
	for _, r := range everyRoute() {
		if strings.HasSuffix(r.Pattern, trusted.Slash) {
			continue // it is described without
		}
		o := operations[r.Pattern]
		if !assert.NotNil(t, o, "api/openapi has no operation for %s", r.Pattern) {
			continue
		}
		delete(operations, r.Pattern)
		assert.Equal(t, string(r.Action), o["x-action"], "%s: action", r.Pattern)
		var security any
		switch {
		case r.Action.Tokenless():
			security = []any{}
		case r.QueryToken:
			security = []any{map[string]any{"token": []any{}}, map[string]any{"queryToken": []any{}}}
		}
		assert.Equal(t, security, o["security"], "%s: security", r.Pattern)
		var named []string
		parameters, _ := o["parameters"].([]any)
		for _, parameter := range parameters {
			if one := parameter.(map[string]any); one["in"] == "path" {
				assert.Equal(t, true, one["required"], "%s: %s", r.Pattern, one["name"])
				named = append(named, one["name"].(string))
			}
		}
		var there []string
		for _, m := range wildcard.FindAllStringSubmatch(r.Pattern, -1) {
			there = append(there, m[1])
		}
		assert.ElementsMatch(t, there, named, "%s: path parameters", r.Pattern)
		assert.Empty(t, ids[o["operationId"]], "operationId %v is of %s too", o["operationId"], r.Pattern)
		ids[o["operationId"]] = r.Pattern
		assert.Contains(t, []string{"GET", "POST", "PUT", "PATCH", "DELETE"}, strings.Fields(r.Pattern)[0])
	}
	assert.Empty(t, slices.Sorted(maps.Keys(operations)), "operations without a route")
}

// Every reference leads somewhere, every schema is one, and the examples are valid.
func TestExamplesOfTheDescription(t *testing.T) {
	doc, compiler := described(t)
	used := map[string]bool{}
	examples := 0
	var walk func(pointer string, v any)
	walk = func(pointer string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if target, ok := v["$ref"].(string); ok {
				used[target] = true
				assert.NotNil(t, at(doc, target), "%s: nothing at %s", pointer, target)
			}
			if _, ok := v["schema"]; ok {
				schema, err := compiler.Compile("openapi.json#" + pointer + "/schema")
				require.NoError(t, err, pointer)
				if example, ok := v["example"]; ok {
					examples++
					assert.NoError(t, schema.Validate(example), pointer)
				}
			}
			for name, inner := range v {
				walk(pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", "{", "%7B", "}", "%7D").Replace(name), inner)
			}
		case []any:
			for i, inner := range v {
				walk(pointer+"/"+strconv.Itoa(i), inner)
			}
		}
	}
	for name, part := range doc {
		walk("/"+name, part)
	}
	assert.Greater(t, examples, 20)
	for kind, all := range doc["components"].(map[string]any) {
		for name := range all.(map[string]any) {
			target := "#/components/" + kind + "/" + name
			assert.True(t, used[target] || kind == "securitySchemes", "%s is not used", target)
			if kind == "schemas" {
				_, err := compiler.Compile("openapi.json" + target)
				assert.NoError(t, err, target)
			}
		}
	}
}

// at is what a pointer leads to.
func at(doc any, pointer string) any {
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "#/"), "/") {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = m[name]
	}
	return doc
}

// Every action is an operation of the one table, so that a role can name it.
func TestActionsAreOperations(t *testing.T) {
	for _, r := range everyRoute() {
		assert.True(t, r.Action == access.Open || r.Action == access.Register || operations.Known(string(r.Action)), "%s: %s", r.Pattern, r.Action)
	}
}

package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// node is what is read of a JSON Schema.
type node struct {
	Ref        string `json:"$ref"`
	Properties map[string]node
	Default    any
	Defs       map[string]node `json:"$defs"`
}

// The guide for operators says that engine.json names every field of the embedded
// kind with its default; it lacked three streams, STOMP, MQTT and more.
func TestConfigurationNamesEveryField(t *testing.T) {
	var schema node
	readJSON(t, filepath.Join("..", "rules", "schema", "config.schema.json"), &schema)
	var example map[string]any
	readJSON(t, "engine.json", &example)
	elsewhere := []string{"$schema", "bus.url", "bus.creds", "bus.tls", "bus.streams.out.maxAge"} // of the external kind, or refused
	said := []string{"rules", "sinks", "twins.files", "bus.listen"}                               // what makes it an example
	var compare func(n node, value map[string]any, above string)
	compare = func(n node, value map[string]any, above string) {
		for name, field := range n.Properties {
			if def, ok := strings.CutPrefix(field.Ref, "#/$defs/"); ok {
				was := field.Default
				field = schema.Defs[def]
				if was != nil {
					field.Default = was
				}
			}
			path := above + name
			got, ok := value[name]
			object, isObject := got.(map[string]any)
			switch {
			case slices.Contains(elsewhere, path):
				assert.False(t, ok, path)
			case !ok:
				t.Errorf("engine.json lacks %s", path)
			case isObject && field.Properties != nil:
				compare(field, object, path+".")
			case field.Default != nil && !slices.Contains(said, path):
				assert.Equal(t, field.Default, got, path)
			}
		}
	}
	compare(schema, example, "")
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

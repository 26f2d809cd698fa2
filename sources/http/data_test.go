package http

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/sources"
)

// FuzzCheck holds check to encoding/json: both take the same objects.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":1e400}`, `{"a":-1e400,"b":"1e400\""}`, `{"a":[1,2.5E+3,-0,"\\"],"a":null}`, `{"a":1e-999}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":01}`, `{`, `{"a":NaN}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || data[0] != '{' {
			return
		}
		var want map[string]any
		wantErr := json.Unmarshal(data, &want)
		at, err := check(data)
		assert.Equal(t, wantErr == nil, err == nil, "encoding/json: %v; check: %v", wantErr, err)
		assert.LessOrEqual(t, at, len(data))
		if err == nil {
			var got map[string]any
			line, err := sources.OneLine(data)
			require.NoError(t, err)
			assert.NoError(t, json.Unmarshal(line, &got))
			assert.Equal(t, want, got)
			assert.NotContains(t, string(line), "\n")
		}
	})
}

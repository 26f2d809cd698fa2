package logic_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/logic"
)

// TestOfficial runs the test set of jsonlogic.com, and the case that the
// community's copies of it hold on top.
func TestOfficial(t *testing.T) {
	text, err := os.ReadFile("testdata/tests.json")
	require.NoError(t, err)
	var items []any
	require.NoError(t, json.Unmarshal(text, &items))
	items = append(items, decoded(t, `[{"reduce":[{"var":"integers"},{"+":[{"var":"current"},{"var":"accumulator"}]},{"var":"start_with"}]},
		{"integers":[1,2,3,4],"start_with":59}, 69]`))
	cases := 0
	for _, item := range items {
		c, ok := item.([]any)
		if !ok {
			continue // a heading
		}
		cases++
		rule := encoded(t, c[0])
		got, err := loose(t, rule).Value(c[1])
		require.NoError(t, err, rule)
		assert.Equal(t, encoded(t, c[2]), encoded(t, got), "%s over %s", rule, encoded(t, c[1]))
	}
	assert.Equal(t, 278, cases)
}

// TestCommunity runs the half of the compatibility suites that is here.
func TestCommunity(t *testing.T) {
	cases := 0
	err := filepath.WalkDir("testdata/community", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var items []any
		require.NoError(t, json.Unmarshal(text, &items))
		for _, item := range items {
			c, ok := item.(map[string]any)
			if !ok {
				continue // a heading
			}
			cases++
			rule := encoded(t, c["rule"])
			got, err := loose(t, rule).Value(c["data"])
			if want, ok := c["error"].(map[string]any); ok {
				failure, _ := errors.AsType[*logic.Error](err)
				if assert.NotNil(t, failure, "%s: %s", path, rule) {
					assert.Equal(t, want["type"], failure.Type, "%s: %s", path, rule)
				}
				continue
			}
			if assert.NoError(t, err, "%s: %s", path, rule) {
				assert.Equal(t, encoded(t, c["result"]), encoded(t, got), "%s: %s over %s", path, rule, encoded(t, c["data"]))
			}
		}
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 442, cases)
}

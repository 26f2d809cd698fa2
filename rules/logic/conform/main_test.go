package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// conform runs suites as the files 1.json, 2.json and so on.
func conform(t *testing.T, suites ...string) (code int, out, errs string) {
	t.Chdir(t.TempDir())
	var files []string
	for i, text := range suites {
		files = append(files, fmt.Sprintf("%d.json", i+1))
		require.NoError(t, os.WriteFile(files[i], []byte(text), 0o600))
	}
	var o, e strings.Builder
	code = run(files, &o, &e)
	return code, o.String(), e.String()
}

func TestPassing(t *testing.T) {
	code, out, errs := conform(t, `["# heading",
		{"description":"a","rule":{"var":"x"},"data":{"x":[1,{"y":-0}]},"result":[1,{"y":0}],"decimal":true},
		{"description":"no data, null result","rule":{"var":"x"},"result":null},
		{"description":"error","rule":{"/":[1,0]},"data":null,"error":{"type":"NaN"}},
		{"description":"any error","rule":{"/":[1,0]},"data":null,"error":{}},
		{"description":"operator","rule":{"nope":1},"data":null,"error":{"type":"Unknown Operator"}},
		[{"+":[1,2]}, null, 3]]`, `[[{"!":[{"var":"x"}]}, {"x":1}, false]]`)
	assert.Equal(t, "7 passed, 0 failed\n", out)
	assert.Empty(t, errs)
	assert.Zero(t, code)
}

func TestFailing(t *testing.T) {
	code, out, errs := conform(t, `[
		{"description":"value","rule":{"var":"x"},"data":{"x":1},"result":"1"},
		{"description":"list","rule":[1,2],"data":null,"result":[1]},
		{"description":"members","rule":{"preserve":{"a":1}},"data":null,"result":{"b":1}},
		{"description":"no error","rule":1,"data":null,"error":{"type":"NaN"}},
		{"description":"other error","rule":{"throw":"x"},"data":null,"error":{"type":"NaN"}},
		{"description":"error","rule":{"throw":"x"},"data":null,"result":1},
		[1, null, 1]]`)
	assert.Equal(t, `FAIL 1.json, case 1 "value"
  rule {"var":"x"}
  data {"x":1}
  got 1, want "1"
FAIL 1.json, case 2 "list"
  rule [1,2]
  data null
  got [1,2], want [1]
FAIL 1.json, case 3 "members"
  rule {"preserve":{"a":1}}
  data null
  got {"a":1}, want {"b":1}
FAIL 1.json, case 4 "no error"
  rule 1
  data null
  got 1, want the error {"type":"NaN"}
FAIL 1.json, case 5 "other error"
  rule {"throw":"x"}
  data null
  got an error of type "x" (rule:1:2: /throw: "throw" failed: x), want {"type":"NaN"}
FAIL 1.json, case 6 "error"
  rule {"throw":"x"}
  data null
  got the error rule:1:2: /throw: "throw" failed: x, want 1
1 passed, 6 failed
`, out)
	assert.Empty(t, errs)
	assert.Equal(t, 1, code)
}

func TestUnreadable(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:      "1.json: json: cannot unmarshal object into Go value of type []json.RawMessage\n",
		`[[1,2]]`: "1.json: element 0: want a heading, an object or [rule, data, result]\n",
		`[7]`:     "1.json: element 0: want a heading, an object or [rule, data, result]\n",
	} {
		t.Run(text, func(t *testing.T) {
			code, out, errs := conform(t, text)
			assert.Equal(t, want, errs)
			assert.Empty(t, out)
			assert.Equal(t, 2, code)
		})
	}
	code, _, errs := conform(t)
	assert.Equal(t, "usage: conform FILE…\n", errs)
	assert.Equal(t, 2, code)
}

func TestSuites(t *testing.T) {
	var files []string
	require.NoError(t, filepath.WalkDir("../testdata", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".json" {
			files = append(files, path)
		}
		return err
	}))
	var out, errs strings.Builder
	code := run(files, &out, &errs)
	assert.Equal(t, "719 passed, 0 failed\n", out.String())
	assert.Empty(t, errs.String())
	assert.Zero(t, code)
}

package examples_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
)

const fieldPages = "../docs/fields"

// partOf says on whose page a field is that has none of its own.
var partOf = map[string]string{"lowering": "levels", "within": "sequence", "contiguity": "sequence", "quorum": "groupBy"}

// Each page of docs/fields has an example in fenced blocks: an interaction,
// twins where it needs them, samples, and what of the outcomes matters.
func TestFieldPages(t *testing.T) {
	for _, name := range pagesOfFields(t) {
		t.Run(name, func(t *testing.T) {
			text := readPage(t, name)
			assert.True(t, strings.HasPrefix(text, "# "+name+"\n"), "the title is the field")
			blocks := fenced(t, text)
			program, err := rules.Load(name, []byte(blocks["json interaction"]))
			require.NoError(t, err)
			assert.Equal(t, name, program.ID(), "an example's id is its page's name")
			wrongValues(t, name, text, blocks["json interaction"])
			samples := sources.NewNDJSON(strings.NewReader(blocks["ndjson samples"]), name)
			got := judge(t, samples, engine.NewReplay(map[string]*rules.Program{name: program}, describedIn(t, name, blocks["json twins"])))
			want := strings.Split(strings.TrimSpace(blocks["ndjson outcomes"]), "\n")
			var said []string
			for i := range got {
				said = append(said, string(got[i].AppendJSON(nil)))
			}
			require.Len(t, got, len(want), "outcomes:\n%s", strings.Join(said, "\n"))
			for i, line := range want {
				assert.Empty(t, differs("", value(t, line), value(t, said[i])), "outcome %d: %s", i+1, said[i])
			}
		})
	}
}

func TestEveryFieldHasAPage(t *testing.T) {
	want := map[string]bool{"mode": true, "sticker": true, "notification": true} // which make no rule remember
	for _, field := range rules.StatefulFields() {
		if other, ok := partOf[field]; ok {
			assert.Contains(t, readPage(t, other), "`"+field+"`")
			field = other
		}
		want[field] = true
	}
	assert.Equal(t, slices.Sorted(maps.Keys(want)), pagesOfFields(t))
	index := readPage(t, "README")
	for field := range want {
		assert.Contains(t, index, "["+field+"]("+field+".md)")
	}
}

func TestLinksOfFieldPages(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)`)
	for _, name := range append(pagesOfFields(t), "README") {
		for _, m := range link.FindAllStringSubmatch(readPage(t, name), -1) {
			assert.FileExists(t, filepath.Join(fieldPages, m[1]), name)
		}
	}
}

func pagesOfFields(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fieldPages, "*.md"))
	require.NoError(t, err)
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); name != "README" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	require.NotEmpty(t, names)
	return names
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(fieldPages, name+".md"))
	require.NoError(t, err)
	return string(text)
}

// fenced are the blocks of a page by what stands behind their opening fence.
func fenced(t *testing.T, text string) map[string]string {
	t.Helper()
	blocks := map[string]string{}
	for i, part := range strings.Split(text, "\n```") {
		if i%2 == 1 {
			info, body, _ := strings.Cut(part, "\n")
			require.NotContains(t, blocks, info)
			blocks[info] = body
		}
	}
	return blocks
}

// errorRow is a row of a page's table of errors: members of a rule, and the complaint.
var errorRow = regexp.MustCompile("(?m)^\\| `(\".*)` \\| `(/.*)` \\|$")

// wrongValues puts the members of each row into the example's first rule, in
// place of those of the same name, and expects the complaint.
func wrongValues(t *testing.T, name, text, interaction string) {
	t.Helper()
	rows := errorRow.FindAllStringSubmatch(text, -1)
	assert.NotEmpty(t, rows, "a page says what goes wrong")
	for _, row := range rows {
		var doc map[string]any
		require.NoError(t, json.Unmarshal([]byte(interaction), &doc))
		kinds := doc["rules"].([]any)[0].(map[string]any)
		kind := slices.Collect(maps.Keys(kinds))[0]
		rule := kinds[kind].(map[string]any)
		require.NoError(t, json.Unmarshal([]byte("{"+row[1]+"}"), &rule), row[1])
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		require.NoError(t, enc.Encode(doc))
		_, err := rules.Load(name, b.Bytes())
		require.Error(t, err, row[1])
		assert.Contains(t, err.Error()+"\n", ": /rules/0/"+kind+row[2]+"\n", row[1])
	}
}

func describedIn(t *testing.T, name, text string) []twins.Twin {
	t.Helper()
	if text == "" {
		return nil
	}
	raw, err := strictjson.Parse(name, []byte(text))
	require.NoError(t, err)
	described, err := twins.Decode(raw)
	require.NoError(t, err)
	return described
}

func value(t *testing.T, text string) (v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// differs says where got is not what is wanted, "" for nowhere. Of objects the
// wanted members count only.
func differs(at string, want, got any) string {
	members, isObject := want.(map[string]any)
	others, both := got.(map[string]any)
	if !isObject || !both {
		if !assert.ObjectsAreEqual(want, got) {
			return fmt.Sprintf("%s: want %v, got %v", at, want, got)
		}
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if d := differs(at+"/"+name, members[name], others[name]); d != "" {
			return d
		}
	}
	return ""
}

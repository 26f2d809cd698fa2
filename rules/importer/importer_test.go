package importer_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/importer"
	"tocsin.internal/rules/importer/iotevents"
	"tocsin.internal/rules/importer/thingsboard"
)

var update = flag.Bool("update", false, "write what is wanted instead of comparing with it")

var systems = map[string]func(string, []byte, importer.Options) (*importer.Result, error){
	"iotevents": iotevents.Import, "thingsboard": thingsboard.Import,
}

// Each folder of testdata has an original, the interactions that it becomes, and
// the report.
func TestOriginals(t *testing.T) {
	for system, take := range systems {
		folders, err := filepath.Glob(system + "/testdata/*")
		require.NoError(t, err)
		assert.GreaterOrEqual(t, len(folders), 6)
		for _, folder := range folders {
			t.Run(folder, func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join(folder, "input.json"))
				require.NoError(t, err)
				got, err := take("input.json", text, importer.Options{})
				require.NoError(t, err)
				for _, d := range got.Documents {
					p, err := rules.Load(d.ID+".json", d.Text)
					require.NoError(t, err)
					assert.Equal(t, d.ID, p.ID())
					compare(t, filepath.Join(folder, "want", d.ID+".json"), string(d.Text))
				}
				compare(t, filepath.Join(folder, "want", "report.txt"), report(got))
				wanted, err := filepath.Glob(filepath.Join(folder, "want", "*.json"))
				require.NoError(t, err)
				assert.Len(t, wanted, len(got.Documents))
			})
		}
	}
}

func report(r *importer.Result) string {
	var b strings.Builder
	for _, v := range []importer.Verdict{importer.Exact, importer.Approximate, importer.Lost} {
		for _, err := range r.Of(v) {
			fmt.Fprintf(&b, "%s %v\n", []string{"same", "near", "lost"}[v], err)
		}
	}
	return b.String()
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err, "go test ./rules/importer -update writes it")
	assert.Equal(t, string(want), got, name)
}

// What people may feed it is no reason to stop: every original is cut off, and
// has each of its values replaced by each of another type.
func TestOddOriginals(t *testing.T) {
	for system, take := range systems {
		names, err := filepath.Glob(system + "/testdata/*/input.json")
		require.NoError(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			for i := 0; i < len(text); i += 97 {
				_, err := take("x.json", text[:i], importer.Options{})
				require.Error(t, err)
			}
			raw, err := strictjson.Parse(name, text)
			require.NoError(t, err)
			var values []string
			var walk func(r strictjson.Raw)
			walk = func(r strictjson.Raw) {
				values = append(values, string(r.Text()))
				for _, m := range r.Members() {
					walk(m.Value)
				}
				for _, e := range r.Elems() {
					walk(e)
				}
			}
			walk(raw)
			slices.Sort(values)
			for _, value := range slices.Compact(values) {
				for _, other := range []string{`null`, `true`, `-7`, `"a b"`, `[1]`, `{"a":{}}`} {
					got, err := take("x.json", []byte(strings.Replace(string(text), value, other, 1)), importer.Options{})
					if err != nil {
						continue
					}
					for _, d := range got.Documents {
						_, err := rules.Load(d.ID+".json", d.Text)
						require.NoError(t, err)
					}
				}
			}
		}
	}
}

func TestNothingToImport(t *testing.T) {
	for system, take := range systems {
		for _, text := range []string{`{}`, `[]`, `1`, `{"Resources":{}}`, `{"name":"a"}`, `{"profileData":{"alarms":[]}}`, `{"detectorModelDefinition":{}}`} {
			got, err := take("x.json", []byte(text), importer.Options{})
			require.NoError(t, err)
			assert.Empty(t, got.Documents, "%s: %s", system, text)
			assert.NotEmpty(t, got.Of(importer.Lost), "%s: %s", system, text)
		}
	}
}

func TestSlug(t *testing.T) {
	for name, want := range map[string]string{
		"High Temperature": "high-temperature", "highTemperature": "high-temperature", "motorDetectorModel": "motor-detector-model",
		"CO2 level": "co2-level", " -- ": "imported", "Žár 2": "žár-2", "a__b": "a-b",
	} {
		assert.Equal(t, want, importer.Slug(name), name)
	}
}

func TestNegate(t *testing.T) {
	v := importer.Var("a")
	for _, c := range []struct {
		expr any
		want string
	}{
		{importer.Op(">", v, importer.Number("1")), `{"<=": [{"var": "a"}, 1]}`},
		{importer.Op("!", v), `{"var": "a"}`},
		{v, `{"!": [{"var": "a"}]}`},
		{true, `false`},
		{importer.Op("and", importer.Op("==", v, "x"), importer.Op("<", v, importer.Number("2"))), `{"or": [{"!=": [{"var": "a"}, "x"]}, {">=": [{"var": "a"}, 2]}]}`},
	} {
		assert.Equal(t, c.want, importer.Text(importer.Negate(c.expr)))
	}
}

func TestDisjoint(t *testing.T) {
	cmp := func(op, n string) any { return importer.Op(op, importer.Var("a"), importer.Number(n)) }
	other := importer.Op("<", importer.Var("b"), importer.Number("1"))
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{cmp(">", "70"), cmp("<=", "70"), true},
		{cmp(">=", "70"), cmp("<=", "70"), false},
		{cmp(">", "70"), cmp("<", "60"), true},
		{cmp(">", "60"), cmp("<", "70"), false},
		{cmp("==", "1"), cmp("!=", "1"), true},
		{cmp("==", "1"), cmp("==", "2"), true},
		{cmp("!=", "1"), cmp("!=", "2"), false},
		{cmp(">", "1"), other, false},
		{importer.All(cmp(">", "70"), other), cmp("<", "60"), true},
		{importer.Any(cmp(">", "70"), other), cmp("<", "60"), false},
		{importer.All(cmp(">", "70"), other), importer.Any(cmp("<=", "70"), importer.Negate(other)), true},
	} {
		assert.Equal(t, c.want, importer.Disjoint(c.a, c.b), "%s and %s", importer.Text(c.a), importer.Text(c.b))
		assert.Equal(t, c.want, importer.Disjoint(c.b, c.a), "%s and %s", importer.Text(c.b), importer.Text(c.a))
	}
}

// Package tocsin_test holds the walls of the house: which room may import
// what, and what belongs in few hands. A breach is reported as
// file:line: thing breaks the wall "…".
package tocsin_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "tocsin.internal"

// room is one package or a family of packages. A pattern is a folder ("bus"),
// its direct sub-folders ("sources/*"), or the folder and all below it
// ("internal/..."); "..." alone is everything. The first room that fits is taken.
type room struct {
	pattern  string
	imports  []string // what it may import of the project, besides itself
	tests    []string // what its tests may import besides
	contract bool     // it is a contract test: test code, though its files are not named _test.go
}

var rooms = []room{
	{pattern: "rules", imports: []string{"rules/...", "internal/strictjson"}},
	{pattern: "rules/scan"},
	{pattern: "rules/duration", imports: []string{"internal/strictjson"}},
	{pattern: "rules/schedule", imports: []string{"internal/strictjson"}},
	{pattern: "rules/geo", imports: []string{"internal/strictjson"}},
	{pattern: "rules/words"},
	{pattern: "rules/sequence"},
	{pattern: "rules/series"},
	{pattern: "rules/envelope", imports: []string{"rules/scan"}},
	{pattern: "rules/logic", imports: []string{"rules/...", "internal/strictjson"}},
	{pattern: "rules/logic/conform", imports: []string{"rules/...", "internal/strictjson"}},
	{pattern: "rules/logic/reference", imports: []string{"internal/strictjson"}, tests: []string{"rules/logic"}},
	{pattern: "rules/lint", imports: []string{"rules", "rules/...", "internal/strictjson"}},
	{pattern: "rules/schema", imports: []string{"internal/strictjson"}, tests: []string{"rules", "rules/..."}},
	{pattern: "rules/importer/...", imports: []string{"rules", "rules/...", "internal/strictjson"}},
	{pattern: "rules/mapping", imports: []string{"rules/...", "internal/strictjson"}},
	{pattern: "twins", imports: []string{"rules", "rules/logic", "internal/did", "internal/strictjson"}},
	{pattern: "alerts", imports: []string{"rules", "rules/duration", "internal/..."}},
	{pattern: "identity", imports: []string{"internal/..."}},
	{pattern: "accounts", imports: []string{"internal/..."}},
	{pattern: "subscriptions", imports: []string{"internal/..."}},
	{pattern: "bus", imports: []string{"rules", "twins", "alerts", "internal/..."}},
	{pattern: "space", imports: []string{"identity", "internal/..."}},
	{pattern: "sources", imports: []string{"rules", "twins", "internal/..."}},
	{pattern: "sources/sourcetest", imports: []string{"sources", "rules", "twins", "internal/..."}, contract: true},
	{pattern: "sources/*", imports: []string{"sources", "rules", "rules/envelope", "twins", "identity", "space", "internal/..."}, tests: []string{"sources/sourcetest"}},
	{pattern: "sinks", imports: []string{"rules", "twins", "alerts", "internal/..."}},
	{pattern: "sinks/sinktest", imports: []string{"sinks", "rules", "twins", "alerts", "internal/..."}, contract: true},
	{pattern: "sinks/letter", imports: []string{"sinks", "rules", "twins", "alerts", "internal/..."}},
	{pattern: "sinks/*", imports: []string{"sinks", "sinks/letter", "rules", "rules/envelope", "twins", "alerts", "identity", "space", "internal/..."}, tests: []string{"sinks/sinktest"}},
	{pattern: "engine", imports: []string{"bus", "sources", "sinks", "twins", "alerts", "accounts", "subscriptions", "rules/...", "internal/..."}},
	{pattern: "api", imports: []string{"api/...", "engine", "twins", "alerts", "rules", "identity", "accounts", "subscriptions", "internal/..."}},
	{pattern: "api/apitest", imports: []string{"api", "bus", "engine"}, contract: true},
	{pattern: "api/*", imports: []string{"api/...", "engine", "twins", "alerts", "rules", "rules/envelope", "identity", "accounts", "subscriptions", "internal/..."}, tests: []string{"bus"}},
	{pattern: "trials", imports: []string{"engine", "sources", "twins", "rules", "rules/...", "internal/..."}},
	{pattern: "backtest", imports: []string{"engine", "sources", "twins", "rules", "rules/...", "internal/..."}},
	{pattern: "web"},
	{pattern: "internal/brokertest", imports: []string{"internal/..."}, contract: true},
	{pattern: "internal/leaktest", contract: true},
	{pattern: "internal/natstest", imports: []string{"internal/..."}, contract: true},
	{pattern: "internal/porttest", contract: true},
	{pattern: "internal/stomptest", imports: []string{"internal/..."}, contract: true},
	{pattern: "internal/*", imports: []string{"internal/..."}},
	{pattern: "cmd/*", imports: []string{"..."}},
	{pattern: "benchmarks/...", imports: []string{"..."}},
	{pattern: "chaos", tests: []string{"..."}},
	{pattern: "examples", tests: []string{"trials", "engine", "sources", "twins", "rules", "internal/..."}},
	{pattern: "tools/..."},
}

// wall keeps things out of rooms. A thing is an import path (or a pattern of
// them), a function, or what findings calls it.
type wall struct {
	name   string
	things []string
	only   []string // the rooms that may have them
	never  []string // where set: the rooms that may not; all others may
	tests  bool     // test code may have them anywhere
}

var walls = []wall{
	{
		name:   "only bus, sources/nats, sinks/nats, benchmarks and tests know NATS",
		things: []string{"github.com/nats-io/...", "github.com/synadia-io/..."},
		only:   []string{"bus/...", "sources/nats", "sinks/nats", "benchmarks/..."},
		tests:  true,
	},
	{
		name:   "only engine, api and cmd log",
		things: []string{"log", "log/slog", "github.com/rs/zerolog/..."},
		only:   []string{"engine/...", "api/...", "cmd/..."},
	},
	{
		name:   "only api knows Prometheus",
		things: []string{"github.com/prometheus/..."},
		only:   []string{"api/..."},
		tests:  true,
	},
	{
		name:   "rules/..., alerts, identity, accounts and subscriptions know no network",
		things: []string{"net/..."},
		never:  []string{"rules/...", "alerts", "identity", "accounts", "subscriptions"},
	},
	{
		name: "rules/..., alerts, identity, accounts and subscriptions ask no clock: time comes in as a value",
		things: []string{
			"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc",
			"time.Tick", "time.NewTicker", "time.NewTimer", "dot import of time",
		},
		never: []string{"rules/...", "alerts", "identity", "accounts", "subscriptions"},
	},
	{
		name:   "only engine, bus, api and tests write go",
		things: []string{"go statement"},
		only:   []string{"engine/...", "bus/...", "api/..."},
		tests:  true,
	},
	{
		name:   "nobody writes init()",
		things: []string{"func init"},
	},
	{
		name:   "a package is named by its one purpose",
		things: []string{"package util", "package utils", "package common", "package types", "package models", "package helpers"},
	},
}

func TestHouse(t *testing.T) {
	seen := 0
	for _, f := range tree(t) {
		if !strings.HasSuffix(f.name, ".go") {
			continue
		}
		seen++
		for _, b := range breaches(t, f.name, f.src) {
			t.Error(b)
		}
	}
	assert.NotZero(t, seen, "no Go file found")
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for _, complaint := range undocumented(t, tree(t)) {
		t.Error(complaint)
	}
}

func TestFilesNameNoMachine(t *testing.T) {
	for _, f := range tree(t) {
		for _, l := range leaks(f.name, f.src) {
			t.Error(l)
		}
	}
}

// file is a file of the repository; its name is slash-separated, from the root.
type file struct {
	name string
	src  []byte
}

// tree is every file of the repository, without those that git does not keep
// and without testdata.
func tree(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{".git", "testdata", "node_modules"}, d.Name()) || name == "data"):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		src, err := os.ReadFile(name)
		files = append(files, file{filepath.ToSlash(name), src})
		return err
	})
	require.NoError(t, err)
	return files
}

// breaches is a line for each wall that a Go file breaks.
func breaches(t *testing.T, name string, src []byte) []string {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	require.NoError(t, err)
	dir, test := path.Dir(name), strings.HasSuffix(name, "_test.go")
	r, ok := roomOf(dir)
	if !ok && (dir != "." || !test) {
		return []string{name + ": package " + f.Name.Name + ` breaks the wall "every package has a room in house_test.go"`}
	}
	test = test || r.contract
	var out []string
	for _, found := range findings(fset, f) {
		if wall, broken := r.forbids(dir, found.thing, test); broken {
			out = append(out, fmt.Sprintf("%s:%d: %s breaks the wall %q", name, found.line, found.thing, wall))
		}
	}
	return out
}

func roomOf(dir string) (room, bool) {
	for _, r := range rooms {
		if within(r.pattern, dir) {
			return r, true
		}
	}
	return room{}, false
}

// within says whether a folder or an import path fits a pattern of a [room].
func within(pattern, dir string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == base || strings.HasPrefix(dir, base+"/")
	}
	if base, ok := strings.CutSuffix(pattern, "/*"); ok {
		return path.Dir(dir) == base
	}
	return dir == pattern
}

func withinAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return within(p, dir) })
}

// forbids names the wall that keeps a thing out of a folder of the room.
func (r room) forbids(dir, thing string, test bool) (wall string, broken bool) {
	if in, ok := strings.CutPrefix(thing, module+"/"); ok {
		may := r.imports
		if test {
			may = slices.Concat(may, r.tests)
		}
		return fmt.Sprintf("%s imports of the project only [%s]", dir, strings.Join(may, " ")), in != dir && !withinAny(may, in)
	}
	for _, w := range walls {
		allowed := withinAny(w.only, dir) || test && w.tests || w.never != nil && !withinAny(w.never, dir)
		if !allowed && withinAny(w.things, thing) {
			return w.name, true
		}
	}
	return "", false
}

type finding struct {
	line  int
	thing string
}

// findings is everything in a file that a wall may keep out of a room.
func findings(fset *token.FileSet, f *ast.File) []finding {
	var out []finding
	add := func(at token.Pos, thing string) { out = append(out, finding{fset.Position(at).Line, thing}) }
	add(f.Package, "package "+strings.TrimSuffix(f.Name.Name, "_test"))
	clock := "time"
	for _, im := range f.Imports {
		name := strings.Trim(im.Path.Value, "`\"")
		add(im.Pos(), name)
		if name != "time" || im.Name == nil {
			continue
		}
		clock = im.Name.Name
		if clock == "." {
			add(im.Pos(), "dot import of time")
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add(n.Pos(), "go statement")
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				add(n.Pos(), "func init")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == clock {
				add(n.Pos(), "time."+n.Sel.Name)
			}
		}
		return true
	})
	return out
}

// undocumented is a line for each package that has code and no package comment.
func undocumented(t *testing.T, files []file) []string {
	t.Helper()
	said := map[string]bool{}
	for _, file := range files {
		if !strings.HasSuffix(file.name, ".go") || strings.HasSuffix(file.name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file.name, file.src, parser.PackageClauseOnly|parser.ParseComments)
		require.NoError(t, err)
		dir := path.Dir(file.name)
		said[dir] = said[dir] || named(f.Doc.Text(), f.Name.Name, path.Base(dir))
	}
	var out []string
	for _, dir := range slices.Sorted(maps.Keys(said)) {
		if !said[dir] {
			out = append(out, dir+`: no package comment; want "Package NAME …", or for a program "Command FOLDER …" or "Folder …"`)
		}
	}
	return out
}

// named says whether a comment begins as the package's own does. That of a
// program names its folder.
func named(comment, pkg, folder string) bool {
	if pkg != "main" {
		return strings.HasPrefix(comment, "Package "+pkg+" ")
	}
	title := strings.ToUpper(folder[:1]) + folder[1:]
	return strings.HasPrefix(comment, "Command "+folder+" ") || strings.HasPrefix(comment, title+" ")
}

// machine is what belongs to the machine that a developer works on: absolute
// paths of its work folder, and the hosts of package registries. It is put
// together from parts, so that this file passes its own test.
var machine = regexp.MustCompile(`(?:^|[^\w.~-])(/work` + `/)|(` + strings.Join([]string{
	`proxy\.golang` + `\.org`, `sum\.golang` + `\.org`, `deb\.debian` + `\.org`, `security\.debian` + `\.org`,
	`registry\.npmjs` + `\.org`, `registry\.yarnpkg` + `\.com`, `pypi` + `\.org`, `pythonhosted` + `\.org`, `crates` + `\.io`,
}, "|") + `)`)

// leaks is a line for each line of a text file that names the developer's machine.
func leaks(name string, src []byte) []string {
	if bytes.IndexByte(src, 0) >= 0 {
		return nil
	}
	var out []string
	for i, line := range bytes.Split(src, []byte("\n")) {
		if m := machine.FindSubmatch(line); m != nil {
			out = append(out, fmt.Sprintf("%s:%d: names %q; want nothing of the machine that it was written on", name, i+1, bytes.Join(m[1:], nil)))
		}
	}
	return out
}

func TestWallsBreak(t *testing.T) {
	const (
		rulesOnly     = "rules imports of the project only [rules/... internal/strictjson]"
		noNetwork     = "rules/..., alerts, identity, accounts and subscriptions know no network"
		fewLog        = "only engine, api and cmd log"
		fewMetrics    = "only api knows Prometheus"
		noClock       = "rules/..., alerts, identity, accounts and subscriptions ask no clock: time comes in as a value"
		fewGo         = "only engine, bus, api and tests write go"
		noInit        = "nobody writes init()"
		onePurpose    = "a package is named by its one purpose"
		fewNATS       = "only bus, sources/nats, sinks/nats, benchmarks and tests know NATS"
		busOnly       = "bus imports of the project only [rules twins alerts internal/...]"
		alertsOnly    = "alerts imports of the project only [rules rules/duration internal/...]"
		twinsOnly     = "twins imports of the project only [rules rules/logic internal/did internal/strictjson]"
		apiOnly       = "api imports of the project only [api/... engine twins alerts rules identity accounts subscriptions internal/...]"
		stompOnly     = "api/stomp imports of the project only [api/... engine twins alerts rules rules/envelope identity accounts subscriptions internal/...]"
		engineOnly    = "engine imports of the project only [bus sources sinks twins alerts accounts subscriptions rules/... internal/...]"
		internalOnly  = "internal/strictjson imports of the project only [internal/...]"
		webOnly       = "web imports of the project only []"
		mqttOnly      = "sources/mqtt imports of the project only [sources rules rules/envelope twins identity space internal/...]"
		mqttTestsOnly = "sources/mqtt imports of the project only [sources rules rules/envelope twins identity space internal/... sources/sourcetest]"
		webhookOnly   = "sinks/webhook imports of the project only [sinks sinks/letter rules rules/envelope twins alerts identity space internal/...]"
	)
	tests := []struct{ file, src, thing, wall string }{
		{"rules/a.go", `import "tocsin.internal/twins"`, "tocsin.internal/twins", rulesOnly},
		{"rules/a.go", `import "tocsin.internal/internal/clock"`, "tocsin.internal/internal/clock", rulesOnly},
		{"rules/a.go", `import "tocsin.internal/rules/logic"`, "", ""},
		{"rules/a_test.go", `import "tocsin.internal/engine"`, "tocsin.internal/engine", rulesOnly},
		{"rules/logic/a.go", `import "tocsin.internal/internal/strictjson"`, "", ""},
		{"rules/mapping/a.go", `import "net/url"`, "net/url", noNetwork},
		{"rules/logic/a_test.go", `import "net"`, "net", noNetwork},
		{"engine/a.go", `import "net/http"`, "", ""},
		{"rules/a.go", "import `log`", "log", fewLog},
		{"rules/a.go", "var a = time.Now()", "time.Now", noClock},
		{"rules/a.go", "var now = time.Now", "time.Now", noClock},
		{"rules/a.go", `import t "time"; var a = t.Since(t.Time{})`, "time.Since", noClock},
		{"rules/a.go", `import . "time"`, "dot import of time", noClock},
		{"rules/a.go", `import "time"; var a time.Time`, "", ""},
		{"rules/logic/a_test.go", "var a = time.NewTimer(1)", "time.NewTimer", noClock},
		{"twins/a.go", "var a = time.Now()", "", ""},
		{"alerts/a.go", "var a = time.Now()", "time.Now", noClock},
		{"alerts/a.go", `import "net/http"`, "net/http", noNetwork},
		{"alerts/a.go", `import "tocsin.internal/twins"`, "tocsin.internal/twins", alertsOnly},
		{"alerts/a.go", `import "tocsin.internal/rules/duration"`, "", ""},
		{"sinks/webhook/a.go", `import "tocsin.internal/alerts"`, "", ""},
		{"rules/logic/conform/a.go", "func a() { go a() }", "go statement", fewGo},

		{"sources/mqtt/a.go", `import "tocsin.internal/bus"`, "tocsin.internal/bus", mqttOnly},
		{"sources/mqtt/a.go", `import "tocsin.internal/sources/http"`, "tocsin.internal/sources/http", mqttOnly},
		{"sources/mqtt/a.go", `import "tocsin.internal/sources/sourcetest"`, "tocsin.internal/sources/sourcetest", mqttOnly},
		{"sources/mqtt/a_test.go", `import "tocsin.internal/sources/sourcetest"`, "", ""},
		{"sources/mqtt/a_test.go", `import "tocsin.internal/sources/mqtt"`, "", ""},
		{"sources/mqtt/a_test.go", `import "tocsin.internal/bus"`, "tocsin.internal/bus", mqttTestsOnly},
		{"sources/mqtt/a.go", `import "tocsin.internal/internal/strictjson"`, "", ""},
		{"sources/mqtt/a.go", "func a() { go a() }", "go statement", fewGo},
		{"sources/mqtt/a_test.go", "func a() { go a() }", "", ""},
		{"sources/sourcetest/a.go", "func a() { go a() }", "", ""},
		{"sinks/webhook/a.go", `import "tocsin.internal/sinks/nats"`, "tocsin.internal/sinks/nats", webhookOnly},
		{"sinks/webhook/a.go", `import "tocsin.internal/sources"`, "tocsin.internal/sources", webhookOnly},
		{"sinks/webhook/a.go", `import "tocsin.internal/twins"`, "", ""},
		{"sinks/log/a.go", `import "log/slog"`, "log/slog", fewLog},

		{"engine/a.go", `import "github.com/nats-io/nats.go"`, "github.com/nats-io/nats.go", fewNATS},
		{"sinks/webhook/a.go", `import "github.com/synadia-io/orbit.go/jetstreamext"`, "github.com/synadia-io/orbit.go/jetstreamext", fewNATS},
		{"sources/nats/a.go", `import "github.com/nats-io/nats.go"`, "", ""},
		{"sinks/nats/a.go", `import "github.com/nats-io/nats.go"`, "", ""},
		{"bus/a.go", `import "github.com/nats-io/nats-server/v2/server"`, "", ""},
		{"api/a_test.go", `import "github.com/nats-io/nats.go"`, "", ""},
		{"benchmarks/a.go", `import "github.com/nats-io/nats.go"`, "", ""},
		{"bus/a.go", `import "tocsin.internal/twins"`, "", ""},
		{"bus/a.go", `import "tocsin.internal/engine"`, "tocsin.internal/engine", busOnly},
		{"twins/a.go", `import "tocsin.internal/bus"`, "tocsin.internal/bus", twinsOnly},
		{"api/a.go", `import "tocsin.internal/bus"`, "tocsin.internal/bus", apiOnly},
		{"api/stomp/a.go", `import "tocsin.internal/bus"`, "tocsin.internal/bus", stompOnly},
		{"api/stomp/a.go", `import "tocsin.internal/engine"`, "", ""},
		{"cmd/engine/a.go", `import "tocsin.internal/sinks/webhook"`, "", ""},
		{"engine/a.go", `import "tocsin.internal/sinks/webhook"`, "tocsin.internal/sinks/webhook", engineOnly},
		{"engine/a_test.go", `import "tocsin.internal/sources/file"`, "tocsin.internal/sources/file", engineOnly},
		{"engine/a.go", `import "tocsin.internal/rules/logic"`, "", ""},
		{"internal/strictjson/a.go", `import "tocsin.internal/rules"`, "tocsin.internal/rules", internalOnly},
		{"web/a.go", `import "tocsin.internal/api"`, "tocsin.internal/api", webOnly},

		{"cmd/engine/a.go", "func a() { go a() }", "go statement", fewGo},
		{"engine/a.go", "func a() { go a() }", "", ""},
		{"bus/a.go", "func a() { go a() }", "", ""},
		{"api/stomp/a.go", "func a() { go a() }", "", ""},
		{"bus/a.go", `import "github.com/rs/zerolog"`, "github.com/rs/zerolog", fewLog},
		{"bus/a_test.go", `import "github.com/rs/zerolog/log"`, "github.com/rs/zerolog/log", fewLog},
		{"engine/a.go", `import "github.com/rs/zerolog"`, "", ""},
		{"engine/a.go", `import "github.com/prometheus/client_golang/prometheus"`, "github.com/prometheus/client_golang/prometheus", fewMetrics},
		{"api/a.go", `import "github.com/prometheus/client_golang/prometheus"`, "", ""},
		{"engine/a_test.go", `import "github.com/prometheus/client_golang/prometheus"`, "", ""},
		{"cmd/engine/a.go", `import "github.com/rs/zerolog"`, "", ""},
		{"cmd/engine/a.go", "func init() {}", "func init", noInit},
		{"bus/a_test.go", "func init() {}", "func init", noInit},
		{"bus/a.go", "type a struct{}; func (a) init() {}", "", ""},
	}
	proved := map[string]bool{}
	for _, tt := range tests {
		proved[tt.wall] = true
		t.Run(tt.file+": "+tt.src, func(t *testing.T) {
			var want []string
			if tt.thing != "" {
				want = []string{fmt.Sprintf("%s:2: %s breaks the wall %q", tt.file, tt.thing, tt.wall)}
			}
			assert.Equal(t, want, breaches(t, tt.file, []byte("package a\n"+tt.src+"\n")))
		})
	}
	for _, name := range []string{"util", "utils", "common", "types", "models", "helpers"} {
		want := fmt.Sprintf("internal/a/a_test.go:1: package %s breaks the wall %q", name, onePurpose)
		assert.Equal(t, []string{want}, breaches(t, "internal/a/a_test.go", []byte("package "+name)))
		assert.Equal(t, []string{want}, breaches(t, "internal/a/a_test.go", []byte("package "+name+"_test")))
		proved[onePurpose] = true
	}
	for _, w := range walls {
		assert.True(t, proved[w.name], "no case above breaks the wall %q", w.name)
	}
}

func TestEveryPackageHasARoom(t *testing.T) {
	for _, file := range []string{"misc/a.go", "misc/a_test.go", "bus/inner/a.go", "sinks/mail/smtp/a.go", "rules/plugins/a.go", "cmd/a.go", "a.go"} {
		want := []string{file + `: package a breaks the wall "every package has a room in house_test.go"`}
		assert.Equal(t, want, breaches(t, file, []byte("package a")))
	}
	assert.Empty(t, breaches(t, "a_test.go", []byte("package a")), "tests of the root")
}

func TestMissingPackageCommentIsFound(t *testing.T) {
	files := []file{
		{"a/a.go", []byte("package a")},
		{"b/b.go", []byte("// Package b is for letters.\npackage b")},
		{"b/c.go", []byte("package b")},
		{"c/c.go", []byte("//go:build linux\n\n// This file is for letters.\npackage c")},
		{"cmd/d/main.go", []byte("package main")},
		{"cmd/e/main.go", []byte("// Command e prints letters.\npackage main")},
		{"cmd/f/main.go", []byte("// F prints letters.\npackage main")},
		{"cmd/g/main.go", []byte("// This prints letters.\npackage main")},
		{"f/f_test.go", []byte("package f")},
		{"g/g.md", []byte("package g")},
	}
	want := `: no package comment; want "Package NAME …", or for a program "Command FOLDER …" or "Folder …"`
	assert.Equal(t, []string{"a" + want, "c" + want, "cmd/d" + want, "cmd/g" + want}, undocumented(t, files))
}

func TestNameOfAMachineIsFound(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"see /work" + "/main/go.mod", []string{`a.md:2: names "/work` + `/"; want nothing of the machine that it was written on`}},
		{"/work" + "/shared", []string{`a.md:2: names "/work` + `/"; want nothing of the machine that it was written on`}},
		{`"/work` + `/x"`, []string{`a.md:2: names "/work` + `/"; want nothing of the machine that it was written on`}},
		{"https://proxy.golang" + ".org/x", []string{`a.md:2: names "proxy.golang` + `.org"; want nothing of the machine that it was written on`}},
		{"get https://registry.npmjs" + ".org/x", []string{`a.md:2: names "registry.npmjs` + `.org"; want nothing of the machine that it was written on`}},
		{"home/work/x and ./work/y", nil},
		{"https://go.dev/work/", nil},
		{"\x00 /work" + "/main", nil},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, leaks("a.md", []byte("# a\n"+tt.line+"\n")), tt.line)
	}
}

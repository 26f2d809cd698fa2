// Package trials tries rules out: it finds the tests that stand beside them in a
// folder, judges their samples by the code that judges the stream, and says what
// came and what was wanted. It also writes such a folder from a recording.
package trials

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// The files of a folder.
const (
	interactionFile = "interaction.json"
	ndjsonFile      = "samples.ndjson"
	csvFile         = "samples.csv"
	outcomesFile    = "outcomes.ndjson"
	casesFile       = "tests.json"
	twinsFile       = "twins.json"
)

// Folder is one folder with rules and their tests.
type Folder struct {
	Dir   string
	Cases []*Case
	Err   error // why there is nothing to run; no case then

	programs map[string]*rules.Program
	twins    []twins.Twin // nil: every twin counts
}

// Case is one test.
type Case struct {
	Name  string
	Place string // the file, or file:line:col in tests.json
	Err   error  // what is wrong with the test itself

	folder   *Folder
	samples  []rules.Sample
	file     string // that the samples stand in
	until    time.Time
	twins    []twins.Twin
	want     []want
	never    []partial
	exactly  bool
	outcomes bool // what is wanted is outcomes.ndjson
}

// Find gives the folders with tests in each of the folders, and below. A folder
// that has rules is one, also when it has no test: that is its error. The error
// is of a folder that cannot be read, or that has no rules at all.
func Find(dirs ...string) ([]*Folder, error) {
	var out []*Folder
	for _, dir := range dirs {
		found, err := find(dir)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			if !slices.ContainsFunc(out, func(f *Folder) bool { return f.Dir == d }) {
				out = append(out, load(d))
			}
		}
	}
	return out, nil
}

// Check says what is wrong with the tests of a tests.json by the rules beside it,
// and how many there are. Rules that cannot be loaded are not its business.
func Check(file string) (count int, err error) {
	f := load(filepath.Dir(file))
	if f.programs == nil {
		return 0, nil
	}
	errs := []error{f.Err}
	for _, c := range f.Cases {
		errs = append(errs, c.Err)
	}
	return len(f.Cases), strictjson.Join(errs...)
}

// find are the folders with rules.
func find(dir string) ([]string, error) {
	var out []string
	root := dir + string(filepath.Separator) // so that a link to a folder is walked, too
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == root {
			path = dir
		}
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case path != dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case isTried(path):
			out = append(out, path)
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: no test in this folder or below; want %s with %s and %s, or with %s", dir, interactionFile, ndjsonFile, outcomesFile, casesFile)
	}
	return out, err
}

// isTried says whether a folder has rules of its own, or tests.
func isTried(dir string) bool {
	for _, name := range []string{interactionFile, casesFile, outcomesFile} {
		if exists(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// load reads a folder.
func load(dir string) *Folder {
	f := &Folder{Dir: dir}
	if f.programs, f.Err = loadRules(dir); f.Err != nil {
		return f
	}
	if len(f.programs) == 0 {
		f.Err = fmt.Errorf("%s: no rules beside the tests; want %s", dir, interactionFile)
		return f
	}
	if f.twins, f.Err = readTwins(filepath.Join(dir, twinsFile)); f.Err != nil {
		return f
	}
	f.plain()
	f.listed()
	if len(f.Cases) == 0 && f.Err == nil {
		f.Err = fmt.Errorf("%s: no test; want %s with %s, or %s", dir, ndjsonFile, outcomesFile, casesFile)
	}
	return f
}

// loadRules reads interaction.json, or each *.json that is none of the tests'.
func loadRules(dir string) (map[string]*rules.Program, error) {
	if exists(filepath.Join(dir, interactionFile)) {
		return engine.LoadRules(dir)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	programs := map[string]*rules.Program{}
	var errs []error
	for _, file := range files {
		if name := filepath.Base(file); name == casesFile || name == twinsFile {
			continue
		}
		found, err := engine.LoadRules(file)
		errs = append(errs, err)
		for id, p := range found {
			if programs[id] != nil {
				errs = append(errs, fmt.Errorf("%s: id %q is that of another file too; want an id of its own", file, id))
			}
			programs[id] = p
		}
	}
	return programs, strictjson.Join(errs...)
}

// readTwins gives nil when there is no such file.
func readTwins(name string) ([]twins.Twin, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := strictjson.Parse(name, text)
	if err != nil {
		return nil, err
	}
	return twins.Decode(raw)
}

// plain is the test of the plain files.
func (f *Folder) plain() {
	samples, outcomes := f.samplesFile(), filepath.Join(f.Dir, outcomesFile)
	if !exists(outcomes) && (samples == "" || exists(filepath.Join(f.Dir, casesFile))) {
		return
	}
	c := &Case{Name: filepath.Base(samples), Place: outcomes, folder: f, file: samples, twins: f.twins, outcomes: true}
	f.Cases = append(f.Cases, c)
	if samples == "" {
		c.Name, c.Err = outcomesFile, fmt.Errorf("%s: no samples beside it; want %s", outcomes, ndjsonFile)
		return
	}
	c.samples, c.Err = readSamples(samples, f.reading())
}

func (f *Folder) samplesFile() string {
	for _, name := range []string{ndjsonFile, csvFile} {
		if path := filepath.Join(f.Dir, name); exists(path) {
			return path
		}
	}
	return ""
}

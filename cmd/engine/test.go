package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/cobra"

	"tocsin.internal/rules/words"
	"tocsin.internal/trials"
)

type testFlags struct {
	run, junit                                  string
	watch, coverage, update, reference, verbose bool
}

func testCommand() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test DIR…",
		Short: "Run the tests that stand beside rules",
		Long: `Run the tests of a folder with rules, or of all folders below it, by the code that
judges live samples. No server is needed, and time is that of the samples.

A folder has interaction.json and one of these, or both:

  samples.ndjson  outcomes.ndjson   the samples (or samples.csv), and all outcomes that
                                    they make, compared as JSON values
  tests.json                        [{"name", "samples" or "file", "want":[{"at","outcome"}],
                                    "never":[…]}]: see the guide for rule authors

and twins.json when its rules ask for twins by their properties. A folder without a
test is an error, and so is a test that wants nothing and forbids nothing.

Exit codes: 0 all passed; 1 a test failed or is wrong, or there is none; 2 wrong use.`,
		Example: `  engine test examples/rules
  engine test plant -run silent -v
  engine test plant --update              # write what comes to outcomes.ndjson
  engine test plant --coverage --junit report.xml
  engine test plant --watch               # again after each change, until Ctrl-C`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUse("engine test: want at least one folder with rules")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newTester(f, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if f.watch {
				return t.watch(cmd.Context())
			}
			return t.once()
		},
	}
	cmd.Flags().StringVar(&f.run, "run", "", "only the tests whose folder/name matches this regular expression")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "run again when a file changes, until Ctrl-C")
	cmd.Flags().StringVar(&f.junit, "junit", "", "write the results as JUnit XML to this file")
	cmd.Flags().BoolVar(&f.coverage, "coverage", false, "say which conditions and branches the tests have seen true, false and unknown")
	cmd.Flags().BoolVar(&f.update, "update", false, "write what comes to outcomes.ndjson")
	cmd.Flags().BoolVar(&f.reference, "reference", false, "judge each condition by a public JSONLogic library too, and say where the two differ")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "name each test, not only each folder")
	return cmd
}

// longRun lets people write -run as they do for go test.
func longRun(args []string) []string {
	if !slices.Contains(args, "test") {
		return args
	}
	args = slices.Clone(args)
	for i, a := range args {
		if a == "-run" || strings.HasPrefix(a, "-run=") {
			args[i] = "-" + a
		}
	}
	return args
}

// tester runs the tests of some folders.
type tester struct {
	testFlags
	dirs           []string
	only           *regexp.Regexp
	stdout, stderr io.Writer
}

func newTester(f testFlags, dirs []string, stdout, stderr io.Writer) (*tester, error) {
	only, err := regexp.Compile(f.run)
	if err != nil {
		return nil, wrongUse("--run: %w", err)
	}
	for _, dir := range dirs {
		switch info, err := os.Stat(dir); {
		case err != nil:
			return nil, exit{exitWrong, err}
		case !info.IsDir():
			return nil, wrongUse("%s: is a file; want the folder with the rules and their tests", dir)
		}
	}
	return &tester{f, dirs, only, stdout, stderr}, nil
}

// once runs all tests and says how it went.
func (t *tester) once() error {
	folders, err := trials.Find(t.dirs...)
	if err != nil {
		return exit{exitNo, err}
	}
	var reports []trials.Report
	var passed, failed int
	for _, f := range folders {
		if f.Err != nil && !t.only.MatchString(filepath.ToSlash(f.Dir)) {
			continue
		}
		r := t.folder(f)
		if f.Err == nil && len(r.Results) == 0 {
			continue // --run left nothing of it
		}
		reports = append(reports, r)
		failed += r.Failed()
		passed += r.Passed()
	}
	if len(reports) == 0 {
		return exit{exitNo, fmt.Errorf("no test matches --run %s", t.run)}
	}
	if failed > 0 || len(reports) > 1 || passed > 1 {
		fmt.Fprintf(t.stdout, "%d passed, %d failed\n", passed, failed)
	}
	if t.junit != "" {
		if err := writeJUnit(t.junit, reports); err != nil {
			return exit{exitWrong, err}
		}
	}
	if failed > 0 {
		return exit{code: exitNo}
	}
	return nil
}

func writeJUnit(name string, reports []trials.Report) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(trials.WriteJUnit(file, reports), file.Close())
}

// folder runs the tests of one folder.
func (t *tester) folder(f *trials.Folder) trials.Report {
	r := trials.Report{Folder: f}
	var observers []trials.Observer
	var coverage *trials.Coverage
	var reference *trials.Reference
	if t.coverage && f.Err == nil {
		coverage = f.Coverage()
		observers = append(observers, coverage)
	}
	if t.reference && f.Err == nil {
		reference = trials.NewReference()
		observers = append(observers, reference)
	}
	for _, c := range f.Cases {
		if !t.only.MatchString(filepath.ToSlash(f.Dir) + "/" + c.Name) {
			continue
		}
		result := c.Run(observers...)
		if t.update {
			t.updated(c, &result)
		}
		r.Results = append(r.Results, result)
	}
	if len(r.Results) == 0 && f.Err == nil {
		return r
	}
	t.print(&r)
	if coverage != nil {
		fmt.Fprintf(t.stdout, "coverage  %s\n", f.Dir)
		coverage.Write(t.stdout)
	}
	if reference != nil {
		fmt.Fprintf(t.stdout, "reference  %s\n", f.Dir)
		reference.Write(t.stdout)
	}
	return r
}

// updated writes outcomes.ndjson, and makes a test of it pass.
func (t *tester) updated(c *trials.Case, r *trials.Result) {
	said, err := r.Update()
	switch {
	case err != nil:
		fmt.Fprintln(t.stderr, err)
	case said != "":
		fmt.Fprintln(t.stdout, said)
	}
}

// print says how the folder's tests went.
func (t *tester) print(r *trials.Report) {
	samples, outcomes := 0, 0
	for i := range r.Results {
		result := &r.Results[i]
		samples, outcomes = samples+result.Samples, outcomes+result.Outcomes
		switch {
		case result.Err != nil:
			fmt.Fprintf(t.stdout, "FAIL  %s  %q\n  %s\n", result.Case.Place, result.Case.Name, strings.ReplaceAll(result.Err.Error(), "\n", "\n  "))
		case !result.OK():
			t.failures(result)
		case t.verbose:
			fmt.Fprintf(t.stdout, "ok    %s  %s  %s, %s\n", r.Folder.Dir, result.Case.Name, words.Count(result.Samples, "sample"), words.Count(result.Outcomes, "outcome"))
		}
	}
	if err := r.Folder.Err; err != nil {
		fmt.Fprintf(t.stdout, "FAIL  %s\n  %s\n", r.Folder.Dir, strings.ReplaceAll(err.Error(), "\n", "\n  "))
		return
	}
	if r.Failed() == 0 && !t.verbose {
		line := fmt.Sprintf("ok    %s   ", r.Folder.Dir)
		if len(r.Results) > 1 {
			line += words.Count(len(r.Results), "test") + ", "
		}
		fmt.Fprintf(t.stdout, "%s%s, %s\n", line, words.Count(samples, "sample"), words.Count(outcomes, "outcome"))
	}
}

// maxFailures is how many failures of one test are shown.
const maxFailures = 10

func (t *tester) failures(r *trials.Result) {
	for i := range r.Failures {
		if i == maxFailures {
			fmt.Fprintf(t.stdout, "  … and %d more\n", len(r.Failures)-maxFailures)
			return
		}
		fmt.Fprint(t.stdout, r.Failures[i].Text())
	}
}

// settle is how long to wait after a change for those that come with it.
const settle = 100 * time.Millisecond

// watch runs the tests now and after each change, until ctx ends.
func (t *tester) watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return exit{exitNo, err}
	}
	defer w.Close() //nolint:errcheck // nothing is written
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Events:
			if !ok {
				return nil
			}
			if !t.own(e) {
				timer.Reset(settle)
			}
		case err := <-w.Errors:
			fmt.Fprintln(t.stderr, err)
		case <-timer.C:
			if err := watchFolders(w, t.dirs); err != nil {
				fmt.Fprintln(t.stderr, err)
			}
			t.again()
		}
	}
}

// own says whether a change is one that a run makes itself, or none.
func (t *tester) own(e fsnotify.Event) bool {
	name := filepath.Base(e.Name)
	junit, err := filepath.Abs(t.junit)
	changed, otherErr := filepath.Abs(e.Name)
	return e.Op == fsnotify.Chmod || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		t.junit != "" && err == nil && otherErr == nil && junit == changed
}

func (t *tester) again() {
	if isTerminal(t.stdout) {
		fmt.Fprint(t.stdout, "\033[H\033[2J")
	}
	if err := t.once(); err != nil && err.Error() != "" {
		fmt.Fprintln(t.stderr, err)
	}
	fmt.Fprintf(t.stdout, "watching %s\n", strings.Join(t.dirs, ", "))
}

// watchFolders watches all folders below the given ones.
func watchFolders(w *fsnotify.Watcher, dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if path != dir && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return w.Add(path)
		}))
	}
	return errors.Join(errs...)
}

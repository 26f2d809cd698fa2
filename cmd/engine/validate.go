package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/spf13/cobra"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/lint"
	"tocsin.internal/rules/words"
	"tocsin.internal/trials"
	"tocsin.internal/twins"
)

// validateFlags are the flags of validate.
type validateFlags struct {
	format      string
	fix, strict bool
	twins       []string
}

func validateCommand() *cobra.Command {
	var f validateFlags
	cmd := &cobra.Command{
		Use:   "validate FILE|DIR…",
		Short: "Say everything that is wrong with interactions, twins and configurations",
		Long: `Check interactions, files of twins and engine configurations, or folders of
interactions. Every problem of every file is reported at once: its place, a code
(engine help E0301 is its page), and what to write instead.

Beyond what the engine would refuse, expressions are checked against what is known
of the feeds: their fieldIds, and the twins of the files that are given, or of a
twins.json beside the rules. A field that no twin's feed has is an error, as it
makes a rule silent; other such findings are warnings, which fail with --strict.

Columns count characters, a tab as one.

Exit codes: 0 all are fine; 1 at least one is not; 2 a file cannot be read.`,
		Example: `  engine validate examples/rules/overheating/interaction.json
  engine validate engine.json rules/ twins.json
  engine validate rules/ --fix
  engine validate rules/ --format sarif > rules.sarif`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUse("engine validate: want at least one file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := validateFormats[f.format]
			if !ok {
				known := slices.Sorted(maps.Keys(validateFormats))
				return wrongUse("engine validate: no format %q%s", f.format, strictjson.OneOf(f.format, known))
			}
			v := newValidation(f)
			v.gather(args)
			v.learn()
			if f.fix {
				v.mend(cmd.ErrOrStderr())
			}
			v.check()
			if err := write(cmd.OutOrStdout(), v); err != nil {
				return exit{exitWrong, err}
			}
			return v.exit()
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", "human", "human, compact (one line a problem), json, github (workflow commands) or sarif")
	flags.BoolVar(&f.fix, "fix", false, "write what can safely be mended into the files, and report the rest")
	flags.BoolVar(&f.strict, "strict", false, "let warnings fail too")
	flags.StringArrayVar(&f.twins, "twins", nil, "a file of twins that says what the feeds have (may be repeated)")
	return cmd
}

// checkedFile is a file with what there is to say about it.
type checkedFile struct {
	name        string
	doc         *lint.Document // nil when it could not be read
	kind        string         // interaction, twins or configuration
	summary     string         // what it has, when it is fine
	diagnostics []lint.Diagnostic
}

// validation is one run over the files.
type validation struct {
	flags   validateFlags
	files   []*checkedFile
	unread  bool
	twins   map[string][]twins.Twin // by the folder they are known in; "" everywhere
	outputs map[string]lint.Model   // what interactions make, by their id
}

func newValidation(f validateFlags) *validation {
	return &validation{flags: f, twins: map[string][]twins.Twin{}, outputs: map[string]lint.Model{}}
}

// gather reads the files, each once.
func (v *validation) gather(paths []string) {
	seen := map[string]bool{}
	for _, path := range paths {
		names, err := engine.RuleFiles(path)
		switch {
		case err != nil:
			v.unreadable(path, err)
		case len(names) == 0:
			v.files = append(v.files, &checkedFile{name: path, diagnostics: []lint.Diagnostic{
				lint.About(path, lint.CodeNothing, "no interaction in this folder", "want *.json or */interaction.json"),
			}})
		}
		for _, name := range names {
			if !seen[filepath.Clean(name)] {
				seen[filepath.Clean(name)] = true
				v.read(name)
			}
		}
	}
}

func (v *validation) read(name string) {
	text, err := readDocument(name)
	if e, ok := errors.AsType[errTooLong](err); ok {
		v.files = append(v.files, &checkedFile{name: name, diagnostics: []lint.Diagnostic{
			lint.About(name, strictjson.TooLarge, e.Error(), fmt.Sprintf("want at most %d", strictjson.MaxBytes)),
		}})
		return
	}
	if err != nil {
		v.unreadable(name, err)
		return
	}
	f := &checkedFile{name: name, doc: lint.Read(name, text)}
	f.kind = kindOfDocument(f.doc.Raw)
	v.files = append(v.files, f)
}

// unreadable notes a file that cannot be opened.
func (v *validation) unreadable(name string, err error) {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		name, err = e.Path, e.Err
	}
	v.unread = true
	v.files = append(v.files, &checkedFile{name: name, diagnostics: []lint.Diagnostic{
		lint.About(name, lint.CodeUnreadable, "cannot be read: "+err.Error(), ""),
	}})
}

// readDocument reads a file that is not too long to be a document; of what has no
// size, such as a pipe, only so much that this is seen.
func readDocument(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	if info, err := f.Stat(); err == nil && info.Size() > strictjson.MaxBytes {
		return nil, errTooLong(info.Size())
	}
	return io.ReadAll(io.LimitReader(f, strictjson.MaxBytes+1))
}

// errTooLong is of a file of so many bytes.
type errTooLong int64

func (e errTooLong) Error() string { return fmt.Sprintf("document of %d bytes", int64(e)) }

// learn notes what is known of the feeds: from files of twins, those beside the
// rules, and the outputs of other interactions.
func (v *validation) learn() {
	for _, name := range v.flags.twins {
		known, err := twinsIn(name)
		if err != nil {
			v.unreadable(name, err)
		}
		v.twins[""] = append(v.twins[""], known...)
	}
	for _, f := range v.files {
		if f.doc == nil || f.doc.Raw.IsZero() {
			continue
		}
		switch f.kind {
		case "twins":
			known, _ := parseTwins(f.name, f.doc.Mended()) // what is wrong is said when it is checked
			v.twins[""] = append(v.twins[""], known...)
		case "interaction":
			v.beside(filepath.Dir(f.name))
			if m, ok := f.doc.Model(); ok {
				v.outputs[m.Twin] = m
			}
		}
	}
}

// beside reads the twins.json of a folder.
func (v *validation) beside(folder string) {
	if _, done := v.twins[folder]; done {
		return
	}
	v.twins[folder] = nil
	file := filepath.Join(folder, "twins.json")
	if slices.ContainsFunc(v.files, func(f *checkedFile) bool { return filepath.Clean(f.name) == file }) {
		return // known everywhere
	}
	v.twins[folder], _ = twinsIn(file) // there need not be one, and it is not what is checked
}

func twinsIn(name string) ([]twins.Twin, error) {
	text, err := readDocument(name)
	if err != nil {
		return nil, err
	}
	return parseTwins(name, text)
}

// modelsOf gives what is known of the twins that the sources of a file find.
func (v *validation) modelsOf(file string) lint.Models {
	known := slices.Concat(v.twins[""], v.twins[filepath.Dir(file)])
	return func(s rules.SourceSpec) (found []lint.Model, others []string) {
		model, filter := s.ModelDID, s.Filter
		byModel := rules.Property{Key: rules.PropModel, Value: rules.Literal{Kind: rules.URI, Value: model}}
		if model != "" && len(filter.Properties) == 0 {
			filter.Properties = []rules.Property{byModel}
		}
		for _, p := range filter.Properties {
			if p.Key == rules.PropModel && model == "" {
				model = p.Value.Value
			}
		}
		if m, ok := v.outputs[model]; ok && model != "" {
			return []lint.Model{m}, nil
		}
		for _, t := range known {
			if filter.Empty() || !twins.Match(&filter, &t) && t.ID != model {
				continue
			}
			found = append(found, lint.Model{Twin: t.ID, Feeds: t.Feeds})
		}
		return found, instead(known, &filter)
	}
}

// instead are what known twins have in place of the first property that a filter
// asks for and none of them has.
func instead(known []twins.Twin, filter *rules.Filter) (others []string) {
	if len(filter.Properties) == 0 {
		return nil
	}
	asked := filter.Properties[0]
	for _, t := range known {
		for _, p := range t.Properties {
			if p.Key == asked.Key && p != asked {
				others = append(others, p.Value.Value)
			}
		}
	}
	return others
}

// check finds out what there is to say about each file.
func (v *validation) check() {
	ids := map[string]string{}
	for _, f := range v.files {
		if f.doc == nil {
			continue
		}
		switch {
		case f.doc.Raw.IsZero():
			f.diagnostics = f.doc.Report()
		case f.kind == "twins":
			known, err := parseTwins(f.name, f.doc.Mended())
			f.diagnostics, f.summary = f.doc.Report(err), words.Count(len(known), "twin")
		case f.kind == "tests":
			count, err := trials.Check(f.name)
			f.diagnostics, f.summary = f.doc.Report(err), words.Count(count, "test")
		case f.kind == "configuration":
			err := checkConfig(f.name, f.doc.Mended())
			f.diagnostics, f.summary = f.doc.Report(err), "configuration"
		default:
			v.checkInteraction(f, ids)
		}
	}
}

// checkInteraction checks one; ids are those seen before, by their file.
func (v *validation) checkInteraction(f *checkedFile, ids map[string]string) {
	c := lint.Interaction(f.doc, v.modelsOf(f.name))
	f.diagnostics = c.Diagnostics
	f.summary = words.Count(c.Rules, "rule") + ", " + words.Count(c.Sources, "source")
	if c.ID == "" {
		return
	}
	if first := ids[c.ID]; first != "" {
		same := c.At.As(lint.CodeSameID).Errorf("id %q is that of %s too; want an id of its own", c.ID, first)
		f.diagnostics = lint.Sort(append(f.diagnostics, f.doc.Report(same)...))
		return
	}
	ids[c.ID] = f.name
}

// count of all files.
func (v *validation) count(level lint.Level) int {
	n := 0
	for _, f := range v.files {
		n += lint.Count(f.diagnostics, level)
	}
	return n
}

func (v *validation) exit() error {
	switch {
	case v.unread:
		return exit{code: exitWrong}
	case v.count(lint.Error) > 0, v.flags.strict && v.count(lint.Warning) > 0:
		return exit{code: exitNo}
	}
	return nil
}

// ofBoth are what both a configuration and an interaction may have.
var ofBoth = []string{"$schema", "rules", "sources"}

// kindOfDocument tells the documents apart by what only they have.
func kindOfDocument(raw strictjson.Raw) string {
	if raw.Kind() == strictjson.Array && slices.ContainsFunc(raw.Elems(), isTest) {
		return "tests"
	}
	if raw.Kind() == strictjson.Array || !raw.Member("twinId").IsZero() {
		return "twins"
	}
	for setting := range reflect.TypeFor[config]().Fields() {
		name := setting.Tag.Get("json")
		if !slices.Contains(ofBoth, name) && !raw.Member(name).IsZero() {
			return "configuration"
		}
	}
	if raw.Member("rules").Kind() == strictjson.String {
		return "configuration"
	}
	return "interaction"
}

// isTest tells a test of tests.json from a twin.
func isTest(r strictjson.Raw) bool {
	return r.Member("twinId").IsZero() && !(r.Member("samples").IsZero() && r.Member("want").IsZero())
}

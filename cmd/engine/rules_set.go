package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	textdiff "github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"tocsin.internal/engine"
	"tocsin.internal/rules/words"
)

// addChange adds the flags of what changes the set.
func (d *rulesDesk) addChange(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.by, "by", me(), "who does it")
	cmd.Flags().StringVarP(&d.message, "message", "m", "", "why")
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false, "only check, and say what would change")
	cmd.Flags().Int64Var(&d.expect, "expect", -1, "the revision that the server must be at, 0 for none yet; default: whichever")
}

// change is the body of what changes the set.
func (d *rulesDesk) change() (map[string]any, error) {
	if strings.TrimSpace(d.by) == "" {
		return nil, wrongUse("--by is missing; want who does it")
	}
	body := map[string]any{"by": d.by, "message": d.message, "dryRun": d.dryRun}
	if d.expect >= 0 {
		body["expect"] = d.expect
	}
	return body, nil
}

func (d *rulesDesk) pushCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "push DIR|FILE", Short: "Make the rules of a folder the set that runs on the server",
		Long: `Make the rules of a folder the set that runs on the server, in place of the one
before: what is not in the folder is removed. The set is refused as a whole when
one document is wrong, and it takes effect between two samples. It is a new
revision, with who made it, when and why. The files are those that engine run
--rules would read.`,
		Example: "  engine rules push rules --message \"30 degrees are too few\"\n  engine rules push rules --dry-run\n  engine rules push rules --expect 7",
		Args:    wantOne("DIR or FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return d.push(cmd, args[0]) },
	}
	d.addChange(cmd)
	return cmd
}

func (d *rulesDesk) push(cmd *cobra.Command, from string) error {
	body, err := d.change()
	if err != nil {
		return err
	}
	docs, err := readSet(from)
	if err != nil {
		return err
	}
	body["documents"] = docs
	return get(d, cmd, http.MethodPut, rulesetPath, body, func(out io.Writer, p *engine.Pushed) error {
		return printPushed(out, cmd.ErrOrStderr(), p)
	})
}

// readSet reads the documents of a folder, of which there must be one.
func readSet(from string) ([]engine.RuleDocument, error) {
	docs, err := engine.ReadDocuments(from)
	if err != nil {
		return nil, exit{exitWrong, err}
	}
	if len(docs) == 0 {
		return nil, wrongUse("%s: no interaction in this folder; want *.json or */interaction.json", from)
	}
	return docs, nil
}

func printPushed(out, warnings io.Writer, p *engine.Pushed) error {
	for _, text := range p.Warnings {
		fmt.Fprintf(warnings, "warning: %s\n", printable(text))
	}
	for _, h := range p.Hidden {
		fmt.Fprintf(warnings, "warning: %s: interaction %q does not run from here: %s has the same id, and wins\n", printable(h.Name), h.ID, printable(sourceText(h.By)))
	}
	differs := len(p.Added)+len(p.Changed)+len(p.Removed) > 0
	switch {
	case !differs:
		_, err := fmt.Fprintf(out, "nothing to change: the server is at revision %d with the same %s\n", p.Was, words.Count(p.Same, "document"))
		return err
	case p.DryRun:
		fmt.Fprintf(out, "would become revision %d\n", p.Was+1)
	default:
		fmt.Fprintf(out, "revision %d runs, by %s\n", p.Revision, printable(p.By))
	}
	for _, list := range []struct {
		what  string
		names []string
	}{{"added", p.Added}, {"changed", p.Changed}, {"removed", p.Removed}} {
		for _, name := range list.names {
			fmt.Fprintf(out, "  %-8s %s\n", list.what, printable(name))
		}
	}
	if p.Same > 0 {
		fmt.Fprintf(out, "  %-8s %s\n", "same", words.Count(p.Same, "document"))
	}
	return nil
}

func (d *rulesDesk) rollbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollback [REVISION]", Short: "Make an earlier revision the set that runs, as a new one",
		Long: `Make an earlier revision the set that runs, as a new one; without a number the
one before the last. engine rules log lists them.`,
		Example: "  engine rules rollback\n  engine rules rollback 4 --message \"too many alerts\"",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := ""
			if len(args) > 0 {
				to = args[0]
			}
			return d.rollback(cmd, to)
		},
	}
	d.addChange(cmd)
	return cmd
}

func (d *rulesDesk) rollback(cmd *cobra.Command, written string) error {
	body, err := d.change()
	if err != nil {
		return err
	}
	var to uint64
	if written != "" {
		if to, err = strconv.ParseUint(written, 10, 64); err != nil || to == 0 {
			return wrongUse("%s: got %q; want the number of a revision", cmd.CommandPath(), written)
		}
	} else {
		last, err := d.lastRevision(cmd.Context())
		if err != nil {
			return err
		}
		if last < 2 {
			return exit{exitNo, errors.New("there is no revision before the last one")}
		}
		to = last - 1
		if d.expect < 0 {
			body["expect"] = last // what was meant is the one before that
		}
	}
	body["to"] = to
	if d.message == "" {
		body["message"] = fmt.Sprintf("rollback to revision %d", to)
	}
	return get(d, cmd, http.MethodPost, rulesetPath+"/rollback", body, func(out io.Writer, p *engine.Pushed) error {
		return printPushed(out, cmd.ErrOrStderr(), p)
	})
}

// revisions are the revisions of the set, the newest first.
type revisions struct{ Revisions []engine.Ruleset }

func (d *rulesDesk) lastRevision(ctx context.Context) (uint64, error) {
	var all revisions
	if err := d.ask(ctx, http.MethodGet, rulesetPath+"/revisions", nil, &all); err != nil || len(all.Revisions) == 0 {
		return 0, err
	}
	return all.Revisions[0].Revision, nil
}

func (d *rulesDesk) logCommand() *cobra.Command {
	return &cobra.Command{
		Use: "log", Short: "List the revisions of the set that was pushed, the newest first",
		Long:    "List the revisions of the set that was pushed, the newest first: who, when and why. The last 64 are kept.",
		Example: "  engine rules log",
		Args:    onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(d, cmd, http.MethodGet, rulesetPath+"/revisions", nil, printLog)
		},
	}
}

func printLog(out io.Writer, all *revisions) error {
	if len(all.Revisions) == 0 {
		_, err := fmt.Fprintln(out, "nothing has been pushed yet")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REVISION\tWHEN\tBY\tDOCUMENTS\tMESSAGE")
	for _, r := range all.Revisions {
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\n", r.Revision, clock(r.At), printable(r.By), r.Count, printable(r.Message))
	}
	return w.Flush()
}

func (d *rulesDesk) addRevision(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&d.revision, "revision", 0, "which one; default: the newest")
}

// set is the revision that is asked for, with its documents.
func (d *rulesDesk) set(ctx context.Context) (engine.Ruleset, error) {
	path := rulesetPath
	if d.revision > 0 {
		path += "?revision=" + strconv.FormatUint(d.revision, 10)
	}
	var s engine.Ruleset
	err := d.ask(ctx, http.MethodGet, path, nil, &s)
	return s, err
}

func (d *rulesDesk) pullCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pull DIR", Short: "Write the set that was pushed into a folder",
		Long: `Write the set that was pushed into a folder, byte for byte as it was pushed. A
file that is there with another content is refused, unless --force is said; what
is in the folder and not in the set is named and left alone.`,
		Example: "  engine rules pull rules\n  engine rules pull old --revision 4",
		Args:    wantOne("DIR"),
		RunE:    func(cmd *cobra.Command, args []string) error { return d.pull(cmd, args[0]) },
	}
	d.addRevision(cmd)
	cmd.Flags().BoolVar(&d.force, "force", false, "write over files with another content")
	return cmd
}

func (d *rulesDesk) pull(cmd *cobra.Command, into string) error {
	s, err := d.set(cmd.Context())
	if err != nil {
		return err
	}
	if s.Revision == 0 {
		return exit{exitNo, errors.New("nothing has been pushed yet")}
	}
	if err := os.MkdirAll(into, 0o755); err != nil { //nolint:gosec // rules are for everybody to read
		return exit{exitWrong, err}
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return exit{exitWrong, err}
	}
	defer root.Close() //nolint:errcheck // what is written is closed
	var todo []engine.RuleDocument
	var differ []string
	for _, doc := range s.Documents {
		switch there, err := root.ReadFile(filepath.FromSlash(doc.Name)); {
		case errors.Is(err, fs.ErrNotExist):
			todo = append(todo, doc)
		case err != nil:
			return exit{exitWrong, err}
		case string(there) != doc.Text:
			todo, differ = append(todo, doc), append(differ, doc.Name)
		}
	}
	if len(differ) > 0 && !d.force {
		return exit{exitNo, fmt.Errorf("nothing was written: %s there with another content; look with `engine rules diff %s`, or say --force", isOrAre(differ), into)}
	}
	for _, doc := range todo {
		if err := writeDocument(root, doc); err != nil {
			return exit{exitWrong, err}
		}
	}
	d.strangers(cmd.ErrOrStderr(), into, s.Documents)
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "revision %d: %s in %s, %d written\n", s.Revision, words.Count(len(s.Documents), "document"), into, len(todo))
	return err
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}

func writeDocument(root *os.Root, doc engine.RuleDocument) error {
	if dir := path.Dir(doc.Name); dir != "." {
		if err := root.MkdirAll(filepath.FromSlash(dir), 0o755); err != nil {
			return err
		}
	}
	return root.WriteFile(filepath.FromSlash(doc.Name), []byte(doc.Text), 0o644)
}

// strangers names the rules of the folder that are not in the set.
func (d *rulesDesk) strangers(out io.Writer, in string, set []engine.RuleDocument) {
	docs, err := engine.ReadDocuments(in)
	if err != nil {
		return
	}
	for _, doc := range docs {
		if !slices.ContainsFunc(set, func(s engine.RuleDocument) bool { return s.Name == doc.Name }) {
			fmt.Fprintf(out, "not in the set: %s\n", doc.Name)
		}
	}
}

func (d *rulesDesk) diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff DIR|FILE", Short: "Show what a push of a folder would change",
		Long: `Show what a push of a folder would change, as a unified diff from the set on the
server to the folder. Exit code 1 when there is a difference.`,
		Example: "  engine rules diff rules\n  engine rules diff rules --revision 4",
		Args:    wantOne("DIR or FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return d.diff(cmd, args[0]) },
	}
	d.addRevision(cmd)
	return cmd
}

// difference is a document that a push would change.
type difference struct {
	Name   string `json:"name"`
	Change string `json:"change"` // added, changed, removed
	Diff   string `json:"diff"`
}

func (d *rulesDesk) diff(cmd *cobra.Command, from string) error {
	raw, err := d.isJSON()
	if err != nil {
		return err
	}
	docs, err := readSet(from)
	if err != nil {
		return err
	}
	s, err := d.set(cmd.Context())
	if err != nil {
		return err
	}
	all := differences(s.Documents, docs, fmt.Sprintf("revision %d", s.Revision))
	if err := printDifferences(cmd.OutOrStdout(), raw, all, s.Revision); err != nil {
		return err
	}
	if len(all) > 0 {
		return exit{code: exitNo}
	}
	return nil
}

// differences are those from one set to another, in the order of the names.
func differences(was, is []engine.RuleDocument, label string) []difference {
	old, texts := textsOf(was), textsOf(is)
	names := slices.AppendSeq(slices.Collect(maps.Keys(old)), maps.Keys(texts))
	slices.Sort(names)
	all := []difference{}
	for _, name := range slices.Compact(names) {
		a, wasThere := old[name]
		b, isThere := texts[name]
		before, after, change := name+" ("+label+")", name, "changed"
		switch {
		case !wasThere:
			before, change = "/dev/null", "added"
		case !isThere:
			after, change = "/dev/null", "removed"
		case a == b:
			continue
		}
		all = append(all, difference{name, change, string(textdiff.Diff(before, []byte(a), after, []byte(b)))})
	}
	return all
}

func textsOf(docs []engine.RuleDocument) map[string]string {
	texts := make(map[string]string, len(docs))
	for _, doc := range docs {
		texts[doc.Name] = doc.Text
	}
	return texts
}

func printDifferences(out io.Writer, raw bool, all []difference, revision uint64) error {
	if raw {
		return json.NewEncoder(out).Encode(map[string]any{"revision": revision, "differences": all})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(out, "no difference to revision %d\n", revision)
		return err
	}
	for _, d := range all {
		if _, err := io.WriteString(out, d.Diff); err != nil {
			return err
		}
	}
	return nil
}

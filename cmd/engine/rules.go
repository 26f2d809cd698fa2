package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

// rulesDesk is the commands about the rules of a running engine.
type rulesDesk struct {
	client
	format      string
	by, message string
	dryRun      bool
	force       bool
	expect      int64
	revision    uint64
	last        span
}

func rulesCommand() *cobra.Command {
	d := &rulesDesk{}
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List the rules of a running engine with what became of their samples, and change them",
		Long: `List the rules that run, in which revision, and the funnel of each: how many
samples it received, how many matched its source, were late or lacked an input,
made it true, were held by "for", how often it was suppressed, fired, was
delivered. The counts are of all workers, since the start of each.

Rules come from the engine's rules folder, from the set that is pushed to the
server, and from interaction twins. Of those with one id that of a file wins,
then that of the set.

Exit codes: 0 fine; 1 the engine is not there or says no, or, of diff, there is
a difference; 2 wrong use.`,
		Example: `  engine rules
  engine rules show overheating/too-hot
  engine rules diff rules
  engine rules push rules --message "30 degrees are too few"
  engine rules log
  engine rules rollback 4 --message "too many alerts"
  engine rules pull rules`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.list(cmd) },
	}
	d.addURL(cmd)
	cmd.PersistentFlags().StringVar(&d.format, "format", "text", "text or json")
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the rules that run, with their funnels",
			Long:    "List the rules that run. The same as engine rules.",
			Example: "  engine rules list --format json",
			Args:    onlyVerbs,
			RunE:    func(cmd *cobra.Command, _ []string) error { return d.list(cmd) },
		},
		d.showCommand(), d.pushCommand(), d.pullCommand(), d.diffCommand(), d.logCommand(), d.rollbackCommand(),
	)
	return cmd
}

const (
	rulesPath   = "/api/v1/rules"
	rulesetPath = "/api/v1/ruleset"
)

// isJSON says whether the output is for programs.
func (d *rulesDesk) isJSON() (bool, error) {
	switch d.format {
	case "text":
		return false, nil
	case "json":
		return true, nil
	}
	return false, wrongUse("--format: got %q; want text or json", d.format)
}

// get asks and prints: the answer as it is, or, for people, by show.
func get[T any](d *rulesDesk, cmd *cobra.Command, method, path string, body any, show func(io.Writer, *T) error) error {
	raw, err := d.isJSON()
	if err != nil {
		return err
	}
	var doc json.RawMessage
	if err := d.ask(cmd.Context(), method, path, body, &doc); err != nil {
		return err
	}
	if raw {
		return printLines(cmd.OutOrStdout(), []json.RawMessage{doc})
	}
	var answer T
	if err := json.Unmarshal(doc, &answer); err != nil {
		return exit{exitNo, err}
	}
	return show(cmd.OutOrStdout(), &answer)
}

func (d *rulesDesk) list(cmd *cobra.Command) error {
	return get(d, cmd, http.MethodGet, rulesPath, nil, printRules)
}

// printRules writes a line for each rule.
func printRules(out io.Writer, s *engine.RulesStatus) error {
	if len(s.Interactions) == 0 {
		fmt.Fprintln(out, "no rules")
	} else {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "INTERACTION/RULE\tMODE\tREV\tSOURCE\tTWINS\tRECEIVED\tMATCHED\tLATE\tMISSING\tTRUE\tHELD\tSUPPRESSED\tFIRED\tDELIVERED")
		for i := range s.Interactions {
			printInteraction(w, &s.Interactions[i])
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if s.Counted < s.Workers {
		fmt.Fprintf(out, "counts of %d of %d workers; the others did not answer\n", s.Counted, s.Workers)
	}
	for _, r := range s.Refused {
		printRefusal(out, &r)
	}
	return nil
}

func printInteraction(w io.Writer, in *engine.InteractionStatus) {
	if len(in.Rules) == 0 {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", printable(in.ID), modeOf(in, in.Mode), shortRevision(in.Revision), printable(sourceText(in.Source)), in.Twins)
	}
	for i := range in.Rules {
		r := &in.Rules[i]
		fired := "-"
		if r.Kind != "transformation" {
			fired = strconv.FormatUint(r.Raised, 10)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\n", printable(in.ID+"/"+r.Rule), modeOf(in, r.Mode), shortRevision(in.Revision),
			printable(sourceText(in.Source)), in.Twins, r.Received, r.Matched, r.Late, r.Unknown, r.True, r.Held, r.Quiet+r.Silenced, fired, r.Delivered)
	}
}

// modeOf is the mode, and, in its place, that an interaction does not run.
func modeOf(in *engine.InteractionStatus, mode string) string {
	if in.State == engine.RulesDisabled {
		return engine.RulesDisabled
	}
	return mode
}

func shortRevision(hash string) string { return hash[:min(len(hash), 8)] }

func sourceText(s engine.RuleSource) string {
	if s.Kind == engine.SetRules {
		return fmt.Sprintf("set %d: %s", s.Revision, s.Name)
	}
	return s.Kind + " " + s.Name
}

func printRefusal(out io.Writer, r *engine.Refusal) {
	fmt.Fprintf(out, "\nrefused at %s, what ran before runs on: %s\n", clock(r.At), printable(sourceText(r.Source)))
	for line := range strings.Lines(r.Error) {
		fmt.Fprintf(out, "  %s\n", printable(strings.TrimSuffix(line, "\n")))
	}
}

func (d *rulesDesk) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show INTERACTION[/RULE]", Short: "Show where the samples of a rule stay",
		Long: `Show an interaction: where it comes from, since when it runs, how many twins it
takes, and for each rule, or the one that is named, what became of its samples.
The first stage that none of them has come past is marked.

Of a shadow alert it says how often it fired beside the live one that it is the
shadow of: both, the shadow alone, the live one alone, earlier and later.`,
		Example: "  engine rules show overheating\n  engine rules show overheating/too-hot --last 7d",
		Args:    wantOne("INTERACTION, or INTERACTION/RULE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return d.show(cmd, args[0]) },
	}
	cmd.Flags().Var(&d.last, "last", "how far back shadows are compared with live rules; default 24h")
	return cmd
}

// show finds out which part of the name is the interaction's: ids may have slashes.
func (d *rulesDesk) show(cmd *cobra.Command, name string) error {
	id, rule, err := d.resolve(cmd.Context(), name)
	if err != nil {
		return err
	}
	path := rulesPath + "/" + url.PathEscape(id)
	if d.last > 0 {
		path += "?last=" + url.QueryEscape(time.Duration(d.last).String())
	}
	raw, err := d.isJSON()
	if err != nil {
		return err
	}
	var in engine.InteractionStatus
	if err := d.ask(cmd.Context(), http.MethodGet, path, nil, &in); err != nil {
		return err
	}
	in.Rules = slices.DeleteFunc(in.Rules, func(r engine.RuleStatus) bool { return rule != "" && r.Rule != rule })
	if raw {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(in)
	}
	return showInteraction(cmd.OutOrStdout(), &in)
}

func (d *rulesDesk) resolve(ctx context.Context, name string) (id, rule string, err error) {
	var s engine.RulesStatus
	if err := d.ask(ctx, http.MethodGet, rulesPath, nil, &s); err != nil {
		return "", "", err
	}
	var known []string
	for i := range s.Interactions {
		in := &s.Interactions[i]
		if in.ID == name {
			return name, "", nil
		}
		known = append(known, in.ID)
		for _, r := range in.Rules {
			if in.ID+"/"+r.Rule == name {
				return in.ID, r.Rule, nil
			}
			known = append(known, in.ID+"/"+r.Rule)
		}
	}
	return "", "", exit{exitNo, fmt.Errorf("no such rule: %q%s", name, strictjson.DidYouMean(name, known))}
}

func showInteraction(out io.Writer, in *engine.InteractionStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, text string) {
		if text = printable(text); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	line("interaction", in.ID)
	if in.Label != in.ID {
		line("label", in.Label)
	}
	line("state", in.State)
	line("mode", in.Mode)
	line("revision", in.Revision)
	line("since", clock(in.Since))
	line("source", sourceText(in.Source))
	for _, s := range in.Hides {
		line("hides", sourceText(s)+", which has the same id")
	}
	line("twins", strconv.Itoa(in.Twins))
	for _, text := range in.Warnings {
		line("warning", text)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if in.Refused != nil {
		printRefusal(out, in.Refused)
	}
	for i := range in.Rules {
		if err := showFunnel(out, in, &in.Rules[i]); err != nil {
			return err
		}
	}
	return nil
}

// stage is one of a funnel: what came as far, or, a loss, what stayed there.
type stage struct {
	name string
	n    uint64
	loss bool
}

// stagesOf are those of a rule, in their order. What an alert has none of is left out.
func stagesOf(r *engine.RuleStatus) []stage {
	stages := []stage{
		{"received", r.Received, false},
		{"matched", r.Matched, false},
		{"late", r.Late, true},
		{"not changed, or taken in by a window", r.Skipped, true},
		{"missing input", r.Unknown, true},
		{"failed", r.Errors, true},
		{"false", r.False, true},
		{"true", r.True, false},
		{"held by for", r.Held, true},
		{"suppressed", r.Quiet, true},
		{"silenced", r.Silenced, true},
		{"fired", r.Raised, false},
		{"not made: a text did not fit", r.NotMade, true},
		{"given up by a sink", r.Undelivered, true},
		{"delivered", r.Delivered, false},
	}
	out := stages[:0]
	for _, s := range stages {
		rare := s.n == 0 && (s.name == "failed" || s.name == "given up by a sink" || strings.HasPrefix(s.name, "not "))
		if !rare && (s.name != "fired" || r.Kind != "transformation") {
			out = append(out, s)
		}
	}
	return out
}

// stop is the first stage that nothing has come to; -1: something came through.
func stop(stages []stage) int {
	at := -1
	for i, s := range slices.Backward(stages) {
		switch {
		case s.loss:
		case s.n == 0:
			at = i
		default:
			return at
		}
	}
	return at
}

func showFunnel(out io.Writer, in *engine.InteractionStatus, r *engine.RuleStatus) error {
	fmt.Fprintf(out, "\n%s   %s, %s\n", printable(in.ID+"/"+r.Rule), r.Kind, modeOf(in, r.Mode))
	return showStages(out, stagesOf(r), in, r)
}

func showStages(out io.Writer, stages []stage, in *engine.InteractionStatus, r *engine.RuleStatus) error {
	width := 0
	for _, s := range stages {
		width = max(width, len(s.name)+2)
	}
	at := stop(stages)
	if r.Mode == rules.ModeShadow && r.Raised > 0 {
		at = -1 // nobody is to be told
	}
	for i, s := range stages {
		name, mark := s.name, ""
		if s.loss {
			name = "  " + name
		}
		if i == at {
			mark = "   <- stops here: " + whyAt(s.name, in, r)
		}
		if _, err := fmt.Fprintf(out, "  %-*s  %10d%s\n", width, name, s.n, mark); err != nil {
			return err
		}
	}
	if r.Shadow != nil {
		return showComparison(out, r.Shadow)
	}
	return nil
}

// showComparison says how a shadow alert did beside the live one.
func showComparison(out io.Writer, c *engine.Comparison) error {
	if c.Of == "" {
		_, err := fmt.Fprintf(out, "  as a shadow: %s since %s; %s\n", words.Count(c.Shadow, "alert"), clock(c.Since), printable(c.Note))
		return err
	}
	fmt.Fprintf(out, "  beside %s since %s: %s, %d live\n", printable(c.Of), clock(c.Since), words.Count(c.Shadow, "alert"), c.Live)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "    both\t%d\t%d earlier, %d later\n", c.Both, c.Earlier, c.Later)
	fmt.Fprintf(w, "    only the shadow\t%d\n", c.OnlyShadow)
	fmt.Fprintf(w, "    only the live one\t%d\n", c.OnlyLive)
	if err := w.Flush(); err != nil || len(c.Differences) == 0 {
		return err
	}
	fmt.Fprintln(w, "\n    TWIN\tSHADOW\tLIVE")
	for _, d := range c.Differences {
		fmt.Fprintf(w, "    %s\t%s\t%s\n", printable(d.Twin), orDash(clock(d.Shadow)), orDash(clock(d.Live)))
	}
	return w.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// whyAt says why nothing comes to a stage.
func whyAt(name string, in *engine.InteractionStatus, r *engine.RuleStatus) string {
	switch {
	case in.State == engine.RulesDisabled:
		return "the interaction is disabled"
	case name == "received" && in.Twins == 0:
		return "no twin matches a source of the interaction"
	case name == "received":
		return "no sample of its feed has come from the twins that match"
	case name == "matched":
		return "its source takes none of these twins, or the samples have none of its fieldIds"
	case name == "true" && r.Late == r.Matched:
		return "every sample was late"
	case name == "true" && r.Unknown > 0 && r.False == 0:
		return fmt.Sprintf("an input was missing in %d of %d samples", r.Unknown, r.Matched)
	case name == "true":
		return "its conditions were never true"
	case name == "fired" && r.Held > 0:
		return `true, but never for as long as "for" asks`
	case name == "fired" && r.Quiet > 0:
		return "its schedule is closed"
	case name == "delivered" && r.Mode == rules.ModeShadow:
		return "it is a shadow, of which nobody is told"
	case name == "delivered" && r.Quiet+r.Silenced > 0:
		return "what it tells is suppressed or silenced"
	case name == "delivered":
		return "no sink has taken it"
	}
	return ""
}

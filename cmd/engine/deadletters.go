package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/engine"
)

// letterDesk is the commands about the dead letters of a running engine.
type letterDesk struct {
	client
	json, all, dryRun         bool
	stage, sink, twin, reason string
	limit                     int
}

func deadLettersCommand() *cobra.Command {
	d := &letterDesk{}
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "List what a running engine could not read, judge or deliver, and retry or drop it",
		Long: `List the dead letters, the newest first: what a source could not read (stage
door), what could not be judged (feed), what a sink did not take (sink).

A sample that is retried is judged as if it came now, at its own time: when a
newer one of its feed has been judged meanwhile, it is late. An outcome that is
retried goes to its sink again, under the same event id.

Exit codes: 0 fine; 1 the engine is not there or says no; 2 wrong use.`,
		Example: `  engine deadletters --stage sink --sink pager
  engine deadletters show 17
  engine deadletters retry 17 18
  engine deadletters retry --all --reason "unknown twin" --dry-run
  engine deadletters drop --all --twin machine_7`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.list(cmd.Context(), cmd.OutOrStdout()) },
	}
	d.addURL(cmd)
	cmd.PersistentFlags().BoolVar(&d.json, "json", false, "as JSON, one letter a line")
	d.addFilter(cmd)
	d.addLimit(cmd)
	cmd.AddCommand(d.listCommand(), d.showCommand())
	for _, a := range letterActions {
		cmd.AddCommand(d.actionCommand(a))
	}
	return cmd
}

func (d *letterDesk) addFilter(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.stage, "stage", "", "only those of a stage: "+strings.Join(engine.LetterStages, ", "))
	cmd.Flags().StringVar(&d.sink, "sink", "", "only those of a sink")
	cmd.Flags().StringVar(&d.twin, "twin", "", "only those of a twin")
	cmd.Flags().StringVar(&d.reason, "reason", "", "only those whose reason has this text in it")
}

func (d *letterDesk) addLimit(cmd *cobra.Command) {
	cmd.Flags().IntVar(&d.limit, "limit", 1000, "at most so many")
}

// query is the filter; nothing when it means all letters.
func (d *letterDesk) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"stage": d.stage, "sink": d.sink, "twin": d.twin, "reason": d.reason} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

func (d *letterDesk) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the dead letters, the newest first",
		Example: "  engine deadletters list --stage feed --reason \"unknown twin\" --json",
		Args:    onlyVerbs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return d.list(cmd.Context(), cmd.OutOrStdout()) },
	}
	d.addFilter(cmd)
	d.addLimit(cmd)
	return cmd
}

const lettersPath = "/api/v1/deadletters"

func (d *letterDesk) list(ctx context.Context, out io.Writer) error {
	query := d.query()
	query.Set("limit", strconv.Itoa(d.limit))
	var found struct {
		Total       int
		DeadLetters []json.RawMessage
	}
	if err := d.ask(ctx, http.MethodGet, lettersPath+"?"+query.Encode(), nil, &found); err != nil {
		return err
	}
	listed := len(found.DeadLetters)
	if err := letterTable.print(out, d.json, found.DeadLetters); err != nil || d.json || listed == 0 {
		return err
	}
	if left := found.Total - listed; left > 0 {
		fmt.Fprintf(out, "and %d older ones: want a filter or a greater --limit\n", left)
	}
	return nil
}

var letterTable = table[engine.Letter]{
	none:   "no dead letters",
	header: "SEQ\tWHEN\tSTAGE\tTWIN/FEED\tSINK\tATTEMPTS\tREASON",
	row: func(w io.Writer, l *engine.Letter) {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Seq, clock(l.At), l.Stage, printable(whose(l)), printable(toWhom(l)), attempts(l), printable(l.Reason))
	},
}

// whose is the twin and the feed of a letter, as far as it names them.
func whose(l *engine.Letter) string {
	if l.Feed == "" {
		return l.Twin
	}
	return l.Twin + "/" + l.Feed
}

func toWhom(l *engine.Letter) string {
	switch {
	case l.Route == "":
		return l.Sink
	case l.Sink == "":
		return "route " + l.Route
	}
	return l.Sink + " of route " + l.Route
}

func attempts(l *engine.Letter) string {
	switch {
	case l.Attempts == 0:
		return ""
	case l.Retrying:
		return fmt.Sprintf("%d, retrying", l.Attempts)
	}
	return strconv.Itoa(l.Attempts)
}

func (d *letterDesk) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show SEQ", Short: "Show all that is known of a dead letter, with what was refused",
		Example: "  engine deadletters show 17",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return wrongUse("%s: want one SEQ, a number that list shows", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.show(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
}

func (d *letterDesk) show(ctx context.Context, seq string, out io.Writer) error {
	var doc json.RawMessage
	if err := d.ask(ctx, http.MethodGet, lettersPath+"/"+url.PathEscape(seq), nil, &doc); err != nil {
		return err
	}
	if d.json {
		return printLines(out, []json.RawMessage{doc})
	}
	var l engine.Letter
	if err := json.Unmarshal(doc, &l); err != nil {
		return exit{exitNo, err}
	}
	return printLetter(out, &l)
}

// printLetter writes what a person wants to know, then what was refused.
func printLetter(out io.Writer, l *engine.Letter) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, printable(text))
		}
	}
	line("seq", strconv.FormatUint(l.Seq, 10))
	line("when", clock(l.At))
	line("stage", l.Stage)
	line("reason", l.Reason)
	line("twin", l.Twin)
	line("feed", l.Feed)
	if !l.OccurredAt.IsZero() {
		line("occurred", l.OccurredAt.UTC().Format(time.RFC3339Nano))
	}
	line("sink", toWhom(l))
	line("attempts", attempts(l))
	if l.Cause != nil {
		line("cause", fmt.Sprintf("message %d of %s, sample %d of it", l.Cause.Seq, causeStream(l), l.Cause.Index+1))
	}
	size := fmt.Sprintf("%d bytes", l.Bytes)
	if l.Truncated {
		size += ", of which only the beginning is kept"
	}
	line("size", size)
	if err := w.Flush(); err != nil {
		return err
	}
	body := string(l.Data) + l.Text
	if len(l.Base64) > 0 {
		body = fmt.Sprintf("%q", l.Base64)
	}
	lines := strings.Split(body, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	_, err := fmt.Fprintf(out, "\n%s\n", strings.Join(lines, "\n"))
	return err
}

func causeStream(l *engine.Letter) string {
	switch {
	case l.Stage != "sink":
		return "FEED"
	case l.Route != "":
		return "NOTIFY"
	}
	return "OUT"
}

// letterAction is a command that does something to letters.
type letterAction struct {
	do, short, long, example string
	method, path             string // the path after that of one letter, or of all
	done                     func(l *engine.Letter) string
	verb                     string // what has been done to many
}

var letterActions = []letterAction{
	{
		do: "retry", short: "Let samples be judged again, and sinks have outcomes again",
		long: `The letter of a sample goes when the sample is stored; what becomes of it the rules
say, as of any sample that comes now. The letter of a sink goes when the outcome
has arrived; when the sink gives it up once more, another letter takes its place.`,
		example: "  engine deadletters retry 17 18\n  engine deadletters retry --all --sink pager",
		method:  http.MethodPost, path: "/retry", done: retried, verb: "retried",
	},
	{
		do: "drop", short: "Remove dead letters for good",
		example: "  engine deadletters drop 17 18\n  engine deadletters drop --all --stage door --dry-run",
		method:  http.MethodDelete, done: func(*engine.Letter) string { return "dropped" }, verb: "dropped",
	},
}

func retried(l *engine.Letter) string {
	if l.Stage == "sink" {
		return fmt.Sprintf("%s gets it again; the letter goes when it has arrived", l.Sink)
	}
	return "the sample is stored again"
}

func (d *letterDesk) actionCommand(a letterAction) *cobra.Command {
	cmd := &cobra.Command{
		Use: a.do + " SEQ… | --all", Short: a.short, Example: a.example, Args: cobra.ArbitraryArgs,
		Long: strings.TrimSpace(a.short + ".\n\n" + a.long),
		RunE: func(cmd *cobra.Command, seqs []string) error {
			filtered := len(d.query()) > 0
			switch {
			case d.all && len(seqs) > 0:
				return wrongUse("%s: both SEQ and --all; want one of them", cmd.CommandPath())
			case d.all || d.dryRun && filtered:
				return d.actOnAll(cmd, a)
			case filtered:
				return wrongUse("%s: a filter without --all; want --all for all that it means, with --dry-run to see how many", cmd.CommandPath())
			case len(seqs) == 0:
				return wrongUse("%s: want at least one SEQ, or --all", cmd.CommandPath())
			case d.dryRun:
				return wrongUse("%s: --dry-run says how many --all means; want it with --all", cmd.CommandPath())
			}
			return each(cmd, seqs, func(cmd *cobra.Command, seq string) error { return d.actOn(cmd, a, seq) })
		},
	}
	cmd.Flags().BoolVar(&d.all, "all", false, "all of them, or all that the filter means")
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false, "only say how many --all means")
	d.addFilter(cmd)
	return cmd
}

func (d *letterDesk) actOn(cmd *cobra.Command, a letterAction, seq string) error {
	var doc json.RawMessage
	if err := d.ask(cmd.Context(), a.method, lettersPath+"/"+url.PathEscape(seq)+a.path, nil, &doc); err != nil {
		return err
	}
	if d.json {
		return printLines(cmd.OutOrStdout(), []json.RawMessage{doc})
	}
	var l engine.Letter
	if err := json.Unmarshal(doc, &l); err != nil {
		return exit{exitNo, err}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d: %s\n", l.Seq, printable(a.done(&l)))
	return err
}

// actOnAll goes on until the engine says that it is done with all of them.
func (d *letterDesk) actOnAll(cmd *cobra.Command, a letterAction) error {
	query := d.query()
	if d.dryRun {
		query.Set("dryRun", "true")
		var found struct{ Total int }
		if err := d.ask(cmd.Context(), a.method, lettersPath+a.path+"?"+query.Encode(), nil, &found); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d dead letters would be %s\n", found.Total, a.verb)
		return err
	}
	query.Set("all", "true")
	done, failed := 0, 0
	for {
		var work engine.LetterWork
		if err := d.ask(cmd.Context(), a.method, lettersPath+a.path+"?"+query.Encode(), nil, &work); err != nil {
			if done > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d dead letters %s; then:\n", done, a.verb)
			}
			return err
		}
		done, failed = done+work.Done, failed+work.Failed
		for _, f := range work.Failures {
			fmt.Fprintf(cmd.ErrOrStderr(), "%d: %s\n", f.Seq, printable(f.Error))
		}
		if more := work.Failed - len(work.Failures); more > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "and %d more\n", more)
		}
		if work.Next == 0 {
			break
		}
		query.Set("from", strconv.FormatUint(work.Next, 10))
		query.Set("to", strconv.FormatUint(work.To, 10))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d dead letters %s\n", done, a.verb)
	if failed > 0 {
		return exit{exitNo, errors.New(strconv.Itoa(failed) + " stay as they are")}
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/backtest"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// explainFlags say what is asked, and of which recording.
type explainFlags struct {
	recordingFlags
	client
	rules, at string
	window    span
	json      bool
}

func explainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain RULE|ALERT|FILE",
		Short: "Say why a rule fired, or why it did not",
		Long: `Judge again what happened to a rule of one twin, and say why: how many samples
came how far, the last sample with every value of the rule's JSONLogic and what
decided, what the rule remembered before and after, and what of the samples does
not fit the rule.

RULE is an interaction or interaction/rule; ALERT the id of an alert, of which the
first characters are enough: then the sample is explained that raised it. A FILE
of an interaction stands for its rules.

The samples are those of a recording (--samples, which - reads from standard
input, with --rules), of a stream (--data, the data of an engine that does not run
now, or -c, a configuration whose NATS is within reach), or, with none of these,
those of the running engine at --url. Of a stream the rules are those that were in
force, unless --rules names others. Nothing is written, and nothing is traced
while samples are judged live.

--at is a time (2026-11-02T03:12:00Z), or a time of the day of the last sample
(03:12); the last sample at or before it is explained. --window lists what came
around it: samples, alerts, acknowledgements and what could not be delivered.

Exit codes: 0 fine; 1 there is no such rule, twin or alert, or a rule is invalid;
2 wrong use.`,
		Example: `  engine explain overheating/too-hot --twin machine_3
  engine explain overheating/too-hot --twin machine_3 --at 03:12 --window 10m
  engine explain al_55n8fqhn --data data
  engine explain plant/interaction.json --samples samples.ndjson --twin machine_3`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return wrongUse("engine explain: want one rule, file or alert, such as overheating/too-hot")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.explain(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
	f.addURL(cmd)
	f.add(cmd, "format")
	cmd.Flags().Lookup("twin").Usage = "the twin; default: the only one. CSV: the twin that shared the samples; default: the file's name"
	cmd.Flags().StringVar(&f.rules, "rules", "", "file or folder of interactions")
	cmd.Flags().StringVar(&f.at, "at", "", "explain the last sample at or before this time; default: the last one")
	cmd.Flags().Var(&f.window, "window", "list what came within so long around the time, such as 10m")
	cmd.Flags().BoolVar(&f.json, "json", false, "as JSON, one rule a line")
	return cmd
}

func (f *explainFlags) explain(ctx context.Context, about string, stdout io.Writer) (err error) {
	isFile := strings.HasSuffix(about, ".json") || isFolder(about)
	switch {
	case isFile && f.rules == "":
		f.rules = about
	case isFile:
		return wrongUse("engine explain: a file of rules beside --rules; want one of them, or a rule's name")
	}
	q := engine.Question{About: about, Twin: f.twin, At: f.at, Window: time.Duration(f.window)}
	if err := q.Check(); err != nil {
		return wrongUse("--at: %w", err)
	}
	switch {
	case f.samples != "" && f.ofStream():
		return wrongUse("engine explain: --samples beside --data or -c; want one recording")
	case f.samples != "" && f.rules == "":
		return wrongUse("engine explain: --samples without --rules; want the rules, or a file of them in place of the rule")
	case f.samples == "" && !f.ofStream() && f.rules != "":
		return wrongUse("engine explain: --rules without --samples, --data or -c; want the samples to judge")
	case f.samples == "" && !f.ofStream() && f.until.text != "":
		return wrongUse("engine explain: --until of a running engine; want --at, or a recording, --data or -c")
	case f.samples == "" && !f.ofStream():
		return f.ofEngine(ctx, about, stdout)
	}
	if f.samples == "-" && f.format == "" {
		f.format = backtest.NDJSON
	}
	if f.twinColumn != "" {
		f.twin = "" // which one is asked for, not whose all of them are
	}
	r, in, err := f.recorded(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	found, err := f.ask(ctx, q, in, isFile)
	if err != nil {
		return exit{exitNo, err}
	}
	return f.print(found, stdout)
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// ask explains the rule, or all rules of a file.
func (f *explainFlags) ask(ctx context.Context, q engine.Question, in *engine.Recording, isFile bool) ([]*engine.Explained, error) {
	if !isFile {
		return engine.Explain(ctx, q, in)
	}
	var out []*engine.Explained
	for id := range in.Programs {
		q.About = id
		found, err := engine.Explain(ctx, q, in)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, func(a, b *engine.Explained) int { return strings.Compare(a.Interaction, b.Interaction) })
	return out, nil
}

// recorded opens what is to be judged.
func (f *explainFlags) recorded(ctx context.Context) (*recording, *engine.Recording, error) {
	in := &engine.Recording{}
	var err error
	if f.rules != "" {
		if in.Programs, err = loadRuleSet(f.rules); err != nil {
			return nil, nil, err
		}
	}
	r, err := f.open(ctx, []map[string]*rules.Program{in.Programs}, true)
	if err != nil {
		return nil, nil, err
	}
	in.Twins, in.Bus = r.described, r.bus
	in.Play = func(ctx context.Context, replay *engine.Replay, each func(*rules.Sample, []rules.Outcome, error) error) error {
		return r.play(ctx, []*engine.Replay{replay}, func(_ int, s *rules.Sample, out []rules.Outcome, err error) error { return each(s, out, err) })
	}
	if in.Programs == nil {
		in.Programs, in.Running = r.running, true
	}
	return r, in, nil
}

func (f *explainFlags) print(found []*engine.Explained, out io.Writer) error {
	for i, x := range found {
		if f.json {
			line, err := json.Marshal(x)
			if err != nil {
				return exit{exitNo, err}
			}
			fmt.Fprintf(out, "%s\n", line)
			continue
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprint(out, x.Text())
	}
	return nil
}

// ofEngine asks a running engine.
func (f *explainFlags) ofEngine(ctx context.Context, about string, out io.Writer) error {
	query := url.Values{"rule": {about}}
	for name, value := range map[string]string{"twin": f.twin, "at": f.at, "window": f.window.String(), "since": f.since.text} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var answer struct {
		Explained []json.RawMessage
		Text      string
	}
	if err := f.client.ask(ctx, http.MethodGet, "/api/v1/explain?"+query.Encode(), nil, &answer); err != nil {
		return err
	}
	if f.json {
		return printLines(out, answer.Explained)
	}
	_, err := fmt.Fprint(out, answer.Text)
	return err
}

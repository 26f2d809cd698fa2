package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tocsin.internal/backtest"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

type diffFlags struct {
	recordingFlags
	report          string
	maxNew, maxGone int
}

// The forms of the report.
var diffForms = []string{"human", "json", "markdown"}

func diffCommand() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff OLD NEW (--samples FILE | --data DIR | -c FILE)",
		Short: "Say what a change of rules would have done, as a gate for a pull request",
		Long: `Judge a recording, or what a stream retains, by two sets of rules, and say what
the new ones do otherwise: alerts that are new, gone, earlier, later, longer or
shorter, by rule, twin and day. OLD and NEW are files or folders of interactions;
one of them may be current: what runs, or ran last, on the bus of --data or -c.

With --max-new and --max-gone it says no when more alerts than that are new or
gone. --format markdown writes a comment for a pull request.

What is judged, and how, is as with engine replay.

Exit codes: 0 fine; 1 a rule is invalid, or a limit is passed; 2 wrong use, or a
file cannot be read.`,
		Example: `  engine diff old.json new.json --samples machine.csv
  engine diff current rules --data data --since 7d --max-new 10
  engine diff main/rules rules --samples week.ndjson --format markdown --max-new 0 --max-gone 5`,
		Args: twoRuleSets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return diffRules(cmd.Context(), f, args[0], args[1], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd, "samples-format")
	cmd.Flags().StringVar(&f.report, "format", "human", "of the report: human, json or markdown")
	cmd.Flags().IntVar(&f.maxNew, "max-new", -1, "exit with 1 when more alerts are new")
	cmd.Flags().IntVar(&f.maxGone, "max-gone", -1, "exit with 1 when more alerts are gone")
	return cmd
}

func twoRuleSets(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return wrongUse("engine diff: %s; want OLD and NEW, files or folders of interactions", words.Count(len(args), "argument"))
	}
	return nil
}

func diffRules(ctx context.Context, f diffFlags, old, changed string, stdout, stderr io.Writer) (err error) {
	if err := f.check("diff", ""); err != nil {
		return err
	}
	if err := oneOf(f.report, append([]string{""}, diffForms...)...); err != nil {
		return wrongUse("--format: %w%s", err, strictjson.DidYouMean(f.report, diffForms))
	}
	var loaded []map[string]*rules.Program
	for _, name := range []string{old, changed} {
		if name == current && !f.ofStream() {
			return wrongUse("engine diff: current wants the bus on which they run: --data or -c")
		}
		programs, err := loadRuleSet(name)
		if err != nil {
			return err
		}
		loaded = append(loaded, programs)
	}
	r, err := f.open(ctx, loaded, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	var sets []backtest.Set
	for i, name := range []string{old, changed} {
		set, err := r.ruleSet(name, loaded[i])
		if err != nil {
			return err
		}
		sets = append(sets, set)
	}
	c, err := r.compare(ctx, sets, stderr)
	if err != nil {
		return err
	}
	switch f.report {
	case "json":
		err = c.JSON(stdout)
	case "markdown":
		c.Markdown(stdout)
	default:
		c.Text(stdout)
	}
	if err != nil {
		return exit{exitNo, err}
	}
	return f.limits(c)
}

// limits says no when more has changed than may.
func (f *diffFlags) limits(c *backtest.Comparison) error {
	var errs []error
	for _, l := range []struct {
		n, most    int
		what, flag string
	}{
		{c.Total.New, f.maxNew, "new", "--max-new"},
		{c.Total.Gone, f.maxGone, "gone", "--max-gone"},
	} {
		if l.most >= 0 && l.n > l.most {
			errs = append(errs, fmt.Errorf("%s %s; %s allows %d", words.Count(l.n, "alert"), l.what, l.flag, l.most))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return exit{exitNo, err}
	}
	return nil
}

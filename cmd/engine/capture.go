package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
	"tocsin.internal/trials"
	"tocsin.internal/twins"
)

type captureFlags struct {
	alert, config, data, dir string
	before, after            span
}

func captureCommand() *cobra.Command {
	f := captureFlags{before: span(10 * time.Minute), after: span(5 * time.Minute)}
	cmd := &cobra.Command{
		Use:   "capture --alert ID (--data DIR | -c FILE)",
		Short: "Make a test of an alert that has come: its samples, its rule, its twin",
		Long: `Write a folder with a test of an alert: the samples of its twin around the time at
which it was raised, and of the twins that joins and groups bring to it, the
interaction as it runs, the twins, and tests.json, which wants what the rule makes
of them. The test passes as it is; change the rule, and it says what that changes.

The samples are those that the stream retains: of an engine that does not run now
(--data), or of the NATS that a configuration names (-c; TOCSIN_BUS_URL sets its
bus.url). Nothing is written there. When the samples before the alert are too few
to raise it, because its rule looks further back, more are taken.

Exit codes: 0 fine; 1 no such alert, or its samples are gone; 2 wrong use.`,
		Example: `  engine capture --alert al_f7c0hyx3 --data data
  engine capture --alert al_f7c0hyx33h1p8mvn9knnsfmv3j -c engine.json -o tests/oven --before 1h && engine test tests/oven`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&f.alert, "alert", "", "id of the alert, or how it begins")
	cmd.Flags().StringVarP(&f.dir, "out", "o", "", "folder to write; default: <interaction>-<alert>")
	cmd.Flags().Var(&f.before, "before", "how much before the alert was raised")
	cmd.Flags().Var(&f.after, "after", "how much after it")
	cmd.Flags().StringVar(&f.data, "data", "", "data folder of an embedded NATS")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration of the NATS")
	return cmd
}

func (f *captureFlags) run(ctx context.Context, out io.Writer) error {
	if f.alert == "" || f.data == "" && f.config == "" {
		return wrongUse("engine capture: want --alert, and --data or -c")
	}
	if f.before <= 0 {
		return wrongUse("engine capture: --before: want a time above zero")
	}
	prefix, err := idPrefix("al_", f.alert)
	if err != nil {
		return err
	}
	c, _, err := loadConfig(runFlags{config: f.config, data: f.data}, os.Environ())
	if err != nil {
		return exit{exitWrong, err}
	}
	if c.Bus.URL == "" {
		if _, err := os.Stat(c.Bus.Dir); err != nil {
			return exit{exitWrong, err}
		}
	}
	b, err := bus.Open(ctx, c.busConfig())
	if err != nil {
		return exit{busExit(err), err}
	}
	defer b.Close()
	capture, err := f.capture(ctx, b, c.MaxSkew, prefix)
	if err != nil {
		if _, ok := errors.AsType[exit](err); ok {
			return err
		}
		return exit{exitNo, err}
	}
	dir := f.dir
	if dir == "" {
		dir = capture.Raised.Interaction + "-" + capture.Raised.ID[:len("al_")+8]
	}
	done, err := capture.Write(dir)
	if err != nil {
		return exit{exitNo, err}
	}
	f.say(out, dir, capture, &done)
	return nil
}

// capture gathers what the bus knows of the alert.
func (f *captureFlags) capture(ctx context.Context, b *bus.Bus, maxSkew time.Duration, prefix string) (*trials.Capture, error) {
	raised, err := findAlert(ctx, b, prefix)
	if err != nil {
		return nil, err
	}
	programs, err := engine.RulesOf(ctx, b)
	if err != nil {
		return nil, err
	}
	program := programs[raised.Interaction]
	if program == nil || !slices.Contains(program.Rules(), raised.Rule) {
		return nil, fmt.Errorf("alert %s is of rule %s/%s, which does not run any more", raised.ID, raised.Interaction, raised.Rule)
	}
	all, err := engine.TwinsOf(ctx, b)
	if err != nil {
		return nil, err
	}
	c := &trials.Capture{Program: program, Raised: raised, Before: time.Duration(f.before), After: time.Duration(f.after), Now: time.Now().UTC()}
	c.Twins = trials.Related(program, raised.Rule, all, raised.Twin)
	of := map[string]bool{}
	for _, t := range c.Twins {
		of[t.ID] = true
	}
	if len(c.Twins) == 0 {
		c.Twins, of[raised.Twin] = nil, true
	}
	err = engine.NewReplay(nil, []twins.Twin{}).Stream(ctx, b, time.Time{}, maxSkew, func(s *rules.Sample, _ []rules.Outcome, _ error) error {
		if s != nil && s.Refused == "" && of[s.Twin] && program.Takes(s.Feed) {
			kept := *s
			kept.Data = slices.Clone(s.Data)
			c.Samples = append(c.Samples, kept)
		}
		return nil
	})
	return c, err
}

// findAlert is the first event of the alert whose id begins so.
func findAlert(ctx context.Context, b *bus.Bus, prefix string) (rules.Outcome, error) {
	first := map[string]rules.Outcome{}
	for e, err := range b.History(ctx, bus.HistoryQuery{Holds: `"id":"` + prefix}) {
		switch {
		case err != nil:
			return rules.Outcome{}, err
		case e.Err != nil || !strings.HasPrefix(e.Outcome.ID, prefix):
			continue
		}
		if _, known := first[e.Outcome.ID]; !known {
			first[e.Outcome.ID] = e.Outcome
		}
	}
	var ids []string
	for id := range first {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(ids) == 0 {
		return rules.Outcome{}, fmt.Errorf("no such alert: none in the history begins with %s", prefix)
	}
	id, err := only(prefix, ids)
	return first[id], err
}

func (f *captureFlags) say(out io.Writer, dir string, c *trials.Capture, done *trials.Captured) {
	r := &c.Raised
	fmt.Fprintf(out, "%s/%s  %s  raised %s  %s\n", r.Interaction, r.Rule, r.Twin, r.At.UTC().Format(time.RFC3339), r.ID)
	for _, file := range done.Files {
		fmt.Fprintf(out, "written  %s\n", file)
	}
	fmt.Fprintf(out, "%s, %s\n", words.Count(done.Samples, "sample"), words.Count(done.Outcomes, "outcome"))
	switch {
	case !done.Same:
		fmt.Fprintln(out, "note: judged from these samples on, the rule as it runs now does not raise this alert at its time; the test wants what it does make of them")
	case done.Before > time.Duration(f.before):
		fmt.Fprintf(out, "note: %s before the alert were too little to raise it, so the samples reach back up to %s\n", time.Duration(f.before), done.Before)
	}
	fmt.Fprintf(out, "engine test %s\n", dir)
}

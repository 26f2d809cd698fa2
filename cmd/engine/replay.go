package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/backtest"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

type replayFlags struct {
	recordingFlags
	rules, out, against, html string
	summary, plot             bool
	sweeps                    []string
	maxAlerts                 int
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --rules FILE|DIR (--samples FILE | --data DIR | -c FILE)",
		Short: "Judge a recording, or what the stream retains, and say what rules would have done",
		Long: `Judge a recording by the code that judges live samples, without any server. The
same recording gives the same outcomes, one JSON object a line; the summary goes
to stderr. With --summary, --against, --sweep or --plot the outcomes are counted
instead, and the counts go to stdout.

A sample in NDJSON is {"twin","feed","occurredAt","data":{…}}. In CSV the first
line names the columns; one is the time, each further one is a field of the data,
and numbers become numbers. Times: RFC 3339, YYYY-MM-DD HH:MM:SS (UTC), epoch
seconds or milliseconds. Every twin that has the feed counts as a source, unless
--twins gives twins to match. A line that cannot be read is named and counted.

What a rule waits for (for, absent, windows …) falls due by the samples' own time,
and the samples of many twins are brought into the order of time.

In place of a recording, --data names the data of an engine that does not run now,
and -c a configuration whose NATS is within reach: then the samples and ticks that
its stream retains are judged, of the twins that it knows, with what people did
to alerts. Nothing is written. --since and --until take a part of it: a time, or
how long ago; in a file that is before its newest sample. The rules remember
nothing from before.

--against names rules to compare with, a file or a folder, or current: what runs,
or ran last, on the bus of --data or -c. Alerts of a rule and twin that fire at
one time are one; it says which are new, gone, earlier, later, longer or shorter.

--sweep POINTER=VALUES tries values at a place of the document: a..b:step or
v1,v2. Several are combined. none takes a member out, "<95" is that comparison of
the field that the rule reads, and a part … of the pointer stands for any parts.

Exit codes: 0 fine; 1 a rule is invalid, or more alerts than --max-alerts allows;
2 wrong use, or a file cannot be read.`,
		Example: `  engine replay --rules examples/rules/overheating --samples examples/rules/overheating/samples.ndjson
  engine replay --rules changed.json --data data --since 7d --against current
  engine replay --rules hot.json --samples machine.csv --sweep '/rules/0/…/1=90..110:5' --sweep /rules/0/alert/for=none,15m,1h
  engine replay --rules new.json --against old.json --samples machine.csv --plot --html change.html
  engine replay --rules hot.json --samples machine.csv --twin machine_1 --feed currentTemp --time-column timestamp --out outcomes.ndjson`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return replay(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.rules, "rules", "", "file or folder of interactions")
	f.add(cmd, "format")
	cmd.Flags().StringVar(&f.out, "out", "", "file for the outcomes; default: standard output")
	cmd.Flags().StringVar(&f.against, "against", "", "rules to compare with: a file, a folder, or current")
	cmd.Flags().BoolVar(&f.summary, "summary", false, "counts in place of the outcomes")
	cmd.Flags().BoolVar(&f.plot, "plot", false, "draw the values and the alerts in the terminal")
	cmd.Flags().StringVar(&f.html, "html", "", "write a page with the values and the alerts to this file")
	cmd.Flags().StringArrayVar(&f.sweeps, "sweep", nil, "POINTER=VALUES to try, such as /rules/0/alert/for=0s,15m,1h; may be repeated")
	cmd.Flags().IntVar(&f.maxAlerts, "max-alerts", -1, "exit with 1 when the rules raise more alerts")
	return cmd
}

func (f *replayFlags) check() error {
	if err := f.recordingFlags.check("replay", "--rules and "); err != nil {
		return err
	}
	counts := f.summary || f.against != "" || f.plot || len(f.sweeps) > 0
	switch {
	case f.rules == "":
		return wrongUse("engine replay: want --rules and --samples, --data or -c")
	case f.rules == current:
		return wrongUse("engine replay: --rules current; want a file or folder, and current with --against")
	case f.against == current && !f.ofStream():
		return wrongUse("engine replay: --against current wants the bus on which they run: --data or -c")
	case len(f.sweeps) > 0 && (f.against != "" || f.plot || f.html != ""):
		return wrongUse("engine replay: --sweep beside --against, --plot or --html; want one of them")
	case counts && f.out != "":
		return wrongUse("engine replay: --out is for outcomes, and --summary, --against, --sweep and --plot count them; want one of them")
	}
	return nil
}

func replay(ctx context.Context, f replayFlags, stdout, stderr io.Writer) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	programs, err := loadRuleSet(f.rules)
	if err != nil {
		return err
	}
	var against map[string]*rules.Program
	if f.against != "" {
		if against, err = loadRuleSet(f.against); err != nil {
			return err
		}
	}
	r, err := f.open(ctx, []map[string]*rules.Program{programs, against}, f.plot || f.html != "" || len(f.sweeps) > 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	set := backtest.Set{Name: f.rules, Programs: programs}
	switch {
	case len(f.sweeps) > 0:
		return f.sweep(ctx, r, stdout, stderr)
	case f.against != "":
		old, err := r.ruleSet(f.against, against)
		if err != nil {
			return err
		}
		return f.compare(ctx, r, []backtest.Set{old, set}, stdout, stderr)
	}
	return f.alone(ctx, r, set, stdout, stderr)
}

// alone judges by one set of rules.
func (f *replayFlags) alone(ctx context.Context, r *recording, set backtest.Set, stdout, stderr io.Writer) (err error) {
	watch, w := r.watch(stderr)
	report := stdout
	if !f.summary && !f.plot {
		out, closeOut, err := f.output(stdout)
		if err != nil {
			return exit{exitWrong, err}
		}
		p := &printer{out: bufio.NewWriterSize(out, 64<<10)}
		defer func() { err = errors.Join(err, p.out.Flush(), closeOut()) }()
		watch.Outcomes, report = p.write, stderr
	}
	began := time.Now()
	run, err := backtest.Judge(ctx, r.play, r.described, watch, set)
	w.bar.clear()
	if err != nil {
		return exit{exitNo, err}
	}
	r.begins(run.First, stderr)
	summary(report, run, time.Since(began))
	if f.summary {
		totals(report, run)
		err = funnels(report, run)
	} else {
		kinds(report, &run.Verdicts[0])
		funnelLines(report, &run.Verdicts[0])
	}
	if err != nil {
		return exit{exitNo, err}
	}
	if err := f.draw(ctx, r, run, nil, stdout, stderr); err != nil {
		return err
	}
	return f.limit(len(run.Verdicts[0].Alerts))
}

// limit says no when there are more alerts than are allowed.
func (f *replayFlags) limit(alerts int) error {
	if f.maxAlerts < 0 || alerts <= f.maxAlerts {
		return nil
	}
	return exit{exitNo, fmt.Errorf("%s; --max-alerts allows %d", words.Count(alerts, "alert"), f.maxAlerts)}
}

// output is where the outcomes go.
func (f *replayFlags) output(stdout io.Writer) (io.Writer, func() error, error) {
	if f.out == "" {
		return stdout, func() error { return nil }, nil
	}
	file, err := os.Create(f.out)
	if err != nil {
		return nil, nil, err
	}
	return file, file.Close, nil
}

// printer writes outcomes, one a line.
type printer struct {
	out  *bufio.Writer
	line []byte // scratch
}

func (p *printer) write(outcomes []rules.Outcome) error {
	for i := range outcomes {
		p.line = append(outcomes[i].AppendJSON(p.line[:0]), '\n')
		if _, err := p.out.Write(p.line); err != nil {
			return err
		}
	}
	return nil
}

// summary says how much was judged, and what came of it.
func summary(w io.Writer, run *backtest.Run, took time.Duration) {
	fmt.Fprintf(w, "%s, %.2f s, %s samples/s\n", run.Describe(), took.Seconds(), short(float64(run.Samples)/max(took.Seconds(), 1e-9)))
	if run.Unreadable > 0 {
		fmt.Fprintf(w, "%s could not be judged; live they would be dead letters\n", words.Count(run.Unreadable, "line"))
	}
}

// kinds says how many outcomes of each kind there are.
func kinds(w io.Writer, v *backtest.Verdict) {
	for _, kind := range slices.Sorted(maps.Keys(v.Kinds)) {
		fmt.Fprintf(w, "%s\n", words.Count(v.Kinds[kind], string(kind)))
	}
}

// funnelLines say, a line each, where the samples of the rules went.
func funnelLines(w io.Writer, v *backtest.Verdict) {
	for _, id := range slices.Sorted(maps.Keys(v.Funnels)) {
		for i, name := range v.Funnels[id].Names {
			fmt.Fprintf(w, "%s/%s: %s\n", id, name, funnelLine(&v.Funnels[id].Rules[i]))
		}
	}
}

func funnelLine(f *rules.Funnel) string {
	parts := []string{fmt.Sprintf("%d received, %d true, %d false, %d unknown, %d failed, %d late", f.Received, f.True, f.False, f.Unknown, f.Errors, f.Late)}
	for _, part := range []struct {
		n    uint64
		what string
	}{
		{f.Received - min(f.Matched, f.Received), "not of its source"},
		{f.Skipped, "not changed or taken in by a window"},
		{f.Lost, "without room"},
		{f.Held, "held by for"},
		{f.Quiet, "suppressed"},
		{f.NotMade, "not made"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if f.Raised+f.Resolved > 0 {
		parts = append(parts, fmt.Sprintf("%d raised, %d resolved", f.Raised, f.Resolved))
	}
	return strings.Join(parts, ", ")
}

// funnels say, stage by stage, where the samples of the rules went, and where
// nothing goes further.
func funnels(w io.Writer, run *backtest.Run) error {
	v := &run.Verdicts[0]
	for _, id := range slices.Sorted(maps.Keys(v.Funnels)) {
		in := engine.InteractionStatus{ID: id, State: engine.RulesOK, Twins: max(run.Twins, 1)} // that none matches is one reason of several
		if !v.Programs[id].Enabled() {
			in.State = engine.RulesDisabled
		}
		for i, info := range v.Programs[id].Infos() {
			r := engine.RuleStatus{Rule: info.Name, Kind: info.Kind, Funnel: v.Funnels[id].Rules[i]}
			stages := slices.DeleteFunc(stagesOf(&r), func(s stage) bool { // a replay tells nobody
				return slices.Contains([]string{"silenced", "given up by a sink", "delivered"}, s.name)
			})
			fmt.Fprintf(w, "\n%s/%s   %s\n", id, info.Name, info.Kind)
			if err := showStages(w, stages, &in, &r); err != nil {
				return err
			}
		}
	}
	return nil
}

// totals says how many alerts there are, for how long, and how they lie.
func totals(w io.Writer, run *backtest.Run) {
	t := run.Verdicts[0].Total(run.Last, backtest.Every)
	for _, kind := range slices.Sorted(maps.Keys(t.Made)) {
		fmt.Fprintln(w, words.Count(t.Made[kind], string(kind)))
	}
	if t.Alerts == 0 {
		fmt.Fprintln(w, "no alert would have been raised")
		return
	}
	fmt.Fprintf(w, "%s raised, %.1f a week, %d still firing at the end, %s in alarm, %d again within %s of the last\n",
		words.Count(t.Alerts, "alert"), run.PerWeek(t.Alerts), t.Open, backtest.Minutes(t.InAlarm), t.Flapping, backtest.Span(backtest.Again))
}

// short writes a rate for people: 812, 53k, 1.2M.
func short(f float64) string {
	switch {
	case f >= 1e6:
		return fmt.Sprintf("%.1fM", f/1e6)
	case f >= 1e4:
		return fmt.Sprintf("%.0fk", f/1e3)
	}
	return fmt.Sprintf("%.0f", f)
}

// bar is a progress bar; it shows itself only on a terminal.
type bar struct {
	w     io.Writer
	last  time.Time
	shown bool
}

func newBar(w io.Writer) *bar {
	if !isTerminal(w) {
		w = nil
	}
	return &bar{w: w}
}

func (b *bar) show(share float64, n int) {
	if b.w == nil || time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last, b.shown = time.Now(), true
	if share < 0 {
		fmt.Fprintf(b.w, "\r\033[K%d samples", n)
		return
	}
	const width = 40
	done := int(share * width)
	fmt.Fprintf(b.w, "\r\033[K[%s%s] %3.0f %%  %d samples", strings.Repeat("=", done), strings.Repeat(" ", width-done), 100*share, n)
}

func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\033[K")
		b.shown = false
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/term"

	"tocsin.internal/backtest"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

// compare says what the second set of rules does otherwise than the first.
func (f *replayFlags) compare(ctx context.Context, r *recording, sets []backtest.Set, stdout, stderr io.Writer) error {
	c, err := r.compare(ctx, sets, stderr)
	if err != nil {
		return err
	}
	c.Text(stdout)
	if err := f.draw(ctx, r, c.Run, c, stdout, stderr); err != nil {
		return err
	}
	return f.limit(c.Total.Alerts.New)
}

// compare judges the recording by two sets of rules.
func (r *recording) compare(ctx context.Context, sets []backtest.Set, stderr io.Writer) (*backtest.Comparison, error) {
	watch, w := r.watch(stderr)
	run, err := backtest.Judge(ctx, r.play, r.described, watch, sets...)
	w.bar.clear()
	if err != nil {
		return nil, exit{exitNo, err}
	}
	r.begins(run.First, stderr)
	if run.Unreadable > 0 {
		fmt.Fprintf(stderr, "%s could not be judged; live they would be dead letters\n", words.Count(run.Unreadable, "line"))
	}
	return backtest.Compare(run), nil
}

// How much is drawn.
const (
	plotPanels  = 3
	pagePanels  = 20
	pageBuckets = 200_000
)

// draw makes the pictures that were asked for.
func (f *replayFlags) draw(ctx context.Context, r *recording, run *backtest.Run, c *backtest.Comparison, stdout, stderr io.Writer) error {
	if f.plot {
		canvas := backtest.Canvas{Width: terminalColumns(stdout), Plain: !isTerminal(stdout), Colour: colourful(stdout), Names: []string{"alarm"}}
		if c != nil {
			canvas.Names = []string{"old", "new"}
		}
		panels, err := backtest.Panels(ctx, r.play, run, plotPanels, plotPanels*4*canvas.Width)
		if err != nil {
			return exit{exitNo, err}
		}
		for i := range panels {
			fmt.Fprintln(stdout)
			canvas.Plot(stdout, &panels[i], run.First, run.Last)
		}
		if len(panels) == 0 {
			fmt.Fprintln(stdout, "no alert to draw")
		}
	}
	if f.html == "" {
		return nil
	}
	panels, err := backtest.Panels(ctx, r.play, run, pagePanels, pageBuckets)
	if err != nil {
		return exit{exitNo, err}
	}
	if err := writePage(f.html, run, c, panels); err != nil {
		return exit{exitWrong, err}
	}
	fmt.Fprintf(stderr, "%s written: open it in a browser\n", f.html)
	return nil
}

func writePage(name string, run *backtest.Run, c *backtest.Comparison, panels []backtest.Panel) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(backtest.Page(file, run, c, panels), file.Close())
}

// terminalColumns is how wide a terminal is; 80 for anything else.
func terminalColumns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// variantsAtOnce is how many documents judge a recording at one reading of it.
const variantsAtOnce = 50

// sweep tries values in the document.
func (f *replayFlags) sweep(ctx context.Context, r *recording, stdout, stderr io.Writer) error {
	name, text, err := f.document()
	if err != nil {
		return err
	}
	doc, err := strictjson.Parse(name, text)
	if err != nil {
		return exit{exitNo, err}
	}
	var sweeps []backtest.Sweep
	var columns []string
	var errs []error
	for _, arg := range f.sweeps {
		s, err := backtest.ParseSweep(arg, doc)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sweeps, columns = append(sweeps, s), append(columns, s.Name(doc))
	}
	if err := errors.Join(errs...); err != nil {
		return exit{exitWrong, err}
	}
	variants, err := backtest.Variants(name, text, sweeps)
	if err != nil {
		return exit{exitWrong, err}
	}
	run, err := r.judgeAll(ctx, variants, stderr)
	if err != nil {
		return err
	}
	is, what := swept(variants[0].Program, sweeps)
	fmt.Fprintf(stdout, "%s   %s   %s\n", what, run.Describe(), lateOf(run, is))
	backtest.Table(stdout, run, columns, variants, is)
	configured := slices.IndexFunc(variants, func(v backtest.Variant) bool { return v.Configured })
	return f.limit(run.Verdicts[configured].Total(run.Last, is).Alerts)
}

// document is the one that the rules are of.
func (f *replayFlags) document() (name string, text []byte, err error) {
	files, err := engine.RuleFiles(f.rules)
	if err != nil {
		return "", nil, exit{exitWrong, err}
	}
	if len(files) != 1 {
		return "", nil, wrongUse("%s: %d interactions; --sweep changes one document: want --rules with its file", f.rules, len(files))
	}
	if text, err = os.ReadFile(files[0]); err != nil {
		return "", nil, exit{exitWrong, err}
	}
	return files[0], text, nil
}

// judgeAll has all variants judge the recording, some at each reading.
func (r *recording) judgeAll(ctx context.Context, variants []backtest.Variant, stderr io.Writer) (*backtest.Run, error) {
	var all *backtest.Run
	for some := range slices.Chunk(variants, variantsAtOnce) {
		sets := make([]backtest.Set, len(some))
		for i, v := range some {
			sets[i].Programs = map[string]*rules.Program{v.Program.ID(): v.Program}
		}
		watch, w := r.watch(stderr)
		if all != nil {
			watch.Unreadable = nil
		}
		run, err := backtest.Judge(ctx, r.play, r.described, watch, sets...)
		w.bar.clear()
		if err != nil {
			return nil, exit{exitNo, err}
		}
		if all == nil {
			all = run
			r.begins(run.First, stderr)
		} else {
			all.Verdicts = append(all.Verdicts, run.Verdicts...)
		}
	}
	return all, nil
}

// swept is the rule that the sweeps change, or all rules of the document when
// they change several.
func swept(p *rules.Program, sweeps []backtest.Sweep) (is func(backtest.Rule) bool, what string) {
	index := sweeps[0].RuleIndex()
	for _, s := range sweeps[1:] {
		if s.RuleIndex() != index {
			index = -1
		}
	}
	names := p.Rules()
	if index < 0 || index >= len(names) {
		return backtest.Every, p.ID()
	}
	rule := backtest.Rule{Interaction: p.ID(), Rule: names[index]}
	return func(r backtest.Rule) bool { return r == rule }, rule.String()
}

func lateOf(run *backtest.Run, is func(backtest.Rule) bool) string {
	return fmt.Sprintf("%d late, ignored", run.Verdicts[0].Total(run.Last, is).Late)
}

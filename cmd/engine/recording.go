package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/backtest"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/words"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
)

// recordingFlags say what is to be judged: a file, or what a stream retains.
type recordingFlags struct {
	samples, format, twin, feed, timeColumn, twinColumn, twins string
	config, data                                               string
	since, until                                               when
}

// add adds the flags; format is the name of the one that says how the file is written.
func (f *recordingFlags) add(cmd *cobra.Command, format string) {
	cmd.Flags().StringVar(&f.samples, "samples", "", "recording; - is standard input")
	cmd.Flags().StringVar(&f.format, format, "", "of the recording: ndjson or csv; default: by the file's ending")
	cmd.Flags().StringVar(&f.twin, "twin", "", "CSV: the twin that shared the samples; default: the file's name")
	cmd.Flags().StringVar(&f.feed, "feed", "", "CSV: the feed; default: the only one that the rules read")
	cmd.Flags().StringVar(&f.timeColumn, "time-column", "", "CSV: the column with the time; default: timestamp, time, occurredAt, datetime or date")
	cmd.Flags().StringVar(&f.twinColumn, "twin-column", "", "CSV: the column with the twin, in place of --twin")
	cmd.Flags().StringVar(&f.twins, "twins", "", "file of twins to match, an array of upsert bodies")
	cmd.Flags().StringVar(&f.data, "data", "", "data folder of an embedded NATS whose stream is judged; default: data, if it is there")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration of the NATS whose stream is judged")
	cmd.Flags().Var(&f.since, "since", "from when: 7d, 168h or a time as RFC 3339 has it; default: all there is")
	cmd.Flags().Var(&f.until, "until", "to when: the same")
}

// when is a time, or how long before the end it is.
type when struct {
	text string
	at   time.Time
	back time.Duration
}

// Set reads a time as RFC 3339 has it, or a duration.
func (w *when) Set(text string) error {
	w.text = text
	var err error
	if w.at, err = time.Parse(time.RFC3339, text); err == nil {
		return nil
	}
	raw, err := strictjson.Value("", text)
	if err != nil {
		return err
	}
	if w.back, err = duration.Decode(raw); err != nil {
		return fmt.Errorf(`got %q; want how long ago, such as 7d or 168h, or a time such as 2026-11-02T10:00:00Z`, text)
	}
	return nil
}

func (w *when) String() string { return w.text }

// Type names the kind of value in the help.
func (w *when) Type() string { return "time" }

// before is the time when it ends at a given one; zero when it was not given.
func (w *when) before(end time.Time) time.Time {
	if w.back > 0 {
		return end.Add(-w.back)
	}
	return w.at
}

func (f *recordingFlags) ofStream() bool { return f.data != "" || f.config != "" }

// check says what is wrong with the flags of a command; with names what else it
// wants. Where none names a recording, it is the data of an engine that was run
// here without a configuration, if there is any.
func (f *recordingFlags) check(command, with string) error {
	if f.samples == "" && !f.ofStream() {
		if dir := defaultConfig().Bus.Dir; isFolder(dir) {
			f.data = dir
		}
	}
	switch {
	case f.samples == "" && !f.ofStream():
		return wrongUse("engine %s: want %s--samples, --data or -c", command, with)
	case f.samples != "" && f.ofStream():
		return wrongUse("engine %s: --samples beside --data or -c; want one recording", command)
	}
	return nil
}

// recording is what is judged, opened.
type recording struct {
	flags     *recordingFlags
	name      string
	described []twins.Twin // to match; nil: every twin matches
	play      backtest.Play
	share     func() float64            // how much has been played; -1: nobody knows
	begun     func() time.Time          // of a stream: when the first message was stored that was judged
	from      time.Time                 // that was asked for; zero: all there is
	running   map[string]*rules.Program // what runs on the bus; nil: there is no bus
	bus       *bus.Bus                  // nil: it is a file
	close     func() error
}

// open opens the recording for rules. Standard input is read into memory when
// it is to be played more than once.
func (f *recordingFlags) open(ctx context.Context, sets []map[string]*rules.Program, again bool) (r *recording, err error) {
	r = &recording{flags: f, begun: func() time.Time { return time.Time{} }}
	if f.twins != "" {
		if r.described, err = readTwins([]string{f.twins}); err != nil {
			return nil, exit{exitWrong, err}
		}
	}
	if f.ofStream() {
		return r, r.openStream(ctx)
	}
	if err := r.openFile(ctx, sets, again); err != nil {
		return nil, exit{exitWrong, err}
	}
	return r, nil
}

func (r *recording) openFile(ctx context.Context, sets []map[string]*rules.Program, again bool) error {
	f := r.flags
	r.name = f.samples
	rec := &backtest.Recording{Name: f.samples}
	var err error
	if rec.Format, err = f.formatOf(); err != nil {
		return err
	}
	if rec.Format == backtest.CSV {
		if rec.CSV, err = f.csv(sets); err != nil {
			return err
		}
	}
	back := f.since.back > 0 || f.until.back > 0
	if f.samples == "-" {
		err = rec.Read(os.Stdin, !again && !back)
	} else {
		err = rec.Open(f.samples)
	}
	if err != nil {
		return err
	}
	var newest time.Time
	if back { // the past of a recording ends with it
		if newest, err = rec.Newest(ctx); err != nil {
			return errors.Join(err, rec.Close())
		}
	}
	rec.From, rec.Until = f.since.before(newest), f.until.before(newest)
	r.from, r.play, r.share, r.close = rec.From, rec.Play, rec.Share, rec.Close
	return nil
}

func (f *recordingFlags) formatOf() (string, error) {
	if f.format != "" {
		if f.format != backtest.NDJSON && f.format != backtest.CSV {
			return "", fmt.Errorf("format %q; want ndjson or csv%s", f.format, strictjson.DidYouMean(f.format, []string{backtest.NDJSON, backtest.CSV}))
		}
		return f.format, nil
	}
	switch strings.ToLower(filepath.Ext(f.samples)) {
	case ".csv":
		return backtest.CSV, nil
	case ".ndjson", ".jsonl", ".json":
		return backtest.NDJSON, nil
	}
	return "", fmt.Errorf("%s: what format? Want --format ndjson or csv", f.samples)
}

func (f *recordingFlags) csv(sets []map[string]*rules.Program) (sources.CSVOptions, error) {
	feed, err := f.feedOf(sets)
	if err != nil {
		return sources.CSVOptions{}, err
	}
	o := sources.CSVOptions{Name: f.samples, Twin: f.twin, Feed: feed, TimeColumn: f.timeColumn, TwinColumn: f.twinColumn}
	if o.Twin == "" && o.TwinColumn == "" {
		if f.samples == "-" {
			return o, errors.New("a CSV does not say whose samples they are; want --twin or --twin-column")
		}
		o.Twin = strings.TrimSuffix(filepath.Base(f.samples), filepath.Ext(f.samples))
	}
	return o, nil
}

func (f *recordingFlags) feedOf(sets []map[string]*rules.Program) (string, error) {
	feeds := map[string]bool{}
	for _, programs := range sets {
		for _, p := range programs {
			for _, s := range p.Sources() {
				for _, feed := range s.Feeds {
					feeds[feed.ID] = true
				}
			}
		}
	}
	names := slices.Sorted(maps.Keys(feeds))
	switch {
	case feeds[f.feed]:
		return f.feed, nil
	case f.feed != "":
		return "", fmt.Errorf("--feed: no rule reads feed %q%s", f.feed, strictjson.OneOf(f.feed, names))
	case len(names) != 1:
		return "", fmt.Errorf("which feed are the samples of? Want --feed with one of %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

func (r *recording) openStream(ctx context.Context) error {
	f := r.flags
	c, _, err := loadConfig(runFlags{config: f.config, data: f.data}, os.Environ())
	if err != nil {
		return exit{exitWrong, err}
	}
	r.name = bus.Redacted(c.Bus.URL)
	if c.Bus.URL == "" {
		if _, err := os.Stat(c.Bus.Dir); err != nil {
			return exit{exitWrong, err}
		}
		r.name = c.Bus.Dir
	}
	b, err := bus.Open(ctx, c.busConfig())
	if errors.Is(err, bus.ErrLocked) {
		err = fmt.Errorf("%w: stop it, or name with -c the NATS on which it runs", err)
	}
	if err != nil {
		return exit{busExit(err), err}
	}
	r.bus = b
	r.close = func() error {
		b.Close()
		return nil
	}
	if err := r.ofBus(ctx, b, &c); err != nil {
		b.Close()
		return exit{exitNo, err}
	}
	return nil
}

func (r *recording) ofBus(ctx context.Context, b *bus.Bus, c *config) (err error) {
	if r.described == nil {
		if r.described, err = engine.TwinsOf(ctx, b); err != nil {
			return err
		}
	}
	if r.running, err = engine.RulesOf(ctx, b); err != nil {
		return err
	}
	if len(r.running) == 0 && c.Rules != "" { // it has never run
		if r.running, err = engine.LoadRules(c.Rules); err != nil {
			return err
		}
	}
	now := time.Now()
	r.from = r.flags.since.before(now)
	span := engine.Span{From: r.from, Until: r.flags.until.before(now)}
	var begun time.Time
	r.begun = func() time.Time { return begun }
	r.share = func() float64 { return -1 }
	r.play = func(ctx context.Context, replays []*engine.Replay, each backtest.Each) (err error) {
		begun, err = engine.Stream(ctx, b, span, c.MaxSkew, replays, each)
		return err
	}
	return nil
}

// begins says from when the samples really are, where more was asked for.
func (r *recording) begins(first time.Time, w io.Writer) {
	begun := r.begun() // of a file it is zero
	switch {
	case r.from.IsZero():
	case begun.IsZero() && first.IsZero():
		fmt.Fprintf(w, "%s has nothing since %s\n", r.name, r.from.UTC().Format(time.RFC3339))
	case begun.IsZero() && first.Sub(r.from) > time.Minute:
		fmt.Fprintf(w, "%s begins at %s; --since %s asks for %s\n", r.name, first.UTC().Format(time.RFC3339), r.flags.since.text, r.from.UTC().Format(time.RFC3339))
	case !begun.IsZero() && begun.Sub(r.from) > time.Minute:
		fmt.Fprintf(w, "%s has nothing that was stored before %s; --since %s asks for %s (bus.replayWindow is how long it is kept)\n",
			r.name, begun.UTC().Format(time.RFC3339), r.flags.since.text, r.from.UTC().Format(time.RFC3339))
	}
}

// onlooker shows how far a judgement is, and names the first lines that cannot be judged.
type onlooker struct {
	bar    *bar
	stderr io.Writer
	share  func() float64
	unread int
}

func (r *recording) watch(stderr io.Writer) (backtest.Watch, *onlooker) {
	w := &onlooker{bar: newBar(stderr), stderr: stderr, share: r.share}
	return backtest.Watch{Sample: w.sample, Unreadable: w.unreadable}, w
}

func (w *onlooker) sample(n int) {
	if n%10_000 == 0 {
		w.bar.show(w.share(), n)
	}
}

// unreadable names the first ten lines that cannot be judged.
func (w *onlooker) unreadable(s *rules.Sample, err error) {
	if w.unread++; w.unread > 10 {
		return
	}
	w.bar.clear()
	if e, ok := errors.AsType[*rules.DataError](err); ok {
		fmt.Fprintf(w.stderr, "line %d: %v\n", s.Seq, e)
		return
	}
	fmt.Fprintln(w.stderr, err)
}

// ruleSet is the set of rules that an argument names: current is what runs on
// the bus, and any other has been loaded.
func (r *recording) ruleSet(name string, loaded map[string]*rules.Program) (backtest.Set, error) {
	if name != current {
		return backtest.Set{Name: name, Programs: loaded}, nil
	}
	if len(r.running) == 0 {
		return backtest.Set{}, exit{exitNo, fmt.Errorf("%s: no rules run on it, and none have", r.name)}
	}
	return backtest.Set{Name: fmt.Sprintf("current (%s of %s)", words.Count(len(r.running), "interaction"), r.name), Programs: r.running}, nil
}

// current names the rules that run on the bus whose stream is judged.
const current = "current"

// loadRuleSet reads rules from a file or a folder; nil for current.
func loadRuleSet(name string) (map[string]*rules.Program, error) {
	if name == current {
		return nil, nil
	}
	programs, err := engine.LoadRules(name)
	if errors.As(err, new(*os.PathError)) {
		return nil, exit{exitWrong, err}
	}
	if err != nil {
		return nil, exit{exitNo, err}
	}
	if len(programs) == 0 {
		return nil, wrongUse("%s: no interaction in this folder; want *.json or */interaction.json", name)
	}
	return programs, nil
}

package main

import (
	"bufio"
	"bytes"
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

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
)

type replayFlags struct {
	rules, samples, format, twin, feed, timeColumn, twinColumn, out, twins string
	config, data                                                           string
	since                                                                  time.Duration
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --rules FILE|DIR (--samples FILE | --data DIR | -c FILE)",
		Short: "Judge a recording, or what the stream retains, and print the outcomes as NDJSON",
		Long: `Judge a recording by the code that judges live samples, without any server. The
same recording gives the same outcomes, one JSON object a line; the summary goes
to stderr.

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
to alerts. Nothing is written.

Exit codes: 0 fine; 1 a rule is invalid; 2 a file cannot be read.`,
		Example: `  engine replay --rules examples/rules/overheating --samples examples/rules/overheating/samples.ndjson
  engine replay --rules changed.json --data data --since 168h
  engine replay --rules hot.json --samples machine.csv --twin machine_1 --feed currentTemp --time-column timestamp --out outcomes.ndjson`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return replay(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.rules, "rules", "", "file or folder of interactions")
	cmd.Flags().StringVar(&f.samples, "samples", "", "recording; - is standard input")
	cmd.Flags().StringVar(&f.format, "format", "", "ndjson or csv; default: by the file's ending")
	cmd.Flags().StringVar(&f.twin, "twin", "", "CSV: the twin that shared the samples")
	cmd.Flags().StringVar(&f.feed, "feed", "", "CSV: the feed; default: the only one that the rules read")
	cmd.Flags().StringVar(&f.timeColumn, "time-column", "", "CSV: the column with the time; default: timestamp, time, occurredAt, datetime or date")
	cmd.Flags().StringVar(&f.twinColumn, "twin-column", "", "CSV: the column with the twin, in place of --twin")
	cmd.Flags().StringVar(&f.out, "out", "", "file for the outcomes; default: standard output")
	cmd.Flags().StringVar(&f.twins, "twins", "", "file of twins to match, an array of upsert bodies")
	cmd.Flags().StringVar(&f.data, "data", "", "data folder of an embedded NATS whose stream is judged")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration of the NATS whose stream is judged")
	cmd.Flags().DurationVar(&f.since, "since", 0, "with --data or -c: how far back, such as 168h; default: all that is retained")
	return cmd
}

func replay(ctx context.Context, f replayFlags, stdout, stderr io.Writer) (err error) {
	ofStream := f.data != "" || f.config != ""
	switch {
	case f.rules == "" || f.samples == "" && !ofStream:
		return wrongUse("engine replay: want --rules and --samples, --data or -c")
	case f.samples != "" && ofStream:
		return wrongUse("engine replay: --samples beside --data or -c; want one recording")
	}
	programs, err := engine.LoadRules(f.rules)
	if errors.As(err, new(*os.PathError)) {
		return exit{exitWrong, err}
	}
	if err != nil {
		return exit{exitNo, err}
	}
	if len(programs) == 0 {
		return wrongUse("%s: no interaction in this folder; want *.json or */interaction.json", f.rules)
	}
	var described []twins.Twin
	if f.twins != "" {
		if described, err = readTwins([]string{f.twins}); err != nil {
			return exit{exitWrong, err}
		}
	}
	if ofStream {
		return f.ofStream(ctx, programs, described, stdout, stderr)
	}
	in, size, err := openSamples(f.samples)
	if err != nil {
		return exit{exitWrong, err}
	}
	defer in.Close() //nolint:errcheck // it was only read
	meter := &meter{Reader: in, size: size}
	next, err := f.reader(meter, programs)
	if err != nil {
		return exit{exitWrong, err}
	}
	out, closeOut, err := f.output(stdout)
	if err != nil {
		return exit{exitWrong, err}
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	r := &replayer{replay: engine.NewReplay(programs, described), out: bufio.NewWriterSize(out, 64<<10), stderr: stderr, meter: meter}
	if r.replay.Timed() {
		if next, err = r.merged(ctx, next); err != nil {
			return exit{exitNo, err}
		}
	}
	if err := r.run(ctx, next); err != nil {
		return exit{exitNo, err}
	}
	r.summary()
	return nil
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

// ofStream judges what a stream retains.
func (f *replayFlags) ofStream(ctx context.Context, programs map[string]*rules.Program, described []twins.Twin, stdout, stderr io.Writer) (err error) {
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
	if described == nil {
		if described, err = engine.TwinsOf(ctx, b); err != nil {
			return exit{exitNo, err}
		}
	}
	out, closeOut, err := f.output(stdout)
	if err != nil {
		return exit{exitWrong, err}
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	r := &replayer{replay: engine.NewReplay(programs, described), out: bufio.NewWriterSize(out, 64<<10), stderr: stderr, kinds: map[rules.Kind]int{}}
	var since time.Time
	if f.since > 0 {
		since = time.Now().Add(-f.since)
	}
	began := time.Now()
	err = r.replay.Stream(ctx, b, since, c.MaxSkew, func(s *rules.Sample, outcomes []rules.Outcome, err error) error {
		if s != nil {
			r.samples++
			if err != nil {
				r.unreadable(s, err)
				return nil
			}
			r.note(s.At)
		}
		return r.write(outcomes)
	})
	r.took = time.Since(began)
	if err = errors.Join(err, r.out.Flush()); err != nil {
		return exit{exitNo, err}
	}
	r.summary()
	return nil
}

func openSamples(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), 0, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s: is a folder; want a file of samples", name)
	}
	if err != nil {
		file.Close() //nolint:errcheck // it was never read
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// reader gives the function that reads the next sample; io.EOF ends it, any
// other error is of one line.
func (f *replayFlags) reader(in io.Reader, programs map[string]*rules.Program) (func() (rules.Sample, error), error) {
	format := f.format
	if format == "" {
		switch strings.ToLower(filepath.Ext(f.samples)) {
		case ".csv":
			format = "csv"
		case ".ndjson", ".jsonl", ".json":
			format = "ndjson"
		default:
			return nil, fmt.Errorf("%s: what format? Want --format ndjson or csv", f.samples)
		}
	}
	switch format {
	case "ndjson":
		return sources.NewNDJSON(in, f.samples).Next, nil
	case "csv":
		feed, err := f.feedOf(programs)
		if err != nil {
			return nil, err
		}
		if f.twin == "" && f.twinColumn == "" {
			return nil, errors.New("a CSV does not say whose samples they are; want --twin or --twin-column")
		}
		r, err := sources.NewCSV(in, sources.CSVOptions{Name: f.samples, Twin: f.twin, Feed: feed, TimeColumn: f.timeColumn, TwinColumn: f.twinColumn})
		if err != nil {
			return nil, err
		}
		return r.Next, nil
	}
	return nil, fmt.Errorf("--format %q; want ndjson or csv", format)
}

func (f *replayFlags) feedOf(programs map[string]*rules.Program) (string, error) {
	if f.feed != "" {
		return f.feed, nil
	}
	feeds := map[string]bool{}
	for _, p := range programs {
		for _, s := range p.Sources() {
			for _, feed := range s.Feeds {
				feeds[feed.ID] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(feeds))
	if len(names) != 1 {
		return "", fmt.Errorf("which feed are the samples of? Want --feed with one of %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

// replayer judges sample after sample.
type replayer struct {
	replay  *engine.Replay
	out     *bufio.Writer
	stderr  io.Writer
	meter   *meter
	samples int
	unread  int
	kinds   map[rules.Kind]int
	first   time.Time
	last    time.Time
	took    time.Duration
	line    []byte // scratch
}

// merged reads all samples and brings those of many twins into the order of
// time: what falls due for one twin does so between the samples of the others.
func (r *replayer) merged(ctx context.Context, next func() (rules.Sample, error)) (func() (rules.Sample, error), error) {
	var samples []rules.Sample
	for {
		s, err := next()
		switch {
		case errors.Is(err, io.EOF):
			engine.Merge(samples)
			i := 0
			return func() (rules.Sample, error) {
				if i == len(samples) {
					return rules.Sample{}, io.EOF
				}
				i++
				return samples[i-1], nil
			}, nil
		case errors.As(err, new(*strictjson.Error)):
			r.unreadable(&s, err)
		case err != nil:
			return nil, err
		default:
			s.Data = bytes.Clone(s.Data)
			samples = append(samples, s)
		}
		if len(samples)%10_000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (r *replayer) run(ctx context.Context, next func() (rules.Sample, error)) error {
	r.kinds = map[rules.Kind]int{}
	began := time.Now()
	bar := newBar(r.stderr)
	var outcomes []rules.Outcome
	for n := 0; ; n++ {
		if n%10_000 == 0 {
			bar.show(r.meter.share(), r.samples)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		s, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.As(err, new(*strictjson.Error)) {
			return err // of the file, not of a line
		}
		if err == nil {
			r.samples++
			outcomes, err = r.replay.Judge(&s, outcomes[:0])
		}
		if err != nil {
			bar.clear()
			r.unreadable(&s, err)
			continue
		}
		r.note(s.At)
		if err := r.write(outcomes); err != nil {
			return err
		}
	}
	bar.clear()
	r.took = time.Since(began)
	return r.out.Flush()
}

func (r *replayer) write(outcomes []rules.Outcome) error {
	for i := range outcomes {
		r.kinds[outcomes[i].Kind]++
		r.line = append(outcomes[i].AppendJSON(r.line[:0]), '\n')
		if _, err := r.out.Write(r.line); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayer) note(at time.Time) {
	if r.first.IsZero() || at.Before(r.first) {
		r.first = at
	}
	if at.After(r.last) {
		r.last = at
	}
}

// unreadable names the first ten lines that cannot be judged.
func (r *replayer) unreadable(s *rules.Sample, err error) {
	if r.unread++; r.unread > 10 {
		return
	}
	if e, ok := errors.AsType[*rules.DataError](err); ok {
		fmt.Fprintf(r.stderr, "line %d: %v\n", s.Seq, e)
		return
	}
	fmt.Fprintln(r.stderr, err)
}

func (r *replayer) summary() {
	w := r.stderr
	fmt.Fprintf(w, "%s of %s", count(r.samples, "sample"), count(r.replay.Twins(), "twin"))
	if !r.first.IsZero() {
		fmt.Fprintf(w, ", %s .. %s", r.first.UTC().Format(time.DateTime), r.last.UTC().Format(time.DateTime))
	}
	fmt.Fprintf(w, ", %.2f s, %s samples/s\n", r.took.Seconds(), short(float64(r.samples)/max(r.took.Seconds(), 1e-9)))
	if r.unread > 0 {
		fmt.Fprintf(w, "%s could not be judged; live they would be dead letters\n", count(r.unread, "line"))
	}
	for _, kind := range slices.Sorted(maps.Keys(r.kinds)) {
		fmt.Fprintf(w, "%s\n", count(r.kinds[kind], string(kind)))
	}
	funnels := r.replay.Funnels()
	for _, id := range slices.Sorted(maps.Keys(funnels)) {
		for i, name := range funnels[id].Names {
			f := funnels[id].Rules[i]
			fmt.Fprintf(w, "%s/%s: %d received, %d true, %d false, %d unknown, %d failed, %d late", id, name, f.Received, f.True, f.False, f.Unknown, f.Errors, f.Late)
			if f.Raised+f.Resolved > 0 {
				fmt.Fprintf(w, ", %d raised, %d resolved", f.Raised, f.Resolved)
			}
			fmt.Fprintln(w)
		}
	}
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

// meter counts what is read of a file.
type meter struct {
	io.Reader
	size, read int64
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	m.read += int64(n)
	return n, err
}

// share is the part that has been read, or -1 when the whole is not known.
func (m *meter) share() float64 {
	if m.size <= 0 {
		return -1
	}
	return min(float64(m.read)/float64(m.size), 1)
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

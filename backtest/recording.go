package backtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/internal/mapfile"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// Recording is samples in a file, or in a stream that can be read but once.
type Recording struct {
	Format string             // of the text: NDJSON or CSV
	CSV    sources.CSVOptions // what its columns mean
	Name   string             // in errors
	From   time.Time          // samples before it are passed over; zero: none is
	Until  time.Time          // and from it on; zero: none is

	text  []byte
	file  *mapfile.File // nil: the text is from elsewhere
	in    io.Reader     // nil: text has it all
	read  int64         // of in
	share func() float64
	scan  *scanned // nil: nobody has looked through the text
}

// The formats of a recording.
const (
	NDJSON = "ndjson"
	CSV    = "csv"
)

// Open maps a file into memory.
func (r *Recording) Open(name string) (err error) {
	if r.file, err = mapfile.Open(name); err != nil {
		return err
	}
	r.text = r.file.Text()
	return nil
}

// Read takes samples from a reader: at once, or as they are wanted when one
// reading will do.
func (r *Recording) Read(in io.Reader, once bool) (err error) {
	if once {
		r.in = in
		return nil
	}
	r.text, err = io.ReadAll(in)
	return err
}

// Close lets the file go. What was judged of it must not be used any more.
func (r *Recording) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Share is the part that has been read, or -1 when the whole is not known.
func (r *Recording) Share() float64 {
	if r.share == nil {
		return -1
	}
	return r.share()
}

// scanned is what one look through a recording tells.
type scanned struct {
	newest time.Time
	places []sources.Place // of the lines in the order of time; nil: they lie so
}

// Newest is the time of the newest sample; zero when there is none.
func (r *Recording) Newest(ctx context.Context) (newest time.Time, err error) {
	err = r.guard(func() error {
		if r.ndjson() != nil {
			err := r.look(ctx)
			newest = r.scan.newest
			return err
		}
		return r.each(ctx, func(s *rules.Sample, err error) error {
			if err == nil && s.At.After(newest) {
				newest = s.At
			}
			return nil
		})
	})
	return newest, err
}

// guard keeps a file that is cut while it is read from ending the process.
func (r *Recording) guard(do func() error) error {
	if r.file == nil {
		return do()
	}
	return r.file.Guard(do)
}

// ndjson is a reader of the text from its beginning; nil: it is none, or not in memory.
func (r *Recording) ndjson() *sources.Text {
	if r.Format != NDJSON || r.in != nil {
		return nil
	}
	return sources.NewText(r.text, r.Name)
}

// line is a line of the text, and the time with which it counts.
type line struct {
	at    int64
	place sources.Place
}

// look notes how the lines lie in time.
func (r *Recording) look(ctx context.Context) error {
	if r.scan != nil {
		return nil
	}
	found, sorted, before := &scanned{}, true, int64(math.MinInt64)
	err := r.lines(ctx, func(l line, s *rules.Sample) {
		sorted = sorted && l.at >= before
		before = l.at
		if s != nil && s.At.After(found.newest) {
			found.newest = s.At
		}
	})
	if err == nil && !sorted {
		found.places, err = r.sorted(ctx)
	}
	if err != nil {
		return err
	}
	r.scan = found
	return nil
}

// sorted are the places of the lines in the order of time.
func (r *Recording) sorted(ctx context.Context) ([]sources.Place, error) {
	var lines []line
	if err := r.lines(ctx, func(l line, _ *rules.Sample) { lines = append(lines, l) }); err != nil {
		return nil, err
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	places := make([]sources.Place, len(lines))
	for i := range lines {
		places[i] = lines[i].place
	}
	return places, nil
}

// lines visits the lines of the text. Each counts with the newest time that its
// twin has shown so far, as engine.Merge has it; one that is no sample, which
// comes as nil, stays behind the one before.
func (r *Recording) lines(ctx context.Context, visit func(line, *rules.Sample)) error {
	text, newest := r.ndjson(), map[string]int64{}
	at := int64(math.MinInt64)
	place := text.Place()
	return drain(ctx, text.Next, func(s *rules.Sample, err error) error {
		if err != nil {
			s = nil
		} else {
			before, known := newest[s.Twin]
			if at = rules.Nanos(s.At); known {
				at = max(at, before)
			}
			newest[s.Twin] = at
		}
		visit(line{at, place}, s)
		place = text.Place()
		return nil
	})
}

// each reads all samples as they lie in the recording.
func (r *Recording) each(ctx context.Context, visit func(*rules.Sample, error) error) error {
	next, err := r.reader()
	if err != nil {
		return err
	}
	return drain(ctx, next, visit)
}

// drain reads to the end. An error of one line is visited, any other returned.
func drain(ctx context.Context, next func(*rules.Sample) error, visit func(*rules.Sample, error) error) error {
	var s rules.Sample
	for n := 0; ; n++ {
		if n%10_000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := next(&s)
		if err != nil && !isOfLine(err) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := visit(&s, err); err != nil {
			return err
		}
	}
}

// reader gives what reads the next sample.
func (r *Recording) reader() (func(*rules.Sample) error, error) {
	if text := r.ndjson(); text != nil {
		r.share = text.Share
		return text.Next, nil
	}
	in := r.in
	if in == nil {
		in = bytes.NewReader(r.text)
		r.read = 0
		r.share = func() float64 { return min(float64(r.read)/float64(max(len(r.text), 1)), 1) }
	}
	counted := readerFunc(func(b []byte) (int, error) {
		n, err := in.Read(b)
		r.read += int64(n)
		return n, err
	})
	if r.Format == NDJSON {
		return owned(sources.NewNDJSON(counted, r.Name).Next), nil
	}
	csv, err := sources.NewCSV(counted, r.CSV)
	if err != nil {
		return nil, err
	}
	return owned(csv.Next), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func owned(next func() (rules.Sample, error)) func(*rules.Sample) error {
	return func(s *rules.Sample) (err error) {
		*s, err = next()
		return err
	}
}

// ordered gives what reads the next sample in the order of time: what falls due
// for one twin does so between the samples of the others.
func (r *Recording) ordered(ctx context.Context) (func(*rules.Sample) error, error) {
	text := r.ndjson()
	if text == nil {
		return r.merged(ctx)
	}
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	places, n := r.scan.places, 0
	if places == nil {
		return r.reader()
	}
	r.share = func() float64 { return float64(n) / float64(len(places)) }
	return func(s *rules.Sample) error {
		if n == len(places) {
			return io.EOF
		}
		text.Seek(places[n])
		n++
		return text.Next(s)
	}, nil
}

// merged reads all samples and brings them into the order of time; those that
// cannot be read come first.
func (r *Recording) merged(ctx context.Context) (func(*rules.Sample) error, error) {
	type wrong struct {
		sample rules.Sample
		err    error
	}
	var samples []rules.Sample
	var unread []wrong
	err := r.each(ctx, func(s *rules.Sample, err error) error {
		if err != nil {
			unread = append(unread, wrong{*s, err})
		} else {
			samples = append(samples, *s)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	engine.Merge(samples)
	return func(s *rules.Sample) error {
		switch {
		case len(unread) > 0:
			first := unread[0]
			unread = unread[1:]
			*s = first.sample
			return first.err
		case len(samples) == 0:
			return io.EOF
		}
		*s, samples = samples[0], samples[1:]
		return nil
	}, nil
}

// Play has the replays judge the samples from From until Until. When a rule
// waits for something, they come in the order of time.
func (r *Recording) Play(ctx context.Context, replays []*engine.Replay, each Each) error {
	return r.guard(func() error {
		order := func(context.Context) (func(*rules.Sample) error, error) { return r.reader() }
		if slices.ContainsFunc(replays, (*engine.Replay).Timed) {
			order = r.ordered
		}
		read, err := order(ctx)
		if err != nil {
			return err
		}
		var one rules.Sample
		var out []rules.Outcome
		return drain(ctx, read, func(s *rules.Sample, err error) error {
			if err == nil && (s.At.Before(r.From) || !r.Until.IsZero() && !s.At.Before(r.Until)) {
				return nil
			}
			for i, replay := range replays {
				mine, judged := s, err
				if i < len(replays)-1 { // a judgement makes it its own
					one = *s
					mine = &one
				}
				out = out[:0]
				if err == nil {
					out, judged = replay.Judge(mine, out)
				}
				if err := each(i, mine, out, judged); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

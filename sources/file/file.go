// Package file is the source that plays a recording: a file of NDJSON or CSV,
// as fast as it goes, or at the speed at which it was recorded.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/internal/pause"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// Config says what to play and how.
type Config struct {
	Path   string `json:"path" strict:"required"` // relative to the working directory
	Format string `json:"format"`                 // ndjson or csv; "" goes by the path's ending

	// For csv; see sources.CSVOptions.
	Twin       string `json:"twin"`
	Feed       string `json:"feed"`
	TimeColumn string `json:"timeColumn"`
	TwinColumn string `json:"twinColumn"`
	Comma      string `json:"comma"`

	Speed float64 `json:"speed"` // 1 as recorded, 10 ten times as fast, 0 as fast as it goes
	Loop  bool    `json:"loop"`  // begin again at the end; wants times "now"
	Times string  `json:"times"` // recorded, or now: the time at which a sample is played
}

// The formats and the times of Config.
const (
	ndjsonFormat  = "ndjson"
	csvFormat     = "csv"
	recordedTimes = "recorded"
	nowTimes      = "now"
)

var endings = map[string]string{".ndjson": ndjsonFormat, ".jsonl": ndjsonFormat, ".csv": csvFormat}

// most is how many samples are handed to emit at once.
const most = 500

type source struct {
	Config
	csv sources.CSVOptions
}

// New makes the source of its Config. Whether the file is there is seen by Run.
func New(raw strictjson.Raw) (sources.Source, error) {
	s := &source{Config: Config{Times: recordedTimes, Comma: ","}}
	err := raw.Decode(&s.Config)
	if s.Format == "" {
		s.Format = endings[strings.ToLower(filepath.Ext(s.Path))]
	}
	if err := strictjson.Join(err, s.check(raw)); err != nil {
		return nil, err
	}
	comma, _ := utf8.DecodeRuneInString(s.Comma)
	s.csv = sources.CSVOptions{Name: s.Path, Twin: s.Twin, TwinColumn: s.TwinColumn, Feed: s.Feed, TimeColumn: s.TimeColumn, Comma: comma}
	return s, nil
}

func (s *source) check(raw strictjson.Raw) error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		at := raw.At
		if v := raw.Member(field); !v.IsZero() {
			at = v.At
		}
		errs = append(errs, at.Errorf(format, args...))
	}
	if s.Path == "" && !raw.Member("path").IsZero() {
		wrong("path", `got ""; want the name of a file`)
	}
	switch s.Format {
	case csvFormat:
		s.checkCSV(wrong)
	case ndjsonFormat:
		for _, field := range []string{"twin", "feed", "timeColumn", "twinColumn", "comma"} {
			if !raw.Member(field).IsZero() {
				wrong(field, "a line of NDJSON says it itself; want %q for csv only", field)
			}
		}
	case "":
		if s.Path != "" {
			wrong("path", "%s does not end in .ndjson, .jsonl or .csv; want a format", filepath.Base(s.Path))
		}
	default:
		wrong("format", "got %q; want ndjson or csv", s.Format)
	}
	if s.Speed < 0 {
		wrong("speed", "got %v; want 0 (as fast as it goes), 1 (as recorded) or another multiple", s.Speed)
	}
	switch {
	case s.Times != recordedTimes && s.Times != nowTimes:
		wrong("times", "got %q; want recorded or now", s.Times)
	case s.Loop && s.Times == recordedTimes:
		wrong("loop", `the second round would be late for every rule; want "times": "now" with it`)
	}
	return strictjson.Join(errs...)
}

func (s *source) checkCSV(wrong func(field, format string, args ...any)) {
	if s.Twin == "" && s.TwinColumn == "" {
		wrong("twin", "whose samples are these; want twin or twinColumn")
	}
	if s.Twin != "" && s.TwinColumn != "" {
		wrong("twinColumn", "twin says it already; want one of them")
	}
	if s.Feed == "" {
		wrong("feed", "which feed do the samples belong to; want feed")
	}
	if utf8.RuneCountInString(s.Comma) != 1 || strings.ContainsAny(s.Comma, "\"\r\n\uFFFD") {
		wrong("comma", "got %q; want the one character that separates cells", s.Comma)
	}
}

// Run plays the file, again and again when it loops. It returns nil at the end.
// A broken line goes to emit as a dead letter, and a batch that emit refuses is
// handed to it again, until it is stored.
func (s *source) Run(ctx context.Context, emit sources.Emit) error {
	for {
		played, err := s.play(ctx, emit)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("file source: %w", err)
		case !s.Loop:
			return nil
		case played == 0:
			return fmt.Errorf("file source: %s has no samples to play in a loop", s.Path)
		}
	}
}

func (s *source) play(ctx context.Context, emit sources.Emit) (played int, err error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	next, err := s.reader(f)
	if err != nil {
		return 0, err
	}
	p := player{source: s, emit: emit}
	for ctx.Err() == nil {
		sample, err := next()
		_, broken := errors.AsType[*strictjson.Error](err)
		switch {
		case errors.Is(err, io.EOF):
			return p.played, p.flush(ctx)
		case err != nil && !broken:
			return p.played, errors.Join(p.flush(ctx), err)
		}
		if err := p.play(ctx, sample); err != nil {
			return p.played, err
		}
	}
	return p.played, ctx.Err()
}

func (s *source) reader(r io.Reader) (func() (rules.Sample, error), error) {
	if s.Format == ndjsonFormat {
		return sources.NewNDJSON(r, s.Path).Next, nil
	}
	c, err := sources.NewCSV(r, s.csv)
	if err != nil {
		return nil, err
	}
	return c.Next, nil
}

// player hands samples over in batches, or each at its time.
type player struct {
	*source
	emit   sources.Emit
	batch  []rules.Sample
	played int
	first  time.Time // recorded time of the first sample
	start  time.Time // when it was played
}

func (p *player) play(ctx context.Context, s rules.Sample) error {
	if err := p.pace(ctx, s); err != nil {
		return err
	}
	if s.Refused == "" && (p.Times == nowTimes || s.At.IsZero()) {
		s.At = time.Now().UTC()
	}
	if s.Refused == "" {
		p.played++
	}
	p.batch = append(p.batch, s)
	if p.Speed == 0 && len(p.batch) < most {
		return nil
	}
	return p.flush(ctx)
}

// pace waits for the time at which the sample is due. A clock that steps back
// in the recording waits for nothing.
func (p *player) pace(ctx context.Context, s rules.Sample) error {
	if p.Speed == 0 || s.Refused != "" || s.At.IsZero() {
		return nil
	}
	if p.first.IsZero() {
		p.first, p.start = s.At, time.Now()
	}
	due := p.start.Add(time.Duration(float64(s.At.Sub(p.first)) / p.Speed))
	return pause.For(ctx, time.Until(due))
}

func (p *player) flush(ctx context.Context) error {
	if len(p.batch) == 0 {
		return nil
	}
	err := sources.Insist(ctx, p.emit, p.batch...)
	p.batch = nil // what emit has kept is its own
	return err
}

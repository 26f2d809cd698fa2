package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/bus"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// ErrNoLetter is what the error wraps when there is no such dead letter.
var ErrNoLetter = bus.ErrNoLetter

// LetterFilter says which dead letters are meant. The zero filter means all.
type LetterFilter = bus.LetterQuery

// LetterStages are the stages at which something becomes a dead letter.
var LetterStages = bus.Stages

// Letter is a dead letter: what could not be read, judged or delivered.
type Letter struct {
	Seq        uint64       `json:"seq"` // its number
	At         time.Time    `json:"at"`  // when it was kept
	Stage      string       `json:"stage"`
	Reason     string       `json:"reason"`
	Twin       string       `json:"twin,omitempty"`
	Feed       string       `json:"feed,omitempty"`
	OccurredAt time.Time    `json:"occurredAt,omitzero"` // of a sample
	Sink       string       `json:"sink,omitempty"`
	Route      string       `json:"route,omitempty"`    // of a notification
	Attempts   int          `json:"attempts,omitempty"` // of a sink
	Cause      *letterCause `json:"cause,omitempty"`
	Bytes      int          `json:"bytes"`               // of what was refused
	Truncated  bool         `json:"truncated,omitempty"` // only its beginning is kept
	Retrying   bool         `json:"retrying,omitempty"`  // its sink is to get it again

	// One of them, of a letter that is asked for alone.
	Data   json.RawMessage `json:"data,omitempty"`   // what is JSON
	Text   string          `json:"text,omitempty"`   // what is not
	Base64 []byte          `json:"base64,omitempty"` // what is not even text
}

// letterCause is a message: in FEED, with the sample in it, or of a sink's letter in OUT or NOTIFY.
type letterCause struct {
	Seq   uint64 `json:"seq"`
	Index uint32 `json:"index,omitempty"`
}

func newLetter(l *bus.DeadLetter) Letter {
	d := Letter{
		Seq: l.Letter, At: l.At.UTC(), Stage: l.Stage, Reason: l.Reason, Twin: l.Twin, Feed: l.Feed, OccurredAt: l.Time,
		Sink: l.Sink, Route: l.Route, Attempts: l.Attempts, Bytes: l.Size, Truncated: !l.Whole(),
	}
	if l.Seq > 0 {
		d.Cause = &letterCause{l.Seq, l.Index}
	}
	switch {
	case json.Valid(l.Data):
		d.Data = l.Data
	case utf8.Valid(l.Data):
		d.Text = string(l.Data)
	default:
		d.Base64 = l.Data
	}
	return d
}

// Common says whether what was refused is for all who may look: it is no sticker and no
// notice, which are meant for some.
func (l *Letter) Common() bool {
	if l.Stage != bus.StageSink || l.Route != "" {
		return true
	}
	var o struct {
		Kind rules.Kind `json:"kind"`
	}
	return json.Unmarshal(l.Data, &o) == nil && slices.Contains([]rules.Kind{rules.Output, rules.Alert, rules.Command}, o.Kind)
}

// DeadLetters are the letters that are meant, the newest first, at most limit of
// them and without what was refused, and how many there are in all.
func (e *Engine) DeadLetters(ctx context.Context, f LetterFilter, limit int) (letters []Letter, total int, err error) {
	var newest []bus.DeadLetter
	for l, err := range e.bus.Letters(ctx, f) {
		if err != nil {
			return nil, 0, err
		}
		total++
		newest = append(newest, l)
		if len(newest) >= 2*limit {
			newest = append(newest[:0], newest[len(newest)-limit:]...)
		}
	}
	retrying, err := e.bus.Retrying(ctx)
	if err != nil {
		return nil, 0, err
	}
	letters = []Letter{}
	for _, l := range slices.Backward(newest[len(newest)-min(limit, len(newest)):]) {
		d := newLetter(&l)
		d.Retrying = retrying[l.Letter]
		letters = append(letters, d)
	}
	return letters, total, nil
}

// DeadLetter is the letter with the number, with what was refused. The error may
// wrap ErrNoLetter.
func (e *Engine) DeadLetter(ctx context.Context, seq uint64) (Letter, error) {
	l, err := e.bus.DeadLetter(ctx, seq)
	if err != nil {
		return Letter{}, err
	}
	retrying, err := e.bus.Retrying(ctx)
	d := newLetter(&l)
	d.Retrying = retrying[seq]
	return d, err
}

// DropDeadLetter removes the letter for good, and gives it. The error may wrap
// ErrNoLetter.
func (e *Engine) DropDeadLetter(ctx context.Context, seq uint64) (Letter, error) {
	l, err := e.bus.DeadLetter(ctx, seq)
	if err != nil {
		return Letter{}, err
	}
	return newLetter(&l), e.bus.DropLetter(ctx, &l)
}

// RetryDeadLetter lets a sample be judged as if it came now, or its sink have an
// outcome again, and gives the letter as it was. That of a sample is gone then;
// that of a sink goes when the outcome has arrived, or becomes another one. The
// error may wrap ErrNoLetter, or is a *ConflictError.
func (e *Engine) RetryDeadLetter(ctx context.Context, seq uint64) (Letter, error) {
	l, err := e.bus.DeadLetter(ctx, seq)
	if err != nil {
		return Letter{}, err
	}
	again := e.judgeAgain
	if l.Stage == bus.StageSink {
		again = e.deliverAgain
	}
	if id, ok := strings.CutPrefix(l.Sink, subscriberSink); ok {
		again = func(ctx context.Context, l *bus.DeadLetter) error { return e.sendAgain(ctx, l, id) }
	}
	if !l.Whole() {
		return Letter{}, cannotRetry("only the first %d of its %d bytes are kept", len(l.Data), l.Size)
	}
	return newLetter(&l), again(ctx, &l)
}

func cannotRetry(format string, args ...any) error {
	return &ConflictError{Why: "it cannot be retried: " + fmt.Sprintf(format, args...)}
}

// deliverAgain lets the sink have the outcome again.
func (e *Engine) deliverAgain(ctx context.Context, l *bus.DeadLetter) error {
	var names []string
	for _, s := range e.config.Sinks {
		names = append(names, s.Name)
	}
	if l.Sink != stickerSink && !slices.Contains(names, l.Sink) {
		hint := strictjson.DidYouMean(l.Sink, names)
		if hint == "" {
			hint = fmt.Sprintf("; configured are %q", names)
		}
		return cannotRetry("no sink %q is configured any more%s", l.Sink, hint)
	}
	err := e.bus.Deliver(ctx, l)
	if errors.Is(err, bus.ErrRetrying) {
		return &ConflictError{Why: err.Error()}
	}
	return err
}

// emitPatience is how long it may take to store a sample again. Tests wait longer.
var emitPatience = 5 * time.Second

// retrySource is the name by which samples that are stored again are counted.
const retrySource = "deadletters"

// judgeAgain stores the sample again. The letter goes after that; where it could
// not, a second try stores nothing.
func (e *Engine) judgeAgain(ctx context.Context, l *bus.DeadLetter) error {
	if err := e.awaitReady(ctx); err != nil {
		return err
	}
	s := sampleOf(l)
	if why := e.hopeless(s); why != "" {
		return cannotRetry("%s", why)
	}
	if err := e.TryEmit(retrySource, emitPatience)(ctx, s); err != nil {
		return err
	}
	if err := e.bus.DropLetter(ctx, l); err != nil && !errors.Is(err, ErrNoLetter) {
		return err
	}
	return nil
}

// sampleOf is the sample that was refused. What a source could not make a sample
// of is kept as the line that came.
func sampleOf(l *bus.DeadLetter) rules.Sample {
	s := rules.Sample{Twin: l.Twin, Feed: l.Feed, At: l.Time, Data: l.Data}
	if line, err := sources.ParseLine(l.Data, 1); err == nil && (l.Twin == "" || l.Twin == line.Twin && l.Feed == line.Feed) {
		s.Twin, s.Feed, s.Data = line.Twin, line.Feed, line.Data
		if !line.At.IsZero() {
			s.At = line.At
		}
	}
	if s.At.IsZero() {
		s.At = l.At
	}
	s.ID = fmt.Sprintf("dead letter %d of %d", l.Letter, l.At.UnixNano())
	return s
}

// hopeless is why the sample would become a dead letter again; "" when it need not.
func (e *Engine) hopeless(s rules.Sample) string {
	if why := e.refusal(&s); why != "" {
		return why
	}
	if err := rules.NewReader(s.Feed).Read(&s); err != nil {
		return dataReason(err)
	}
	if known, why := e.Known(s.Twin, s.Feed, s.At); !known {
		return why
	}
	return ""
}

// LetterWork is what has been done to many letters.
type LetterWork struct {
	Done     int             `json:"done"`
	Failed   int             `json:"failed"`
	Failures []LetterFailure `json:"failures,omitempty"` // the first 100
	Next     uint64          `json:"next,omitempty"`     // from which to go on; left out when all is done
	To       uint64          `json:"to,omitempty"`       // up to which
}

// LetterFailure is a letter that stays as it is, and why.
type LetterFailure struct {
	Seq   uint64 `json:"seq"`
	Error string `json:"error"`
}

// maxFailures is how many failures are listed.
const maxFailures = 100

// EachDeadLetter does the same to each of the letters that are meant, the oldest
// first. When that takes longer than patience it gives what it has done so far, and
// where to go on: from LetterWork.Next to LetterWork.To, so that letters which come
// meanwhile are left alone.
func (e *Engine) EachDeadLetter(ctx context.Context, f LetterFilter, patience time.Duration, do func(context.Context, uint64) (Letter, error)) (LetterWork, error) {
	work := LetterWork{To: f.To}
	var numbers []uint64
	for l, err := range e.bus.Letters(ctx, f) {
		if err != nil {
			return work, err
		}
		numbers = append(numbers, l.Letter)
	}
	if work.To == 0 && len(numbers) > 0 {
		work.To = numbers[len(numbers)-1]
	}
	deadline := time.Now().Add(patience)
	for i, n := range numbers {
		if i > 0 && time.Now().After(deadline) {
			work.Next = n
			break
		}
		_, err := do(ctx, n)
		if _, refused := errors.AsType[*ConflictError](err); refused {
			work.fail(n, err)
			continue
		}
		switch {
		case err == nil:
			work.Done++
		case !errors.Is(err, ErrNoLetter): // one that is gone is somebody else's doing
			work.Next = n
			return work, err
		}
	}
	return work, nil
}

func (w *LetterWork) fail(n uint64, err error) {
	if w.Failed++; len(w.Failures) < maxFailures {
		w.Failures = append(w.Failures, LetterFailure{n, err.Error()})
	}
}

// CheckLetterStage says what is wrong with the name of a stage.
func CheckLetterStage(stage string) error {
	if stage == "" || slices.Contains(LetterStages, stage) {
		return nil
	}
	hint := strictjson.DidYouMean(stage, LetterStages)
	if hint == "" {
		hint = "; want one of " + strings.Join(LetterStages, ", ")
	}
	return fmt.Errorf("no stage %q%s", stage, hint)
}

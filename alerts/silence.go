package alerts

import (
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/duration"
)

// Silence keeps the notifications of the alerts that it matches from going out,
// from StartsAt until just before EndsAt. The alerts themselves are recorded.
type Silence struct {
	ID        string
	Matchers  Matchers
	StartsAt  time.Time
	EndsAt    time.Time
	CreatedBy string
	Comment   string
	EndedBy   string // who ended it before its time; "" when nobody has
}

// Silences are tried in their order.
type Silences []Silence

// Match names the first silence that quiets the alert at the time.
func (ss Silences) Match(o *rules.Outcome, at time.Time) (id string, ok bool) {
	for i := range ss {
		if ss[i].active(at) && ss[i].Matchers.Match(o) {
			return ss[i].ID, true
		}
	}
	return "", false
}

func (s *Silence) active(at time.Time) bool { return !at.Before(s.StartsAt) && at.Before(s.EndsAt) }

// Expired says whether the silence is over.
func (s *Silence) Expired(at time.Time) bool { return !at.Before(s.EndsAt) }

// DecodeSilence reads a silence and reports every problem with its place. It
// must say who made it and why, end after it starts and within 366 days of that,
// and ask for something: at least one of its matchers must refuse the empty
// text, so that a slip does not silence everything. The id may be absent, and
// startsAt is then now.
func DecodeSilence(raw strictjson.Raw, now time.Time) (Silence, error) {
	doc := struct {
		ID        string         `json:"id"`
		Matchers  strictjson.Raw `json:"matchers" strict:"required"`
		StartsAt  instant        `json:"startsAt"`
		EndsAt    instant        `json:"endsAt" strict:"required"`
		CreatedBy words          `json:"createdBy" strict:"required"`
		Comment   words          `json:"comment" strict:"required"`
		EndedBy   string         `json:"endedBy"`
	}{StartsAt: instant(now)}
	errs := []error{raw.Decode(&doc)}
	s := Silence{
		ID: doc.ID, StartsAt: time.Time(doc.StartsAt), EndsAt: time.Time(doc.EndsAt),
		CreatedBy: string(doc.CreatedBy), Comment: string(doc.Comment), EndedBy: doc.EndedBy,
	}
	if !doc.Matchers.IsZero() {
		ms, err := DecodeMatchers(doc.Matchers)
		s.Matchers = ms
		errs = append(errs, err, s.asksForSomething(doc.Matchers, err))
	}
	errs = append(errs, s.lasts(raw))
	if err := strictjson.Join(errs...); err != nil {
		return Silence{}, err
	}
	return s, nil
}

func (s *Silence) asksForSomething(raw strictjson.Raw, broken error) error {
	if broken != nil {
		return nil
	}
	for i := range s.Matchers {
		if !s.Matchers[i].accepts("") {
			return nil
		}
	}
	return raw.At.Errorf(`would silence every alert; want at least one matcher that refuses the empty text, such as "rule=too-hot"`)
}

func (s *Silence) lasts(raw strictjson.Raw) error {
	end := raw.Member("endsAt")
	if s.EndsAt.IsZero() { // it was absent or no time, which has been said
		return nil
	}
	switch d := s.EndsAt.Sub(s.StartsAt); {
	case d <= 0:
		return end.At.Errorf("got %s; want a time after startsAt, %s", end.Shown(), s.StartsAt.UTC().Format(time.RFC3339Nano))
	case d > duration.Max:
		return end.At.Errorf("got %s; want a time within 366 days after startsAt, %s", end.Shown(), s.StartsAt.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// AppendJSON appends the silence as DecodeSilence reads it.
func (s *Silence) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), s.ID)
	b = s.Matchers.appendJSON(append(b, `,"matchers":`...))
	b = appendTime(append(b, `,"startsAt":`...), s.StartsAt)
	b = appendTime(append(b, `,"endsAt":`...), s.EndsAt)
	b = appendText(append(b, `,"createdBy":`...), s.CreatedBy)
	b = appendText(append(b, `,"comment":`...), s.Comment)
	if s.EndedBy != "" {
		b = appendText(append(b, `,"endedBy":`...), s.EndedBy)
	}
	return append(b, '}')
}

// instant is a time in RFC 3339.
type instant time.Time

// DecodeStrict reads the time.
func (i *instant) DecodeStrict(r strictjson.Raw) error {
	t, err := time.Parse(time.RFC3339Nano, r.Str())
	if err != nil {
		return r.At.Errorf(`got %s; want a time such as "2026-11-22T10:00:00Z"`, r.Shown())
	}
	*i = instant(t)
	return nil
}

// words are a text that must say something. Blanks around it go.
type words string

// DecodeStrict reads the text.
func (w *words) DecodeStrict(r strictjson.Raw) error {
	text := strings.TrimSpace(r.Str())
	if text == "" {
		return r.At.Errorf("got %s; want a text that is not empty", r.Shown())
	}
	*w = words(text)
	return nil
}

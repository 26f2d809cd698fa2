package qapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/envelope"
)

// now is the time of what says none.
func now() time.Time { return time.Now().UTC() }

// carried is a payload in its envelope.
type carried struct {
	data []byte
	mime string
	at   time.Time // zero: the envelope says none
}

func (c *carried) timeOr(t time.Time) time.Time {
	if c.at.IsZero() {
		return t
	}
	return c.at
}

// DecodeStrict reads {"data","mime","occurredAt"}: base64 (RFC 4648, section 4), a
// media type, and a time with any offset, which may be absent.
func (c *carried) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Data       strictjson.Raw `json:"data" strict:"required"`
		Mime       string         `json:"mime"`
		OccurredAt strictjson.Raw `json:"occurredAt"`
	}
	errs := []error{r.Decode(&in)}
	*c = carried{mime: in.Mime}
	var err error
	if !in.Data.IsZero() {
		if c.data, err = base64.StdEncoding.Strict().DecodeString(in.Data.Str()); err != nil || in.Data.Kind() != strictjson.String {
			errs = append(errs, in.Data.Wrong(strictjson.String, "base64 with padding (RFC 4648, section 4)"))
		}
	}
	if at := in.OccurredAt; !at.IsZero() && at.Kind() != strictjson.Null {
		t, err := time.Parse(time.RFC3339, at.Str())
		t = t.UTC()
		if year := t.Year(); err != nil || year < 0 || year > 9999 {
			errs = append(errs, at.Wrong(strictjson.String, "a time such as 2026-11-02T10:00:00+00:00"))
		} else {
			c.at = t
		}
	}
	return strictjson.Join(errs...)
}

// maxShare bounds the body of a share.
func (s *Space) maxShare() int64 {
	return max(maxBody, int64(base64.StdEncoding.EncodedLen(s.MaxSampleBytes))+4<<10)
}

// maxKey bounds the keys by which a share that is sent again is known.
const maxKey = 256

// share stores a sample. One that is refused is kept as a dead letter, so that
// nothing is lost when a client does not look at the answer.
func (s *Space) share(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	twin, feed := r.PathValue("twin"), r.PathValue("feed")
	if err := s.may(r, access.Share, twin); err != nil {
		return nil, err
	}
	if s.Engine.Stopping() {
		return nil, errStopping
	}
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	sample := rules.Sample{Twin: twin, Feed: feed}
	if key := r.Header.Get("Idempotency-Key"); len(key) <= maxKey {
		sample.ID = key
	}
	wrong := s.readSample(w, &sample, text)
	if wrong == nil {
		wrong = s.takes(&sample)
	}
	if wrong != nil {
		sample.Refused = wrong.Error()
	}
	if err := s.Emit(r.Context(), sample); err != nil {
		return nil, err
	}
	return []byte(`{}`), wrong
}

var errStopping = errors.New("the engine is stopping")

// readSample reads a share. The data of one that is wrong is the whole of it.
func (s *Space) readSample(w http.ResponseWriter, sample *rules.Sample, text []byte) error {
	sample.At, sample.Data = now(), text
	raw, err := strictjson.Parse("body", text)
	if err != nil {
		return err
	}
	var in struct {
		Sample carried `json:"sample" strict:"required"`
	}
	warnings, err := tolerate(raw, raw.Decode(&in))
	warn(w, warnings)
	sample.At = in.Sample.timeOr(sample.At)
	if err != nil {
		return err
	}
	place := func(name string) strictjson.Place { return raw.Member("sample").Member(name).At }
	if !isJSON(in.Sample.mime) {
		return place("mime").Errorf("got %q; want application/json: rules read nothing else", cut(in.Sample.mime))
	}
	if n := len(in.Sample.data); n > s.MaxSampleBytes {
		return place("data").Errorf("%d bytes; want at most %d", n, s.MaxSampleBytes)
	}
	if sample.Data, err = object(in.Sample.data); err != nil {
		sample.Data = text
		return place("data").Errorf("decoded, %w", err)
	}
	return nil
}

// isJSON says whether a media type is JSON's; "" is as good.
func isJSON(text string) bool {
	if text == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(text)
	return err == nil && strings.EqualFold(media, "application/json")
}

// object wants data to be one JSON object, and gives it on one line.
func object(data []byte) ([]byte, error) {
	var o json.RawMessage
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, fmt.Errorf("it is not JSON (%w); want one object", err)
	}
	if data = bytes.TrimSpace(data); data[0] != '{' {
		return nil, errors.New("it is no object; want one")
	}
	if !bytes.ContainsAny(data, "\r\n") {
		return data, nil
	}
	var b bytes.Buffer
	err := json.Compact(&b, data)
	return b.Bytes(), err
}

// takes says why a sample would not be judged; nil when it would.
func (s *Space) takes(sample *rules.Sample) error {
	ok, why := s.Engine.Known(sample.Twin, sample.Feed, sample.At)
	if ok {
		return nil
	}
	t, known := s.Engine.Twin(sample.Twin)
	if known {
		_, known = t.Feed(sample.Feed)
	}
	if !known {
		return notFound("%s", why)
	}
	return wrongf("%s", why)
}

// lastSample is the newest sample of a feed that keeps it.
func (s *Space) lastSample(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	follower, err := s.twin(r, "twin")
	if err != nil {
		return nil, err
	}
	t, f, err := s.feed(r, "followed")
	if err != nil {
		return nil, err
	}
	var last *engine.Event
	found := false
	if f.StoreLast {
		if last, found, err = s.Engine.LastSample(r.Context(), t.ID, f.ID); err != nil {
			return nil, err
		}
	}
	switch {
	case !f.StoreLast:
		return nil, notFound("feed %q of twin %q keeps no sample (storeLast is false)", f.ID, t.ID)
	case !found:
		return nil, notFound("nothing has been shared yet on feed %q of twin %q", f.ID, t.ID)
	}
	return envelope.AppendFollow(nil, s.AppendInterest(nil, follower.ID, t.ID, f.ID), last.Data, last.At), nil
}

package stomp

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/rules"
	"tocsin.internal/rules/envelope"
	"tocsin.internal/sources"
	"tocsin.internal/space"
)

// sample reads a message; one that cannot be read comes as a dead letter.
func (d *Destination) sample(m *frame.Frame, tooLarge error, now time.Time) rules.Sample {
	out, err := d.read(m)
	if tooLarge != nil {
		err = tooLarge
	}
	if out.At.IsZero() {
		out.At = now
	}
	if err != nil {
		out.Refused, out.Data = fmt.Sprintf("%s: %v", m.Header.Get(frame.Destination), err), m.Body
	}
	return out
}

func (d *Destination) read(m *frame.Frame) (out rules.Sample, err error) {
	switch d.Format {
	case sampleFormat:
		if out, err = sources.ParseLine(m.Body, 1); err != nil {
			return out, err
		}
	case ioticsFormat:
		if out, err = readIOTICS(m); err != nil {
			return out, err
		}
	default:
		out.Data = m.Body
	}
	if err := d.named(m, &out); err != nil {
		return out, err
	}
	if d.Format == ioticsFormat && !out.At.IsZero() {
		out.ID = space.SampleID(out.Twin, out.Feed, out.At, out.Data)
	}
	out.Data, err = sources.OneLine(out.Data)
	return out, err
}

// named fills in what the templates say.
func (d *Destination) named(m *frame.Frame, out *rules.Sample) error {
	for _, t := range []struct {
		template
		into *string
	}{{d.twin, &out.Twin}, {d.feed, &out.Feed}, {d.id, &out.ID}} {
		if t.template == nil {
			continue
		}
		text, err := t.fill(m)
		if err != nil {
			return err
		}
		*t.into = text
	}
	if d.id != nil {
		if err := sources.CheckID(out.ID); err != nil {
			out.ID = ""
			return err
		}
	}
	if d.time == nil {
		return nil
	}
	text, err := d.time.fill(m)
	if err != nil {
		return err
	}
	out.At, err = parseTime(text)
	return err
}

// parseTime reads RFC 3339, or milliseconds since 1970.
func parseTime(text string) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), nil
	}
	var at time.Time
	if err := at.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, fmt.Errorf(`time %q; want RFC 3339, such as "2026-11-22T10:00:00Z", or milliseconds since 1970`, text)
	}
	return at.UTC(), nil
}

// readIOTICS reads {"interest","feedData"}. The twin and the feed are those of
// the destination, or, when it names none, of the interest.
func readIOTICS(m *frame.Frame) (out rules.Sample, err error) {
	opened, err := envelope.NewReader().Open(m.Body)
	if err != nil {
		return out, err
	}
	feed, ok := space.ParseDestination(m.Header.Get(frame.Destination))
	if !ok {
		if feed, err = space.Followed(m.Body); err != nil {
			return out, err
		}
	}
	return rules.Sample{Twin: feed.Twin, Feed: feed.ID, At: opened.At, Data: bytes.Clone(opened.Data)}, nil
}

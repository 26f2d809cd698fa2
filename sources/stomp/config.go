// Package stomp is the source that subscribes to destinations of a STOMP broker.
package stomp

import (
	"tocsin.internal/internal/stompclient"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sources"
)

// Config says where to connect, as who, and what to read there.
type Config struct {
	stompclient.Config

	Destinations []Destination `json:"destinations" strict:"required"`
}

// Destination is one subscription. Twin, Feed, Time and ID are texts in which
// {name} stands for a header of the message, {2} for the second part of its
// destination between slashes, and {2.3} for the third token of that between dots.
type Destination struct {
	Destination string            `json:"destination" strict:"required"` // with the broker's own wildcards
	Format      string            `json:"format"`                        // data, sample or iotics
	Twin        string            `json:"twin"`
	Feed        string            `json:"feed"`
	Time        string            `json:"time"`    // RFC 3339, or milliseconds since 1970; the time at which the message came, without it
	ID          string            `json:"id"`      // Sample.ID
	Headers     map[string]string `json:"headers"` // further ones of the SUBSCRIBE frame

	twin, feed, time, id template
}

// The formats of Destination.
const (
	dataFormat   = "data"   // the sample's data
	sampleFormat = "sample" // a whole {"twin","feed","occurredAt","data","id"}
	ioticsFormat = "iotics" // {"interest","feedData"}, as followers of IOTICS get it
)

type source struct {
	Config
	sources.Contact
}

// New makes the source of its Config. It connects in Run.
func New(raw strictjson.Raw) (sources.Source, error) {
	s := &source{Config: Config{Config: stompclient.Defaults()}}
	c := checker{raw: raw}
	c.add(raw.Decode(&s.Config))
	c.add(s.Check(raw))
	list := raw.Member("destinations")
	if list.Kind() == strictjson.Array && len(s.Destinations) == 0 {
		c.wrong(list, "no destination; want one at least")
	}
	for i := range min(len(s.Destinations), len(list.Elems())) {
		c.destination(list.Elems()[i], &s.Destinations[i])
	}
	if err := strictjson.Join(c.errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// checker collects complaints.
type checker struct {
	raw  strictjson.Raw
	errs []error
}

func (c *checker) add(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

func (c *checker) wrong(at strictjson.Raw, format string, args ...any) {
	c.add(at.At.Errorf(format, args...))
}

func (c *checker) destination(in strictjson.Raw, d *Destination) {
	at := in.Member("destination")
	if at.Kind() == strictjson.String && d.Destination == "" {
		c.wrong(at, `got ""; want a destination, such as "/topic/plant.*.*"`)
	}
	c.add(stompclient.CheckHeaders(in.Member("headers"), d.Headers))
	if in.Member("format").IsZero() {
		d.Format = dataFormat
	}
	switch d.Format {
	case dataFormat:
		for _, name := range []string{"twin", "feed"} {
			if at := in.Member(name); in.Kind() == strictjson.Object && (at.IsZero() || at.Kind() == strictjson.String && at.Str() == "") {
				c.wrong(in, `no %s; want a name, or where it stands: "{2.3}" in the destination, "{%s}" in a header`, name, name)
			}
		}
	case sampleFormat, ioticsFormat:
		for _, name := range []string{"time", "id"} {
			if at := in.Member(name); !at.IsZero() {
				c.wrong(at, "the body says it; want it with format data only")
			}
		}
		if d.Format == sampleFormat && (d.Twin != "" || d.Feed != "") {
			c.wrong(in, "a sample names its own twin and feed; want neither twin nor feed")
		}
	default:
		c.add(in.Member("format").At.Errorf("got %q; want data, sample or iotics", d.Format))
	}
	for _, t := range []struct {
		name, text string
		into       *template
	}{{"twin", d.Twin, &d.twin}, {"feed", d.Feed, &d.feed}, {"time", d.Time, &d.time}, {"id", d.ID, &d.id}} {
		parsed, err := parseTemplate(t.text)
		if err != nil {
			c.wrong(in.Member(t.name), "%w", err)
		}
		*t.into = parsed
	}
}

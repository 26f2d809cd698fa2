// Package alertmanager is the sink that tells Prometheus Alertmanagers of alerts,
// by version 2 of their API, as a Prometheus does: what fires again and again.
package alertmanager

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/internal/standardwebhooks"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/letter"
)

const (
	// keepResolved is how long an end is told again, as Prometheus does.
	keepResolved = 15 * time.Minute
	// missed is how many repetitions Alertmanager may miss before it takes an
	// alert for over.
	missed = 4
	// batch is how many alerts go in one request.
	batch = 256
	// drained is how much of an answer is read.
	drained = 64 << 10
)

// alert is how Alertmanager takes it.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// episode is what was told last of one.
type episode struct {
	number uint32 // of its event
	alert  alert
	fires  bool
	until  time.Time // of one that is over: as long it is told
}

// ended is the end of what Alertmanager knows under some labels.
type ended struct {
	alert alert
	until time.Time
}

type sink struct {
	Config
	authorization string
	link          *letter.Template // nil: there is none
	client        *http.Client

	turn chan struct{} // held by who tells: an end must not be overtaken by what was true before
	// What was told: episodes by id, and ends by labels. Of who holds turn.
	episodes map[string]episode
	ended    map[string]ended
}

func newSink(c Config, authorization string, tlsConfig *tls.Config, link *letter.Template) *sink {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &sink{
		Config: c, authorization: authorization, link: link,
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{ // without a Proxy: not one from the environment
				DialContext: dialer.DialContext, TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
				MaxIdleConnsPerHost: 2, IdleConnTimeout: 5 * time.Minute, MaxResponseHeaderBytes: 64 << 10,
			},
		},
		turn: make(chan struct{}, 1), episodes: map[string]episode{}, ended: map[string]ended{},
	}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Deliver tells all Alertmanagers of the alert, or of those of a group. It is an
// error while one of them does not take it. What they refuse with a 4xx is
// Permanent; anything else is again later.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	told := []rules.Outcome{o}
	if alerts.IsGroup(&o) {
		g, err := alerts.ReadGroup(&o)
		if err != nil {
			return sinks.Permanent(fmt.Errorf("alertmanager sink: %w", err))
		}
		told = g.Alerts
	} else if o.Kind != rules.Alert {
		return wrongKind(&o)
	}
	return s.tell(ctx, func(now time.Time) ([]alert, error) { return s.news(told, now) })
}

// RepeatEvery implements sinks.Repeater.
func (s *sink) RepeatEvery() time.Duration { return s.Resend }

// Repeat tells again of what fires, and of what was over in the last 15 minutes.
func (s *sink) Repeat(ctx context.Context, firing []rules.Outcome) error {
	return s.tell(ctx, func(now time.Time) ([]alert, error) {
		s.forget(firing, now)
		list, err := s.news(firing, now)
		for _, key := range slices.Sorted(maps.Keys(s.ended)) {
			list = append(list, s.ended[key].alert)
		}
		return list, err
	})
}

// Close ends the idle connections.
func (s *sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// tell posts what make finds in the sink's turn.
func (s *sink) tell(ctx context.Context, find func(now time.Time) ([]alert, error)) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	list, findErr := find(time.Now())
	var again, never []error
	if findErr != nil {
		never = append(never, sinks.Permanent(fmt.Errorf("alertmanager sink: %w", findErr)))
	}
	for part := range slices.Chunk(list, batch) {
		body, err := json.Marshal(part)
		if err != nil {
			return sinks.Permanent(fmt.Errorf("alertmanager sink: %w", err))
		}
		sinks.NoteOf(ctx).Request = fmt.Sprintf("POST %d bytes to %d Alertmanagers", len(body), len(s.URLs))
		for _, base := range s.URLs {
			switch err := s.post(ctx, base, body); {
			case sinks.IsPermanent(err):
				never = append(never, err)
			case err != nil:
				again = append(again, err)
			}
		}
	}
	if len(again) > 0 {
		return errors.Join(again...)
	}
	return errors.Join(never...)
}

// news are the alerts to tell of, and before each one the end of what it was
// known as before: Alertmanager takes another severity for another alert.
func (s *sink) news(told []rules.Outcome, now time.Time) (list []alert, err error) {
	var errs []error
	for i := range told {
		o := &told[i]
		last, known := s.episodes[o.ID]
		if known && last.number > number(o) {
			continue // a retry that was overtaken
		}
		a, err := s.alert(o, now)
		if err != nil {
			errs = append(errs, err)
		}
		if !known && o.Life != nil && o.Life.Previous != "" {
			before := *o
			before.Severity = o.Life.Previous
			last.fires, last.alert = true, a
			last.alert.Labels = alerts.PrometheusLabels(&before, s.Space)
		}
		if last.fires && key(last.alert.Labels) != key(a.Labels) {
			list = append(list, s.end(last.alert, o.At, now))
		}
		e := episode{number: number(o), alert: a, fires: o.State == rules.StateFiring}
		if e.fires {
			delete(s.ended, key(a.Labels))
			list = append(list, a)
		} else {
			e.until = now.Add(keepResolved)
			list = append(list, s.end(a, endOf(o), now))
		}
		s.episodes[o.ID] = e
	}
	return list, errors.Join(errs...)
}

// number is the event's number in its episode.
func number(o *rules.Outcome) uint32 {
	if o.Life == nil {
		return 0
	}
	return o.Life.Number
}

func endOf(o *rules.Outcome) time.Time {
	if o.Ends.IsZero() {
		return o.At
	}
	return o.Ends
}

// end makes an alert one that is over, and remembers that.
func (s *sink) end(a alert, at, now time.Time) alert {
	if at = at.UTC(); at.Before(a.StartsAt) {
		at = a.StartsAt
	}
	if at.After(now) {
		at = now.UTC() // a clock that is ahead must not make it fire until then
		a.StartsAt = earlier(a.StartsAt, at)
	}
	a.EndsAt = at
	s.ended[key(a.Labels)] = ended{a, now.Add(keepResolved)}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// forget drops what need not be told any more.
func (s *sink) forget(firing []rules.Outcome, now time.Time) {
	maps.DeleteFunc(s.ended, func(_ string, e ended) bool { return now.After(e.until) })
	open := map[string]bool{}
	for i := range firing {
		open[firing[i].ID] = true
	}
	maps.DeleteFunc(s.episodes, func(id string, e episode) bool {
		return e.fires && !open[id] || !e.fires && now.After(e.until)
	})
}

// alert is the outcome as Alertmanager takes it. Unless it is told again, it is
// over some repetitions from now.
func (s *sink) alert(o *rules.Outcome, now time.Time) (alert, error) {
	a := alert{Labels: alerts.PrometheusLabels(o, s.Space), Annotations: alerts.PrometheusAnnotations(o)}
	if year := o.Starts.Year(); !o.Starts.IsZero() && year > 0 && year < 10000 {
		a.StartsAt = earlier(o.Starts, now).UTC()
	}
	a.EndsAt = now.Add(missed * s.Resend).UTC()
	if s.link == nil {
		return a, nil
	}
	link, err := s.link.Write(o, now)
	if err == nil && letter.CheckLink(link) == nil {
		a.GeneratorURL = link
	}
	return a, err
}

// key is the same for the same labels.
func key(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(strconv.Quote(name) + strconv.Quote(labels[name]))
	}
	return b.String()
}

func (s *sink) post(ctx context.Context, base string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/api/v2/alerts", bytes.NewReader(body))
	if err != nil {
		return sinks.Permanent(fmt.Errorf("alertmanager %s: %w", base, err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Tocsin")
	if s.authorization != "" {
		req.Header.Set("Authorization", s.authorization)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fmt.Errorf("alertmanager %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, _ := io.ReadAll(io.LimitReader(resp.Body, drained))
	v := standardwebhooks.Judge(resp.StatusCode, resp.Header, time.Now())
	err = fmt.Errorf("alertmanager %s: answer %d %s", req.URL.Host, resp.StatusCode, cmp.Or(said(text), http.StatusText(resp.StatusCode)))
	switch {
	case v.Arrived:
		return nil
	case v.After > 0:
		return sinks.RetryAfter(v.After, err)
	case v.Never:
		return sinks.Permanent(err)
	}
	return err
}

// said is the text of an answer, for a message.
func said(text []byte) string {
	const most = 200
	s := strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "\uFFFD")), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/duration"
	"tocsin.internal/sinks"
	"tocsin.internal/twins"
)

// config is engine.json. Precedence: defaults, file, environment, flags.
type config struct {
	Schema string `json:"$schema"`
	Bus    struct {
		Dir             string        `json:"dir"`
		Listen          string        `json:"listen"`
		Durability      string        `json:"durability"`
		URL             string        `json:"url"`
		Creds           string        `json:"creds"`
		TLS             tlsConfig     `json:"tls"`
		MQTT            mqttConfig    `json:"mqtt"`
		Partitions      int           `json:"partitions"`
		Replicas        int           `json:"replicas"`
		ReplayWindow    time.Duration `json:"replayWindow"`
		DuplicateWindow time.Duration `json:"duplicateWindow"`
		Commit          string        `json:"commit"`
		Prefix          string        `json:"prefix"`
		FeedSubject     string        `json:"feedSubject"`
		Streams         struct {
			Feed struct {
				streamConfig
				Existing bool `json:"existing"`
				Purge    bool `json:"purge"`
			} `json:"feed"`
			Out        streamConfig `json:"out"`
			Dead       streamConfig `json:"dead"`
			Alerts     streamConfig `json:"alerts"`
			Notify     streamConfig `json:"notify"`
			Shadow     streamConfig `json:"shadow"`
			Deliveries streamConfig `json:"deliveries"`
			Sent       streamConfig `json:"sent"`
		} `json:"streams"`
	} `json:"bus"`
	Pool struct {
		ID    string        `json:"id"`    // of this worker; default a new one
		Lease time.Duration `json:"lease"` // after how long without a sign of life others take over
	} `json:"pool"`
	HTTP  httpConfig  `json:"http"`
	Stomp stompConfig `json:"stomp"`
	Auth  authConfig  `json:"auth"`
	Space struct {
		Host string `json:"host"` // id of the host; default one that goes with bus.prefix
	} `json:"space"`
	Notifications notifyConfig `json:"notifications"`
	Rules         string       `json:"rules"`
	Twins         struct {
		Files      []string `json:"files"`
		Unknown    string   `json:"unknown"`
		CreateFrom string   `json:"createFrom"`
	} `json:"twins"`
	MaxSampleBytes int           `json:"maxSampleBytes"`
	DrainTimeout   time.Duration `json:"drainTimeout"`
	SnapshotEvery  time.Duration `json:"snapshotEvery"`
	Clock          string        `json:"clock"`
	MaxSkew        time.Duration `json:"maxSkew"`
	Log            struct {
		Level  string `json:"level"`
		Format string `json:"format"`
	} `json:"log"`
	Sources []part         `json:"sources"`
	Sinks   []part         `json:"sinks"`
	Routes  strictjson.Raw `json:"routes"`
}

// streamConfig is what can be said of each stream.
type streamConfig struct {
	Name     string        `json:"name"`
	MaxBytes int64         `json:"maxBytes"`
	MaxAge   time.Duration `json:"maxAge"`
	Discard  string        `json:"discard"`
	Replicas int           `json:"replicas"`
	Storage  string        `json:"storage"`
}

func (s streamConfig) bus() bus.Stream {
	return bus.Stream{Name: s.Name, MaxBytes: s.MaxBytes, MaxAge: s.MaxAge, Discard: bus.Discard(s.Discard), Replicas: s.Replicas, Storage: bus.Storage(s.Storage)}
}

type tlsConfig struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// part is one source or sink.
type part struct {
	Name    string         `json:"name" strict:"required"`
	Kind    strictjson.Raw `json:"kind" strict:"required"`
	Outcome strictjson.Raw `json:"outcome"` // sinks: the one kind of outcome it gets; absent = all
	Workers int            `json:"workers"` // sinks: deliveries at a time
	Order   strictjson.Raw `json:"order"`   // sinks: "twin"
	Rate    strictjson.Raw `json:"rate"`    // sinks: deliveries in a time, at most
	Burst   int            `json:"burst"`   // sinks: of them at once
	Retry   []wait         `json:"retry"`   // sinks: waits between attempts
	Quiet   bool           `json:"quiet"`   // sinks: it gets what nobody is to be told of, too
	Match   strictjson.Raw `json:"match"`   // sinks: matchers of what it gets, absent = all
	With    strictjson.Raw `json:"with"`
}

func defaultConfig() config {
	var c config
	c.Bus.Dir = "data"
	c.HTTP.Listen = "127.0.0.1:8080"
	c.Auth = defaultAuth()
	c.HTTP.MaxConnections = defaultConnections
	c.MaxSampleBytes = engine.DefaultMaxSampleBytes
	c.DrainTimeout = 30 * time.Second
	c.SnapshotEvery = 30 * time.Second
	c.Clock = string(engine.WallClock)
	c.MaxSkew = engine.DefaultMaxSkew
	c.Log.Level = "info"
	c.Pool.Lease = bus.DefaultLease
	return c
}

// readConfig reads the file over the defaults; every problem at once.
func readConfig(name string, text []byte) (config, error) {
	c := defaultConfig()
	raw, err := strictjson.Parse(name, text)
	if err != nil {
		return c, err
	}
	if err := moved(raw); err != nil {
		return c, err
	}
	err = raw.Decode(&c)
	return c, strictjson.Join(err, c.check(), c.checkSettings(raw))
}

// The codes of what is wrong with a configuration only.
const (
	codeNoKind strictjson.Code = "E0601"
	codeMoved  strictjson.Code = "E0602"
)

// moved names the settings that have another place now.
func moved(raw strictjson.Raw) error {
	var errs []error
	for _, m := range []struct{ object, name, now string }{
		{"bus", "feedMaxBytes", "bus.streams.feed.maxBytes"},
		{"bus", "outMaxBytes", "bus.streams.out.maxBytes"},
		{"bus", "deadMaxBytes", "bus.streams.dead.maxBytes"},
		{"alerts", "historyMaxBytes", "bus.streams.alerts.maxBytes"},
		{"alerts", "historyMaxAge", "bus.streams.alerts.maxAge"},
	} {
		if old := raw.Member(m.object).Member(m.name); !old.IsZero() {
			errs = append(errs, old.At.As(codeMoved).Errorf("it is %s now", m.now))
		}
	}
	return strictjson.Join(errs...)
}

// checkSettings says what is wrong with single settings, at their places.
func (c *config) checkSettings(raw strictjson.Raw) error {
	var errs []error
	note := func(err error, path ...string) {
		at := raw
		for _, name := range path {
			if m := at.Member(name); !m.IsZero() {
				at = m
			} else if i, err := strconv.Atoi(name); err == nil && i < len(at.Elems()) {
				at = at.Elems()[i]
			}
		}
		if err != nil {
			errs = append(errs, at.At.Errorf("%w", err))
		}
	}
	for _, w := range c.busConfig().Check() {
		note(errors.New(w.What), append([]string{"bus"}, w.Path...)...)
	}
	c.Bus.MQTT.check(note)
	c.HTTP.check(c.Auth.Mode == "" || c.Auth.Mode == authNone, note)
	c.Stomp.check(note)
	c.Auth.check(note)
	c.Notifications.check(note)
	note(checkWorkerID(c.Pool.ID), "pool", "id")
	if c.Pool.Lease < bus.MinLease || c.Pool.Lease > time.Minute {
		note(fmt.Errorf("got %s; want 1s to 1m", c.Pool.Lease), "pool", "lease")
	}
	_, levelErr := logLevel(c.Log.Level)
	note(levelErr, "log", "level")
	note(oneOf(c.Log.Format, "", "json", "text"), "log", "format")
	note(oneOf(c.Clock, "", string(engine.WallClock), string(engine.SamplesClock), string(engine.NoClock)), "clock")
	if c.MaxSkew <= 0 {
		note(fmt.Errorf("got %s; want more than 0", c.MaxSkew), "maxSkew")
	}
	note(oneOf(c.Twins.Unknown, "", string(engine.DeadLetter), string(engine.Create)), "twins", "unknown")
	if c.Twins.Unknown == string(engine.Create) && c.Twins.CreateFrom == "" {
		note(errors.New(`"create" without createFrom; want the id of the model`), "twins", "unknown")
	}
	return strictjson.Join(errs...)
}

func oneOf(got string, known ...string) error {
	if slices.Contains(known, got) {
		return nil
	}
	return fmt.Errorf("got %q; want one of %s", got, strings.Join(known[1:], ", "))
}

// checkWorkerID takes a name that can stand in a subject.
func checkWorkerID(id string) error {
	if bus.Token(id) == id && len(id) <= 40 || id == "" {
		return nil
	}
	return fmt.Errorf("got %q; want at most 40 characters, none of . * > / + # %% or blanks", id)
}

// checkListen takes host:port, and "" for an API that is off.
func checkListen(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if _, portErr := strconv.ParseUint(port, 10, 16); err == nil && portErr == nil {
		return nil
	}
	return fmt.Errorf("got %q; want host:port", address)
}

// checkAdmin takes host:port as checkListen does, but wants the host said: what
// listens there is not for everybody.
func checkAdmin(address string) error {
	if err := checkListen(address); err != nil {
		return err
	}
	if strings.HasPrefix(address, ":") {
		return fmt.Errorf("got %q, which is every interface; want a host too, such as 127.0.0.1%s", address, address)
	}
	return nil
}

// check says what is wrong with the parts: unknown kinds, and what each kind
// says of its own configuration.
func (c *config) check() error {
	_, sourceErr := c.makeSources(surroundings{})
	_, sinkErr := c.makeSinks(surroundings{})
	_, routeErr := c.makeRoutes()
	return strictjson.Join(sourceErr, sinkErr, routeErr)
}

// makeRoutes reads the routes. A sink that one of them names must be one that
// can be told of alerts.
func (c *config) makeRoutes() ([]alerts.Route, error) {
	if c.Routes.IsZero() {
		return nil, nil
	}
	var names []string
	deaf := map[string]string{} // sinks that get another kind of outcome
	for _, p := range c.Sinks {
		names = append(names, p.Name)
		if kind := p.Outcome.Str(); kind != "" && kind != string(rules.Alert) && kind != string(rules.Notification) {
			deaf[p.Name] = kind
		}
	}
	routes, err := alerts.DecodeRoutes(c.Routes, names)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, r := range routes {
		for j, name := range r.Sinks {
			if kind := deaf[name]; kind != "" {
				at := c.Routes.Elems()[i].Member("sinks").Elems()[j]
				errs = append(errs, at.At.Errorf(`sink %q gets only outcomes of the kind %s; want one for "alert", "notification" or all`, name, kind))
			}
		}
	}
	return routes, strictjson.Join(errs...)
}

func (c *config) makeSources(s surroundings) ([]engine.NamedSource, error) {
	var out []engine.NamedSource
	var errs []error
	for _, p := range c.Sources {
		if p.Kind.IsZero() {
			continue // said already: it is missing
		}
		for name, has := range map[string]bool{"outcome": !p.Outcome.IsZero(), "workers": p.Workers != 0, "order": !p.Order.IsZero(), "rate": !p.Rate.IsZero(), "burst": p.Burst != 0, "retry": p.Retry != nil, "quiet": p.Quiet, "match": !p.Match.IsZero()} {
			if has {
				errs = append(errs, p.Kind.At.Errorf("source %q has %q; only sinks do", p.Name, name))
			}
		}
		newSource, err := kindOf(p, sourceKinds)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		source, err := newSource(p.settings(), s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, engine.NamedSource{Name: p.Name, Source: source})
	}
	return out, strictjson.Join(append(errs, unique(c.Sources)...)...)
}

func (c *config) makeSinks(s surroundings) ([]engine.NamedSink, error) {
	var out []engine.NamedSink
	var errs []error
	held := map[string]string{}
	for _, p := range c.Sinks {
		if p.Kind.IsZero() {
			continue
		}
		newSink, err := kindOf(p, sinkKinds)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		kind, kindErr := outcomeKind(p.Outcome)
		if s.takes = nil; kind != "" {
			s.takes = []rules.Kind{kind}
		}
		if kind == rules.Alert {
			s.takes = append(s.takes, rules.Notification) // of a route that names it
		}
		sink, sinkErr := newSink(p.settings(), s)
		byTwin, orderErr := sinkOrder(p.Order)
		rate, rateErr := sinkRate(p.Rate)
		match, matchErr := sinkMatch(p.Match)
		if err := strictjson.Join(sinkErr, kindErr, orderErr, rateErr, matchErr, p.checkPace(), p.hold(sink, held)); err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, engine.NamedSink{
			Name: p.Name, Type: p.Kind.Str(), Kind: kind, Sink: sink, Workers: p.Workers, ByTwin: byTwin, Rate: rate, Burst: p.Burst, Retry: p.waits(), Quiet: p.Quiet, Match: match,
		})
	}
	return out, strictjson.Join(append(errs, unique(c.Sinks)...)...)
}

// hold complains when another sink has what this one wants to have. held is by what.
func (p part) hold(sink sinks.Sink, held map[string]string) error {
	h, ok := sink.(sinks.Holder)
	if !ok {
		return nil
	}
	what := h.Holds()
	if other, taken := held[what]; taken {
		return p.With.At.Errorf("%s is that of the sink %q; want another", what, other)
	}
	held[what] = p.Name
	return nil
}

// settings are the kind's own, none when they are left out.
func (p part) settings() strictjson.Raw {
	if p.With.IsZero() {
		return p.Kind.At.EmptyObject()
	}
	return p.With
}

func kindOf[T any](p part, table map[string]T) (T, error) {
	made, ok := table[p.Kind.Str()]
	if !ok {
		known := slices.Sorted(maps.Keys(table))
		hint := strictjson.DidYouMean(p.Kind.Str(), known)
		if hint == "" {
			hint = "; want one of " + strings.Join(known, ", ")
		}
		return made, p.Kind.At.As(codeNoKind).Renamed(p.Kind.Str(), known).Errorf("no kind %s%s", p.Kind.Shown(), hint)
	}
	return made, nil
}

func outcomeKind(raw strictjson.Raw) (rules.Kind, error) {
	if raw.IsZero() {
		return "", nil
	}
	known := []string{string(rules.Alert), string(rules.Command), string(rules.Notification), string(rules.Output), string(rules.Sticker)}
	if !slices.Contains(known, raw.Str()) {
		return "", raw.At.Errorf("no outcome %s%s", raw.Shown(), strictjson.OneOf(raw.Str(), known))
	}
	return rules.Kind(raw.Str()), nil
}

// maxWorkers is how many deliveries a sink may have at a time.
const maxWorkers = 1000

// checkPace says what is wrong with how fast a sink is to be served.
func (p part) checkPace() error {
	switch {
	case p.Workers < 0 || p.Workers > maxWorkers:
		return p.Kind.At.Errorf("sink %q has %d workers; want 1 to %d", p.Name, p.Workers, maxWorkers)
	case p.Burst < 0 || p.Burst > 0 && p.Rate.IsZero():
		return p.Kind.At.Errorf("sink %q has a burst of %d; want at least 1, beside a rate", p.Name, p.Burst)
	}
	return nil
}

// wait is how long to wait before another attempt: more than nothing.
type wait time.Duration

// DecodeStrict implements strictjson.Decoder.
func (w *wait) DecodeStrict(raw strictjson.Raw) error {
	d, err := duration.Decode(raw)
	*w = wait(d)
	return err
}

// waits are those between the attempts; nil: nobody has said.
func (p part) waits() []time.Duration {
	if p.Retry == nil {
		return nil
	}
	out := make([]time.Duration, len(p.Retry))
	for i, w := range p.Retry {
		out[i] = time.Duration(w)
	}
	return out
}

// sinkMatch reads what a sink gets; none: everything.
func sinkMatch(raw strictjson.Raw) (alerts.Matchers, error) {
	if raw.IsZero() {
		return nil, nil
	}
	return alerts.DecodeLasting(raw)
}

// sinkOrder says whether a sink gets the outcomes of one twin in their order.
func sinkOrder(raw strictjson.Raw) (byTwin bool, err error) {
	if raw.IsZero() || raw.Str() == "twin" {
		return !raw.IsZero(), nil
	}
	return false, raw.At.Errorf(`no order %s; want "twin", or none`, raw.Shown())
}

// rateUnits are what a rate may be in, in seconds.
var rateUnits = map[string]float64{"s": 1, "m": 60, "h": 3600}

// sinkRate reads deliveries a second: 100, "100/s", "6000/m".
func sinkRate(raw strictjson.Raw) (float64, error) {
	if raw.IsZero() {
		return 0, nil
	}
	number, unit := string(raw.Text()), "s"
	if raw.Kind() == strictjson.String {
		number, unit, _ = strings.Cut(raw.Str(), "/")
	}
	n, err := strconv.ParseFloat(number, 64)
	if rate := n / rateUnits[unit]; err == nil && rate > 0 && rate < 1e6 {
		return rate, nil
	}
	return 0, raw.At.Errorf(`got %s; want deliveries in a time, such as "100/s" or "30/m"`, raw.Shown())
}

func unique(parts []part) (errs []error) {
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.Name] {
			errs = append(errs, p.Kind.At.As(strictjson.NotUnique).Errorf("name %q is taken; want a name of its own", p.Name))
		}
		seen[p.Name] = true
	}
	return errs
}

func (c *config) busConfig() bus.Config {
	b := c.Bus
	feed := b.Streams.Feed.bus()
	feed.Existing, feed.Purge = b.Streams.Feed.Existing, b.Streams.Feed.Purge
	return bus.Config{
		Dir: b.Dir, Listen: b.Listen, Durability: bus.Durability(b.Durability), URL: b.URL, Creds: b.Creds,
		MQTT: bus.MQTT{Listen: b.MQTT.Listen}, TLS: bus.TLS(b.TLS), Partitions: b.Partitions, ReplayWindow: b.ReplayWindow, DuplicateWindow: b.DuplicateWindow,
		Replicas: b.Replicas, Commit: bus.Commit(b.Commit), Prefix: b.Prefix, FeedSubject: b.FeedSubject,
		Streams: bus.Streams{
			Feed: feed, Out: b.Streams.Out.bus(), Dead: b.Streams.Dead.bus(), Alerts: b.Streams.Alerts.bus(), Notify: b.Streams.Notify.bus(), Shadow: b.Streams.Shadow.bus(), Deliveries: b.Streams.Deliveries.bus(), Sent: b.Streams.Sent.bus(),
		},
	}
}

// readTwins reads files of twins; every problem of every file at once.
func readTwins(files []string) ([]twins.Twin, error) {
	var out []twins.Twin
	var errs []error
	where := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ts, err := parseTwins(file, text)
		errs = append(errs, err)
		for _, t := range ts {
			if first := where[t.ID]; first != "" && first != file {
				errs = append(errs, fmt.Errorf("%s: twin %q is in %s too; want each twin once", file, t.ID, first))
			}
			where[t.ID] = file
		}
		out = append(out, ts...)
	}
	return out, strictjson.Join(errs...)
}

func parseTwins(name string, text []byte) ([]twins.Twin, error) {
	raw, err := strictjson.Parse(name, text)
	if err != nil {
		return nil, err
	}
	return twins.Decode(raw)
}

// overlay lets the environment change what the file says: the field bus.listen
// is TOCSIN_BUS_LISTEN. It gives a warning for each TOCSIN_ name that is no
// field; not an error, because Kubernetes puts names of its own there.
func (c *config) overlay(environ []string) (warnings []string, err error) {
	fields := map[string]reflect.Value{}
	envFields("TOCSIN", reflect.ValueOf(c).Elem(), fields)
	known := slices.Sorted(maps.Keys(fields))
	var errs []error
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "TOCSIN_") || name == urlVariable || name == tokenVariable {
			continue
		}
		field, ok := fields[name]
		if !ok {
			warnings = append(warnings, fmt.Sprintf("%s is no setting%s", name, strictjson.DidYouMean(name, known)))
			continue
		}
		raw, err := strictjson.Parse(name, []byte(value))
		if err != nil || field.Kind() == reflect.String || field.Type() == reflect.TypeFor[time.Duration]() {
			raw, err = strictjson.Value(name, value)
		}
		if err == nil {
			err = raw.Decode(field.Addr().Interface())
		}
		errs = append(errs, err)
	}
	return warnings, strictjson.Join(errs...)
}

// envFields collects the fields that the environment can set: those with a
// single value.
func envFields(prefix string, v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		name := prefix
		if field := v.Type().Field(i); !field.Anonymous {
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			name += "_" + strings.ToUpper(strings.TrimPrefix(tag, "$"))
		}
		switch f := v.Field(i); {
		case f.Type() == reflect.TypeFor[strictjson.Raw](), f.Kind() == reflect.Slice:
		case f.Kind() == reflect.Struct:
			envFields(name, f, into)
		default:
			into[name] = f
		}
	}
}

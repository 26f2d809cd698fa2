package main

import (
	"context"
	"io"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/alertmanager"
	"tocsin.internal/sinks/email"
	filesink "tocsin.internal/sinks/file"
	ioticssink "tocsin.internal/sinks/iotics"
	logsink "tocsin.internal/sinks/log"
	"tocsin.internal/sinks/mqtt"
	natssink "tocsin.internal/sinks/nats"
	stompsink "tocsin.internal/sinks/stomp"
	"tocsin.internal/sinks/webhook"
	"tocsin.internal/sources"
	"tocsin.internal/sources/file"
	"tocsin.internal/sources/http"
	ioticssource "tocsin.internal/sources/iotics"
	natssource "tocsin.internal/sources/nats"
	"tocsin.internal/sources/stomp"
	"tocsin.internal/twins"
)

// surroundings are what a kind may need beside its own configuration.
type surroundings struct {
	stdout io.Writer
	bus    *bus.Bus              // nil while a configuration is only checked
	engine func() *engine.Engine // nil as long; for when it runs
	takes  []rules.Kind          // sinks: the kinds of outcome that it gets; none: every kind
}

// newest is when the last sample of a feed happened that the engine keeps.
func (s surroundings) newest(ctx context.Context, twin, feed string) (time.Time, bool) {
	last, ok, err := s.engine().LastSample(ctx, twin, feed)
	if err != nil || !ok {
		return time.Time{}, false
	}
	return last.At, true
}

// describe is the twin of an id.
func (s surroundings) describe(id string) (*twins.Twin, bool) { return s.engine().Twin(id) }

// sourceKinds is THE table of where samples come from. The way of any NATS
// client, publishing to in.<twin>.<feed>, and POST /api/v1/samples need no entry.
var sourceKinds = map[string]func(strictjson.Raw, surroundings) (sources.Source, error){
	"file": func(raw strictjson.Raw, _ surroundings) (sources.Source, error) { return file.New(raw) },
	"http": func(raw strictjson.Raw, _ surroundings) (sources.Source, error) { return http.New(raw) },
	"iotics": func(raw strictjson.Raw, s surroundings) (sources.Source, error) {
		return ioticssource.New(raw, s.newest)
	},
	"nats":  func(raw strictjson.Raw, _ surroundings) (sources.Source, error) { return natssource.New(raw) },
	"stomp": func(raw strictjson.Raw, _ surroundings) (sources.Source, error) { return stomp.New(raw) },
}

// sinkKinds is THE table of where outcomes go.
var sinkKinds = map[string]func(strictjson.Raw, surroundings) (sinks.Sink, error){
	"alertmanager": func(raw strictjson.Raw, _ surroundings) (sinks.Sink, error) { return alertmanager.New(raw) },
	"email":        func(raw strictjson.Raw, s surroundings) (sinks.Sink, error) { return email.New(raw, s.takes...) },
	"file":         func(raw strictjson.Raw, _ surroundings) (sinks.Sink, error) { return filesink.New(raw) },
	"iotics":       func(raw strictjson.Raw, s surroundings) (sinks.Sink, error) { return ioticssink.New(raw, s.describe) },
	"log":          func(raw strictjson.Raw, s surroundings) (sinks.Sink, error) { return logsink.New(raw, s.stdout) },
	"mqtt":         func(raw strictjson.Raw, _ surroundings) (sinks.Sink, error) { return mqtt.New(raw) },
	"nats":         func(raw strictjson.Raw, s surroundings) (sinks.Sink, error) { return natssink.New(raw, s.bus.Dial) },
	"stomp":        func(raw strictjson.Raw, _ surroundings) (sinks.Sink, error) { return stompsink.New(raw) },
	"webhook":      func(raw strictjson.Raw, s surroundings) (sinks.Sink, error) { return webhook.New(raw, s.takes...) },
}

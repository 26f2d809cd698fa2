package main

import (
	"io"

	"tocsin.internal/bus"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sinks"
	logsink "tocsin.internal/sinks/log"
	natssink "tocsin.internal/sinks/nats"
	"tocsin.internal/sinks/webhook"
	"tocsin.internal/sources"
	"tocsin.internal/sources/file"
	"tocsin.internal/sources/http"
	natssource "tocsin.internal/sources/nats"
)

// surroundings are what a kind may need beside its own configuration.
type surroundings struct {
	stdout io.Writer
	bus    *bus.Bus // nil while a configuration is only checked
}

// sourceKinds is THE table of where samples come from. The way of any NATS
// client, publishing to in.<twin>.<feed>, and POST /api/v1/samples need no entry.
var sourceKinds = map[string]func(strictjson.Raw, surroundings) (sources.Source, error){
	"file": func(raw strictjson.Raw, _ surroundings) (sources.Source, error) { return file.New(raw) },
	"http": func(raw strictjson.Raw, _ surroundings) (sources.Source, error) { return http.New(raw) },
	"nats": func(raw strictjson.Raw, _ surroundings) (sources.Source, error) { return natssource.New(raw) },
}

// sinkKinds is THE table of where outcomes go.
var sinkKinds = map[string]func(strictjson.Raw, surroundings) (sinks.Sink, error){
	"log":     func(raw strictjson.Raw, s surroundings) (sinks.Sink, error) { return logsink.New(raw, s.stdout) },
	"nats":    func(raw strictjson.Raw, s surroundings) (sinks.Sink, error) { return natssink.New(raw, s.bus.Dial) },
	"webhook": func(raw strictjson.Raw, _ surroundings) (sinks.Sink, error) { return webhook.New(raw) },
}

package stomp

import (
	"context"
	"time"

	"tocsin.internal/internal/stompclient"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sinks"
)

// Config says where to connect, as who, and under which names to send.
type Config struct {
	stompclient.Config

	Destinations   sinks.Addresses   `json:"destinations"`   // of each kind of outcome
	Space          string            `json:"space"`          // the name of the installation, for {space}; tocsin unless said
	MessageHeaders map[string]string `json:"messageHeaders"` // further ones of each message, such as expires
	Persistent     bool              `json:"persistent"`     // the broker keeps messages of queues and durable subscribers when it stops; true unless said
	Timeout        time.Duration     `json:"timeout"`        // of one delivery, 30s unless said
}

// ours are the headers that messages have anyway.
var ours = []string{idHeader, "content-type", "persistent", "kind", "interaction", "rule", "twin", "severity", "event", "transaction"}

// New makes the sink of its Config. It connects when there is something to deliver.
func New(raw strictjson.Raw) (sinks.Sink, error) {
	c := Config{
		Config: stompclient.Defaults(), Space: "tocsin", Persistent: true, Timeout: 30 * time.Second,
		Destinations: sinks.Addresses{
			Alert:        sinks.MustAddress("/topic/alerts.{severity}.{interaction}:{rule}.{twin}.{event}"),
			Notification: sinks.MustAddress("/topic/notifications.{topic}"),
			Output:       sinks.MustAddress("/topic/outputs.{interaction}.{twin}.{feed}"),
			Sticker:      sinks.MustAddress("/topic/stickers.{twin}.{color}.{event}"),
		},
	}
	err := raw.Decode(&c)
	errs := []error{err, c.Check(raw), stompclient.CheckHeaders(raw.Member("messageHeaders"), c.MessageHeaders, ours...)}
	if c.Space == "" {
		errs = append(errs, raw.Member("space").At.Errorf(`got ""; want the name of the installation`))
	}
	if c.Timeout <= 0 {
		errs = append(errs, raw.Member("timeout").At.Errorf("got %v; want more than nothing", c.Timeout))
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (*link, error) { return dial(ctx, &c.Config) }
	return &sink{c, sinks.NewConnection(dial)}, nil
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
)

type demoFlags struct {
	rounds   int
	interval time.Duration
	seed     uint64
	data     string
	json     bool
}

func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch ten machines heat up, from samples to alerts, on a NATS in this process",
		Long: `The story of the IOTICS tutorial, end to end, on NATS JetStream in this process: a
model, ten machines made from it, and an interaction "Sensor Overheating Alert".
The engine finds the ten machines and makes ten output twins; every round of
temperatures gives one output a machine, "extreme" above 30 and "normal" at 30 and
below. A follower of the output feed prints a line for every overheating sample. An
alert rule in a second interaction stands beside it: it fires once, and resolves once.`,
		Example: `  engine demo
  engine demo --rounds 5 --interval 200ms --seed 7
  engine demo --rounds 100 --interval 0 --json > outcomes.ndjson`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.rounds < 0 || f.interval < 0 {
				return wrongUse("engine demo: want --rounds and --interval of zero or more")
			}
			return demo(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVar(&f.rounds, "rounds", 0, "rounds of temperatures; 0 = until Ctrl-C")
	cmd.Flags().DurationVar(&f.interval, "interval", time.Second, "time between two rounds")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "of the temperatures")
	cmd.Flags().StringVar(&f.data, "data", "", "data folder, kept; default: a temporary one")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the outcomes as JSON lines, and everything else to stderr")
	return cmd
}

// What the tutorial calls things.
const (
	demoMachines    = 10
	demoFeed        = "currentTemp"
	demoValue       = "temperature"
	demoOutputFeed  = "temperature_status"
	demoOutputValue = "status"
	demoLabel       = "Sensor Overheating Alert"
)

// demoConfig is the tutorial's configuration; %[1]s is the model's id.
const demoConfig = `{"enabled": true, "rules": [{"transformation": {"conditions": [{"fieldsIncludedInOutput": ["temperature"], ` +
	`"jsonLogic": {">": [{"var": "temperature"}, 30]}}], "outputFeedId": "temperature_status", "outputFieldId": "status", ` +
	`"outputTrueValue": "extreme", "outputFalseValue": "normal", "sourceFeedId": "currentTemp", "sourceId": "1"}}], ` +
	`"sources": [{"cleanupRateS": 900, "feeds": [{"fieldIds": ["temperature"], "id": "currentTemp"}], "filter": {"properties": ` +
	`[{"key": "https://data.iotics.com/app#model", "value": {"uriValue": {"value": "%[1]s"}}}], "text": null}, "id": "1", ` +
	`"modelDid": "%[1]s", "refreshRateS": 300}]}`

// demoAlertConfig is the second interaction: one alert an episode.
const demoAlertConfig = `{"rules": [{"alert": {"id": "too-hot", "severity": "critical", "sourceId": "1", "sourceFeedId": "currentTemp", ` +
	`"conditions": [{"jsonLogic": {">": [{"var": "temperature"}, 30]}}], "summary": "{{temperature}} °C, over 30"}}], ` +
	`"sources": [{"id": "1", "feeds": [{"id": "currentTemp"}], "modelDid": "%[1]s"}]}`

func demo(ctx context.Context, f demoFlags, stdout, stderr io.Writer) error {
	dir := f.data
	if dir == "" {
		temporary, err := os.MkdirTemp("", "tocsin-demo-")
		if err != nil {
			return exit{exitNo, err}
		}
		defer os.RemoveAll(temporary) //nolint:errcheck // the system empties it in time
		dir = temporary
	}
	log, err := newLog("warn", "", stderr)
	if err != nil {
		return exit{exitNo, err}
	}
	b, err := bus.Open(ctx, bus.Config{Dir: dir})
	if err != nil {
		return exit{busExit(err), err}
	}
	defer b.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := &plant{flags: f, stop: stop, screen: newScreen(stdout, stderr, f.json)}
	if err := p.run(ctx, b, log); err != nil {
		return exit{exitNo, err}
	}
	return nil
}

// plant is the factory of the story: the source of its samples, and the one
// who follows what comes out.
type plant struct {
	flags  demoFlags
	stop   context.CancelFunc
	screen *screen
	engine *engine.Engine
	model  twins.Twin
	labels map[string]string // of machines and output twins, by id

	mu                                        sync.Mutex
	outputTwins                               int
	overheating, raised, cleared, heard, sent int
	began, ended                              time.Time
}

func (p *plant) run(ctx context.Context, b *bus.Bus, log zerolog.Logger) (err error) {
	p.labels = map[string]string{}
	p.engine, err = engine.New(ctx, engine.Config{
		Bus: b, Log: log,
		Sources: []engine.NamedSource{{Name: "plant", Source: p}},
		Sinks:   []engine.NamedSink{{Name: "follower", Sink: p, Workers: 1}},
	})
	if err != nil {
		return err
	}
	if err := p.engine.Run(ctx); err != nil {
		return err
	}
	p.summary()
	return nil
}

// Run is the source: it describes the plant, then shares round after round.
func (p *plant) Run(ctx context.Context, emit sources.Emit) error {
	err := p.tell(ctx, emit)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	p.stop()
	return err
}

func (p *plant) tell(ctx context.Context, emit sources.Emit) error {
	machines, err := p.describe(ctx)
	if err != nil {
		return err
	}
	interaction, err := p.interact(ctx)
	if err != nil {
		return err
	}
	if err := p.awaitOutputTwins(ctx, interaction); err != nil {
		return err
	}
	p.began = time.Now()
	defer func() { p.ended = time.Now() }()
	random := rand.New(rand.NewPCG(p.flags.seed, 0))
	temperatures := make([]float64, len(machines))
	for i := range temperatures {
		temperatures[i] = 22 + 12*random.Float64()
	}
	tick := time.NewTicker(max(p.flags.interval, time.Nanosecond))
	defer tick.Stop()
	for round := 1; p.flags.rounds == 0 || round <= p.flags.rounds; round++ {
		if err := p.share(ctx, emit, machines, temperatures); err != nil {
			return err
		}
		for i := range temperatures {
			// A walk that is drawn back to 27 degrees.
			temperatures[i] += 3*random.NormFloat64() + 0.2*(27-temperatures[i])
		}
		p.live(round)
		if round == p.flags.rounds {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.engine.Drained(ctx)
}

func (p *plant) share(ctx context.Context, emit sources.Emit, machines []string, temperatures []float64) error {
	batch := make([]rules.Sample, len(machines))
	for i, id := range machines {
		batch[i] = rules.Sample{Twin: id, Feed: demoFeed, At: time.Now().UTC(), Data: fmt.Appendf(nil, `{"temperature":%.1f}`, temperatures[i])}
	}
	if err := emit(ctx, batch...); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += len(batch)
	return nil
}

// describe makes the model and the machines.
func (p *plant) describe(ctx context.Context) ([]string, error) {
	p.model = twins.Twin{
		ID: twins.NewID("demo", "MachineModel"), Visibility: "PRIVATE",
		Properties: []rules.Property{
			twins.URI(rules.PropType, rules.TypeModel),
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
			twins.LangString(rules.PropLabel, "Machine model (tutorial)", "en"),
		},
		Feeds: []rules.Feed{{
			ID: demoFeed, StoreLast: true, Properties: []rules.Property{twins.LangString(rules.PropLabel, demoFeed, "en")},
			Values: []rules.Value{{Label: demoValue, Comment: "Temperature in degrees Celsius", DataType: "decimal", Unit: "http://purl.obolibrary.org/obo/UO_0000027"}},
		}},
	}
	if err := p.engine.PutTwin(ctx, p.model); err != nil {
		return nil, err
	}
	p.screen.fact("model", "%s  %s", p.model.Label(), p.model.ID)
	var ids []string
	for i := range demoMachines {
		name := fmt.Sprintf("machine_%d", i)
		t := twins.FromModel(&p.model, twins.NewID("demo", name), name+" (tutorial)")
		t.Location = &rules.Location{Lat: 51.5, Lon: -0.1}
		t.Properties = append(t.Properties,
			twins.URI(rules.PropType, "https://data.iotics.com/tutorial#Sensor"),
			twins.String("https://data.iotics.com/tutorial#serialNumber", fmt.Sprintf("%06d", i)))
		if err := p.engine.PutTwin(ctx, t); err != nil {
			return nil, err
		}
		p.labels[t.ID] = name
		ids = append(ids, t.ID)
	}
	p.screen.fact("machines", "%d made from the model: machine_0 .. machine_%d; feed %s, value %s (decimal, °C)", len(ids), len(ids)-1, demoFeed, demoValue)
	return ids, nil
}

// interact makes the two interactions.
func (p *plant) interact(ctx context.Context) (string, error) {
	output := rules.Feed{
		ID: demoOutputFeed, StoreLast: true, Properties: []rules.Property{twins.LangString(rules.PropLabel, "Temperature status", "en")},
		Values: []rules.Value{{Label: demoOutputValue, Comment: "Temperature status: normal or extreme", DataType: "string"}},
	}
	id := twins.NewID("demo", "SensorInteraction")
	for _, t := range []twins.Twin{
		interactionTwin(id, demoLabel, fmt.Sprintf(demoConfig, p.model.ID), output),
		interactionTwin(twins.NewID("demo", "SensorAlert"), "Overheating, one alert an episode", fmt.Sprintf(demoAlertConfig, p.model.ID)),
	} {
		if err := p.engine.PutTwin(ctx, t); err != nil {
			return "", err
		}
		p.screen.fact("interaction", "%s  %s", t.Label(), t.ID)
	}
	if refused := p.engine.Stats().Refused; len(refused) > 0 {
		return "", fmt.Errorf("interaction refused: %v", refused)
	}
	return id, nil
}

func interactionTwin(id, label, config string, feeds ...rules.Feed) twins.Twin {
	return twins.Twin{
		ID: id, Visibility: "PRIVATE", Feeds: feeds,
		Properties: []rules.Property{
			twins.URI(rules.PropType, rules.TypeModel),
			twins.URI(rules.PropType, rules.TypeInteraction),
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
			twins.String(rules.PropInteractionConfig, config),
			twins.LangString(rules.PropLabel, label, "en"),
		},
	}
}

// awaitOutputTwins searches for them as the tutorial does.
func (p *plant) awaitOutputTwins(ctx context.Context, interaction string) error {
	query := twins.Query{Filter: rules.Filter{Properties: []rules.Property{twins.URI(rules.PropModel, interaction)}}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		found := p.engine.Search(query)
		if len(found) >= demoMachines {
			slices.SortFunc(found, func(a, b *twins.Twin) int { return strings.Compare(a.Label(), b.Label()) })
			for _, t := range found {
				p.screen.fact("output twin", "%s  %s", t.Label(), t.ID)
				p.mu.Lock()
				p.labels[t.ID] = t.Label()
				p.outputTwins++
				p.mu.Unlock()
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Deliver is the sink: the follower of the output feed, and of the alerts.
func (p *plant) Deliver(_ context.Context, o rules.Outcome) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.screen.outcome(&o)
	switch o.Kind {
	case rules.Output:
		return p.follow(&o)
	case rules.Alert:
		word, what := "RAISED ", o.Summary
		if o.State == rules.StateResolved {
			word, what = "CLEARED", string(o.Data)
			p.cleared++
		} else {
			p.raised++
		}
		p.screen.alert(&o, word, fmt.Sprintf("%s  %s  %s", p.labels[o.Twin], o.Severity, what))
	}
	return nil
}

func (p *plant) follow(o *rules.Outcome) error {
	p.heard++
	var data struct {
		Status      string      `json:"status"`
		Temperature json.Number `json:"temperature"`
	}
	if err := json.Unmarshal(o.Data, &data); err != nil {
		return err
	}
	if data.Status == "extreme" {
		p.overheating++
		p.screen.overheating(o.At, fmt.Sprintf("%s: SENSOR IS OVERHEATING!  %s °C", p.labels[o.Twin], data.Temperature))
	}
	return nil
}

func (p *plant) live(round int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.screen.status(fmt.Sprintf("round %d  %s  %s  %d overheating  %.0f samples/s",
		round, words.Count(p.sent, "sample"), words.Count(p.heard, "output"), p.overheating, p.rate()))
}

func (p *plant) rate() float64 {
	end := p.ended
	if end.IsZero() {
		end = time.Now()
	}
	return float64(p.sent) / max(end.Sub(p.began).Seconds(), 1e-3)
}

func (p *plant) summary() {
	p.screen.status("")
	p.screen.say(fmt.Sprintf("%s, %s, %s, %s, %d overheating; %s raised, %d cleared; %s samples/s",
		words.Count(len(p.labels)-p.outputTwins, "machine"), words.Count(p.outputTwins, "output twin"), words.Count(p.sent, "sample"), words.Count(p.heard, "output"),
		p.overheating, words.Count(p.raised, "alert"), p.cleared, short(p.rate())))
}

// screen shows the story: in colour and with a live last line on a terminal,
// plainly elsewhere, and only outcomes on stdout with --json.
type screen struct {
	mu     sync.Mutex
	out    io.Writer // the story
	json   io.Writer // nil: no outcomes
	colour bool
	living bool   // the terminal can redraw its last line
	last   string // the live line
	line   []byte
}

func newScreen(stdout, stderr io.Writer, asJSON bool) *screen {
	s := &screen{out: stdout}
	if asJSON {
		s.out, s.json = stderr, stdout
	}
	s.living, s.colour = isTerminal(s.out), colourful(s.out)
	return s
}

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\033[" + code + "m" + text + "\033[0m"
}

func (s *screen) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != "" {
		fmt.Fprint(s.out, "\r\033[K")
	}
	fmt.Fprintln(s.out, text)
	fmt.Fprint(s.out, s.last)
}

func (s *screen) fact(name, format string, args ...any) {
	s.say(s.paint("2", name+strings.Repeat(" ", max(13-len(name), 1))) + fmt.Sprintf(format, args...))
}

func (s *screen) overheating(at time.Time, text string) {
	if s.json == nil {
		s.say(s.paint("2", at.Local().Format(time.TimeOnly)) + "  " + s.paint("31", text))
	}
}

func (s *screen) alert(o *rules.Outcome, word, text string) {
	if s.json != nil {
		return
	}
	code := "1;31"
	if o.State == rules.StateResolved {
		code = "32"
	}
	s.say(s.paint("2", o.At.Local().Format(time.TimeOnly)) + "  " + s.paint(code, word) + "  " + text)
}

func (s *screen) outcome(o *rules.Outcome) {
	if s.json == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = append(o.AppendJSON(s.line[:0]), '\n')
	s.json.Write(s.line) //nolint:errcheck // whoever read them is gone
}

// status redraws the last line of a terminal; "" takes it away.
func (s *screen) status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.living {
		return
	}
	s.last = s.paint("36", text)
	if text == "" {
		s.last = ""
	}
	fmt.Fprint(s.out, "\r\033[K", s.last)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"tocsin.internal/api"
	"tocsin.internal/api/access"
	"tocsin.internal/api/ledgers"
	"tocsin.internal/api/stickers"
	"tocsin.internal/api/stomp"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/pause"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sources/http"
)

// patience is how long a client of the API waits for a store that is slow or away.
const patience = 5 * time.Second

type runFlags struct{ config, rules, twins, data, listen string }

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the engine until SIGINT or SIGTERM",
		Long: `Run a worker with its sources, rules and sinks until SIGINT or SIGTERM; then it
finishes what it has begun, so that nothing accepted is lost. A second signal
ends it at once.

Without a configuration NATS runs in this process with its data in ./data, the
API listens on 127.0.0.1:8080, and outcomes are printed. SIGHUP reads the rules
again; so does every change of their folder.

Exit codes: 0 asked to stop; 1 the surroundings failed (a port taken, a server
out of reach); 2 the configuration cannot be used.`,
		Example: `  engine run -c engine.json
  engine run --rules examples/rules/overheating --twins examples/rules/overheating/twins.json
  TOCSIN_HTTP_LISTEN=127.0.0.1:9090 engine run -c engine.json`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runEngine(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration, JSON (see docs/operators.md)")
	cmd.Flags().StringVar(&f.rules, "rules", "", "file or folder of interactions; wins over the configuration")
	cmd.Flags().StringVar(&f.twins, "twins", "", "file of twins, an array of upsert bodies; added to the configuration's")
	cmd.Flags().StringVar(&f.data, "data", "", "data folder of the embedded NATS; wins over the configuration")
	cmd.Flags().StringVar(&f.listen, "listen", "", "host:port of the API; wins over the configuration")
	return cmd
}

// loadConfig brings defaults, file, environment and flags together.
func loadConfig(f runFlags, environ []string) (c config, warnings []string, err error) {
	c = defaultConfig()
	if f.config != "" {
		text, err := os.ReadFile(f.config)
		if err != nil {
			return c, nil, err
		}
		if c, err = readConfig(f.config, text); err != nil {
			return c, nil, err
		}
	} else {
		c.Sinks = []part{stdoutSink()}
	}
	if warnings, err = c.overlay(environ); err != nil {
		return c, nil, err
	}
	c.Rules, c.Bus.Dir, c.HTTP.Listen = cmp.Or(f.rules, c.Rules), cmp.Or(f.data, c.Bus.Dir), cmp.Or(f.listen, c.HTTP.Listen)
	if f.twins != "" {
		c.Twins.Files = append(c.Twins.Files, f.twins)
	}
	if err := checkListen(c.HTTP.Listen); err != nil {
		return c, nil, fmt.Errorf("http.listen: %w", err)
	}
	if err := checkAdmin(c.HTTP.Admin); err != nil {
		return c, nil, fmt.Errorf("http.admin: %w", err)
	}
	if err := c.Auth.wrong(); err != nil {
		return c, nil, err
	}
	if path, err := c.exposed(); err != nil {
		return c, nil, fmt.Errorf("%s: %w", strings.Join(path, "."), err)
	}
	return c, slices.Concat(warnings, c.authWarnings(), c.mqttWarnings()), nil
}

// stdoutSink prints outcomes when nobody has said where they go.
func stdoutSink() part {
	raw, err := strictjson.Parse("default", []byte(`{"name":"stdout","kind":"log"}`))
	if err != nil {
		panic(err) // the text above is JSON
	}
	return part{Name: "stdout", Kind: raw.Member("kind")}
}

// runEngine runs until ctx ends. It is no error to be stopped while it starts.
func runEngine(ctx context.Context, f runFlags, stdout, stderr io.Writer) error {
	err := startAndRun(ctx, f, stdout, stderr)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func startAndRun(ctx context.Context, f runFlags, stdout, stderr io.Writer) error {
	c, warnings, err := loadConfig(f, os.Environ())
	if err != nil {
		return exit{exitWrong, err}
	}
	log, err := newLog(c.Log.Level, c.Log.Format, stderr)
	if err != nil {
		return exit{exitWrong, err}
	}
	for _, w := range warnings {
		log.Warn().Msg(w)
	}
	described, err := readTwins(c.Twins.Files)
	if err != nil {
		return exit{exitWrong, err}
	}
	ring, err := c.Auth.openKeys(log)
	if err != nil {
		return exit{exitWrong, err}
	}
	place := c.busConfig()
	if place.MQTT.TLS, err = api.ServerTLS("bus.mqtt.tls", api.TLS(c.Bus.MQTT.TLS), log); err != nil {
		return exit{exitNo, err}
	}
	b, err := reached(ctx, c, log, func() (*bus.Bus, error) { return bus.Open(ctx, place) })
	if err != nil {
		return exit{busExit(err), err}
	}
	defer b.Close()
	var e *engine.Engine
	s := surroundings{stdout: stdout, bus: b, engine: func() *engine.Engine { return e }}
	sourceList, err := c.makeSources(s)
	if err != nil {
		return exit{exitWrong, err}
	}
	sinkList, err := c.makeSinks(s)
	if err != nil {
		return exit{exitWrong, err}
	}
	routes, err := c.makeRoutes()
	if err != nil {
		return exit{exitWrong, err}
	}
	posts, err := c.Notifications.client()
	if err != nil {
		return exit{exitWrong, err}
	}
	made := engine.Config{
		Bus: b, Log: log, WorkerID: c.Pool.ID, Lease: c.Pool.Lease, RulesPath: c.Rules, Twins: described, Unknown: engine.Policy(c.Twins.Unknown), CreateFrom: c.Twins.CreateFrom,
		MaxSampleBytes: c.MaxSampleBytes, Sources: sourceList, Sinks: sinkList, DrainTimeout: c.DrainTimeout, SnapshotEvery: c.SnapshotEvery,
		Clock: engine.Clock(c.Clock), MaxSkew: c.MaxSkew, Routes: routes, Outbound: posts,
		Invite: c.invite(ring, log),
	}
	e, err = reached(ctx, c, log, func() (*engine.Engine, error) { return engine.New(ctx, made) })
	if errors.Is(err, engine.ErrConfig) {
		return exit{exitWrong, err}
	}
	if err != nil {
		return exit{exitNo, err}
	}
	in, err := c.Auth.makeWays(e, ring)
	if err != nil {
		return exit{exitWrong, err}
	}
	log.Info().Str("version", version).Str("nats", natsPlace(b, c)).Str("rules", c.Rules).Msg("started")
	if c.Rules == "" {
		log.Info().Msg("no rules: name them with --rules or in the configuration")
	}
	audit, err := api.OpenAudit(c.HTTP.Audit.Path, c.HTTP.Audit.Samples, log)
	if err != nil {
		return exit{exitNo, err}
	}
	defer audit.Close() //nolint:errcheck // each line was written when it came
	work := func(ctx context.Context) error { return e.Run(ctx, reloadOnHangup(e, audit, log)) }
	space := c.makeSpace(e, in.guard)
	frames := newStomp(c, e, in.guard, space, log)
	in.routes = slices.Concat(
		in.routes,
		space.Routes(),
		stickers.Routes(e, time.Now),
		ledgers.Routes(e, in.guard, time.Now),
		c.makeNotifications(e),
		[]access.Route{frames.Route()},
	)
	if err := serving(ctx, work, serveAPI(c, e, in, frames.Stats, audit, log), serveAdmin(c, e, audit, log), serveStomp(c, frames, log), serveMQTT(b, in.guard, log), in.follow(b)); err != nil {
		return exit{exitNo, err}
	}
	stats := e.Stats()
	log.Info().Uint64("samples", stats.Samples).Uint64("outputs", stats.Outputs).Uint64("alerts", stats.Alerts).
		Uint64("deadLetters", stats.DeadLetters).Msg("stopped")
	return nil
}

const (
	// reachAgain is when a server that is not there yet is looked for again, and
	// reachSeldom the longest pause.
	reachAgain, reachSeldom = 250 * time.Millisecond, 5 * time.Second
	// reachTold is how often it is said that it is still looked for.
	reachTold = time.Minute
)

// reached waits for a server that is not there yet: workers and servers may start in
// any order. Whatever else is wrong ends the start.
func reached[T any](ctx context.Context, c config, log zerolog.Logger, try func() (T, error)) (T, error) {
	began, told, last := time.Now(), time.Time{}, ""
	for wait := reachAgain; ; wait = min(2*wait, reachSeldom) {
		got, err := try()
		switch {
		case err == nil && last != "":
			log.Info().Stringer("after", time.Since(began).Round(time.Millisecond)).Msg("NATS is there")
			return got, nil
		case err == nil || c.Bus.URL == "" || !bus.NotYet(err):
			return got, err
		}
		if err.Error() != last || time.Since(told) > reachTold {
			log.Warn().Err(err).Msg("NATS is not there yet; the start waits for it")
			told, last = time.Now(), err.Error()
		}
		if err := pause.For(ctx, wait); err != nil {
			return got, err
		}
	}
}

// busExit tells a bus that is configured wrongly from one that is not there.
func busExit(err error) int {
	if errors.Is(err, bus.ErrConfig) {
		return exitWrong
	}
	return exitNo
}

func natsPlace(b *bus.Bus, c config) string {
	switch url := b.ClientURL(); {
	case c.Bus.URL != "":
		return url
	case url != "":
		return "embedded, " + c.Bus.Dir + ", " + url
	}
	return "embedded, " + c.Bus.Dir
}

// serve is a server beside the work. It calls open when it can be reached, if it is
// to be at all.
type serve func(ctx context.Context, open func()) error

// serving does the work with servers beside it, which go on until it is done: they
// still say how the engine is while it finishes what it has begun. The work begins
// when all of them are open: who is told that the engine is ready finds them. A
// server that fails ends the work.
func serving(ctx context.Context, work func(context.Context) error, servers ...serve) error {
	workCtx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	serveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	var opening sync.WaitGroup
	for _, s := range servers {
		opening.Add(1)
		open := sync.OnceFunc(opening.Done)
		group.Go(func() error {
			defer open() // it is over
			err := s(serveCtx, open)
			if err != nil {
				fail(err)
			}
			return err
		})
	}
	opening.Wait()
	err := work(workCtx)
	stop()
	return errors.Join(err, group.Wait())
}

func serveAdmin(c config, e *engine.Engine, audit *api.AuditLog, log zerolog.Logger) serve {
	return func(ctx context.Context, open func()) error {
		if c.HTTP.Admin == "" {
			return nil
		}
		return api.RunAdmin(ctx, api.AdminOptions{
			Listen: c.HTTP.Admin, Log: log, Reload: e.Reload, Audit: audit.Record,
			Bound: func(a net.Addr) { log.Info().Str("url", "http://"+a.String()).Msg("admin listens"); open() },
		})
	}
}

func serveAPI(c config, e *engine.Engine, in ways, frames func() stomp.Stats, audit *api.AuditLog, log zerolog.Logger) serve {
	return func(ctx context.Context, open func()) error {
		if c.HTTP.Listen == "" {
			log.Info().Msg("API is off: http.listen is empty")
			return nil
		}
		o := c.HTTP.options()
		o.Engine, o.Version, o.Guard, o.Routes, o.Log, o.Audit, o.Stomp = e, version, in.guard, in.routes, log, audit.Record, frames
		o.Samples = http.NewHandler(http.Options{Emit: in.permitted(e.TryEmit("api", patience)), MaxSampleBytes: c.MaxSampleBytes, Known: e.Known})
		o.Bound = func(a net.Addr) { log.Info().Str("url", c.HTTP.url(a.String())).Msg("API listens"); open() }
		return api.Run(ctx, o)
	}
}

// reloadOnHangup reads the rules again at SIGHUP, and goes on in a new audit log
// where the old one has been moved away.
func reloadOnHangup(e *engine.Engine, audit *api.AuditLog, log zerolog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangup:
				if err := audit.Reopen(); err != nil {
					log.Error().Err(err).Msg("the old audit log is written further")
				}
				if err := e.Reload(ctx); err != nil {
					log.Error().Err(err).Msg("rules refused; the last good ones keep running")
					continue
				}
				log.Info().Msg("rules read again")
			}
		}
	}
}

func logLevel(level string) (zerolog.Level, error) {
	if !slices.Contains(api.LogLevels, level) {
		return 0, fmt.Errorf("got %q; want trace, debug, info, warn or error", level)
	}
	return zerolog.ParseLevel(level)
}

// newLog writes JSON, or, to a terminal, lines for people. The level is that of
// the whole process, so that it can be changed while it runs.
func newLog(level, format string, w io.Writer) (zerolog.Logger, error) {
	l, err := logLevel(level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("log.level: %w", err)
	}
	switch format {
	case "json":
	case "text":
		w = textLog(w)
	case "":
		if isTerminal(w) {
			w = textLog(w)
		}
	default:
		return zerolog.Nop(), fmt.Errorf("log.format: got %q; want json or text", format)
	}
	zerolog.SetGlobalLevel(l)
	return zerolog.New(w).With().Timestamp().Logger(), nil
}

func textLog(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{
		Out: w, TimeFormat: time.TimeOnly, NoColor: !colourful(w),
		FormatErrFieldValue: func(v any) string { return strings.ReplaceAll(fmt.Sprint(v), `\n`, "\n  ") },
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colourful says whether w shows colours (no-color.org).
func colourful(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"tocsin.internal/api"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
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
		Args: cobra.NoArgs,
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
	for flag, field := range map[string]*string{f.rules: &c.Rules, f.data: &c.Bus.Dir, f.listen: &c.HTTP.Listen} {
		if flag != "" {
			*field = flag
		}
	}
	if f.twins != "" {
		c.Twins.Files = append(c.Twins.Files, f.twins)
	}
	if err := checkListen(c.HTTP.Listen); err != nil {
		return c, nil, fmt.Errorf("http.listen: %w", err)
	}
	if err := checkAdmin(c.HTTP.Admin); err != nil {
		return c, nil, fmt.Errorf("http.admin: %w", err)
	}
	return c, warnings, nil
}

// stdoutSink prints outcomes when nobody has said where they go.
func stdoutSink() part {
	raw, err := strictjson.Parse("default", []byte(`{"name":"stdout","kind":"log"}`))
	if err != nil {
		panic(err) // the text above is JSON
	}
	return part{Name: "stdout", Kind: raw.Member("kind")}
}

func runEngine(ctx context.Context, f runFlags, stdout, stderr io.Writer) error {
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
	b, err := bus.Open(ctx, c.busConfig())
	if err != nil {
		return exit{busExit(err), err}
	}
	defer b.Close()
	s := surroundings{stdout: stdout, bus: b}
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
	e, err := engine.New(ctx, engine.Config{
		Bus: b, Log: log, WorkerID: c.Pool.ID, Lease: c.Pool.Lease, RulesPath: c.Rules, Twins: described, Unknown: engine.Policy(c.Twins.Unknown), CreateFrom: c.Twins.CreateFrom,
		MaxSampleBytes: c.MaxSampleBytes, Sources: sourceList, Sinks: sinkList, DrainTimeout: c.DrainTimeout, SnapshotEvery: c.SnapshotEvery,
		Clock: engine.Clock(c.Clock), MaxSkew: c.MaxSkew, Routes: routes,
	})
	if errors.Is(err, engine.ErrConfig) {
		return exit{exitWrong, err}
	}
	if err != nil {
		return exit{exitNo, err}
	}
	log.Info().Str("version", version).Str("nats", natsPlace(b, c)).Str("rules", c.Rules).Msg("started")
	if c.Rules == "" {
		log.Info().Msg("no rules: name them with --rules or in the configuration")
	}
	work := func(ctx context.Context) error { return e.Run(ctx, reloadOnHangup(e, log)) }
	if err := serving(ctx, work, serveAPI(c, e, log), serveAdmin(c, e, log)); err != nil {
		return exit{exitNo, err}
	}
	stats := e.Stats()
	log.Info().Uint64("samples", stats.Samples).Uint64("outputs", stats.Outputs).Uint64("alerts", stats.Alerts).
		Uint64("deadLetters", stats.DeadLetters).Uint64("judged", stats.Judged).Msg("stopped")
	return nil
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

// serving does the work with servers beside it, which go on until it is done: they
// still say how the engine is while it finishes what it has begun. A server that
// fails ends the work.
func serving(ctx context.Context, work func(context.Context) error, servers ...func(context.Context) error) error {
	workCtx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	serveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	for _, serve := range servers {
		group.Go(func() error {
			err := serve(serveCtx)
			if err != nil {
				fail(err)
			}
			return err
		})
	}
	err := work(workCtx)
	stop()
	return errors.Join(err, group.Wait())
}

func serveAdmin(c config, e *engine.Engine, log zerolog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		if c.HTTP.Admin == "" {
			return nil
		}
		return api.RunAdmin(ctx, api.AdminOptions{
			Listen: c.HTTP.Admin, Log: log, Reload: e.Reload,
			Bound: func(a net.Addr) { log.Info().Str("url", "http://"+a.String()).Msg("admin listens") },
		})
	}
}

func serveAPI(c config, e *engine.Engine, log zerolog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		if c.HTTP.Listen == "" {
			log.Info().Msg("API is off: http.listen is empty")
			return nil
		}
		return api.Run(ctx, api.Options{
			Listen: c.HTTP.Listen, Engine: e, Version: version,
			Samples: http.NewHandler(http.Options{Emit: e.TryEmit("api", patience), MaxSampleBytes: c.MaxSampleBytes, Known: e.Known}),
			Bound:   func(a net.Addr) { log.Info().Str("url", "http://"+a.String()).Msg("API listens") },
		})
	}
}

// reloadOnHangup reads the rules again at SIGHUP.
func reloadOnHangup(e *engine.Engine, log zerolog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangup:
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

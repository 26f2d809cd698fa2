// Command engine is Tocsin: it judges what digital twins share by rules, and
// says what follows.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit codes.
const (
	exitFine  = 0
	exitNo    = 1 // the answer is no: an invalid rule, a failed test; run: its surroundings failed
	exitWrong = 2 // wrong use; run: its configuration is unusable
)

// exit is an error with its code. What there is to say has been said when err is nil.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// A second signal ends at once: what was not committed is judged again.
	context.AfterFunc(ctx, stop)
	root := rootCommand(stdout, stderr)
	root.SetArgs(longRun(args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	code := exitWrong // what cobra refuses: an unknown verb or flag
	if e, ok := errors.AsType[exit](err); ok {
		code = e.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, text)
	}
	return code
}

func rootCommand(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "engine",
		Short: "Tocsin judges what digital twins share by rules, and says what follows",
		Long: `Tocsin is an event-driven rule engine for digital twins. Samples come in over NATS
JetStream, HTTP, STOMP or files; rules in JSON (the IOTICS interaction, with JSONLogic
conditions) are judged against them; output twins, alerts and more go out.

Exit codes: 0 fine; 1 the answer is no (an invalid rule), or, of run, its
surroundings failed; 2 wrong use, or, of run, a configuration that cannot be used.`,
		Example: `  engine demo --rounds 5
  engine validate examples/rules/overheating/interaction.json
  engine run -c engine.json
  engine alerts severity=critical`,
		Version:       built(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(unknownFlag)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		demoCommand(),
		runCommand(),
		validateCommand(),
		testCommand(),
		replayCommand(),
		explainCommand(),
		captureCommand(),
		diffCommand(),
		schemaCommand(),
		importCommand(),
		alertsCommand(),
		twinsCommand(),
		listenCommand(),
		rulesCommand(),
		routesCommand(),
		deadLettersCommand(),
		stickersCommand(),
		subscriptionsCommand(),
		deliveriesCommand(),
		keyCommand(),
		accountCommand(),
		userCommand(),
		versionCommand(),
	)
	return root
}

// wrongUse is the error of an argument that cannot be used.
func wrongUse(format string, args ...any) error {
	return exit{exitWrong, fmt.Errorf(format, args...)}
}

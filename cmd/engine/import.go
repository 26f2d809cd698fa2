package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
	"tocsin.internal/rules/importer/iotevents"
	"tocsin.internal/rules/importer/thingsboard"
	"tocsin.internal/rules/words"
)

// importers is THE table of systems whose rules can be taken over.
var importers = map[string]func(file string, text []byte, o importer.Options) (*importer.Result, error){
	"iotevents":   iotevents.Import,
	"thingsboard": thingsboard.Import,
}

type importFlags struct {
	out   string
	force bool
	importer.Options
}

func importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import iotevents|thingsboard FILE…",
		Short: "Make interactions of the rules of another system, and say what has no counterpart",
		Long: `Make interactions of rules that were written for another system:

  iotevents     detector models and alarm models of AWS IoT Events, as
                aws iotevents describe-detector-model, describe-alarm-model,
                CreateDetectorModel, CreateAlarmModel and CloudFormation (JSON) have them
  thingsboard   alarm rules of exported device profiles, and calculated fields of
                the type ALARM

Each model or profile becomes an interaction that engine validate takes. They go
to standard output and the report to stderr, or with --output each into a file of
the folder, and the report to standard output. The report says of each part, with
its place, whether it means the same here, nearly the same, or was not taken over;
nothing is made up in silence.

Exit codes: 0 all was taken over; 1 something was not; 2 wrong use, or a file
cannot be read or written.`,
		Example: `  engine import iotevents motor.json
  engine import iotevents --output rules template.json
  engine import thingsboard --model did:example:thermostat --feed telemetry -o rules thermostat.json`,
		Args: func(_ *cobra.Command, args []string) error {
			known := slices.Sorted(maps.Keys(importers))
			switch {
			case len(args) == 0:
				return wrongUse("engine import: from what? Want one of %s", strings.Join(known, ", "))
			case importers[args[0]] == nil:
				return wrongUse("engine import: no system %q%s", args[0], strictjson.OneOf(args[0], known))
			case len(args) == 1:
				return wrongUse("engine import %s: want at least one file", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(args[0], args[1:], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "folder for the interactions; default: standard output")
	cmd.Flags().BoolVar(&f.force, "force", false, "with --output: write over files that are there")
	cmd.Flags().StringVar(&f.Model, "model", "", "the model whose twins the rules are about; default: a name made from the original's")
	cmd.Flags().StringVar(&f.Feed, "feed", "", "thingsboard: the feed with the telemetry; default: telemetry")
	return cmd
}

func (f *importFlags) run(system string, files []string, stdout, stderr io.Writer) error {
	all := &importer.Result{}
	unread := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(stderr, err)
			unread++
			continue
		}
		got, err := importers[system](file, text, f.Options)
		if err != nil {
			fmt.Fprintln(stderr, err)
			unread++
			continue
		}
		all.Documents = append(all.Documents, got.Documents...)
		all.Findings = append(all.Findings, got.Findings...)
	}
	report := stdout
	put := func() error { return f.write(all.Documents, report) }
	if f.out == "" {
		report = stderr
		put = func() error { return printDocuments(all.Documents, stdout) }
	}
	if err := put(); err != nil {
		return exit{exitWrong, err}
	}
	printReport(all, report)
	switch {
	case unread > 0:
		return exit{code: exitWrong}
	case len(all.Of(importer.Lost)) > 0:
		return exit{code: exitNo}
	}
	return nil
}

func printDocuments(documents []importer.Document, w io.Writer) error {
	for _, d := range documents {
		if _, err := w.Write(d.Text); err != nil {
			return err
		}
	}
	return nil
}

// write puts each interaction into a file of its own; none when one of them is
// there already.
func (f *importFlags) write(documents []importer.Document, report io.Writer) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil { //nolint:gosec // rules are for everybody to read
		return err
	}
	var errs []error
	taken := map[string]bool{}
	for _, d := range documents {
		name := f.nameOf(d)
		_, err := os.Stat(name)
		switch {
		case taken[name]:
			errs = append(errs, fmt.Errorf("%s: two of the files give it; import them into two folders", name))
		case f.force || errors.Is(err, fs.ErrNotExist):
		case err == nil:
			errs = append(errs, fmt.Errorf("%s: is there already; want another folder, or --force", name))
		default:
			errs = append(errs, err)
		}
		taken[name] = true
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, d := range documents {
		if err := os.WriteFile(f.nameOf(d), d.Text, 0o644); err != nil { //nolint:gosec // rules are for everybody to read
			return err
		}
		fmt.Fprintf(report, "wrote %s\n", f.nameOf(d))
	}
	return nil
}

func (f *importFlags) nameOf(d importer.Document) string { return filepath.Join(f.out, d.ID+".json") }

func printReport(r *importer.Result, w io.Writer) {
	for _, part := range []struct {
		verdict importer.Verdict
		title   string
	}{
		{importer.Exact, "the same here"}, {importer.Approximate, "nearly the same"}, {importer.Lost, "not taken over"},
	} {
		lines := r.Of(part.verdict)
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", part.title)
		for _, line := range lines {
			fmt.Fprintf(w, "  %v\n", line)
		}
	}
	fmt.Fprintf(w, "\n%s: %d parts the same, %d nearly, %d not taken over\n", words.Count(len(r.Documents), "interaction"),
		len(r.Of(importer.Exact)), len(r.Of(importer.Approximate)), len(r.Of(importer.Lost)))
}

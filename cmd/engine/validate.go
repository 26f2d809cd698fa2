package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE…",
		Short: "Say everything that is wrong with interactions, twins and configurations",
		Long: `Check interactions, files of twins and engine configurations, or folders of
interactions. Every problem of every file is reported at once, one a line:

  file:line:col: /json/pointer: what is wrong; what was wanted

Exit codes: 0 all are fine; 1 at least one is not; 2 a file cannot be read.`,
		Example: `  engine validate examples/rules/overheating/interaction.json
  engine validate engine.json rules/ twins.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUse("engine validate: want at least one file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return validate(args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func validate(paths []string, stdout, stderr io.Writer) error {
	bad, unread := 0, 0
	ids := map[string]string{}
	for _, path := range paths {
		files, err := engine.RuleFiles(path)
		if err != nil {
			fmt.Fprintln(stderr, err)
			unread++
			continue
		}
		if len(files) == 0 {
			fmt.Fprintf(stderr, "%s: no interaction in this folder; want *.json or */interaction.json\n", path)
			bad++
		}
		for _, file := range files {
			found, err := check(file, ids)
			switch {
			case err == nil:
				fmt.Fprintln(stdout, found)
			case errors.As(err, new(*fs.PathError)):
				fmt.Fprintln(stderr, err)
				unread++
			default:
				fmt.Fprintln(stderr, err)
				bad++
			}
		}
	}
	switch {
	case unread > 0:
		return exit{code: exitWrong}
	case bad > 0:
		return exit{code: exitNo}
	}
	return nil
}

// check says what the file is when it is fine. ids are the interactions seen
// before, by their file.
func check(file string, ids map[string]string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	raw, err := strictjson.Parse(file, text)
	if err != nil {
		return "", err
	}
	switch kindOfDocument(raw) {
	case "twins":
		ts, err := parseTwins(file, text)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s: ok, %s", file, count(len(ts), "twin")), nil
	case "configuration":
		if _, err := readConfig(file, text); err != nil {
			return "", err
		}
		return file + ": ok, configuration", nil
	}
	p, err := rules.Load(file, text)
	if err != nil {
		return "", err
	}
	if first := ids[p.ID()]; first != "" && first != file {
		return "", fmt.Errorf("%s: id %q is that of %s too; want an id of its own", file, p.ID(), first)
	}
	ids[p.ID()] = file
	lines := []string{fmt.Sprintf("%s: ok, %s, %s", file, count(len(p.Rules()), "rule"), count(len(p.Sources()), "source"))}
	for _, w := range p.Warnings() {
		lines = append(lines, "warning: "+w.Error())
	}
	return strings.Join(lines, "\n"), nil
}

// kindOfDocument tells the documents apart by what only they have.
func kindOfDocument(raw strictjson.Raw) string {
	if raw.Kind() == strictjson.Array || !raw.Member("twinId").IsZero() {
		return "twins"
	}
	for _, name := range []string{"bus", "http", "twins", "sinks", "log", "maxSampleBytes", "drainTimeout", "snapshotEvery", "clock", "maxSkew", "alerts", "routes"} {
		if !raw.Member(name).IsZero() {
			return "configuration"
		}
	}
	if raw.Member("rules").Kind() == strictjson.String {
		return "configuration"
	}
	return "interaction"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

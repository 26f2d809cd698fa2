package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/lint"
)

var aCode = regexp.MustCompile(`^[A-Za-z][0-9]+$`)

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND | CODE | codes]",
		Short: "Help about a command, or the page of a diagnostic such as E0301",
		Example: `  engine help validate
  engine help E0301
  engine help codes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && args[0] == "codes":
				return listCodes(cmd.OutOrStdout())
			case len(args) == 1 && aCode.MatchString(args[0]):
				return showPage(cmd.OutOrStdout(), args[0])
			}
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return wrongUse("engine help: no command %q%s", strings.Join(args, " "), strictjson.DidYouMean(args[0], subcommands(cmd.Root())))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

func listCodes(w io.Writer) error {
	for _, code := range lint.Codes() {
		page, _ := lint.PageOf(code)
		if _, err := fmt.Fprintf(w, "%s  %-7s  %s\n", code, page.Level, page.Title); err != nil {
			return err
		}
	}
	return nil
}

func showPage(w io.Writer, code string) error {
	page, ok := lint.PageOf(code)
	if !ok {
		return wrongUse("engine help: no code %q%s; engine help codes lists them", code, strictjson.DidYouMean(strings.ToUpper(code), lint.Codes()))
	}
	_, err := fmt.Fprint(w, page.Text)
	return err
}

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/schema"
)

func schemaCommand() *cobra.Command {
	var out string
	var list bool
	cmd := &cobra.Command{
		Use:   "schema [interaction|tests|twins|config|outcome]",
		Short: "Print the JSON Schema of a document, for editors that complete and check",
		Long: `Print the JSON Schema (2020-12) of a kind of document, an interaction unless another
is named. Editors complete and check with it while you write; what an editor cannot
know, such as the fields of a feed, engine validate says.

In VS Code, .vscode/settings.json of the folder:

  {"json.schemas": [
    {"fileMatch": ["interaction.json"], "url": "./interaction.schema.json"}
  ]}

or in the document itself: "$schema": "./interaction.schema.json".

Exit codes: 0 fine; 2 wrong use, or the file cannot be written.`,
		Example: `  engine schema -o interaction.schema.json
  engine schema config -o engine.schema.json
  engine schema --list`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case list && (len(args) > 0 || out != ""):
				return wrongUse("engine schema: --list stands alone")
			case list:
				listSchemas(cmd.OutOrStdout())
				return nil
			case len(args) == 0:
				args = []string{"interaction"}
			}
			return printSchema(args[0], out, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write to; default: standard output")
	cmd.Flags().BoolVar(&list, "list", false, "name the documents that have a schema")
	return cmd
}

func listSchemas(w io.Writer) {
	for _, d := range schema.Documents() {
		fmt.Fprintf(w, "%-12s  %-16s  %s\n", d.Name, d.File, d.What)
	}
}

func printSchema(name, out string, stdout io.Writer) error {
	text, ok := schema.Text(name)
	if !ok {
		var known []string
		for _, d := range schema.Documents() {
			known = append(known, d.Name)
		}
		return wrongUse("engine schema: no schema %q%s", name, strictjson.OneOf(name, known))
	}
	if out == "" {
		_, err := stdout.Write(text)
		return err
	}
	if err := os.WriteFile(out, text, 0o644); err != nil { //nolint:gosec // it is for everybody to read
		return exit{exitWrong, err}
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tocsin.internal/internal/strictjson"
)

// onlyVerbs are the arguments of a command that takes none, but may have others
// below it.
func onlyVerbs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasSubCommands():
		return wrongUse("%s: got %q; want no argument", cmd.CommandPath(), args[0])
	}
	return wrongUse("%s: no command %q%s", cmd.CommandPath(), args[0], strictjson.DidYouMean(args[0], subcommands(cmd)))
}

func subcommands(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return names
}

func wantSome(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return wrongUse("%s: want at least one %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

func wantOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return wrongUse("%s: got %d arguments; want one %s", cmd.CommandPath(), len(args), what)
		}
		return nil
	}
}

// unknownFlag says of a flag that there is not which one may have been meant.
func unknownFlag(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return exit{exitWrong, err}
	}
	written := "--" + unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		written = "-" + short
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	hint, _ := strictjson.Nearest(strings.TrimLeft(written, "-"), known)
	if hint != "" {
		hint = fmt.Sprintf("; did you mean %q?", "--"+hint)
	}
	return wrongUse("%s: no flag %q%s", cmd.CommandPath(), written, hint)
}

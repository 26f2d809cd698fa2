package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tocsin.internal/bus"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = "dev"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit, and the versions of Go and NATS",
		Example: "  engine version",
		Args:    onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), built())
			return err
		},
	}
}

func built() string {
	return fmt.Sprintf("tocsin %s (commit %s, %s %s/%s, NATS server %s)", version, commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH, bus.ServerVersion)
}

func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return s.Value[:12]
			}
		}
	}
	return "unknown"
}

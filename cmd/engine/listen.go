package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// maxEventLine is how long a line of an event may be.
const maxEventLine = 64 << 20

type listening struct {
	client
	after string
	count int
	quiet bool
}

func listenCommand() *cobra.Command {
	var l listening
	cmd := &cobra.Command{
		Use:   "listen [TOPIC...]",
		Short: "Print what happens in a running engine, as it happens",
		Long: `Print what happens in a running engine, one event a line: its id, what it is, and
its JSON. A topic is alerts, samples, outputs, notifications or stickers, each with
a pattern behind a colon or without; twin:TWIN; feed:TWIN/FEED; input:TWIN/INPUT
(docs/subscribers.md). Without one it is alerts.

Exit codes: 0 as many came as were asked for, or interrupted; 1 the engine went, or
refused; 2 wrong use.`,
		Example: `  engine listen
  engine listen 'alerts:critical.>' feed:machine_1/currentTemp
  engine listen samples --after f33-a17 -n 10`,
		RunE: func(cmd *cobra.Command, topics []string) error {
			if len(topics) == 0 {
				topics = []string{"alerts"}
			}
			return exitOf(l.print(cmd.Context(), topics, cmd.OutOrStdout()))
		},
	}
	l.addURL(cmd)
	cmd.Flags().StringVar(&l.after, "after", "", "go on after the event with this id; default: from now on")
	cmd.Flags().IntVarP(&l.count, "count", "n", 0, "end after so many events; 0 is never")
	cmd.Flags().BoolVar(&l.quiet, "quiet", false, "also alerts of which nobody is to be told")
	return cmd
}

func (l *listening) print(ctx context.Context, topics []string, out io.Writer) error {
	query := url.Values{"topics": topics}
	if l.after != "" {
		query.Set("after", l.after)
	}
	if l.quiet {
		query.Set("quiet", "true")
	}
	stream, err := l.begin(ctx, http.MethodGet, "/api/v1/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // it is read
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEventLine)
	var id, kind string
	for n := 0; lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			if kind == "end" {
				return fmt.Errorf("engine at %s: %s", l.url, value)
			}
			if _, err := fmt.Fprintln(out, id, kind, value); err != nil {
				return err
			}
			if n++; n == l.count {
				return nil
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("engine at %s: %w", l.url, err)
	}
	return errors.New("engine at " + l.url + ": it has ended the stream")
}

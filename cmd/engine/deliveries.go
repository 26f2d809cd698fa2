package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"tocsin.internal/engine"
)

// deliveryDesk is the command about what sinks have tried.
type deliveryDesk struct {
	desk
	sink, twin, alert, since string
	failed                   bool
	limit                    int
}

func deliveriesCommand() *cobra.Command {
	d := &deliveryDesk{}
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List what was sent where, and what came of it",
		Long: `List the attempts of the sinks to deliver alerts, notifications and stickers, the
newest first: to whom, how it ended, and when it is tried again. Outputs are
listed when they did not arrive at once.

They are kept for bus.streams.sent.maxAge, 100 of each sink and alert. The sink
"subscription ID" is one of those that subscribe by a webhook.

Exit codes: 0 fine; 1 the engine is not there or says no; 2 wrong use.`,
		Example: `  engine deliveries
  engine deliveries --alert al_55n8fqhn
  engine deliveries --sink pager --failed --since 1h`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.deliveries(cmd.Context(), cmd.OutOrStdout()) },
	}
	d.addURL(cmd)
	cmd.Flags().BoolVar(&d.json, "json", false, "as JSON, one attempt a line")
	cmd.Flags().StringVar(&d.sink, "sink", "", "only those of this sink")
	cmd.Flags().StringVar(&d.alert, "alert", "", "only those about this alert; the first characters of its id are enough while it is open")
	cmd.Flags().StringVar(&d.twin, "twin", "", "only those about this twin")
	cmd.Flags().BoolVar(&d.failed, "failed", false, "only those that did not arrive")
	cmd.Flags().StringVar(&d.since, "since", "", "only those since a time, or so far back, such as 1h")
	cmd.Flags().IntVar(&d.limit, "limit", 100, "how many")
	return cmd
}

func (d *deliveryDesk) deliveries(ctx context.Context, out io.Writer) error {
	query := url.Values{"limit": {strconv.Itoa(d.limit)}}
	if d.alert != "" {
		id, err := d.resolve(ctx, d.alert)
		if err != nil {
			return err
		}
		query.Set("alert", id)
	}
	for name, value := range map[string]string{"sink": d.sink, "twin": d.twin, "since": d.since} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if d.failed {
		query.Set("failed", "true")
	}
	return d.listSent(ctx, "/api/v1/deliveries?"+query.Encode(), out)
}

func (d *desk) listSent(ctx context.Context, path string, out io.Writer) error {
	var answer struct{ Deliveries []json.RawMessage }
	if err := d.ask(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	return sentTable.print(out, d.json, answer.Deliveries)
}

var sentTable = table[engine.Sent]{
	none:   "no deliveries",
	header: "AT\tSINK\tOF\tTWIN\tATTEMPT\tRESULT\tSECONDS\tNEXT\tANSWER",
	row: func(w io.Writer, s *engine.Sent) {
		sink, of := s.Sink, cmp.Or(s.Event, s.Kind, "notice")
		if s.Route != "" {
			sink += " (" + s.Route + ")"
		}
		if s.Alert != "" {
			of += " " + s.Alert
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%.3f\t%s\t%s\n", clock(s.At), printable(sink), printable(of), orDash(printable(s.Twin)),
			s.Number, s.Result, s.Took, orDash(clock(s.Next)), printable(s.Said()))
	},
}

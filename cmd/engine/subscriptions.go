package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"tocsin.internal/engine"
	"tocsin.internal/subscriptions"
)

// subscriptionDesk is the commands about the subscriptions of a running engine.
type subscriptionDesk struct {
	client
	json bool
}

func subscriptionsCommand() *cobra.Command {
	d := &subscriptionDesk{}
	cmd := &cobra.Command{
		Use:   "subscriptions",
		Short: "List who is told of topics by a webhook, and how that went",
		Long: `List the subscriptions of webhooks in a running engine, with what waits for each
and how its last attempt ended.

Exit codes: 0 fine; 1 the engine is not there or says no; 2 wrong use.`,
		Example: `  engine subscriptions
  engine subscriptions log 47d7ab5e-6a1c-5ba8-8a32-1c8ff0c2e9e0
  engine subscriptions retry 47d7ab5e-6a1c-5ba8-8a32-1c8ff0c2e9e0`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.list(cmd.Context(), cmd.OutOrStdout()) },
	}
	d.addURL(cmd)
	cmd.PersistentFlags().BoolVar(&d.json, "json", false, "as JSON, one a line")
	cmd.AddCommand(
		&cobra.Command{
			Use: "log ID", Short: "The last attempts to deliver to a subscription, the newest first", Args: wantSome("ID"),
			RunE: func(cmd *cobra.Command, ids []string) error {
				return each(cmd, ids, func(cmd *cobra.Command, id string) error { return d.log(cmd.Context(), id, cmd.OutOrStdout()) })
			},
		},
		d.action("retry ID…", "Try at once what waits for its next attempt", http.MethodPost, "/retry"),
		d.action("drop ID…", "End subscriptions, and forget what waits for them", http.MethodDelete, ""),
	)
	return cmd
}

func (d *subscriptionDesk) action(use, short, method, path string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: wantSome("ID"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return each(cmd, ids, func(cmd *cobra.Command, id string) error {
				return d.ask(cmd.Context(), method, "/api/v1/subscriptions/"+url.PathEscape(id)+path, nil, nil)
			})
		},
	}
}

func (d *subscriptionDesk) list(ctx context.Context, out io.Writer) error {
	var answer struct{ Subscriptions []json.RawMessage }
	if err := d.ask(ctx, http.MethodGet, "/api/v1/subscriptions", nil, &answer); err != nil {
		return err
	}
	return subscriptionTable.print(out, d.json, answer.Subscriptions)
}

var subscriptionTable = table[engine.SubscriptionStatus]{
	none:   "no subscriptions",
	header: "ID\tSTATE\tTOPIC\tWAITING\tBREAKER\tEXPIRES\tLAST\tCALLBACK",
	row: func(w io.Writer, s *engine.SubscriptionStatus) {
		last := "-"
		if s.Last != nil {
			last = string(s.Last.Result)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.State, printable(s.Topic), s.Waiting, s.Breaker, clock(s.Expires), last, printable(s.CallbackURL))
	},
}

func (d *subscriptionDesk) log(ctx context.Context, id string, out io.Writer) error {
	var answer struct{ Attempts []json.RawMessage }
	if err := d.ask(ctx, http.MethodGet, "/api/v1/subscriptions/"+url.PathEscape(id)+"/deliveries", nil, &answer); err != nil {
		return err
	}
	return attemptTable.print(out, d.json, answer.Attempts)
}

var attemptTable = table[subscriptions.Attempt]{
	header: "AT\tATTEMPT\tRESULT\tSTATUS\tSECONDS\tNEXT\tERROR",
	row: func(w io.Writer, a *subscriptions.Attempt) {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%.3f\t%s\t%s\n", clock(a.At), a.Number, a.Result, a.Status, a.Took, clock(a.Next), printable(a.Error))
	},
}

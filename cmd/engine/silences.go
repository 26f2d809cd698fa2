package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (d *desk) silenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "silence MATCHER…", Short: "Keep notifications of alerts quiet for a while",
		Long: `Keep quiet whatever fits every matcher, from now on, for alerts that are open
and for those to come. They are recorded, and listed, all the same. A matcher is
written as a filter of "engine alerts".`,
		Example: `  engine alerts silence 'twin=machine_*' --for 2h --comment "line 2 stands still"
  engine alerts silence rule=too-hot label.site=brno --for 30m --comment "known"`,
		Args: wantSome("MATCHER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.silence(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	d.addBy(cmd)
	d.addComment(cmd)
	cmd.Flags().Var(&d.lasts, "for", "how long, such as 2h or 1d12h")
	return cmd
}

// silence is what the commands read of a silence.
type silence struct {
	ID, CreatedBy, Comment, Status, EndedBy string
	Matchers                                []string
	EndsAt                                  time.Time
}

func (d *desk) silence(ctx context.Context, matchers []string, out io.Writer) error {
	if err := wrongUseOf(d.wantBy(), d.wantComment(), d.wantFor("")); err != nil {
		return err
	}
	body := map[string]any{"matchers": matchers, "endsAt": time.Now().Add(time.Duration(d.lasts)).UTC(), "createdBy": d.by, "comment": d.comment}
	var doc json.RawMessage
	if err := d.ask(ctx, http.MethodPost, "/api/v1/silences", body, &doc); err != nil {
		return err
	}
	return d.printSilence(out, doc, "until")
}

func (d *desk) printSilence(out io.Writer, doc json.RawMessage, what string) error {
	if d.json {
		return printLines(out, []json.RawMessage{doc})
	}
	var s silence
	if err := json.Unmarshal(doc, &s); err != nil {
		return exit{exitNo, err}
	}
	_, err := fmt.Fprintf(out, "%s %s %s\n", s.ID, what, clock(s.EndsAt))
	return err
}

func (d *desk) silencesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "silences", Short: "List the silences, those of the last week too",
		Example: "  engine alerts silences", Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.silences(cmd.Context(), cmd.OutOrStdout()) },
	}
}

func (d *desk) findSilences(ctx context.Context) ([]json.RawMessage, error) {
	var answer struct{ Silences []json.RawMessage }
	err := d.ask(ctx, http.MethodGet, "/api/v1/silences", nil, &answer)
	return answer.Silences, err
}

func (d *desk) silences(ctx context.Context, out io.Writer) error {
	found, err := d.findSilences(ctx)
	if err != nil {
		return err
	}
	return silenceTable.print(out, d.json, found)
}

var silenceTable = table[silence]{
	none:   "no silences",
	header: "ID\tSTATUS\tENDS\tMATCHERS\tBY\tCOMMENT",
	row: func(w io.Writer, s *silence) {
		ends := clock(s.EndsAt)
		if s.EndedBy != "" {
			ends += " by " + s.EndedBy
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Status, printable(ends), printable(strings.Join(s.Matchers, " ")), printable(s.CreatedBy), printable(s.Comment))
	},
}

func (d *desk) unsilenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unsilence ID…", Short: "End silences now",
		Long:    "End silences now. An ID may be shortened to its first characters, at least 4 after si_.",
		Example: "  engine alerts unsilence si_h4kq7z", Args: wantSome("ID"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := wrongUseOf(d.wantBy()); err != nil {
				return err
			}
			return each(cmd, ids, d.unsilence)
		},
	}
	d.addBy(cmd)
	return cmd
}

func (d *desk) unsilence(cmd *cobra.Command, written string) error {
	id, err := d.resolveSilence(cmd.Context(), written)
	if err != nil {
		return err
	}
	var doc json.RawMessage
	path := "/api/v1/silences/" + url.PathEscape(id) + "?" + url.Values{"by": {d.by}}.Encode()
	if err := d.ask(cmd.Context(), http.MethodDelete, path, nil, &doc); err != nil {
		return err
	}
	return d.printSilence(cmd.OutOrStdout(), doc, "ended")
}

// resolveSilence gives the whole id of the silence that begins as is written.
func (d *desk) resolveSilence(ctx context.Context, written string) (string, error) {
	prefix, err := idPrefix("si_", written)
	if err != nil {
		return "", err
	}
	found, err := d.findSilences(ctx)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, doc := range found {
		var s silence
		if err := json.Unmarshal(doc, &s); err != nil {
			return "", exit{exitNo, err}
		}
		if strings.HasPrefix(s.ID, prefix) {
			ids = append(ids, s.ID)
		}
	}
	if len(ids) == 0 {
		return prefix, nil // the engine knows what to say
	}
	return only(prefix, ids)
}

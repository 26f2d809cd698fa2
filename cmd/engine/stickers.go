package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// stickerDesk is the commands about the stickers of a running engine.
type stickerDesk struct {
	client
	twin, color, context string
	json                 bool
}

func stickersCommand() *cobra.Command {
	d := &stickerDesk{}
	cmd := &cobra.Command{
		Use:   "stickers",
		Short: "List the stickers of a running engine, and take them off",
		Long: `List the stickers that the token may see, those that were put last first: those
that have its user, role or account among their recipients, or all where nobody has
to say who they are.

Exit codes: 0 fine; 1 the engine is not there or says no; 2 wrong use.`,
		Example: `  engine stickers
  engine stickers --twin meter_1 --color red
  engine stickers remove meter_1 red`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.list(cmd.Context(), cmd.OutOrStdout()) },
	}
	d.addURL(cmd)
	cmd.Flags().StringVar(&d.twin, "twin", "", "of one twin")
	cmd.Flags().StringVar(&d.color, "color", "", "of one color")
	cmd.PersistentFlags().StringVar(&d.context, "context", "system", "whose: system (anybody's), personal (the token's account's) or the UUID of an account")
	cmd.PersistentFlags().BoolVar(&d.json, "json", false, "as JSON, one sticker a line")
	cmd.AddCommand(&cobra.Command{
		Use: "remove TWIN COLOR", Short: "Take a sticker off a twin", Example: "  engine stickers remove meter_1 red",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return wrongUse("%s: want a TWIN and a COLOR", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.remove(cmd.Context(), args[0], args[1], cmd.OutOrStdout())
		},
	})
	return cmd
}

// stickerPage is how many stickers are asked for at a time: as many as may be.
const stickerPage = 100

// find gives the stickers that are meant.
func (d *stickerDesk) find(ctx context.Context) (found []json.RawMessage, err error) {
	query := url.Values{"context": {d.context}, "limit": {strconv.Itoa(stickerPage)}}
	if d.color != "" {
		query.Set("color", d.color)
	}
	for offset := 0; ; offset += stickerPage {
		query.Set("offset", strconv.Itoa(offset))
		var answer struct{ Stickers []json.RawMessage }
		if err := d.ask(ctx, http.MethodGet, "/stickers?"+query.Encode(), nil, &answer); err != nil {
			return nil, err
		}
		for _, doc := range answer.Stickers {
			var s sticker
			if err := json.Unmarshal(doc, &s); err != nil {
				return nil, exit{exitNo, err}
			}
			if d.twin == "" || s.Twin == d.twin {
				found = append(found, doc)
			}
		}
		if len(answer.Stickers) < stickerPage {
			return found, nil
		}
	}
}

// sticker is what the commands read of one.
type sticker struct {
	Account, Twin, Color, Note string
	Recipients                 []string
	Validity                   float64 `json:"validity_ts"`
	Created                    float64 `json:"created_ts"`
}

func (d *stickerDesk) list(ctx context.Context, out io.Writer) error {
	found, err := d.find(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	return table[sticker]{
		none:   "no stickers",
		header: "TWIN\tCOLOR\tAGE\tLEFT\tRECIPIENTS\tNOTE",
		row: func(w io.Writer, s *sticker) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(s.Twin), s.Color, age(now.Sub(secondsSince1970(s.Created))), age(secondsSince1970(s.Validity).Sub(now)),
				printable(strings.Join(s.Recipients, " ")), printable(s.Note))
		},
	}.print(out, d.json, found)
}

func secondsSince1970(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }

func (d *stickerDesk) remove(ctx context.Context, twin, color string, out io.Writer) error {
	path := "/twins/" + url.PathEscape(twin) + "/stickers/" + url.PathEscape(color) + "?" + url.Values{"context": {d.context}}.Encode()
	var doc json.RawMessage
	if err := d.ask(ctx, http.MethodDelete, path, nil, &doc); err != nil {
		return err
	}
	if d.json {
		return printLines(out, []json.RawMessage{doc})
	}
	_, err := fmt.Fprintf(out, "%s %s is off\n", printable(twin), printable(color))
	return err
}

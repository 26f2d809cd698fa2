package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/rules"
)

// twinDesk is the commands about the twins of a running engine.
type twinDesk struct {
	client
	text, model, near, where string
	ids, json, yes           bool
}

func twinsCommand() *cobra.Command {
	d := &twinDesk{}
	cmd := &cobra.Command{
		Use:   "twins",
		Short: "Find the twins of a running engine, describe and delete them",
		Long: `List the twins that the token may find: all of them, or those that every flag given
asks for.

Exit codes: 0 fine; 1 the engine is not there or says no; 2 wrong use.`,
		Example: `  engine twins
  engine twins --model did:iotics:iotMachine --near 51.5,-0.1,10
  engine twins --where '{">":[{"var":"properties.ratedPower"},80]}'
  engine twins show machine_1
  engine twins delete --model did:iotics:iotMachine`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.list(cmd.Context(), cmd.OutOrStdout()) },
	}
	d.addURL(cmd)
	cmd.PersistentFlags().BoolVar(&d.json, "json", false, "as JSON, one twin a line")
	cmd.Flags().StringVar(&d.text, "text", "", "with one of these words in the label or the comment")
	cmd.Flags().StringVar(&d.near, "near", "", "in a circle: LAT,LON,KM")
	cmd.Flags().StringVar(&d.where, "where", "", "of which this JSONLogic is true, over id, visibility, location, feeds, inputs and properties")
	cmd.Flags().BoolVar(&d.ids, "ids", false, "their ids only")
	d.addModel(cmd)
	remove := &cobra.Command{
		Use: "delete {TWIN… | --model ID}", Short: "Delete twins, with their feeds",
		Long: `Delete twins, or all that have a model; those are named first, and deleted with --yes.

A twin of a file (twins.files) comes back when the engine starts anew.`,
		Example: "  engine twins delete machine_1\n  engine twins delete --model did:iotics:iotMachine --yes",
		RunE: func(cmd *cobra.Command, ids []string) error {
			if (len(ids) > 0) == (d.model != "") {
				return wrongUse("%s: want TWINs or --model", cmd.CommandPath())
			}
			return d.delete(cmd, ids)
		},
	}
	d.addModel(remove)
	remove.Flags().BoolVar(&d.yes, "yes", false, "of a model: delete them")
	cmd.AddCommand(remove, &cobra.Command{
		Use: "show TWIN…", Short: "Describe twins: properties, feeds with their last samples, inputs",
		Example: "  engine twins show machine_1", Args: wantSome("TWIN"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return each(cmd, ids, func(cmd *cobra.Command, id string) error { return d.show(cmd.Context(), id, cmd.OutOrStdout()) })
		},
	})
	return cmd
}

func (d *twinDesk) addModel(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.model, "model", "", "whose property app#model is this id")
}

// twinPage is how many twins are asked for at a time: as many as may be.
const twinPage = 1000

// filter is that of a search.
func (d *twinDesk) filter() (map[string]any, error) {
	f := map[string]any{}
	if d.text != "" {
		f["text"] = d.text
	}
	if d.model != "" {
		f["properties"] = []any{map[string]any{"key": rules.PropModel, "uriValue": map[string]any{"value": d.model}}}
	}
	if d.near != "" {
		var circle []float64
		for part := range strings.SplitSeq(d.near, ",") {
			n, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			if err != nil {
				break
			}
			circle = append(circle, n)
		}
		if len(circle) != 3 || strings.Count(d.near, ",") != 2 {
			return nil, wrongUse("--near: got %q; want LAT,LON,KM such as 51.5,-0.1,10", d.near)
		}
		f["location"] = map[string]any{"location": map[string]any{"lat": circle[0], "lon": circle[1]}, "radiusKm": circle[2]}
	}
	if d.where != "" {
		if !json.Valid([]byte(d.where)) {
			return nil, wrongUse("--where: not JSON: %s", d.where)
		}
		f["jsonLogic"] = json.RawMessage(d.where)
	}
	return f, nil
}

// find gives the twins that are meant.
func (d *twinDesk) find(ctx context.Context, response string) (found []json.RawMessage, err error) {
	filter, err := d.filter()
	if err != nil {
		return nil, err
	}
	body := map[string]any{"responseType": response, "filter": filter}
	for offset := 0; ; offset += twinPage {
		var answer struct {
			Result struct {
				Payload struct{ Twins []json.RawMessage }
			}
		}
		query := url.Values{"limit": {strconv.Itoa(twinPage)}, "offset": {strconv.Itoa(offset)}}
		if err := d.ask(ctx, http.MethodPost, "/qapi/searches?"+query.Encode(), body, &answer); err != nil {
			return nil, err
		}
		page := answer.Result.Payload.Twins
		if found = append(found, page...); len(page) < twinPage {
			return found, nil
		}
	}
}

// twin is what the commands read of one.
type twin struct {
	TwinID     struct{ ID string }
	Visibility string
	Location   *rules.Location
	Properties []twinProperty
	Feeds      []struct {
		FeedID    struct{ ID string }
		StoreLast bool
	}
	Inputs []struct{ InputID struct{ ID string } }
}

// twinProperty is a property: one of the values beside the key is there.
type twinProperty struct {
	Key                                                          string
	LangLiteralValue, LiteralValue, StringLiteralValue, URIValue *struct{ Value string }
}

func (p *twinProperty) value() string {
	for _, v := range []*struct{ Value string }{p.LangLiteralValue, p.LiteralValue, p.StringLiteralValue, p.URIValue} {
		if v != nil {
			return v.Value
		}
	}
	return ""
}

// the gives the first value of a property, or "".
func (t *twin) the(key string) string {
	for i := range t.Properties {
		if t.Properties[i].Key == key {
			return t.Properties[i].value()
		}
	}
	return ""
}

func (t *twin) feedIDs() (ids []string) {
	for i := range t.Feeds {
		ids = append(ids, t.Feeds[i].FeedID.ID)
	}
	return ids
}

func (t *twin) inputIDs() (ids []string) {
	for i := range t.Inputs {
		ids = append(ids, t.Inputs[i].InputID.ID)
	}
	return ids
}

func (d *twinDesk) list(ctx context.Context, out io.Writer) error {
	if d.ids {
		ids, err := d.findIDs(ctx)
		for _, id := range ids {
			fmt.Fprintln(out, id)
		}
		return err
	}
	found, err := d.find(ctx, "FULL")
	if err != nil {
		return err
	}
	return table[twin]{
		none:   "no twins",
		header: "TWIN\tLABEL\tMODEL\tVISIBILITY\tFEEDS\tINPUTS",
		row: func(w io.Writer, t *twin) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(t.TwinID.ID), printable(t.the(rules.PropLabel)), printable(t.the(rules.PropModel)), t.Visibility,
				printable(strings.Join(t.feedIDs(), " ")), printable(strings.Join(t.inputIDs(), " ")))
		},
	}.print(out, d.json, found)
}

func (d *twinDesk) findIDs(ctx context.Context) (ids []string, err error) {
	found, err := d.find(ctx, "MINIMAL")
	if err != nil {
		return nil, err
	}
	for _, doc := range found {
		var t twin
		if err := json.Unmarshal(doc, &t); err != nil {
			return nil, exit{exitNo, err}
		}
		ids = append(ids, t.TwinID.ID)
	}
	return ids, nil
}

func (d *twinDesk) show(ctx context.Context, id string, out io.Writer) error {
	var doc json.RawMessage
	if err := d.ask(ctx, http.MethodGet, twinPath(id), nil, &doc); err != nil {
		return err
	}
	if d.json {
		return printLines(out, []json.RawMessage{doc})
	}
	var answer struct{ Result twin }
	if err := json.Unmarshal(doc, &answer); err != nil {
		return exit{exitNo, err}
	}
	t := &answer.Result
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "twin\t%s\n", printable(id))
	fmt.Fprintf(w, "visibility\t%s\n", t.Visibility)
	if t.Location != nil {
		fmt.Fprintf(w, "location\t%v, %v\n", t.Location.Lat, t.Location.Lon)
	}
	for i := range t.Properties {
		p := &t.Properties[i]
		fmt.Fprintf(w, "%s\t%s\n", printable(p.Key), printable(p.value()))
	}
	for i := range t.Feeds {
		f := &t.Feeds[i]
		last := "keeps no sample"
		if f.StoreLast {
			var err error
			if last, err = d.lastSample(ctx, id, f.FeedID.ID); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "feed %s\t%s\n", printable(f.FeedID.ID), last)
	}
	for _, input := range t.inputIDs() {
		fmt.Fprintf(w, "input %s\t\n", printable(input))
	}
	return w.Flush()
}

func twinPath(id string) string { return "/qapi/twins/" + url.PathEscape(id) }

// lastSample is the last sample of a feed, for people.
func (d *twinDesk) lastSample(ctx context.Context, id, feed string) (string, error) {
	var answer struct {
		FeedData struct {
			Data       []byte
			OccurredAt time.Time
		}
	}
	err := d.ask(ctx, http.MethodGet, twinPath(id)+"/interests/twins/"+url.PathEscape(id)+"/feeds/"+url.PathEscape(feed)+"/samples/last", nil, &answer)
	if r, ok := errors.AsType[refusal](err); ok && r.status == http.StatusNotFound {
		return "no sample yet", nil
	}
	return clock(answer.FeedData.OccurredAt) + " " + printable(string(answer.FeedData.Data)), err
}

func (d *twinDesk) delete(cmd *cobra.Command, ids []string) error {
	if d.model != "" {
		var err error
		if ids, err = d.findIDs(cmd.Context()); err != nil {
			return err
		}
		if len(ids) == 0 {
			return exit{exitNo, fmt.Errorf("no twin has the model %q", d.model)}
		}
		if !d.yes {
			for _, id := range ids {
				fmt.Fprintln(cmd.OutOrStdout(), printable(id))
			}
			return exit{exitNo, fmt.Errorf("%d twins; --yes deletes them", len(ids))}
		}
	}
	return each(cmd, ids, func(cmd *cobra.Command, id string) error {
		if err := d.ask(cmd.Context(), http.MethodDelete, twinPath(id), nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is deleted\n", printable(id))
		return err
	})
}

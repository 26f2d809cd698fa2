package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"tocsin.internal/alerts"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/duration"
)

// desk is the commands about the alerts of a running engine.
type desk struct {
	client
	json, all   bool
	by, comment string
	lasts       span
}

func alertsCommand() *cobra.Command {
	d := &desk{}
	cmd := &cobra.Command{
		Use:   "alerts [FILTER…]",
		Short: "List the open alerts of a running engine, and act on them",
		Long: `List the alerts that are open, those that began last first. A filter is
name=value, name!=value, name=~regexp or name!~regexp, where name is severity,
status, interaction, rule, twin, feed, id or label.NAME; in a value of = a *
stands for anything. An alert is listed when every filter fits.

An ID may be shortened to its first characters, at least 4 after al_, as long as
only one open alert begins so.

Exit codes: 0 fine; 1 the engine is not there or says no; 2 wrong use.`,
		Example: `  engine alerts
  engine alerts severity=critical 'twin=machine_*'
  engine alerts --all label.site=brno
  engine alerts show al_55n8fqhn
  engine alerts ack al_55n8fqhn --comment "on my way"
  engine alerts shelve al_55n8fqhn --for 2h --comment "parts are ordered"
  engine alerts silence 'twin=machine_*' --for 2h --comment "line 2 stands still"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return d.list(cmd.Context(), args, cmd.OutOrStdout()) },
	}
	d.addURL(cmd)
	cmd.PersistentFlags().BoolVar(&d.json, "json", false, "as JSON, one alert or silence a line")
	cmd.Flags().BoolVar(&d.all, "all", false, "closed ones too, as far as the newest 200,000 events tell")
	cmd.AddCommand(d.showCommand(), d.silenceCommand(), d.silencesCommand(), d.unsilenceCommand())
	for _, a := range alertActions {
		cmd.AddCommand(d.actionCommand(a))
	}
	return cmd
}

// alertAction is a command that does something to alerts.
type alertAction struct{ do, short, long, done, example string }

var alertActions = []alertAction{
	{rules.Acknowledge, "Take alerts: somebody looks after them", "An alert that another has taken stays theirs, and the command says whose.", "acknowledged", "engine alerts ack al_55n8fqhn al_0k3dwz7c --comment \"on my way\""},
	{rules.Unacknowledge, "Give alerts back: nobody looks after them", "", "no longer acknowledged", "engine alerts unack al_55n8fqhn"},
	{rules.Clear, "End alerts by hand", "An alert whose conditions are true again is raised again.", "cleared", "engine alerts clear al_55n8fqhn --comment \"sensor replaced\""},
	{rules.Shelve, "Keep alerts quiet for a while", "A shelf wants a comment and an end, at most 24h away.", "shelved", "engine alerts shelve al_55n8fqhn --for 2h --comment \"parts are ordered\""},
	{rules.Unshelve, "Take alerts from the shelf", "", "no longer shelved", "engine alerts unshelve al_55n8fqhn"},
	{rules.Reset, "Let latched alerts go", "", "reset", "engine alerts reset al_55n8fqhn"},
	{rules.Comment, "Write something beside alerts", "", "commented on", "engine alerts comment al_55n8fqhn --comment \"same as last week\""},
}

func (d *desk) addBy(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.by, "by", me(), "who does it")
}

// me is who runs the command. Not every shell says so: in a container none does.
func me() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

func (d *desk) addComment(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.comment, "comment", "", "why")
}

func (d *desk) wantBy() error {
	if strings.TrimSpace(d.by) == "" {
		return errors.New("--by is missing; want who does it")
	}
	return nil
}

func (d *desk) wantComment() error {
	if strings.TrimSpace(d.comment) == "" {
		return errors.New("--comment is missing; want why")
	}
	return nil
}

func (d *desk) wantFor(most string) error {
	if d.lasts == 0 {
		return fmt.Errorf("--for is missing; want how long, such as 2h%s", most)
	}
	return nil
}

// wrongUseOf is the error of everything that is missing; nil when nothing is.
func wrongUseOf(missing ...error) error {
	if err := errors.Join(missing...); err != nil {
		return exit{exitWrong, err}
	}
	return nil
}

// span is a duration as rules write it; zero when it was not given.
type span time.Duration

// Set reads the duration.
func (s *span) Set(text string) error {
	raw, err := strictjson.Value("duration", text)
	if err != nil {
		return err
	}
	d, err := duration.Decode(raw)
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		return e.Err // the place says nothing of a flag
	}
	*s = span(d)
	return err
}

func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type is what the help calls it.
func (s *span) Type() string { return "duration" }

// alert is what the commands read of an alert.
type alert struct {
	ID, Status, Severity, Interaction, Rule, Twin, Feed, Summary string
	Description, Runbook, Reason, Revision, Event, By, Comment   string
	StartsAt, PendingSince, OccurredAt                           time.Time
	EndsAt                                                       *time.Time
	Labels                                                       map[string]string
	Data                                                         json.RawMessage
	Counts                                                       rules.Counts
	Latched, Flapping                                            bool
	Suppression                                                  *rules.Suppression
	Ack                                                          struct {
		By, Comment string
		At          time.Time
	}
}

func (d *desk) list(ctx context.Context, filters []string, out io.Writer) error {
	query := url.Values{"limit": {"100000"}}
	for _, f := range filters {
		if _, err := alerts.ParseMatcher(f); err != nil {
			return wrongUse("filter %q: %w%s", f, err, commandHint(f))
		}
		query.Add("filter", f)
	}
	found, err := d.find(ctx, query)
	if err == nil && d.all {
		query.Set("closed", "true")
		var closed []json.RawMessage
		closed, err = d.find(ctx, query)
		found = append(found, closed...)
	}
	if err != nil {
		return err
	}
	if d.json {
		return printLines(out, found)
	}
	return printTable(out, found, time.Now())
}

// commandHint helps whoever has mistyped a command, which then looks like a filter.
func commandHint(word string) string {
	if strings.ContainsAny(word, "=!") {
		return ""
	}
	known := []string{"show", "silence", "silences", "unsilence"}
	for _, a := range alertActions {
		known = append(known, a.do)
	}
	for _, command := range known {
		if strings.HasPrefix(word, command) { // acknowledge, unshelved
			return fmt.Sprintf("; did you mean %q?", command)
		}
	}
	return strictjson.DidYouMean(word, known)
}

func (d *desk) find(ctx context.Context, query url.Values) ([]json.RawMessage, error) {
	var answer struct{ Alerts []json.RawMessage }
	err := d.ask(ctx, http.MethodGet, "/api/v1/alerts?"+query.Encode(), nil, &answer)
	return answer.Alerts, err
}

func printTable(out io.Writer, documents []json.RawMessage, now time.Time) error {
	list := make([]alert, len(documents))
	for i, doc := range documents {
		if err := json.Unmarshal(doc, &list[i]); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no alerts")
		return err
	}
	short := shortIDs(list)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATUS\tSEVERITY\tSINCE\tRULE\tTWIN\tSUMMARY")
	for i := range list {
		a := &list[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", short[a.ID], a.Status, a.Severity, age(now.Sub(a.StartsAt)),
			printable(a.Interaction+"/"+a.Rule), printable(a.Twin), printable(a.Summary))
	}
	return w.Flush()
}

// printable keeps what came with samples from writing on a terminal what it likes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// shortID is how much of an id is shown at least.
const shortID = len("al_") + 8

// shortIDs shortens ids as far as they stay different.
func shortIDs(list []alert) map[string]string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	short := make(map[string]string, len(ids))
	for i, id := range ids {
		n := shortID
		if i > 0 {
			n = max(n, common(id, ids[i-1])+1)
		}
		if i+1 < len(ids) {
			n = max(n, common(id, ids[i+1])+1)
		}
		short[id] = id[:min(n, len(id))]
	}
	return short
}

func common(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// age is a time span for people: its two greatest units.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	const day = 24 * time.Hour
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// resolve gives the whole id of the alert that begins as is written.
func (d *desk) resolve(ctx context.Context, written string) (string, error) {
	prefix, err := idPrefix("al_", written)
	if err != nil {
		return "", err
	}
	found, err := d.find(ctx, url.Values{"filter": {"id=" + prefix + "*"}, "limit": {"5"}})
	if err != nil {
		return "", err
	}
	var ids []string
	for _, doc := range found {
		var a alert
		if err := json.Unmarshal(doc, &a); err != nil {
			return "", exit{exitNo, err}
		}
		ids = append(ids, a.ID)
	}
	switch {
	case len(ids) > 0:
		return only(prefix, ids)
	case len(prefix) < wholeID:
		return "", exit{exitNo, fmt.Errorf("no such alert: no open one begins with %s; want the whole id of a closed one", prefix)}
	}
	return prefix, nil // it may be a closed one
}

// wholeID is how long the id of an alert is.
const wholeID = len("al_") + 26

// idPrefix is what the id begins with when that is written, with or without the
// kind of the id: "al_", "si_".
func idPrefix(kind, written string) (string, error) {
	const least = 4 // less is a slip
	rest := strings.TrimPrefix(written, kind)
	odd := strings.ContainsFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if odd || len(rest) < least {
		return "", wrongUse("ID %q: want %s and at least the %d characters after it", written, kind, least)
	}
	return kind + rest, nil
}

// only is the one of ids, which all begin with prefix.
func only(prefix string, ids []string) (string, error) {
	switch {
	case slices.Contains(ids, prefix):
		return prefix, nil
	case len(ids) == 1:
		return ids[0], nil
	}
	return "", exit{exitNo, fmt.Errorf("several begin with %s: %s", prefix, strings.Join(ids, ", "))}
}

func (d *desk) actionCommand(a alertAction) *cobra.Command {
	cmd := &cobra.Command{
		Use: a.do + " ID…", Short: a.short, Example: "  " + a.example, Args: wantSome("ID"),
		Long: strings.TrimSpace(a.short + ". " + a.long),
		RunE: func(cmd *cobra.Command, ids []string) error { return d.act(cmd, a, ids) },
	}
	d.addBy(cmd)
	d.addComment(cmd)
	if a.do == rules.Shelve {
		cmd.Flags().Var(&d.lasts, "for", "how long, such as 2h, at most 24h")
	}
	return cmd
}

// act does the same to each alert.
func (d *desk) act(cmd *cobra.Command, a alertAction, ids []string) error {
	missing := []error{d.wantBy()}
	if a.do == rules.Shelve || a.do == rules.Comment {
		missing = append(missing, d.wantComment())
	}
	if a.do == rules.Shelve {
		missing = append(missing, d.wantFor(", at most 24h"))
	}
	if err := wrongUseOf(missing...); err != nil {
		return err
	}
	return each(cmd, ids, func(cmd *cobra.Command, id string) error { return d.actOn(cmd, a, id) })
}

// each goes on after an id that is refused, and ends at wrong use.
func each(cmd *cobra.Command, ids []string, do func(*cobra.Command, string) error) error {
	var failed error
	for _, id := range ids {
		if err := do(cmd, id); err != nil {
			if e, ok := errors.AsType[exit](err); ok && e.code == exitWrong {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", id, err)
			failed = exit{code: exitNo}
		}
	}
	return failed
}

func (d *desk) actOn(cmd *cobra.Command, a alertAction, written string) error {
	id, err := d.resolve(cmd.Context(), written)
	if err != nil {
		return err
	}
	body := map[string]any{"by": d.by, "comment": d.comment}
	if d.lasts != 0 {
		body["for"] = d.lasts.String()
	}
	var doc json.RawMessage
	if err := d.ask(cmd.Context(), http.MethodPost, "/api/v1/alerts/"+url.PathEscape(id)+"/"+a.do, body, &doc); err != nil {
		return err
	}
	if d.json {
		return printLines(cmd.OutOrStdout(), []json.RawMessage{doc})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s by %s\n", id, a.done, d.by)
	return err
}

func (d *desk) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show all that is known of an alert, what became of it, and who was told",
		Example: "  engine alerts show al_55n8fqhn",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return wrongUse("%s: want one ID", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.show(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
}

func (d *desk) show(ctx context.Context, written string, out io.Writer) error {
	id, err := d.resolve(ctx, written)
	if err != nil {
		return err
	}
	path := "/api/v1/alerts/" + url.PathEscape(id)
	var doc json.RawMessage
	if err := d.ask(ctx, http.MethodGet, path, nil, &doc); err != nil {
		return err
	}
	if d.json {
		return printLines(out, []json.RawMessage{doc})
	}
	var a alert
	if err := json.Unmarshal(doc, &a); err != nil {
		return exit{exitNo, err}
	}
	var history struct{ Events []alert }
	if err := d.ask(ctx, http.MethodGet, path+"/history", nil, &history); err != nil {
		return err
	}
	if err := a.print(out, history.Events); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return d.listSent(ctx, path+"/deliveries", out)
}

// print writes what a person wants to know, and leaves out what is not there.
func (a *alert) print(out io.Writer, events []alert) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		if text := printable(fmt.Sprintf(format, args...)); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	line("id", "%s", a.ID)
	line("status", "%s", a.Status)
	line("severity", "%s", a.Severity)
	line("rule", "%s/%s", a.Interaction, a.Rule)
	line("twin", "%s", a.Twin)
	line("feed", "%s", a.Feed)
	line("summary", "%s", a.Summary)
	line("description", "%s", a.Description)
	line("runbook", "%s", a.Runbook)
	line("pending since", "%s", clock(a.PendingSince))
	line("began", "%s", clock(a.StartsAt))
	if a.EndsAt != nil {
		line("ended", "%s", clock(*a.EndsAt))
	}
	if a.Ack.By != "" {
		line("acknowledged", "by %s at %s  %s", a.Ack.By, clock(a.Ack.At), a.Ack.Comment)
	}
	if s := a.Suppression; s != nil {
		line("quiet", "%s", strings.Join(strings.Fields(strings.Join([]string{s.By, s.Person, clock(s.Until), s.Comment, strings.Join(s.Rules, " ")}, " ")), " "))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		line("label "+name, "%s", a.Labels[name])
	}
	line("reason", "%s", a.Reason)
	if a.Latched {
		line("latched", "until somebody resets it")
	}
	if a.Flapping {
		line("flapping", "its changes are not told")
	}
	line("data", "%s", a.Data)
	line("samples", "%d", a.Counts.Samples)
	line("raises", "%d", a.Counts.Raises)
	line("revision", "%s", a.Revision)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nWHEN\tEVENT\tSTATUS\tSEVERITY\tBY\tCOMMENT")
	for i := range events {
		e := &events[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", clock(e.OccurredAt), e.Event, e.Status, e.Severity, printable(e.By), printable(e.Comment))
	}
	return w.Flush()
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

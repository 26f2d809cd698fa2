package backtest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tocsin.internal/rules/words"
)

// How much a report for people lists at most.
const (
	mostTwins   = 10
	mostDays    = 31
	mostChanges = 20
)

// Text writes the comparison for people.
func (c *Comparison) Text(out io.Writer) {
	fmt.Fprintf(out, "%s against %s: %s\n", c.New, c.Old, c.Run.Describe())
	for _, r := range c.Rules {
		fmt.Fprintf(out, "\n%s%s\n", r.Rule, r.is())
		for _, line := range r.lines() {
			fmt.Fprintf(out, "  %s\n", line)
		}
	}
	if len(c.Rules) > 1 {
		fmt.Fprintln(out, "\nin all")
		for _, line := range c.Total.lines() {
			fmt.Fprintf(out, "  %s\n", line)
		}
	}
	c.table(out, "twin", c.Twins, mostTwins)
	c.table(out, "day", c.Days, mostDays)
	c.list(out)
}

// is says which of the sets has a rule that the other lacks.
func (r *RuleTally) is() string {
	switch r.Only {
	case "old":
		return "  (is no longer there)"
	case "new":
		return "  (is new)"
	}
	return ""
}

// Describe says what was judged.
func (r *Run) Describe() string {
	text := fmt.Sprintf("%s of %s", words.Count(r.Samples, "sample"), words.Count(r.Twins, "twin"))
	if !r.First.IsZero() {
		text += fmt.Sprintf(", %s .. %s", r.First.UTC().Format(time.DateTime), r.Last.UTC().Format(time.DateTime))
	}
	return text
}

// lines say a tally in words.
func (t *Tally) lines() []string {
	var out []string
	made := t.makes()
	if t.Alerts != (Side[int]{}) || len(made) == 0 {
		out = append(out, fmt.Sprintf("%s -> %s   in alarm %s -> %s   again within %s: %d -> %d",
			words.Count(t.Alerts.Old, "alert"), words.Number(t.Alerts.New), Minutes(t.InAlarm.Old), Minutes(t.InAlarm.New), Span(Again), t.Flapping.Old, t.Flapping.New))
		out = append(out, t.kinds())
	}
	for _, m := range made {
		out = append(out, fmt.Sprintf("%s -> %s, other ones for %s", m.old, m.changed, m.differ))
	}
	return out
}

// makes are the lines about what is made beside alerts, in their parts.
func (t *Tally) makes() (out []struct{ old, changed, differ string }) {
	for _, kind := range makings {
		if n, differ := t.made(kind); *n != (Side[int]{}) {
			out = append(out, struct{ old, changed, differ string }{words.Count(n.Old, string(kind)), words.Number(n.New), words.Count(*differ, "sample")})
		}
	}
	return out
}

// kinds is how many alerts are new, gone, and so on.
func (t *Tally) kinds() string {
	text := fmt.Sprintf("new %d%s, gone %d%s, earlier %d, later %d, longer %d, shorter %d", t.New, within(t.NewWithin), t.Gone, within(t.InLonger), t.Earlier, t.Later, t.Longer, t.Shorter)
	if t.Severity > 0 {
		text += fmt.Sprintf(", other severity %d", t.Severity)
	}
	return text + fmt.Sprintf(", same %d", t.Same)
}

// within says how many alerts are part of a longer one of the other rules.
func within(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d within a longer one)", n)
}

func (c *Comparison) table(out io.Writer, what string, rows []Row, most int) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "by %s\told\tnew\tadded\tgone\tmoved\tin alarm, old\tnew\t\n", what)
	for _, r := range rows[:min(most, len(rows))] {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", r.Name, r.Alerts.Old, r.Alerts.New, r.New, r.Gone, r.changed(), Minutes(r.InAlarm.Old), Minutes(r.InAlarm.New))
	}
	w.Flush() //nolint:errcheck // the writer below tells
	if more := len(rows) - most; more > 0 {
		fmt.Fprintf(out, "… %d more\n", more)
	}
}

// changed is how many alerts both sets have, but not at the same times.
func (t *Tally) changed() int { return t.Alerts.New - t.New - t.Same }

// list writes the first changes, but for alerts that are part of a longer one.
func (c *Comparison) list(out io.Writer) {
	changes, hidden := c.listed(mostChanges)
	if len(changes) == 0 {
		return
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	for _, change := range changes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s", strings.Join(change.What, ", "), Rule{change.Interaction, change.Rule}, change.Twin, change.when(c.Last))
		if detail := change.detail(); detail != "" {
			fmt.Fprintf(w, "\t%s", detail)
		}
		fmt.Fprintln(w)
	}
	w.Flush() //nolint:errcheck // the writer below tells
	if hidden != "" {
		fmt.Fprintln(out, hidden)
	}
}

// listed are the first changes that a report lists, and what it says of the others.
func (c *Comparison) listed(most int) (changes []*Change, hidden string) {
	more, within := 0, 0
	for i := range c.Changes {
		switch change := &c.Changes[i]; {
		case change.Within:
			within++
		case len(changes) == most:
			more++
		default:
			changes = append(changes, change)
		}
	}
	var parts []string
	if more > 0 {
		parts = append(parts, words.Number(more)+" more")
	}
	if within > 0 {
		parts = append(parts, words.Number(within)+" within a longer one")
	}
	if len(parts) == 0 {
		return changes, ""
	}
	return changes, "… and " + strings.Join(parts, ", ")
}

// when is the time of the alert, or of both.
func (c *Change) when(last time.Time) string {
	switch {
	case c.Old == nil:
		return c.New.when(last)
	case c.New == nil:
		return c.Old.when(last)
	}
	return c.Old.when(last) + " -> " + c.New.when(last)
}

func (a *Alert) when(last time.Time) string {
	end := "still firing"
	if !a.End.IsZero() {
		layout := time.DateTime
		if sameDay(a.Start, a.End) {
			layout = time.TimeOnly
		}
		end = a.End.UTC().Format(layout)
	}
	return fmt.Sprintf("%s .. %s (%s)", a.Start.UTC().Format(time.DateTime), end, Span(a.lasts(last)))
}

func sameDay(a, b time.Time) bool {
	return a.UTC().Format(time.DateOnly) == b.UTC().Format(time.DateOnly)
}

func (c *Change) detail() string {
	switch {
	case c.Within:
		return "within a longer one"
	case c.Old == nil || c.New == nil:
		return ""
	}
	var parts []string
	if c.Begins != 0 {
		parts = append(parts, "begins "+moved(c.Begins, "later", "earlier"))
	}
	if c.Lasts != 0 {
		parts = append(parts, "lasts "+moved(c.Lasts, "longer", "less"))
	}
	if c.Old.Severity != c.New.Severity {
		parts = append(parts, c.Old.Severity+" -> "+c.New.Severity)
	}
	return strings.Join(parts, ", ")
}

func moved(d time.Duration, more, less string) string {
	if d < 0 {
		return Span(-d) + " " + less
	}
	return Span(d) + " " + more
}

// Minutes writes a time in alarm in whole minutes, in seconds when it is less.
func Minutes(d time.Duration) string {
	if 0 < d && d < time.Minute {
		return d.Round(time.Second).String()
	}
	return words.Number(int(d/time.Minute)) + " min"
}

// Markdown writes the comparison as a comment for a pull request.
func (c *Comparison) Markdown(out io.Writer) {
	fmt.Fprintf(out, "### What %s would have done\n\n", code(c.New))
	fmt.Fprintf(out, "Against %s, over %s.\n\n", code(c.Old), c.Run.Describe())
	fmt.Fprintln(out, "| rule | alerts | in alarm | new | gone | earlier | later | longer | shorter | same | flapping |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|")
	row := func(name string, t *Tally) {
		fmt.Fprintf(out, "| %s | %s → **%s** | %s → %s | %d | %d%s | %d | %d | %d | %d | %d | %d → %d |\n", name, words.Number(t.Alerts.Old), words.Number(t.Alerts.New),
			Minutes(t.InAlarm.Old), Minutes(t.InAlarm.New), t.New, t.Gone, within(t.InLonger), t.Earlier, t.Later, t.Longer, t.Shorter, t.Same, t.Flapping.Old, t.Flapping.New)
	}
	for _, r := range c.Rules {
		row(code(r.Rule.String())+r.is(), &r.Tally)
	}
	if len(c.Rules) > 1 {
		row("**in all**", &c.Total)
	}
	for _, r := range c.Rules {
		for _, m := range r.makes() {
			fmt.Fprintf(out, "\n%s: %s → %s, other ones for %s.\n", code(r.Rule.String()), m.old, m.changed, m.differ)
		}
	}
	fold := func(title string, rows []Row, most int) {
		if len(rows) == 0 {
			return
		}
		fmt.Fprintf(out, "\n<details><summary>By %s</summary>\n\n| %s | old | new | added | gone | in alarm, old | new |\n|---|---|---|---|---|---|---|\n", title, title)
		for _, r := range rows[:min(most, len(rows))] {
			fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %s | %s |\n", code(r.Name), r.Alerts.Old, r.Alerts.New, r.New, r.Gone, Minutes(r.InAlarm.Old), Minutes(r.InAlarm.New))
		}
		if more := len(rows) - most; more > 0 {
			fmt.Fprintf(out, "\n… %d more\n", more)
		}
		fmt.Fprintln(out, "\n</details>")
	}
	fold("twin", c.Twins, mostTwins)
	fold("day", c.Days, mostDays)
	changes, hidden := c.listed(mostChanges)
	if len(changes) == 0 {
		return
	}
	fmt.Fprintf(out, "\n<details><summary>%s</summary>\n\n| what | rule | twin | when | |\n|---|---|---|---|---|\n", words.Count(len(c.Changes), "difference"))
	for _, change := range changes {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", strings.Join(change.What, ", "), code(Rule{change.Interaction, change.Rule}.String()), code(change.Twin), change.when(c.Last), change.detail())
	}
	if hidden != "" {
		fmt.Fprintf(out, "\n%s\n", hidden)
	}
	fmt.Fprintln(out, "\n</details>")
}

// code writes a name so that nothing in it is Markdown.
func code(text string) string {
	return "`" + strings.NewReplacer("`", "'", "|", "\\|", "\n", " ").Replace(text) + "`"
}

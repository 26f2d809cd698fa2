package engine

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/words"
)

// inWords is a time as rules are written, such as 5m or 1h30m, to the millisecond.
func inWords(d time.Duration) string {
	if d > time.Millisecond {
		d = d.Round(time.Millisecond)
	}
	return duration.Text(d)
}

// Text is the explanation for people.
func (x *Explained) Text() string {
	var b strings.Builder
	state := "enabled"
	if !x.Enabled {
		state = "not enabled"
	}
	if x.Shadow {
		state += ", a shadow: nobody is told"
	}
	fmt.Fprintf(&b, "%s/%s  revision %s  %s", x.Interaction, x.Rule, x.Revision, state)
	if x.Twin != "" {
		fmt.Fprintf(&b, "   %s", x.Twin)
	}
	if !x.From.IsZero() {
		fmt.Fprintf(&b, "   %s .. %s", x.From.UTC().Format(time.DateTime), x.To.UTC().Format(time.DateTime))
	}
	b.WriteByte('\n')
	if x.Alert != nil {
		x.event(&b)
	}
	if len(x.Timeline) > 0 {
		x.timeline(&b)
	}
	if x.Alert == nil && len(x.Timeline) == 0 {
		x.funnel(&b)
	}
	if x.Sample != nil {
		title := "last sample"
		if x.Alert != nil {
			title = "sample"
		}
		b.WriteString(x.Sample.Text(title, x.place()))
	}
	if x.Clock != nil {
		b.WriteString(x.Clock.Text("clock ", ""))
	}
	x.sent(&b)
	for _, n := range x.Notes {
		b.WriteString(n + "\n")
	}
	return printable(b.String())
}

// place says where the sample stands.
func (x *Explained) place() string {
	if x.ofStream && x.Sample.Index > 0 {
		return fmt.Sprintf("stream sequence %d, sample %d of the message", x.Sample.Seq, x.Sample.Index+1)
	}
	if x.ofStream {
		return fmt.Sprintf("stream sequence %d", x.Sample.Seq)
	}
	return fmt.Sprintf("line %d", x.Sample.Seq)
}

func (x *Explained) event(b *strings.Builder) {
	o := x.Alert
	fmt.Fprintf(b, "alert %s  %s  %s at %s", o.ID, o.Severity, o.Life.Event, instant(o.At))
	if !o.Life.Pending.IsZero() {
		fmt.Fprintf(b, ", true since %s", instant(o.Life.Pending))
	}
	where := "line"
	if x.ofStream {
		where = "stream sequence"
	}
	fmt.Fprintf(b, "\n  cause     %s %d, %s", where, o.Seq, o.Reason)
	if x.Sample != nil && x.Sample.Seq != o.Seq {
		b.WriteString(": the clock; the sample below is the last one before")
	}
	fmt.Fprintf(b, "\n  revision  %s of the rule\n", o.Life.Revision)
	if o.Summary != "" {
		fmt.Fprintf(b, "  summary   %s\n", o.Summary)
	}
}

// mostSent is how many attempts are listed.
const mostSent = 100

func (x *Explained) sent(b *strings.Builder) {
	if len(x.Sent) == 0 {
		return
	}
	list := x.Sent[max(len(x.Sent)-mostSent, 0):]
	b.WriteString("sent\n")
	if hidden := len(x.Sent) - len(list); hidden > 0 {
		fmt.Fprintf(b, "  … %s before; engine deliveries --alert lists them\n", words.Number(hidden))
	}
	for i := range list {
		what, text := list[i].Line()
		fmt.Fprintf(b, "  %s  %-6s  %-14s  %s\n", list[i].At.UTC().Format(time.TimeOnly), what, cmp.Or(list[i].Event, list[i].Kind), text)
	}
}

func (x *Explained) funnel(b *strings.Builder) {
	width := 0
	for _, s := range x.Funnel {
		width = max(width, utf8.RuneCountInString(s.Name))
	}
	for _, s := range x.Funnel {
		count := words.Number(int(s.Count))
		fmt.Fprintf(b, "  %-*s  %7s", width, s.Name, count)
		if s.Stops {
			b.WriteString("   <- stops here")
		}
		b.WriteByte('\n')
	}
}

func (x *Explained) timeline(b *strings.Builder) {
	width := 0
	for _, m := range x.Timeline {
		width = max(width, utf8.RuneCountInString(m.What))
	}
	for _, m := range x.Timeline {
		fmt.Fprintf(b, "%s  %-*s  %s\n", m.At.UTC().Format("15:04:05"), width, m.What, m.Text)
	}
	if x.Hidden > 0 {
		fmt.Fprintf(b, "… %s more; want a smaller --window\n", words.Number(x.Hidden))
	}
}

// printable keeps what came with samples from writing on a terminal what it likes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// shownData is how much of a sample people are shown.
const shownData = 200

// Text is the explanation for people. Title is what the sample is called, place
// where it stands.
func (e *Explanation) Text(title, place string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", title, e.At.UTC().Format("2006-01-02T15:04:05.999Z"))
	if len(e.Data) > 0 {
		b.WriteString("  " + shownJSON(e.Data))
	}
	if place != "" {
		b.WriteString("   " + place)
	}
	b.WriteByte('\n')
	if e.Judged != nil {
		fmt.Fprintf(&b, "judged as  %s\n", shownJSON(e.Judged))
	}
	for _, t := range e.Tests {
		if len(e.Tests) > 1 || t.What != "condition" {
			fmt.Fprintf(&b, "%s\n", t.What)
		}
		b.WriteString(t.Trace.Text("  "))
	}
	for i, w := range e.Why {
		b.WriteString(label(i, "why"))
		b.WriteString(w + "\n")
	}
	e.states(&b)
	return b.String()
}

func label(i int, name string) string {
	if i > 0 {
		name = ""
	}
	return fmt.Sprintf("%-7s ", name)
}

func (e *Explanation) states(b *strings.Builder) {
	before, after := strings.Join(e.Before.Words, ", "), strings.Join(e.After.Words, ", ")
	fmt.Fprintf(b, "before  %s\nafter   %s\n", before, after)
}

// shownJSON is data on one line, cut when it is long.
func shownJSON(data []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		b.Reset()
		b.Write(data)
	}
	s := b.String()
	if len(s) <= shownData {
		return s
	}
	return strings.ToValidUTF8(s[:shownData], "") + "…"
}

// Line is the explanation on one line: what the conditions read, the verdict, and
// what the rule waits for.
func (e *Explanation) Line() string {
	text := ""
	if len(e.Tests) > 0 {
		text = strings.Join(e.Tests[0].Trace.Inputs(), "  ")
	}
	if text == "" {
		text = shownJSON(e.Data)
	}
	verdict := e.Verdict
	if verdict == "" {
		verdict = "decides nothing"
	}
	out := fmt.Sprintf("%-30s  %s", text, verdict)
	if word := e.After.Words; len(word) > 0 && e.After.phase != idle {
		out += ", " + word[0]
	}
	return out
}

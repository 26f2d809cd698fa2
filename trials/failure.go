package trials

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
)

// Failure is one thing that came otherwise than it was wanted.
type Failure struct {
	Place   string // file:line, or file:line:col
	Case    string // of tests.json; else ""
	After   string // the last sample that could have made it
	Wanted  string
	Got     string
	Differs []difference
	Why     []string // the last look of the rule, one condition a line
	Notes   []string
	Samples string // the last ones of the twin
}

// shownSamples is how many samples before the place are shown.
const shownSamples = 6

// topic is what a failure is about.
type topic struct {
	rule, twin  string    // "": not known
	until, seen time.Time // when the outcome was wanted, and when one came; zero: not known
	missed      bool      // none came that is like it
}

// explain adds what there was to see for the rule when the outcome was wanted:
// its last look at its conditions, and the twin's last samples.
func (j *judge) explain(f *Failure, about topic) {
	if about.until.IsZero() {
		about.until = about.seen
	}
	last := j.lastBefore(about.twin, about.until)
	if last < 0 && about.twin != "" && !j.grouped(about.rule) {
		f.Notes = append(f.Notes, fmt.Sprintf("no sample of %q up to then", about.twin))
		return
	}
	if last < 0 { // the alert is a group's, and the samples are its members'
		last = j.lastBefore("", about.until)
	}
	if last < 0 {
		return
	}
	s := &j.samples[last]
	f.After = fmt.Sprintf("%s:%d (%s, %s)", j.c.file, s.Seq, clockTime(s.At), s.Twin)
	var fields []string
	for _, l := range j.lastLooks(about.rule, about.twin, last) {
		for _, e := range l.exprs {
			f.Why = append(f.Why, why(e, l.document)...)
			for _, v := range e.Vars() {
				fields = append(fields, v.Path)
			}
		}
	}
	if about.missed {
		j.remembered(f, about.rule, last)
	}
	if about.seen.After(about.until) {
		last = max(last, j.lastBefore(s.Twin, about.seen))
	}
	f.Samples = j.shownSamples(last, fields)
}

// grouped says whether a rule judges many twins as one.
func (j *judge) grouped(rule string) bool {
	for _, p := range j.c.folder.programs {
		if slices.ContainsFunc(p.Links(), func(l rules.Link) bool { return l.Group && l.Name == rule }) {
			return true
		}
	}
	return false
}

// lastBefore is the last sample up to a time, of a twin or of any; -1 for none.
func (j *judge) lastBefore(twin string, until time.Time) int {
	last := -1
	for i := range j.samples {
		s := &j.samples[i]
		if (until.IsZero() || !s.At.After(until)) && (twin == "" || s.Twin == twin) {
			last = i
		}
	}
	return last
}

// remembered says what the rule made of a sample, and remembers: why nothing came.
func (j *judge) remembered(f *Failure, rule string, last int) {
	e := j.explanation(rule, last)
	if e == nil {
		return
	}
	if e.After.Phase != "idle" && len(e.After.Words) > 0 {
		f.Got += ": " + e.After.Words[0]
	}
	f.Why = append(f.Why, e.Why...)
	if e.After.Phase != "pending" {
		return
	}
	s := &j.samples[last]
	began := slices.IndexFunc(j.samples[:last], func(o rules.Sample) bool {
		return o.Twin == s.Twin && o.Feed == s.Feed && o.At.Equal(e.After.Since)
	})
	if began < 0 {
		return
	}
	if first := j.explanation(rule, began); first != nil && first.Before.Phase == "pending" {
		f.Why = append(f.Why, first.Why...) // a wait that was under way ended there
	}
}

// explanation is how a rule judges a sample; nil where it does not.
func (j *judge) explanation(rule string, at int) *rules.Explanation {
	for _, p := range j.c.folder.programs {
		if !slices.Contains(p.Rules(), rule) {
			continue
		}
		x, err := p.Explainer(rule)
		if err != nil {
			return nil // it was compiled, so this does not happen
		}
		r := engine.NewReplay(map[string]*rules.Program{p.ID(): p}, j.c.twins)
		var out []rules.Outcome
		for i := range at {
			s := j.samples[i]
			out, _ = r.Judge(&s, out[:0]) // it has been judged before
		}
		s := j.samples[at]
		e, _ := r.Explain(x, &s) // without an explanation there is none to show
		return e
	}
	return nil
}

// lastLooks are those of a rule at the last sample of a twin, up to one, at which
// it had any: the last at each expression.
func (j *judge) lastLooks(rule, twin string, last int) (out []looked) {
	at := -1
	for _, l := range slices.Backward(j.looks) {
		if l.sample > last || l.rule != rule || twin != "" && at < 0 && j.samples[l.sample].Twin != j.samples[last].Twin {
			continue
		}
		if at < 0 {
			at = l.sample
		}
		if l.sample != at {
			break
		}
		if !slices.ContainsFunc(out, func(o looked) bool { return o.exprs[0] == l.exprs[0] }) {
			out = append(out, l)
		}
	}
	slices.Reverse(out)
	return out
}

// shownSamples are the twin's last samples up to one: their times, and what the
// rule reads of them.
func (j *judge) shownSamples(last int, fields []string) string {
	s := &j.samples[last]
	var parts []string
	for i := last; i >= 0 && len(parts) < shownSamples; i-- {
		if o := &j.samples[i]; o.Twin == s.Twin && o.Feed == s.Feed {
			parts = append(parts, shortClock(o.At)+" "+valuesOf(o.Data, fields))
		}
	}
	slices.Reverse(parts)
	return strings.Join(parts, "   ")
}

func shortClock(at time.Time) string {
	at = at.UTC()
	if at.Second() == 0 && at.Nanosecond() == 0 {
		return at.Format("15:04")
	}
	return at.Format("15:04:05")
}

// valuesOf are the fields of a sample; the one value alone where there is one
// field, the whole sample where none of them is in it.
func valuesOf(data []byte, fields []string) string {
	var v map[string]any
	if json.Unmarshal(data, &v) != nil {
		return string(data)
	}
	var parts []string
	fields = slices.Compact(slices.Sorted(slices.Values(fields)))
	for _, path := range fields {
		if value, ok := follow(v, path); ok {
			parts = append(parts, path+"="+compact(value))
		}
	}
	switch {
	case len(parts) == 0:
		return string(data)
	case len(fields) == 1:
		_, value, _ := strings.Cut(parts[0], "=")
		return value
	}
	return strings.Join(parts, " ")
}

// follow is the value at a path with dots.
func follow(v any, path string) (any, bool) {
	for name := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// maxWhy is how many lines of an expression are shown.
const maxWhy = 12

// why is how an expression was judged, as a tree with its values.
func why(e *logic.Expr, document []byte) []string {
	var data any
	tracer, err := logic.NewTracer(e.Source())
	if err != nil || json.Unmarshal(document, &data) != nil {
		return nil // it was judged, so neither happens
	}
	text := tracer.Trace(data).Text("")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > maxWhy {
		lines = append(lines[:maxWhy], fmt.Sprintf("… %d more lines", len(lines)-maxWhy))
	}
	if part := partOf(e.Source().At.Pointer()); part != "" {
		lines[0] = part + ": " + lines[0]
	}
	return lines
}

// partOf names the part of a rule in which an expression stands; "" for its conditions.
func partOf(pointer string) string {
	for _, part := range []string{"clearCondition", "levels", "sequence"} {
		if strings.Contains(pointer, "/"+part) {
			return part
		}
	}
	return ""
}

// compactText is JSON as it was written, on one line.
func compactText(r strictjson.Raw) string {
	return compact(json.RawMessage(r.Text()))
}

// position is where a place is, in an error that says nothing.
func position(p strictjson.Place) *strictjson.Error {
	e, _ := errors.AsType[*strictjson.Error](p.Errorf("here"))
	return e
}

func placed(p strictjson.Place) string {
	e := position(p)
	return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Col)
}

// Text is the failure for people.
func (f *Failure) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "FAIL  %s", f.Place)
	if f.Case != "" {
		fmt.Fprintf(&b, "  %q", f.Case)
	}
	if f.After != "" {
		fmt.Fprintf(&b, "  after %s", f.After)
	}
	b.WriteString("\n")
	row := func(label, text string) { fmt.Fprintf(&b, "  %-8s%s\n", label, text) }
	row("wanted", f.Wanted)
	row("got", f.Got)
	width := 0
	for _, d := range f.Differs {
		width = max(width, len(d.name))
	}
	label := "differs"
	for _, d := range f.Differs {
		row(label, fmt.Sprintf("%-*s  wanted %s, got %s", width, d.name, compact(d.want), compact(d.got)))
		label = ""
	}
	for i, why := range f.Why {
		row([]string{"why", ""}[min(i, 1)], why)
	}
	for _, note := range f.Notes {
		row("note", note)
	}
	if f.Samples != "" {
		row("samples", f.Samples)
	}
	return b.String()
}

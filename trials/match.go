package trials

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

// compare says what came otherwise than it was wanted.
func (c *Case) compare(j *judge, got []told) ([]Failure, error) {
	if c.outcomes {
		return c.comparePlain(j, got)
	}
	var out []Failure
	taken := make([]bool, len(got))
	from := 0
	for i := range c.want {
		w := &c.want[i]
		at := slices.IndexFunc(got[from:], func(t told) bool { return w.fits(&t) })
		if at < 0 {
			out = append(out, c.missed(j, w, got, taken))
			continue
		}
		from += at + 1
		taken[from-1] = true
	}
	for i := range got {
		for k := range c.never {
			if diffs := differences(c.never[k].value, got[i].value, ""); len(diffs) == 0 {
				out = append(out, c.forbidden(j, placed(c.never[k].place), "nothing like "+shown(c.never[k].value), &got[i]))
				taken[i] = true
			}
		}
		if c.exactly && !taken[i] {
			out = append(out, c.forbidden(j, c.Place, "nothing else (exactly)", &got[i]))
		}
	}
	return out, nil
}

// fits says whether an outcome is the wanted one.
func (w *want) fits(t *told) bool {
	return (w.at.IsZero() || w.at.Equal(t.At)) && len(differences(w.outcome.value, t.value, "")) == 0
}

// difference is one member that is not as it was wanted.
type difference struct {
	name      string
	want, got any // missing: nothing there
}

type missing struct{}

// differences are the members of want that got has otherwise, those of objects
// one by one.
func differences(want, got map[string]any, prefix string) (out []difference) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w := want[name]
		g, ok := got[name]
		object, isObject := w.(map[string]any)
		other, both := g.(map[string]any)
		switch {
		case !ok:
			out = append(out, difference{prefix + name, w, missing{}})
		case isObject && both:
			out = append(out, differences(object, other, prefix+name+".")...)
		case !equal(w, g):
			out = append(out, difference{prefix + name, w, g})
		}
	}
	return out
}

// equal compares JSON values; texts that are the same time are equal.
func equal(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	s, isText := a.(string)
	t, both := b.(string)
	if !isText || !both {
		return false
	}
	x, isTime := parseAbsolute(s)
	y, too := parseAbsolute(t)
	return isTime && too && x.Equal(y)
}

// missed is the failure of an outcome that has not come: with the one that comes
// nearest, unless that is none at all.
func (c *Case) missed(j *judge, w *want, got []told, taken []bool) Failure {
	f := Failure{Place: placed(w.place), Case: c.Name, Wanted: w.shown()}
	best, bestScore := -1, 0
	for i := range got {
		if taken[i] {
			continue
		}
		if score := w.near(&got[i]); score > bestScore {
			best, bestScore = i, score
		}
	}
	f.Got = "nothing"
	if best >= 0 {
		t := &got[best]
		f.Got = brief(t.value)
		f.Differs = differences(w.outcome.value, t.value, "")
		if !w.at.IsZero() && !w.at.Equal(t.At) {
			f.Differs = append([]difference{{"at", w.at.UTC().Format(time.RFC3339Nano), t.At.UTC().Format(time.RFC3339Nano)}}, f.Differs...)
		}
		if len(f.Differs) == 0 {
			f.Notes = append(f.Notes, "it came before the one that is wanted above; want them in their order")
		}
	}
	about := topic{until: w.at, missed: best < 0}
	about.rule, _ = w.outcome.value["rule"].(string)
	about.twin, _ = w.outcome.value["twin"].(string)
	if best >= 0 {
		about.rule, about.twin, about.seen = got[best].Rule, got[best].Twin, got[best].At
	}
	j.explain(&f, about)
	return f
}

// near is how much an outcome has of what is wanted; 0 when it is another thing.
func (w *want) near(t *told) int {
	score := 1
	for name, weight := range map[string]int{"kind": 0, "interaction": 0, "rule": 8, "twin": 4, "event": 2, "state": 2, "severity": 1} {
		v, ok := w.outcome.value[name]
		_, has := t.value[name]
		switch {
		case ok && !has && name == "event": // an output has none
			return 0
		case ok && !equal(v, t.value[name]) && (name == "rule" || name == "kind" || name == "event" && !w.at.Equal(t.At)):
			return 0
		case ok && equal(v, t.value[name]):
			score += weight
		}
	}
	if w.at.Equal(t.At) {
		score += 5
	}
	return score
}

func (w *want) shown() string {
	text := shown(w.outcome.value)
	if w.at.IsZero() {
		return text
	}
	return text + " at " + clockTime(w.at)
}

// forbidden is the failure of an outcome that was not to come.
func (c *Case) forbidden(j *judge, place, wanted string, t *told) Failure {
	f := Failure{Place: place, Wanted: wanted, Got: brief(t.value)}
	if !c.outcomes {
		f.Case = c.Name
	}
	j.explain(&f, topic{rule: t.Rule, twin: t.Twin, until: t.At})
	return f
}

// volatile are the members of which a whole line says nothing: the revision is
// another one after each edit of the rule.
var volatile = []string{"revision"}

// comparePlain holds all outcomes to outcomes.ndjson.
func (c *Case) comparePlain(j *judge, got []told) ([]Failure, error) {
	lines, err := readOutcomes(c.Place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file, so the test wants nothing; engine test --update writes it", c.Place)
	}
	if err != nil {
		return nil, err
	}
	var out []Failure
	for _, p := range align(lines, got) {
		switch {
		case p.want == nil:
			out = append(out, c.forbidden(j, p.place(c.Place), "nothing", p.got))
		case p.got == nil:
			f := Failure{Place: p.place(c.Place), Wanted: brief(p.want.value), Got: "nothing"}
			about := topic{until: p.want.at(), missed: true}
			about.rule, _ = p.want.value["rule"].(string)
			about.twin, _ = p.want.value["twin"].(string)
			j.explain(&f, about)
			out = append(out, f)
		default:
			diffs := p.differences()
			if len(diffs) == 0 {
				continue
			}
			f := Failure{Place: p.place(c.Place), Wanted: brief(p.want.value), Got: brief(p.got.value), Differs: diffs}
			j.explain(&f, topic{rule: p.got.Rule, twin: p.got.Twin, until: p.want.at(), seen: p.got.At})
			out = append(out, f)
		}
	}
	return out, nil
}

// wantedLine is a line of outcomes.ndjson.
type wantedLine struct {
	n     int
	value map[string]any
}

func (w *wantedLine) at() time.Time {
	text, _ := w.value["occurredAt"].(string)
	at, _ := parseAbsolute(text)
	return at
}

func readOutcomes(name string) ([]wantedLine, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []wantedLine
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		w := wantedLine{n: n}
		if err := json.Unmarshal(line, &w.value); err != nil {
			return nil, fmt.Errorf("%s:%d: not an outcome: %w", name, n, err)
		}
		out = append(out, w)
	}
	return out, nil
}

// pair is a wanted outcome with the one that came in its place; one may be nil.
type pair struct {
	want *wantedLine
	got  *told
	line int // of the file: where the wanted one stands, or would
}

func (p *pair) place(file string) string { return fmt.Sprintf("%s:%d", file, p.line) }

// differences are those of both, in both directions.
func (p *pair) differences() []difference {
	diffs := differences(p.want.value, p.got.value, "")
	for _, d := range differences(p.got.value, p.want.value, "") {
		if d.got == (missing{}) {
			diffs = append(diffs, difference{d.name, missing{}, d.want})
		}
	}
	return slices.DeleteFunc(diffs, func(d difference) bool { return slices.Contains(volatile, d.name) })
}

// maxAligned bounds the work of align: beyond it lines are compared in their order.
const maxAligned = 4_000_000

// align brings what is wanted and what came together, so that one line too many
// does not make all that follow differ.
func align(lines []wantedLine, got []told) []pair {
	same := func(i, k int) bool { p := pair{want: &lines[i], got: &got[k]}; return len(p.differences()) == 0 }
	var out []pair
	head := 0
	for head < len(lines) && head < len(got) && same(head, head) {
		out = append(out, pair{&lines[head], &got[head], lines[head].n})
		head++
	}
	tail := 0
	for tail < len(lines)-head && tail < len(got)-head && same(len(lines)-1-tail, len(got)-1-tail) {
		tail++
	}
	out = append(out, alignMiddle(lines[head:len(lines)-tail], got[head:len(got)-tail], lines, head)...)
	for i := tail; i > 0; i-- {
		w := &lines[len(lines)-i]
		out = append(out, pair{w, &got[len(got)-i], w.n})
	}
	return out
}

// alignMiddle finds the alignment in which most outcomes are equal, and then
// most are of the same thing.
func alignMiddle(lines []wantedLine, got []told, all []wantedLine, head int) []pair {
	n, m := len(lines), len(got)
	lineOf := func(i int) int { // where a line would stand that comes before lines[i]
		switch at := head + i; {
		case at < len(all):
			return all[at].n
		case len(all) > 0:
			return all[len(all)-1].n + 1
		}
		return 1
	}
	if n*m > maxAligned {
		return inOrder(lines, got, lineOf)
	}
	score := make([][]int, n+1)
	for i := range score {
		score[i] = make([]int, m+1)
	}
	fit := func(i, k int) int {
		p := pair{want: &lines[i], got: &got[k]}
		switch {
		case !sameThing(lines[i].value, got[k].value):
			return 0
		case len(p.differences()) == 0:
			return 1000
		case equal(lines[i].value["occurredAt"], got[k].value["occurredAt"]):
			return 3
		}
		return 2
	}
	fits := make([][]int, n)
	for i := n - 1; i >= 0; i-- {
		fits[i] = make([]int, m)
		for k := m - 1; k >= 0; k-- {
			fits[i][k] = fit(i, k)
			score[i][k] = max(score[i+1][k], score[i][k+1])
			if fits[i][k] > 0 {
				score[i][k] = max(score[i][k], score[i+1][k+1]+fits[i][k])
			}
		}
	}
	var out []pair
	i, k := 0, 0
	for i < n || k < m {
		switch {
		case i < n && k < m && fits[i][k] > 0 && score[i][k] == score[i+1][k+1]+fits[i][k]:
			out = append(out, pair{&lines[i], &got[k], lines[i].n})
			i, k = i+1, k+1
		case k == m || i < n && score[i][k] == score[i+1][k]:
			out = append(out, pair{&lines[i], nil, lines[i].n})
			i++
		default:
			out = append(out, pair{nil, &got[k], lineOf(i)})
			k++
		}
	}
	return out
}

func inOrder(lines []wantedLine, got []told, lineOf func(int) int) (out []pair) {
	for i := range max(len(lines), len(got)) {
		p := pair{line: lineOf(i)}
		if i < len(lines) {
			p.want = &lines[i]
		}
		if i < len(got) {
			p.got = &got[i]
		}
		out = append(out, p)
	}
	return out
}

// sameThing says whether two outcomes tell of the same: the same event of the
// same rule about the same twin.
func sameThing(a, b map[string]any) bool {
	for _, name := range []string{"kind", "interaction", "rule", "twin", "feed", "event", "state", "op", "color", "topic"} {
		if !reflect.DeepEqual(a[name], b[name]) {
			return false
		}
	}
	return true
}

// brief names an outcome in one line.
func brief(v map[string]any) string {
	text := func(name string) string { s, _ := v[name].(string); return s }
	parts := []string{text("kind"), text("interaction") + "/" + text("rule"), text("twin")}
	if text("kind") == string(rules.Output) {
		parts = append(parts, text("feed"), compact(v["data"]))
	} else {
		event := text("event")
		if event == "" {
			event = text("state")
		}
		parts = append(parts, event, text("severity"), text("op"), text("color"), text("topic"))
	}
	if at, ok := parseAbsolute(text("occurredAt")); ok {
		parts = append(parts, "at "+clockTime(at))
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// shown is a partial outcome as it was written.
func shown(v map[string]any) string {
	if len(v) == 0 {
		return "any outcome"
	}
	return compact(v)
}

func compact(v any) string {
	if v == (missing{}) {
		return "nothing"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}

// clockTime is the time of the day, which is what a test is about.
func clockTime(at time.Time) string {
	at = at.UTC()
	if at.Nanosecond() > 0 {
		return at.Format("15:04:05.999Z")
	}
	return at.Format("15:04:05Z")
}

// update writes what came to outcomes.ndjson, and says what that changes.
func (c *Case) update(got []told) (string, error) {
	var text []byte
	for i := range got {
		text = append(append(text, got[i].line...), '\n')
	}
	before, err := os.ReadFile(c.Place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("written  %s  %s", c.Place, words.Count(len(got), "outcome")), os.WriteFile(c.Place, text, 0o644)
	case err != nil:
		return "", err
	case bytes.Equal(before, text):
		return "", nil
	}
	changed, added, gone := 0, 0, 0
	if lines, err := readOutcomes(c.Place); err == nil {
		for _, p := range align(lines, got) {
			switch {
			case p.want == nil:
				added++
			case p.got == nil:
				gone++
			case !reflect.DeepEqual(p.want.value, p.got.value):
				changed++
			}
		}
	}
	return fmt.Sprintf("updated  %s  %d changed, %d new, %d gone", filepath.ToSlash(c.Place), changed, added, gone), os.WriteFile(c.Place, text, 0o644)
}

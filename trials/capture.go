package trials

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// Capture is what makes a test of an alert that has come.
type Capture struct {
	Program       *rules.Program // as it runs
	Twins         []twins.Twin   // those that Related gives; nil: nobody has described any
	Samples       []rules.Sample // of these twins, in the order of the stream
	Raised        rules.Outcome  // the alert's first event
	Before, After time.Duration  // how much of the samples around it is wanted
	Now           time.Time      // what comes later is not known
}

// Captured is what a capture has written.
type Captured struct {
	Files    []string
	Samples  int
	Outcomes int           // that the test wants
	Before   time.Duration // how far back the samples reach
	Same     bool          // the test raises the very alert, at the very time
}

// Related are the twins that a rule's alert about a twin, or about a group,
// hangs on: itself, those that joins and groups bring to it, and their models.
func Related(p *rules.Program, rule string, all []twins.Twin, twin string) []twins.Twin {
	known := map[string]*twins.Twin{}
	for i := range all {
		known[all[i].ID] = &all[i]
	}
	wanted := map[string]bool{twin: true}
	for _, l := range p.Links() {
		if l.Name != rule && !strings.HasPrefix(l.Name, rule+".") {
			continue
		}
		value, ok := valueOf(known[twin], l.Property)
		if known[twin] == nil && l.Group { // the alert is the group's
			value, ok = twin, true
		}
		for i := range all {
			own, has := valueOf(&all[i], l.Property)
			if ok && has && own == value && twins.Match(&p.Sources()[l.Source].Filter, &all[i]) {
				wanted[all[i].ID] = true
			}
		}
	}
	for i := range all {
		if model, ok := valueOf(&all[i], rules.PropModel); ok && wanted[all[i].ID] {
			wanted[model] = true
		}
	}
	out := []twins.Twin{}
	for i := range all {
		if wanted[all[i].ID] {
			out = append(out, all[i])
		}
	}
	return out
}

// valueOf is the value of a twin's property; of no property all have the same.
func valueOf(t *twins.Twin, property string) (string, bool) {
	if property == "" || t == nil {
		return "", property == ""
	}
	for _, p := range t.Properties {
		if p.Key == property {
			return p.Value.Value, true
		}
	}
	return "", false
}

// Write makes the folder, which must not have rules or tests yet. When the samples
// before the alert do not raise it, because it hangs on more of them, it takes
// more.
func (c *Capture) Write(dir string) (Captured, error) {
	for _, name := range []string{interactionFile, casesFile, ndjsonFile, outcomesFile, twinsFile} {
		if exists(filepath.Join(dir, name)) {
			return Captured{}, fmt.Errorf("%s: is there already; want a folder without rules and tests", filepath.Join(dir, name))
		}
	}
	out, samples, got := c.around()
	if len(samples) == 0 {
		return out, errors.New("the stream does not retain the samples around the alert any more")
	}
	cases, err := c.cases(samples, got)
	if err != nil {
		return out, err
	}
	files := map[string][]byte{ndjsonFile: lines(samples), casesFile: cases}
	if files[interactionFile], err = indented(c.Program.Text()); err != nil {
		return out, err
	}
	if c.Twins != nil {
		if files[twinsFile], err = twinsJSON(c.Twins); err != nil {
			return out, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return out, err
	}
	for _, name := range []string{interactionFile, twinsFile, ndjsonFile, casesFile} {
		if files[name] == nil {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return out, err
		}
		out.Files = append(out.Files, path)
	}
	out.Samples, out.Outcomes = len(samples), len(got)
	return out, nil
}

// around finds the samples, and what the rule makes of them.
func (c *Capture) around() (out Captured, samples []rules.Sample, got []rules.Outcome) {
	until := c.until()
	upTo := slices.DeleteFunc(slices.Clone(c.Samples), func(s rules.Sample) bool { return s.At.After(until) })
	for before := c.Before; ; before *= 2 {
		from := c.Raised.At.Add(-before)
		samples = slices.DeleteFunc(slices.Clone(upTo), func(s rules.Sample) bool { return s.At.Before(from) })
		got = c.replay(samples, until)
		out.Before = before
		out.Same = slices.ContainsFunc(got, func(o rules.Outcome) bool {
			return o.At.Equal(c.Raised.At) && o.ID == c.Raised.ID && o.State == rules.StateFiring
		})
		if out.Same || len(samples) == len(upTo) || before > 1<<62 {
			return out, samples, got
		}
	}
}

func (c *Capture) until() time.Time {
	until := c.Raised.At.Add(c.After)
	if c.Now.Before(until) {
		return c.Now
	}
	return until
}

// replay gives the outcomes of the alert's rule about its twin.
func (c *Capture) replay(samples []rules.Sample, until time.Time) []rules.Outcome {
	r := engine.NewReplay(map[string]*rules.Program{c.Program.ID(): c.Program}, c.Twins)
	samples = slices.Clone(samples)
	if r.Timed() {
		engine.Merge(samples)
	}
	var out []rules.Outcome
	for i := range samples {
		out, _ = r.Judge(&samples[i], out) // what cannot be judged is no sample that was
	}
	if len(samples) > 0 {
		out = r.Until(until, samples[len(samples)-1].Seq, out)
	}
	return slices.DeleteFunc(out, func(o rules.Outcome) bool { return o.Rule != c.Raised.Rule || o.Twin != c.Raised.Twin })
}

// cases is tests.json.
func (c *Capture) cases(samples []rules.Sample, got []rules.Outcome) ([]byte, error) {
	type outcome struct {
		Rule     string          `json:"rule"`
		Twin     string          `json:"twin"`
		Event    string          `json:"event,omitempty"`
		Severity string          `json:"severity,omitempty"`
		Data     json.RawMessage `json:"data"`
	}
	type wanted struct {
		At      time.Time `json:"at"`
		Outcome outcome   `json:"outcome"`
	}
	test := struct {
		Name  string           `json:"name"`
		File  string           `json:"file"`
		Until time.Time        `json:"until"`
		Want  []wanted         `json:"want,omitempty"`
		Never []map[string]any `json:"never,omitempty"`
	}{Name: "alert " + c.Raised.ID, File: ndjsonFile, Until: c.until().UTC()}
	for i := range got {
		o := &got[i]
		w := wanted{o.At.UTC(), outcome{Rule: o.Rule, Twin: o.Twin, Severity: o.Severity, Data: o.Data}}
		if o.Life != nil {
			w.Outcome.Event = o.Life.Event
		}
		test.Want = append(test.Want, w)
	}
	if len(test.Want) == 0 {
		test.Never = []map[string]any{{"rule": c.Raised.Rule, "twin": c.Raised.Twin}}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode([]any{test})
	return b.Bytes(), err
}

// lines are samples in NDJSON.
func lines(samples []rules.Sample) []byte {
	var b []byte
	for i := range samples {
		s := &samples[i]
		b = rules.AppendText(append(b, `{"twin":`...), s.Twin)
		b = rules.AppendText(append(b, `,"feed":`...), s.Feed)
		b = append(s.At.UTC().AppendFormat(append(b, `,"occurredAt":"`...), time.RFC3339Nano), `","data":`...)
		var data bytes.Buffer
		if json.Compact(&data, s.Data) != nil {
			data.Reset()
			data.Write(s.Data)
		}
		b = append(append(b, data.Bytes()...), "}\n"...)
	}
	return b
}

func twinsJSON(list []twins.Twin) ([]byte, error) {
	b := []byte{'['}
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = list[i].AppendJSON(b)
	}
	return indented(append(b, ']'))
}

func indented(text []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

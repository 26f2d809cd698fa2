package backtest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/rules/words"
)

//go:embed page.html
var page []byte

// mostListed is how many alerts or changes a page lists at most.
const mostListed = 2000

// pageData is what the script of the page reads. Times are milliseconds since 1970.
type pageData struct {
	Title   string       `json:"title"`
	About   string       `json:"about"`
	New     *string      `json:"new,omitempty"` // absent: there is one set of rules
	First   int64        `json:"first"`
	Last    int64        `json:"last"`
	Heads   []string     `json:"heads"`
	Rows    [][]string   `json:"rows"`
	Panels  []pagePanel  `json:"panels"`
	Changes []pageChange `json:"changes"`
	More    int          `json:"more,omitempty"` // changes that are not listed
}

type pagePanel struct {
	Rule       string      `json:"rule"`
	Twin       string      `json:"twin"`
	Field      string      `json:"field"`
	Count      string      `json:"count"`
	Thresholds []Threshold `json:"thresholds"`
	Base       int64       `json:"base"`
	Steps      []int64     `json:"t"` // from one bucket to the next
	Low        []jsNumber  `json:"lo"`
	High       []jsNumber  `json:"hi,omitempty"` // absent: as Low
	Alerts     [][][5]any  `json:"alerts"`       // start, end, severity, id, whether it fires still
}

type pageChange struct {
	What   []string `json:"what"`
	Panel  int      `json:"panel"` // -1: there is none
	Rule   string   `json:"rule"`
	Twin   string   `json:"twin"`
	Start  int64    `json:"s"`
	End    int64    `json:"e"`
	Detail string   `json:"detail"`
}

// jsNumber is a number with as many digits as a picture needs.
type jsNumber float64

// MarshalJSON writes seven digits at most.
func (n jsNumber) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(n), 0) || math.IsNaN(float64(n)) {
		return []byte("0"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', 7, 64), nil
}

// Page writes a page that shows panels and what differs: one file, which loads
// nothing. Without a comparison it lists the alerts of the run.
func Page(out io.Writer, run *Run, c *Comparison, panels []Panel) error {
	d := pageData{About: run.Describe(), First: run.First.UnixMilli(), Last: run.Last.UnixMilli(), Panels: []pagePanel{}, Changes: []pageChange{}}
	if c != nil {
		d.compared(c, panels)
	} else {
		d.alone(run, panels)
	}
	for i := range panels {
		d.Panels = append(d.Panels, panels[i].page(run.Last))
	}
	text, err := json.Marshal(d) // it writes < as \u003c, so no text ends the script
	if err != nil {
		return err
	}
	before, after, _ := bytes.Cut(page, []byte("DATA"))
	_, err = out.Write(slices.Concat(before, text, after))
	return err
}

func (d *pageData) compared(c *Comparison, panels []Panel) {
	d.Title, d.New = c.New+" against "+c.Old, &c.New
	d.Heads = []string{"rule", "alerts, old", "new", "in alarm, old", "new", "added", "gone", "earlier", "later", "longer", "shorter", "same", "flapping, old", "new"}
	row := func(name string, t *Tally) {
		cells := []string{name, words.Number(t.Alerts.Old), words.Number(t.Alerts.New), Minutes(t.InAlarm.Old), Minutes(t.InAlarm.New)}
		for _, n := range []int{t.New, t.Gone, t.Earlier, t.Later, t.Longer, t.Shorter, t.Same, t.Flapping.Old, t.Flapping.New} {
			cells = append(cells, words.Number(n))
		}
		d.Rows = append(d.Rows, cells)
	}
	for _, r := range c.Rules {
		row(r.Rule.String()+r.is(), &r.Tally)
	}
	if len(c.Rules) > 1 {
		row("in all", &c.Total)
	}
	for i := range c.Changes[:min(mostListed, len(c.Changes))] {
		change := &c.Changes[i]
		end := change.Start()
		for _, a := range []*Alert{change.Old, change.New} {
			if a != nil && a.until(c.Last).After(end) {
				end = a.until(c.Last)
			}
		}
		r := Rule{change.Interaction, change.Rule}
		detail := change.detail()
		if a := change.New; a == nil || change.Old == nil {
			if a == nil {
				a = change.Old
			}
			detail = and(Span(a.lasts(c.Last)), detail)
		}
		d.Changes = append(d.Changes, pageChange{change.What, panelOf(panels, r, change.Twin), r.String(), change.Twin, change.Start().UnixMilli(), end.UnixMilli(), detail})
	}
	d.More = max(len(c.Changes)-mostListed, 0)
}

func and(a, b string) string {
	if b == "" {
		return a
	}
	return a + ", " + b
}

func (d *pageData) alone(run *Run, panels []Panel) {
	v := &run.Verdicts[0]
	d.Title = v.Name
	d.Heads = []string{"rule", "alerts", "per week", "in alarm", "again within " + Span(Again), "made", "true"}
	rules := map[Rule]bool{}
	for id, p := range v.Programs {
		for _, name := range p.Rules() {
			rules[Rule{id, name}] = true
		}
	}
	for _, r := range sortedRules(rules) {
		t := v.Total(run.Last, func(is Rule) bool { return is == r })
		d.Rows = append(d.Rows, []string{r.String(), words.Number(t.Alerts), fmt.Sprintf("%.1f", run.PerWeek(t.Alerts)), Minutes(t.InAlarm), words.Number(t.Flapping), t.making(), words.Number(int(t.True))})
	}
	for i := range v.Alerts[:min(mostListed, len(v.Alerts))] {
		a := &v.Alerts[i]
		r := Rule{a.Interaction, a.Rule}
		d.Changes = append(d.Changes, pageChange{
			[]string{a.Severity}, panelOf(panels, r, a.Twin), r.String(), a.Twin, a.Start.UnixMilli(), a.until(run.Last).UnixMilli(), Span(a.lasts(run.Last)),
		})
	}
	d.More = max(len(v.Alerts)-mostListed, 0)
}

func panelOf(panels []Panel, r Rule, twin string) int {
	return slices.IndexFunc(panels, func(p Panel) bool { return p.Rule == r && p.Twin == twin })
}

func (p *Panel) page(last time.Time) pagePanel {
	out := pagePanel{
		Rule: p.Rule.String(), Twin: p.Twin, Field: p.Field, Thresholds: p.Thresholds, Steps: []int64{}, Low: []jsNumber{}, Alerts: [][][5]any{},
		Count: words.Count(p.alerts(), "alert"),
	}
	if len(p.Alerts) > 1 {
		out.Count = fmt.Sprintf("%d -> %d alerts", len(p.Alerts[0]), len(p.Alerts[1]))
	}
	if out.Thresholds == nil {
		out.Thresholds = []Threshold{}
	}
	bands := false
	before := int64(0)
	for i, b := range p.Buckets {
		at := b.At.UnixMilli()
		if i == 0 {
			out.Base, before = at, at
		}
		out.Steps, before = append(out.Steps, at-before), at
		out.Low = append(out.Low, jsNumber(b.Low))
		bands = bands || b.Low != b.High
	}
	if bands {
		for _, b := range p.Buckets {
			out.High = append(out.High, jsNumber(b.High))
		}
	}
	for _, alerts := range p.Alerts {
		spans := [][5]any{}
		for i := range alerts {
			a := &alerts[i]
			spans = append(spans, [5]any{a.Start.UnixMilli(), a.until(last).UnixMilli(), a.Severity, a.ID, a.End.IsZero()})
		}
		out.Alerts = append(out.Alerts, spans)
	}
	return out
}

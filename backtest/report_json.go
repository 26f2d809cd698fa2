package backtest

import (
	"encoding/json"
	"io"
	"time"
)

// jsonTally is a tally with its times in minutes.
type jsonTally struct {
	Name string `json:"name,omitempty"`
	Only string `json:"only,omitempty"`
	Tally
	Minutes Side[float64] `json:"minutesInAlarm"`
}

func tallyJSON(name, only string, t Tally) jsonTally {
	return jsonTally{name, only, t, Side[float64]{t.InAlarm.Old.Minutes(), t.InAlarm.New.Minutes()}}
}

// jsonAlert is an alert; an absent end says that it fires still.
type jsonAlert struct {
	ID       string    `json:"id"`
	Severity string    `json:"severity"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end,omitzero"`
}

func alertJSON(a *Alert) *jsonAlert {
	if a == nil {
		return nil
	}
	return &jsonAlert{a.ID, a.Severity, a.Start.UTC(), a.End}
}

type jsonChange struct {
	What        []string   `json:"what"`
	Interaction string     `json:"interaction"`
	Rule        string     `json:"rule"`
	Twin        string     `json:"twin"`
	Within      bool       `json:"within,omitempty"`
	Begins      float64    `json:"beginsMinutesLater,omitempty"`
	Lasts       float64    `json:"lastsMinutesLonger,omitempty"`
	Old         *jsonAlert `json:"old,omitempty"`
	New         *jsonAlert `json:"new,omitempty"`
}

// JSON writes the comparison for programs, all of it.
func (c *Comparison) JSON(out io.Writer) error {
	doc := struct {
		Old        string       `json:"old"`
		New        string       `json:"new"`
		Samples    int          `json:"samples"`
		Unreadable int          `json:"unreadable"`
		Twins      int          `json:"twins"`
		First      time.Time    `json:"first,omitzero"`
		Last       time.Time    `json:"last,omitzero"`
		Total      jsonTally    `json:"total"`
		Rules      []jsonTally  `json:"rules"`
		ByTwin     []jsonTally  `json:"byTwin"`
		ByDay      []jsonTally  `json:"byDay"`
		Changes    []jsonChange `json:"changes"`
	}{
		Old: c.Old, New: c.New, Samples: c.Samples, Unreadable: c.Unreadable, Twins: c.Run.Twins, First: c.First, Last: c.Last, Total: tallyJSON("", "", c.Total),
		Rules: []jsonTally{}, ByTwin: []jsonTally{}, ByDay: []jsonTally{}, Changes: []jsonChange{},
	}
	for _, r := range c.Rules {
		doc.Rules = append(doc.Rules, tallyJSON(r.Rule.String(), r.Only, r.Tally))
	}
	for _, r := range c.Twins {
		doc.ByTwin = append(doc.ByTwin, tallyJSON(r.Name, "", r.Tally))
	}
	for _, r := range c.Days {
		doc.ByDay = append(doc.ByDay, tallyJSON(r.Name, "", r.Tally))
	}
	for i := range c.Changes {
		change := &c.Changes[i]
		doc.Changes = append(doc.Changes, jsonChange{
			What: change.What, Interaction: change.Interaction, Rule: change.Rule, Twin: change.Twin, Within: change.Within,
			Begins: change.Begins.Minutes(), Lasts: change.Lasts.Minutes(), Old: alertJSON(change.Old), New: alertJSON(change.New),
		})
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

package alerts

import (
	"bytes"
	"encoding/json"
	"fmt"

	"tocsin.internal/rules"
)

// Group is what a route's notification tells.
type Group struct {
	Route      string // its name
	ID         string // of the notification
	Status     string // rules.StateFiring while anything fires
	Labels     map[string]string
	Firing     int // all that fire, listed or not
	Resolved   int // those that have ended since the last notification
	Suppressed int
	Truncated  int // how many are not listed
	Alerts     []rules.Outcome
}

// IsGroup says whether the outcome is a route's notification; others are those
// that rules make.
func IsGroup(o *rules.Outcome) bool {
	return o.Kind == rules.Notification && o.Notice == nil && bytes.HasPrefix(o.Data, []byte(`{"status":`)) && bytes.Contains(o.Data, []byte(`"groupLabels":`))
}

// ReadGroup reads a notification for which IsGroup says yes.
func ReadGroup(o *rules.Outcome) (Group, error) {
	var doc struct {
		Status     string            `json:"status"`
		Labels     map[string]string `json:"groupLabels"`
		Firing     int               `json:"firing"`
		Resolved   int               `json:"resolved"`
		Suppressed int               `json:"suppressed"`
		Truncated  int               `json:"truncated"`
		Alerts     []json.RawMessage `json:"alerts"`
	}
	if err := json.Unmarshal(o.Data, &doc); err != nil {
		return Group{}, fmt.Errorf("notification: %w", err)
	}
	g := Group{
		Route: o.Topic, ID: o.ID, Status: doc.Status, Labels: doc.Labels, Firing: doc.Firing, Resolved: doc.Resolved, Suppressed: doc.Suppressed, Truncated: doc.Truncated,
	}
	for _, text := range doc.Alerts {
		alert, err := rules.DecodeOutcome(text)
		if err != nil {
			return Group{}, fmt.Errorf("notification: %w", err)
		}
		g.Alerts = append(g.Alerts, alert)
	}
	return g, nil
}

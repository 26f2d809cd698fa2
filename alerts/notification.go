package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/rules"
)

// What a notification lists; it counts all alerts.
const (
	MaxListed      = 100
	MaxListedBytes = 512 << 10 // of the alerts' JSON: less than any server's usual limit
	// An alert with more is listed without its data; one that still has more is
	// only counted.
	maxAlertBytes = 64 << 10
)

// notification tells of the group. It takes out of those that fire what it finds
// silenced.
func (g *group) notification(news []*member, silenced func(*rules.Outcome) bool) rules.Outcome {
	listed, resolved := g.listed(news, silenced)
	firing := len(g.firing.items)
	g.number++
	o := rules.Outcome{
		Kind: rules.Notification, Topic: g.route.Name, At: g.due, Seq: g.number, ID: g.notificationID(),
		Data: g.data(listed, firing, resolved),
	}
	for i, name := range g.route.labelNames() {
		switch name {
		case "interaction":
			o.Interaction = g.values[i]
		case "rule":
			o.Rule = g.values[i]
		case "twin":
			o.Twin = g.values[i]
		}
	}
	return o
}

// notificationID hangs on the group, on when it began, and on how often it was told of.
func (g *group) notificationID() string {
	sum := sha256.Sum256(g.born.UTC().AppendFormat([]byte(g.key), time.RFC3339Nano))
	return "nt_" + hex.EncodeToString(sum[:16]) + "_" + strconv.FormatUint(g.number, 10)
}

// entry is an alert in a notification's list.
type entry struct {
	of   *rules.Outcome
	open bool // it fires in the group
	text []byte
}

// listing puts those that fire before the others, and the earlier first.
func listing(a, b entry) int {
	if a.open != b.open {
		if a.open {
			return -1
		}
		return 1
	}
	return byStart(a.of, b.of)
}

// list is what a notification has room for.
type list struct {
	entries []entry
	bytes   int
	full    bool
}

// add lists the alert if there is room for it.
func (l *list) add(e entry) {
	if l.full {
		return
	}
	e.text = e.of.AppendJSON(nil)
	if len(e.text) > maxAlertBytes {
		bare := *e.of
		bare.Data = nil
		if e.text = bare.AppendJSON(nil); len(e.text) > maxAlertBytes {
			return
		}
	}
	if l.bytes+len(e.text) > MaxListedBytes {
		l.full = true
		return
	}
	l.entries, l.bytes = append(l.entries, e), l.bytes+len(e.text)
	l.full = len(l.entries) == MaxListed
}

// newsOf are the entries that the news make: of one alert up to two, where an
// episode has taken the place of another.
func newsOf(news []*member) []entry {
	entries := make([]entry, 0, len(news))
	for _, m := range news {
		if m.ended != nil {
			entries = append(entries, entry{of: m.ended})
		}
		if m.left == notLeftOut && m.news() {
			entries = append(entries, entry{of: &m.alert.last, open: m.open()})
		}
	}
	slices.SortFunc(entries, listing)
	return entries
}

// listed are the news, and beside them the oldest of those that fire, as many
// as there is room for; resolved is how many of the news are ends.
func (g *group) listed(news []*member, silenced func(*rules.Outcome) bool) (listed []entry, resolved int) {
	var l list
	for _, e := range newsOf(news) {
		l.add(e)
		if !e.open {
			resolved++
		}
	}
	known := make(map[*member]bool, len(news))
	for _, m := range news {
		known[m] = true
	}
	var taken []*member
	for !l.full && len(g.firing.items) > 0 {
		m := g.firing.take()
		if !known[m] {
			if silenced(&m.alert.last) {
				g.leaveOut(m, silencedNow)
				continue
			}
			l.add(entry{of: &m.alert.last, open: true})
		}
		taken = append(taken, m)
	}
	for _, m := range taken {
		g.firing.add(m)
	}
	slices.SortFunc(l.entries, listing)
	return l.entries, resolved
}

func (g *group) data(listed []entry, firing, resolved int) []byte {
	status := rules.StateFiring
	if firing == 0 {
		status = rules.StateResolved
	}
	b := append([]byte(`{"status":"`), status...)
	b = append(b, `","groupLabels":{`...)
	b = g.appendLabels(b)
	b = strconv.AppendInt(append(b, `},"firing":`...), int64(firing), 10)
	b = strconv.AppendInt(append(b, `,"resolved":`...), int64(resolved), 10)
	b = strconv.AppendInt(append(b, `,"suppressed":`...), int64(g.left[quieted]+g.left[silencedNow]), 10)
	b = strconv.AppendInt(append(b, `,"truncated":`...), int64(firing+resolved-len(listed)), 10)
	b = append(b, `,"alerts":[`...)
	for i, e := range listed {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.text...)
	}
	return append(b, "]}"...)
}

// appendLabels appends the members of the group's labels in the order of their names.
func (g *group) appendLabels(b []byte) []byte {
	values := map[string]string{}
	for i, name := range g.route.labelNames() {
		values[name] = g.values[i]
	}
	for i, name := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, name), ':')
		b = appendText(b, values[name])
	}
	return b
}

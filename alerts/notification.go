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

// MaxListed is how many alerts a notification lists; it counts them all.
const MaxListed = 100

// notification tells of the group. It takes out of those that fire what it finds
// silenced.
func (g *group) notification(news []*member, silenced func(*rules.Outcome) bool) rules.Outcome {
	listed := g.listed(news, silenced)
	firing, resolved := len(g.firing.items), 0
	for _, m := range news {
		if !m.open() {
			resolved++
		}
	}
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

// listed are the news, and beside them the oldest of those that fire, as many as there is room for.
func (g *group) listed(news []*member, silenced func(*rules.Outcome) bool) []*member {
	listed := slices.Clone(news[:min(len(news), MaxListed)])
	known := make(map[*member]bool, len(listed))
	for _, m := range listed {
		known[m] = true
	}
	var taken []*member
	for len(listed) < MaxListed && len(g.firing.items) > 0 {
		m := g.firing.take()
		if !known[m] {
			if silenced(&m.alert.last) {
				g.leaveOut(m, silencedNow)
				continue
			}
			listed = append(listed, m)
		}
		taken = append(taken, m)
	}
	for _, m := range taken {
		g.firing.add(m)
	}
	slices.SortFunc(listed, listing)
	return listed
}

func (g *group) data(listed []*member, firing, resolved int) []byte {
	status := rules.StateFiring
	if firing == 0 {
		status = rules.StateResolved
	}
	const head, alert = 256, 1024 // about as much as they need
	b := append(append(make([]byte, 0, head+alert*len(listed)), `{"status":"`...), status...)
	b = append(b, `","groupLabels":{`...)
	b = g.appendLabels(b)
	b = strconv.AppendInt(append(b, `},"firing":`...), int64(firing), 10)
	b = strconv.AppendInt(append(b, `,"resolved":`...), int64(resolved), 10)
	b = strconv.AppendInt(append(b, `,"suppressed":`...), int64(g.left[quieted]+g.left[silencedNow]), 10)
	b = strconv.AppendInt(append(b, `,"truncated":`...), int64(firing+resolved-len(listed)), 10)
	b = append(b, `,"alerts":[`...)
	for i, m := range listed {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.alert.last.AppendJSON(b)
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

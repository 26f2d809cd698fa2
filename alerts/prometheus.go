package alerts

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tocsin.internal/rules"
)

// PrometheusLabels are the labels by which Alertmanager knows an alert: those of
// the rule, under names that it takes, and over them alertname, interaction,
// severity, twin, feed and space. A label without a value is left out.
func PrometheusLabels(o *rules.Outcome, space string) map[string]string {
	labels := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		labels[prometheusName(name)] = o.Labels[name]
	}
	severity := o.Severity
	if s, ok := SeverityOf(severity); ok {
		severity = s.Alertmanager
	}
	labels["alertname"] = cmp.Or(o.Rule, "tocsin")
	labels["interaction"], labels["severity"], labels["twin"], labels["space"] = o.Interaction, severity, o.Twin, space
	labels["feed"] = feedOf(o)
	for name, value := range labels {
		labels[name] = strings.ToValidUTF8(value, "\uFFFD")
		if value == "" {
			delete(labels, name)
		}
	}
	return labels
}

// prometheusName makes the name one that Prometheus takes for a label.
func prometheusName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if clean == "" || '0' <= clean[0] && clean[0] <= '9' {
		clean = "_" + clean
	}
	return clean
}

// PrometheusAnnotations are what Alertmanager shows of an alert beside its labels.
func PrometheusAnnotations(o *rules.Outcome) map[string]string {
	annotations := map[string]string{"summary": o.Summary, "alert_id": o.ID}
	if l := o.Life; l != nil {
		annotations["description"], annotations["runbook_url"], annotations["status"] = l.Description, l.Runbook, l.Status
	}
	for name, value := range annotations {
		annotations[name] = strings.ToValidUTF8(value, "\uFFFD")
		if value == "" {
			delete(annotations, name)
		}
	}
	return annotations
}

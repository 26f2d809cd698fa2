package alerts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/alerts"
)

func TestSeverities(t *testing.T) {
	systems := []string{alerts.ThingsBoard, alerts.PagerDuty, alerts.OracleIoT, alerts.Alertmanager, alerts.OPCUA, alerts.Ntfy, alerts.Syslog, "pigeon"}
	tests := []struct {
		name string
		rank int
		want []string
	}{
		{"critical", 900, []string{"CRITICAL", "critical", "CRITICAL", "critical", "900", "5", "2", ""}},
		{"major", 700, []string{"MAJOR", "error", "SIGNIFICANT", "error", "700", "4", "3", ""}},
		{"minor", 500, []string{"MINOR", "warning", "NORMAL", "warning", "500", "3", "4", ""}},
		{"warning", 300, []string{"WARNING", "warning", "LOW", "warning", "300", "3", "4", ""}},
		{"info", 100, []string{"INDETERMINATE", "info", "LOW", "info", "100", "2", "6", ""}},
	}
	assert.Len(t, alerts.Severities, len(tests))
	above := 1001
	for _, test := range tests {
		s, ok := alerts.SeverityOf(test.name)
		assert.True(t, ok)
		assert.Equal(t, test.rank, alerts.Rank(test.name))
		var words []string
		for _, system := range systems {
			words = append(words, s.For(system))
		}
		assert.Equal(t, test.want, words, test.name)
		assert.Equal(t, above-1, s.OPCUA.High, "the ranges leave no gap")
		assert.True(t, s.OPCUA.Low <= s.Number && s.Number <= s.OPCUA.High)
		above = s.OPCUA.Low
	}
	assert.Equal(t, 1, above)
	for _, name := range []string{"", "CRITICAL", "high"} {
		_, ok := alerts.SeverityOf(name)
		assert.False(t, ok, name)
		assert.Zero(t, alerts.Rank(name), name)
	}
}

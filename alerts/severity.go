package alerts

import "strconv"

// Severity is a severity with its words in other systems. The names are those
// of ITU-T X.733, whose indeterminate is called info here.
type Severity struct {
	Name         string
	Number       int    // the greater the worse; within the range of OPC UA
	ThingsBoard  string // AlarmSeverity
	PagerDuty    string // Events API v2, payload.severity
	OracleIoT    string // incident priority of Oracle IoT Cloud Service
	Alertmanager string // the label "severity", by custom
	OPCUA        Range  // OPC 10000-5 (BaseEventType.Severity) and 10000-9
	Ntfy         int    // priority, 5 is the most urgent
	Syslog       int    // RFC 5424, 2 is critical and 6 informational
}

// Range is a range of numbers, both ends included.
type Range struct{ Low, High int }

// Severities are the severities from the worst to the least.
var Severities = [...]Severity{
	{"critical", 900, "CRITICAL", "critical", "CRITICAL", "critical", Range{801, 1000}, 5, 2},
	{"major", 700, "MAJOR", "error", "SIGNIFICANT", "error", Range{601, 800}, 4, 3},
	{"minor", 500, "MINOR", "warning", "NORMAL", "warning", Range{401, 600}, 3, 4},
	{"warning", 300, "WARNING", "warning", "LOW", "warning", Range{201, 400}, 3, 4},
	{"info", 100, "INDETERMINATE", "info", "LOW", "info", Range{1, 200}, 2, 6},
}

// The systems whose words Severity.For knows.
const (
	ThingsBoard  = "thingsboard"
	PagerDuty    = "pagerduty"
	OracleIoT    = "oracle"
	Alertmanager = "alertmanager"
	OPCUA        = "opcua"
	Ntfy         = "ntfy"
	Syslog       = "syslog"
)

// SeverityOf is the severity with the name.
func SeverityOf(name string) (Severity, bool) {
	for _, s := range Severities {
		if s.Name == name {
			return s, true
		}
	}
	return Severity{}, false
}

// Rank is the number of the severity with the name, for comparing; 0 when
// there is none.
func Rank(name string) int {
	s, _ := SeverityOf(name)
	return s.Number
}

// For is the severity as the system writes it, numbers in decimals; "" when
// the system is not one of those above. OPC UA gets the number, which lies in
// the severity's range.
func (s Severity) For(system string) string {
	switch system {
	case ThingsBoard:
		return s.ThingsBoard
	case PagerDuty:
		return s.PagerDuty
	case OracleIoT:
		return s.OracleIoT
	case Alertmanager:
		return s.Alertmanager
	case OPCUA:
		return strconv.Itoa(s.Number)
	case Ntfy:
		return strconv.Itoa(s.Ntfy)
	case Syslog:
		return strconv.Itoa(s.Syslog)
	}
	return ""
}

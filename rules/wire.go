package rules

import "time"

// AppendLine appends the sample as one line of NDJSON, without the newline:
// {"twin","feed","occurredAt","data"}. Data must be valid JSON without a newline.
func (s *Sample) AppendLine(b []byte) []byte {
	b = append(b, `{"twin":`...)
	b = AppendText(b, s.Twin)
	b = append(b, `,"feed":`...)
	b = AppendText(b, s.Feed)
	if !s.At.IsZero() {
		b = append(b, `,"occurredAt":"`...)
		b = s.At.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	b = append(b, `,"data":`...)
	b = append(b, s.Data...)
	return append(b, '}')
}

// Event is the transition that an alert's outcome tells of, or that made what a
// rule does, by the name that subjects use: one of the Event names. Outputs and
// commands have none.
func (o *Outcome) Event() string {
	switch {
	case o.Life != nil:
		return o.Life.Event
	case o.Sticker != nil:
		return o.Sticker.Event
	case o.Notice != nil:
		return o.Notice.Event
	}
	switch o.State {
	case StateFiring:
		return "raised"
	case StateResolved:
		return "cleared"
	}
	return ""
}

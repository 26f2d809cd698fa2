package rules

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// AppendJSON appends the outcome as one line of JSON without the line's end.
// Source is not in it.
func (o *Outcome) AppendJSON(b []byte) []byte {
	return o.AppendRest(o.AppendNames(b))
}

// AppendNames appends the beginning of AppendJSON. Of an output it hangs on
// Interaction, Rule, Twin and Feed alone.
func (o *Outcome) AppendNames(b []byte) []byte {
	b = AppendText(append(b, `{"kind":`...), string(o.Kind))
	b = AppendText(append(b, `,"interaction":`...), o.Interaction)
	b = AppendText(append(b, `,"rule":`...), o.Rule)
	b = AppendText(append(b, `,"twin":`...), o.Twin)
	switch {
	case o.Kind == Alert:
		b = AppendText(append(b, `,"id":`...), o.ID)
		b = AppendText(append(b, `,"state":`...), o.State)
		b = AppendText(append(b, `,"severity":`...), o.Severity)
		return o.Life.append(b)
	case o.Sticker != nil:
		b = AppendText(append(b, `,"id":`...), o.ID)
		return o.Sticker.appendNames(b, o.Twin)
	case o.Notice != nil:
		b = AppendText(append(b, `,"id":`...), o.ID)
		return o.Notice.appendNames(b)
	case o.Topic != "":
		b = AppendText(append(b, `,"topic":`...), o.Topic)
		return AppendText(append(b, `,"id":`...), o.ID)
	case o.Feed != "":
		return AppendText(append(b, `,"feed":`...), o.Feed)
	}
	return b
}

// AppendRest appends what AppendJSON has after AppendNames.
func (o *Outcome) AppendRest(b []byte) []byte {
	b = appendTime(append(b, `,"occurredAt":`...), o.At)
	if o.Shadow {
		b = append(b, `,"mode":"shadow"`...)
	}
	switch {
	case o.Kind == Alert:
		b = o.appendEpisode(b)
	case o.Sticker != nil:
		b = o.Sticker.appendRest(b)
	case o.Notice != nil:
		b = o.Notice.appendRest(b)
	}
	b = append(b, `,"data":`...)
	if len(o.Data) == 0 {
		b = append(b, "{}"...)
	}
	b = append(b, o.Data...)
	return append(o.appendCause(b), '}')
}

// appendCause appends what made the outcome. What is nearly always so is left
// out: the first sample of its message, one outcome of it, no hop.
func (o *Outcome) appendCause(b []byte) []byte {
	b = strconv.AppendUint(append(b, `,"cause":{"seq":`...), o.Seq, 10)
	if o.Count == 0 {
		return append(b, '}')
	}
	if o.Index > 0 {
		b = strconv.AppendUint(append(b, `,"index":`...), uint64(o.Index), 10)
	}
	if o.Ordinal > 0 {
		b = strconv.AppendUint(append(b, `,"ordinal":`...), uint64(o.Ordinal), 10)
	}
	if o.Count > 1 {
		b = strconv.AppendUint(append(b, `,"count":`...), uint64(o.Count), 10)
	}
	if o.Hops > 0 {
		b = strconv.AppendUint(append(b, `,"hops":`...), uint64(o.Hops), 10)
	}
	return append(b, '}')
}

func (o *Outcome) appendEpisode(b []byte) []byte {
	b = appendTime(append(b, `,"startsAt":`...), o.Starts)
	b = append(b, `,"endsAt":`...)
	if o.Ends.IsZero() {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, o.Ends)
	}
	b = AppendText(append(b, `,"summary":`...), o.Summary)
	b = appendLabels(append(b, `,"labels":`...), o.Labels)
	return AppendText(append(b, `,"reason":`...), o.Reason)
}

// append appends what is not in an alert's first form.
func (l *Life) append(b []byte) []byte {
	if l == nil {
		return b
	}
	b = strconv.AppendUint(append(b, `,"seq":`...), uint64(l.Number), 10)
	b = AppendText(append(b, `,"event":`...), l.Event)
	b = AppendText(append(b, `,"status":`...), l.Status)
	b = append(b, `,"condition":"normal"`...)
	if l.Active {
		b = append(b[:len(b)-len(`normal"`)], `active"`...)
	}
	b = AppendText(append(b, `,"feed":`...), l.Feed)
	b = AppendText(append(b, `,"key":`...), l.Key)
	b = AppendText(append(b, `,"fingerprint":`...), l.Fingerprint())
	b = AppendText(append(b, `,"severityLabel":`...), l.Label)
	if l.Previous != "" {
		b = AppendText(append(b, `,"previousSeverity":`...), l.Previous)
	}
	if !l.Pending.IsZero() {
		b = appendTime(append(b, `,"pendingSince":`...), l.Pending)
	}
	b = l.Ack.append(append(b, `,"ack":`...))
	b = strconv.AppendBool(append(b, `,"latched":`...), l.Latched)
	b = strconv.AppendBool(append(b, `,"flapping":`...), l.Flapping)
	if l.Suppression != nil {
		b = l.Suppression.append(append(b, `,"suppression":`...))
	}
	b = l.Counts.append(append(b, `,"counts":`...))
	if l.Silent {
		b = append(b, `,"notify":false`...)
	}
	for _, text := range [...]struct{ name, value string }{
		{`,"by":`, l.By}, {`,"comment":`, l.Comment}, {`,"description":`, l.Description}, {`,"runbook":`, l.Runbook},
	} {
		if text.value != "" {
			b = AppendText(append(b, text.name...), text.value)
		}
	}
	return AppendText(append(b, `,"revision":`...), l.Revision)
}

func (a *Ack) append(b []byte) []byte {
	b = strconv.AppendBool(append(b, `{"required":`...), a.Required)
	if a.At.IsZero() {
		return append(b, `,"state":"unacknowledged"}`...)
	}
	b = append(b, `,"state":"acknowledged"`...)
	b = AppendText(append(b, `,"by":`...), a.By)
	b = appendTime(append(b, `,"at":`...), a.At)
	if a.Comment != "" {
		b = AppendText(append(b, `,"comment":`...), a.Comment)
	}
	return append(b, '}')
}

func (s *Suppression) append(b []byte) []byte {
	b = AppendText(append(b, `{"by":`...), s.By)
	if !s.Until.IsZero() {
		b = appendTime(append(b, `,"until":`...), s.Until)
	}
	if s.Person != "" {
		b = AppendText(append(b, `,"person":`...), s.Person)
	}
	if s.Comment != "" {
		b = AppendText(append(b, `,"comment":`...), s.Comment)
	}
	if len(s.Rules) > 0 {
		b = appendNames(append(b, `,"rules":`...), s.Rules)
	}
	return append(b, '}')
}

func (c *Counts) append(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"samples":`...), c.Samples, 10)
	b = strconv.AppendUint(append(b, `,"raises":`...), c.Raises, 10)
	b = strconv.AppendUint(append(b, `,"repeats":`...), c.Repeats, 10)
	b = strconv.AppendUint(append(b, `,"suppressed":`...), c.Suppressed, 10)
	return append(b, '}')
}

// Fingerprint is short for the key: 16 hexadecimal digits of its SHA-256.
func (l *Life) Fingerprint() string {
	sum := sha256.Sum256([]byte(l.Key))
	return hex.EncodeToString(sum[:8])
}

// lifeJSON is how a Life is read.
type lifeJSON struct {
	Number    uint32    `json:"seq"`
	Event     string    `json:"event"`
	Status    string    `json:"status"`
	Condition string    `json:"condition"`
	Feed      string    `json:"feed"`
	Key       string    `json:"key"`
	Label     string    `json:"severityLabel"`
	Previous  string    `json:"previousSeverity"`
	Pending   time.Time `json:"pendingSince"`
	Ack       struct {
		Required bool      `json:"required"`
		By       string    `json:"by"`
		At       time.Time `json:"at"`
		Comment  string    `json:"comment"`
	} `json:"ack"`
	Latched     bool         `json:"latched"`
	Flapping    bool         `json:"flapping"`
	Suppression *Suppression `json:"suppression"`
	Counts      Counts       `json:"counts"`
	Notify      *bool        `json:"notify"`
	By          string       `json:"by"`
	Comment     string       `json:"comment"`
	Description string       `json:"description"`
	Runbook     string       `json:"runbook"`
	Revision    string       `json:"revision"`
}

func (w *lifeJSON) life() *Life {
	if w.Number == 0 {
		return nil
	}
	return &Life{
		Number: w.Number, Event: w.Event, Status: w.Status, Active: w.Condition == "active", Feed: w.Feed, Key: w.Key,
		Label: w.Label, Previous: w.Previous, Pending: w.Pending, Ack: Ack(w.Ack), Latched: w.Latched, Flapping: w.Flapping,
		Suppression: w.Suppression, Counts: w.Counts, Silent: w.Notify != nil && !*w.Notify,
		By: w.By, Comment: w.Comment, Description: w.Description, Runbook: w.Runbook, Revision: w.Revision,
	}
}

// appendTime quotes t in RFC 3339, in UTC, with as many digits as it needs. It
// is what Time.AppendFormat does, in a third of the time.
func appendTime(b []byte, t time.Time) []byte {
	const day = 24 * 60 * 60
	seconds := t.Unix()
	if seconds < 0 || seconds >= 253402300800 { // the years 1970 to 9999
		return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
	}
	year, month, date := civil(uint32(seconds / day))
	clock := uint32(seconds % day)
	b = append(b, '"')
	b = appendTwo(b, year/100)
	b = append(appendTwo(b, year%100), '-')
	b = append(appendTwo(b, month), '-')
	b = append(appendTwo(b, date), 'T')
	b = append(appendTwo(b, clock/3600), ':')
	b = append(appendTwo(b, clock/60%60), ':')
	b = appendTwo(b, clock%60)
	if nanos := uint32(t.Nanosecond()); nanos > 0 {
		digits := 9
		for ; nanos%10 == 0; digits-- {
			nanos /= 10
		}
		b = append(b, '.')
		at := len(b)
		b = append(b, "000000000"[:digits]...)
		for i := at + digits - 1; nanos > 0; i-- {
			b[i] += byte(nanos % 10)
			nanos /= 10
		}
	}
	return append(b, 'Z', '"')
}

func appendTwo(b []byte, n uint32) []byte { return append(b, '0'+byte(n/10), '0'+byte(n%10)) }

// civil is the date of a number of days since 1970. Years begin in March, so
// that the leap day is their last: see "Euclidean affine functions and their
// application to calendar algorithms" by Neri and Schneider, 2022.
func civil(days uint32) (year, month, date uint32) {
	n := 4*(days+719468) + 3
	century := n / 146097
	n = n%146097/4*4 + 3
	year = n / 1461
	n = n % 1461 / 4
	m := (5*n + 2) / 153
	date = n - (153*m+2)/5 + 1
	year += 100 * century
	if month = m + 3; month > 12 {
		month -= 12
		year++
	}
	return year, month, date
}

// DecodeOutcome reads what AppendJSON has written.
func DecodeOutcome(b []byte) (Outcome, error) {
	var w struct {
		Kind        Kind              `json:"kind"`
		Interaction string            `json:"interaction"`
		Rule        string            `json:"rule"`
		Twin        string            `json:"twin"`
		ID          string            `json:"id"`
		State       string            `json:"state"`
		Severity    string            `json:"severity"`
		At          time.Time         `json:"occurredAt"`
		Starts      time.Time         `json:"startsAt"`
		Ends        time.Time         `json:"endsAt"`
		Summary     string            `json:"summary"`
		Labels      map[string]string `json:"labels"`
		Reason      string            `json:"reason"`
		Topic       string            `json:"topic"`
		Mode        string            `json:"mode"`
		Data        json.RawMessage   `json:"data"`
		lifeJSON
		stickerJSON
		Body  json.RawMessage `json:"body"`
		Cause struct {
			Seq     uint64 `json:"seq"`
			Index   uint32 `json:"index"`
			Ordinal uint32 `json:"ordinal"`
			Count   uint32 `json:"count"`
			Hops    uint8  `json:"hops"`
		} `json:"cause"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return Outcome{}, fmt.Errorf("outcome: %w", err)
	}
	if !slices.Contains([]Kind{Output, Alert, Notification, Sticker, Command}, w.Kind) {
		return Outcome{}, fmt.Errorf("outcome: unknown kind %q", w.Kind)
	}
	if len(w.Data) == 0 || w.Data[0] != '{' {
		return Outcome{}, fmt.Errorf("outcome: data is not an object")
	}
	if len(w.Labels) == 0 {
		w.Labels = nil
	}
	life, feed := w.life(), w.Feed
	if w.Kind == Alert {
		feed = ""
	} else {
		life = nil
	}
	o := Outcome{
		Kind: w.Kind, Interaction: w.Interaction, Rule: w.Rule, Twin: w.Twin, Feed: feed, At: w.At, Data: w.Data,
		Seq: w.Cause.Seq, Index: w.Cause.Index, Ordinal: w.Cause.Ordinal, Count: max(w.Cause.Count, 1), Hops: w.Cause.Hops,
		ID: w.ID, State: w.State, Severity: w.Severity, Starts: w.Starts, Ends: w.Ends, Summary: w.Summary, Labels: w.Labels, Reason: w.Reason, Life: life, Topic: w.Topic, Shadow: w.Mode == ModeShadow,
	}
	switch {
	case w.Kind == Sticker && w.Op != "":
		o.Sticker = w.change(w.Twin, w.Event)
		o.Feed = w.Color
	case w.Kind == Notification && len(w.Body) > 0:
		o.Notice = &Notice{Event: w.Event, Account: w.Account, Topic: w.Topic, Recipients: w.Recipients, Body: w.Body}
		o.Feed, o.Topic = w.Topic, ""
	}
	return o, nil
}

// EventID identifies the outcome to whoever may receive it twice: the same
// cause gives the same id, on every worker and after every restart. It hangs on
// Twin, so it is asked for when Twin is what will be sent.
func (o *Outcome) EventID() string {
	b := make([]byte, 0, 256)
	for _, part := range []string{string(o.Kind), o.Interaction, o.Rule, o.Twin, o.Feed, o.ID, o.State, o.Reason, o.Topic} {
		b = append(strconv.AppendInt(b, int64(len(part)), 10), ':')
		b = append(b, part...)
	}
	if o.Sticker != nil {
		b = o.Sticker.appendRest(o.Sticker.appendNames(b, ""))
	}
	if o.Notice != nil {
		b = o.Notice.appendRest(o.Notice.appendNames(b))
	}
	if o.Kind == Output { // one rule may make two at one time: a wait that ends as a window closes
		b = append(b, o.Data...)
	}
	if o.Life != nil {
		b = strconv.AppendUint(append(b, '#'), uint64(o.Life.Number), 10)
	}
	b = strconv.AppendUint(append(b, '@'), o.Seq, 10)
	b = strconv.AppendUint(append(b, '.'), uint64(o.Index), 10)
	b = o.At.UTC().AppendFormat(append(b, '@'), time.RFC3339Nano)
	return "ev_" + digest(b)
}

// crockford is base32 without the letters that are read as digits.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// digest is the first 26 base32 characters (130 bits) of b's SHA-256.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return crockford.EncodeToString(sum[:])[:26]
}

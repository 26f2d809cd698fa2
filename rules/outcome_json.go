package rules

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// AppendJSON appends the outcome as one line of JSON without the line's end.
// Source, Index and Hops are not in it.
func (o *Outcome) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"kind":`...), string(o.Kind))
	b = appendText(append(b, `,"interaction":`...), o.Interaction)
	b = appendText(append(b, `,"rule":`...), o.Rule)
	b = appendText(append(b, `,"twin":`...), o.Twin)
	if o.Kind == Alert {
		b = appendText(append(b, `,"id":`...), o.ID)
		b = appendText(append(b, `,"state":`...), o.State)
		b = appendText(append(b, `,"severity":`...), o.Severity)
	} else if o.Feed != "" {
		b = appendText(append(b, `,"feed":`...), o.Feed)
	}
	b = appendTime(append(b, `,"occurredAt":`...), o.At)
	if o.Kind == Alert {
		b = o.appendEpisode(b)
	}
	b = append(b, `,"data":`...)
	if len(o.Data) == 0 {
		b = append(b, "{}"...)
	}
	b = append(b, o.Data...)
	b = strconv.AppendUint(append(b, `,"cause":{"seq":`...), o.Seq, 10)
	return append(b, "}}"...)
}

func (o *Outcome) appendEpisode(b []byte) []byte {
	b = appendTime(append(b, `,"startsAt":`...), o.Starts)
	b = append(b, `,"endsAt":`...)
	if o.Ends.IsZero() {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, o.Ends)
	}
	b = appendText(append(b, `,"summary":`...), o.Summary)
	b = appendLabels(append(b, `,"labels":`...), o.Labels)
	return appendText(append(b, `,"reason":`...), o.Reason)
}

// appendTime quotes t in RFC 3339, in UTC, with as many digits as it needs.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
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
		Feed        string            `json:"feed"`
		At          time.Time         `json:"occurredAt"`
		Starts      time.Time         `json:"startsAt"`
		Ends        time.Time         `json:"endsAt"`
		Summary     string            `json:"summary"`
		Labels      map[string]string `json:"labels"`
		Reason      string            `json:"reason"`
		Data        json.RawMessage   `json:"data"`
		Cause       struct {
			Seq uint64 `json:"seq"`
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
	return Outcome{
		Kind: w.Kind, Interaction: w.Interaction, Rule: w.Rule, Twin: w.Twin, Feed: w.Feed, At: w.At, Data: w.Data, Seq: w.Cause.Seq,
		ID: w.ID, State: w.State, Severity: w.Severity, Starts: w.Starts, Ends: w.Ends, Summary: w.Summary, Labels: w.Labels, Reason: w.Reason,
	}, nil
}

// EventID identifies the outcome to whoever may receive it twice: the same
// cause gives the same id, on every worker and after every restart. It hangs on
// Index, which the JSON form does not carry, and on Twin, so it is asked for
// when Twin is what will be sent.
func (o *Outcome) EventID() string {
	b := make([]byte, 0, 256)
	for _, part := range []string{string(o.Kind), o.Interaction, o.Rule, o.Twin, o.Feed, o.ID, o.State, o.Reason} {
		b = append(strconv.AppendInt(b, int64(len(part)), 10), ':')
		b = append(b, part...)
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

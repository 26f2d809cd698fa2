package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/scan"
)

// appendJSON appends the interaction as the document that Decode reads, with
// every default in it. Expressions and values stay as they were written.
func (in *Interaction) appendJSON(b []byte) []byte {
	b = AppendText(append(b, `{"id":`...), in.ID)
	b = AppendText(append(b, `,"label":`...), in.Label)
	b = append(b, `,"feeds":[`...)
	for i := range in.Feeds {
		b = in.Feeds[i].AppendJSON(appendComma(b, i))
	}
	b = strconv.AppendBool(append(b, `],"enabled":`...), in.Enabled)
	b = appendMode(b, in.Mode, in.ShadowOf)
	if in.OutputLabel != "" {
		b = AppendText(append(b, `,"outputLabel":`...), in.OutputLabel)
	}
	b = append(b, `,"sources":[`...)
	for i := range in.Sources {
		b = in.Sources[i].appendJSON(appendComma(b, i))
	}
	b = append(b, `],"rules":[`...)
	for i := range in.Rules {
		b = in.Rules[i].appendJSON(appendComma(b, i))
	}
	return append(b, "]}"...)
}

func (s *SourceSpec) appendJSON(b []byte) []byte {
	b = AppendText(append(b, `{"id":`...), s.ID)
	b = append(b, `,"feeds":[`...)
	for i, f := range s.Feeds {
		b = AppendText(append(appendComma(b, i), `{"id":`...), f.ID)
		b = append(appendNames(append(b, `,"fieldIds":`...), f.FieldIDs), '}')
	}
	b = append(b, ']')
	if !s.Filter.Empty() {
		b = s.Filter.AppendJSON(append(b, `,"filter":`...))
	}
	if s.ModelDID != "" {
		b = AppendText(append(b, `,"modelDid":`...), s.ModelDID)
	}
	b = appendSeconds(append(b, `,"refreshRateS":`...), s.Refresh)
	b = appendSeconds(append(b, `,"cleanupRateS":`...), s.Cleanup)
	return append(b, '}')
}

func (r *RuleSpec) appendJSON(b []byte) []byte {
	b = append(append(append(b, `{"`...), r.kind()...), `":{`...)
	if r.ID != "" {
		b = append(AppendText(append(b, `"id":`...), r.ID), ',')
	}
	b = AppendText(append(b, `"sourceId":`...), r.SourceID)
	b = AppendText(append(b, `,"sourceFeedId":`...), r.SourceFeedID)
	b = appendMode(b, r.Mode, r.ShadowOf)
	if len(r.Conditions) > 0 || !r.asksOtherwise() {
		b = append(b, `,"conditions":[`...)
		for i, c := range r.Conditions {
			b = appendRaw(append(appendComma(b, i), `{"jsonLogic":`...), c.Logic)
			b = append(appendNames(append(b, `,"fieldsIncludedInOutput":`...), c.Included), '}')
		}
		b = append(b, ']')
	}
	for _, name := range statefulNames {
		if m := r.raw.Member(name); !m.IsZero() {
			b = appendRaw(append(append(append(b, `,"`...), name...), `":`...), m)
		}
	}
	if r.Alert != nil {
		b = r.Alert.appendJSON(b)
		for _, name := range actionNames[r.Alert.Does] {
			if m := r.raw.Member(name); !m.IsZero() {
				b = appendRaw(append(append(append(b, `,"`...), name...), `":`...), m)
			}
		}
	} else {
		b = r.Transformation.appendJSON(b)
	}
	return append(b, "}}"...)
}

// appendMode appends what is not the default, so that documents that do not know
// of modes stay what they are.
func appendMode(b []byte, mode, shadowOf string) []byte {
	if mode == ModeShadow {
		b = AppendText(append(b, `,"mode":`...), mode)
	}
	if shadowOf != "" {
		b = AppendText(append(b, `,"shadowOf":`...), shadowOf)
	}
	return b
}

func (t *Transformation) appendJSON(b []byte) []byte {
	b = AppendText(append(b, `,"outputFeedId":`...), t.FeedID)
	b = AppendText(append(b, `,"outputFieldId":`...), t.FieldID)
	b = appendRaw(append(b, `,"outputTrueValue":`...), t.True)
	return appendRaw(append(b, `,"outputFalseValue":`...), t.False)
}

func (a *AlertSpec) appendJSON(b []byte) []byte {
	if word := cmp.Or(a.Label, a.Severity); word != "" {
		b = AppendText(append(b, `,"severity":`...), word)
	}
	if a.Summary != "" {
		b = AppendText(append(b, `,"summary":`...), a.Summary)
	}
	if a.Description != "" {
		b = AppendText(append(b, `,"description":`...), a.Description)
	}
	if a.Runbook != "" {
		b = AppendText(append(b, `,"runbook":`...), a.Runbook)
	}
	if a.Does != Alert {
		return b
	}
	return appendLabels(append(b, `,"labels":`...), a.Labels)
}

func appendLabels(b []byte, labels map[string]string) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		b = append(AppendText(appendComma(b, i), name), ':')
		b = AppendText(b, labels[name])
	}
	return append(b, '}')
}

func appendNames(b []byte, names []string) []byte {
	b = append(b, '[')
	for i, name := range names {
		b = AppendText(appendComma(b, i), name)
	}
	return append(b, ']')
}

func appendRaw(b []byte, r strictjson.Raw) []byte {
	if r.IsZero() {
		return append(b, "null"...)
	}
	return scan.AppendLine(b, r.Text())
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, d.Seconds(), 'f', -1, 64)
}

// fingerprint is the same for documents that differ only in space and in the order of members.
func fingerprint(text []byte) string {
	v := jsontext.Value(slices.Clone(text))
	if v.Format(jsontext.ReorderRawObjects(true)) == nil {
		text = v
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

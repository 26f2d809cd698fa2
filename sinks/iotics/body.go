package iotics

import (
	"strconv"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// upsertBody is the whole twin, with its id in both dialects.
func upsertBody(t *twins.Twin) []byte {
	whole := t.AppendJSON(nil)
	plain := rules.AppendText([]byte(`{"twinId":`), t.ID)
	b := rules.AppendText([]byte(`{"twinId":{"id":`), t.ID)
	b = append(rules.AppendText(append(b, `,"value":`...), t.ID), '}')
	return append(b, whole[len(plain):]...)
}

// updateBody adds what a new twin says of itself.
func updateBody(t *twins.Twin) []byte {
	b := rules.AppendProperties([]byte(`{"properties":{"clearedAll":true,"added":`), t.Properties)
	b = append(b, '}')
	if t.Visibility != "" {
		b = append(rules.AppendText(append(b, `,"newVisibility":{"visibility":`...), t.Visibility), '}')
	}
	if t.Location != nil {
		b = append(t.Location.AppendJSON(append(b, `,"location":{"location":`...)), '}')
	}
	return append(b, '}')
}

// feedBody adds what a new feed says of itself.
func feedBody(f *rules.Feed) []byte {
	b := append(strconv.AppendBool([]byte(`{"storeLast":`), f.StoreLast), `,"values":{"added":[`...)
	for i := range f.Values {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.Values[i].AppendJSON(b)
	}
	b = rules.AppendProperties(append(b, `]},"properties":{"clearedAll":true,"added":`...), f.Properties)
	return append(b, `}}`...)
}

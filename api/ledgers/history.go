package ledgers

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
	"tocsin.internal/twins"
)

// maxHistory is how many values of an entry an answer has at most.
const maxHistory = 100

// notAccessible stands in the place of the past of an entry that there is not, or
// that the caller may not see.
const notAccessible = "Entry not accessible."

// span is what part of a history is wanted.
type span struct {
	ge, le twins.Timestamp
	limit  int
}

// histories shows the past of several entries of a ledger.
func (o *room) histories(r *http.Request) (int, any, error) {
	_, list, err := entriesQuery(r, "ge", "le", "limit")
	if err != nil {
		return 0, nil, err
	}
	s, err := spanOf(r)
	if err != nil {
		return 0, nil, err
	}
	of, l, _, err := o.visible(r)
	if err != nil {
		return 0, nil, err
	}
	if list == nil {
		list = slices.Collect(maps.Keys(l.Entries))
		list = slices.DeleteFunc(list, func(name string) bool { return l.Entries[name].History == "" })
	}
	out := map[string]any{}
	for _, name := range list {
		e := l.Entries[name]
		if e == nil {
			out[name] = notAccessible
			continue
		}
		if out[name], err = o.past(r, of, name, e, s); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, map[string]any{"entries": out}, nil
}

// history shows the past of one entry.
func (o *room) history(r *http.Request) (int, any, error) {
	if _, err := query(r, "ge", "le", "limit"); err != nil {
		return 0, nil, err
	}
	s, err := spanOf(r)
	if err != nil {
		return 0, nil, err
	}
	name := r.PathValue("entry")
	of, l, _, err := o.visible(r)
	if err != nil {
		return 0, nil, err
	}
	e := l.Entries[name]
	if e == nil {
		return 0, nil, trusted.Missing("entry not found")
	}
	past, err := o.past(r, of, name, e, s)
	return http.StatusOK, map[string]any{"entries": map[string]any{name: past}}, err
}

func spanOf(r *http.Request) (s span, err error) {
	q := r.URL.Query()
	if s.ge, err = timestamp(q, "ge"); err != nil {
		return s, err
	}
	if s.le, err = timestamp(q, "le"); err != nil {
		return s, err
	}
	s.limit, err = number(q, "limit", maxHistory)
	return s, err
}

// values are an entry's values by their times, the newest first.
type values []twins.HistoryRecord

// MarshalJSON gives {"<seconds>": value, …}; of two at one time the newer one.
func (v values) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	var last twins.Timestamp
	for _, r := range v {
		if r.At == last {
			continue
		}
		if last = r.At; len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), r.At.String()...), `":`...)
		b = append(b, r.Value...)
	}
	return append(b, '}'), nil
}

var _ json.Marshaler = values(nil)

func (o *room) past(r *http.Request, of engine.LedgerOf, name string, e *twins.Entry, s span) (values, error) {
	if e.History == "" {
		return values{}, nil
	}
	h, err := o.engine.LedgerHistory(r.Context(), of, name)
	return h.Select(e.History, o.now(), s.ge, s.le, s.limit), err
}

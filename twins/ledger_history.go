package twins

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// History is the past values of an entry, the oldest first.
type History struct {
	Records []HistoryRecord `json:"records"`
}

// HistoryRecord is one of them.
type HistoryRecord struct {
	Number uint64          `json:"n"` // of the ledger's change
	At     Timestamp       `json:"at"`
	Value  json.RawMessage `json:"value"`
}

// The bounds of a history: records, and bytes of their values.
const (
	maxRecords     = 1000
	maxRecordBytes = 512 * maxRecords
)

// Apply brings in what a change has done to the entry of that name. Applied
// again it does nothing.
func (h *History) Apply(c *LedgerChange, name string) {
	i := slices.IndexFunc(c.Entries, func(e EntryChange) bool { return e.Name == name })
	if i < 0 {
		return
	}
	e := &c.Entries[i]
	last := uint64(0)
	if n := len(h.Records); n > 0 {
		last = h.Records[n-1].Number
	}
	switch {
	case e.History == "":
		h.Records = slices.DeleteFunc(h.Records, func(r HistoryRecord) bool { return r.Number <= c.Number })
		return
	case c.Number <= last:
		return
	case e.New != nil && (len(h.Records) == 0 || string(e.New) != string(e.Old)):
		h.Records = append(h.Records, HistoryRecord{c.Number, c.At, e.New})
	}
	h.prune(e.History, c.At.Time())
}

// prune drops what is too old or too much; the newest stays.
func (h *History) prune(window string, now time.Time) {
	from := len(h.Records)
	for bytes, oldest := 0, since(window, now); from > 0 && len(h.Records)-from < maxRecords; from-- {
		r := &h.Records[from-1]
		if bytes += len(r.Value); from < len(h.Records) && (r.At < oldest || bytes > maxRecordBytes) {
			break
		}
	}
	h.Records = slices.Delete(h.Records, 0, from)
}

// since is the beginning of a window such as 1M.
func since(window string, now time.Time) Timestamp {
	n, err := strconv.Atoi(window[:max(len(window)-1, 0)])
	if err != nil {
		return 0 // INF
	}
	switch window[len(window)-1] {
	case 'D':
		now = now.AddDate(0, 0, -n)
	case 'W':
		now = now.AddDate(0, 0, -7*n)
	case 'M':
		now = now.AddDate(0, -n, 0)
	case 'Y':
		now = now.AddDate(-n, 0, 0)
	}
	return TimestampOf(now)
}

// Select gives the records of a window up to now, from ge to le (0: no end), the
// newest first, at most limit.
func (h *History) Select(window string, now time.Time, ge, le Timestamp, limit int) (records []HistoryRecord) {
	ge = max(ge, since(window, now))
	for _, r := range slices.Backward(h.Records) {
		if r.At >= ge && (le == 0 || r.At <= le) && len(records) < limit {
			records = append(records, r)
		}
	}
	return records
}

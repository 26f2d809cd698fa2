package engine_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/engine"
	"tocsin.internal/twins"
)

// A value that has been entered is in the history at once, also while it is on its
// way from the ledger to there.
func TestAHistoryLacksNoChangeThatIsBeingTold(t *testing.T) {
	w := start(t, t.TempDir(), func(c *engine.Config) { c.Twins = []twins.Twin{meter()} })
	of := engine.LedgerOf{Twin: "meter", Account: accounts.Own()}
	for i := range 100 {
		value := strconv.Itoa(i)
		require.NoError(t, w.EditLedger(t.Context(), of, func(l *twins.Ledger) error {
			change := l.Update
			if i == 0 {
				change = l.Add
			}
			refused, err := change(entries(t, `{"a":{"value":`+value+`,"history":"INF"}}`), twins.TimestampOf(noon))
			assert.Empty(t, refused)
			return err
		}))
		for range 3 { // what is told takes a moment
			h, err := w.LedgerHistory(t.Context(), of, "a")
			require.NoError(t, err)
			require.Len(t, h.Records, i+1)
			require.Equal(t, json.RawMessage(value), h.Records[i].Value)
		}
	}
}

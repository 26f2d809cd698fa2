package bus

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Attempts are found by sink, by what was sent, and by the alert, singly or in a group.
func TestSentIsFound(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir(), Prefix: "brno"})
	var list []SentRecord
	for i, r := range []SentRecord{
		{Sink: "pager", ID: "al_1"},
		{Sink: "mail.night shift", ID: "al_1"},
		{Sink: "pager", ID: "al_2"},
		{Sink: "pager", ID: "nt_1", Group: true, Data: []byte(`{"n":3,"alerts":["al_1","al_2"]}`)},
		{Sink: "pager", ID: "nt_2", Group: true, Data: []byte(`{"n":4,"alerts":["al_12"]}`)},
	} {
		if r.Data == nil {
			r.Data = fmt.Appendf(nil, `{"n":%d,"alert":%q}`, i, r.ID)
		}
		list = append(list, r)
	}
	rest, err := b.PutSent(t.Context(), list)
	require.NoError(t, err)
	assert.Empty(t, rest)
	for _, c := range []struct {
		q    SentQuery
		want []int
	}{
		{SentQuery{}, []int{0, 1, 2, 3, 4}},
		{SentQuery{Newest: 2}, []int{3, 4}},
		{SentQuery{Sink: "mail.night shift"}, []int{1}},
		{SentQuery{Sink: "nobody"}, nil},
		{SentQuery{Alert: "al_1"}, []int{0, 1, 3}},
		{SentQuery{Alert: "al_1", Sink: "pager"}, []int{0, 3}},
		{SentQuery{ID: "nt_1"}, []int{3}},
		{SentQuery{ID: "al_2", Sink: "pager"}, []int{2}},
	} {
		var got []int
		require.NoError(t, b.Sent(t.Context(), c.q, func(data []byte) {
			var n int
			fmt.Sscanf(string(data), `{"n":%d`, &n) //nolint:errcheck // 0 shows in the answer
			got = append(got, n)
		}))
		assert.Equal(t, c.want, got, "%+v", c.q)
	}
}

// One sink and alert that go wrong for ever keep no more than the last attempts.
func TestSentKeepsTheLastOfEach(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	list := make([]SentRecord, attemptsKept+20)
	for i := range list {
		list[i] = SentRecord{Sink: "pager", ID: "al_1", Data: fmt.Append(nil, i)}
	}
	_, err := b.PutSent(t.Context(), list)
	require.NoError(t, err)
	var got []string
	require.NoError(t, b.Sent(t.Context(), SentQuery{}, func(data []byte) { got = append(got, string(data)) }))
	require.Len(t, got, attemptsKept)
	assert.Equal(t, "20", got[0])
}

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// recorded is a recording of samples, "<twin> <seconds> <data>", of feed f.
func recorded(t *testing.T, doc string, described []twins.Twin, lines ...string) *engine.Recording {
	t.Helper()
	p, err := rules.Load("rule.json", []byte(doc))
	require.NoError(t, err)
	var samples []rules.Sample
	for i, line := range lines {
		parts := strings.SplitN(line, " ", 3)
		var seconds int
		_, err := fmt.Sscan(parts[1], &seconds)
		require.NoError(t, err)
		at := time.Date(2026, 11, 2, 10, 0, seconds, 0, time.UTC)
		samples = append(samples, rules.Sample{Twin: parts[0], Feed: "f", At: at, Data: []byte(parts[2]), Seq: uint64(i + 1)})
	}
	return &engine.Recording{
		Programs: map[string]*rules.Program{p.ID(): p}, Twins: described,
		Play: func(_ context.Context, r *engine.Replay, each func(*rules.Sample, []rules.Outcome, error) error) error {
			for _, s := range samples {
				out, err := r.Judge(&s, nil)
				if err := each(&s, out, err); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func ruleOf(fields string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"a","severity":"major","sourceId":"1","sourceFeedId":"f",` + fields + `}}]}`
}

func TestExplainGroup(t *testing.T) {
	hall := func(id, hall string) twins.Twin {
		property := func(key, value string) rules.Property {
			return rules.Property{Key: key, Value: rules.Literal{Kind: rules.StringLiteral, Value: value}}
		}
		return twins.Twin{
			ID: id, Feeds: []rules.Feed{{ID: "f"}},
			Properties: []rules.Property{{Key: rules.PropModel, Value: rules.Literal{Kind: rules.URI, Value: "m"}}, property("urn:x#hall", hall)},
		}
	}
	described := []twins.Twin{hall("m1", "north"), hall("m2", "north"), hall("m3", "south")}
	in := recorded(t, ruleOf(`"groupBy":{"property":"urn:x#hall"},"quorum":{"count":2},"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`), described,
		`m1 1 {"t":31}`, `m3 2 {"t":31}`, `m2 3 {"t":32}`)
	for _, twin := range []string{"north", "m1"} { // a member stands for its group
		found, err := engine.Explain(t.Context(), engine.Question{About: "i/a", Twin: twin}, in)
		require.NoError(t, err)
		require.Len(t, found, 1)
		x := found[0]
		assert.Equal(t, "north", x.Twin)
		assert.Equal(t, uint64(3), x.Sample.Seq)
		assert.JSONEq(t, `{"$agg":{"members":2,"true":2,"ratio":1}}`, string(x.Sample.Judged))
		assert.Equal(t, engine.Stage{Name: "alerts raised", Count: 1}, x.Funnel[len(x.Funnel)-1])
	}
	_, err := engine.Explain(t.Context(), engine.Question{About: "i/a"}, in)
	assert.EqualError(t, err, "which twin? Want --twin with one of north, south")
	assert.ErrorIs(t, err, engine.ErrQuestion)
}

func TestExplainTimes(t *testing.T) {
	in := recorded(t, ruleOf(`"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`), nil, `m1 0 {"t":29}`, `m1 60 {"t":31}`, `m1 3600 {"t":1}`)
	for _, c := range []struct {
		at  string
		seq uint64
	}{
		{"", 3}, {"10:00", 1}, {"10:00:59", 1}, {"10:01", 2}, {"2026-11-02T10:30:00Z", 2}, {"2026-11-02T12:30:00+01:00", 3}, {"2026-11-02 10:59", 2}, {"2026-11-03T00:00Z", 3},
	} {
		found, err := engine.Explain(t.Context(), engine.Question{About: "i", At: c.at}, in)
		require.NoError(t, err, c.at)
		assert.Equal(t, c.seq, found[0].Sample.Seq, c.at)
	}
	found, err := engine.Explain(t.Context(), engine.Question{About: "a", At: "11:30"}, in) // of the day before
	require.NoError(t, err)
	assert.Nil(t, found[0].Sample)
	assert.Equal(t, []string{`twin "m1" has shared no sample of feed "f" at or before 2026-11-01T11:30:00Z; the first is of 2026-11-02T10:00:00Z`}, found[0].Notes)
}

// TestExplainMuch: what is large is cut, and says so.
func TestExplainMuch(t *testing.T) {
	var lines []string
	for i := range 2000 {
		lines = append(lines, fmt.Sprintf(`m1 %d {"t":31,"id":"x%d","l":[%s1]}`, i, i, strings.Repeat("1,", 50)))
	}
	many := strings.Repeat(`{"jsonLogic":{"some":[{"var":"l"},{"==":[{"var":""},2]}]}},`, 30) + `{"jsonLogic":{"==":[{"var":"id"},"y"]}}`
	found, err := engine.Explain(t.Context(), engine.Question{About: "i", Window: time.Hour}, recorded(t, ruleOf(`"conditions":[`+many+`]`), nil, lines...))
	require.NoError(t, err)
	x := found[0]
	assert.Len(t, x.Timeline, 500)
	assert.Equal(t, 1301, x.Hidden)
	text := x.Text()
	assert.Less(t, len(text), 120_000)
	assert.Contains(t, text, "… 1,301 more; want a smaller --window\n")
	assert.Contains(t, text, `"id" was never "y"; values seen: "x0" (1), "x1" (1), `)
}

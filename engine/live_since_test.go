package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
)

func TestFollowingSinceATime(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.RulesPath, c.Twins = ruleFile(t, overheating), machines(1) })
	all, _ := w.follow("", feedOf("machine_0"))
	for i := range 4 {
		w.emit(reading("machine_0", i, 20+i))
		w.until("the sample", func() bool { return all.len() == i+1 })
	}
	second := all.events[1].Stored
	for _, c := range []struct {
		name string
		at   time.Time
		want int
	}{
		{"all", time.Time{}, 4}, {"from the second on", second, 3}, {"after the second", second.Add(1), 2}, {"after all", time.Now().Add(time.Hour), 0},
	} {
		after, err := w.Since(t.Context(), feedOf("machine_0"), c.at)
		require.NoError(t, err, c.name)
		since, _ := w.follow(after, feedOf("machine_0"))
		w.until(c.name, func() bool { return since.len() == c.want })
	}
	_, err := w.Since(t.Context(), engine.Topic{Kind: "nothing"}, time.Time{})
	require.ErrorIs(t, err, engine.ErrTopic)
}

package engine

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
)

func TestIDsOfEvents(t *testing.T) {
	var p places
	assert.Empty(t, p.String())
	p.set(bus.OutputTail, tailPlace{88, whole})
	p.set(bus.SampleTail, tailPlace{120, 0})
	p.set(bus.InputTail, tailPlace{1 << 63, 7})
	assert.Equal(t, "f120.0-o88-i9223372036854775808.7", p.String())
}

func FuzzParsePlaces(f *testing.F) {
	for _, id := range []string{"", "f120.0-o88", "f0", "a1-s2-n3-i4", "f1-f1", "f1.4294967295", "o1-f1", "f00", "é1", "-"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := parsePlaces(id)
		if err != nil {
			require.ErrorIs(t, err, ErrEventID)
			return
		}
		again, err := parsePlaces(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, again)
	})
}

// Patterns mean what they mean to NATS.
func FuzzPatterns(f *testing.F) {
	for _, seed := range [][2]string{
		{">", "a.b"}, {"", "a"}, {"a.>", "a"}, {"a.>", "a.b.c"}, {"*.b", "a.b"}, {"a.*", "a"}, {"*", "a.b"}, {"a.b", "a.b"}, {"a.b", "a"}, {"critical.*.m.>", "critical.i:r.m.raised"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, subject string) {
		pattern, err := parsePattern(text)
		if err != nil {
			require.ErrorIs(t, err, ErrTopic)
			return
		}
		if text == "" {
			text = ">"
		}
		if !server.IsValidLiteralSubject(subject) || !server.IsValidSubject(text) || strings.ContainsAny(subject, "\x00") {
			return
		}
		assert.Equal(t, server.SubjectMatchesFilter(subject, text), fits(pattern, subject), "%q %q", text, subject)
	})
}

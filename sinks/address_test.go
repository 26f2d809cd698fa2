package sinks_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

func TestAddress(t *testing.T) {
	alert := rules.Outcome{Kind: rules.Alert, Interaction: "i", Rule: "r", Twin: "t", State: rules.StateFiring, Severity: "minor", ID: "al_1"}
	for text, want := range map[string]string{
		"a":                                 "a",
		"{kind}":                            "alert",
		"{space}.{severity}/{id}-":          "s.minor/al_1-",
		"{interaction}:{rule}{twin}{event}": "i:rtraised",
		"{feed}{topic}{color}":              "%%%",
	} {
		a, err := sinks.ParseAddress(text)
		require.NoError(t, err, text)
		got, err := (&sinks.Addresses{Alert: a}).Of(&alert, "s", func(name string) string { return sinks.Token(name, "") })
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for text, want := range map[string]string{
		"":          `got ""; want a name with places in it, such as {severity} and {twin}`,
		"{":         `got "{"; want a } behind each {`,
		"}":         `got "}"; want a { before each }`,
		"a b":       `got "a b"; want neither blanks nor control characters`,
		"\xff":      `got "\xff"; want neither blanks nor control characters`,
		"{}":        `no place {}; want one of kind, space, severity, interaction, rule, twin, feed, topic, color, event, id`,
		"{colour}":  `no place {colour}; did you mean "color"?`,
		"a{b{twin}": `no place {b{twin}`,
	} {
		_, err := sinks.ParseAddress(text)
		require.ErrorContains(t, err, want, text)
	}
	assert.Panics(t, func() { sinks.MustAddress("{") })
}

func TestAddressesOfStickersAndNotices(t *testing.T) {
	all := sinks.Addresses{Sticker: sinks.MustAddress("{twin}/{color}/{event}"), Notification: sinks.MustAddress("{topic}")}
	for want, o := range map[string]rules.Outcome{
		"t/red/put":    {Kind: rules.Sticker, Twin: "t", Sticker: &rules.StickerChange{Op: rules.PutSticker, Color: "red"}},
		"t/blue/":      {Kind: rules.Sticker, Twin: "t", Feed: "blue"},
		"night/shift":  {Kind: rules.Notification, Topic: "night/shift"},
		"from a rule!": {Kind: rules.Notification, Notice: &rules.Notice{Topic: "from a rule!"}},
	} {
		got, err := all.Of(&o, "", func(name string) string { return name })
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := all.Of(&rules.Outcome{Kind: rules.Output}, "", strings.ToUpper)
	require.EqualError(t, err, "no address for a output; want alert, notification, output or sticker")
	assert.True(t, all.Begins(rules.Sticker, ""))
	assert.False(t, all.Begins(rules.Sticker, "$"))
	assert.False(t, all.Begins(rules.Alert, ""))
}

func FuzzToken(f *testing.F) {
	for _, name := range []string{"", "%", "a.b*>/+#", "é\u0085", "\xff\x00", "a b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := sinks.Token(name, ",?")
		if got == "" || strings.ContainsAny(got, ".*>/+#,? \x00\n") {
			t.Errorf("%q becomes %q", name, got)
		}
	})
}

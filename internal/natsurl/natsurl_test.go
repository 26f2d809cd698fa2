package natsurl_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/internal/natsurl"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]struct{ whole, bare bool }{
		"nats://h":                   {true, true},
		"nats://u:p@h:4222, tls://h": {true, true},
		"wss://h/x":                  {true, true},
		"127.0.0.1:4222":             {false, true},
		"h":                          {false, true},
		"nats://h, h2":               {false, true},
		"http://h":                   {false, false},
		"nats://u:%zz@h":             {false, false},
		"127.0.0.1:4222 x":           {false, false},
		"nats://":                    {false, false},
		"nats://h,":                  {false, false},
		"":                           {false, false},
	} {
		assert.Equal(t, want.whole, natsurl.Check(text) == nil, text)
		assert.Equal(t, want.bare, natsurl.CheckBare(text) == nil, text)
	}
}

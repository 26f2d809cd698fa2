package nats_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/sources/nats"
)

func TestConfigErrors(t *testing.T) {
	for name, tt := range map[string]struct{ config, want string }{
		"nothing":            {`{}`, "c:1:1: field \"url\" is missing\nc:1:1: field \"subject\" is missing"},
		"typo":               {`{"url":"nats://h","subjct":"a.b"}`, "c:1:1: field \"subject\" is missing\nc:1:19: /subjct: unknown field \"subjct\"; did you mean \"subject\"?"},
		"url":                {`{"url":"http://u:s3cret@h","subject":"a.b"}`, `c:1:8: /url: not the address of a NATS server; want nats://host:port, or several with commas between`},
		"second url":         {`{"url":"nats://h, h2","subject":"a.b"}`, `c:1:8: /url: not the address of a NATS server; want nats://host:port, or several with commas between`},
		"url cannot be read": {`{"url":"nats://u:%zz@h","subject":"a.b"}`, `c:1:8: /url: not the address of a NATS server; want nats://host:port, or several with commas between`},
		"empty token":        {`{"url":"nats://h","subject":"a..b"}`, `c:1:29: /subject: got "a..b"; want tokens with dots between, or * or > for a token`},
		"half a wildcard":    {`{"url":"nats://h","subject":"a.b*"}`, `c:1:29: /subject: got "a.b*"; want tokens with dots between, or * or > for a token`},
		"> inside":           {`{"url":"nats://h","subject":"a.>.b"}`, `c:1:29: /subject: got "a.>.b"; want > only at the end`},
		"too short":          {`{"url":"nats://h","subject":"a"}`, `c:1:29: /subject: got "a", which has no token for the twin; want two tokens at least, or twin and feed`},
		"position":           {`{"url":"nats://h","subject":"a.b","twinToken":3}`, `c:1:47: /twinToken: got 3; want a position in "a.b", from 1`},
		"position 0":         {`{"url":"nats://h","subject":"a.>","feedToken":0}`, `c:1:47: /feedToken: got 0; want a position in "a.>", from 1`},
		"named twice":        {`{"url":"nats://h","subject":"a.b","twinToken":1,"twin":"t"}`, `c:1:47: /twinToken: twin says it already; want one of them`},
		"sample, named":      {`{"url":"nats://h","subject":"a.b","body":"sample","twin":"t","feedToken":1}`, "c:1:1: a sample names its own twin; want neither twin nor twinToken\nc:1:74: /feedToken: a sample names its own feed; want neither feed nor feedToken"},
		"half a certificate": {`{"url":"nats://h","subject":"a.b","tls":{"cert":"x"}}`, `c:1:41: /tls: a certificate and its key go together; want both or none`},
		"no durable":         {`{"url":"nats://h","subject":"a.b","stream":"S"}`, `c:1:44: /stream: stream and durable go together; want both or none`},
		"queue and stream":   {`{"url":"nats://h","subject":"a.b","stream":"S","durable":"d","queue":"q"}`, `c:1:70: /queue: whoever names the same durable shares its messages; want no queue with a stream`},
		"body":               {`{"url":"nats://h","subject":"a.b","body":"text"}`, `c:1:42: /body: got "text"; want data or sample`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := nats.New(parse(t, tt.config))
			require.EqualError(t, err, tt.want)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
	for _, config := range []string{
		`{"url":"nats://h","subject":"a","twin":"t","feed":"f"}`, `{"url":"nats://h","subject":"a","twin":"t"}`, `{"url":"nats://h","subject":">"}`,
		`{"url":"nats://u:p@h:4222, tls://h2","subject":"a.b"}`, `{"url":"wss://h/x","subject":"a","body":"sample"}`, `{"url":"nats://h","subject":"a.>","twinToken":7}`,
	} {
		_, err := nats.New(parse(t, config))
		require.NoError(t, err, config)
	}
}

package standardwebhooks_test

import (
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/standardwebhooks"
)

// The example that is published in a receiver's documentation (docs.svix.com, "Verifying webhooks manually").
func TestStamp(t *testing.T) {
	key, err := standardwebhooks.DecodeSecret("whsec_plJ3nmyCDGBKInavdOK15jsl")
	require.EqualError(t, err, "a secret of 18 bytes; want 24 to 64")
	assert.Nil(t, key)
	key, err = base64.StdEncoding.DecodeString("plJ3nmyCDGBKInavdOK15jsl") // shorter than the specification has it
	require.NoError(t, err)
	h := http.Header{}
	standardwebhooks.Stamp(h, key, "msg_loFOjxBNrRLzqYUf", time.Unix(1731705121, 0), []byte(`{"event_type":"ping","data":{"success":true}}`))
	assert.Equal(t, http.Header{
		"Webhook-Id": {"msg_loFOjxBNrRLzqYUf"}, "Webhook-Timestamp": {"1731705121"},
		"Webhook-Signature": {"v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="},
	}, h)
	h = http.Header{}
	standardwebhooks.Stamp(h, nil, "msg", time.Unix(1, 0), nil)
	assert.Equal(t, http.Header{"Webhook-Id": {"msg"}, "Webhook-Timestamp": {"1"}}, h)
}

func TestJudge(t *testing.T) {
	never, again, arrived := standardwebhooks.Verdict{Never: true}, standardwebhooks.Verdict{}, standardwebhooks.Verdict{Arrived: true}
	for status, want := range map[int]standardwebhooks.Verdict{
		200: arrived, 201: arrived, 204: arrived, 299: arrived,
		301: never, 302: never, 307: never, 400: never, 401: never, 404: never, 410: never, 422: never,
		408: again, 425: again, 500: again, 502: again, 504: again, 600: again, 199: again,
		429: {After: 7 * time.Second}, 503: {After: 7 * time.Second},
	} {
		got := standardwebhooks.Judge(status, http.Header{"Retry-After": {"7"}}, time.Unix(0, 0))
		assert.Equal(t, want, got, status)
	}
}

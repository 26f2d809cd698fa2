package envelope_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/envelope"
)

const (
	overheating = `{"temperature":31.2}`
	pump        = `{"temperature":31.2,"humidity":45.5,"status":"active","motor":{"rpm":1500,"load":0.75},"zone":"B",` +
		`"pressure":1013.2,"serial":"SN-0042-X","uptime":86400,"firmware":"1.4.2","calibrated":true}`
	interest = `{"followerTwinId":{"id":"did:iotics:iotA","hostId":""},"followedFeedId":{"id":"currentTemp","twinId":"did:iotics:iotB"}}`
)

var at = time.Date(2026, 11, 22, 0, 27, 31, 641_240_000, time.UTC)

func TestAppend(t *testing.T) {
	assert.Equal(t,
		`x{"sample":{"data":"eyJ0ZW1wZXJhdHVyZSI6MzEuMn0=","mime":"application/json","occurredAt":"2026-11-22T00:27:31.64124Z"}}`,
		string(envelope.AppendShare([]byte("x"), []byte(overheating), at.In(time.FixedZone("", 3600)))))
	assert.Equal(t,
		`{"sample":{"data":"","mime":"application/json"}}`,
		string(envelope.AppendShare(nil, nil, time.Time{})))
	assert.Equal(t,
		`{"interest":`+interest+`,"feedData":{"data":"e30=","mime":"application/json","occurredAt":"2026-11-22T00:27:31.64124Z"}}`,
		string(envelope.AppendFollow(nil, []byte(interest), []byte(`{}`), at)))
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name, message, data string
		at                  time.Time
	}{
		{"follow", `{"interest":{"data":"eA=="},"feedData":{"data":"e30=","mime":"application/json","occurredAt":"2026-11-22T00:27:31.641240+00:00"}}`, `{}`, at},
		{"share", ` { "sample" : { "occurredAt" : "2026-11-22T00:27:31.64124Z", "data" : "eyJ0IjozMX0=" } } `, `{"t":31}`, at},
		{"input", `{"inputId":{"id":"i"},"message":{"data":"eyJ0IjozMX0=","mime":"application/json"}}`, `{"t":31}`, time.Time{}},
		{"nulls", `{"sample":null,"message":{"data":"","mime":null,"occurredAt":null}}`, "", time.Time{}},
		{"parameters", `{"sample":{"data":"IA==","mime":"Application/JSON ; charset=utf-8"}}`, " ", time.Time{}},
		{"no mime", `{"sample":{"data":"IA==","mime":""}}`, " ", time.Time{}},
		{"escapes", `{"s\u0061mple":{"data":"Pz8\/Pj4\u002bYQ\u003d\u003D","mime":"application\/json","occurredAt":"2026-11-22T05:57:31.64124\u002B05:30"}}`, "???>>>a", at},
		{"any bytes", `{"sample":{"data":"/+8A"}}`, "\xff\xef\x00", time.Time{}},
		{"the last of several", `{"sample":{"data":"?","mime":"x"},"sample":{"data":"?","data":"IA=="}}`, " ", time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := envelope.NewReader().Open([]byte(c.message))
			require.NoError(t, err)
			assert.Equal(t, c.data, string(got.Data))
			assert.Equal(t, c.at, got.At)
		})
	}
}

func TestRefused(t *testing.T) {
	for message, want := range map[string]string{
		``:                                `envelope: not JSON`,
		`{"sample":{"data":"IA=="}}}`:     `envelope: not JSON`,
		`[]`:                              `envelope: no feedData, sample or message in it`,
		`{"Sample":{"data":"IA=="}}`:      `envelope: no feedData, sample or message in it`,
		`{"sample":"IA=="}`:               `envelope: sample is not an object`,
		`{"sample":{},"feedData":{}}`:     `envelope: both feedData and sample; want one`,
		`{"feedData":{}}`:                 `envelope: no feedData.data`,
		`{"message":{"data":null}}`:       `envelope: no message.data`,
		`{"sample":{"data":{"t":1}}}`:     `envelope: sample.data is not a text`,
		`{"sample":{"data":"{\"t\":1}"}}`: `envelope: sample.data is not base64: "{\"t\":1}"`,
		`{"sample":{"data":"IA"}}`:        `envelope: sample.data is not base64: "IA"`,
		`{"sample":{"data":"IA=\n="}}`:    `envelope: sample.data is not base64: "IA=\n="`,
		`{"sample":{"data":"IB=="}}`:      `envelope: sample.data is not base64: "IB=="`,
		`{"sample":{"data":"Pz8_Pz8_"}}`:  `envelope: sample.data is not base64: "Pz8_Pz8_"`,
		`{"sample":{"data":"` + strings.Repeat(`?`, 99) + `"}}`:                 `envelope: sample.data is not base64: "` + strings.Repeat(`?`, 40) + `"…`,
		`{"sample":{"data":"IA==","mime":1}}`:                                   `envelope: sample.mime is not a text`,
		`{"sample":{"data":"IA==","mime":"text/plain"}}`:                        `envelope: sample.mime is "text/plain"; want application/json`,
		`{"sample":{"data":"IA==","occurredAt":1}}`:                             `envelope: sample.occurredAt is not a text`,
		`{"sample":{"data":"IA==","occurredAt":"2026-11-22T00:27:31.641240"}}`:  `envelope: sample.occurredAt is "2026-11-22T00:27:31.641240"; want a time such as 2026-11-22T10:00:00Z`,
		`{"feedData":{"data":"IA==","occurredAt":"9999-12-31T23:59:59-00:01"}}`: `envelope: feedData.occurredAt is "9999-12-31T23:59:59-00:01"; want a time such as 2026-11-22T10:00:00Z`,
	} {
		_, err := envelope.NewReader().Open([]byte(message))
		assert.EqualError(t, err, want, message)
	}
}

// TestTimes holds the times that are read to those that the package time reads.
func TestTimes(t *testing.T) {
	for _, text := range []string{
		"2026-11-22T10:00:00Z", "2024-02-29T23:59:59.123456789Z", "2000-02-29T00:00:00+00:00", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
		"2026-11-22T10:00:00.1234567891234Z", "2026-11-22T10:00:00+23:59", "2026-11-22T10:00:00-00:30", "2026-04-30T10:00:00Z",
		"2026-02-29T10:00:00Z", "1900-02-29T10:00:00Z", "2026-04-31T10:00:00Z", "2026-13-01T10:00:00Z", "2026-00-01T10:00:00Z", "2026-01-00T10:00:00Z", "2026-01-32T10:00:00Z",
		"2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z", "2026-11-22T10:00:60Z", "2026-11-22T10:00:00+24:00", "2026-11-22T10:00:00+01:60", "2026-11-22T10:00:00+0100", "2026-11-22T10:00:00+01",
		"2026-11-22 10:00:00Z", "2026-11-22t10:00:00z", "2026-11-22T10:00:00.Z", "2026-11-22T10:00:00,5Z", "2026-11-22T10:00:00ZZ", "2026-11-22T10:00:00", "2026-11-22T1:00:00Z", "x026-11-22T10:00:00Z", "", "Z",
		"-026-11-22T10:00:00Z", "20a6-11-22T10:00:00Z", "2026-11-22T10:00:0:Z", "2026/11-22T10:00:00Z", "2026-11/22T10:00:00Z", "2026-11-22T10-00:00Z", "2026-11-22T10:00-00Z",
	} {
		agree(t, []byte(`{"sample":{"data":"","occurredAt":"`+text+`"}}`))
	}
}

// TestLengths has data of all lengths around those that are read at once.
func TestLengths(t *testing.T) {
	data := []byte(strings.Repeat("\x00\xff~?>", 10))
	for n := range data {
		message := envelope.AppendShare(nil, data[:n], at)
		assert.Contains(t, string(message), base64.StdEncoding.EncodeToString(data[:n]))
		got, err := envelope.NewReader().Open(message)
		require.NoError(t, err)
		assert.Equal(t, string(data[:n]), string(got.Data))
		for i := range message {
			changed := append([]byte(nil), message...)
			changed[i] = '='
			agree(t, changed)
			changed[i] = '-'
			agree(t, changed)
		}
	}
}

// shape is that of RFC 3339. UnmarshalText also takes a comma, "T1:" and +24:60.
var shape = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// plain opens an envelope with the standard library.
func plain(message []byte) (data []byte, at time.Time, ok bool) {
	var document any
	if json.Unmarshal(message, &document) != nil {
		return nil, time.Time{}, false
	}
	var carried []map[string]any
	object, _ := document.(map[string]any)
	for _, name := range []string{"feedData", "sample", "message"} {
		switch v := object[name].(type) {
		case nil:
		case map[string]any:
			carried = append(carried, v)
		default:
			return nil, time.Time{}, false
		}
	}
	if len(carried) != 1 {
		return nil, time.Time{}, false
	}
	switch v := carried[0]["mime"].(type) {
	case nil:
	case string:
		name, _, _ := strings.Cut(v, ";")
		if v != "" && !strings.EqualFold(strings.TrimSpace(name), "application/json") {
			return nil, time.Time{}, false
		}
	default:
		return nil, time.Time{}, false
	}
	switch v := carried[0]["occurredAt"].(type) {
	case nil:
	case string:
		if !shape.MatchString(v) || at.UnmarshalText([]byte(v)) != nil || at.UTC().Year() < 0 || at.UTC().Year() > 9999 {
			return nil, time.Time{}, false
		}
	default:
		return nil, time.Time{}, false
	}
	text, ok := carried[0]["data"].(string)
	if !ok || strings.ContainsAny(text, "\r\n") {
		return nil, time.Time{}, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	return data, at.UTC(), err == nil
}

func agree(t *testing.T, message []byte) {
	t.Helper()
	want, wantAt, ok := plain(message)
	got, err := envelope.NewReader().Open(message)
	require.Equal(t, ok, err == nil, "%s: %v", message, err)
	if ok {
		require.Equal(t, string(want), string(got.Data), "%s", message)
		require.Equal(t, wantAt, got.At, "%s", message)
	}
}

// FuzzOpen holds Open to the standard library.
func FuzzOpen(f *testing.F) {
	f.Add(envelope.AppendShare(nil, []byte(overheating), at))
	f.Add(envelope.AppendFollow(nil, []byte(interest), []byte(pump), at))
	f.Add([]byte(`{"inputId":{},"message":{"data":"Pz8\/Pz8\u002b","mime":"application\/json;x","occurredAt":"2024-02-29T23:59:59.5-05:30"}}`))
	f.Add([]byte(`{"sample":{"data":"IA=\n=","mime":""},"sample":{"data":"IB==","occurredAt":"2026-11-22T24:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, message []byte) { agree(t, message) })
}

// FuzzRoundTrip opens what it wrote, with one reader for two samples.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(overheating), at.Unix(), int64(at.Nanosecond()), []byte(pump))
	f.Add([]byte{}, int64(-62167219200), int64(1), []byte{0xff})
	f.Add([]byte("a"), int64(253402300799), int64(999_999_999), []byte("ab"))
	f.Fuzz(func(t *testing.T, data []byte, seconds, nanos int64, other []byte) {
		at := time.Unix(seconds, nanos).UTC()
		if year := at.Year(); year < 0 || year > 9999 || seconds > 1<<40 || seconds < -1<<40 {
			return
		}
		r := envelope.NewReader()
		for _, d := range [][]byte{data, other} {
			for _, message := range [][]byte{envelope.AppendShare(nil, d, at), envelope.AppendFollow(nil, []byte(interest), d, at)} {
				require.True(t, json.Valid(message), "%s", message)
				got, err := r.Open(message)
				require.NoError(t, err, "%s", message)
				require.Equal(t, string(d), string(got.Data))
				require.True(t, at.Equal(got.At), "%s: %s", message, got.At)
			}
		}
	})
}

func TestNoAllocation(t *testing.T) {
	for name, message := range map[string]string{
		"follow":  string(envelope.AppendFollow(nil, []byte(interest), []byte(pump), at)),
		"share":   string(envelope.AppendShare(nil, []byte(overheating), at)),
		"escapes": `{"sample":{"data":"Pz8\/Pz8\u002b","mime":"application\/json","occurredAt":"2026-11-22T05:57:31.64124\u002B05:30"}}`,
	} {
		r, text, out := envelope.NewReader(), []byte(message), make([]byte, 0, 1000)
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			got, err := r.Open(text)
			if err != nil {
				t.Error(err)
			}
			out = envelope.AppendShare(out[:0], got.Data, got.At)
			out = envelope.AppendFollow(out[:0], []byte(interest), got.Data, got.At)
		}), name)
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, sample := range map[string]string{"20": overheating, "190": pump} {
		var messages [64][]byte
		for i := range messages {
			messages[i] = envelope.AppendFollow(nil, []byte(interest), []byte(sample), at.Add(time.Duration(i)*time.Second))
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r, i := envelope.NewReader(), 0
			for b.Loop() {
				if _, err := r.Open(messages[i%len(messages)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkAppendShare(b *testing.B) {
	for name, sample := range map[string]string{"20": overheating, "190": pump} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			data, out := []byte(sample), make([]byte, 0, 1000)
			for b.Loop() {
				out = envelope.AppendShare(out[:0], data, at)
			}
		})
	}
}

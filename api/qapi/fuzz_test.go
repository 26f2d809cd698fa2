package qapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// What is taken of a body makes a twin that can be stored and read again; what is
// not has a place.
func FuzzTwinBodies(f *testing.F) {
	for _, seed := range []string{
		`{"newVisibility":{"visibility":"PRIVATE"},"properties":{"added":[{"key":"k","langLiteralValue":{"lang":"en","value":"v"}}],"clearedAll":true},"location":{"location":{"lat":51.5,"lon":-0.1}}}`,
		`{"properties":{"deleted":[{"key":"k","uriValue":{"value":"u"}}],"deletedByKey":["x"],"added":null},"location":{}}`,
		`{"storeLast":true,"values":{"added":[{"comment":"c","dataType":"decimal","label":"t","unit":null}],"deletedByLabel":["h"]}}`,
		`{"twinId":{"id":"a","hostId":"h"},"feeds":[{"id":{"value":"f"},"values":[{"label":"t","dataType":null}],"x":1}],"inputs":[{"id":"i"}],"location":{"lat":1,"lon":2}}`,
		`{"properties":{"added":[{"key":"k","literalValue":{"dataType":null,"value":"1"}}]}}`,
		`{"properties":{"added":[{"key":"k","x":1}]}}`, `{"feedId":{"id":{"id":"f"},"twinId":{"value":"t"}}}`, `{"labels":[],"a~1b/c":{"~0":null}}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		raw, err := strictjson.Parse("body", text)
		if err != nil {
			return
		}
		was := twins.Twin{ID: "was", Properties: []rules.Property{twins.String("k", "v")}, Feeds: []rules.Feed{{ID: "f", Values: []rules.Value{{Label: "h"}}}}}
		var u twins.Update
		var fu twins.FeedUpdate
		var upsert twins.Twin
		var id feedID
		for _, v := range []any{&u, &fu, &upsert, &id} {
			warnings, err := tolerate(raw, raw.Decode(v))
			for _, w := range warnings {
				assert.NotEmpty(t, w.Pointer)
			}
			if err != nil {
				assert.Equal(t, 400, statusOf(err), "%v", err)
				continue
			}
			var made twins.Twin
			switch v := v.(type) {
			case *twins.Update:
				made = v.Apply(was)
			case *twins.FeedUpdate:
				made = was.WithFeed(v.Apply(was.Feeds[0]))
			case *twins.Twin:
				made = *v
			case *feedID:
				made = was.WithFeed(rules.Feed{ID: v.id})
			}
			if check(&made) == nil {
				again, err := strictjson.Parse("again", made.AppendJSON(nil))
				require.NoError(t, err)
				read, err := twins.Decode(again)
				require.NoError(t, err)
				assert.True(t, read[0].Equal(&made))
			}
		}
		assert.Equal(t, "was", was.ID)
		assert.Len(t, was.Properties, 1)
	})
}

// What is taken of a share is one object on one line.
func FuzzShare(f *testing.F) {
	for _, seed := range []string{
		`{"sample":{"data":"eyJ0IjozMX0=","mime":"application/json","occurredAt":"2026-11-02T00:27:31.641240+00:00"}}`,
		`{"sample":{"data":"ewogInQiOiAzMwp9Cg==","occurredAt":null,"mime":null,"x":1}}`, `{"sample":{"data":"//__"}}`, `{"sample":{"data":3}}`, `{"sample":[]}`, `{"sample":{"data":"e30=","occurredAt":"0000-00-00T00:00:00Z"}}`, ``,
	} {
		f.Add([]byte(seed))
	}
	s := New(Options{})
	f.Fuzz(func(t *testing.T, text []byte) {
		sample := rules.Sample{Twin: "t", Feed: "f"}
		if err := s.readSample(discard{}, &sample, text); err != nil {
			assert.Equal(t, 400, statusOf(err), "%v", err)
			assert.Equal(t, text, sample.Data)
			return
		}
		assert.True(t, json.Valid(sample.Data))
		assert.Equal(t, byte('{'), sample.Data[0])
		assert.False(t, bytes.ContainsAny(sample.Data, "\r\n"))
		assert.False(t, sample.At.IsZero() && !bytes.Contains(text, []byte("0001-01-01")))
	})
}

// A search's body is a filter that the answer can be made of.
func FuzzSearchBody(f *testing.F) {
	for _, seed := range []string{
		`{"filter":{"properties":[{"key":"k","value":{"uriValue":{"value":"u"}}}],"text":"a b","location":{"location":{"lat":1,"lon":2},"radiusKm":3}},"responseType":"FULL"}`,
		`{"filter":{"properties":[{"key":"k","value":{"uriVal":{}}}]}}`, `{"filter":null,"responseType":null,"expiryTimeout":1}`, `{"filter":{"text":null}}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		raw, err := strictjson.Parse("body", text)
		if err != nil {
			return
		}
		var in searchBody
		if _, err := tolerate(raw, raw.Decode(&in)); err != nil {
			assert.Equal(t, 400, statusOf(err), "%v", err)
			return
		}
		assert.Contains(t, responseTypes, string(in.response))
		if in.filter == nil {
			return
		}
		again, err := strictjson.Parse("again", in.filter.AppendJSON(nil))
		require.NoError(t, err)
		var f rules.Filter
		require.NoError(t, again.Decode(&f))
	})
}

// discard is a ResponseWriter that forgets.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

package twins_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const somebody = "5b7f2b36-7f7c-4d2e-9f36-1a1d2f2f0c11"

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// red is a sticker for a day.
func red(id string) twins.Sticker {
	return twins.Sticker{
		ID: id, Twin: "meter_1", Account: "a", Color: "red", Note: "repair now", Recipients: []string{somebody}, Created: noon, ValidUntil: noon.Add(24 * time.Hour),
		Publish: rules.StickerTopics{Put: []string{"new-request"}, Remove: []string{"task-completed", "done"}},
	}
}

func eventsOf(r *twins.StickerRecord) (out []string) {
	for i := range r.Unsent {
		e := &r.Unsent[i]
		out = append(out, fmt.Sprintf("%s %s by %q at %s on %v", e.Event, e.Sticker.ID, e.By, e.At.Format("02 15:04"), e.Topics()))
	}
	return out
}

func TestPutOnWhatIsThere(t *testing.T) {
	other := func(change func(s *twins.Sticker)) twins.Sticker {
		s := red("2")
		change(&s)
		return s
	}
	for _, tt := range []struct {
		what     string
		put      twins.Sticker
		existing string
		hours    int
		there    string
		events   int
		err      error
	}{
		{"the same again", red("2"), "", 1, "1", 1, nil},
		{"the same again, to replace", red("2"), rules.ReplaceSticker, 1, "1", 1, nil},
		{"the same, its recipients twice as many", other(func(s *twins.Sticker) { s.Recipients = append(s.Recipients, "b") }), "", 1, "1", 1, twins.ErrOtherSticker},
		{"another note", other(func(s *twins.Sticker) { s.Note = "now!" }), "", 1, "1", 1, twins.ErrOtherSticker},
		{"another note, to refuse", other(func(s *twins.Sticker) { s.Note = "now!" }), rules.RefuseSticker, 1, "1", 1, twins.ErrOtherSticker},
		{"another note, to keep", other(func(s *twins.Sticker) { s.Note = "now!" }), rules.KeepSticker, 1, "1", 1, nil},
		{"another note, to replace", other(func(s *twins.Sticker) { s.Note = "now!" }), rules.ReplaceSticker, 1, "2", 2, nil},
		{"another time", other(func(s *twins.Sticker) { s.ValidUntil = s.ValidUntil.Add(time.Millisecond) }), "", 1, "1", 1, twins.ErrOtherSticker},
		{"as long as may be", other(func(s *twins.Sticker) { s.Longest = true }), "", 1, "1", 1, twins.ErrOtherSticker},
		{"other topics", other(func(s *twins.Sticker) { s.Publish.Expire = []string{"late"} }), "", 1, "1", 1, twins.ErrOtherSticker},
		{"the same when its time has passed", red("2"), "", 24, "2", 3, nil},
	} {
		var r twins.StickerRecord
		_, err := r.Put(red("1"), "", "ann", noon)
		require.NoError(t, err, tt.what)
		put, err := r.Put(tt.put, tt.existing, "ann", noon.Add(time.Duration(tt.hours)*time.Hour))
		assert.ErrorIs(t, err, tt.err, tt.what)
		assert.Equal(t, tt.there, r.Sticker.ID, tt.what)
		assert.Equal(t, tt.there == "2", put, tt.what)
		assert.Len(t, r.Unsent, tt.events, tt.what)
	}
}

func TestLifeOfASticker(t *testing.T) {
	var r twins.StickerRecord
	assert.False(t, r.Remove("bob", noon))
	assert.False(t, r.Expire(noon))
	text, err := r.Encode()
	require.NoError(t, err)
	assert.Empty(t, text, "nothing is kept of what was never there")
	_, err = r.Put(red("1"), "", "ann", noon)
	require.NoError(t, err)
	assert.True(t, r.Live(noon))
	assert.True(t, r.Remove("bob", noon.Add(time.Hour)))
	assert.False(t, r.Remove("eve", noon.Add(time.Hour)))
	assert.False(t, r.Expire(noon.Add(48*time.Hour)), "what was taken off does not expire")
	_, err = r.Put(red("2"), "", "ann", noon.Add(2*time.Hour))
	require.NoError(t, err)
	assert.False(t, r.Remove("bob", noon.Add(24*time.Hour)), "what has expired is not taken off")
	assert.False(t, r.Expire(noon.Add(48*time.Hour)))
	assert.Equal(t, []string{
		`put 1 by "ann" at 02 12:00 on [new-request]`, `removed 1 by "bob" at 02 13:00 on [task-completed done]`,
		`put 2 by "ann" at 02 12:00 on [new-request]`, `expired 2 by "" at 03 12:00 on []`,
	}, eventsOf(&r))
	text, err = r.Encode()
	require.NoError(t, err)
	again, err := twins.DecodeStickerRecord(text)
	require.NoError(t, err)
	assert.Equal(t, r, again)
	r.Told(again.Unsent[:2])
	assert.Len(t, r.Unsent, 2)
	r.Told(again.Unsent)
	assert.Empty(t, r.Unsent)
}

// Each event has an id on each topic, and it is the same each time.
func TestIDsOfStickerEvents(t *testing.T) {
	seen := map[string]string{}
	for _, sticker := range []string{"1", "2"} {
		for _, event := range []string{twins.StickerPut, twins.StickerTaken, twins.StickerOver} {
			for _, topic := range []string{"", "red", "blue"} {
				e := twins.StickerEvent{Event: event, Sticker: red(sticker)}
				name := sticker + event + topic
				assert.Empty(t, seen[e.ID(topic)], name)
				seen[e.ID(topic)] = name
				e.By, e.At = "ann", noon
				assert.Equal(t, name, seen[e.ID(topic)], "the id hangs on something else")
			}
		}
	}
}

func TestWhatIsToldOfASticker(t *testing.T) {
	e := twins.StickerEvent{Event: twins.StickerTaken, Sticker: red("1"), By: "bob", At: noon.Add(1500 * time.Millisecond)}
	text, err := e.JSON()
	require.NoError(t, err)
	assert.Equal(t, `{"kind":"sticker","event":"removed","id":"1","twin":"meter_1","account":"a","color":"red","note":"repair now","recipients":["`+somebody+`"],`+
		`"validity_ts":1793707200.000,"created_ts":1793620800.000,"by":"bob","at":"2026-11-02T12:00:01.5Z"}`, string(text))
	text, err = e.Notice("task-completed")
	require.NoError(t, err)
	assert.Equal(t, `{"trigger":"sticker.removed","account":"a","topic":"task-completed","twin":"meter_1",`+
		`"event":{"color":"red","note":"repair now","validity_ts":1793707200.000,"created_ts":1793620800.000},"at":"2026-11-02T12:00:01.5Z","also":["`+somebody+`"]}`, string(text))
}

func decoded(t *testing.T, color, text string) (twins.Sticker, error) {
	t.Helper()
	raw, err := strictjson.Parse("x", []byte(text))
	require.NoError(t, err, text)
	return twins.DecodeSticker(raw, color, noon.Add(123456*time.Microsecond))
}

func TestStickersThatPeopleWrite(t *testing.T) {
	const r = `"recipients":["` + somebody + `"]`
	for text, want := range map[string]string{
		`{` + r + `}`: "|2027-11-02T12:00:00.123Z true|{[] [] []}",
		`{"note":"x",` + r + `,"validity_ts":1793620801}`:                                                            "x|2026-11-02T12:00:01Z false|{[] [] []}",
		`{"message":"old",` + r + `,"validity_ts":1793620801.25}`:                                                    "old|2026-11-02T12:00:01.25Z false|{[] [] []}",
		`{"note":null,` + r + `,"validity_ts":null,"publish":null}`:                                                  "|2027-11-02T12:00:00.123Z true|{[] [] []}",
		`{` + r + `,"publish":{"on_put":"new-request","on_remove":["task-completed","done","done"],"on_expire":[]}}`: "|2027-11-02T12:00:00.123Z true|{[new-request] [task-completed done] []}",
		`{` + r + `,"publish":["on_put","on_expire"]}`:                                                               "|2027-11-02T12:00:00.123Z true|{[red] [] [red]}",
		`{"note":"` + strings.Repeat("ü", 512) + `",` + r + `}`:                                                      strings.Repeat("ü", 512) + "|2027-11-02T12:00:00.123Z true|{[] [] []}",
		`{"note":"` + strings.Repeat("ü", 513) + `",` + r + `}`:                                                      `x:1:9: /note: a note of 513 characters; want at most 512`,
		`{"note":"a","message":"b",` + r + `}`:                                                                       `x:1:23: /message: both note and message, which is its old name; want one of them`,
		`{"note":7,` + r + `}`:                                                                                       `x:1:9: /note: got 7; want a text`,
		`{}`:                                                                                                         `x:1:1: field "recipients" is missing`,
		`{"recipients":[]}`:                                                                                          `x:1:15: /recipients: 0 recipients; want 1 to 100`,
		`{"recipients":["ann"]}`:                                                                                     `x:1:15: /recipients: recipient "ann" is no UUID; want that of a user, a role or an account`,
		`{"recipients":"` + somebody + `"}`:                                                                          `x:1:15: /recipients: got "5b7f2b36-7f7c-4d2e-9f36-1a1d2f2f0c11"; want an array`,
		`{"recipients":[` + strings.Repeat(`"`+somebody+`",`, 100) + `"` + somebody + `"]}`:                          `x:1:15: /recipients: 101 recipients; want 1 to 100`,
		`{` + r + `,"validity_ts":1793620800}`:                                                                       `x:1:70: /validity_ts: valid until 2026-11-02T12:00:00Z, which is over; want a time to come`,
		`{` + r + `,"validity_ts":1893620800}`:                                                                       `x:1:70: /validity_ts: valid until 2030-01-02T21:46:40Z; want at most a year, until 2027-11-02T12:00:00Z`,
		`{` + r + `,"validity_ts":"soon"}`:                                                                           `x:1:70: /validity_ts: got "soon"; want a time in seconds since 1970, such as 1700000000.000`,
		`{` + r + `,"validity_ts":-1}`:                                                                               `x:1:70: /validity_ts: got -1; want a time in seconds since 1970, such as 1700000000.000`,
		`{` + r + `,"validity_ts":1e300}`:                                                                            `x:1:70: /validity_ts: got 1e300; want a time in seconds since 1970, such as 1700000000.000`,
		`{` + r + `,"publish":{"on_puts":"x"}}`:                                                                      `x:1:67: /publish/on_puts: unknown field "on_puts"; did you mean "on_put"?`,
		`{` + r + `,"publish":["put"]}`:                                                                              `x:1:67: /publish/0: no event "put"; want one of on_put, on_remove, on_expire`,
		`{` + r + `,"publish":{"on_put":"a b"}}`:                                                                     `x:1:76: /publish/on_put: got the topic "a b"; want 1 to 127 letters, digits, ., - and _`,
		`{` + r + `,"publish":{"on_put":[""]}}`:                                                                      `x:1:76: /publish/on_put: got the topic ""; want 1 to 127 letters, digits, ., - and _`,
		`{` + r + `,"publish":"on_put"}`:                                                                             `x:1:66: /publish: got "on_put"; want the topics of events, such as {"on_put":"new-request"}`,
		`{` + r + `,"colour":"red"}`:                                                                                 `x:1:56: /colour: unknown field "colour"; want one of message, note, publish, recipients, validity_ts`,
	} {
		s, err := decoded(t, "red", text)
		got := fmt.Sprintf("%s|%s %v|%v", s.Note, s.ValidUntil.UTC().Format(time.RFC3339Nano), s.Longest, s.Publish)
		if err != nil {
			got = err.Error()
		}
		assert.Equal(t, want, got, text)
	}
	for color, good := range map[string]bool{
		"red": true, "A-9": true, "r": true, "_x": true, "a_b": true, strings.Repeat("A", 48): true, strings.Repeat("a", 128): true,
		"": false, "9": false, "R": false, "a b": false, "ä": false, strings.Repeat("A", 49): false, strings.Repeat("a", 129): false, "a.b": false, "A_b": false, "red\n": false,
	} {
		_, err := decoded(t, color, `{`+r+`}`)
		assert.Equal(t, good, err == nil, "%q: %v", color, err)
	}
}

func TestStickersThatRulesPut(t *testing.T) {
	decide := func(change func(c *rules.StickerChange)) *rules.Outcome {
		c := &rules.StickerChange{Op: rules.PutSticker, Twin: "meter_1", Color: "red", Recipients: []string{somebody}}
		change(c)
		return &rules.Outcome{Kind: rules.Sticker, Interaction: "i", Rule: "r", Twin: "meter_1", Feed: c.Color, At: noon, Seq: 7, Sticker: c}
	}
	for _, tt := range []struct {
		change func(c *rules.StickerChange)
		want   string
	}{
		{func(*rules.StickerChange) {}, "own 2026-11-02 12:00 2027-11-02 12:00 true"},
		{func(c *rules.StickerChange) { c.Account, c.Until = "other", noon.Add(time.Hour) }, "other 2026-11-02 12:00 2026-11-02 13:00 false"},
		{func(c *rules.StickerChange) { c.Until = noon.Add(time.Minute) }, "own 2026-11-02 12:00 2026-11-02 12:01 false"},
		{func(c *rules.StickerChange) { c.Recipients = []string{"line-2"} }, "own 2026-11-02 12:00 2027-11-02 12:00 true"},
		{func(c *rules.StickerChange) { c.Until = noon }, "valid until 2026-11-02T12:00:00Z, which is over; want a time to come"},
		{func(c *rules.StickerChange) { c.Until = noon.Add(366 * 24 * time.Hour) }, "valid until 2027-11-03T12:00:00Z; want at most a year, until 2027-11-02T12:00:00Z"},
		{func(c *rules.StickerChange) { c.Color = "" }, `got the colour ""; want 3 to 48 letters, digits and -, or up to 128 of a to z, digits and _, the first no digit`},
		{func(c *rules.StickerChange) { c.Note = strings.Repeat("x", 513) }, "a note of 513 characters; want at most 512"},
		{func(c *rules.StickerChange) { c.Recipients = nil }, "0 recipients; want 1 to 100"},
		{func(c *rules.StickerChange) { c.Recipients = []string{""} }, "a recipient of 0 bytes; want 1 to 128"},
		{func(c *rules.StickerChange) { c.Publish.Expire = []string{"/"} }, `got the topic "/"; want 1 to 127 letters, digits, ., - and _`},
		{func(c *rules.StickerChange) {
			c.Publish.Put = strings.Split("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u", ",")
		}, `21 topics; want at most 20`},
		{func(c *rules.StickerChange) { c.Twin = "" }, "a twin's id of 0 bytes; want 1 to 256"},
	} {
		o := decide(tt.change)
		id := twins.StickerDecision(o)
		assert.Equal(t, id, twins.StickerDecision(decide(tt.change)))
		s, err := twins.DecidedSticker(o, "own", id)
		got := fmt.Sprint(s.Account, s.Created.Format(" 2006-01-02 15:04"), s.ValidUntil.Format(" 2006-01-02 15:04 "), s.Longest)
		if err != nil {
			got = err.Error()
		} else {
			assert.Equal(t, id, s.ID)
		}
		assert.Equal(t, tt.want, got)
	}
}

// Whatever happens in whatever order, each sticker that was put is told of as put
// once, then at most once as removed or as expired, and what is decided once is
// done once.
func TestStickersAreToldOfOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 1))
	for range 2000 {
		var r twins.StickerRecord
		now, told := noon, map[string][]string{}
		id := 0
		for range 30 {
			now = now.Add(time.Duration(random.IntN(10)) * time.Hour)
			switch random.IntN(6) {
			case 0, 1:
				id++
				s := red(fmt.Sprint(id))
				s.Created, s.ValidUntil = now, now.Add(time.Duration(1+random.IntN(30))*time.Hour)
				_, err := r.Put(s, []string{"", rules.KeepSticker, rules.ReplaceSticker}[random.IntN(3)], "ann", now)
				assert.True(t, err == nil || r.Live(now))
			case 2:
				was := r.Live(now)
				assert.Equal(t, was, r.Remove("bob", now))
				assert.False(t, r.Live(now))
			case 3:
				r.Expire(now)
			case 4: // killed, and read again
				text, err := r.Encode()
				require.NoError(t, err)
				r, err = twins.DecodeStickerRecord(text)
				require.NoError(t, err)
			case 5:
				n := random.IntN(len(r.Unsent) + 1)
				for _, e := range r.Unsent[:n] {
					told[e.Sticker.ID] = append(told[e.Sticker.ID], e.Event)
				}
				r.Told(append([]twins.StickerEvent(nil), r.Unsent[:n]...))
			}
		}
		for _, e := range r.Unsent {
			told[e.Sticker.ID] = append(told[e.Sticker.ID], e.Event)
		}
		for _, events := range told {
			assert.Contains(t, []string{"put", "put removed", "put expired"}, strings.Join(events, " "))
		}
	}
}

func TestDecisionsAreKnown(t *testing.T) {
	var r twins.StickerRecord
	assert.False(t, r.Known(5, "a", false))
	r.Note(5, "a", true)
	assert.True(t, r.Known(5, "a", false))
	assert.True(t, r.Known(4, "b", false), "it came before")
	assert.False(t, r.Known(4, "b", true), "it was refused, and comes again")
	r.Note(6, "c", false)
	assert.True(t, r.Known(6, "c", false))
	assert.False(t, r.Known(6, "c", true), "it was refused, and comes again")
	r.Note(6, "c", true)
	assert.True(t, r.Known(6, "c", true))
	text, err := r.Encode()
	require.NoError(t, err)
	assert.NotEmpty(t, text, "what was decided is remembered without a sticker")
}

// What somebody writes is refused or can be kept and read again.
func FuzzSticker(f *testing.F) {
	for _, seed := range []string{
		`{"recipients":["` + somebody + `"],"note":"repair now","validity_ts":1793620801.5,"publish":{"on_put":"new-request","on_remove":["task-completed"]}}`,
		`{"message":"x","recipients":[],"publish":["on_put","on_expire"]}`, `{"validity_ts":1e18,"publish":{"on_put":null}}`, `[]`, `{"note":null}`,
	} {
		f.Add("red", seed)
	}
	f.Fuzz(func(t *testing.T, color, text string) {
		raw, err := strictjson.Parse("x", []byte(text))
		if err != nil {
			return
		}
		s, err := twins.DecodeSticker(raw, color, noon)
		if err != nil {
			return
		}
		assert.True(t, s.ValidUntil.After(noon) && !s.ValidUntil.After(noon.Add(rules.MaxStickerValidity)))
		assert.NotEmpty(t, s.Recipients)
		var r twins.StickerRecord
		_, err = r.Put(s, "", "ann", noon)
		require.NoError(t, err)
		kept, err := r.Encode()
		require.NoError(t, err)
		again, err := twins.DecodeStickerRecord(kept)
		require.NoError(t, err)
		assert.Equal(t, r, again)
		body, err := again.Unsent[0].JSON()
		require.NoError(t, err)
		assert.True(t, json.Valid(body))
	})
}

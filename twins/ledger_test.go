package twins_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const meterAt = twins.Timestamp(1_793_620_800_000) // 2026-11-02 12:00

func entries(t testing.TB, text string, added bool) map[string]twins.EntryUpdate {
	t.Helper()
	raw, err := strictjson.Parse("body", []byte(text))
	require.NoError(t, err)
	all, err := twins.DecodeEntries(raw, added)
	require.NoError(t, err, text)
	return all
}

func TestTimestamp(t *testing.T) {
	at := twins.TimestampOf(time.Date(2026, 11, 2, 12, 0, 0, 120_999_999, time.UTC))
	text, err := json.Marshal(at)
	require.NoError(t, err)
	assert.Equal(t, "1793620800.120", string(text))
	var back twins.Timestamp
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, at, back)
	assert.Equal(t, "2026-11-02T12:00:00.12Z", back.Time().Format(time.RFC3339Nano))
	for text, want := range map[string]twins.Timestamp{"0": 0, "1.0005": 1001, "253402300799.999": 0, "1e3": 1_000_000} {
		got, err := twins.ParseTimestamp(text)
		assert.Equal(t, want == 0 && text != "0", err != nil, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "-1", "nan", "inf", "1e300", "x", "2026-11-02"} {
		_, err := twins.ParseTimestamp(text)
		assert.Error(t, err, text)
	}
	for text, want := range map[string]string{`"1"`: `a:1:1: got "1"; want seconds since 1970 such as 1700000000.000`, `-1`: `a:1:1: got -1; want seconds since 1970 such as 1700000000.000`} {
		raw, err := strictjson.Parse("a", []byte(text))
		require.NoError(t, err)
		assert.EqualError(t, back.DecodeStrict(raw), want)
	}
}

func TestLedger(t *testing.T) {
	var l twins.Ledger
	refused, err := l.Add(entries(t, `{"reading":{"value":1250,"visibility":null,"history":"1M"},"battery":{"value":87},"temp":{"feed":"sensor","field":"t"}}`, true), meterAt)
	require.NoError(t, err)
	assert.Empty(t, refused)
	assert.Equal(t, meterAt, l.Entries["reading"].Changed)
	require.Len(t, l.Unsent, 1)
	assert.JSONEq(t, `{"reading":1250,"battery":87,"_changed":["battery","reading","temp"]}`, string(l.Unsent[0].Data), "links have no value of their own")

	refused, err = l.Add(entries(t, `{"reading":{"value":1},"log":{"value":[]}}`, true), meterAt+1)
	require.NoError(t, err)
	assert.Len(t, refused, 1)
	require.ErrorIs(t, refused["reading"], twins.ErrEntryThere)
	assert.JSONEq(t, "1250", string(l.Entries["reading"].Value))
	assert.Equal(t, meterAt+1, l.Created)

	refused, err = l.Update(entries(t, `{"reading":{"value":1251},"battery":{"value":87.0},"nope":{"value":1},"temp":{"value":3},"log":{"feed":"sensor"}}`, false), meterAt+2)
	require.NoError(t, err)
	for name, want := range map[string]error{"nope": twins.ErrEntryMissing, "temp": twins.ErrEntryLinked, "log": twins.ErrEntryValued} {
		require.ErrorIs(t, refused[name], want, name)
	}
	assert.Len(t, refused, 3)
	last := l.Unsent[len(l.Unsent)-1]
	assert.JSONEq(t, `["battery","reading"]`, strings.Split(strings.Split(string(last.Data), `"_changed":`)[1], `,"b`)[0])
	assert.Equal(t, twins.EntryChange{Name: "reading", Op: twins.EntryUpdated, Old: json.RawMessage("1250"), New: json.RawMessage("1251"), History: "1M"}, last.Entries[1])
	e := l.Entries["reading"]
	assert.Equal(t, []twins.Timestamp{meterAt, meterAt, meterAt + 2}, []twins.Timestamp{e.Created, e.Updated, e.Changed})

	before := l.Changes
	_, err = l.Update(entries(t, `{"reading":{"value":1251}}`, false), meterAt+3)
	require.NoError(t, err)
	assert.Equal(t, before, l.Changes, "nothing has changed")
	_, err = l.Update(entries(t, `{"reading":{"visibility":"True","history":null}}`, false), meterAt+4)
	require.NoError(t, err)
	assert.Equal(t, []twins.Timestamp{meterAt, meterAt + 4, meterAt + 2}, []twins.Timestamp{e.Created, l.Entries["reading"].Updated, l.Entries["reading"].Changed})
	assert.Empty(t, l.Entries["reading"].History)

	refused, err = l.Delete([]string{"reading", "nope", "reading"}, meterAt) // the clock has gone back
	require.NoError(t, err)
	require.ErrorIs(t, refused["nope"], twins.ErrEntryMissing)
	last = l.Unsent[len(l.Unsent)-1]
	assert.Equal(t, meterAt+5, last.At, "changes keep their order")
	assert.Equal(t, []twins.EntryChange{{Name: "reading", Op: twins.EntryDeleted, Old: json.RawMessage("1251")}}, last.Entries)
	assert.JSONEq(t, `{"battery":87.0,"log":[],"_changed":["reading"]}`, string(last.Data))

	text, err := json.Marshal(l)
	require.NoError(t, err)
	var back twins.Ledger
	require.NoError(t, json.Unmarshal(text, &back))
	again, err := json.Marshal(back)
	require.NoError(t, err)
	assert.JSONEq(t, string(text), string(again), "it is stored whole")
	back.Sent(last.Number - 1)
	assert.Equal(t, []uint64{last.Number}, []uint64{back.Unsent[0].Number})
}

func TestFullLedger(t *testing.T) {
	var l twins.Ledger
	large := `"` + strings.Repeat("x", 30<<10) + `"`
	_, err := l.Add(entries(t, `{"a":{"value":`+large+`},"b":{"value":`+large+`}}`, true), meterAt)
	require.NoError(t, err)
	_, err = l.Add(entries(t, `{"c":{"value":`+large+`}}`, true), meterAt)
	require.ErrorIs(t, err, twins.ErrLedgerFull)
	assert.ErrorContains(t, err, "want at most 65536")
}

func TestVisibility(t *testing.T) {
	const role = "b1b3e4bc-0000-4000-8000-000000000001"
	for visibility, want := range map[string]bool{
		`null`: false, `"True"`: true, `"true"`: true, `true`: true, `false`: false,
		`{"==":[{"var":"role"},"` + role + `"]}`: true, `{"==":[{"var":"role"},"x"]}`: false,
		`{"in":[{"var":"account"},["acc","other"]]}`: true, `{"==":[{"var":"user"},null]}`: false,
		`{"and":[{"==":[{"var":"twin"},"t"]},{"!=":[{"var":"user"},"nobody"]}]}`: true,
		`{"==":[{"var":"colour"},1]}`:                                            false, `{"!=":[{"var":"colour"},1]}`: false, `{"/":[1,0]}`: false,
	} {
		var l twins.Ledger
		_, err := l.Add(entries(t, `{"e":{"value":1,"visibility":`+visibility+`}}`, true), meterAt)
		require.NoError(t, err)
		assert.Equal(t, want, l.Entries["e"].VisibleTo(twins.Viewer{Account: "acc", User: "u", Role: role}, "t"), visibility)
	}
}

func TestPublish(t *testing.T) {
	for _, tt := range []struct {
		publish, update string
		want            []string
	}{
		{`{"topic":"low"}`, `{"value":5}`, []string{"low"}},
		{`{"rule":"True","topic":["low","all"]}`, `{"value":5}`, []string{"low", "all"}},
		{`{"rule":{"<":[{"var":"new_value"},{"var":"old_value"}]},"topic":"low"}`, `{"value":5}`, []string{"low"}},
		{`{"rule":{"<":[{"var":"new_value"},{"var":"old_value"}]},"topic":"low"}`, `{"value":500}`, nil},
		{`{"rule":{"<":[{"var":"new_value"},{"var":"nothing"}]},"topic":"low"}`, `{"value":5}`, nil},
		{`{"rule":{"!=":[{"var":"ledger.other"},1]},"topic":"low"}`, `{"value":5}`, []string{"low"}},
		{`{"rule":{"==":[{"var":"entry"},"e"]},"topic":"low"}`, `{"visibility":true}`, []string{"low"}},
		{`{"topic":"low"}`, `{"publish":null}`, nil},
	} {
		var l twins.Ledger
		_, err := l.Add(entries(t, `{"other":{"value":2},"e":{"value":10,"publish":`+tt.publish+`}}`, true), meterAt)
		require.NoError(t, err)
		_, err = l.Update(entries(t, `{"e":`+tt.update+`}`, false), meterAt+1)
		require.NoError(t, err)
		assert.Equal(t, tt.want, l.Unsent[1].Entries[0].Topics, "%s %s", tt.publish, tt.update)
	}
	var l twins.Ledger
	_, err := l.Add(entries(t, `{"e":{"value":1,"publish":{"rule":{"<":[{"var":"new_value"},{"var":"old_value"}]},"topic":"low"}},"f":{"value":1,"publish":{"topic":"any"}}}`, true), meterAt)
	require.NoError(t, err)
	assert.Nil(t, l.Unsent[0].Entries[0].Topics, "there is no old value of an entry that is new")
	_, err = l.Delete([]string{"f"}, meterAt)
	require.NoError(t, err)
	assert.Equal(t, []string{"any"}, l.Unsent[1].Entries[0].Topics)
}

func TestEntriesThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                  `body:1:1: got an array; want {"<entry>": {"value": …}, …}`,
		`{}`:                                  `body:1:1: no entry; want {"<entry>": {"value": …}, …}`,
		`{"Reading":{"value":1}}`:             `body:1:2: /Reading: name "Reading"; want a letter of a to z or _, then at most 127 of these and digits`,
		`{"_changed":{"value":1}}`:            `body:1:2: /_changed: the name "_changed" is taken: it lists what has changed`,
		`{"a":{}}`:                            `body:1:6: /a: field "value" is missing`,
		`{"a":3}`:                             `body:1:6: /a: got 3; want an object`,
		`{"a":{"value":1,"feed":"f"}}`:        `body:1:6: /a: more than one of value, feed, ref and include; want one`,
		`{"a":{"vlaue":1}}`:                   `body:1:7: /a/vlaue: unknown field "vlaue"; did you mean "value"?`,
		`{"a":{"feed":""}}`:                   `body:1:14: /a/feed: got ""; want the id of a feed`,
		`{"a":{"value":1,"field":"t"}}`:       `body:1:25: /a/field: a field of no feed; want feed beside it`,
		`{"a":{"value":1,"history":"0D"}}`:    `body:1:27: /a/history: got "0D"; want a number up to 999 and D, W, M or Y, such as "1M", or "INF"`,
		`{"a":{"value":1,"history":"1000D"}}`: `body:1:27: /a/history: got "1000D"; want a number up to 999 and D, W, M or Y, such as "1M", or "INF"`,
		`{"a":{"value":1,"history":"xINF"}}`:  `body:1:27: /a/history: got "xINF"; want a number up to 999 and D, W, M or Y, such as "1M", or "INF"`,
		`{"a":{"value":1,"timeseries":[]}}`:   `body:1:30: /a/timeseries: got an array; want an object`,
		`{"a":{"value":1,"visibility":"USER.role == 'x'"}}`:      `body:1:30: /a/visibility: got "USER.role == 'x'"; want JSONLogic over user, role, account and twin, such as {"==":[{"var":"role"},"<uuid>"]}, or "True": expressions in text are not read`,
		`{"a":{"value":1,"visibility":7}}`:                       `body:1:30: /a/visibility: got 7; want JSONLogic over user, role, account and twin, or null`,
		`{"a":{"value":1,"visibility":{"=":[1,1]}}}`:             `body:1:31: /a/visibility/=: unknown operator "="; did you mean "=="?`,
		`{"a":{"value":1,"publish":{"rule":true}}}`:              `body:1:27: /a/publish: field "topic" is missing`,
		`{"a":{"value":1,"publish":{"topic":"a b"}}}`:            `body:1:36: /a/publish/topic: got the topic "a b"; want 1 to 127 letters, digits, ., - and _`,
		`{"a":{"value":1,"publish":{"topic":"t","rule":"x>1"}}}`: `body:1:47: /a/publish/rule: got "x>1"; want JSONLogic over new_value, old_value, entry, changed_ts and ledger, or "True": expressions in text are not read`,
		`{"a":{"ref":{"source":"twin://x"}}}`:                    `body:1:23: /a/ref/source: got "twin://x"; want an entry such as "twin://<twin>/<account>/<entry>"`,
		`{"a":{"ref":{"source":"twin://x/y/e"}}}`:                `body:1:23: /a/ref/source: got "twin://x/y/e"; want an entry such as "twin://<twin>/<account>/<entry>"`,
		`{"a":{"include":{}}}`:                                   `body:1:17: /a/include: field "source" is missing`,
	} {
		raw, err := strictjson.Parse("body", []byte(text))
		require.NoError(t, err)
		_, err = twins.DecodeEntries(raw, true)
		assert.EqualError(t, err, want, text)
	}
}

func TestEntryLink(t *testing.T) {
	for _, source := range []string{"twin://t/e", "twin://t/5404aaf0-fbc6-5f00-a0ad-ad628fb3645b/e_1"} {
		u := entries(t, `{"a":{"ref":{"source":"`+source+`","status":"ok"}}}`, true)["a"]
		assert.Equal(t, source, u.Ref.String())
		text, err := json.Marshal(u.Ref)
		require.NoError(t, err)
		var back twins.EntryLink
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, *u.Ref, back)
	}
	var l twins.EntryLink
	assert.Error(t, json.Unmarshal([]byte(`{"source":"x"}`), &l))
}

func TestHistory(t *testing.T) {
	var l twins.Ledger
	at := meterAt
	step := func(change func() (map[string]error, error)) {
		t.Helper()
		_, err := change()
		require.NoError(t, err)
		at += 1000
	}
	step(func() (map[string]error, error) {
		return l.Add(entries(t, `{"r":{"value":1,"history":"1D"}}`, true), at)
	})
	step(func() (map[string]error, error) { return l.Update(entries(t, `{"r":{"value":2}}`, false), at) })
	step(func() (map[string]error, error) {
		return l.Update(entries(t, `{"r":{"visibility":"True"}}`, false), at)
	})
	step(func() (map[string]error, error) { return l.Update(entries(t, `{"r":{"value":3}}`, false), at) })
	var h twins.History
	for range 2 { // told twice
		for i := range l.Unsent {
			h.Apply(&l.Unsent[i], "r")
			h.Apply(&l.Unsent[i], "other")
		}
	}
	show := func(window string, now time.Time, ge, le twins.Timestamp, limit int) (out []string) {
		for _, r := range h.Select(window, now, ge, le, limit) {
			out = append(out, string(r.Value))
		}
		return out
	}
	now := at.Time()
	assert.Equal(t, []string{"3", "2", "1"}, show("1D", now, 0, 0, 100))
	assert.Equal(t, []string{"3", "2"}, show("1D", now, 0, 0, 2))
	assert.Equal(t, []string{"2", "1"}, show("INF", now, meterAt, meterAt+1000, 100))
	assert.Equal(t, []string{"3"}, show("INF", now, meterAt+1001, 0, 100))
	assert.Empty(t, show("1D", now.AddDate(0, 0, 2), 0, 0, 100), "too old")
	assert.Len(t, show("1W", now.AddDate(0, 0, 2), 0, 0, 100), 3)
	assert.Len(t, show("1Y", now.AddDate(0, 11, 0), 0, 0, 100), 3)
	assert.Empty(t, show("1M", now.AddDate(0, 1, 1), 0, 0, 100))

	at += 3 * 24 * 3600 * 1000
	step(func() (map[string]error, error) { return l.Update(entries(t, `{"r":{"value":4}}`, false), at) })
	h.Apply(&l.Unsent[4], "r")
	assert.Len(t, h.Records, 1, "what is too old is dropped when something new comes")

	step(func() (map[string]error, error) { return l.Delete([]string{"r"}, at) })
	step(func() (map[string]error, error) {
		return l.Add(entries(t, `{"r":{"value":9,"history":"INF"}}`, true), at)
	})
	for range 2 {
		h.Apply(&l.Unsent[5], "r")
		h.Apply(&l.Unsent[6], "r")
	}
	assert.Equal(t, []string{"9"}, show("INF", at.Time(), 0, 0, 100), "the past goes with the entry")
	step(func() (map[string]error, error) { return l.Update(entries(t, `{"r":{"history":null}}`, false), at) })
	h.Apply(&l.Unsent[7], "r")
	assert.Empty(t, h.Records)
	step(func() (map[string]error, error) { return l.Update(entries(t, `{"r":{"history":"2W"}}`, false), at) })
	h.Apply(&l.Unsent[8], "r")
	assert.Equal(t, []string{"9"}, show("2W", at.Time(), 0, 0, 100), "it begins with the value that there is")
}

func TestHistoryIsBounded(t *testing.T) {
	var h twins.History
	change := func(n uint64, size int) *twins.LedgerChange {
		value := json.RawMessage(fmt.Sprintf(`"%0*d"`, size, n))
		return &twins.LedgerChange{Number: n, At: meterAt + twins.Timestamp(n), Entries: []twins.EntryChange{{Name: "r", Op: twins.EntryUpdated, New: value, Old: json.RawMessage("0"), History: "INF"}}}
	}
	for n := range uint64(1200) {
		h.Apply(change(n+1, 4), "r")
	}
	assert.Len(t, h.Records, 1000)
	assert.JSONEq(t, `"1200"`, string(h.Records[999].Value))
	for n := range uint64(20) {
		h.Apply(change(n+2000, 60<<10), "r")
	}
	assert.Len(t, h.Records, 8, "512 bytes a record")
	h.Apply(change(3000, 600<<10), "r")
	assert.Len(t, h.Records, 1, "the newest stays")
}

func TestDescription(t *testing.T) {
	tw := twins.Twin{ID: "t", Properties: []rules.Property{twins.String("http://x", "kept"), twins.String("serial", "old")}}
	is, err := tw.Describe(json.RawMessage(`{"type":"meter","serial":"12345","n":3,"f":1.5,"ok":true,"list":[1],"none":null}`), nil)
	require.NoError(t, err)
	assert.JSONEq(t, `{"type":"meter","serial":"12345","n":3,"f":1.5,"ok":true}`, string(is.Description()))
	assert.Equal(t, "kept", is.Properties[0].Value.Value)
	assert.Len(t, is.Properties, 6)
	next, err := is.Describe(json.RawMessage(`{"serial":"9"}`), json.RawMessage(`{"type":"meter","serial":"12345","n":3,"f":1.5,"ok":true}`))
	require.NoError(t, err)
	assert.JSONEq(t, `{"serial":"9"}`, string(next.Description()))
	none, err := next.Describe(nil, json.RawMessage(`{"serial":"9"}`))
	require.NoError(t, err)
	assert.Nil(t, none.Description())
	assert.Len(t, none.Properties, 1)

	raw, err := strictjson.Parse("body", []byte(`{"Serial":1,"a b":2,"ok":3}`))
	require.NoError(t, err)
	assert.EqualError(t, twins.CheckDescription(raw), `body:1:2: /Serial: key "Serial"; want a letter of a to z or _, then at most 63 of these and digits
body:1:13: /a b: key "a b"; want a letter of a to z or _, then at most 63 of these and digits`)
	assert.EqualError(t, twins.CheckDescription(raw.Member("ok")), `body:1:26: /ok: got 3; want an object, or null`)
}

// What is taken of a body can be stored and read again, and seen, without trouble.
func FuzzEntries(f *testing.F) {
	for _, seed := range []string{
		`{"reading":{"value":12.5,"visibility":{"==":[{"var":"role"},"x"]},"history":"1M","publish":{"rule":{"<":[{"var":"new_value"},3]},"topic":"t"},"timeseries":{"t":{}}}}`,
		`{"t":{"feed":"f","field":"a.b"},"r":{"ref":{"source":"twin://x/5404aaf0-fbc6-5f00-a0ad-ad628fb3645b/e"}},"i":{"include":{"source":"twin://x/e"}}}`,
		`{"a":{"value":null,"visibility":"True","history":null,"publish":{"rule":"true","topic":["a","b"]}}}`, `{"a":{"value":"<&>\u2028"}}`, `{"_changed":{"value":1}}`, `{}`, `[]`, `{"a":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		raw, err := strictjson.Parse("body", text)
		if err != nil {
			return
		}
		all, err := twins.DecodeEntries(raw, true)
		if err != nil {
			return
		}
		var l twins.Ledger
		refused, err := l.Add(all, meterAt)
		if err != nil {
			return
		}
		require.Empty(t, refused)
		stored, err := json.Marshal(l)
		require.NoError(t, err)
		var back twins.Ledger
		require.NoError(t, json.Unmarshal(stored, &back), "%s", stored)
		again, err := json.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(stored), string(again))
		for _, e := range back.Entries {
			e.VisibleTo(twins.Viewer{}, "t")
		}
		var sample map[string]any
		require.NoError(t, json.Unmarshal(back.Unsent[0].Data, &sample))
		_, err = back.Update(all, meterAt+1)
		require.NoError(t, err)
		require.Equal(t, l.Changes, back.Changes, "the same again changes nothing")
	})
}

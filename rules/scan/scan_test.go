package scan_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/scan"
)

// show writes a slot as kind, value as written, and what else there is to it.
func show(text string, v scan.Value) string {
	name := [...]string{"missing", "null", "false", "true", "number", "text", "list", "object", "unread"}[v.Kind]
	out := name
	if v.End > 0 {
		out += " " + text[v.Start:v.End]
	}
	if v.Kind == scan.Number {
		out += " = " + strconv.FormatFloat(v.Num, 'g', -1, 64)
	}
	if v.Kind == scan.List {
		out += fmt.Sprintf(" of %d", v.Count)
	}
	if v.Escaped {
		out += " escaped"
	}
	return out
}

func TestSlots(t *testing.T) {
	tests := []struct{ name, path, text, want string }{
		{"number", "a", `{"a":31.25}`, "number 31.25 = 31.25"},
		{"minus zero", "a", `{"a":-0}`, "number -0 = -0"},
		{"exponent", "a", `{"a":1E+2}`, "number 1E+2 = 100"},
		{"beyond exact", "a", `{"a":9007199254740993}`, "number 9007199254740993 = 9.007199254740992e+15"},
		{"underflow", "a", `{"a":1e-400}`, "number 1e-400 = 0"},
		{"text", "a", `{"a":"b c"}`, `text "b c"`},
		{"empty text", "a", `{"a":""}`, `text ""`},
		{"text beyond ASCII", "a", `{"a":"é"}`, `text "é"`},
		{"escape", "a", `{"a":"b\n"}`, `text "b\n" escaped`},
		{"invalid UTF-8", "a", "{\"a\":\"\xff\"}", "text \"\xff\" escaped"},
		{"true", "a", `{"a":true}`, "true true"},
		{"false", "a", `{"a":false}`, "false false"},
		{"null", "a", `{"a":null}`, "null null"},
		{"list", "a", `{"a":[1, [2], 3]}`, "list [1, [2], 3] of 3"},
		{"empty list", "a", `{"a":[ ]}`, "list [ ] of 0"},
		{"object", "a", `{"a":{"b":1}}`, `object {"b":1}`},
		{"missing", "a", `{"b":1}`, "missing"},
		{"empty object", "a", `{ }`, "missing"},
		{"whole sample", "", ` {"a":1} `, `object {"a":1}`},
		{"whole sample, a number", "", `1`, "number 1 = 1"},
		{"blanks", "a.b", "\n{ \"a\" :\t{ \"b\" : 1 } }\r\n", "number 1 = 1"},

		{"nested", "a.b.c", `{"a":{"b":{"c":1}}}`, "number 1 = 1"},
		{"below null", "a.b", `{"a":null}`, "missing"},
		{"below true", "a.length", `{"a":true}`, "missing"},
		{"below a number", "a.0", `{"a":1}`, "missing"},
		{"below a missing", "a.b", `{}`, "missing"},

		{"element", "a.1", `{"a":["x","y"]}`, `text "y"`},
		{"element below", "a.1.b", `{"a":[{"b":1},{"b":2}]}`, "number 2 = 2"},
		{"past the end", "a.2", `{"a":["x","y"]}`, "missing"},
		{"padded index", "a.01", `{"a":["x","y"]}`, "missing"},
		{"negative index", "a.-1", `{"a":["x","y"]}`, "missing"},
		{"index with exponent", "a.1e0", `{"a":["x","y"]}`, "missing"},
		{"huge index", "a.99999999999999999999", `{"a":["x"]}`, "missing"},
		{"member that is a number", "a.0", `{"a":{"0":"x"}}`, `text "x"`},
		{"member that is a padded number", "a.01", `{"a":{"01":"x"}}`, `text "x"`},
		{"length", "a.length", `{"a":[1,2]}`, "number = 2"},
		{"length of no elements", "a.length", `{"a":[]}`, "number = 0"},
		{"below length", "a.length.b", `{"a":[1,2]}`, "missing"},
		{"member length", "a.length", `{"a":{"length":"x"}}`, `text "x"`},

		{"length of a text", "a.length", `{"a":"xyz"}`, "unread"},
		{"index of a text", "a.7", `{"a":"xyz"}`, "unread"},
		{"below an index of a text", "a.0.0", `{"a":"xyz"}`, "unread"},
		{"name of a text", "a.b", `{"a":"xyz"}`, "missing"},
		{"padded index of a text", "a.01", `{"a":"xyz"}`, "missing"},

		{"twice", "a", `{"a":1,"a":"x"}`, `text "x"`},
		{"twice, then nothing below", "a.b", `{"a":{"b":1},"a":{"c":2}}`, "missing"},
		{"twice, then a scalar", "a.b", `{"a":{"b":1},"a":2}`, "missing"},
		{"twice, then an object", "a.length", `{"a":"x","a":{}}`, "missing"},
		{"twice, deeper", "a.b.c", `{"a":{"b":{"c":1}},"a":{"b":{}}}`, "missing"},
		{"twice, a list first", "a.0", `{"a":[1],"a":[]}`, "missing"},
		{"twice, escaped once", "a.b", `{"a":{"b":1},"\u0061":{}}`, "missing"},
		{"twice in one of two", "a.b", `{"x":{"b":1},"a":{"b":2}}`, "number 2 = 2"},
		{"text after an escaped one", "a", `{"a":"\n","a":"x"}`, `text "x"`},
		{"number after a list", "a", `{"a":[1,2],"a":3}`, "number 3 = 3"},

		{"escaped name", "a", `{"\u0061":1}`, "number 1 = 1"},
		{"name with a surrogate pair", "😀", `{"\ud83d\ude00":1}`, "number 1 = 1"},
		{"name with a lone surrogate", "\ufffd", `{"\ud83d":1}`, "number 1 = 1"},
		{"name of invalid UTF-8", "\ufffd", "{\"\xff\":1}", "number 1 = 1"},
		{"name with a slash", "a/b", `{"a\/b":1}`, "number 1 = 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var path []string
			if test.path != "" {
				path = strings.Split(test.path, ".")
			}
			var b scan.Builder
			slot := b.Slot(path...)
			s := b.Build().NewScanner()
			for range 3 { // at first, as last time, as learnt
				require.True(t, s.Scan([]byte(test.text)))
				assert.Equal(t, test.want, show(test.text, s.Slots()[slot]))
			}
		})
	}
}

func TestValueIsSmall(t *testing.T) {
	assert.Equal(t, 24, int(reflect.TypeFor[scan.Value]().Size()))
}

func TestNamesThatNoPathCanHave(t *testing.T) {
	var b scan.Builder
	empty, dotted := b.Slot(""), b.Slot("a.b")
	s := b.Build().NewScanner()
	text := `{"":1,"a.b":2,"a":{"b":3}}`
	require.True(t, s.Scan([]byte(text)))
	assert.Equal(t, "number 1 = 1", show(text, s.Slots()[empty]))
	assert.Equal(t, "number 2 = 2", show(text, s.Slots()[dotted]))
}

func TestBuilderGivesOneSlotForOnePath(t *testing.T) {
	var b scan.Builder
	assert.Equal(t, 0, b.Slot("a", "b"))
	assert.Equal(t, 1, b.Slot("a"))
	assert.Equal(t, 0, b.Slot("a", "b"))
	items := b.Table("items")
	assert.Equal(t, 2, b.Slot("items"))
	assert.Same(t, items, b.Table("items"))
	assert.Equal(t, 0, items.ID())
	assert.Equal(t, 0, items.Slot())
	assert.Equal(t, 1, items.Slot("a"))
	assert.Equal(t, 1, items.Slot("a"))
	inner := items.Table("b")
	assert.Equal(t, 2, items.Slot("b"))
	assert.Same(t, inner, items.Table("b"))
	assert.Equal(t, 1, inner.ID())
	assert.Equal(t, 3, b.Slot("c"))
}

func TestPlanIsWhatWasAskedForSoFar(t *testing.T) {
	var b scan.Builder
	b.Slot("a")
	before := b.Build()
	b.Slot("b")
	b.Table("c").Slot("d")
	text := []byte(`{"a":1,"b":2,"c":[{"d":3}]}`)
	s := before.NewScanner()
	require.True(t, s.Scan(text))
	assert.Len(t, s.Slots(), 1)
	s = b.Build().NewScanner()
	require.True(t, s.Scan(text))
	assert.Len(t, s.Slots(), 3)
}

func TestManyNames(t *testing.T) {
	var b scan.Builder
	var text strings.Builder
	for i := range 200 {
		name := "name" + strconv.Itoa(i*7%200)
		b.Slot(name)
		fmt.Fprintf(&text, `%c"%s":%d`, "{,"[min(i, 1)], name, i)
	}
	text.WriteString("}")
	s := b.Build().NewScanner()
	require.True(t, s.Scan([]byte(text.String())))
	for i, v := range s.Slots() {
		assert.Equal(t, i, int(v.Num))
	}
}

func TestRows(t *testing.T) {
	var b scan.Builder
	orders := b.Table("orders")
	id := orders.Slot("id")
	items := orders.Table("items")
	price := items.Slot("price")
	first := b.Slot("orders", "0", "id")
	length := b.Slot("orders", "length")
	s := b.Build().NewScanner()
	text := `{"orders":[{"id":1,"items":[{"price":2},{"price":3}]},7,{"items":[{"price":4},{}],"id":5}]}`
	for range 2 {
		require.True(t, s.Scan([]byte(text)))
		var seen []string
		list := s.Slots()[b.Slot("orders")]
		for i := range int(list.Count) {
			order := s.Row(orders.ID(), int(list.Num)+i)
			seen = append(seen, show(text, order[0]), show(text, order[id]))
			inner := order[orders.Slot("items")]
			for j := range int(inner.Count) {
				seen = append(seen, show(text, s.Row(items.ID(), int(inner.Num)+j)[price]))
			}
		}
		assert.Equal(t, []string{
			`object {"id":1,"items":[{"price":2},{"price":3}]}`, "number 1 = 1", "number 2 = 2", "number 3 = 3",
			"number 7 = 7", "missing",
			`object {"items":[{"price":4},{}],"id":5}`, "number 5 = 5", "number 4 = 4", "missing",
		}, seen)
		assert.Equal(t, "number 1 = 1", show(text, s.Slots()[first]))
		assert.Equal(t, "number = 3", show(text, s.Slots()[length]))
	}
}

func TestRowsOfTheLastValueCount(t *testing.T) {
	var b scan.Builder
	items := b.Table("items")
	a := items.Slot("a")
	s := b.Build().NewScanner()
	text := `{"items":[{"a":1},{"a":2}],"items":[{"b":3},{"a":4,"a":5}]}`
	require.True(t, s.Scan([]byte(text)))
	list := s.Slots()[0]
	assert.Equal(t, uint32(2), list.Count)
	assert.Equal(t, "missing", show(text, s.Row(items.ID(), int(list.Num))[a]))
	assert.Equal(t, "number 5 = 5", show(text, s.Row(items.ID(), int(list.Num)+1)[a]))
}

func TestSlotsAreClearedAfterAFailure(t *testing.T) {
	var b scan.Builder
	b.Slot("a")
	b.Slot("b")
	s := b.Build().NewScanner()
	for _, text := range []string{`{"a":1,"b":2}`, `{"a":3,"b":4}`} {
		require.True(t, s.Scan([]byte(text)))
	}
	require.False(t, s.Scan([]byte(`{"a":5,"b":6`)))
	text := `{"c":7}`
	require.True(t, s.Scan([]byte(text)))
	assert.Equal(t, []scan.Value{{}, {}}, s.Slots())
}

func TestRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2) }
	tests := []struct {
		name, text string
		valid      bool
	}{
		{"nothing", ``, false},
		{"blanks", `  `, false},
		{"two values", `1 2`, false},
		{"comma at the end", `{"a":1,}`, false},
		{"comma at the end of a list", `[1,]`, false},
		{"no comma", `{"a":1 "b":2}`, false},
		{"no colon", `{"a" 1}`, false},
		{"no value", `{"a":}`, false},
		{"name without quotes", `{a:1}`, false},
		{"not closed", `{"a":1`, false},
		{"closed otherwise", `{"a":1]`, false},
		{"control character", "\"\n\"", false},
		{"unknown escape", `"\x"`, false},
		{"short escape", `"\u00e"`, false},
		{"lone surrogate", `"\ud83d"`, true},
		{"invalid UTF-8", "\"\xff\"", true},
		{"byte order mark", "\ufeff1", false},
		{"leading zero", `01`, false},
		{"plus", `+1`, false},
		{"point without digits", `1.`, false},
		{"point first", `.5`, false},
		{"exponent without digits", `1e`, false},
		{"minus alone", `-`, false},
		{"not a number", `NaN`, false},
		{"word cut", `tru`, false},
		{"word of another case", `True`, false},
		{"out of range", `1e400`, false},
		{"out of range, skipped", `{"skipped":[1e400]}`, false},
		{"out of range, by digits", `{"skipped":` + strings.Repeat("9", 400) + `}`, false},
		{"in range in spite of its exponent", `{"skipped":0.` + strings.Repeat("0", 400) + `1e500}`, true},
		{"nearly out of range", `{"a":1.7976931348623157e308,"skipped":-1.7976931348623157e308}`, true},
		{"as deep as may be", deep(scan.MaxDepth), true},
		{"list as deep as may be", strings.Repeat("[", scan.MaxDepth) + strings.Repeat("]", scan.MaxDepth), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var decoded any
			require.Equal(t, test.valid, json.Unmarshal([]byte(test.text), &decoded) == nil, "encoding/json")
			for _, name := range twinNames() {
				assert.Equal(t, test.valid, twins[name]().builder.Build().NewScanner().Scan([]byte(test.text)), name)
			}
		})
	}
}

// TestLimits: what encoding/json reads and a scan does not.
func TestLimits(t *testing.T) {
	var b scan.Builder
	for i := range 1_000 {
		b.Slot("m", fmt.Sprint(i))
	}
	s := b.Build().NewScanner()
	for name, text := range map[string]string{
		"deeper":                strings.Repeat(`{"a":`, scan.MaxDepth+1) + "1" + strings.Repeat(`}`, scan.MaxDepth+1),
		"list deeper":           strings.Repeat("[", scan.MaxDepth+1) + strings.Repeat("]", scan.MaxDepth+1),
		"names again and again": `{"m":{"7":1}` + strings.Repeat(`,"m":{"7":1}`, 2_000) + `}`,
	} {
		require.True(t, json.Valid([]byte(text)), name)
		assert.False(t, s.Scan([]byte(text)), name)
	}
	assert.True(t, s.Scan([]byte(`{"m":{"7":1}`+strings.Repeat(`,"m":{"8":1}`, 1_000)+`}`)))
	assert.Equal(t, scan.Missing, s.Slots()[7].Kind)
	assert.Equal(t, scan.Number, s.Slots()[8].Kind)
}

// TestLongList: a list is Unread when its rows would take too much memory, and
// the next one is read.
func TestLongList(t *testing.T) {
	var b scan.Builder
	list, table := b.Slot("list"), b.Table("list")
	for i := range 99 {
		table.Slot(fmt.Sprint("a", i))
	}
	s := b.Build().NewScanner()
	require.True(t, s.Scan([]byte(`{"list":[0`+strings.Repeat(`,0`, 10_000)+`]}`)))
	v := s.Slots()[list]
	assert.Equal(t, scan.Unread, v.Kind)
	assert.Equal(t, uint32(20_011), v.End)
	require.True(t, s.Scan([]byte(`{"list":[0`+strings.Repeat(`,0`, 5_000)+`]}`)))
	assert.Equal(t, scan.List, s.Slots()[list].Kind)
	assert.Equal(t, scan.Number, s.Row(table.ID(), 5_000)[0].Kind)
}

// TestDepthOfWhatIsRead goes down a path as deep as samples may be, and one deeper.
func TestDepthOfWhatIsRead(t *testing.T) {
	tests := []struct{ name, part, open, closing string }{
		{"objects", "a", `{"a":`, `}`},
		{"lists", "0", `[`, `]`},
	}
	for _, test := range tests {
		for depth, want := range map[int]bool{scan.MaxDepth: true, scan.MaxDepth + 1: false} {
			var b scan.Builder
			slot := b.Slot(slices.Repeat([]string{test.part}, depth)...)
			s := b.Build().NewScanner()
			text := strings.Repeat(test.open, depth) + "1" + strings.Repeat(test.closing, depth)
			require.Equal(t, want, s.Scan([]byte(text)), test.name)
			if want {
				assert.Equal(t, scan.Number, s.Slots()[slot].Kind, test.name)
			}
		}
	}
}

// TestEveryShortNumber tries all texts of a few characters that numbers are made of.
func TestEveryShortNumber(t *testing.T) {
	w := new(twin)
	w.slot("a")
	s := w.builder.Build().NewScanner()
	var try func(text string, more int)
	try = func(text string, more int) {
		for _, format := range []string{`{"a":%s}`, `{"a":%s,"b":12345678}`, `{"b":%s}`, `{"b":%s  ,"a":1234}`} {
			require.NoError(t, w.check(s, fmt.Appendf(nil, format, text)))
		}
		for i := 0; i < len("01.-eE+") && more > 0; i++ {
			try(text+"01.-eE+"[i:i+1], more-1)
		}
	}
	try("", 5)
}

// TestEveryShortText tries all texts of a few bytes that matter, at all places
// in a word.
func TestEveryShortText(t *testing.T) {
	w := new(twin)
	w.slot("a")
	s := w.builder.Build().NewScanner()
	bytes := []string{"a", `"`, `\`, "u00e9", "\xc3", "\xa9", "\x1f", "\x80", "\""}
	var try func(text string, more int)
	try = func(text string, more int) {
		for pad := range 9 {
			require.NoError(t, w.check(s, []byte(`{"a":"`+strings.Repeat("x", pad)+text+`","b":"`+text+`"}`)))
		}
		for i := 0; i < len(bytes) && more > 0; i++ {
			try(text+bytes[i], more-1)
		}
	}
	try("", 4)
}

func TestAllocatesNothing(t *testing.T) {
	orders := [][]byte{
		[]byte(`{"a":1,"b":"x","long name of a member":[1,2]}`),
		[]byte(`{"b":"y","long name of a member":[],"a":2}`),
		[]byte(`{"long name of a member":[3],"a":3,"b":"z","c":null}`),
	}
	named := func() *scan.Plan {
		var b scan.Builder
		b.Slot("a")
		b.Slot("b")
		return b.Build()
	}
	tests := []struct {
		name    string
		plan    *scan.Plan
		samples [][]byte
	}{
		{"small", smallPlan(), ring(smallSample)},
		{"ten fields", tenFieldPlan(), ring(tenFieldSample)},
		{"list", listPlan(), ring(listSample)},
		{"changing order", named(), orders},
		{"escapes", named(), ring(func(i int) string {
			return fmt.Sprintf(`{"\u0061":"\n%d","b":"%s\u00e9"}`, i, strings.Repeat("\\t", i%5))
		})},
	}
	for _, test := range tests {
		for _, learn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, learn %t", test.name, learn), func(t *testing.T) {
				s := test.plan.NewScanner()
				s.Learn(learn)
				scanAll := func() {
					for _, text := range test.samples {
						if !s.Scan(text) {
							t.Fatalf("%s: not valid", text)
						}
					}
				}
				for range 50 {
					scanAll()
				}
				assert.Zero(t, testing.AllocsPerRun(100, scanAll))
			})
		}
	}
}

func TestAppendText(t *testing.T) {
	tests := []struct{ token, want string }{
		{`""`, ""},
		{`"abc é"`, "abc é"},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{`"\u00e9\u20AC"`, "é€"},
		{`"\ud83d\ude00"`, "😀"},
		{`"\ud83d"`, "\ufffd"},
		{`"\ud83dx"`, "\ufffdx"},
		{`"\ud83d\u0041"`, "\ufffdA"},
		{`"\ud83d\ud83d\ude00"`, "\ufffd😀"},
		{`"\ude00"`, "\ufffd"},
		{"\"\xff\xfea\"", "\ufffd\ufffda"},
		{"\"\xed\xa0\x80\"", "\ufffd\ufffd\ufffd"},
		{"\"\x7f\u2028\"", "\x7f\u2028"},
	}
	for _, test := range tests {
		var want string
		require.NoError(t, json.Unmarshal([]byte(test.token), &want))
		require.Equal(t, test.want, want, "encoding/json")
		assert.Equal(t, "x"+test.want, string(scan.AppendText([]byte("x"), []byte(test.token))))
	}
}

func TestAppendLine(t *testing.T) {
	tests := []struct{ value, want string }{
		{`1.50`, `1.50`},
		{`null`, `null`},
		{`"a b\n"`, `"a b\n"`},
		{"\"é\u2028\"", "\"é\u2028\""},
		{"\"a\xff\xfeb\"", "\"a\ufffd\ufffdb\""},
		{"{ \"a\" : [ 1 ,\r\n\t2 ] , \" b \" : { } }", `{"a":[1,2]," b ":{}}`},
		{`["\"", "\\", " "]`, `["\"","\\"," "]`},
	}
	for _, test := range tests {
		assert.Equal(t, "x"+test.want, string(scan.AppendLine([]byte("x"), []byte(test.value))))
	}
}

func TestRowsGoBackToLittleMemory(t *testing.T) {
	var b scan.Builder
	items := b.Table("items")
	s := b.Build().NewScanner()
	large := []byte(`{"items":[` + strings.Repeat("1,", 200_000) + `2]}`)
	small := []byte(`{"items":[3]}`)
	for _, text := range [][]byte{large, small, small} {
		require.True(t, s.Scan(text))
		list := s.Slots()[0]
		last := s.Row(items.ID(), int(list.Num)+int(list.Count)-1)
		assert.Equal(t, scan.Number, last[0].Kind)
	}
	assert.Less(t, cap(s.Row(items.ID(), 0)), 1000)
}

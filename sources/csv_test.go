package sources_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

func machine() sources.CSVOptions {
	return sources.CSVOptions{Name: "m.csv", Twin: "m", Feed: "f"}
}

// readAll reads to the end; lines of what was refused stand in place.
func readAll(t *testing.T, text string, o sources.CSVOptions) []string {
	t.Helper()
	r, err := sources.NewCSV(strings.NewReader(text), o)
	require.NoError(t, err)
	var out []string
	for {
		s, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			require.Equal(t, err.Error(), s.Refused)
			out = append(out, fmt.Sprintf("%d %s %q", s.Seq, s.Refused, s.Data))
		default:
			require.True(t, json.Valid(s.Data), "%s", s.Data)
			out = append(out, fmt.Sprintf("%d %s/%s %s %s", s.Seq, s.Twin, s.Feed, s.At.Format(time.RFC3339Nano), s.Data))
		}
	}
}

func TestCSV(t *testing.T) {
	for name, tt := range map[string]struct {
		options func(*sources.CSVOptions)
		text    string
		want    []string
	}{
		"plain": {nil, "timestamp,value\n2013-12-02 21:15:00,73.96\n2013-12-02 21:20:00,74.9", []string{
			`2 m/f 2013-12-02T21:15:00Z {"value":73.96}`, `3 m/f 2013-12-02T21:20:00Z {"value":74.9}`,
		}},
		"byte order mark, CRLF, blank lines": {nil, "\xef\xbb\xbftime, a \r\n\r\n1700000000,1\r\n", []string{`3 m/f 2023-11-14T22:13:20Z {"a":1}`}},
		"time column in the middle":          {nil, "a,time,b\n1,1700000000,2\n", []string{`2 m/f 2023-11-14T22:13:20Z {"a":1,"b":2}`}},
		"timestamp before time":              {nil, "time,timestamp\n5,1700000000\n", []string{`2 m/f 2023-11-14T22:13:20Z {"time":5}`}},
		"named time column":                  {func(o *sources.CSVOptions) { o.TimeColumn = "when" }, "time,when\n5,1700000000\n", []string{`2 m/f 2023-11-14T22:13:20Z {"time":5}`}},
		"twin column": {func(o *sources.CSVOptions) { o.Twin, o.TwinColumn = "", "machine" }, "machine,time,a\nx ,1700000000,1\n,1700000000,1\n", []string{
			`2 x/f 2023-11-14T22:13:20Z {"a":1}`, `3 m.csv:3:1: got ""; want the twin's id ",1700000000,1"`,
		}},
		"semicolons":   {func(o *sources.CSVOptions) { o.Comma = ';' }, "time;a\n1700000000;1,5\n", []string{`2 m/f 2023-11-14T22:13:20Z {"a":"1,5"}`}},
		"wide comma":   {func(o *sources.CSVOptions) { o.Comma = '→' }, "time→\"a\"→b\n1700000000→\"1\"→2\n", []string{`2 m/f 2023-11-14T22:13:20Z {"a":1,"b":2}`}},
		"quotes":       {nil, "time,\"a \"\"b\"\"\",c\n1700000000,\"x,\"\"\ny\",\"\"\n1700000000,\"\",\"2\"\n", []string{`2 m/f 2023-11-14T22:13:20Z {"a \"b\"":"x,\"\ny"}`, `4 m/f 2023-11-14T22:13:20Z {"c":2}`}},
		"no value":     {nil, "time,a,b,c,d\n1700000000,,NaN,-inf, \n", []string{`2 m/f 2023-11-14T22:13:20Z {}`}},
		"only time":    {nil, "time\n1700000000\n", []string{`2 m/f 2023-11-14T22:13:20Z {}`}},
		"ragged":       {nil, "time,a\n1700000000\n1700000000,1,é,2\n1700000000,1\n", []string{`2 m.csv:2:11: row of 1 cells; want 2, as in the first row "1700000000"`, `3 m.csv:3:14: row of 4 cells; want 2, as in the first row "1700000000,1,é,2"`, `4 m/f 2023-11-14T22:13:20Z {"a":1}`}},
		"bad time":     {nil, "a,time\né,yesterday\n", []string{`2 m.csv:2:3: got "yesterday"; want a time: RFC 3339, YYYY-MM-DD HH:MM:SS, or seconds or milliseconds since 1970 "é,yesterday"`}},
		"quote inside": {nil, "a,time\nx\"y,1700000000\n1,1700000000\n", []string{`2 m.csv:2:2: a quote inside a cell; want the cell in quotes and this one doubled "x\"y,1700000000"`, `3 m/f 2023-11-14T22:13:20Z {"a":1}`}},
		"after quote":  {nil, "a,time\n\"x\"y,1700000000\n1,1700000000\n", []string{`2 m.csv:2:4: text behind a closing quote; want ',' or the end of the row "\"x\"y,1700000000"`, `3 m/f 2023-11-14T22:13:20Z {"a":1}`}},
		"open quote":   {nil, "a,time\n1,\"1700000000\n1,1700000000\n", []string{`2 m.csv:2:3: the quote is not closed until the end of the file; want a closing one "1,\"1700000000\n1,1700000000"`}},
		"second line":  {nil, "a,time\n\"x\ny\",z\n", []string{`2 m.csv:3:4: got "z"; want a time: RFC 3339, YYYY-MM-DD HH:MM:SS, or seconds or milliseconds since 1970 "\"x\ny\",z"`}},
		"not UTF-8":    {nil, "time,a\n1700000000,\xff\n", []string{`2 m.csv:2:12: the cell is not UTF-8 "1700000000,\xff"`}},
	} {
		t.Run(name, func(t *testing.T) {
			o := machine()
			if tt.options != nil {
				tt.options(&o)
			}
			assert.Equal(t, tt.want, readAll(t, tt.text, o))
		})
	}
}

func TestCSVValues(t *testing.T) {
	for cell, want := range map[string]string{
		"0": `0`, "-0": `-0`, "31.2": `31.2`, " 12 ": `12`, "+1.5": `1.5`, ".5": `0.5`, "-.5": `-0.5`, "5.": `5`, "1e5": `1e5`, "1E+05": `1E+05`, "1.e3": `1e3`,
		"74.93588199999998": `74.93588199999998`, "123456789012345678901234567890": `123456789012345678901234567890`,
		"true": `true`, "False": `false`, "TRUE": `true`,
		"": ``, "NaN": ``, "nan": ``, "-nan": ``, "inf": ``, "+Inf": ``, "-Infinity": ``, "1e400": ``, strings.Repeat("9", 310): ``,
		"007": `"007"`, "-01": `"-01"`, "0x10": `"0x10"`, "1_000": `"1_000"`, ".": `"."`, "-": `"-"`, "e5": `"e5"`, "1e": `"1e"`, "1e+": `"1e+"`, "1.2.3": `"1.2.3"`, "null": `"null"`, "yes": `"yes"`,
		" x ": `" x "`, "é\t": `"é\t"`, "2026-11-22": `"2026-11-22"`,
	} {
		data := "{}"
		if want != "" {
			data = `{"a":` + want + `}`
		}
		assert.Equal(t, []string{"2 m/f 2023-11-14T22:13:20Z " + data}, readAll(t, "time,a\n1700000000,"+cell+"\n", machine()), "cell %q", cell)
	}
}

func TestCSVTimes(t *testing.T) {
	for cell, want := range map[string]string{
		"2026-11-22T10:00:00Z":          "2026-11-22T10:00:00Z",
		"2026-11-22T10:00:00.25+02:00":  "2026-11-22T08:00:00.25Z",
		"2026-11-22 10:00:00":           "2026-11-22T10:00:00Z",
		"2026-11-22 10:00:00.123456789": "2026-11-22T10:00:00.123456789Z",
		"2026-11-22T10:00:00":           "2026-11-22T10:00:00Z",
		" 2026-11-22 10:00:00 ":         "2026-11-22T10:00:00Z",
		"1700000000":                    "2023-11-14T22:13:20Z",
		"1700000000.25":                 "2023-11-14T22:13:20.25Z",
		"1700000000.1234567891":         "2023-11-14T22:13:20.123456789Z",
		"1700000000123":                 "2023-11-14T22:13:20.123Z",
		"1700000000123.5":               "2023-11-14T22:13:20.1235Z",
		"0":                             "1970-01-01T00:00:00Z",
		"-1.5":                          "1969-12-31T23:59:58.5Z",
		"99999999999":                   "5138-11-16T09:46:39Z",
		"100000000000":                  "1973-03-03T09:46:40Z",
		"99999999999999":                "5138-11-16T09:46:39.999Z",
	} {
		assert.Equal(t, []string{"2 m/f " + want + " {}"}, readAll(t, "time\n"+cell+"\n", machine()), "cell %q", cell)
	}
	for _, cell := range []string{
		"x", "2026-11-22", "2026-11-22 10:00", "2026-11-22 25:00:00", "2026-02-30 10:00:00", "2026-11-22_10:00:00", "2026/11/22 10:00:00", "22.11.2026 10:00:00",
		"100000000000000", "17e8", "1700000000.", "99999999999999999999", "--1", "2026-11-22T10:00:00.1234567890123456+02:00", ".5",
	} {
		got := readAll(t, "time,a\n"+cell+",1\n", machine())
		if cell == "1700000000." {
			assert.Equal(t, []string{`2 m/f 2023-11-14T22:13:20Z {"a":1}`}, got)
			continue
		}
		assert.Contains(t, got[0], "want a time", "cell %q", cell)
	}
}

func TestNewCSVErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		options sources.CSVOptions
		want    string
	}{
		"empty":            {"", machine(), `m.csv:1:1: no row; want the names of the columns in the first`},
		"blank":            {"\n\n", machine(), `m.csv:1:1: no row; want the names of the columns in the first`},
		"no time":          {"Timestamp,value\n", machine(), `m.csv:1:1: no time column among Timestamp, value; want timestamp, time, occurredAt, datetime, date, or the name of another; did you mean "Timestamp"?`},
		"wrong separator":  {"time;value\n", machine(), `m.csv:1:1: no time column among time;value; want timestamp, time, occurredAt, datetime, date, or the name of another`},
		"time typo":        {"time,value\n", sources.CSVOptions{Name: "m.csv", Twin: "m", Feed: "f", TimeColumn: "tme"}, `m.csv:1:1: no time column "tme"; want one of time, value; did you mean "time"?`},
		"twin typo":        {"time,machine\n", sources.CSVOptions{Name: "m.csv", TwinColumn: "machin", Feed: "f"}, `m.csv:1:1: no twin column "machin"; want one of time, machine; did you mean "machine"?`},
		"one for both":     {"time,machine\n", sources.CSVOptions{Name: "m.csv", TwinColumn: "time", Feed: "f"}, `m.csv:1:1: column "time" is the twin's and the time's; want two`},
		"duplicate column": {"é,a,time,a\n", machine(), `m.csv:1:10: duplicate column "a"; want each name once`},
		"no name":          {"é,,time\n", machine(), `m.csv:1:3: column 2 has no name; want one`},
		"not UTF-8":        {"\xff,time\n", machine(), `m.csv:1:1: the name is not UTF-8`},
		"broken quote":     {"\"a\"b,time\n", machine(), `m.csv:1:4: text behind a closing quote; want ',' or the end of the row`},
		"no twin":          {"time\n", sources.CSVOptions{Name: "m.csv", Feed: "f"}, `m.csv: whose samples are these; want a twin or a twin column`},
		"two twins":        {"time\n", sources.CSVOptions{Name: "m.csv", Twin: "m", TwinColumn: "t", Feed: "f"}, `m.csv: a twin and a twin column; want one of them`},
		"no feed":          {"time\n", sources.CSVOptions{Name: "m.csv", Twin: "m"}, `m.csv: which feed do the samples belong to; want a feed`},
		"odd comma":        {"time\n", sources.CSVOptions{Name: "m.csv", Twin: "m", Feed: "f", Comma: '"'}, `m.csv: comma '"'; want a character that separates cells`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sources.NewCSV(strings.NewReader(tt.text), tt.options)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestCSVBeyondTheLimits(t *testing.T) {
	long := strings.Repeat("x", sources.MaxLineBytes)
	got := readAll(t, "time,a\n1700000000,"+long+"\n1700000000,1\n", machine())
	require.Len(t, got, 2)
	assert.Contains(t, got[0], "2 m.csv:2:1: line longer than 1048576 bytes; want one row a line")
	assert.Equal(t, `3 m/f 2023-11-14T22:13:20Z {"a":1}`, got[1])

	rows := strings.Repeat("1700000000,1\n", sources.MaxLineBytes/10)
	r, err := sources.NewCSV(strings.NewReader("time,a\n1700000000,\"oops\n"+rows), machine())
	require.NoError(t, err)
	s, err := r.Next()
	require.EqualError(t, err, "m.csv:2:12: the quote is not closed for 1048576 bytes; want a closing one")
	assert.Len(t, s.Data, 64<<10)
	s, err = r.Next()
	require.NoError(t, err)
	assert.Greater(t, s.Seq, uint64(3), "it goes on behind what it has read")
}

func TestCSVRealRecording(t *testing.T) {
	const path = "../../shared/data/nab/machine_temperature_system_failure.csv"
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the recording is not in this clone")
	}
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // it was only read
	r, err := sources.NewCSV(f, machine())
	require.NoError(t, err)
	var all []rules.Sample
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		all = append(all, s)
	}
	require.Len(t, all, 22_695)
	last := all[len(all)-1]
	assert.Equal(t, uint64(22_696), last.Seq)
	assert.Equal(t, time.Date(2014, 2, 19, 15, 25, 0, 0, time.UTC), last.At)
	backwards := 0
	for i, s := range all[1:] {
		if s.At.Before(all[i].At) {
			backwards++
			assert.Equal(t, uint64(10_151), s.Seq, "the line at which the clock steps back")
		}
	}
	assert.Equal(t, 1, backwards)
}

// FuzzCSV holds the row reader to encoding/csv up to the first row that either
// refuses, and its data to encoding/json.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{
		"1,2\n", "\"a\nb\",\"\"\"\"\r\n\r\nx,y", "a,b,c\n", "\"a\"b,c\n", "a\"b,c\n", "\"a,b\n\n", ",\n,", "\r,\r\n", "1.5e3,NaN\nTrue,007\n", "\xff,x\n", "\"\"\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rows string) {
		text := "a,b,time\n" + rows
		r, err := sources.NewCSV(strings.NewReader(text), machine())
		require.NoError(t, err)
		want := csv.NewReader(strings.NewReader(text))
		want.FieldsPerRecord = -1
		_, err = want.Read()
		require.NoError(t, err)
		for {
			record, wantErr := want.Read()
			s, err := r.Next()
			if errors.Is(wantErr, io.EOF) {
				require.ErrorIs(t, err, io.EOF)
				return
			}
			if wantErr == nil {
				line, _ := want.FieldPos(0)
				require.Equal(t, uint64(line), s.Seq)
			}
			if wantErr != nil || len(record) != 3 {
				_, ok := errors.AsType[*strictjson.Error](err)
				require.True(t, ok, "accepted %q, which encoding/csv refuses: %v", record, wantErr)
				if wantErr != nil {
					return
				}
				continue
			}
			if err == nil {
				compareRow(t, record, s)
			}
		}
	})
}

func compareRow(t *testing.T, record []string, s rules.Sample) {
	var data map[string]any
	require.NoError(t, json.Unmarshal(s.Data, &data), "%s", s.Data)
	for i, name := range []string{"a", "b"} {
		if text, ok := data[name].(string); ok {
			assert.Equal(t, record[i], text)
		}
	}
	assert.Subset(t, []string{"a", "b"}, slices.Collect(maps.Keys(data)))
}

func BenchmarkCSV(b *testing.B) {
	var text strings.Builder
	text.WriteString("timestamp,value\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "2013-12-02 21:%02d:00,%d.96732207\n", i%60, i%100)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := sources.NewCSV(strings.NewReader(text.String()), machine())
		if err != nil {
			b.Fatal(err)
		}
		drain(b, r.Next)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/row")
}

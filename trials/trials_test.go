package trials_test

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/trials"
)

const hot = `{"id":"heat","sources":[{"id":"1","modelDid":"did:m","feeds":[{"id":"t"}]}],"rules":[
  {"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"t","conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}],"for":"2m"}}]}`

const both = `{"id":"heat","sources":[{"id":"1","modelDid":"did:m","feeds":[{"id":"t"},{"id":"u"}]}],"rules":[
  {"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"t","conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}]}},
  {"alert":{"id":"wet","severity":"minor","sourceId":"1","sourceFeedId":"u","conditions":[{"jsonLogic":{">":[{"var":"y"},30]}}]}}]}`

// folder writes files into a folder called plant.
func folder(t *testing.T, files map[string]string) *trials.Folder {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plant")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	found, err := trials.Find(dir)
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// complaint runs a case and gives what is wrong with it, without the folder.
func complaint(f *trials.Folder, c *trials.Case) string {
	r := c.Run()
	var text strings.Builder
	if r.Err != nil {
		text.WriteString(r.Err.Error())
	}
	for i := range r.Failures {
		text.WriteString(r.Failures[i].Text())
	}
	return strings.ReplaceAll(text.String(), f.Dir+string(filepath.Separator), "")
}

func TestCases(t *testing.T) {
	at := `{"at":"0s","twin":"m","data":{"x":31}}`
	for name, tt := range map[string]struct{ rules, test, want string }{
		"times after the first sample": {hot, `{"samples":[{"at":"00:05","twin":"m","data":{"x":31}},{"at":"3m","twin":"m","data":{"x":31}}],"want":[{"at":"00:07","outcome":{"event":"raised"}}]}`, ""},
		"times of a day and a zone":    {hot, `{"start":"2026-11-02T23:59:00+01:00","samples":[{"at":"23:59:30","twin":"m","data":{"x":31}}],"until":"5m","want":[{"at":"2026-11-02T23:01:30Z","outcome":{"event":"raised"}}]}`, ""},
		"times of the day of a sample": {hot, `{"samples":[{"occurredAt":"2026-10-01T07:00:00Z","twin":"m","data":{"x":31}}],"until":"07:02","want":[{"at":"2026-10-01T07:02:00Z","outcome":{"event":"raised"}}]}`, ""},
		"until includes its time":      {hot, `{"samples":[` + at + `],"until":"2m","want":[{"outcome":{"event":"raised"}}]}`, ""},
		"members of members":           {hot, `{"samples":[` + at + `],"until":"2m","want":[{"outcome":{"counts":{"raises":1}}}]}`, ""},
		"other than wanted": {
			hot, `{"samples":[` + at + `],"until":"2m","want":[{"outcome":{"event":"raised","counts":{"raises":2},"labels":{"site":"brno"}}}]}`,
			`FAIL  tests.json:1:86  "n"  after tests.json:1 (00:00:00Z, m)
  wanted  {"counts":{"raises":2},"event":"raised","labels":{"site":"brno"}}
  got     alert heat/hot m raised major at 00:02:00Z
  differs counts.raises  wanted 2, got 1
          labels.site    wanted "brno", got nothing
  why     x = 31  >  30  true
  samples 00:00 31
`,
		},
		"in their order": {
			both, `{"feed":"t","samples":[` + at + `,{"at":"1m","twin":"m","data":{"x":1}}],"want":[{"outcome":{"event":"cleared"}},{"outcome":{"event":"raised"}}]}`,
			`FAIL  tests.json:1:154  "n"  after tests.json:1 (00:00:00Z, m)
  wanted  {"event":"raised"}
  got     alert heat/hot m raised major at 00:00:00Z
  why     x = 31  >  30  true
  note    it came before the one that is wanted above; want them in their order
  samples 00:00 31
`,
		},
		"exactly": {
			both, `{"feed":"t","samples":[` + at + `],"exactly":true,"want":[]}`,
			`FAIL  tests.json:1:2  "n"  after tests.json:1 (00:00:00Z, m)
  wanted  nothing else (exactly)
  got     alert heat/hot m raised major at 00:00:00Z
  why     x = 31  >  30  true
  samples 00:00 31
`,
		},
		"never anything": {hot, `{"samples":[` + at + `],"never":[{}]}`, ""},

		"no name":             {hot, `{"samples":[` + at + `],"never":[{}],"name":""}`, ""},
		"no samples":          {hot, `{"never":[{}]}`, `tests.json:1:2: /0: no samples; want "samples" or "file"`},
		"samples and a file":  {hot, `{"file":"a.csv","samples":[` + at + `],"never":[{}]}`, `tests.json:1:21: /0/file: both "samples" and "file"; want one of them`},
		"no file":             {hot, `{"file":"a.csv","twin":"m","never":[{}]}`, `tests.json:1:21: /0/file: open a.csv: no such file or directory`},
		"a file of no format": {hot, `{"file":"interaction.txt","twin":"m","never":[{}]}`, `tests.json:1:21: /0/file: interaction.txt: what format? Want a name that ends in .ndjson or .csv`},
		"an empty list":       {hot, `{"samples":[],"never":[{}]}`, `tests.json:1:24: /0/samples: an empty list; want at least one sample`},
		"no twin":             {hot, `{"samples":[{"at":"0s","data":{}}],"never":[{}]}`, `tests.json:1:25: /0/samples/0: no twin; want "twin" here, or in the test for all of its samples`},
		"no feed":             {both, `{"samples":[{"at":"0s","twin":"m","data":{}}],"never":[{}]}`, `tests.json:1:25: /0/samples/0: no feed; want "feed" here, or in the test for all of its samples`},
		"no time":             {hot, `{"samples":[{"twin":"m","data":{}}],"never":[{}]}`, `tests.json:1:25: /0/samples/0: field "at" is missing; want a time of the day such as "00:05", a time after the first sample such as "5m", or "2026-11-02T00:05:00Z"`},
		"no data":             {hot, `{"samples":[{"at":"0s","twin":"m"}],"never":[{}]}`, `tests.json:1:25: /0/samples/0: field "data" is missing`},
		"a number for a time": {hot, `{"samples":[` + at + `],"until":5,"never":[{}]}`, `tests.json:1:73: /0/until: got 5; want a time of the day such as "00:05", a time after the first sample such as "5m", or "2026-11-02T00:05:00Z"`},
		"a time that is none": {hot, `{"samples":[` + at + `],"until":"25:00","never":[{}]}`, `tests.json:1:73: /0/until: got "25:00"; want a time of the day such as "00:05", a time after the first sample such as "5m", or "2026-11-02T00:05:00Z"`},
		"a start without day": {hot, `{"start":"10:00","samples":[` + at + `],"never":[{}]}`, `tests.json:1:22: /0/start: got "10:00"; want a time with its day, such as "2026-11-02T22:00:00+01:00"`},
		"a want without what": {hot, `{"samples":[` + at + `],"want":[{"at":"5m"}]}`, `tests.json:1:73: /0/want/0: field "outcome" is missing`},
		"a word for a want":   {hot, `{"samples":[` + at + `],"want":["raised"]}`, `tests.json:1:73: /0/want/0: got "raised"; want an object`},
		"a word for wants":    {hot, `{"samples":[` + at + `],"want":"raised","never":[{}]}`, `tests.json:1:72: /0/want: got "raised"; want an array such as [{"at":"00:05","outcome":{"rule":"too-hot","event":"raised"}}]`},
		"never a word":        {hot, `{"samples":[` + at + `],"never":["raised"]}`, `tests.json:1:74: /0/never/0: got "raised"; want members of an outcome, such as {"rule":"too-hot","event":"raised"}`},
		"a case that is none": {hot, `"x"`, `tests.json:1:2: /0: got "x"; want an object`},
		"wrong twins":         {hot, `{"samples":[` + at + `],"twins":[{"twnId":"m"}],"never":[{}]}`, "tests.json:1:74: /0/twins/0: field \"twinId\" is missing\ntests.json:1:75: /0/twins/0/twnId: unknown field \"twnId\"; did you mean \"twinId\"?"},
		"no twin matches":     {hot, `{"samples":[` + at + `],"twins":[{"twinId":"m","feeds":[{"id":"t"}]}],"never":[{}]}`, `tests.json:1:2: no rule received a sample: the first is of twin "m" on feed "t"; the rules read t of the twins that are described and match a source`},
	} {
		t.Run(name, func(t *testing.T) {
			test := tt.test
			if strings.HasPrefix(test, "{") && !strings.Contains(test, `"name"`) {
				test = `{"name":"n",` + test[1:]
			}
			f := folder(t, map[string]string{"interaction.json": tt.rules, "tests.json": "[" + test + "]"})
			require.NoError(t, f.Err)
			require.Len(t, f.Cases, 1)
			assert.Equal(t, tt.want, complaint(f, f.Cases[0]))
		})
	}
}

// What is wrong with a folder as a whole.
func TestFolders(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no test":           {map[string]string{"interaction.json": hot}, "plant: no test; want samples.ndjson with outcomes.ndjson, or tests.json"},
		"no rules":          {map[string]string{"tests.json": `[]`}, "plant: no rules beside the tests; want interaction.json"},
		"an empty list":     {map[string]string{"interaction.json": hot, "tests.json": `[]`}, "tests.json:1:1: an empty list; want at least one test"},
		"no list":           {map[string]string{"interaction.json": hot, "tests.json": `{}`}, `tests.json:1:1: got an object; want an array of tests, such as [{"name":…,"samples":[…],"want":[…]}]`},
		"no JSON":           {map[string]string{"interaction.json": hot, "tests.json": `[{]`}, "tests.json:1:3: /0: \"]\" in an object; want \"}\" before it"},
		"a byte order mark": {map[string]string{"interaction.json": hot, "tests.json": "\xef\xbb\xbf[]"}, "tests.json:1:1: starts with a byte order mark; want UTF-8 without one"},
		"wrong rules":       {map[string]string{"interaction.json": `{"id":"heat"}`, "tests.json": `[]`}, "interaction.json:1:1: field \"sources\" is missing\ninteraction.json:1:1: field \"rules\" is missing"},
		"wrong twins":       {map[string]string{"interaction.json": hot, "twins.json": `5`}, "twins.json:1:1: got 5; want an array of twins, or one twin"},
		"the same id":       {map[string]string{"a.json": hot, "b.json": hot, "tests.json": `[{}]`}, `b.json: id "heat" is that of another file too; want an id of its own`},
	} {
		t.Run(name, func(t *testing.T) {
			f := folder(t, tt.files)
			require.Error(t, f.Err)
			got := strings.ReplaceAll(f.Err.Error(), f.Dir+string(filepath.Separator), "")
			assert.Equal(t, tt.want, strings.ReplaceAll(got, f.Dir, "plant"))
		})
	}
}

// A folder may hold several interactions, which are judged together.
func TestSeveralInteractions(t *testing.T) {
	wet := strings.ReplaceAll(strings.ReplaceAll(hot, `"heat"`, `"wet"`), `"hot"`, `"damp"`)
	f := folder(t, map[string]string{"a.json": hot, "b.json": wet, "tests.json": `[{"name":"n","samples":[{"at":"0s","twin":"m","data":{"x":31}}],"until":"2m",
		"exactly":true,"want":[{"outcome":{"interaction":"heat"}},{"outcome":{"interaction":"wet","rule":"damp"}}]}]`})
	require.NoError(t, f.Err)
	assert.Empty(t, complaint(f, f.Cases[0]))
}

// One line too many in the middle does not make all that follow differ.
func TestPlainFilesAreAligned(t *testing.T) {
	samples := ""
	for _, at := range []string{"10:00:00", "10:01:00", "10:02:00", "10:03:00"} {
		x := "31"
		if strings.HasSuffix(at, "1:00") || strings.HasSuffix(at, "3:00") {
			x = "1"
		}
		samples += `{"twin":"m","feed":"t","occurredAt":"2026-11-02T` + at + `Z","data":{"x":` + x + `}}` + "\n"
	}
	files := map[string]string{"interaction.json": both, "samples.ndjson": samples}
	f := folder(t, files)
	r := f.Cases[0].Run()
	require.ErrorContains(t, r.Err, "engine test --update writes it")
	said, err := r.Update()
	require.NoError(t, err)
	assert.Contains(t, said, "4 outcomes")
	assert.True(t, r.OK())
	name := filepath.Join(f.Dir, "outcomes.ndjson")
	whole, err := os.ReadFile(name)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	write := func(text string) *trials.Case {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		found, err := trials.Find(f.Dir)
		require.NoError(t, err)
		return found[0].Cases[0]
	}
	places := func(c *trials.Case) (out []string) {
		r := c.Run()
		require.NoError(t, r.Err)
		for i := range r.Failures {
			out = append(out, strings.TrimPrefix(r.Failures[i].Place, f.Dir+string(filepath.Separator))+" got "+r.Failures[i].Got)
		}
		return out
	}
	assert.Empty(t, places(write(string(whole)+"\n")))
	assert.Empty(t, places(write(strings.ReplaceAll(string(whole), `"revision":"`, `"revision":"0`))), "an edit of the rule is another revision")
	assert.Equal(t, []string{"outcomes.ndjson:2 got alert heat/hot m cleared major at 10:01:00Z"}, places(write(lines[0]+lines[2]+lines[3])))
	assert.Equal(t, []string{"outcomes.ndjson:3 got nothing"}, places(write(lines[0]+lines[1]+strings.ReplaceAll(lines[1], `"m"`, `"n"`)+lines[2]+lines[3])))
	assert.Equal(t, []string{"outcomes.ndjson:4 got alert heat/hot m cleared major at 10:03:00Z"}, places(write(lines[0]+lines[1]+lines[2])))
	assert.Equal(t, []string{"outcomes.ndjson:1 got alert heat/hot m raised major at 10:00:00Z"}, places(write(strings.Replace(lines[0], `"x":31`, `"x":32`, 1)+lines[1]+lines[2]+lines[3])))
	r = write("not an outcome\n").Run()
	assert.ErrorContains(t, r.Err, "outcomes.ndjson:1: not an outcome")
}

func TestJUnit(t *testing.T) {
	f := folder(t, map[string]string{"interaction.json": both, "tests.json": `[
		{"name":"<&\u0001>","feed":"t","samples":[{"at":"0s","twin":"m","data":{"x":31}}],"never":[{"event":"raised"}]},
		{"name":"fine","feed":"t","samples":[{"at":"0s","twin":"m","data":{"x":31}}],"want":[{"outcome":{"event":"raised"}}]},
		{"name":"vain","feed":"t","samples":[{"at":"0s","twin":"m","data":{"x":31}}]}]`})
	report := trials.Report{Folder: f}
	for _, c := range f.Cases {
		report.Results = append(report.Results, c.Run())
	}
	assert.Equal(t, []int{1, 2}, []int{report.Passed(), report.Failed()})
	empty := folder(t, map[string]string{"interaction.json": hot})
	var b bytes.Buffer
	require.NoError(t, trials.WriteJUnit(&b, []trials.Report{report, {Folder: empty}}))
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Suites   []struct {
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure string `xml:"failure"`
				Error   string `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(b.Bytes(), &got), b.String())
	assert.Equal(t, []int{4, 1, 2}, []int{got.Tests, got.Failures, got.Errors})
	require.Len(t, got.Suites, 2)
	assert.Contains(t, got.Suites[0].Cases[0].Failure, "wanted  nothing like")
	assert.Contains(t, got.Suites[0].Cases[2].Error, "wants nothing and forbids nothing")
	assert.Contains(t, got.Suites[1].Cases[0].Error, "no test")
}

func TestCoverage(t *testing.T) {
	f := folder(t, map[string]string{
		"interaction.json": `{"id":"c","sources":[{"id":"1","modelDid":"did:m","feeds":[{"id":"t"}]}],"rules":[{"alert":{"id":"a","severity":"major","sourceId":"1","sourceFeedId":"t",
"conditions":[{"jsonLogic":{"if":[{"==":[{"var":"m"},"off"]},false,{"!":[{"var":"ok"}]},true,{">":[{"var":"x"},5]}]}}]}}]}`,
		"tests.json": `[{"name":"n","twin":"m","samples":[{"at":"0s","data":{"m":"on","ok":true,"x":6}},{"at":"1s","data":{"m":"on","ok":true,"x":5}}],"want":[{"outcome":{"event":"raised"}}]}]`,
	})
	require.NoError(t, f.Err)
	c := f.Coverage()
	require.Empty(t, complaint(f, f.Cases[0]))
	f.Cases[0].Run(c)
	assert.False(t, c.Full())
	var b bytes.Buffer
	c.Write(&b)
	assert.Equal(t, `  interaction.json:2:28  a  {"if":[{"==":[{"var":"m"},"off"]},false,{"!":[{"var":"ok"}]},true,{">":[{"var":"x"},5]}]}
      true 1, false 1, unknown 0
      never true               interaction.json:2:35  {"==":[{"var":"m"},"off"]}
      never taken              interaction.json:2:62  false
      never true               interaction.json:2:68  {"!":[{"var":"ok"}]}
      never taken              interaction.json:2:89  true
  0 of 1 conditions were true and false, with all their branches
`, strings.ReplaceAll(b.String(), f.Dir+string(filepath.Separator), ""))
}

// A link to a folder was taken for one without tests.
func TestFolderBehindALink(t *testing.T) {
	whole, err := filepath.Abs(filepath.Join("..", "examples", "rules", "machine-silent"))
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "plant")
	require.NoError(t, os.Symlink(whole, link))
	folders, err := trials.Find(link)
	require.NoError(t, err)
	require.Len(t, folders, 1)
}

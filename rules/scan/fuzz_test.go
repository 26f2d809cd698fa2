package scan_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/scan"
)

// casesVariable is how many documents TestLong has to compare.
const casesVariable = "TOCSIN_FUZZ_CASES"

// seeds begin both fuzz targets.
var seeds = []string{
	`{"temperature":31.2}`,
	`{"id":"machine-17","temperature":31.25,"status":"active","motor":{"rpm":1480,"load":0.7},"ok":true}`,
	`{"list":[{"a":1,"b":{"c":2},"list":[{"a":1},[{"b":2}]]},"text",null,[1,2]]}`,
	`{"a":{"b":1},"a":{"c":2},"a":[1,{"b":2}]}`,
	`{"\u0061":"\ud83d\ude00","b":"\"\\\u00e9"}`,
	"{\"a\":\"\xff\",\"\xff\":1}",
	`[[],{},"",0,-0,1e22,1.7976931348623157e308,true,false,null]`,
	` { "a" : [ 1 , 2 ] , "b" : "x" } `,
	`"text"`, `12`, ``, `{`, `{"a":1e400}`,
}

// stream tries variants of a document, half of them spoilt.
func stream(g *grower, base []byte, length int, try func(text []byte) error) error {
	valid := json.Valid(base)
	for range length {
		text := base
		if valid {
			text = g.vary(base, []float64{0, 0.02, 0.1, 0.5}[g.IntN(4)])
		}
		if g.IntN(2) == 0 {
			text = g.spoil(text)
		}
		if err := try(text); err != nil {
			return err
		}
	}
	return nil
}

// FuzzScan compares with encoding/json: what is valid, and what the slots say.
func FuzzScan(f *testing.F) {
	for i, text := range seeds {
		f.Add([]byte(text), uint64(i))
	}
	f.Fuzz(func(t *testing.T, base []byte, seed uint64) {
		for _, name := range twinNames() {
			w := twins[name]()
			s := w.builder.Build().NewScanner()
			err := stream(newGrower(seed), base, 12, func(text []byte) error { return w.check(s, text) })
			require.NoError(t, err, name)
		}
	})
}

// FuzzTemplate compares a scanner that learns with one that does not.
func FuzzTemplate(f *testing.F) {
	for i, text := range seeds {
		f.Add([]byte(text), uint64(i))
	}
	f.Fuzz(func(t *testing.T, base []byte, seed uint64) {
		for _, name := range twinNames() {
			plan := twins[name]().builder.Build()
			err := learntAsPlain(newGrower(seed), base, plan.NewScanner(), plan.NewScanner())
			require.NoError(t, err, name)
		}
	})
}

// learntAsPlain varies a document, spoils one in twenty, and compares.
func learntAsPlain(g *grower, base []byte, learnt, plain *scan.Scanner) error {
	plain.Learn(false)
	valid := json.Valid(base)
	for range 100 {
		text := base
		if valid {
			text = g.vary(base, 0.2)
		}
		if g.IntN(20) == 0 {
			text = g.spoil(text)
		}
		got, want := learnt.Scan(text), plain.Scan(text)
		if got != want {
			return fmt.Errorf("%q: scanned %t, want %t", text, got, want)
		}
		for i, v := range plain.Slots() {
			if want && !same(learnt.Slots()[i].Num, v.Num) || want && learnt.Slots()[i] != v {
				return fmt.Errorf("%q: slot %d is %+v, want %+v", text, i, learnt.Slots()[i], v)
			}
		}
	}
	return nil
}

// TestSomeDocuments is TestLong for every day.
func TestSomeDocuments(t *testing.T) {
	_, _, err := long(7, 20_000)
	assert.NoError(t, err)
}

// TestLong compares as many documents with encoding/json as the environment
// says, in two halves at a time.
func TestLong(t *testing.T) {
	cases, err := strconv.Atoi(os.Getenv(casesVariable))
	if err != nil {
		t.Skipf("%s does not say how many documents", casesVariable)
	}
	var compared, valid atomic.Int64
	t.Cleanup(func() { t.Logf("%d documents compared, %d of them valid", compared.Load(), valid.Load()) })
	for half := range 2 {
		t.Run(strconv.Itoa(half), func(t *testing.T) {
			t.Parallel()
			done, good, err := long(uint64(half), cases/2)
			compared.Add(int64(done))
			valid.Add(int64(good))
			assert.NoError(t, err)
		})
	}
}

func long(seed uint64, cases int) (done, valid int, err error) {
	g := newGrower(seed)
	names := twinNames()
	var watchers []*twin
	for _, name := range names {
		watchers = append(watchers, twins[name]())
	}
	scanners := make([]*scan.Scanner, len(names))
	for done < cases {
		if g.IntN(20) == 0 || scanners[0] == nil {
			for i, w := range watchers {
				scanners[i] = w.builder.Build().NewScanner()
			}
		}
		i := g.IntN(len(names))
		if g.IntN(4) > 0 {
			scanners[i].Learn(true) // anew
		}
		err := stream(g, g.document(), 40, func(text []byte) error {
			done++
			if json.Valid(text) {
				valid++
			}
			return watchers[i].check(scanners[i], text)
		})
		if err != nil {
			return done, valid, fmt.Errorf("%s: %w", names[i], err)
		}
	}
	return done, valid, nil
}

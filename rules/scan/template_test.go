package scan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// learner is a scanner, and a plain one to compare it with.
type learner struct {
	learnt, plain *Scanner
}

func newLearner(paths ...string) learner {
	var b Builder
	for _, path := range paths {
		b.Slot(strings.Split(path, ".")...)
	}
	p := b.Build()
	l := learner{p.NewScanner(), p.NewScanner()}
	l.plain.Learn(false)
	return l
}

// scan says whether a sample fitted the template.
func (l learner) scan(t *testing.T, text string) bool {
	t.Helper()
	before := l.learnt.template.hits
	require.Equal(t, l.plain.Scan([]byte(text)), l.learnt.Scan([]byte(text)), text)
	assert.Equal(t, l.plain.Slots(), l.learnt.Slots(), text)
	return l.learnt.template.hits == before+1
}

func TestTemplateFits(t *testing.T) {
	tests := []struct {
		name    string
		paths   []string
		samples []string // the last one must fit, all others are learnt
	}{
		{"number", []string{"a"}, []string{`{"a":1,"b":"x"}`, `{"a":-12.5,"b":"x"}`}},
		{"constant after a number", []string{"a", "b"}, []string{`{"a":1,"b":"x"}`, `{"a":100,"b":"x"}`}},
		{"text that varies", []string{"b"}, []string{`{"b":"x","c":1}`, `{"b":"y","c":1}`, `{"b":"long text","c":1}`}},
		{"escaped text", []string{"b"}, []string{`{"b":"x"}`, `{"b":"y"}`, `{"b":"\n"}`}},
		{"empty text", []string{"b"}, []string{`{"b":"x"}`, `{"b":"y"}`, `{"b":""}`}},
		{"constant escaped text", []string{"b"}, []string{`{"a":1,"b":"\n"}`, `{"a":2,"b":"\n"}`, `{"a":33,"b":"\n"}`}},
		{"words", []string{"b"}, []string{`{"b":true}`, `{"b":false}`, `{"b":null}`}},
		{"number or null", []string{"b"}, []string{`{"b":1}`, `{"b":null}`, `{"b":2}`}},
		{"skipped ones", []string{"a"}, []string{`{"x":1,"y":"a","z":true,"a":1}`, `{"x":2,"y":"b","z":false,"a":1}`, `{"x":3.5,"y":"","z":null,"a":2}`}},
		{"container that varies inside", []string{"a", "b"}, []string{`{"b":{"x":1},"a":[1,[],{}]}`, `{"b":{"x":2},"a":[1,[],{}]}`, `{"b":{"x":333},"a":[1,[],{}]}`}},
		{"element and length", []string{"a.0", "a.length"}, []string{`{"a":[1,"x"]}`, `{"a":[2.5,"x"]}`}},
		{"blanks", []string{"a"}, []string{"{ \"a\" : 1 }\n", "{ \"a\" : 2.5 }\n"}},
		{"a number alone", nil, []string{`1`, `2`, `33`}},
		{"another member twice", []string{"a.b"}, []string{`{"a":{"b":1},"a":{"c":1}}`, `{"a":{"b":2},"a":{"c":1}}`, `{"a":{"b":3},"a":{"c":1}}`}},
		{"text whose length is asked for", []string{"a.length"}, []string{`{"a":"x"}`, `{"a":"y"}`, `{"a":"zzz"}`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLearner(test.paths...)
			for i, text := range test.samples {
				assert.Equal(t, i == len(test.samples)-1, l.scan(t, text), text)
			}
		})
	}
}

func TestTemplateDoesNotFit(t *testing.T) {
	tests := []struct{ name, learnt, text string }{
		{"another member", `{"a":1,"b":2}`, `{"a":1,"c":2}`},
		{"one more", `{"a":1,"b":2}`, `{"a":1,"b":2,"c":3}`},
		{"one less", `{"a":1,"b":2}`, `{"a":1}`},
		{"cut", `{"a":1,"b":2}`, `{"a":1,"b":`},
		{"cut before the end", `{"a":1,"b":2}`, `{"a":1,"b":3`},
		{"more after it", `{"a":1,"b":2}`, `{"a":1,"b":2}}`},
		{"text for a number", `{"a":1,"b":2}`, `{"a":"1","b":2}`},
		{"junk for a number", `{"a":1,"b":2}`, `{"a":1x,"b":2}`},
		{"number out of range", `{"a":1,"b":2}`, `{"a":1e400,"b":2}`},
		{"leading zero", `{"a":1,"b":2}`, `{"a":01,"b":2}`},
		{"container", `{"a":1,"b":2}`, `{"a":[],"b":2}`},
		{"nothing", `{"a":1,"b":2}`, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLearner("a", "b", "a.length")
			l.scan(t, test.learnt)
			assert.True(t, l.scan(t, test.learnt))
			assert.False(t, l.scan(t, test.text))
			assert.True(t, l.scan(t, test.learnt), "the template stays")
		})
	}
}

// TestTextOrNotIsTold has a path into what is a text at times: then more than
// the text's own slot depends on it.
func TestTextOrNotIsTold(t *testing.T) {
	l := newLearner("a", "a.length")
	assert.False(t, l.scan(t, `{"a":"x"}`))
	for range maxStrange {
		assert.False(t, l.scan(t, `{"a":1}`))
		assert.True(t, l.scan(t, `{"a":"x"}`))
	}
}

func TestTemplateOfAnotherFormIsLearnt(t *testing.T) {
	l := newLearner("a")
	l.scan(t, `{"a":1}`)
	for range maxStrange {
		assert.False(t, l.scan(t, `{"b":1,"a":2}`))
		assert.True(t, l.scan(t, `{"a":1}`), "now and then is not enough")
	}
	for range maxStrange + 1 {
		assert.False(t, l.scan(t, `{"b":1,"a":2}`))
	}
	assert.True(t, l.scan(t, `{"b":1,"a":2}`))
	assert.False(t, l.scan(t, `{"a":1}`))
}

func TestLearningEndsAndBeginsAnew(t *testing.T) {
	l := newLearner("a")
	for i := range patience/learnCost + 1 {
		require.Zero(t, l.learnt.template.rest)
		l.scan(t, fmt.Sprintf(`{"name%d":1,"a":2}`, i))
	}
	require.Equal(t, restFor, l.learnt.template.rest)
	assert.False(t, l.learnt.template.ready)
	for range restFor {
		l.learnt.Scan([]byte(`{"a":1}`))
	}
	assert.False(t, l.scan(t, `{"a":1}`))
	assert.True(t, l.scan(t, `{"a":1}`))
}

func TestLongSamplesAreNotLearnt(t *testing.T) {
	l := newLearner("a")
	long := `{"a":1,"b":"` + strings.Repeat("x", maxTemplate) + `"}`
	for range 2 {
		assert.False(t, l.scan(t, long))
	}
	assert.Empty(t, l.learnt.template.text)
}

func TestSamplesBetweenHitsDoNotShow(t *testing.T) {
	l := newLearner("a", "b", "c")
	steps := []struct {
		text string
		hit  bool
	}{
		{`{"a":1,"b":"x"}`, false},
		{`{"a":2,"b":"x"}`, true},
		{`{"c":3}`, false},
		{`{"a":4,"b":"x"}`, true},
		{`{"a":5,"b":`, false},
		{`{"a":6,"b":"x"}`, true},
		{`{"a":7,"b":"x","c":8}`, false},
		{`{"a":9,"b":"x"}`, true},
	}
	for _, step := range steps {
		before := l.learnt.template.hits
		valid := l.learnt.Scan([]byte(step.text))
		require.Equal(t, l.plain.Scan([]byte(step.text)), valid)
		if valid {
			assert.Equal(t, l.plain.Slots(), l.learnt.Slots(), step.text)
		}
		assert.Equal(t, step.hit, l.learnt.template.hits == before+1, step.text)
	}
}

func TestLearnOff(t *testing.T) {
	l := newLearner("a")
	l.learnt.Learn(false)
	for range 3 {
		assert.False(t, l.scan(t, `{"a":1}`))
	}
	l.learnt.Learn(true)
	assert.False(t, l.scan(t, `{"a":1}`))
	assert.True(t, l.scan(t, `{"a":1}`))
}

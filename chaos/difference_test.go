//go:build unix

package chaos

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// What the proofs compare with would find what they are there to find.
func TestDifferenceIsFound(t *testing.T) {
	want := func(texts ...string) map[string][]outcome {
		out := map[string][]outcome{}
		for i, text := range texts {
			out["a"] = append(out["a"], outcome{text: text, seq: uint64(i + 1)})
		}
		return out
	}
	tests := []struct {
		name      string
		want, got map[string][]outcome
		text      string
	}{
		{"same", want("x", "y"), want("x", "y"), ""},
		{"nothing", nil, want(), ""},
		{"missing", want("x", "y"), want("x"), "1 twins have too few, 0 too many, 0 others\na: outcome 1 of 1, want 2:\n got  nothing\n want 2: y\n then got  nothing\n then want nothing\n before    1: x"},
		{"twice", want("x", "y"), want("x", "x", "y"), "0 twins have too few, 1 too many, 0 others\na: outcome 1 of 3, want 2:\n got  2: x\n want 2: y\n then got  3: y\n then want nothing\n before    1: x"},
		{"order", want("x", "y"), want("y", "x"), "0 twins have too few, 0 too many, 1 others\na: outcome 0 of 2, want 2:\n got  1: y\n want 1: x\n then got  2: x\n then want 2: y\n before    nothing"},
		{"another twin", nil, want("x"), "0 twins have too few, 1 too many, 0 others\na: outcome 0 of 1, want 0:\n got  1: x\n want nothing\n then got  nothing\n then want nothing\n before    nothing"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.text, difference(tt.want, tt.got), tt.name)
	}
}

func TestOutcomesAreComparedByteForByte(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{
			"an output without its twin", `{"kind":"output","interaction":"i","rule":"r","twin":"did:x","feed":"f","data":{"a":"}"},"cause":{"seq":8,"index":2}}` + "\n",
			`{"kind":"output","interaction":"i","rule":"r","feed":"f","data":{"a":"}"}}`,
		},
		{
			"an alert with it", `{"kind":"alert","interaction":"i","rule":"r","twin":"m","id":"al_x","data":{},"cause":{"seq":8}}`,
			`{"kind":"alert","interaction":"i","rule":"r","twin":"m","id":"al_x","data":{}}`,
		},
		{
			"data that looks like a cause", `{"kind":"alert","twin":"m","data":{"b":1,"cause":{"seq":1}},"cause":{"seq":8}}`,
			`{"kind":"alert","twin":"m","data":{"b":1,"cause":{"seq":1}}}`,
		},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, string(compared([]byte(tt.line))), tt.name)
	}
}

package words_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/rules/words"
)

func TestCount(t *testing.T) {
	for n, want := range map[int]string{
		0: "0 samples", 1: "1 sample", 2: "2 samples", 999: "999 samples", 1000: "1,000 samples", 1234567: "1,234,567 samples", -1: "-1 samples", -100000: "-100,000 samples",
	} {
		assert.Equal(t, want, words.Count(n, "sample"))
	}
}

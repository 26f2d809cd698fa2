package twins

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// slowEdits is edits by its definition.
func slowEdits(a, b []rune) int {
	switch {
	case len(a) == 0:
		return len(b)
	case len(b) == 0:
		return len(a)
	case a[0] == b[0]:
		return slowEdits(a[1:], b[1:])
	}
	n := 1 + min(slowEdits(a[1:], b), slowEdits(a, b[1:]), slowEdits(a[1:], b[1:]))
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		n = min(n, 1+slowEdits(a[2:], b[2:]))
	}
	return n
}

func TestEditsAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	word := func() []rune {
		w := make([]rune, r.IntN(7))
		for i := range w {
			w[i] = rune('a' + r.IntN(3))
		}
		return w
	}
	for range 5000 {
		a, b, enough := word(), word(), 1+r.IntN(5)
		require.Equal(t, min(slowEdits(a, b), enough), edits(a, b, enough), "%s %s %d", string(a), string(b), enough)
	}
}

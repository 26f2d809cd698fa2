package strictjson_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/internal/strictjson"
)

// TestLines holds lines and columns to counting from the beginning.
func TestLines(t *testing.T) {
	text := []byte(strings.Repeat("añ\n"+strings.Repeat("日本語 ", 2000)+"\r\n", 4))
	lines := strictjson.NewLines(text)
	for offset := 0; offset <= len(text); offset++ {
		if offset < len(text) && !utf8.RuneStart(text[offset]) {
			continue
		}
		before := text[:offset]
		line, col := lines.LineCol(offset)
		if bytes.Count(before, []byte("\n"))+1 != line || utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])+1 != col {
			t.Fatalf("offset %d: got %d:%d", offset, line, col)
		}
	}
	assert.Equal(t, "añ", string(lines.Line(2)))
}

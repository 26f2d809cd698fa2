package scan_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
)

// grower makes documents and spoils them.
type grower struct {
	*rand.Rand
	out []byte
}

func newGrower(seed uint64) *grower { return &grower{Rand: rand.New(rand.NewPCG(seed, 1))} }

var (
	names = []string{
		`"a"`, `"b"`, `"c"`, `"a"`, `"b"`, `"c"`, `"list"`, `"list"`, `"0"`, `"1"`, `"2"`, `"01"`, `"length"`, `"é"`, `"temperature"`,
		`"motor"`, `"rpm"`, `"status"`, `""`, `"\u0061"`, `"\u00e9"`, "\"\xff\"", `"\ud800"`, `"a.b"`, `"\ud83d\ude00"`, `"\n"`, `"zone"`,
		`"a name of some length"`, `"list\/"`,
	}
	scalars = []string{
		`true`, `false`, `null`, `true`, `false`, `null`, `0`, `-0`, `1`, `-1`, `31.25`, `1480`, `87.1`, `0.1`, `1e2`, `-1E+2`, `1e-2`,
		`12345678`, `123456789`, `1234567.5`, `0.1234567`, `9007199254740993`, `18446744073709551616`, `1e22`, `1e23`, `1.7976931348623157e308`,
		`5e-324`, `1e-400`, `123456789012345678901234567890123456789`, `0.000000000000000000000000000000000001`, `1764000000000`,
		`""`, `"a"`, `"active"`, `"idle"`, `"2026-11-22T10:00:00.5Z"`, `"1234567"`, `"12345678"`, `"é"`, "\"\xff\"", `"\\"`, `"\""`, `"\u0041"`,
		`"\ud83d\ude00"`, `"\ud800"`, `"\udc00\ud800"`, `"a\nb"`, `"temperature"`, `"\/"`, "\"\u2028\"", "\"\x7f\"",
	}
	blanks = []string{"", "", "", "", "", "", " ", " ", "\n", "\t", "\r\n", "   "}
	spoils = []string{
		`{`, `}`, `[`, `]`, `,`, `:`, `"`, `\`, `\u`, `\ud83d`, `-`, `+`, `.`, `e`, `E`, `0`, `00`, `1e400`, `-1e309`, `1e`, `1.`, `.5`, `01`,
		`1.7976931348623159e308`, `tru`, `nul`, `nan`, "\x00", "\x1f", "\x80", "\xff", "\xed\xa0\x80", " ", "\n", "\v", "\u00a0", "\ufeff",
		`"a"`, `"a":1,`, `,"a":2`, `{"b":1}`, `[1,2]`, `/**/`, `'a'`,
	}
)

func (g *grower) pick(from []string) string { return from[g.IntN(len(from))] }

func (g *grower) add(parts ...string) {
	for _, p := range parts {
		g.out = append(g.out, p...)
	}
}

// document makes a valid document, a large one now and then.
func (g *grower) document() []byte {
	g.out = nil
	depth := 1 + g.IntN(3)
	if g.IntN(50) == 0 {
		depth = 5
	}
	g.value(depth)
	return g.out
}

func (g *grower) value(depth int) {
	g.add(g.pick(blanks))
	switch roll := g.IntN(10); {
	case depth == 0 || roll < 2:
		g.add(g.scalar())
	case roll < 7:
		g.items("{", "}", func() {
			g.add(g.pick(blanks), g.pick(names), g.pick(blanks), ":")
			g.value(depth - 1)
		})
	default:
		g.items("[", "]", func() { g.value(depth - 1) })
	}
	g.add(g.pick(blanks))
}

func (g *grower) items(open, closing string, item func()) {
	g.add(open)
	for i := range g.IntN(6) {
		if i > 0 {
			g.add(",")
		}
		item()
	}
	if g.out[len(g.out)-1] == open[0] {
		g.add(g.pick(blanks))
	}
	g.add(closing)
}

func (g *grower) scalar() string {
	switch g.IntN(6) {
	case 0:
		return strconv.FormatFloat(g.NormFloat64()*1000, 'f', g.IntN(6), 64)
	case 1:
		return strconv.FormatFloat(g.NormFloat64()*g.ExpFloat64(), 'g', -1, 64)
	case 2:
		return strconv.FormatInt(g.Int64N(1<<g.IntN(62)+1), 10)
	}
	return g.pick(scalars)
}

// vary changes the scalars of a valid document, each with the given probability.
func (g *grower) vary(text []byte, probability float64) []byte {
	g.out = make([]byte, 0, 2*len(text))
	for len(text) > 0 {
		n := tokenLength(text)
		token, rest := text[:n], text[n:]
		text = rest
		after := bytes.TrimLeft(rest, " \t\r\n")
		isName := len(after) > 0 && after[0] == ':'
		if isName || bytes.IndexByte([]byte("{}[]:, \t\r\n"), token[0]) >= 0 || g.Float64() >= probability {
			g.out = append(g.out, token...)
			continue
		}
		g.add(g.scalar())
	}
	return g.out
}

// tokenLength gives the length of the token, or of the blank, at the start of a
// valid document.
func tokenLength(text []byte) int {
	if text[0] != '"' {
		i := bytes.IndexAny(text, "{}[]:, \t\r\n")
		if i < 0 {
			return len(text)
		}
		return max(1, i)
	}
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// spoil changes a document so that it may not be valid any more.
func (g *grower) spoil(text []byte) []byte {
	g.out = append([]byte(nil), text...)
	for range 1 + g.IntN(2) {
		i := g.IntN(len(g.out) + 1)
		j := min(len(g.out), i+g.IntN(3))
		rest := append([]byte(nil), g.out[j:]...)
		switch g.IntN(8) {
		case 0, 1: // leave out
			g.out = append(g.out[:i], rest...)
		case 2: // cut
			g.out = g.out[:i]
		case 3: // some byte instead
			g.out = append(append(g.out[:i], byte(g.IntN(256))), rest...)
		case 4: // repeat
			again := append([]byte(nil), g.out[max(0, i-g.IntN(20)):j]...)
			g.out = append(append(g.out[:j], again...), rest...)
		default:
			g.out = append(append(g.out[:i], g.pick(spoils)...), rest...)
		}
	}
	return g.out
}

package twins

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tocsin.internal/rules"
)

// Match says whether a twin is among those that a filter asks for. It must have
// every property exactly, at least one of the text's keywords in an rdfs:label
// or rdfs:comment, and lie in the circle, distances taken along the great
// circle; a twin without a location lies nowhere. An empty part asks for
// nothing.
//
// Words are runs of letters, digits and the marks on them, and are compared
// whole and without regard to case. Keywords are what white space separates in
// the text; one of several words, such as machine_1, stands for them in
// sequence, so that it is in "Machine 1 (north)" but not in "machine_12".
func Match(f *rules.Filter, t *Twin) bool {
	m := newMatcher(f)
	_, ok := m.match(t)
	return ok
}

// matcher is a filter made ready for many twins.
type matcher struct {
	filter   *rules.Filter
	keywords []keyword
}

// keyword is a sequence of words.
type keyword []string

func newMatcher(f *rules.Filter) matcher {
	m := matcher{filter: f}
	for field := range strings.FieldsSeq(f.Text) {
		var k keyword
		for word, rest := nextWord(field); word != ""; word, rest = nextWord(rest) {
			k = append(k, word)
		}
		if k != nil && !slices.ContainsFunc(m.keywords, k.equal) {
			m.keywords = append(m.keywords, k)
		}
	}
	return m
}

func (k keyword) equal(o keyword) bool { return slices.EqualFunc(k, o, strings.EqualFold) }

// in says whether the words of the keyword follow each other in text.
func (k keyword) in(text string) bool {
	for first, rest := nextWord(text); first != ""; first, rest = nextWord(rest) {
		if !strings.EqualFold(first, k[0]) {
			continue
		}
		i, after := 1, rest
		for i < len(k) {
			var word string
			if word, after = nextWord(after); !strings.EqualFold(word, k[i]) {
				break
			}
			i++
		}
		if i == len(k) {
			return true
		}
	}
	return false
}

// nextWord is the first word of text and what follows it; "" when there is none.
func nextWord(text string) (word, rest string) {
	start := strings.IndexFunc(text, inWord)
	if start < 0 {
		return "", ""
	}
	text = text[start:]
	end := strings.IndexFunc(text, func(c rune) bool { return !inWord(c) })
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

func inWord(c rune) bool {
	if c < utf8.RuneSelf {
		return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	return unicode.IsLetter(c) || unicode.IsDigit(c) || unicode.IsMark(c)
}

// match says whether the twin matches and how many of the keywords it has.
func (m *matcher) match(t *Twin) (score int, ok bool) {
	for _, p := range m.filter.Properties {
		if !slices.Contains(t.Properties, p) {
			return 0, false
		}
	}
	if c := m.filter.Location; c != nil && (t.Location == nil || distanceKm(c.Location, *t.Location) > c.RadiusKm) {
		return 0, false
	}
	if m.filter.Text == "" {
		return 0, true
	}
	for _, k := range m.keywords {
		if slices.ContainsFunc(t.Properties, func(p rules.Property) bool {
			return (p.Key == rules.PropLabel || p.Key == rules.PropComment) && k.in(p.Value.Value)
		}) {
			score++
		}
	}
	return score, score > 0
}

// earthRadiusKm is the mean radius of the WGS 84 ellipsoid.
const earthRadiusKm = 6371.0088

// distanceKm is the length of the great circle between two places, by the haversine formula.
func distanceKm(a, b rules.Location) float64 {
	const rad = math.Pi / 180
	dLat, dLon := math.Sin((b.Lat-a.Lat)*rad/2), math.Sin((b.Lon-a.Lon)*rad/2)
	h := dLat*dLat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*dLon*dLon
	return 2 * earthRadiusKm * math.Asin(math.Sqrt(min(h, 1)))
}

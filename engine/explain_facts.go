package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

// sampleFacts is what is known of a twin's samples beside how they were judged:
// which fields they have, and which texts.
type sampleFacts struct {
	n           int
	first, last time.Time
	fields      map[string]int            // by name: how many samples have it
	texts       map[string]map[string]int // by path: how often each text was seen
}

// maxTexts is how many texts of a field are told apart.
const maxTexts = 1000

func (f *sampleFacts) note(s *rules.Sample) {
	if f.fields == nil {
		f.fields, f.texts = map[string]int{}, map[string]map[string]int{}
	}
	var data map[string]any
	if json.Unmarshal(s.Data, &data) != nil {
		return
	}
	f.n++
	if f.first.IsZero() || s.At.Before(f.first) {
		f.first = s.At
	}
	if s.At.After(f.last) {
		f.last = s.At
	}
	f.object("", data, 0)
}

func (f *sampleFacts) object(prefix string, data map[string]any, depth int) {
	for name, v := range data {
		path := prefix + name
		if _, known := f.fields[path]; v == nil || !known && len(f.fields) >= maxTexts {
			continue
		}
		f.fields[path]++
		switch v := v.(type) {
		case string:
			f.text(path, v)
		case map[string]any:
			if depth < 8 {
				f.object(path+".", v, depth+1)
			}
		}
	}
}

func (f *sampleFacts) text(path, text string) {
	seen := f.texts[path]
	if seen == nil {
		seen = map[string]int{}
		f.texts[path] = seen
	}
	if _, known := seen[text]; known || len(seen) < maxTexts {
		seen[text]++
	}
}

// cadence is the mean time between two samples.
func (f *sampleFacts) cadence() time.Duration {
	if f.n < 2 {
		return 0
	}
	return f.last.Sub(f.first) / time.Duration(f.n-1)
}

// notes say what of the rule can hardly come true with such samples.
func (f *sampleFacts) notes(x *rules.Explainer) []string {
	var out []string
	for _, path := range x.Fields() {
		has := f.fields[path]
		if has == f.n || strings.Contains(path, "[") {
			continue
		}
		if _, indexed := strconv.Atoi(path[strings.LastIndexByte(path, '.')+1:]); indexed == nil {
			continue
		}
		out = append(out, fmt.Sprintf("field %q absent in %s of %s samples, fields seen: %s%s", path, words.Number(f.n-has), words.Number(f.n),
			strings.Join(f.names(), ", "), strictjson.DidYouMean(path, f.others(path))))
	}
	texts := x.Texts()
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		out = append(out, f.unseen(path, texts[path])...)
	}
	return out
}

// names are the fields that samples have, the most frequent first.
func (f *sampleFacts) names() []string {
	names := slices.Collect(maps.Keys(f.fields))
	slices.SortFunc(names, func(a, b string) int {
		if d := f.fields[b] - f.fields[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	if len(names) == 0 {
		return []string{"none"}
	}
	if len(names) > 12 {
		return append(names[:12], "…")
	}
	return names
}

// others are the fields seen but for one.
func (f *sampleFacts) others(path string) []string {
	return slices.DeleteFunc(slices.Collect(maps.Keys(f.fields)), func(name string) bool { return name == path })
}

// unseen says that none of the wanted texts was ever seen, and what was.
func (f *sampleFacts) unseen(path string, wanted []string) []string {
	seen := f.texts[path]
	if len(seen) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return seen[w] > 0 }) {
		return nil
	}
	values := slices.Collect(maps.Keys(seen))
	slices.SortFunc(values, func(a, b string) int {
		if d := seen[b] - seen[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	hint := ""
	for _, w := range wanted {
		for _, v := range values {
			if hint == "" && strings.EqualFold(v, w) {
				hint = fmt.Sprintf("; did you mean %q?", v)
			}
		}
	}
	var shown []string
	for _, v := range values[:min(len(values), 8)] {
		shown = append(shown, fmt.Sprintf("%s (%s)", quote(v), words.Number(seen[v])))
	}
	if len(values) > 8 {
		shown = append(shown, "…")
	}
	quoted := make([]string, 0, len(wanted))
	for _, w := range wanted[:min(len(wanted), 8)] {
		quoted = append(quoted, quote(w))
	}
	return []string{fmt.Sprintf("%q was never %s; values seen: %s%s", path, strings.Join(quoted, " or "), strings.Join(shown, ", "), hint)}
}

// quote quotes a text that came with a sample, which may be long.
func quote(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return strconv.Quote(s)
}

// Package importer is what the importers of other systems' rules have in common:
// the documents that they write, and the report of what has a counterpart here
// and what has none.
package importer

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Result is what an import gives.
type Result struct {
	Documents []Document
	Findings  []Finding
}

// Document is one interaction, formatted for people.
type Document struct {
	ID   string
	Text []byte
}

// Verdict says how well something was taken over.
type Verdict uint8

// The verdicts.
const (
	Exact       Verdict = iota // it means the same here
	Approximate                // it means nearly the same; the finding says how it differs
	Lost                       // it was not taken over; the finding says what to do
)

// Finding says what has become of one part of the original.
type Finding struct {
	Verdict Verdict
	Where   error // file:line:col: /pointer: what; how it differs, or what to do
}

// Options are what the original does not say.
type Options struct {
	Model string // the model whose twins the rules are about; "" for a name made from the original's
	Feed  string // ThingsBoard: the feed that carries the telemetry; "" for "telemetry"
}

// Exactly notes a part that means the same here.
func (r *Result) Exactly(at strictjson.Place, format string, args ...any) {
	r.note(Exact, at, format, args...)
}

// Nearly notes a part that means nearly the same.
func (r *Result) Nearly(at strictjson.Place, format string, args ...any) {
	r.note(Approximate, at, format, args...)
}

// Not notes a part that was not taken over.
func (r *Result) Not(at strictjson.Place, format string, args ...any) {
	r.note(Lost, at, format, args...)
}

func (r *Result) note(v Verdict, at strictjson.Place, format string, args ...any) {
	f := Finding{v, at.Errorf(format, args...)}
	same := func(other Finding) bool { return other.Verdict == v && other.Where.Error() == f.Where.Error() }
	if !slices.ContainsFunc(r.Findings, same) {
		r.Findings = append(r.Findings, f)
	}
}

// Of are the findings with a verdict, in the order of their places.
func (r *Result) Of(v Verdict) []error {
	var out []error
	for _, f := range r.Findings {
		if f.Verdict == v {
			out = append(out, f.Where)
		}
	}
	joined := strictjson.Join(out...)
	if all, ok := joined.(strictjson.Errors); ok { //nolint:errorlint // Join gives it as it is
		out = out[:0]
		for _, e := range all {
			out = append(out, e)
		}
	}
	return out
}

// Add formats an interaction and checks it by the decoder. What the decoder
// refuses is a fault of the importer; it is noted as lost at the original's place.
func (r *Result) Add(at strictjson.Place, id string, doc Object) {
	for i := 2; slices.ContainsFunc(r.Documents, func(d Document) bool { return d.ID == id }); i++ {
		id = fmt.Sprintf("%s-%d", strings.TrimSuffix(id, fmt.Sprintf("-%d", i-1)), i)
	}
	text := Format(append(Object{{"id", id}}, doc...))
	if _, err := rules.Load(id+".json", text); err != nil {
		r.Not(at, "%q has no form that is valid here: %v", id, err)
		return
	}
	r.Documents = append(r.Documents, Document{id, text})
}

// Slug is a name as an id: "High Temperature" and "highTemperature" are
// high-temperature.
func Slug(name string) string {
	var b strings.Builder
	before := '-'
	for _, c := range name {
		switch {
		case unicode.IsUpper(c) && (unicode.IsLower(before) || unicode.IsDigit(before)):
			b.WriteByte('-')
			b.WriteRune(unicode.ToLower(c))
		case unicode.IsLetter(c) || unicode.IsDigit(c):
			b.WriteRune(unicode.ToLower(c))
		case b.Len() > 0 && before != '-':
			b.WriteByte('-')
			c = '-'
		default:
			continue
		}
		before = c
	}
	if slug := strings.Trim(b.String(), "-"); slug != "" {
		return slug
	}
	return "imported"
}

// NameOf is a name made of a file's.
func NameOf(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// Unique is the id, or the id with a number behind it when it is taken.
func Unique(id string, taken map[string]bool) string {
	out := id
	for i := 2; taken[out]; i++ {
		out = fmt.Sprintf("%s-%d", id, i)
	}
	taken[out] = true
	return out
}

package lint

import (
	"embed"
	"path"
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
)

//go:embed pages/*.md
var pages embed.FS

// Page explains a code: what it says, why it matters, how to mend it, and a
// document before and after.
type Page struct {
	Code  string
	Level Level
	Title string
	Text  string // Markdown
}

// PageOf is the page of a code, in either case; not ok when there is no such code.
func PageOf(code string) (Page, bool) {
	code = strings.ToUpper(code)
	text, err := pages.ReadFile("pages/" + code + ".md")
	if err != nil {
		return Page{}, false
	}
	first, _, _ := strings.Cut(string(text), "\n")
	title := strings.TrimPrefix(first, "# "+code+": ")
	return Page{Code: code, Level: levelOf(strictjson.Code(code)), Title: title, Text: string(text)}, true
}

// Codes are all codes, sorted: errors, notes, warnings.
func Codes() []string {
	entries, err := pages.ReadDir("pages")
	if err != nil {
		return nil // it is embedded
	}
	var codes []string
	for _, e := range entries {
		codes = append(codes, strings.TrimSuffix(path.Base(e.Name()), ".md"))
	}
	slices.Sort(codes)
	return codes
}

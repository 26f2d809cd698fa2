// Package schema holds the JSON Schemas (2020-12) of the documents that people
// write and read, for editors to complete and check. What decides is the decoder
// of each document; tests hold the two together. A schema cannot say all that a
// decoder does: that a sourceId names a source of the document, for example.
package schema

import (
	"embed"
	"slices"
)

//go:embed *.schema.json
var files embed.FS

// Document is a kind of document that has a schema.
type Document struct {
	Name string // as `engine schema` takes it
	What string // for people, a line
	File string // how such files are called, for an editor's fileMatch; "" for none
}

// Documents are the kinds, in the order in which people meet them.
func Documents() []Document {
	return []Document{
		{"interaction", "an interaction: sources and rules", "interaction.json"},
		{"tests", "the tests of a folder of rules", "tests.json"},
		{"twins", "a file of twins", "twins.json"},
		{"config", "the configuration of the engine", "engine.json"},
		{"outcome", "an outcome, a line of engine replay", ""},
	}
}

// Text is the schema of a kind of document; false when there is no such kind.
func Text(name string) ([]byte, bool) {
	if !slices.ContainsFunc(Documents(), func(d Document) bool { return d.Name == name }) {
		return nil, false
	}
	text, err := files.ReadFile(name + ".schema.json")
	return text, err == nil
}

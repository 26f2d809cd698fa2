package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// table is how the documents of an answer are listed for people.
type table[T any] struct {
	none   string // what is said in its place where there are no documents, if anything
	header string
	row    func(io.Writer, *T)
}

// print writes documents as a table, or, for programs, as they are, one a line.
func (t table[T]) print(out io.Writer, asJSON bool, documents []json.RawMessage) error {
	if asJSON {
		return printLines(out, documents)
	}
	if len(documents) == 0 && t.none != "" {
		_, err := fmt.Fprintln(out, t.none)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, t.header)
	for _, doc := range documents {
		var of T
		if err := json.Unmarshal(doc, &of); err != nil {
			return exit{exitNo, err}
		}
		t.row(w, &of)
	}
	return w.Flush()
}

// printLines writes documents as they are, one a line.
func printLines(out io.Writer, documents []json.RawMessage) error {
	for _, doc := range documents {
		if _, err := fmt.Fprintf(out, "%s\n", doc); err != nil {
			return err
		}
	}
	return nil
}

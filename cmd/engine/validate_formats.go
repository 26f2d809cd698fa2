package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/lint"
)

// validateFormats are how problems can be written.
var validateFormats = map[string]func(io.Writer, *validation) error{
	"human":   writeHuman,
	"compact": writeCompact,
	"json":    writeJSON,
	"github":  writeGitHub,
	"sarif":   writeSARIF,
}

// writeCompact writes a line for each problem and each file.
func writeCompact(w io.Writer, v *validation) error {
	b := bufio.NewWriter(w)
	for _, f := range v.files {
		for i := range f.diagnostics {
			d := &f.diagnostics[i]
			if d.Level == lint.Note {
				continue
			}
			prefix := ""
			if d.Level == lint.Warning {
				prefix = "warning: "
			}
			fmt.Fprintln(b, prefix+visibleText(d.String()))
		}
		fmt.Fprintln(b, f.line())
	}
	return b.Flush()
}

// all are the problems of all files.
func (v *validation) all() []lint.Diagnostic {
	all := []lint.Diagnostic{}
	for _, f := range v.files {
		all = append(all, f.diagnostics...)
	}
	return all
}

// writeJSON writes one object with everything.
func writeJSON(w io.Writer, v *validation) error {
	type file struct {
		File    string `json:"file"`
		Kind    string `json:"kind,omitempty"`
		OK      bool   `json:"ok"`
		Summary string `json:"summary,omitempty"`
	}
	out := struct {
		Errors      int               `json:"errors"`
		Warnings    int               `json:"warnings"`
		Notes       int               `json:"notes"`
		Files       []file            `json:"files"`
		Diagnostics []lint.Diagnostic `json:"diagnostics"`
	}{v.count(lint.Error), v.count(lint.Warning), v.count(lint.Note), []file{}, v.all()}
	for _, f := range v.files {
		out.Files = append(out.Files, file{f.name, f.kind, lint.Count(f.diagnostics, lint.Error) == 0, f.summary})
	}
	return writeIndented(w, out)
}

func writeIndented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// What workflow commands want escaped: data, and the values of properties.
var (
	gitHubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	gitHubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// writeGitHub writes workflow commands, which GitHub shows at the changed lines.
func writeGitHub(w io.Writer, v *validation) error {
	commands := map[lint.Level]string{lint.Error: "error", lint.Warning: "warning", lint.Note: "notice"}
	b := bufio.NewWriter(w)
	for _, d := range v.all() {
		place := fmt.Sprintf("line=%d,col=%d,endLine=%d", d.Line, d.Col, d.EndLine)
		if d.EndLine == d.Line {
			place += fmt.Sprintf(",endColumn=%d", d.EndCol)
		}
		fmt.Fprintf(b, "::%s file=%s,%s,title=%s::%s\n", commands[d.Level], gitHubProperty.Replace(filepath.ToSlash(d.File)), place,
			gitHubProperty.Replace(string(d.Code)), gitHubData.Replace(joinedText(d.Message, d.Help)))
	}
	return b.Flush()
}

// The parts of SARIF 2.1.0 that are written.
type (
	sarifText struct {
		Text string `json:"text"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifReplacement struct {
		Deleted  sarifRegion `json:"deletedRegion"`
		Inserted sarifText   `json:"insertedContent"`
	}
	sarifChange struct {
		Artifact     sarifArtifact      `json:"artifactLocation"`
		Replacements []sarifReplacement `json:"replacements"`
	}
	sarifFix struct {
		Description sarifText     `json:"description"`
		Changes     []sarifChange `json:"artifactChanges"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     lint.Level      `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
		Fixes     []sarifFix      `json:"fixes,omitempty"`
	}
	sarifLevel struct {
		Level lint.Level `json:"level"`
	}
	sarifRule struct {
		ID            string     `json:"id"`
		Short         sarifText  `json:"shortDescription"`
		Help          sarifText  `json:"help"`
		Configuration sarifLevel `json:"defaultConfiguration"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
)

// writeSARIF writes a log of the Static Analysis Results Interchange Format.
func writeSARIF(w io.Writer, v *validation) error {
	texts := map[string]*lint.Document{}
	for _, f := range v.files {
		texts[f.name] = f.doc
	}
	all := v.all()
	codes := map[strictjson.Code]int{}
	for _, d := range all {
		codes[d.Code] = 0
	}
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "Tocsin", Version: version, Rules: []sarifRule{}}
	for i, code := range slices.Sorted(maps.Keys(codes)) {
		codes[code] = i
		page, _ := lint.PageOf(string(code))
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{string(code), sarifText{page.Title}, sarifText{page.Text}, sarifLevel{page.Level}})
	}
	for _, d := range all {
		r := sarifResult{RuleID: string(d.Code), RuleIndex: codes[d.Code], Level: d.Level, Message: sarifText{joinedText(d.Message, d.Help)}}
		at := sarifLocation{Physical: sarifPhysical{sarifArtifact{sarifURI(d.File)}, sarifRegion{d.Line, d.Col, d.EndLine, d.EndCol}}}
		if d.Pointer != "" {
			at.Logical = []sarifLogical{{d.Pointer, "member"}}
		}
		r.Locations = []sarifLocation{at}
		if doc := texts[d.File]; d.Fix != nil && doc != nil {
			deleted := sarifRegion{}
			deleted.StartLine, deleted.StartColumn = doc.LineCol(d.Fix.Offset)
			deleted.EndLine, deleted.EndColumn = doc.LineCol(d.Fix.Offset + d.Fix.Len)
			r.Fixes = []sarifFix{{sarifText{d.Help}, []sarifChange{{at.Physical.Artifact, []sarifReplacement{{deleted, sarifText{d.Fix.Text}}}}}}}
		}
		run.Results = append(run.Results, r)
	}
	return writeIndented(w, sarifLog{"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "2.1.0", []sarifRun{run}})
}

// sarifURI is a file's name as a URI, relative where the name is.
func sarifURI(name string) string {
	u := url.URL{Path: filepath.ToSlash(name)}
	if filepath.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}

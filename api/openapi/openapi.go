// Package openapi describes the whole HTTP API as a document of OpenAPI 3.1. Each
// room has a fragment with its paths and schemas.
package openapi

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed *.json
var fragments embed.FS

// fragment is a part of the document.
type fragment struct {
	OpenAPI    string                               `json:"openapi,omitempty"`
	Info       map[string]any                       `json:"info,omitempty"`
	Servers    []any                                `json:"servers,omitempty"`
	Security   []any                                `json:"security,omitempty"`
	Tags       []any                                `json:"tags,omitempty"`
	Paths      map[string]map[string]map[string]any `json:"paths"`
	Components map[string]map[string]any            `json:"components"`
}

// Document is the whole of it, of a server of that version.
func Document(version string) ([]byte, error) {
	whole := fragment{Paths: map[string]map[string]map[string]any{}, Components: map[string]map[string]any{}}
	names, err := fragments.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := whole.add(name.Name()); err != nil {
			return nil, fmt.Errorf("%s: %w", name.Name(), err)
		}
	}
	whole.Info["version"] = version
	whole.atHosts()
	return json.MarshalIndent(whole, "", "  ")
}

// add brings in a fragment. What two of them name is a mistake.
func (f *fragment) add(name string) error {
	text, err := fragments.ReadFile(name)
	if err != nil {
		return err
	}
	part := fragment{}
	if err := json.Unmarshal(text, &part); err != nil {
		return err
	}
	if part.OpenAPI != "" {
		f.OpenAPI, f.Info, f.Servers, f.Security = part.OpenAPI, part.Info, part.Servers, part.Security
	}
	f.Tags = append(f.Tags, part.Tags...)
	for p, operations := range part.Paths {
		if f.Paths[p] != nil {
			return fmt.Errorf("path %s is there already", p)
		}
		f.Paths[p] = operations
	}
	for kind, all := range part.Components {
		if f.Components[kind] == nil {
			f.Components[kind] = map[string]any{}
		}
		for name, c := range all {
			if f.Components[kind][name] != nil {
				return fmt.Errorf("%s %s is there already", kind, name)
			}
			f.Components[kind][name] = c
		}
	}
	return nil
}

// Paths of the IOTICS API can name the host of the twin, and that of the twin
// which is followed.
const (
	twinsRoot    = "/qapi/twins"
	hostsRoot    = "/qapi/hosts/{host}/twins"
	followed     = "/interests/twins/{followed}"
	followedHost = "/interests/hosts/{followedHost}/twins/{followed}"
)

// atHosts adds the paths with hosts.
func (f *fragment) atHosts() {
	for _, p := range slices.Sorted(maps.Keys(f.Paths)) {
		rest, ok := strings.CutPrefix(p, twinsRoot)
		if !ok {
			continue
		}
		f.variant(p, hostsRoot+rest, "AtHost", "host")
		if strings.Contains(rest, followed) {
			rest = strings.Replace(rest, followed, followedHost, 1)
			f.variant(p, twinsRoot+rest, "OfHost", "followedHost")
			f.variant(p, hostsRoot+rest, "AtHostOfHost", "host", "followedHost")
		}
	}
}

// variant adds a path that has further parameters.
func (f *fragment) variant(of, p, suffix string, parameters ...string) {
	f.Paths[p] = map[string]map[string]any{}
	for method, operation := range f.Paths[of] {
		o := maps.Clone(operation)
		o["operationId"] = fmt.Sprint(o["operationId"], suffix)
		all, _ := o["parameters"].([]any)
		all = slices.Clone(all)
		for _, name := range parameters {
			all = append(all, map[string]any{
				"name": name, "in": "path", "required": true, "description": "Id of the host; others are not reached from here.", "schema": map[string]any{"type": "string"},
			})
		}
		o["parameters"] = all
		f.Paths[p][method] = o
	}
}

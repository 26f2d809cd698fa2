// Package secret holds passwords and tokens of configurations.
package secret

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tocsin.internal/internal/strictjson"
)

// Text is a string of a document that errors do not show.
type Text string

// DecodeStrict implements strictjson.Decoder.
func (s *Text) DecodeStrict(raw strictjson.Raw) error {
	if raw.Kind() != strictjson.String {
		return raw.At.Errorf("got %s; want a string", raw.Kind())
	}
	*s = Text(raw.Str())
	return nil
}

// Read is what a file holds, without blanks around it. A relative name is looked
// for beside the service's other credentials ($CREDENTIALS_DIRECTORY) first.
func Read(name string) (string, error) {
	b, err := os.ReadFile(place(name))
	return strings.TrimSpace(string(b)), err
}

// ReadHeader is Read for what is to stand in a header: one line of text.
func ReadHeader(name string) (string, error) {
	text, err := Read(name)
	if err == nil && (text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })) {
		return "", fmt.Errorf("file %s: want one line of text", name)
	}
	return text, err
}

func place(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || filepath.IsAbs(name) {
		return name
	}
	if in := filepath.Join(dir, name); exists(in) {
		return in
	}
	return name
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

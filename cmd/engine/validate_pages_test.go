package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/lint"
)

// withoutExample are the codes of what no page can show: bytes, files and folders.
var withoutExample = []string{"E0003", "E0004", "E0005", "E0006", "E0007", "W0499"}

var fenced = regexp.MustCompile("(?s)```json( twins)?\n(.*?)```")

// checkTexts validates documents as files of one folder and gives their codes.
func checkTexts(t *testing.T, twins string, docs ...string) []string {
	t.Helper()
	dir := t.TempDir()
	if twins != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "twins.json"), []byte(twins), 0o600))
	}
	var names []string
	for i, doc := range docs {
		name := filepath.Join(dir, []string{"plant.json", "other.json"}[i])
		require.NoError(t, os.WriteFile(name, []byte(doc), 0o600))
		names = append(names, name)
	}
	v := newValidation(validateFlags{})
	v.gather(names)
	v.learn()
	v.check()
	var codes []string
	for _, d := range v.all() {
		codes = append(codes, string(d.Code))
	}
	return codes
}

// TestPages holds that what a page shows before gives its code, and nothing else
// that is wrong, and what it shows after gives nothing.
func TestPages(t *testing.T) {
	for _, code := range lint.Codes() {
		t.Run(code, func(t *testing.T) {
			page, ok := lint.PageOf(strings.ToLower(code))
			require.True(t, ok)
			require.True(t, strings.HasPrefix(page.Text, "# "+code+": "+page.Title+"\n"))
			before, after, found := strings.Cut(page.Text, "\nAfter:\n")
			if !found {
				assert.Contains(t, withoutExample, code)
				return
			}
			twins := ""
			texts := func(from string) (docs []string) {
				for _, m := range fenced.FindAllStringSubmatch(from, -1) {
					if m[1] != "" {
						twins = m[2]
					} else {
						docs = append(docs, m[2])
					}
				}
				return docs
			}
			docs := texts(before)
			got := checkTexts(t, twins, docs...)
			assert.Contains(t, got, code)
			assert.Empty(t, unlike(code, got), "and nothing worse")
			assert.Empty(t, unlike("", checkTexts(t, twins, texts(after)...)))
		})
	}
}

// unlike are the codes that are neither the one nor a note.
func unlike(code string, got []string) []string {
	return slices.DeleteFunc(got, func(c string) bool { return c == code || c[0] == 'I' })
}

// TestEveryCodeHasAPage finds the codes in the source.
func TestEveryCodeHasAPage(t *testing.T) {
	constant := regexp.MustCompile(`strictjson\.Code\s*= "([EWI]\d{4})"|\bCode\s*= "([EWI]\d{4})"`)
	seen := map[string]string{}
	require.NoError(t, filepath.WalkDir("../..", func(name string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range constant.FindAllStringSubmatch(string(text), -1) {
			code := m[1] + m[2]
			if _, ok := lint.PageOf(code); !ok {
				t.Errorf("%s: no page of %s; want rules/lint/pages/%s.md", name, code, code)
			}
			seen[code] = name
		}
		return err
	}))
	for _, code := range lint.Codes() {
		assert.Contains(t, seen, code, "a page of a code that there is not")
	}
}

// A configuration is checked where others read what comes of it: the line under an error
// shows no secret that stands beside it.
func TestTheLineUnderAnErrorShowsNoSecret(t *testing.T) {
	for line, want := range map[string]string{
		`{"urls":1,"password":"s3crét","user":"u"}`:              `{"urls":1,"password":"******","user":"u"}`,
		`{"passcode" : "a\"b","url":"stomp://h:1"}`:              `{"passcode" : "****","url":"stomp://h:1"}`,
		`"headers":{"Authorization":"Bearer x"},"secret":"y"`:    `"headers":{"Authorization":"********"},"secret":"*"`,
		`"url":"nats://u:p@a:1,nats://t@b","mail":"a@b.example"`: `"url":"nats://***@a:1,nats://*@b","mail":"a@b.example"`,
		`"seed":"not closed`:                                     `"seed":"**********`,
		`"secretFile":"f","password":null,"link":"http://h/a@b"`: `"secretFile":"f","password":null,"link":"http://h/a@b"`,
	} {
		assert.Equal(t, want, withoutSecrets(line))
	}
	var out bytes.Buffer
	config := filepath.Join(t.TempDir(), "engine.json")
	require.NoError(t, os.WriteFile(config, []byte(`{"sinks":[{"name":"m","kind":"mqtt","with":{"ulr":"mqtt://h:1","user":"u","password":"s3cret"}}]}`), 0o600))
	root := rootCommand(&out, &out)
	root.SetArgs([]string{"validate", config})
	require.Error(t, root.Execute())
	assert.Contains(t, out.String(), `"password":"******"`)
	assert.NotContains(t, out.String(), "s3cret")
}

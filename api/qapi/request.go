package qapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Bounds of ids: of a twin in bytes, of a feed or input in characters.
const (
	maxTwinID = 256
	maxFeedID = 128
)

// checkPath wants the ids in the path to be such as there can be, and the hosts
// to be this one.
func (s *Space) checkPath(r *http.Request) error {
	for _, name := range []string{"host", "followedHost"} {
		if host := r.PathValue(name); host != "" && host != s.Host {
			return notFound("no host %q; this is %q, and others are not reached from here", cut(host), s.Host)
		}
	}
	for _, name := range []string{"twin", "followed"} {
		if id := r.PathValue(name); len(id) > maxTwinID {
			return wrongf("twin id of %d bytes in the path; want at most %d", len(id), maxTwinID)
		}
	}
	for _, name := range []string{"feed", "input"} {
		if n := utf8.RuneCountInString(r.PathValue(name)); n > maxFeedID {
			return wrongf("%s id of %d characters in the path; want at most %d", name, n, maxFeedID)
		}
	}
	for _, name := range []string{"twin", "followed", "feed", "input"} {
		if id := r.PathValue(name); !utf8.ValidString(id) || strings.ContainsFunc(id, func(c rune) bool { return !unicode.IsPrint(c) }) {
			return wrongf("%s id %q in the path; want printable characters", name, cut(id))
		}
	}
	return nil
}

// body reads the whole body.
func body(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(r.Body)
	_, long := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil || long:
		return text, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &refusal{http.StatusRequestTimeout, errors.New("the body came too slowly")}
	}
	return nil, wrongf("the body cannot be read: %w", err)
}

// document reads the body as JSON.
func document(r *http.Request) (strictjson.Raw, error) {
	text, err := body(r)
	if err != nil {
		return strictjson.Raw{}, err
	}
	return strictjson.Parse("body", text)
}

// decode reads the body into v. What it does not know it leaves out, and says
// so in the header Warning.
func decode(w http.ResponseWriter, r *http.Request, v any) (strictjson.Raw, error) {
	raw, err := document(r)
	if err != nil {
		return raw, err
	}
	warnings, err := tolerate(raw, raw.Decode(v))
	warn(w, warnings)
	return raw, err
}

// Bounds of the warnings of an answer: their number, and the bytes of one.
const (
	maxWarnings = 5
	maxWarning  = 500
)

func warn[E error](w http.ResponseWriter, warnings []E) {
	for i, e := range warnings {
		if i == maxWarnings {
			w.Header().Add("Warning", fmt.Sprintf(`299 - "%d more"`, len(warnings)-i))
			return
		}
		w.Header().Add("Warning", "299 - "+strconv.QuoteToASCII(cutTo(maxWarning, e.Error())))
	}
}

// optional are the fields that may be null, which is as good as absent.
var optional = []string{
	"properties", "added", "deleted", "deletedByKey", "deletedByLabel", "clearedAll", "values", "feeds", "inputs", "storeLast",
	"comment", "unit", "dataType", "visibility", "location", "responseType", "occurredAt", "mime",
}

// mayBeNull says whether a field of an object may be null: one of optional, or a
// literal beside the one that the object has.
func mayBeNull(object strictjson.Raw, pointer, name string) bool {
	literals := rules.LiteralNames()
	if !slices.Contains(literals, name) {
		return slices.Contains(optional, name) && !strings.HasSuffix(pointer, "/literalValue")
	}
	return slices.ContainsFunc(literals, func(other string) bool { return object.Member(other).Kind() == strictjson.Object })
}

// tolerate takes out of what is wrong with a document what a client may send all
// the same: fields of a later version, and null for what may be absent.
func tolerate(raw strictjson.Raw, err error) (warnings strictjson.Errors, rest error) {
	all, ok := errors.AsType[strictjson.Errors](err)
	if !ok {
		return nil, err
	}
	var wrong strictjson.Errors
	for _, e := range all {
		parent, name := cutPointer(e.Pointer)
		switch {
		case e.Code == strictjson.UnknownField && early[name] != "":
			wrong = append(wrong, earlier(raw, e, early[name])...)
		case e.Code == strictjson.UnknownField && !meansLiteral(at(raw, parent), parent):
			warnings = append(warnings, e)
		case at(raw, e.Pointer).Kind() == strictjson.Null && mayBeNull(at(raw, parent), parent, name):
		default:
			wrong = append(wrong, e)
		}
	}
	if len(wrong) == 0 {
		return warnings, nil
	}
	return warnings, wrong
}

// early are the fields that bodies had before 27 January 2022, with what says the
// same now.
var early = map[string]string{
	"labels":   `properties such as {"key":"` + rules.PropLabel + `","langLiteralValue":{"lang":"en","value":"…"}}`,
	"comments": `properties such as {"key":"` + rules.PropComment + `","langLiteralValue":{"lang":"en","value":"…"}}`,
	"tags":     `properties with a key of your own, such as {"key":"https://example.com/tag","stringLiteralValue":{"value":"…"}}`,
}

// earlier is the complaint about a field that is one of early.
func earlier(raw strictjson.Raw, e *strictjson.Error, now string) strictjson.Errors {
	_, name := cutPointer(e.Pointer)
	all, _ := errors.AsType[strictjson.Errors](strictjson.Join(at(raw, e.Pointer).At.Errorf("%s is of the API before 27 January 2022; want %s", name, now)))
	return all
}

// meansLiteral says that an object has to have a literal and has none, so that
// the field that is not known may have been meant as one.
func meansLiteral(r strictjson.Raw, pointer string) bool {
	_, name := cutPointer(pointer)
	has := func(name string) bool { return !r.Member(name).IsZero() }
	return (name == "value" || has("key") && !has("value")) && !slices.ContainsFunc(rules.LiteralNames(), has)
}

// cutPointer is a pointer without its last name, and that name.
func cutPointer(pointer string) (parent, name string) {
	i := strings.LastIndexByte(pointer, '/')
	if i < 0 {
		return "", ""
	}
	return pointer[:i], pointer[i+1:]
}

var unescaper = strings.NewReplacer("~1", "/", "~0", "~")

// at is the value at a pointer.
func at(r strictjson.Raw, pointer string) strictjson.Raw {
	for _, name := range strings.Split(pointer, "/")[1:] {
		if r.Kind() == strictjson.Array {
			i, err := strconv.Atoi(name)
			if elems := r.Elems(); err == nil && i >= 0 && i < len(elems) {
				r = elems[i]
				continue
			}
			return strictjson.Raw{}
		}
		r = r.Member(unescaper.Replace(name))
	}
	return r
}

// twinID is the id of a twin in any of its forms.
type twinID string

// DecodeStrict reads the id.
func (id *twinID) DecodeStrict(r strictjson.Raw) error {
	text, err := decodeID(r)
	if len(text) > maxTwinID {
		err = r.At.Errorf("id of %d bytes; want at most %d", len(text), maxTwinID)
	}
	*id = twinID(text)
	return strictjson.Join(err, inPath(r, text))
}

// inPath refuses the one id that no path of a request can hold: net/http takes a
// segment of it for the end of the path.
func inPath(r strictjson.Raw, id string) error {
	if id == "/" {
		return r.At.Errorf(`got "/"; want an id that can stand in a path`)
	}
	return nil
}

// decodeID is [rules.DecodeID] where unknown fields are tolerated: none of them is
// the id.
func decodeID(r strictjson.Raw) (string, error) {
	text, err := rules.DecodeID(r)
	wrong, _ := errors.AsType[strictjson.Errors](strictjson.Join(err))
	known := func(e *strictjson.Error) bool { return e.Code != strictjson.UnknownField }
	if text == "" && len(r.Members()) > 0 && !slices.ContainsFunc(wrong, known) {
		err = strictjson.Join(err, r.At.Errorf(`no id in it; want {"value":"x"} or {"id":"x"}`))
	}
	return text, err
}

// number is a whole number in the query, 0 where it is not there.
func number(r *http.Request, name string) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, wrongf("%s: got %q; want a whole number, zero or more", name, cut(text))
	}
	return n, nil
}

// Package letter writes what people are told of an outcome: templates of
// text/template and html/template with few functions, which are tried out when
// a configuration is read, and bounded in time and size when they are used.
package letter

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"net/url"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// The bounds of a template and of what it writes.
const (
	MaxTemplate = 64 << 10               // bytes of a template
	MaxBytes    = 1 << 20                // of what it writes, and of each value that its functions make
	maxTime     = 2 * time.Second        // for one letter
	maxStep     = 100 * time.Millisecond // that counts of the time between two looks at the clock
	maxRounds   = 100_000                // of all its ranges together
	name        = "t"                    // of every template, in the texts of its errors
	roundFunc   = "_round"               // what each round of a range calls
	maxDepth    = 50                     // of actions in actions
)

// Template is a template that was tried out. It can be used by many at a time.
type Template struct {
	text *texttemplate.Template
	html *htmltemplate.Template // nil: it is plain text
}

// Text reads a template of plain text for outcomes of the kinds, of every kind
// when none is given. check, unless nil, says what is wrong with a letter.
func Text(raw strictjson.Raw, check func(string) error, kinds ...rules.Kind) (*Template, error) {
	return newTemplate(raw, false, check, kinds)
}

// HTML is Text for HTML: what comes from outcomes is escaped where it stands.
func HTML(raw strictjson.Raw, kinds ...rules.Kind) (*Template, error) {
	return newTemplate(raw, true, nil, kinds)
}

func newTemplate(raw strictjson.Raw, html bool, check func(string) error, kinds []rules.Kind) (*Template, error) {
	if raw.Kind() != strictjson.String {
		return nil, raw.Wrong(strictjson.String, "a template, a string")
	}
	if n := len(raw.Str()); n > MaxTemplate {
		return nil, raw.At.Errorf("a template of %d bytes; want at most %d", n, MaxTemplate)
	}
	tree, err := read(raw)
	if err != nil {
		return nil, err
	}
	t := &Template{}
	if t.text, err = texttemplate.New(name).Option("missingkey=error").Funcs(functions).Funcs(blankFuncs).AddParseTree(name, tree.Copy()); err != nil {
		return nil, raw.At.Errorf("%w", err)
	}
	if err := t.try(raw, check, kinds); err != nil {
		return nil, err
	}
	if !html {
		return t, nil
	}
	if t.html, err = htmltemplate.New(name).Option("missingkey=error").Funcs(functions).Funcs(blankFuncs).AddParseTree(name, tree); err != nil {
		return nil, raw.At.Errorf("%w", err)
	}
	return t, t.try(raw, check, kinds)
}

// read parses a template and says what of it is not to be.
func read(raw strictjson.Raw) (*parse.Tree, error) {
	text := raw.Str()
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	set := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", set); err != nil {
		line, what := parseComplaint(err)
		return nil, raw.Within(lineOffset(text, line, 0)).Errorf("template: %s", what)
	}
	r := reader{raw: raw}
	if len(set) > 1 {
		r.wrong(0, "a template in a template (define or block); want one")
	}
	if tree.Root != nil {
		r.list(tree.Root, 0, true)
	}
	return tree, strictjson.Join(r.errs...)
}

// Write writes the letter about an outcome as it is at a moment. Its error says
// what the template could not do; a second try does not help.
func (t *Template) Write(o *rules.Outcome, now time.Time) (string, error) {
	return t.write(Data(o), now)
}

func (t *Template) write(data map[string]any, now time.Time) (string, error) {
	spent := &clock{last: time.Now()}
	out := &paper{spent: spent}
	perLetter := perLetterFuncs(spent, now)
	execute, err := t.executor(perLetter)
	if err == nil {
		err = execute(out, data)
	}
	if err != nil {
		return "", err
	}
	return out.String(), nil
}

// executor is the template with the functions of one letter.
func (t *Template) executor(funcs map[string]any) (func(w io.Writer, data any) error, error) {
	if t.html == nil {
		c, err := t.text.Clone()
		if err != nil {
			return nil, err
		}
		return c.Funcs(funcs).Execute, nil
	}
	c, err := t.html.Clone()
	if err != nil {
		return nil, err
	}
	return c.Funcs(funcs).Execute, nil
}

// try writes the letters about samples of all that may come.
func (t *Template) try(raw strictjson.Raw, check func(string) error, kinds []rules.Kind) error {
	for _, s := range samples(kinds) {
		letter, err := t.Write(&s.outcome, sampleTime)
		if err != nil {
			return complain(raw, err, s)
		}
		if check == nil {
			continue
		}
		if err := check(letter); err != nil {
			return raw.At.Errorf("template, for %s: %w", s.name, err)
		}
	}
	return nil
}

// CheckLink takes what a link in a message can be, and no link.
func CheckLink(link string) error {
	u, err := url.Parse(link)
	if link == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		return nil
	}
	return fmt.Errorf("got %q; want an absolute URL, or nothing", link)
}

// paper is what a letter is written on.
type paper struct {
	strings.Builder
	spent *clock
}

var errTooLong = fmt.Errorf("more than %d bytes", MaxBytes)

func (p *paper) Write(b []byte) (int, error) {
	if p.Len()+len(b) > MaxBytes {
		return 0, errTooLong
	}
	if p.spent.over() {
		return 0, errTooSlow
	}
	return p.Builder.Write(b)
}

var errTooSlow = errors.New("the template takes too long")

// clock bounds the time for a letter. What lies between two looks at it takes
// moments: where it took longer, the process or the machine was held up, and it is
// not the letter that is slow.
type clock struct {
	last time.Time
	sum  time.Duration
}

func (c *clock) over() bool {
	now := time.Now()
	c.sum += min(now.Sub(c.last), maxStep)
	c.last = now
	return c.sum > maxTime
}

// Conform runs suites of JSONLogic cases through rules/logic:
//
//	go run ./rules/logic/conform FILE…
//
// A suite is a JSON array of {"description", "rule", "data", "result"} objects,
// with "error": {"type": …} in place of "result" where evaluation must fail, of
// [rule, data, result] triples, and of strings, which are headings. It prints
// the cases that fail and then their number; the exit code is 1 when there are
// any, 2 when a file cannot be read.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(files []string, out, errs io.Writer) (code int) {
	if len(files) == 0 {
		fmt.Fprintln(errs, "usage: conform FILE…")
		return 2
	}
	passed, failed := 0, 0
	for _, name := range files {
		cases, err := read(name)
		if err != nil {
			fmt.Fprintf(errs, "%s: %v\n", name, err)
			return 2
		}
		for i, c := range cases {
			if err := c.check(); err != nil {
				failed++
				fmt.Fprintf(out, "FAIL %s, case %d %q\n  rule %s\n  data %s\n  %v\n", name, i+1, c.Description, c.Rule, c.Data, err)
				continue
			}
			passed++
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

// testCase is one case of a suite. Error is nil where a result is wanted.
type testCase struct {
	Description string
	Rule        json.RawMessage
	Data        json.RawMessage
	Result      json.RawMessage
	Error       json.RawMessage
}

func read(name string) ([]testCase, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, err
	}
	var cases []testCase
	for i, item := range items {
		c, heading, err := parse(item)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		if !heading {
			cases = append(cases, c)
		}
	}
	return cases, nil
}

func parse(item json.RawMessage) (c testCase, heading bool, err error) {
	switch item[0] {
	case '"':
		return c, true, nil
	case '{':
		err := json.Unmarshal(item, &c)
		return c, false, err
	}
	var triple []json.RawMessage
	if err := json.Unmarshal(item, &triple); err != nil || len(triple) != 3 {
		return c, false, errors.New("want a heading, an object or [rule, data, result]")
	}
	return testCase{Rule: triple[0], Data: triple[1], Result: triple[2]}, false, nil
}

// check says in what the case fails. Both forms of the rule have to pass.
func (c testCase) check() error {
	if err := c.compare(c.evaluate(plain)); err != nil {
		return err
	}
	if err := c.compare(c.evaluate(quick)); err != nil {
		return fmt.Errorf("in the quick form: %w", err)
	}
	return nil
}

// compare says in what a result is not the one that is wanted.
func (c testCase) compare(got any, err error) error {
	if c.Error != nil {
		return c.checkError(got, err)
	}
	if err != nil {
		return fmt.Errorf("got the error %w, want %s", err, orNull(c.Result))
	}
	var want any
	if err := json.Unmarshal(orNull(c.Result), &want); err != nil {
		return err
	}
	if !same(got, want) {
		return fmt.Errorf("got %s, want %s", shown(got), c.Result)
	}
	return nil
}

func (c testCase) checkError(got any, err error) error {
	var want struct{ Type any }
	if err := json.Unmarshal(c.Error, &want); err != nil {
		return err
	}
	if err == nil {
		return fmt.Errorf("got %s, want the error %s", shown(got), c.Error)
	}
	if kind := kindOf(err); want.Type != nil && want.Type != kind {
		return fmt.Errorf("got an error of type %q (%w), want %s", kind, err, c.Error)
	}
	return nil
}

// kindOf is the type of an error as suites name it.
func kindOf(err error) string {
	if errors.Is(err, logic.ErrUnknownOperator) {
		return "Unknown Operator"
	}
	if e, ok := errors.AsType[*logic.Error](err); ok {
		return e.Type
	}
	return ""
}

func (c testCase) evaluate(value func(*logic.Expr, []byte) (any, error)) (any, error) {
	raw, err := strictjson.Parse("rule", orNull(c.Rule))
	if err != nil {
		return nil, err
	}
	expr, err := logic.CompileLoose(raw)
	if err != nil {
		return nil, err
	}
	return value(expr, orNull(c.Data))
}

func plain(expr *logic.Expr, text []byte) (any, error) {
	var data any
	if err := json.Unmarshal(text, &data); err != nil {
		return nil, err
	}
	return expr.Value(data)
}

func quick(expr *logic.Expr, text []byte) (value any, err error) {
	var b logic.Builder
	b.Rule(expr)
	m := b.Build().NewMachine()
	if !m.Load(text) {
		return nil, errors.New("the data was refused")
	}
	out, err := m.AppendValue(nil, 0)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(out, &value)
	return value, err
}

func orNull(text json.RawMessage) json.RawMessage {
	if text == nil {
		return json.RawMessage("null")
	}
	return text
}

func shown(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// same compares two values as JSON: kind and value, -0 as 0.
func same(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			w, ok := y[k]
			if !ok || !same(v, w) {
				return false
			}
		}
		return true
	}
	return a == b
}

package scan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"tocsin.internal/rules/scan"
)

// twin says what a scan must find, slowly and plainly: it decodes the sample
// with encoding/json and walks the paths.
type twin struct {
	builder scan.Builder
	sample  twinFrame
}

// twinFrame has the paths of a frame by slot, and its tables.
type twinFrame struct {
	paths  [][]string
	tables []*twinTable
}

type twinTable struct {
	list  int // the slot of the list
	table *scan.Table
	row   twinFrame
}

func (w *twin) slot(path ...string) int {
	return w.sample.add(w.builder.Slot(path...), path)
}

func (w *twin) table(path ...string) *twinTable {
	w.slot(path...)
	return w.sample.addTable(w.builder.Slot(path...), w.builder.Table(path...))
}

func (t *twinTable) slot(path ...string) int {
	return t.row.add(t.table.Slot(path...), path)
}

func (t *twinTable) nested(path ...string) *twinTable {
	t.slot(path...)
	return t.row.addTable(t.table.Slot(path...), t.table.Table(path...))
}

func (f *twinFrame) add(slot int, path []string) int {
	if slot == len(f.paths) {
		f.paths = append(f.paths, path)
	}
	return slot
}

func (f *twinFrame) addTable(slot int, table *scan.Table) *twinTable {
	for _, t := range f.tables {
		if t.table == table {
			return t
		}
	}
	t := &twinTable{list: slot, table: table}
	t.slot()
	f.tables = append(f.tables, t)
	return t
}

// check scans a sample and says what is wrong with the answer.
func (w *twin) check(s *scan.Scanner, text []byte) error {
	var want any
	valid := json.Unmarshal(text, &want) == nil
	if got := s.Scan(text); got != valid {
		return fmt.Errorf("%q: scanned %t, want %t", text, got, valid)
	}
	if !valid {
		return nil
	}
	if err := checkLine(text); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if err := w.sample.check(s, text, s.Slots(), want); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return nil
}

// checkLine compares AppendLine with encoding/json, which leaves invalid UTF-8 alone.
func checkLine(text []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return err
	}
	want := string([]rune(compact.String()))
	if got := string(scan.AppendLine(nil, text)); got != want {
		return fmt.Errorf("on one line %q, want %q", got, want)
	}
	return nil
}

func (f *twinFrame) check(s *scan.Scanner, text []byte, slots []scan.Value, v any) error {
	if len(slots) != len(f.paths) {
		return fmt.Errorf("%d slots, want %d", len(slots), len(f.paths))
	}
	for slot, path := range f.paths {
		kind, want, written := walk(v, path)
		if err := checkValue(text, slots[slot], kind, want, written); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
	}
	for _, t := range f.tables {
		_, v, _ := walk(v, f.paths[t.list])
		list, _ := v.([]any)
		for i, element := range list {
			row := s.Row(t.table.ID(), int(slots[t.list].Num)+i)
			if err := t.row.check(s, text, row, element); err != nil {
				return fmt.Errorf("%q row %d: %w", f.paths[t.list], i, err)
			}
		}
	}
	return nil
}

// walk gives JavaScript's property of a value, and whether it is written in the
// sample.
func walk(v any, path []string) (kind scan.Kind, property any, written bool) {
	written = true
	for _, name := range path {
		index := indexOf(name)
		switch x := v.(type) {
		case map[string]any:
			member, ok := x[name]
			if !ok {
				return scan.Missing, nil, false
			}
			v = member
		case []any:
			switch {
			case index >= 0 && index < len(x):
				v = x[index]
			case name == "length":
				v, written = float64(len(x)), false
			default:
				return scan.Missing, nil, false
			}
		case string:
			if index >= 0 || name == "length" {
				return scan.Unread, nil, false
			}
			return scan.Missing, nil, false
		default:
			return scan.Missing, nil, false
		}
	}
	return kindOf(v), v, written
}

func indexOf(name string) int {
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || strconv.Itoa(i) != name {
		return -1
	}
	return i
}

func kindOf(v any) scan.Kind {
	switch x := v.(type) {
	case bool:
		if x {
			return scan.True
		}
		return scan.False
	case float64:
		return scan.Number
	case string:
		return scan.Text
	case []any:
		return scan.List
	case map[string]any:
		return scan.Object
	}
	return scan.Null
}

func checkValue(text []byte, got scan.Value, kind scan.Kind, want any, written bool) error {
	if got.Kind != kind {
		return fmt.Errorf("kind %d, want %d", got.Kind, kind)
	}
	if !written {
		number, _ := want.(float64)
		if (got != scan.Value{Kind: kind, Num: number}) {
			return fmt.Errorf("%+v, want nothing but the kind and %v", got, want)
		}
		return nil
	}
	raw := text[got.Start:got.End]
	var decoded any
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return fmt.Errorf("as written %q: %w", raw, err)
	}
	if !bytes.Equal(raw, bytes.TrimSpace(raw)) || !same(decoded, want) {
		return fmt.Errorf("as written %q, want %v", raw, want)
	}
	return checkParts(got, raw, want)
}

// checkParts checks what a slot says besides the kind and the place.
func checkParts(got scan.Value, raw []byte, want any) error {
	var num float64
	var count int
	var escaped bool
	switch x := want.(type) {
	case float64:
		num = x
	case string:
		escaped = string(raw) != `"`+x+`"`
		if decoded := string(scan.AppendText(nil, raw)); decoded != x {
			return fmt.Errorf("decoded %q, want %q", decoded, x)
		}
	case []any:
		num, count = got.Num, len(x)
	}
	if math.Float64bits(got.Num) != math.Float64bits(num) || int(got.Count) != count || got.Escaped != escaped {
		return fmt.Errorf("%+v, want number %v, count %d, escaped %t", got, num, count, escaped)
	}
	return nil
}

// same is reflect.DeepEqual that tells -0 from 0.
func same(a, b any) bool {
	x, ok := a.(float64)
	y, also := b.(float64)
	if ok && also {
		return math.Float64bits(x) == math.Float64bits(y)
	}
	return reflect.DeepEqual(a, b)
}

// everyPath is a twin whose paths go everywhere in the documents that grow
// makes.
func everyPath() *twin {
	w := new(twin)
	for _, path := range [][]string{
		{},
		{"a"},
		{"a", "b"},
		{"a", "b", "c"},
		{"a", "0"},
		{"a", "1", "b"},
		{"a", "length"},
		{"a", "length", "b"},
		{"b", "length"},
		{"b", "0"},
		{"b", "0", "length"},
		{"0"},
		{"length"},
		{"2", "a"},
		{"01"},
		{"c", "c"},
		{"é"},
		{"\ufffd"},
		{""},
		{"", ""},
		{"temperature"},
		{"motor", "rpm"},
		{"a.b"},
		{"\U0001f600", "a"},
		{"\n"},
		{"status"},
	} {
		w.slot(path...)
	}
	list := w.table("list")
	list.slot("a")
	list.slot("b", "c")
	list.slot("length")
	list.nested("list").slot("a")
	list.nested("list").nested().slot("b")
	w.slot("list", "0", "a")
	w.slot("list", "length")
	w.slot("list", "1")
	w.table("list", "1").slot("b")
	w.table().slot("a")
	w.table("a").slot()
	return w
}

// somePaths is a twin without tables, as most rules have it.
func somePaths() *twin {
	w := new(twin)
	for _, path := range [][]string{
		{"temperature"}, {"status"}, {"a"}, {"a", "b"}, {"b", "c"}, {"list", "0"}, {"list", "length"}, {"motor", "rpm"}, {"é"}, {"\ufffd"},
	} {
		w.slot(path...)
	}
	return w
}

// textPaths is a twin that reads parts of what may be a text.
func textPaths() *twin {
	w := new(twin)
	for _, path := range [][]string{{"a", "length"}, {"a", "0"}, {"b"}, {"b", "1", "a"}, {"c", "c"}, {"status", "length"}} {
		w.slot(path...)
	}
	return w
}

var twins = map[string]func() *twin{"every": everyPath, "some": somePaths, "text": textPaths}

func twinNames() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range twins {
			if !yield(name) {
				return
			}
		}
	})
}

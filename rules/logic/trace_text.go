package logic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
)

// The bounds of a trace that people read.
const (
	shownBytes    = 60 // of a value
	shownOperands = 12 // of an operation: the first ones, the one that decides, the last one
	shownDepth    = 16
	shownInline   = 100 // characters of an operation on one line
	shownLines    = 200
)

// line is a part of a trace on a line of its own.
type line struct{ text, value string }

// Text is the trace as a tree, a line for each operation, indented by indent:
// what it was judged over, what it gave, and which operand decided. It is cut,
// and says so, where the expression is too large for people.
func (t *Trace) Text(indent string) string {
	w := &treeWriter{}
	w.node(t.Root, "", "", 0)
	lines := w.lines
	hidden := len(lines) - shownLines
	if hidden > 0 {
		lines = lines[:shownLines]
	}
	width := 0
	for _, l := range lines {
		if l.value != "" {
			width = max(width, utf8.RuneCountInString(l.text))
		}
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(indent + l.text)
		if l.value != "" {
			b.WriteString(strings.Repeat(" ", width-utf8.RuneCountInString(l.text)+2) + l.value)
		}
		b.WriteByte('\n')
	}
	if hidden > 0 {
		fmt.Fprintf(&b, "%s… %d more lines\n", indent, hidden)
	}
	if t.Cut {
		fmt.Fprintf(&b, "%s… of more than %d nodes the rest is not shown\n", indent, MaxTraced)
	}
	return b.String()
}

type treeWriter struct{ lines []line }

// node writes a node and what is in it. own begins its line, below those of what
// is in it.
func (w *treeWriter) node(n *Node, own, below string, depth int) {
	text, whole := n.inline()
	l := line{text: own + text, value: n.outcome()}
	if n.Decides {
		l.value += "   ← decides"
	}
	w.lines = append(w.lines, l)
	if whole {
		return
	}
	if depth == shownDepth {
		w.lines = append(w.lines, line{text: below + "└─ …"})
		return
	}
	w.children(n, below, depth+1)
}

// child is what stands below a node: an operand, an element, or a word on some
// that are not shown.
type child struct {
	label string
	node  *Node
}

func (w *treeWriter) children(n *Node, below string, depth int) {
	all := n.children()
	for i, c := range all {
		own, next := below+"├─ ", below+"│  "
		if i == len(all)-1 {
			own, next = below+"└─ ", below+"   "
		}
		if c.node == nil {
			w.lines = append(w.lines, line{text: own + c.label})
			continue
		}
		w.node(c.node, own+c.label, next, depth)
	}
}

func (n *Node) children() []child {
	var out []child
	hidden := map[string]int{}
	first := ""
	flush := func() {
		total := 0
		for _, k := range hidden {
			total += k
		}
		if total == 0 {
			return
		}
		word := ""
		if len(hidden) == 1 {
			word = ", " + first
		}
		out = append(out, child{label: fmt.Sprintf("… %d more%s", total, word)})
		clear(hidden)
	}
	for i, o := range n.Operands {
		if i >= shownOperands-2 && i < len(n.Operands)-1 && !o.Decides && len(n.Operands) > shownOperands {
			if first = o.outcome(); first == "" {
				first = "values"
			}
			hidden[first]++
			continue
		}
		flush()
		out = append(out, child{node: o})
	}
	next := 0
	for i, e := range n.Elements {
		if skipped := e.Index - next; i > 0 && skipped > 0 {
			out = append(out, child{label: fmt.Sprintf("… %d more", skipped)})
		}
		next = e.Index + 1
		out = append(out, child{e.label(), e.Predicate})
	}
	return out
}

// label says which element it is; its value is shown where the predicate does
// not show it.
func (e *Element) label() string {
	label := fmt.Sprintf("[%d] ", e.Index)
	if _, whole := e.Predicate.inline(); whole {
		return label
	}
	return label + shown(e.Value) + "  "
}

var infix = map[string]bool{
	"==": true, "!=": true, "===": true, "!==": true, "<": true, "<=": true, ">": true, ">=": true,
	"+": true, "-": true, "*": true, "/": true, "%": true, "in": true,
}

// inline is the node on one line; whole says that there is no more of it.
func (n *Node) inline() (text string, whole bool) {
	if leaf, ok := n.leaf(); ok {
		return leaf, true
	}
	name := n.Part.Operator
	if name == "" {
		name = "list"
	}
	if len(n.Elements) > 0 || n.Part.each >= 0 || len(n.Operands) > shownOperands {
		return name, false
	}
	leaves := make([]string, len(n.Operands))
	for i, o := range n.Operands {
		leaf, ok := o.leaf()
		if !ok {
			return name, false
		}
		leaves[i] = leaf
	}
	if infix[name] && len(leaves) > 1 {
		text = strings.Join(leaves, "  "+name+"  ")
	} else {
		text = name + "  " + strings.Join(leaves, ", ")
	}
	if utf8.RuneCountInString(text) > shownInline {
		return name, false
	}
	return text, true
}

// leaf is a variable with what was read, or a value.
func (n *Node) leaf() (string, bool) {
	p := n.Part
	switch {
	case p.constant:
		return writtenShort(p.Raw), true
	case p.variable == nil:
		return "", false
	}
	name := n.Name()
	switch {
	case n.Absent && p.variable.fallback != nil && n.Evaluated:
		return fmt.Sprintf("%s is absent, so %s", name, shown(n.Value)), true
	case n.Absent:
		return name + " is absent", true
	case !n.Evaluated && !p.outer:
		return name, true
	case n.Err != nil:
		return name, true
	}
	return name + " = " + shown(n.Value), true
}

// Name is what the node is called: the path of a variable, else its operator.
// The element itself is called item, the sample as a whole sample.
func (n *Node) Name() string {
	p := n.Part
	if p.variable == nil {
		return p.Operator
	}
	arg := p.Raw.Members()[0].Value
	path := arg
	if elems := arg.Elems(); p.Operator == "var" && len(elems) > 0 {
		path = elems[0]
	}
	switch {
	case path.Kind() == strictjson.String && path.Str() != "":
		return path.Str()
	case path.Kind() == strictjson.Number:
		return string(path.Text())
	case p.Operator == "val" && len(arg.Elems()) > 0:
		return dottedKeys(arg)
	case p.outer:
		return "sample"
	}
	return "item"
}

// dottedKeys are the keys of a val, with dots between.
func dottedKeys(list strictjson.Raw) string {
	var keys []string
	for _, e := range list.Elems() {
		switch e.Kind() {
		case strictjson.String:
			keys = append(keys, e.Str())
		case strictjson.Number:
			keys = append(keys, string(e.Text()))
		case strictjson.Array: // how far it climbs
			keys = append(keys, "^")
		default:
			return writtenShort(list)
		}
	}
	return strings.Join(keys, ".")
}

// outcome is what came of the node, "" where its own text says so.
func (n *Node) outcome() string {
	_, leaf := n.leaf()
	switch {
	case leaf && n.Part.constant:
		return ""
	case !n.Evaluated:
		return "not evaluated"
	case n.Unknown:
		return "unknown"
	case n.Err != nil:
		return "failed: " + n.Err.why()
	case leaf:
		return ""
	}
	return shown(n.Value)
}

// why is the type of the error in words.
func (e *Error) why() string {
	switch e.Type {
	case NaN:
		return "not a finite number"
	case InvalidArguments:
		return "it cannot work with such operands"
	case LimitExceeded:
		return "more work than one evaluation may do"
	}
	return shown(e.Type)
}

// shown is a value as JSON, short.
func shown(v any) string {
	switch x := v.(type) {
	case []any:
		if len(x) > 8 || nested(x) {
			return fmt.Sprintf("[%d values]", len(x))
		}
	case map[string]any:
		if len(x) > 8 {
			return fmt.Sprintf("{%d fields}", len(x))
		}
		for _, e := range x {
			if isDeep(e) {
				return fmt.Sprintf("{%d fields}", len(x))
			}
		}
	case string:
		if len(x) > 4*shownBytes {
			v = x[:4*shownBytes]
		}
	}
	text, err := encodeJSON(v)
	if err != nil {
		return fmt.Sprint(v) // not finite
	}
	return shortened(text)
}

// isDeep says whether a value has others in it.
func isDeep(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

// nested says whether a list has elements with others in them that have others.
func nested(list []any) bool {
	for _, e := range list {
		switch x := e.(type) {
		case []any:
			return true
		case map[string]any:
			if len(x) > 4 {
				return true
			}
			for _, v := range x {
				if isDeep(v) {
					return true
				}
			}
		}
	}
	return false
}

func encodeJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// writtenShort is a value as it was written, on one line and short.
func writtenShort(r strictjson.Raw) string {
	text := r.Text()
	if len(text) > 16*shownBytes {
		text = text[:16*shownBytes]
	}
	var b bytes.Buffer
	if json.Compact(&b, text) != nil { // it was cut
		return shortened(strings.Join(strings.Fields(string(text)), " "))
	}
	return shortened(b.String())
}

func shortened(s string) string {
	if len(s) > 8*shownBytes {
		s = s[:8*shownBytes]
	}
	if utf8.RuneCountInString(s) <= shownBytes {
		return strings.ToValidUTF8(s, "")
	}
	return string([]rune(s)[:shownBytes]) + "…"
}

// Inputs are the variables of the sample that were read, each once, with their
// values.
func (t *Trace) Inputs() []string {
	var out []string
	seen := map[string]bool{}
	t.Root.Walk(func(n *Node) {
		if text, ok := n.leaf(); ok && n.Part.variable != nil && n.Part.outer && !seen[text] && len(out) < shownOperands {
			seen[text] = true
			out = append(out, text)
		}
	})
	return out
}

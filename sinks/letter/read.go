package letter

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"tocsin.internal/internal/strictjson"
)

// reader walks a template that was parsed. It refuses what is not to be, and
// counts the rounds of what repeats.
type reader struct {
	raw  strictjson.Raw
	errs []error
}

func (r *reader) wrong(at parse.Pos, format string, args ...any) {
	r.errs = append(r.errs, r.raw.Within(int(at)).Errorf("template: "+format, args...))
}

// list walks nodes; dot says that in them . is the whole outcome.
func (r *reader) list(list *parse.ListNode, depth int, dot bool) {
	if list == nil {
		return
	}
	if depth > maxDepth {
		r.wrong(list.Pos, "nested deeper than %d levels", maxDepth)
		return
	}
	for _, node := range list.Nodes {
		r.node(node, depth+1, dot)
	}
}

func (r *reader) node(node parse.Node, depth int, dot bool) {
	switch n := node.(type) {
	case *parse.ActionNode:
		r.pipe(n.Pipe, dot)
	case *parse.IfNode:
		r.branch(&n.BranchNode, depth, dot, dot)
	case *parse.WithNode:
		r.branch(&n.BranchNode, depth, dot, false)
	case *parse.RangeNode:
		r.branch(&n.BranchNode, depth, dot, false)
		n.List.Nodes = slices.Insert(n.List.Nodes, 0, round(n.Position()))
	case *parse.TemplateNode:
		r.wrong(n.Pos, "a template in a template; want one")
	}
}

// branch walks what is done under a condition; dot is for the condition and for
// what is done else, inside for the rest.
func (r *reader) branch(b *parse.BranchNode, depth int, dot, inside bool) {
	r.pipe(b.Pipe, dot)
	r.list(b.List, depth, inside)
	r.list(b.ElseList, depth, dot)
}

func (r *reader) pipe(pipe *parse.PipeNode, dot bool) {
	if pipe == nil {
		return
	}
	for _, c := range pipe.Cmds {
		for _, arg := range c.Args {
			r.argument(arg, dot)
		}
	}
}

func (r *reader) argument(arg parse.Node, dot bool) {
	switch n := arg.(type) {
	case *parse.PipeNode:
		r.pipe(n, dot)
	case *parse.ChainNode:
		r.argument(n.Node, dot)
	case *parse.FieldNode:
		if dot {
			r.path(n.Pos, "", n.Ident)
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			r.path(n.Pos, "$", n.Ident[1:])
		}
	case *parse.IdentifierNode:
		if known := functionNames(); !slices.Contains(known, n.Ident) {
			r.wrong(n.Pos, "no function %q%s", n.Ident, strictjson.OneOf(n.Ident, known))
		}
	}
}

// path refuses names that no outcome has, also where no sample comes by.
func (r *reader) path(at parse.Pos, from string, names []string) {
	if value, known := blank()[names[0]]; !known {
		r.wrong(at, "%s", noField(names[0]))
	} else if members, ok := value.(map[string]any); ok && len(names) > 1 && len(members) == 0 {
		r.wrong(at, "%s", mayMiss(from+"."+names[0], names[1]))
	}
}

func noField(name string) string {
	hint := strictjson.DidYouMean(name, knownFields())
	if hint == "" {
		hint = fmt.Sprintf("; a label is (get .labels %q), a value of the data (get .data %q)", name, name)
	}
	return fmt.Sprintf("no field %q%s", name, hint)
}

func mayMiss(object, name string) string {
	return fmt.Sprintf("%s.%s may be missing; want (get %s %q), which is empty then, or (get %s %q \"what else\")", object, name, object, name, object, name)
}

// functionNames are the functions that a template may call, in their order.
func functionNames() []string {
	names := append(slices.Collect(maps.Keys(functions)), "and", "or", "not", "len", "index", "ago")
	slices.Sort(names)
	return names
}

// round is what is put before the body of a range. An assignment writes
// nothing, so that html/template has nothing to escape.
func round(at parse.Pos) parse.Node {
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse("{{$_ := "+roundFunc+"}}", "", "", map[string]*parse.Tree{}); err != nil {
		panic(err) // the text above is a template
	}
	action := tree.Root.Nodes[0].(*parse.ActionNode)
	action.Pos = at
	return action
}

var (
	parsePlace = regexp.MustCompile(`(?s)^template: ` + name + `:(\d+): (.*)$`)
	execPlace  = regexp.MustCompile(`(?s)^template: ` + name + `:(\d+):(\d+): executing "` + name + `" at <.*?>: (.*)$`)
	noEntry    = regexp.MustCompile(`^map has no entry for key "(.*)"$`)
)

// parseComplaint is the line, and what the parser says of it.
func parseComplaint(err error) (line int, what string) {
	m := parsePlace.FindStringSubmatch(err.Error())
	if m == nil {
		return 1, err.Error()
	}
	line, _ = strconv.Atoi(m[1])
	return line, m[2]
}

// lineOffset is the offset of a byte of a line, which is counted from 1.
func lineOffset(text string, line, col int) int {
	at := 0
	for range line - 1 {
		next := strings.IndexByte(text[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	return min(at+col, len(text))
}

// complain says at its place why a letter about a sample could not be written.
func complain(raw strictjson.Raw, err error, s sample) error {
	if e, ok := errors.AsType[*htmltemplate.Error](err); ok {
		return raw.Within(lineOffset(raw.Str(), max(e.Line, 1), 0)).Errorf("template: %s", e.Description)
	}
	m := execPlace.FindStringSubmatch(err.Error())
	if m == nil {
		return raw.At.Errorf("template, for %s: %w", s.name, err)
	}
	line, _ := strconv.Atoi(m[1])
	col, _ := strconv.Atoi(m[2])
	offset := lineOffset(raw.Str(), line, col)
	return raw.Within(offset).Errorf("template, for %s: %s", s.name, meant(raw.Str(), offset, m[3]))
}

// meant is what went wrong in the template, with the name that was meant.
func meant(template string, offset int, problem string) string {
	m := noEntry.FindStringSubmatch(problem)
	if m == nil {
		return problem
	}
	from := offset
	for from > 0 && isPath(template[from-1]) {
		from--
	}
	object := template[from:offset]
	switch object[strings.LastIndexByte(object, '.')+1:] {
	case "labels", "data", "groupLabels":
		return mayMiss(object, m[1])
	}
	return noField(m[1])
}

// isPath says whether the byte belongs to an expression such as $.labels.site.
func isPath(b byte) bool {
	return b == '.' || b == '$' || b == '_' || b >= 0x80 || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

package trials

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
)

// Coverage counts what the tests of a folder have seen of its conditions.
type Coverage struct {
	conditions []*covered
	byPlace    map[string]*covered
}

// covered is one expression.
type covered struct {
	rules.Expression
	tracer *logic.Tracer
	seen   []logic.Seen // by part
}

// Coverage begins to count.
func (f *Folder) Coverage() *Coverage {
	c := &Coverage{byPlace: map[string]*covered{}}
	for _, id := range slices.Sorted(maps.Keys(f.programs)) {
		in := f.programs[id].Interaction()
		for _, e := range in.Expressions() {
			tracer, err := logic.NewTracer(e.Logic)
			if err != nil {
				continue // it would not have been compiled
			}
			one := &covered{Expression: e, tracer: tracer, seen: make([]logic.Seen, len(tracer.Parts()))}
			c.conditions = append(c.conditions, one)
			c.byPlace[placed(e.Logic.At)] = one
		}
	}
	return c
}

func (c *Coverage) look(_ string, e *logic.Expr, data any, _ *rules.Sample, _ *Case) {
	one := c.byPlace[placed(e.Source().At)]
	if one == nil {
		return
	}
	for i, s := range one.tracer.Trace(data).Seen {
		for verdict, n := range s {
			one.seen[i][verdict] += n
		}
	}
}

// gap is what no test has seen of a part.
type gap struct {
	at   strictjson.Place
	what string
	text string
}

// role is what the expression around a part asks it for.
type role uint8

const (
	operand role = iota // its value
	truth               // whether it is true
	branch              // its value, when a condition chose it
)

// gaps are those of one expression, the whole first. What is in a part that was
// never judged is not named.
func (c *covered) gaps() (out []gap) {
	parts := c.tracer.Parts()
	silent := map[int]bool{}
	for i, p := range parts {
		around, as := roleOf(parts, i)
		s := c.seen[i]
		silent[i] = s.Times() == 0
		what := ""
		switch {
		case i > 0 && silent[around]:
		case as == branch && silent[i]:
			what = "never taken"
		case as != truth || p.Constant():
		case silent[i]:
			what = "never judged"
		case s[logic.True] == 0 && s[logic.False] == 0:
			what = "never true, never false"
		case s[logic.True] == 0:
			what = "never true"
		case s[logic.False] == 0:
			what = "never false"
		}
		if what != "" {
			out = append(out, gap{p.Raw.At, what, compactText(p.Raw)})
		}
	}
	return out
}

// roleOf gives the part around a part, and what that asks of it.
func roleOf(parts []logic.Part, i int) (around int, as role) {
	if i == 0 {
		return 0, truth
	}
	around = slices.IndexFunc(parts[:i], func(p logic.Part) bool { return slices.Contains(p.Operands, i) })
	p := &parts[around]
	switch p.Operator {
	case "and", "or":
		return around, truth
	case "if", "?:":
		n := slices.Index(p.Operands, i)
		if n%2 == 0 && n < len(p.Operands)-1 {
			return around, truth
		}
		return around, branch
	}
	return around, operand
}

// Full says whether every condition and branch was seen true and false.
func (c *Coverage) Full() bool {
	return !slices.ContainsFunc(c.conditions, func(e *covered) bool { return len(e.gaps()) > 0 })
}

// Write tells of the conditions, one a line, and below it what is not covered.
func (c *Coverage) Write(w io.Writer) {
	full := 0
	for _, e := range c.conditions {
		s := e.seen[0]
		fmt.Fprintf(w, "  %s  %s  %s\n", placed(e.Logic.At), e.title(), compactText(e.Logic))
		fmt.Fprintf(w, "      true %d, false %d, unknown %d%s\n", s[logic.True], s[logic.False], s[logic.Unknown], failures(s))
		gaps := e.gaps()
		if len(gaps) == 0 {
			full++
		}
		for _, g := range gaps {
			fmt.Fprintf(w, "      %-24s %s  %s\n", g.what, placed(g.at), g.text)
		}
	}
	fmt.Fprintf(w, "  %d of %d conditions were true and false, with all their branches\n", full, len(c.conditions))
}

func (c *covered) title() string {
	if c.Part == "conditions" {
		return c.Rule
	}
	return c.Rule + " " + c.Part
}

func failures(s logic.Seen) string {
	if s[logic.Failed] == 0 {
		return ""
	}
	return fmt.Sprintf(", failed %d", s[logic.Failed])
}

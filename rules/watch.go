package rules

import (
	"maps"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// Judged is one look of a rule at some of its expressions: its conditions, or
// what ends it, a level or a step.
type Judged struct {
	Rule     string
	Exprs    []*logic.Expr // all of them are required
	Document []byte        // what they are judged over: the sample, or what the rule makes of it; valid until the call returns
	Verdict  logic.Verdict
}

// Watched is the same program, which tells of each look. It is for tests and
// explanations: it is slower, and judges one rule after the other.
func (p *Program) Watched(tell func(Judged)) *Program {
	q := *p
	q.watch = tell
	q.plans = maps.Clone(p.plans)
	for feed, pl := range q.plans {
		if pl.many != nil {
			alone := *pl
			alone.many, alone.steps = nil, pl.single
			q.plans[feed] = &alone
		}
	}
	return &q
}

// see tells the watcher of a look, if there is one.
func (v *view) see(name string, t *rule, verdict logic.Verdict) {
	if tell := v.program.watch; tell != nil && len(t.conditions) > 0 {
		tell(Judged{Rule: name, Exprs: t.conditions, Document: v.machine.Sample(), Verdict: verdict})
	}
}

// Expression is one expression of a rule.
type Expression struct {
	Rule  string
	Part  string // conditions, clearCondition, levels or sequence
	Logic strictjson.Raw
}

// Expressions are all that the interaction's rules ask by, in the order of the
// document.
func (in *Interaction) Expressions() []Expression {
	var out []Expression
	for i := range in.Rules {
		spec := &in.Rules[i]
		add := func(part string, r strictjson.Raw) {
			if !r.IsZero() {
				out = append(out, Expression{spec.name(), part, r})
			}
		}
		for _, c := range spec.Conditions {
			add("conditions", c.Logic)
		}
		if spec.ClearCondition != nil {
			add("clearCondition", spec.ClearCondition.Logic)
		}
		for _, l := range spec.Levels {
			add("levels", l.Logic)
			add("levels", l.Clear)
		}
		if spec.Sequence != nil {
			for _, step := range spec.Sequence.Steps {
				add("sequence", step.Logic)
			}
		}
	}
	return out
}

// Interaction is the document that the program was compiled from.
func (p *Program) Interaction() Interaction { return p.in }

package rules

import (
	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/sequence"
)

// steps is the sequence of a rule.
type steps struct {
	machine *sequence.Machine
	within  int64
	ids     []string // quoted, with their colons
	tests   []*rule  // by step
	refers  []bool   // by step: it reads what earlier steps saw
}

// judge takes a sample, or at a timer none: true when the sequence is complete.
func (q *steps) judge(r *stateful, j *judgement) logic.Verdict {
	p := j.m.part()
	if p.sequence == nil {
		p.sequence = &sequence.State{}
	}
	var done []sequence.Match
	if j.feed == nil {
		done, _ = q.machine.Expire(p.sequence, j.at+1)
	} else {
		done = q.feed(r, j)
	}
	if len(done) > 0 {
		return logic.True
	}
	return logic.False
}

func (q *steps) feed(r *stateful, j *judgement) []sequence.Match {
	c := j.st.counters
	note := c.doc
	whole := true // the view shows the sample's own document
	done, lost := q.machine.Feed(j.m.parts.sequence, j.at, note, func(partial, step int) (isTrue, known bool) {
		if q.refers[step] {
			r.look(c, j.p, q.withSteps(j.m.parts.sequence, partial, note))
			whole = false
		} else if !whole {
			r.look(c, j.p, note)
			whole = true
		}
		verdict := r.test(j.v, q.tests[step])
		return verdict == logic.True, verdict == logic.True || verdict == logic.False
	})
	if !whole {
		r.look(c, j.p, note)
	}
	c.rules[r.index].Lost += uint64(lost.Dropped)
	return done
}

// withSteps is a document to which is added what the steps of a partial match saw.
func (q *steps) withSteps(st *sequence.State, partial int, doc []byte) []byte {
	with := append([]byte(nil), doc...)
	if len(with) > 2 {
		with[len(with)-1] = ','
	} else {
		with = append(with[:0], '{')
	}
	with = append(with, `"steps":{`...)
	n := 0
	for i, id := range q.ids {
		if partial < 0 {
			break
		}
		if note := st.Note(partial, i); note != nil {
			with = append(append(appendComma(with, n), id...), note...)
			n++
		}
	}
	return append(with, "}}"...)
}

package rules

import "tocsin.internal/rules/series"

// window is the window of a rule with its aggregates. The conditions are judged
// when it tells of itself.
type window struct {
	spec    *series.Window
	kind    string
	size    int64
	fields  []field
	atOnce  bool // it tells at samples, not at its close
	waiting bool // it closes by time
}

func (w *window) reach() int64 { return w.size }

func (w *window) due(st *series.WindowState) int64 {
	if !w.waiting {
		return noTime
	}
	return w.spec.Due(st)
}

// telling is what a window tells of itself.
type telling struct {
	end     int64
	results []float64
}

// collect takes a sample into the rule's window.
func (r *stateful) collect(j *judgement, out []Outcome) []Outcome {
	c, p, w := j.st.counters, j.m.part(), r.window
	f := &c.rules[r.index]
	if p.window == nil {
		p.window = &series.WindowState{}
	}
	c.values = c.values[:0]
	for _, field := range w.fields {
		c.values = append(c.values, j.v.number(field))
	}
	if w.atOnce {
		p.base = append(p.base[:0], r.base(j)...)
	}
	lost := p.window.Dropped
	if c.told = c.told[:0]; !w.spec.Add(p.window, &c.scratch, j.at, c.values, c.tell) {
		f.Late++
		return out
	}
	f.Lost += p.window.Dropped - lost
	out = r.closed(j, out)
	if !w.atOnce {
		f.Skipped++
	}
	if !w.atOnce && !j.old {
		p.base = append(p.base[:0], r.base(j)...)
	}
	return out
}

// advance closes the windows whose time has come.
func (r *stateful) advance(j *judgement, out []Outcome) []Outcome {
	c := j.st.counters
	c.told = c.told[:0]
	r.window.spec.Advance(j.m.part().window, &c.scratch, j.at+1, c.tell)
	return r.closed(j, out)
}

// closed judges what the window has told of itself.
func (r *stateful) closed(j *judgement, out []Outcome) []Outcome {
	c := j.st.counters
	for _, t := range c.told {
		mo := *j.moment
		end := t.end
		if r.window.atOnce && j.old {
			end = j.last // an older sample has filled it
		}
		mo.at = timeOf(end)
		k := judgement{moment: &mo, m: j.m, feed: j.feed, at: end, last: noTime}
		c.doc = append(c.doc[:0], j.m.part().base...)
		if len(c.doc) == 0 {
			c.doc = append(c.doc, "{}"...)
		}
		r.compose(&k, c.doc, t.results)
		out = r.decide(&k, out)
	}
	return out
}

// note keeps what a window tells until it can be judged.
func (c *Counters) note(end int64, _ int, results []float64) {
	if len(c.told) < cap(c.told) {
		c.told = c.told[:len(c.told)+1]
	} else {
		c.told = append(c.told, telling{})
	}
	t := &c.told[len(c.told)-1]
	t.end, t.results = end, append(t.results[:0], results...)
}

// appendAggregates appends the variable and a comma.
func (r *stateful) appendAggregates(doc []byte, results []float64) []byte {
	if results == nil {
		return doc
	}
	doc = append(doc, `"$agg":{`...)
	for i, result := range results {
		doc = append(doc, r.aggregateNames[i]...)
		doc = append(appendNumber(doc, result), ',')
	}
	doc[len(doc)-1] = '}'
	return append(doc, ',')
}

package trials

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
)

// Result is what became of one case.
type Result struct {
	Case     *Case
	Samples  int
	Outcomes int
	Took     time.Duration
	Failures []Failure
	Err      error // the test itself is wrong, or a sample cannot be judged

	told   []told
	judged error // why the samples could not be judged
}

// OK says that everything came that was wanted, and nothing that was not.
func (r *Result) OK() bool { return r.Err == nil && len(r.Failures) == 0 }

// told is an outcome, and when it came.
type told struct {
	rules.Outcome
	line  []byte
	value map[string]any
	after int // the sample of the case after which it came
}

// Observer hears of each look at an expression: a [Coverage] or a [Reference].
type Observer interface {
	look(rule string, expr *logic.Expr, data any, s *rules.Sample, c *Case)
}

// Run runs one case. Observers hear of each look at an expression.
func (c *Case) Run(observers ...Observer) Result {
	began := time.Now()
	r := Result{Case: c, Samples: len(c.samples), Err: c.Err}
	if c.Err == nil {
		j := &judge{c: c, observers: observers}
		r.told, r.judged = j.run()
		r.Outcomes, r.Err = len(r.told), r.judged
		if r.Err == nil {
			r.Failures, r.Err = c.compare(j, r.told)
		}
	}
	r.Took = time.Since(began)
	return r
}

// Update writes what came to outcomes.ndjson where the case is of that file, and
// says what that changes; "" for nothing. The case has then passed.
func (r *Result) Update() (string, error) {
	if !r.Case.outcomes || r.told == nil && r.Case.Err != nil {
		return "", nil
	}
	if r.judged != nil {
		return "", r.judged
	}
	said, err := r.Case.update(r.told)
	if err == nil {
		r.Failures, r.Err = nil, nil
	}
	return said, err
}

// judge judges the samples of a case.
type judge struct {
	c         *Case
	observers []Observer
	samples   []rules.Sample // in the order in which they are judged
	at        int            // the one that is judged
	looks     []looked
	replay    *engine.Replay
}

// looked is all that a rule saw at once.
type looked struct {
	rule     string
	document []byte
	exprs    []*logic.Expr
	sample   int
}

func (j *judge) run() ([]told, error) {
	programs := map[string]*rules.Program{}
	for id, p := range j.c.folder.programs {
		programs[id] = p.Watched(func(l rules.Judged) { j.note(l) })
	}
	j.replay = engine.NewReplay(programs, j.c.twins)
	j.samples = slices.Clone(j.c.samples)
	if j.replay.Timed() {
		engine.Merge(j.samples)
	}
	var out []rules.Outcome
	var all []told
	var errs []error
	for i := range j.samples {
		s := &j.samples[i]
		j.at = i
		var err error
		if out, err = j.replay.Judge(s, out); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", j.c.file, s.Seq, err))
		}
		all = j.keep(all, out)
	}
	if !j.c.until.IsZero() {
		var last uint64
		if n := len(j.samples); n > 0 {
			last = j.samples[n-1].Seq
		}
		out = j.replay.Until(j.c.until, last, out)
		all = j.keep(all, out)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, j.silent(all)
}

// keep takes the outcomes in that are new.
func (j *judge) keep(all []told, out []rules.Outcome) []told {
	for i := len(all); i < len(out); i++ {
		t := told{Outcome: out[i], line: out[i].AppendJSON(nil), after: j.at}
		if err := json.Unmarshal(t.line, &t.value); err != nil {
			t.value = map[string]any{}
		}
		all = append(all, t)
	}
	return all
}

// silent says when no rule was asked anything: such a test forbids in vain.
func (j *judge) silent(all []told) error {
	if len(all) > 0 || len(j.samples) == 0 {
		return nil
	}
	for _, f := range j.replay.Funnels() {
		for _, counts := range f.Rules {
			if counts.Received > 0 {
				return nil
			}
		}
	}
	s := &j.samples[0]
	return fmt.Errorf("%s: no rule received a sample: the first is of twin %q on feed %q; the rules read %s of %s",
		j.c.Place, s.Twin, s.Feed, join(j.c.folder.feeds()), j.c.whose())
}

// whose says which twins count.
func (c *Case) whose() string {
	if c.twins == nil {
		return "every twin"
	}
	return "the twins that are described and match a source"
}

// note takes a look in.
func (j *judge) note(l rules.Judged) {
	j.looks = append(j.looks, looked{l.Rule, slices.Clone(l.Document), l.Exprs, j.at})
	if len(j.observers) == 0 {
		return
	}
	var data any
	if json.Unmarshal(l.Document, &data) != nil {
		return // of what cannot be read there is nothing to say
	}
	for _, o := range j.observers {
		for _, e := range l.Exprs {
			o.look(l.Rule, e, data, &j.samples[j.at], j.c)
		}
	}
}

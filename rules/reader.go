package rules

import (
	"strings"

	"tocsin.internal/rules/logic"
)

// Reader reads the samples of one feed for all programs that judge them: one
// pass over a sample's bytes finds everything that any of their rules names. It
// belongs to one goroutine.
type Reader struct {
	machine *logic.Machine
	views   []*view
	byOwner map[*Program]*view // nil while there are few
	reads   uint64
	data    []byte // of the sample that was read last
}

// view is what a reader knows of one program.
type view struct {
	program *Program
	plan    *plan
	machine *logic.Machine
	rules   int // the machine's index of plan.rules[0]
	fields  int // and of plan.fields[0]
	many    *manyView

	// Scratch of one output.
	made  []*output
	taken []field
}

// fewViews are searched one by one.
const fewViews = 4

// NewReader makes a reader of a feed for the programs that take it; others are
// left out.
func NewReader(feed string, programs ...*Program) *Reader {
	var b logic.Builder
	r := &Reader{}
	for _, p := range programs {
		if pl := p.plans[feed]; pl != nil && p.in.Enabled {
			r.views = append(r.views, pl.view(p, &b))
		}
	}
	set := b.Build()
	r.machine = set.NewMachine()
	if len(r.views) > fewViews {
		r.byOwner = make(map[*Program]*view, len(r.views))
	}
	for _, v := range r.views {
		v.machine = r.machine
		v.many = v.plan.many.view(v, set)
		if r.byOwner != nil {
			r.byOwner[v.program] = v
		}
	}
	return r
}

// view adds what the rules of a plan need.
func (pl *plan) view(p *Program, b *logic.Builder) *view {
	v := &view{program: p, plan: pl, rules: -1, fields: -1}
	for _, r := range pl.rules {
		if i := b.Rule(r.conditions...); v.rules < 0 {
			v.rules = i
		}
	}
	for _, path := range pl.fields {
		if i := b.Field(path...); v.fields < 0 {
			v.fields = i
		}
	}
	return v
}

// Read reads a sample for all programs of the reader. What encoding/json
// refuses is refused, and so is what is not an object or nests too deeply; of
// duplicate names the last one counts. The error is a *DataError.
func (r *Reader) Read(s *Sample) error {
	if r.has(s) {
		return nil
	}
	if s.Refused != "" {
		return &DataError{Reason: s.Refused}
	}
	r.reads++ // of any sample before nothing is left
	if !isObject(s.Data) || !r.machine.Load(s.Data) {
		return explain(s.Data)
	}
	s.reader, s.read, r.data = r, r.reads, s.Data
	return nil
}

// has says whether the sample is the one that was read last. Its data may have
// been replaced, but not changed.
func (r *Reader) has(s *Sample) bool {
	return s.reader == r && s.read == r.reads && len(s.Data) == len(r.data) && &s.Data[0] == &r.data[0]
}

// view is the one of a program, nil when the reader was not made for it.
func (r *Reader) view(p *Program) *view {
	if r.byOwner != nil {
		return r.byOwner[p]
	}
	for _, v := range r.views {
		if v.program == p {
			return v
		}
	}
	return nil
}

// raw is a field of the plan as the device wrote it, so that 31.20 stays 31.20;
// nil when it is absent.
func (v *view) raw(f int) []byte { return v.machine.Raw(v.fields + f) }

// field is the index of a path among the plan's fields.
func (pl *plan) field(path ...string) int {
	key := strings.Join(path, "\x00")
	i, ok := pl.fieldAt[key]
	if !ok {
		i = len(pl.fields)
		pl.fields = append(pl.fields, path)
		pl.fieldAt[key] = i
	}
	return i
}

package twins

import (
	"cmp"
	"iter"
	"slices"
	"unicode"

	"tocsin.internal/rules"
)

// Registry holds twins by id, by property, by the words of their labels and
// comments, and by place. The zero Registry is empty and
// ready. Put and Delete exclude every other call; the others may run at once
// with each other. The twins that it gives out are its own: they must not be
// changed, and it never changes them, but puts others in their place.
type Registry struct {
	byID       map[string]*Twin
	all        ordered
	byProperty index[rules.Property]
	byWord     index[string]
	byCell     index[cell]
}

// Put adds t, or puts it in the place of the twin with its id, and says
// whether that made a difference.
func (r *Registry) Put(t Twin) (changed bool) {
	old, known := r.byID[t.ID]
	if known && old.Equal(&t) {
		return false
	}
	if r.byID == nil {
		r.byID, r.byProperty, r.byWord, r.byCell = map[string]*Twin{}, index[rules.Property]{}, index[string]{}, index[cell]{}
	}
	if known {
		r.unlist(old)
	}
	r.byID[t.ID] = &t
	r.all.put(&t)
	for _, p := range t.Properties {
		r.byProperty.add(p, &t)
	}
	for word := range words(&t) {
		r.byWord.add(word, &t)
	}
	if t.Location != nil {
		r.byCell.add(cellOf(*t.Location), &t)
	}
	return true
}

// Delete removes the twin with that id and says whether there was one.
func (r *Registry) Delete(id string) bool {
	t, ok := r.byID[id]
	if !ok {
		return false
	}
	r.unlist(t)
	r.all.remove(id)
	delete(r.byID, id)
	return true
}

func (r *Registry) unlist(t *Twin) {
	for _, p := range t.Properties {
		r.byProperty.remove(p, t.ID)
	}
	for word := range words(t) {
		r.byWord.remove(word, t.ID)
	}
	if t.Location != nil {
		r.byCell.remove(cellOf(*t.Location), t.ID)
	}
}

// Get is the twin with that id.
func (r *Registry) Get(id string) (*Twin, bool) {
	t, ok := r.byID[id]
	return t, ok
}

// Len is the number of twins.
func (r *Registry) Len() int { return len(r.byID) }

// All are the twins in the order of their ids. The loop must not change the registry.
func (r *Registry) All() iter.Seq[*Twin] { return r.all.each }

// Matches are the twins that [Match], in the order of their ids. Only the twins
// are looked at that have the rarest of the properties, a word of the text, or
// lie around the place. The loop must not change the registry.
func (r *Registry) Matches(f *rules.Filter) iter.Seq[*Twin] {
	return func(yield func(*Twin) bool) {
		m := newMatcher(f)
		for t := range r.candidates(&m) {
			if _, ok := m.match(t); ok && !yield(t) {
				return
			}
		}
	}
}

// candidates are few twins among which is every match, in the order of their ids.
func (r *Registry) candidates(m *matcher) iter.Seq[*Twin] {
	rarest := list{many: &r.all}
	for _, p := range m.filter.Properties {
		if l := r.byProperty[p]; l.len() < rarest.len() {
			rarest = l
		}
	}
	best, cost := rarest.each, rarest.len()
	for _, lists := range [][]list{r.withText(m), r.within(m.filter.Location)} {
		n := 0
		for _, l := range lists {
			n += l.len()
		}
		switch {
		case lists == nil || n >= cost:
		case len(lists) == 1:
			best, cost = lists[0].each, n
		case gatherCost*n < cost: // they have to be brought into their order first
			best, cost = gathered(lists), gatherCost*n
		}
	}
	return best
}

// gatherCost is how much more it takes to gather a twin from several lists than
// to pass by one in a list.
const gatherCost = 4

// gathered are the twins of several lists in the order of their ids, each once.
func gathered(lists []list) iter.Seq[*Twin] {
	return func(yield func(*Twin) bool) {
		var all []*Twin
		for _, l := range lists {
			for t := range l.each {
				all = append(all, t)
			}
		}
		slices.SortFunc(all, func(a, b *Twin) int { return cmp.Compare(a.ID, b.ID) })
		slices.Values(slices.Compact(all))(yield)
	}
}

// withText are lists in one of which is every twin that has a keyword of the
// text, as each has all words of one; nil where the text asks for nothing.
func (r *Registry) withText(m *matcher) []list {
	if m.filter.Text == "" {
		return nil
	}
	lists := []list{{}}
	for _, k := range m.keywords {
		rarest := r.byWord[folded(k[0])]
		for _, word := range k[1:] {
			if l := r.byWord[folded(word)]; l.len() < rarest.len() {
				rarest = l
			}
		}
		if rarest.len() > 0 {
			lists = append(lists, rarest)
		}
	}
	if len(lists) > 1 {
		lists = lists[1:]
	}
	return lists
}

// The sizes of a page of search results.
const (
	DefaultLimit = 500
	MaxLimit     = 1000
)

// Query asks for one page of the twins that match a filter.
type Query struct {
	Filter rules.Filter
	Limit  int // of the page; 0 or less is DefaultLimit, and none is above MaxLimit
	Offset int // how many twins come before the page
}

// Search is the page of the twins that [Match], those with more of the text's
// keywords first, and else in the order of their ids.
func (r *Registry) Search(q Query) []*Twin {
	from, to := q.bounds(r.Len())
	found := r.Ranked(&q.Filter, to)
	return found[min(from, len(found)):]
}

// bounds are the page in a list of at most so many.
func (q *Query) bounds(most int) (from, to int) {
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	from = min(max(q.Offset, 0), most)
	return from, from + min(limit, MaxLimit)
}

// Ranked are the first of the twins that [Match], at most so many, in the order of
// Search.
func (r *Registry) Ranked(f *rules.Filter, to int) []*Twin {
	m := newMatcher(f)
	byScore := make([][]*Twin, len(m.keywords)+1)
	for t := range r.candidates(&m) {
		score, ok := m.match(t)
		if !ok {
			continue
		}
		if len(byScore[score]) < to {
			byScore[score] = append(byScore[score], t)
		}
		if len(byScore[len(m.keywords)]) == to {
			break // nothing later comes before these
		}
	}
	slices.Reverse(byScore)
	found := slices.Concat(byScore...)
	return found[:min(to, len(found))]
}

// Suggest is the id that someone who wrote id may have meant: the one with the
// fewest edits, at most two and a third of its characters, or "" when none is
// near. So that its cost is bounded, it looks among many twins only at some
// hundreds that come before and after id in the order.
func (r *Registry) Suggest(id string) string {
	written := appendLower(nil, id)
	best, bestAt := "", min(2, max(1, len(written)/3))+1
	var other []rune
	for _, block := range r.all.around(id) {
		for _, t := range block {
			other = appendLower(other[:0], t.ID)
			if d := edits(written, other, bestAt); d < bestAt {
				best, bestAt = t.ID, d
			}
		}
	}
	return best
}

func appendLower(to []rune, s string) []rune {
	for _, c := range s {
		to = append(to, unicode.ToLower(c))
	}
	return to
}

// edits is the number of insertions, deletions, substitutions and
// transpositions of neighbours that make b of a, or enough when it is not less.
func edits(a, b []rune, enough int) int {
	if len(a) >= len(b)+enough || len(b) >= len(a)+enough {
		return enough
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	width := len(b) + 1
	rows := make([]int, 3*width)
	prev2, prev, cur := rows[:width], rows[width:2*width], rows[2*width:]
	for j := range prev {
		prev[j] = j
	}
	least := 0
	for i := range a {
		above := least
		from, to := max(0, i-enough), min(len(b), i+enough+1) // what is farther from the diagonal is enough
		if cur[from] = enough; from == 0 {
			cur[0] = i + 1
		}
		least = cur[from]
		for j := from; j < to; j++ {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			n := min(prev[j+1]+1, cur[j]+1, prev[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				n = min(n, prev2[j-1]+1)
			}
			cur[j+1] = n
			least = min(least, n)
		}
		if to < len(b) {
			cur[to+1] = enough
		}
		if min(above, least) >= enough {
			return enough
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return min(prev[len(b)], enough)
}

// ordered is a set of twins in the order of their ids. It is a list of blocks
// that are not empty, so that a change moves one block's twins and not all.
type ordered struct {
	blocks [][]*Twin
	len    int
}

// maxBlock bounds a block; a fuller one is split in two.
const maxBlock = 128

// find is where the twin of that id is, or else where it belongs.
func (o *ordered) find(id string) (block, i int, found bool) {
	block, found = slices.BinarySearchFunc(o.blocks, id, func(b []*Twin, id string) int { return cmp.Compare(b[0].ID, id) })
	if found || block == 0 {
		return block, 0, found
	}
	block--
	i, found = slices.BinarySearchFunc(o.blocks[block], id, func(t *Twin, id string) int { return cmp.Compare(t.ID, id) })
	return block, i, found
}

func (o *ordered) put(t *Twin) {
	block, i, found := o.find(t.ID)
	if found {
		o.blocks[block][i] = t
		return
	}
	o.len++
	if len(o.blocks) == 0 {
		o.blocks = [][]*Twin{{t}}
		return
	}
	b := slices.Insert(o.blocks[block], i, t)
	o.blocks[block] = b
	if len(b) > maxBlock {
		half := len(b) / 2
		o.blocks = slices.Insert(o.blocks, block+1, slices.Clone(b[half:]))
		o.blocks[block] = slices.Delete(b, half, len(b))
	}
}

func (o *ordered) remove(id string) {
	block, i, found := o.find(id)
	if !found {
		return
	}
	o.len--
	if o.blocks[block] = slices.Delete(o.blocks[block], i, i+1); len(o.blocks[block]) == 0 {
		o.blocks = slices.Delete(o.blocks, block, block+1)
	}
}

func (o *ordered) each(yield func(*Twin) bool) {
	for _, b := range o.blocks {
		for _, t := range b {
			if !yield(t) {
				return
			}
		}
	}
}

// around is the block where id is or belongs, with its two neighbours.
func (o *ordered) around(id string) [][]*Twin {
	block, _, _ := o.find(id)
	return o.blocks[max(block-1, 0):min(block+2, len(o.blocks))]
}

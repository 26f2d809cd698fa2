package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tocsin.internal/rules"
)

// circle is the warning about interactions that follow each other's output twins,
// beginning and ending with one; "" when it is in no such circle. Only what the
// properties of filters say is looked at: what their texts match is not known
// before there are twins.
func circle(id string, wanted map[string]*rules.Program) string {
	after := map[string]string{} // an interaction to one that follows its output twins
	for todo := []string{id}; len(todo) > 0; todo = todo[1:] {
		p := wanted[todo[0]]
		for _, maker := range namedMakers(p, wanted) {
			if _, seen := after[maker]; seen || maker == p.ID() || !takesOutputs(p, wanted[maker]) {
				continue
			}
			after[maker] = p.ID()
			if maker == id {
				return circleText(id, after)
			}
			todo = append(todo, maker)
		}
	}
	return ""
}

func circleText(id string, after map[string]string) string {
	path := []string{id}
	for at := after[id]; at != id; at = after[at] {
		path = append(path, at)
	}
	return fmt.Sprintf("a circle of interactions, each of which follows the output twins of the one before: %s; it ends after %d", strings.Join(append(path, id), ", "), MaxHops)
}

// namedMakers are the interactions whose output twins the filters of p may ask for.
func namedMakers(p *rules.Program, wanted map[string]*rules.Program) (makers []string) {
	for _, s := range p.Sources() {
		all := false
		for _, f := range s.Filter.Properties {
			switch {
			case f.Key == rules.PropModel && wanted[f.Value.Value] != nil:
				makers = append(makers, f.Value.Value)
			case f.Key == rules.PropCreatedFrom:
				all = true
			}
		}
		if all && len(s.Filter.Properties) == 1 {
			makers = slices.AppendSeq(makers, maps.Keys(wanted))
		}
	}
	slices.Sort(makers)
	return makers
}

// takesOutputs says whether a source of p asks for output twins of the maker and
// for a feed that they have.
func takesOutputs(p, maker *rules.Program) bool {
	for _, s := range p.Sources() {
		if len(s.Filter.Properties) == 0 || slices.ContainsFunc(s.Filter.Properties, func(f rules.Property) bool { return !isOfOutputs(f, maker.ID()) }) {
			continue
		}
		for _, feed := range s.Feeds {
			if slices.ContainsFunc(maker.Feeds(), func(f rules.Feed) bool { return f.ID == feed.ID }) {
				return true
			}
		}
	}
	return false
}

// isOfOutputs says whether every output twin of an interaction has the property.
func isOfOutputs(p rules.Property, maker string) bool {
	return p.Value.Kind == rules.URI &&
		(p.Key == rules.PropModel && p.Value.Value == maker || p.Key == rules.PropCreatedFrom && p.Value.Value == rules.CreatedByInteraction)
}

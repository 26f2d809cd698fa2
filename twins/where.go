package twins

import (
	"context"
	"strconv"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
)

// Where is a condition in JSONLogic on what is known of a twin.
type Where struct{ condition *logic.Expr }

// DecodeStrict reads the condition.
func (w *Where) DecodeStrict(r strictjson.Raw) (err error) {
	w.condition, err = logic.Compile(r)
	return err
}

// Holds says whether the condition is true of a twin. It sees {"id","visibility",
// "location":{"lat","lon"},"feeds":[ids],"inputs":[ids],"properties"}. There a
// property has the name that its key ends with, and its whole key as well; several
// values are a list. A condition that reads what the twin has not is not true.
func (w *Where) Holds(t *Twin) bool {
	verdict, err := w.condition.Decide(facts(t))
	return err == nil && verdict == logic.True
}

// facts are a twin as JSON, decoded.
func facts(t *Twin) map[string]any {
	properties := make(map[string]any, 2*len(t.Properties))
	for i := range t.Properties {
		p := &t.Properties[i]
		value := factOf(&p.Value)
		addFact(properties, p.Key, value)
		if name := p.Name(); name != p.Key {
			addFact(properties, name, value)
		}
	}
	all := map[string]any{"id": t.ID, "visibility": t.Seen(), "feeds": idsOf(t.Feeds), "inputs": idsOf(t.Inputs), "properties": properties}
	if t.Location != nil {
		all["location"] = map[string]any{"lat": t.Location.Lat, "lon": t.Location.Lon}
	}
	return all
}

// addFact adds one more value under a name.
func addFact(to map[string]any, name string, value any) {
	switch there := to[name].(type) {
	case nil:
		to[name] = value
	case []any:
		to[name] = append(there, value)
	default:
		to[name] = []any{there, value}
	}
}

// factOf is a number or a truth where the literal's type says so and its text is
// one; else the text.
func factOf(l *rules.Literal) any {
	if l.Kind != rules.TypedLiteral {
		return l.Value
	}
	switch l.DataType {
	case "string", "normalizedString", "token", "language", "anyURI", "hexBinary", "base64Binary", "NMTOKEN", "Name", "NCName":
	case "boolean":
		if b, err := strconv.ParseBool(l.Value); err == nil {
			return b
		}
	default:
		if n, err := strconv.ParseFloat(l.Value, 64); err == nil {
			return n
		}
	}
	return l.Value
}

func idsOf(feeds []rules.Feed) []any {
	ids := make([]any, len(feeds))
	for i := range feeds {
		ids[i] = feeds[i].ID
	}
	return ids
}

// Page is the page of the query among those of the found twins of which the condition
// holds. The error is that of ctx, which may end it: a condition on many twins takes
// its time.
func (w *Where) Page(ctx context.Context, found []*Twin, q Query) ([]*Twin, error) {
	from, to := q.bounds(len(found))
	var holding []*Twin
	for _, t := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if w.Holds(t) {
			holding = append(holding, t)
		}
		if len(holding) == to {
			break
		}
	}
	return holding[min(from, len(holding)):], nil
}

package twins

import (
	"encoding/json"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// Viewer is who looks at a ledger that is not their account's: UUIDs.
type Viewer struct{ Account, User, Role string }

// VisibleTo says whether the entry of a twin can be seen by somebody of another account.
func (e *Entry) VisibleTo(v Viewer, twin string) bool {
	return e.Visibility != nil && holds(e.Visibility, map[string]any{"account": v.Account, "user": v.User, "role": v.Role, "twin": twin})
}

// topics are those on which a change is told. The rule sees {"entry",
// "new_value", "old_value", "changed_ts", "ledger": the values since}; a value
// that there is not is a missing variable.
func (e *Entry) topics(c *EntryChange, values map[string]json.RawMessage, at Timestamp) []string {
	if e.Publish == nil {
		return nil
	}
	ledger := map[string]any{}
	for name, v := range values {
		ledger[name] = decoded(v)
	}
	data := map[string]any{"entry": c.Name, "changed_ts": float64(at) / 1000, "ledger": ledger}
	if c.New != nil {
		data["new_value"] = decoded(c.New)
	}
	if c.Old != nil {
		data["old_value"] = decoded(c.Old)
	}
	if e.Publish.Rule != nil && !holds(e.Publish.Rule, data) {
		return nil
	}
	return e.Publish.Topics
}

// holds says whether a rule is true over data; one that is unknown is not.
func holds(rule json.RawMessage, data map[string]any) bool {
	expression, err := compile(rule)
	if err != nil {
		return false // it was compiled before it was stored
	}
	verdict, err := expression.Decide(data)
	return err == nil && verdict == logic.True
}

func compile(rule json.RawMessage) (*logic.Expr, error) {
	raw, err := strictjson.Parse("rule", rule)
	if err != nil {
		return nil, err
	}
	return logic.Compile(readable(raw))
}

// readable is a rule in which the text True or true is the value true.
func readable(raw strictjson.Raw) strictjson.Raw {
	if s := raw.Str(); s == "True" || s == "true" {
		yes, _ := strictjson.Parse("rule", []byte("true")) // it is JSON
		return yes
	}
	return raw
}

// decoded is a value as rules see it.
func decoded(value json.RawMessage) (v any) {
	if json.Unmarshal(value, &v) != nil {
		return nil
	}
	return v
}

package accounts

import "slices"

// Statement says what a role may do: exactly its actions, or everything but them.
type Statement struct {
	Effect  string   `json:"effect"`
	Actions []string `json:"actions"`
}

// The effects.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Everything allows all operations, those too that are yet to come.
func Everything() Statement { return Statement{Effect: Deny, Actions: []string{}} }

// Allows says whether it allows an operation.
func (s Statement) Allows(name string) bool {
	named := func(action string) bool { return known(action) == known(name) }
	return slices.ContainsFunc(s.Actions, named) == (s.Effect == Allow)
}

// known is the name of an operation of which Trusted Twin's clients have another.
func known(name string) string {
	if name == "get_twin_ledger_entry" {
		return "get_twin_ledger"
	}
	return name
}

// Within is the first operation that s allows and o does not; "" when there is
// none, nor will be: of those that are yet to come a statement that denies allows
// more than one that allows.
func (s Statement) Within(o Statement) (beyond string) {
	for _, op := range operations {
		if op.Kind != Elsewhere && s.Allows(op.Name) && !o.Allows(op.Name) {
			return op.Name
		}
	}
	if s.Effect == Deny && o.Effect != Deny {
		return "what comes to be possible"
	}
	return ""
}

// always are the operations that nobody who is known has to be allowed.
var always = []string{"who_am_i"}

// allowed are the operations that users of an account with the statement may use.
func (s Statement) allowed(a *Account) []string {
	out := slices.Clone(always)
	for _, op := range operations {
		if op.Kind != Elsewhere && !slices.Contains(out, op.Name) && s.Allows(op.Name) && a.may(op) {
			out = append(out, op.Name)
		}
	}
	return out
}

// may says whether users of the account can be allowed an operation.
func (a *Account) may(op Operation) bool {
	switch {
	case a.UUID == Own():
		return true
	case op.Kind == OwnAccount:
		return false
	}
	return op.Kind != Installation || slices.Contains(a.Actions, op.Name)
}

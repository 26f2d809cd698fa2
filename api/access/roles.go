package access

import (
	"fmt"
	"slices"

	"tocsin.internal/accounts"
)

// Role is a name for what one may do.
type Role string

// Admin may do everything.
const Admin Role = "admin"

// roles are what there is, beside Admin; the table of operations says what they may.
var roles = []Role{"viewer", "device", "member", "operator", "author"}

// Roles are the names of all roles.
func Roles() []string {
	out := []string{string(Admin)}
	for _, r := range roles {
		out = append(out, string(r))
	}
	slices.Sort(out)
	return out
}

// Actions are what somebody with these roles may do; nil: everything.
func Actions(names []string) ([]Action, error) {
	actions, all := []Action{}, false
	for _, name := range names {
		if !slices.Contains(Roles(), name) {
			return nil, fmt.Errorf("no role %q", name)
		}
		all = all || Role(name) == Admin
		for _, operation := range accounts.BuiltIn(name) {
			if a := Action(operation); !slices.Contains(actions, a) {
				actions = append(actions, a)
			}
		}
	}
	if all {
		return nil, nil
	}
	return actions, nil
}

package accounts

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Own is the installation's own account: that of its rules, of API keys, and of
// everybody where nobody has to say who they are.
func Own() string { return derived("account") }

// OwnUser is the user of the own account that stands for a caller who has no
// account, by its name: that of an API key, or the DID of a user.
func OwnUser(name string) string { return derived("user:" + name) }

// OwnRole is the role of such a caller, by the built-in roles that it has.
func OwnRole(builtIn []string) string {
	if slices.Contains(builtIn, "admin") {
		return SuperAdmin(Own())
	}
	return derived("role:" + strings.Join(slices.Compact(slices.Sorted(slices.Values(builtIn))), " "))
}

// Administrator is the first Super Admin of an account; in the own account, also
// everybody where nobody has to say who they are.
func Administrator(account string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:administrator:"+account)).String()
}

// SuperAdmin is the role of an account whose users may do everything in it, and
// will what comes to be possible.
func SuperAdmin(account string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:role:super-admin:"+account)).String()
}

func derived(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:"+name)).String()
}

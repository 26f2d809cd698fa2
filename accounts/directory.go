package accounts

import (
	"cmp"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Directory is everybody there is. It is not safe for concurrent use.
type Directory struct {
	accounts map[string]*Account
	roles    map[string]*Role
	users    map[string]*User
	secrets  map[string]string   // the user of a secret's hash
	pins     map[string]string   // the user of a PIN's hash
	allowed  map[string][]string // what a role lets its users do
	gone     map[string]bool     // the ids of the documents of users and accounts that were there
}

// NewDirectory is one without anybody.
func NewDirectory() *Directory {
	return &Directory{map[string]*Account{}, map[string]*Role{}, map[string]*User{}, map[string]string{}, map[string]string{}, map[string][]string{}, map[string]bool{}}
}

// Apply takes in a document. Of one that cannot be read, what was there before is
// forgotten: it lets nobody do anything.
func (d *Directory) Apply(doc Document) error {
	kind, uuid, _ := strings.Cut(doc.ID, ".")
	if doc.Text != "" {
		delete(d.gone, doc.ID)
	} else if kind != roleKind {
		d.gone[doc.ID] = true
	}
	var err error
	switch kind {
	case accountKind:
		delete(d.accounts, uuid)
		err = apply(doc, d.accounts, func(a *Account) string { return a.UUID })
		for _, r := range d.Roles(uuid) {
			d.allow(r.UUID)
		}
	case roleKind:
		delete(d.roles, uuid)
		err = apply(doc, d.roles, func(r *Role) string { return r.UUID })
		d.allow(uuid)
	case userKind:
		d.forget(uuid)
		if err = apply(doc, d.users, func(u *User) string { return u.UUID }); err == nil {
			d.remember(d.users[uuid])
		}
	default:
		err = fmt.Errorf("document %q: no such kind", doc.ID)
	}
	return err
}

// NameOf is the name of a user of whatever account; "" where it has none.
func (d *Directory) NameOf(user string) string {
	if u := d.users[user]; u != nil {
		return u.Name
	}
	return ""
}

// Removed says whether there was such a user, or such an account, and is no more.
func (d *Directory) Removed(account, user string) bool {
	return d.gone[accountKind+"."+account] || d.gone[userKind+"."+user]
}

func apply[T any](doc Document, to map[string]*T, uuid func(*T) string) error {
	if doc.Text == "" {
		return nil
	}
	v, err := read(doc.ID, kindOf(doc.ID), doc.Text, uuid)
	if err == nil {
		to[uuid(v)] = v
	}
	return err
}

// allow works out what a role lets its users do.
func (d *Directory) allow(role string) {
	delete(d.allowed, role)
	r := d.roles[role]
	if r == nil {
		return
	}
	if a := d.accounts[r.Account]; a != nil {
		d.allowed[role] = r.Statement.allowed(a)
	}
}

func (d *Directory) forget(user string) {
	u := d.users[user]
	if u == nil {
		return
	}
	if u.Secret != nil {
		delete(d.secrets, u.Secret.Hash)
	}
	if u.PIN != nil {
		delete(d.pins, u.PIN.Hash)
	}
	delete(d.users, user)
}

func (d *Directory) remember(u *User) {
	if u == nil {
		return
	}
	if u.Secret != nil {
		d.secrets[u.Secret.Hash] = u.UUID
	}
	if u.PIN != nil {
		d.pins[u.PIN.Hash] = u.UUID
	}
}

// Identity is who shows a secret.
type Identity struct {
	Account, User, Role string
	Name                string    // of the user; it need not be its own
	Actions             []string  // the operations that it may use; nil: all
	Until               time.Time // zero: for ever
}

// Identify says who shows a secret; false when nobody has it, or it holds no longer.
func (d *Directory) Identify(secret string, now time.Time) (Identity, bool) {
	hash := hashOf(secret)
	u := d.users[d.secrets[hash]]
	if u == nil || u.Secret == nil || subtle.ConstantTimeCompare([]byte(u.Secret.Hash), []byte(hash)) != 1 || !u.Secret.holds(now) {
		return Identity{}, false
	}
	account, role := d.accounts[u.Account], d.roles[u.Role]
	if account == nil || role == nil || role.Account != account.UUID || d.allowed[role.UUID] == nil {
		return Identity{}, false
	}
	who := Identity{Account: account.UUID, User: u.UUID, Role: role.UUID, Name: u.Name}
	if u.Secret.Until != nil {
		who.Until = *u.Secret.Until
	}
	if role.UUID != SuperAdmin(Own()) {
		who.Actions = d.allowed[role.UUID]
	}
	return who, true
}

// Empty says whether nobody of the own account who may do everything can show it,
// nor is to: the first PIN is still to be used.
func (d *Directory) Empty(now time.Time) bool {
	for _, u := range d.users {
		if u.Role == SuperAdmin(Own()) && u.Secret != nil && u.Secret.holds(now) {
			return false
		}
	}
	return true
}

// Accounts are all, in the order of their names.
func (d *Directory) Accounts() []*Account {
	return slices.SortedFunc(maps.Values(d.accounts), func(a, b *Account) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	})
}

// Roles are those of an account.
func (d *Directory) Roles(account string) (out []*Role) {
	for _, r := range d.roles {
		if r.Account == account {
			out = append(out, r)
		}
	}
	return out
}

// Users are those of an account.
func (d *Directory) Users(account string) (out []*User) {
	for _, u := range d.users {
		if u.Account == account {
			out = append(out, u)
		}
	}
	return out
}

// Role is one of an account; the error is a [Refusal].
func (d *Directory) Role(account, uuid string) (*Role, error) {
	if r := d.roles[strings.ToLower(uuid)]; r != nil && r.Account == account {
		return r, nil
	}
	return nil, refuse(Missing, "no role %q", uuid)
}

// User is one of an account; the error is a [Refusal].
func (d *Directory) User(account, uuid string) (*User, error) {
	if u := d.users[strings.ToLower(uuid)]; u != nil && u.Account == account {
		return u, nil
	}
	return nil, refuse(Missing, "no user %q", uuid)
}

// Refusal is why something is not done.
type Refusal struct {
	Reason Reason
	Why    string
}

func (r *Refusal) Error() string { return r.Why }

// Reason is a kind of refusal.
type Reason int

// The reasons.
const (
	Missing  Reason = iota // there is no such thing, or it is not of the account
	Denied                 // who asks may not
	Conflict               // it cannot be done as things are
	TooMany                // there are as many as there can be
)

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}

package accounts

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The most that there can be.
const (
	maxAccounts = 10_000
	maxRoles    = 1_000  // of an account
	maxUsers    = 10_000 // of an account
)

// Actor is who changes something.
type Actor struct {
	Account, User string
	May           Statement
}

// over refuses what would let somebody do more than they may: to change a role, or
// who has it, one has to be allowed all that it allows.
func (by Actor) over(s Statement) error {
	if beyond := s.Within(by.May); beyond != "" {
		return refuse(Denied, "it would allow %s, which you may not", beyond)
	}
	return nil
}

// CreateRole makes a role in the actor's account.
func (d *Directory) CreateRole(by Actor, f RoleForm, now time.Time) (*Role, error) {
	if len(d.Roles(by.Account)) >= maxRoles {
		return nil, refuse(TooMany, "an account has at most %d roles", maxRoles)
	}
	r := &Role{UUID: uuid.NewString(), Account: by.Account, Statement: Everything(), Created: now}
	f.write(r, now)
	return r, d.grantable(by, r)
}

// grantable says why an actor may not give a role what it allows.
func (d *Directory) grantable(by Actor, r *Role) error {
	account := d.accounts[r.Account]
	if account == nil {
		return refuse(Missing, "no account %q", r.Account)
	}
	if r.Statement.Effect == Allow {
		for _, name := range r.Statement.Actions {
			if op, _ := operation(name); !account.may(op) {
				return refuse(Denied, "the account has not been given %s", name)
			}
		}
	}
	return by.over(r.Statement)
}

// UpdateRole changes a role of the actor's account.
func (d *Directory) UpdateRole(by Actor, id string, f RoleForm, now time.Time) (*Role, error) {
	r, err := d.ordinary(by, id)
	if err != nil {
		return nil, err
	}
	changed := *r
	f.write(&changed, now)
	return &changed, d.grantable(by, &changed)
}

// DeleteRole is the role that is to be deleted: one that no user has.
func (d *Directory) DeleteRole(by Actor, id string) (*Role, error) {
	r, err := d.ordinary(by, id)
	if err != nil {
		return nil, err
	}
	if n := len(d.having(r)); n > 0 {
		return nil, refuse(Conflict, "the role is in use; users that have it: %d", n)
	}
	return r, nil
}

// ordinary is a role that the actor may change.
func (d *Directory) ordinary(by Actor, id string) (*Role, error) {
	r, err := d.Role(by.Account, id)
	if err != nil {
		return nil, err
	}
	if r.UUID == SuperAdmin(r.Account) {
		return nil, refuse(Conflict, "the role Super Admin stays as it is")
	}
	return r, by.over(r.Statement)
}

func (d *Directory) having(r *Role) []*User {
	return slices.DeleteFunc(d.Users(r.Account), func(u *User) bool { return u.Role != r.UUID })
}

// CreateUser makes a user in the actor's account.
func (d *Directory) CreateUser(by Actor, f UserForm, now time.Time) (*User, error) {
	if len(d.Users(by.Account)) >= maxUsers {
		return nil, refuse(TooMany, "an account has at most %d users", maxUsers)
	}
	u := &User{UUID: uuid.NewString(), Account: by.Account, Created: now}
	f.write(u, now)
	return u, d.roleFor(by, u)
}

// roleFor says why an actor may not give a user its role.
func (d *Directory) roleFor(by Actor, u *User) error {
	r, err := d.Role(u.Account, u.Role)
	if err != nil {
		return refuse(Conflict, "role: %s", err)
	}
	return by.over(r.Statement)
}

// UpdateUser changes a user of the actor's account.
func (d *Directory) UpdateUser(by Actor, id string, f UserForm, now time.Time) (*User, error) {
	u, err := d.below(by, id)
	if err != nil {
		return nil, err
	}
	changed := *u
	f.write(&changed, now)
	if changed.Role != u.Role {
		if err := d.dispensable(u); err != nil {
			return nil, err
		}
	}
	return &changed, d.roleFor(by, &changed)
}

// DeleteUser is the user that is to be deleted.
func (d *Directory) DeleteUser(by Actor, id string) (*User, error) {
	u, err := d.below(by, id)
	if err != nil {
		return nil, err
	}
	return u, d.dispensable(u)
}

// dispensable says why an account cannot do without a Super Admin.
func (d *Directory) dispensable(u *User) error {
	admin := d.roles[SuperAdmin(u.Account)]
	if admin != nil && u.Role == admin.UUID && len(d.having(admin)) == 1 {
		return refuse(Conflict, "the account's last Super Admin stays")
	}
	return nil
}

// below is a user whom the actor may change: it may do all that the user may.
func (d *Directory) below(by Actor, id string) (*User, error) {
	u, err := d.User(by.Account, id)
	if err != nil {
		return nil, err
	}
	if r := d.roles[u.Role]; r != nil {
		return u, by.over(r.Statement)
	}
	return u, nil
}

// NewPIN makes a PIN for a user, in place of one that has not been used. Its
// secret will hold until then; nil: for ever.
func (d *Directory) NewPIN(by Actor, id string, until *time.Time, now time.Time) (pin string, user *User, err error) {
	u, err := d.below(by, id)
	if err != nil {
		return "", nil, err
	}
	changed := *u
	pin, changed.PIN = newPIN(now, until)
	changed.Updated = now
	return pin, &changed, nil
}

// UsePIN turns a PIN into the secret of its user, in place of the one it had. All
// that cannot be used is refused alike.
func (d *Directory) UsePIN(account, pin string, now time.Time) (secret string, user *User, err error) {
	u := d.users[d.pins[hashOfPIN(pin)]]
	if u == nil || u.PIN == nil || u.Account != strings.ToLower(account) || d.accounts[u.Account] == nil || !now.Before(u.PIN.Until) {
		return "", nil, refuse(Missing, "no such PIN: wrong, used, or older than %d minutes", int(PINTime.Minutes()))
	}
	changed := *u
	secret, changed.Secret = newSecret(now, u.PIN.SecretUntil)
	changed.PIN, changed.Updated = nil, now
	return secret, &changed, nil
}

// UpdateSecret changes until when a user's secret holds.
func (d *Directory) UpdateSecret(by Actor, id string, until *time.Time, now time.Time) (*User, error) {
	u, err := d.below(by, id)
	if err != nil {
		return nil, err
	}
	if u.Secret == nil {
		return nil, refuse(Missing, "user %q has no secret", id)
	}
	changed, kept := *u, *u.Secret
	kept.Until, kept.Updated = until, now
	changed.Secret, changed.Updated = &kept, now
	return &changed, nil
}

// DeleteSecret is a user without its secret, and without a PIN for one. Was is what
// is known of the secret, nothing where there was a PIN only.
func (d *Directory) DeleteSecret(by Actor, id string, now time.Time) (was *Secret, user *User, err error) {
	u, err := d.below(by, id)
	if err != nil {
		return nil, nil, err
	}
	if u.Secret == nil && u.PIN == nil {
		return nil, nil, refuse(Missing, "user %q has no secret", id)
	}
	was = u.Secret
	if was == nil {
		was = &Secret{Until: u.PIN.SecretUntil, Created: now, Updated: now}
	}
	changed := *u
	changed.Secret, changed.PIN, changed.Updated = nil, nil, now
	return was, &changed, nil
}

// CreateAccount makes an account with its Super Admin, and a PIN for that user.
// The documents stand in the order in which they are to be kept.
func (d *Directory) CreateAccount(by Actor, f AccountForm, now time.Time) (pin string, account *Account, user *User, docs []Document, err error) {
	if len(d.accounts) >= maxAccounts {
		return "", nil, nil, nil, refuse(TooMany, "there are at most %d accounts", maxAccounts)
	}
	account = &Account{UUID: uuid.NewString(), Created: now}
	f.write(account, now)
	if err := by.over(Statement{Allow, account.Actions}); err != nil {
		return "", nil, nil, nil, err
	}
	role, user := founders(account, now)
	pin, user.PIN = newPIN(now, nil)
	return pin, account, user, []Document{role.Document(), user.Document(), account.Document()}, nil
}

// UpdateAccount changes an account. What it is given, or loses, the actor must be
// allowed; the own account has everything.
func (d *Directory) UpdateAccount(by Actor, id string, f AccountForm, now time.Time) (*Account, error) {
	a, err := d.account(by, id)
	if err != nil {
		return nil, err
	}
	if a.UUID == Own() && f.Actions != nil {
		return nil, refuse(Conflict, "the installation's own account has everything: nothing is given to it, or taken")
	}
	changed := *a
	f.write(&changed, now)
	return &changed, by.over(Statement{Allow, changed.Actions})
}

// DeleteAccount is the account that is to be deleted, and the documents of all that
// goes with it: itself the last, so that one that was cut short can be done again.
func (d *Directory) DeleteAccount(by Actor, id string) (*Account, []Document, error) {
	a, err := d.account(by, id)
	if err != nil {
		return nil, nil, err
	}
	if a.UUID == Own() {
		return nil, nil, refuse(Conflict, "the installation's own account stays")
	}
	var docs []Document
	for _, u := range d.Users(a.UUID) {
		docs = append(docs, u.Gone())
	}
	for _, r := range d.Roles(a.UUID) {
		docs = append(docs, r.Gone())
	}
	return a, append(docs, a.Gone()), nil
}

// account is one that the actor may change: it may do all that it was given.
func (d *Directory) account(by Actor, id string) (*Account, error) {
	a := d.accounts[strings.ToLower(id)]
	if a == nil {
		return nil, refuse(Missing, "no account %q", id)
	}
	return a, by.over(Statement{Allow, a.Actions})
}

// founders are the role and the user that an account begins with.
func founders(a *Account, now time.Time) (*Role, *User) {
	const name = "Super Admin"
	role := &Role{UUID: SuperAdmin(a.UUID), Account: a.UUID, Name: name, Statement: Everything(), Created: now, Updated: now}
	return role, &User{UUID: Administrator(a.UUID), Account: a.UUID, Role: role.UUID, Name: name, Created: now, Updated: now}
}

// AdministratorPIN makes a PIN for the first Super Admin of any account.
func (d *Directory) AdministratorPIN(by Actor, account string, now time.Time) (pin string, user *User, err error) {
	a, err := d.account(by, account)
	if err != nil {
		return "", nil, err
	}
	if a.UUID != by.Account { // what its users may do in it is theirs; what they may do in the installation is not
		by = Actor{Account: a.UUID, May: Everything()}
	}
	return d.NewPIN(by, Administrator(a.UUID), nil, now)
}

// Invite makes a PIN for the first Super Admin of the own account.
func (d *Directory) Invite(now time.Time) (pin string, user *User, err error) {
	return d.AdministratorPIN(Actor{Account: Own(), May: Everything()}, Own(), now)
}

// Founding are the documents of the own account where there is none.
func (d *Directory) Founding(now time.Time) []Document {
	if d.accounts[Own()] != nil {
		return nil
	}
	account := &Account{UUID: Own(), Name: "Tocsin", Created: now, Updated: now}
	role, user := founders(account, now)
	return []Document{role.Document(), user.Document(), account.Document()}
}

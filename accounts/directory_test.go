package accounts_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
)

var at = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// founded is a directory with the own account.
func founded(t testing.TB, now time.Time) *accounts.Directory {
	d := accounts.NewDirectory()
	for _, doc := range d.Founding(now) {
		require.NoError(t, d.Apply(doc))
	}
	assert.Empty(t, d.Founding(now), "it is founded once")
	return d
}

// super may do everything in the own account.
func super() accounts.Actor {
	return accounts.Actor{Account: accounts.Own(), May: accounts.Everything()}
}

// allow makes a role of these actions.
func allow(name string, actions ...string) accounts.RoleForm {
	return accounts.RoleForm{Name: &name, Statement: &accounts.Statement{Effect: accounts.Allow, Actions: actions}}
}

// town is a directory with helpers that want no error.
type town struct {
	*accounts.Directory
	t *testing.T
}

func newTown(t *testing.T) town { return town{founded(t, at), t} }

func (o town) role(by accounts.Actor, f accounts.RoleForm) *accounts.Role {
	o.t.Helper()
	r, err := o.CreateRole(by, f, at)
	require.NoError(o.t, err)
	require.NoError(o.t, o.Apply(r.Document()))
	return r
}

func (o town) user(by accounts.Actor, name, role string) *accounts.User {
	o.t.Helper()
	u, err := o.CreateUser(by, accounts.UserForm{Name: &name, Role: &role}, at)
	require.NoError(o.t, err)
	require.NoError(o.t, o.Apply(u.Document()))
	return u
}

// secret gives a user a secret.
func (o town) secret(by accounts.Actor, user string) string {
	o.t.Helper()
	pin, u, err := o.NewPIN(by, user, nil, at)
	require.NoError(o.t, err)
	require.NoError(o.t, o.Apply(u.Document()))
	secret, u, err := o.UsePIN(u.Account, pin, at)
	require.NoError(o.t, err)
	require.NoError(o.t, o.Apply(u.Document()))
	return secret
}

// actor is who shows a secret.
func (o town) actor(secret string) accounts.Actor {
	o.t.Helper()
	who, ok := o.Identify(secret, at)
	require.True(o.t, ok)
	role, err := o.Role(who.Account, who.Role)
	require.NoError(o.t, err)
	return accounts.Actor{Account: who.Account, User: who.User, May: role.Statement}
}

func refused(t *testing.T, err error, reason accounts.Reason, want string) {
	t.Helper()
	var no *accounts.Refusal
	require.ErrorAs(t, err, &no)
	assert.Equal(t, reason, no.Reason)
	assert.Equal(t, want, no.Why)
}

func TestSecrets(t *testing.T) {
	o := newTown(t)
	assert.True(t, o.Empty(at))
	r := o.role(super(), allow("contractor", "list_stickers", "remove_sticker"))
	u := o.user(super(), "contractor", r.UUID)
	secret := o.secret(super(), u.UUID)
	assert.True(t, o.Empty(at), "no Super Admin can show who it is")
	assert.True(t, strings.HasPrefix(secret, accounts.SecretPrefix))
	assert.Len(t, secret, len(accounts.SecretPrefix)+43, "256 bits")

	who, ok := o.Identify(secret, at)
	require.True(t, ok)
	assert.Equal(t, accounts.Identity{
		Account: accounts.Own(), User: u.UUID, Role: r.UUID, Name: "contractor", Actions: []string{"who_am_i", "list_stickers", "remove_sticker"},
	}, who)
	for _, wrong := range []string{"", accounts.SecretPrefix, secret[:len(secret)-1], secret + "A", strings.ToLower(secret), strings.Repeat("x", 1<<20)} {
		_, ok := o.Identify(wrong, at)
		assert.False(t, ok, "%.60q", wrong)
	}

	// Nothing that is kept gives a secret or a PIN away.
	kept, err := o.User(accounts.Own(), u.UUID)
	require.NoError(t, err)
	assert.NotContains(t, kept.Document().Text, secret)
	assert.Equal(t, secret[len(secret)-4:], kept.Secret.Fingerprint)

	// A new secret takes the place of the old one; a revoked one ends.
	another := o.secret(super(), u.UUID)
	_, ok = o.Identify(secret, at)
	assert.False(t, ok)
	was, u, err := o.DeleteSecret(super(), u.UUID, at)
	require.NoError(t, err)
	assert.Equal(t, another[len(another)-4:], was.Fingerprint)
	require.NoError(t, o.Apply(u.Document()))
	_, ok = o.Identify(another, at)
	assert.False(t, ok)
	_, _, err = o.DeleteSecret(super(), u.UUID, at)
	refused(t, err, accounts.Missing, `user "`+u.UUID+`" has no secret`)

	// A Super Admin of the own account may do everything.
	admin := o.secret(super(), accounts.Administrator(accounts.Own()))
	who, ok = o.Identify(admin, at)
	require.True(t, ok)
	assert.Nil(t, who.Actions)
	assert.False(t, o.Empty(at))
}

func TestValidityOfSecrets(t *testing.T) {
	o := newTown(t)
	until := at.Add(time.Hour)
	pin, u, err := o.NewPIN(super(), accounts.Administrator(accounts.Own()), &until, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	secret, u, err := o.UsePIN(accounts.Own(), pin, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	who, ok := o.Identify(secret, until.Add(-time.Millisecond))
	require.True(t, ok)
	assert.Equal(t, until, who.Until)
	_, ok = o.Identify(secret, until)
	assert.False(t, ok)
	assert.True(t, o.Empty(until), "a new PIN is wanted then")
	u, err = o.UpdateSecret(super(), u.UUID, nil, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	_, ok = o.Identify(secret, until)
	assert.True(t, ok)
}

func TestPINs(t *testing.T) {
	o := newTown(t)
	own, admin := accounts.Own(), accounts.Administrator(accounts.Own())
	pin, u, err := o.NewPIN(super(), admin, nil, at)
	require.NoError(t, err)
	assert.Regexp(t, `^[A-Z2-7]{26}$`, pin, "128 bits")
	assert.Equal(t, at.Add(10*time.Minute), u.PIN.Until)
	assert.NotContains(t, u.Document().Text, pin)
	require.NoError(t, o.Apply(u.Document()))

	const no = "no such PIN: wrong, used, or older than 10 minutes"
	for name, c := range map[string]struct {
		account, pin string
		now          time.Time
	}{
		"wrong":             {own, strings.Repeat("A", 26), at},
		"empty":             {own, "", at},
		"of no account":     {admin, pin, at},
		"too old":           {own, pin, at.Add(10 * time.Minute)},
		"with something on": {own, pin + "A", at},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := o.UsePIN(c.account, c.pin, c.now)
			refused(t, err, accounts.Missing, no)
		})
	}
	_, used, err := o.UsePIN(strings.ToUpper(own), strings.ToLower(pin), at.Add(10*time.Minute-time.Millisecond))
	require.NoError(t, err)
	require.NoError(t, o.Apply(used.Document()))
	_, _, err = o.UsePIN(own, pin, at)
	refused(t, err, accounts.Missing, no)

	// What revokes a secret revokes a PIN for one.
	doomed, u, err := o.NewPIN(super(), admin, nil, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	_, u, err = o.DeleteSecret(super(), admin, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	_, _, err = o.UsePIN(own, doomed, at)
	refused(t, err, accounts.Missing, no)
	bare := o.user(super(), "bare", accounts.SuperAdmin(own))
	_, u, err = o.NewPIN(super(), bare.UUID, nil, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	was, u, err := o.DeleteSecret(super(), bare.UUID, at)
	require.NoError(t, err)
	assert.Empty(t, was.Fingerprint)
	assert.Nil(t, u.PIN)

	// Another PIN takes the place of the one before.
	first, u, err := o.NewPIN(super(), admin, nil, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	_, u, err = o.NewPIN(super(), admin, nil, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	_, _, err = o.UsePIN(own, first, at)
	refused(t, err, accounts.Missing, no)
}

func TestRolesAndUsers(t *testing.T) {
	o := newTown(t)
	r := o.role(super(), allow("contractor", "list_stickers"))
	u := o.user(super(), "contractor", r.UUID)
	admin := accounts.Administrator(accounts.Own())

	_, err := o.DeleteRole(super(), r.UUID)
	refused(t, err, accounts.Conflict, "the role is in use; users that have it: 1")
	_, err = o.DeleteRole(super(), accounts.SuperAdmin(accounts.Own()))
	refused(t, err, accounts.Conflict, "the role Super Admin stays as it is")
	_, err = o.UpdateRole(super(), accounts.SuperAdmin(accounts.Own()), allow("x"), at)
	refused(t, err, accounts.Conflict, "the role Super Admin stays as it is")
	_, err = o.DeleteUser(super(), admin)
	refused(t, err, accounts.Conflict, "the account's last Super Admin stays")
	_, err = o.UpdateUser(super(), admin, accounts.UserForm{Role: &r.UUID}, at)
	refused(t, err, accounts.Conflict, "the account's last Super Admin stays")
	_, err = o.CreateUser(super(), accounts.UserForm{Role: &u.UUID}, at)
	refused(t, err, accounts.Conflict, `role: no role "`+u.UUID+`"`)
	for _, id := range []string{"", "x", r.UUID} {
		_, err = o.User(accounts.Own(), id)
		refused(t, err, accounts.Missing, `no user "`+id+`"`)
	}

	// With a second Super Admin the first can go.
	role := accounts.SuperAdmin(accounts.Own())
	second := o.user(super(), "second", role)
	gone, err := o.DeleteUser(super(), admin)
	require.NoError(t, err)
	require.NoError(t, o.Apply(gone.Gone()))
	_, err = o.DeleteUser(super(), second.UUID)
	refused(t, err, accounts.Conflict, "the account's last Super Admin stays")

	// A changed role counts for those who have it; a deleted user is nobody.
	secret := o.secret(super(), u.UUID)
	changed, err := o.UpdateRole(super(), r.UUID, allow("contractor", "get_sticker"), at.Add(time.Hour))
	require.NoError(t, err)
	require.NoError(t, o.Apply(changed.Document()))
	assert.Equal(t, at, changed.Created)
	assert.Equal(t, at.Add(time.Hour), changed.Updated)
	who, _ := o.Identify(secret, at)
	assert.Equal(t, []string{"who_am_i", "get_sticker"}, who.Actions)
	require.NoError(t, o.Apply(u.Gone()))
	_, ok := o.Identify(secret, at)
	assert.False(t, ok)
}

// Nobody gives, or takes over, what they may not do themselves.
func TestNobodyRises(t *testing.T) {
	o := newTown(t)
	manager := o.role(super(), allow("manager", "create_user_role", "update_user_role", "delete_user_role", "create_user", "update_user", "delete_user", "create_user_secret_pin", "update_user_secret", "delete_user_secret", "get_sticker", "create_account"))
	boss := o.user(super(), "manager", manager.UUID)
	by := o.actor(o.secret(super(), boss.UUID))
	author := o.role(super(), allow("author", "author"))
	writer := o.user(super(), "writer", author.UUID)
	low := o.role(by, allow("low", "get_sticker"))
	lowUser := o.user(by, "low", low.UUID)
	everything := accounts.Everything()
	admin, adminRole := accounts.Administrator(accounts.Own()), accounts.SuperAdmin(accounts.Own())
	name := "x"

	for what, c := range map[string]struct {
		do   func() error
		want string
	}{
		"a role that allows more":                      {func() error { _, err := o.CreateRole(by, allow("x", "author"), at); return err }, "it would allow author, which you may not"},
		"a role without a statement allows everything": {func() error { _, err := o.CreateRole(by, accounts.RoleForm{Name: &name}, at); return err }, "it would allow read, which you may not"},
		"a role that denies only": {func() error {
			_, err := o.CreateRole(by, accounts.RoleForm{Name: &name, Statement: &accounts.Statement{Effect: accounts.Deny, Actions: []string{"author"}}}, at)
			return err
		}, "it would allow read, which you may not"},
		"to raise a role": {func() error { _, err := o.UpdateRole(by, low.UUID, allow("low", "author"), at); return err }, "it would allow author, which you may not"},
		"to open a role": {func() error {
			_, err := o.UpdateRole(by, low.UUID, accounts.RoleForm{Statement: &everything}, at)
			return err
		}, "it would allow read, which you may not"},
		"to change a higher role":   {func() error { _, err := o.UpdateRole(by, author.UUID, allow("low", "get_sticker"), at); return err }, "it would allow author, which you may not"},
		"to delete a higher role":   {func() error { _, err := o.DeleteRole(by, author.UUID); return err }, "it would allow author, which you may not"},
		"a user with a higher role": {func() error { _, err := o.CreateUser(by, accounts.UserForm{Role: &author.UUID}, at); return err }, "it would allow author, which you may not"},
		"a Super Admin":             {func() error { _, err := o.CreateUser(by, accounts.UserForm{Role: &adminRole}, at); return err }, "it would allow read, which you may not"},
		"to raise a user": {func() error {
			_, err := o.UpdateUser(by, lowUser.UUID, accounts.UserForm{Role: &author.UUID}, at)
			return err
		}, "it would allow author, which you may not"},
		"to raise oneself": {func() error {
			_, err := o.UpdateUser(by, boss.UUID, accounts.UserForm{Role: &adminRole}, at)
			return err
		}, "it would allow read, which you may not"},
		"to take over a higher user": {func() error { _, _, err := o.NewPIN(by, writer.UUID, nil, at); return err }, "it would allow author, which you may not"},
		"to take over a Super Admin": {func() error { _, _, err := o.NewPIN(by, admin, nil, at); return err }, "it would allow read, which you may not"},
		"the same by the account":    {func() error { _, _, err := o.AdministratorPIN(by, accounts.Own(), at); return err }, "it would allow read, which you may not"},
		"to delete a higher user":    {func() error { _, err := o.DeleteUser(by, writer.UUID); return err }, "it would allow author, which you may not"},
		"to revoke a higher secret":  {func() error { _, _, err := o.DeleteSecret(by, admin, at); return err }, "it would allow read, which you may not"},
		"an account that is given more": {func() error {
			_, _, _, _, err := o.CreateAccount(by, accounts.AccountForm{Name: new("x"), Actions: &[]string{"author"}}, at)
			return err
		}, "it would allow author, which you may not"},
	} {
		t.Run(what, func(t *testing.T) { refused(t, c.do(), accounts.Denied, c.want) })
	}
	_, _, err := o.NewPIN(by, boss.UUID, nil, at)
	require.NoError(t, err, "for oneself")
	_, err = o.DeleteUser(by, lowUser.UUID)
	require.NoError(t, err)
}

// Who may do all but something gives the same away, and no more.
func TestStatements(t *testing.T) {
	deny := func(actions ...string) accounts.Statement {
		return accounts.Statement{Effect: accounts.Deny, Actions: actions}
	}
	permit := func(actions ...string) accounts.Statement {
		return accounts.Statement{Effect: accounts.Allow, Actions: actions}
	}
	var all []string
	for _, op := range accounts.Operations() {
		all = append(all, op.Name)
	}
	for _, c := range []struct {
		s, of accounts.Statement
		want  string
	}{
		{permit(), permit(), ""},
		{permit("read"), deny(), ""},
		{permit("read"), deny("read"), "read"},
		{permit("read", "share"), permit("share"), "read"},
		{deny("read"), deny("read"), ""},
		{deny("read"), deny(), ""},
		{deny(), deny("read"), "read"},
		{deny(), permit(all...), "what comes to be possible"},
		{permit("get_twin_ledger"), permit("get_twin_ledger_entry"), ""}, // two names of one
		{permit("get_twin_ledger"), deny("get_twin_ledger_entry"), "get_twin_ledger"},
		{permit("create_batch"), permit(), ""}, // there is nothing that it lets one do
	} {
		assert.Equal(t, c.want, c.s.Within(c.of), "%v within %v", c.s, c.of)
	}
}

func TestAccountsApart(t *testing.T) {
	o := newTown(t)
	pin, account, user, docs, err := o.CreateAccount(super(), accounts.AccountForm{Name: new("Contractor")}, at)
	require.NoError(t, err)
	for _, doc := range docs {
		require.NoError(t, o.Apply(doc))
	}
	secret, u, err := o.UsePIN(account.UUID, pin, at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	assert.Equal(t, user.UUID, u.UUID)

	// Its Super Admin may do everything in it, and nothing in the installation.
	who, ok := o.Identify(secret, at)
	require.True(t, ok)
	for _, op := range accounts.Operations() {
		want := op.Kind == accounts.Looks || op.Kind == accounts.Changes
		assert.Equal(t, want, slices.Contains(who.Actions, op.Name), op.Name)
	}
	by := o.actor(secret)
	_, err = o.CreateRole(by, allow("x", "read"), at)
	refused(t, err, accounts.Denied, "the account has not been given read")
	r := o.role(by, allow("x", "list_stickers"))
	o.user(by, "x", r.UUID)

	// The users of one are not there for the other.
	admin := accounts.Administrator(accounts.Own())
	for _, f := range []func() error{
		func() error { _, err := o.User(account.UUID, admin); return err },
		func() error { _, err := o.UpdateUser(by, admin, accounts.UserForm{}, at); return err },
		func() error { _, err := o.DeleteUser(by, admin); return err },
		func() error { _, _, err := o.NewPIN(by, admin, nil, at); return err },
		func() error { _, _, err := o.DeleteSecret(by, admin, at); return err },
	} {
		refused(t, f(), accounts.Missing, `no user "`+admin+`"`)
	}
	_, err = o.Role(account.UUID, accounts.SuperAdmin(accounts.Own()))
	refused(t, err, accounts.Missing, `no role "`+accounts.SuperAdmin(accounts.Own())+`"`)
	_, err = o.CreateUser(super(), accounts.UserForm{Role: &r.UUID}, at)
	refused(t, err, accounts.Conflict, `role: no role "`+r.UUID+`"`)
	assert.Len(t, o.Users(account.UUID), 2)
	assert.Len(t, o.Users(accounts.Own()), 1)

	// The installation's administrator lets its Super Admin in again.
	_, _, err = o.AdministratorPIN(super(), "x", at)
	refused(t, err, accounts.Missing, `no account "x"`)
	pin, u, err = o.AdministratorPIN(super(), strings.ToUpper(account.UUID), at)
	require.NoError(t, err)
	require.NoError(t, o.Apply(u.Document()))
	_, _, err = o.UsePIN(accounts.Own(), pin, at)
	refused(t, err, accounts.Missing, "no such PIN: wrong, used, or older than 10 minutes")

	// What an account was given, its users can be allowed.
	_, given, _, docs, err := o.CreateAccount(super(), accounts.AccountForm{Name: new("Partner"), Actions: &[]string{"read"}}, at)
	require.NoError(t, err)
	for _, doc := range docs {
		require.NoError(t, o.Apply(doc))
	}
	partner := accounts.Actor{Account: given.UUID, May: accounts.Everything()}
	r = o.role(partner, allow("reader", "read"))
	reader := o.user(partner, "reader", r.UUID)
	who, ok = o.Identify(o.secret(partner, reader.UUID), at)
	require.True(t, ok)
	assert.Equal(t, []string{"who_am_i", "read"}, who.Actions)

	// What is taken away from it, they may no longer, whatever their roles say.
	changed, err := o.UpdateAccount(super(), given.UUID, accounts.AccountForm{Actions: new([]string{})}, at.Add(time.Hour))
	require.NoError(t, err)
	assert.Equal(t, []any{"Partner", at, at.Add(time.Hour)}, []any{changed.Name, changed.Created, changed.Updated})
	require.NoError(t, o.Apply(changed.Document()))
	secret = o.secret(partner, reader.UUID)
	who, ok = o.Identify(secret, at)
	require.True(t, ok)
	assert.Equal(t, []string{"who_am_i"}, who.Actions)

	// An account goes with all that is in it, itself last.
	gone, docs, err := o.DeleteAccount(super(), strings.ToUpper(given.UUID))
	require.NoError(t, err)
	assert.Equal(t, given.UUID, gone.UUID)
	assert.Len(t, docs, 5, "two users, two roles, the account")
	assert.Equal(t, gone.Gone(), docs[4])
	for _, doc := range docs {
		require.NoError(t, o.Apply(doc))
	}
	_, ok = o.Identify(secret, at)
	assert.False(t, ok)
	assert.True(t, o.Removed(given.UUID, ""))
	assert.True(t, o.Removed("", reader.UUID))
	assert.False(t, o.Removed(accounts.Own(), accounts.OwnUser("a key")), "who was never kept was not removed")
	_, _, err = o.DeleteAccount(super(), given.UUID)
	refused(t, err, accounts.Missing, `no account "`+given.UUID+`"`)
}

func TestTheOwnAccountStays(t *testing.T) {
	o := newTown(t)
	_, _, err := o.DeleteAccount(super(), accounts.Own())
	refused(t, err, accounts.Conflict, "the installation's own account stays")
	_, err = o.UpdateAccount(super(), accounts.Own(), accounts.AccountForm{Actions: new([]string{"read"})}, at)
	refused(t, err, accounts.Conflict, "the installation's own account has everything: nothing is given to it, or taken")
	named, err := o.UpdateAccount(super(), accounts.Own(), accounts.AccountForm{Name: new("Meters Ltd")}, at)
	require.NoError(t, err)
	assert.Equal(t, "Meters Ltd", named.Name)

	_, given, _, docs, err := o.CreateAccount(super(), accounts.AccountForm{Name: new("Partner"), Actions: &[]string{"author"}}, at)
	require.NoError(t, err)
	for _, doc := range docs {
		require.NoError(t, o.Apply(doc))
	}
	low := accounts.Actor{Account: accounts.Own(), May: accounts.Statement{Effect: accounts.Allow, Actions: []string{"change_account", "delete_account"}}}
	_, _, err = o.DeleteAccount(low, given.UUID)
	refused(t, err, accounts.Denied, "it would allow author, which you may not")
	_, err = o.UpdateAccount(low, given.UUID, accounts.AccountForm{Actions: new([]string{})}, at)
	refused(t, err, accounts.Denied, "it would allow author, which you may not")
}

// Of a document that cannot be read nothing holds any more.
func TestUnreadableDocuments(t *testing.T) {
	o := newTown(t)
	admin := accounts.Administrator(accounts.Own())
	secret := o.secret(super(), admin)
	for _, c := range []struct{ id, text, want string }{
		{"user." + admin, `{`, `document "user.` + admin + `": unexpected end of JSON input`},
		{"user." + admin, `{"uuid":"other"}`, `document "user.` + admin + `": it is that of "other"`},
		{"thing.1", `{}`, `document "thing.1": no such kind`},
		{"role." + accounts.SuperAdmin(accounts.Own()), `[]`, `document "role.` + accounts.SuperAdmin(accounts.Own()) + `": json: cannot unmarshal array into Go value of type accounts.Role`},
	} {
		require.EqualError(t, o.Apply(accounts.Document{ID: c.id, Text: c.text}), c.want)
		_, ok := o.Identify(secret, at)
		assert.False(t, ok)
	}
}

func TestTableOfOperations(t *testing.T) {
	seen := map[string]bool{}
	for _, op := range accounts.Operations() {
		assert.False(t, seen[op.Name], "%s is there twice", op.Name)
		seen[op.Name] = true
		assert.NotEmpty(t, op.Means, op.Name)
		assert.Regexp(t, `^[a-z_]+$`, op.Name)
	}
	for _, role := range []string{"viewer", "device", "member", "operator", "author"} {
		assert.Contains(t, accounts.BuiltIn(role), "who_am_i", role)
	}
	assert.Contains(t, accounts.BuiltIn("viewer"), "get_stickers")
	assert.NotContains(t, accounts.BuiltIn("viewer"), "put_sticker")
	assert.Contains(t, accounts.BuiltIn("operator"), "remove_sticker")
	assert.Empty(t, accounts.BuiltIn("vip"))
	assert.True(t, accounts.Known("create_batch"), "roles of Trusted Twin may name it")
	assert.True(t, accounts.Shows("get_twin"))
	assert.False(t, accounts.Shows("create_twin"))
}

// What is kept is what was there.
func TestDocumentsAgain(t *testing.T) {
	o := newTown(t)
	u := &accounts.User{UUID: "u", Account: accounts.Own(), Role: "r", Name: "n", Description: map[string]any{"a": []any{1.0, nil}}, Created: at, Updated: at}
	require.NoError(t, o.Apply(u.Document()))
	again, err := o.User(accounts.Own(), "u")
	require.NoError(t, err)
	assert.Equal(t, u, again)
	text, err := json.Marshal(u)
	require.NoError(t, err)
	assert.Equal(t, string(text), u.Document().Text)
}

package accounts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/internal/strictjson"
)

func decode(t testing.TB, text string, into strictjson.Decoder) error {
	raw, err := strictjson.Parse("body", []byte(text))
	if err != nil {
		return err
	}
	return raw.Decode(into)
}

func TestRoleForms(t *testing.T) {
	for text, want := range map[string]accounts.Statement{
		`{"name":"r","statement":{"effect":"allow","actions":["get_sticker","get_sticker"]}}`:                                 {Effect: "allow", Actions: []string{"get_sticker"}},
		`{"name":"r","statement":{"effect":"deny","actions":null},"rules":null}`:                                              {Effect: "deny", Actions: []string{}},
		`{"name":"r","statement":{"effect":"allow"},"rules":{}}`:                                                              {Effect: "allow", Actions: []string{}},
		`{"statement":{"effect":"allow","actions":["create_batch"]},"rules":{"twin_rule":null,"entry":null,"identity":null}}`: {Effect: "allow", Actions: []string{"create_batch"}},
	} {
		var f accounts.RoleForm
		require.NoError(t, decode(t, text, &f), text)
		assert.Equal(t, want, *f.Statement, text)
	}
	var f accounts.RoleForm
	require.NoError(t, decode(t, `{"name":null,"statement":null}`, &f))
	assert.Nil(t, f.Name)
	assert.Nil(t, f.Statement)
}

func TestWrongForms(t *testing.T) {
	long := strings.Repeat("ž", 65)
	for _, c := range []struct {
		form strictjson.Decoder
		text string
		want string
	}{
		{&accounts.RoleForm{}, `[]`, `body:1:1: got an array; want an object`},
		{&accounts.RoleForm{}, `{"nam":"r"}`, `body:1:2: /nam: unknown field "nam"; did you mean "name"?`},
		{&accounts.RoleForm{}, `{"name":""}`, `body:1:9: /name: got ""; want 1 to 64 characters on one line, without blanks around them`},
		{&accounts.RoleForm{}, `{"name":" r"}`, `body:1:9: /name: got " r"; want 1 to 64 characters on one line, without blanks around them`},
		{&accounts.RoleForm{}, `{"name":"a\nb"}`, `body:1:9: /name: got "a\nb"; want 1 to 64 characters on one line, without blanks around them`},
		{&accounts.RoleForm{}, `{"name":"` + long + `"}`, `want 1 to 64 characters`},
		{&accounts.RoleForm{}, `{"name":7}`, `body:1:9: /name: got 7; want a string`},
		{&accounts.RoleForm{}, `{"statement":[]}`, `body:1:14: /statement: got an array; want an object`},
		{&accounts.RoleForm{}, `{"statement":{"actions":[]}}`, `body:1:14: /statement: field "effect" is missing`},
		{&accounts.RoleForm{}, `{"statement":{"effect":"alow"}}`, `body:1:24: /statement/effect: got "alow"; did you mean "allow"?`},
		{&accounts.RoleForm{}, `{"statement":{"effect":"allow","actions":["put_stiker","fly"]}}`, "body:1:43: /statement/actions/0: no operation \"put_stiker\"; did you mean \"put_sticker\"?\nbody:1:56: /statement/actions/1: no operation \"fly\""},
		{&accounts.RoleForm{}, `{"statement":{"effect":"allow","actions":"get_twin"}}`, `body:1:42: /statement/actions: got "get_twin"; want an array`},
		{&accounts.RoleForm{}, `{"rules":{"twin_rule":"TWIN.company == USER.company"}}`, `body:1:23: /rules/twin_rule: rules of access are not evaluated here; want null, and a statement with fewer actions`},
		{&accounts.RoleForm{}, `{"rules":"x"}`, `body:1:10: /rules: got "x"; want an object`},
		{&accounts.UserForm{}, `{"role":1}`, `body:1:9: /role: got 1; want a string`},
		{&accounts.UserForm{}, `{"description":[]}`, `body:1:16: /description: got an array; want an object`},
		{&accounts.UserForm{}, `{"description":{"Company":1}}`, `body:1:27: /description/Company: name "Company"; want ^[a-z_][0-9a-z_]{0,63}$`},
		{&accounts.UserForm{}, `{"activity":{"table":{}}}`, `body:1:13: /activity: activity logs are not kept here; want null`},
		{&accounts.SecretForm{}, `{"validity_ts":"soon"}`, `body:1:16: /validity_ts: got "soon"; want a number`},
		{&accounts.SecretForm{}, `{"validity_ts":-1}`, `body:1:16: /validity_ts: got -1; want seconds since 1970`},
		{&accounts.SecretForm{}, `{"validity_ts":1e300}`, `body:1:16: /validity_ts: got 1e300; want seconds since 1970`},
		{&accounts.AccountForm{}, `{"name":""}`, `body:1:9: /name: got ""; want 1 to 64 characters on one line, without blanks around them`},
		{&accounts.AccountForm{}, `{"name":"a","actions":["create_account"]}`, `body:1:24: /actions/0: "create_account" cannot be given to an account; want operations of the installation, such as "read"`},
		{&accounts.AccountForm{}, `{"name":"a","actions":["put_sticker"]}`, `body:1:24: /actions/0: "put_sticker" cannot be given to an account; want operations of the installation, such as "read"`},
	} {
		err := decode(t, c.text, c.form)
		require.Error(t, err, c.text)
		if strings.HasPrefix(c.want, "want ") {
			assert.ErrorContains(t, err, c.want, c.text)
			continue
		}
		assert.EqualError(t, err, c.want, c.text)
	}
}

func TestSecretForms(t *testing.T) {
	var f accounts.SecretForm
	require.NoError(t, decode(t, `{"validity_ts":1793620800.1234}`, &f))
	until := time.Date(2026, 11, 2, 12, 0, 0, 123e6, time.UTC)
	assert.Equal(t, until, *f.Until)
	require.NoError(t, f.After(until.Add(-time.Millisecond)))
	require.EqualError(t, f.After(until), `body:1:16: /validity_ts: got 1793620800.1234, which is past; want a time to come, or null for ever`)
	f = accounts.SecretForm{}
	assert.False(t, f.Given())
	require.NoError(t, decode(t, `{"validity_ts":null}`, &f))
	assert.True(t, f.Given())
	assert.Nil(t, f.Until)
	require.NoError(t, f.After(until))
}

// What peers send is refused or taken, and what is taken can be kept and read again.
func FuzzForms(f *testing.F) {
	for _, text := range []string{
		`{"name":"r","statement":{"effect":"allow","actions":["get_sticker"]},"rules":{"twin":null}}`,
		`{"name":"u","role":"3d4c3ec0-6c5f-4d32-ab23-4df8c69f142c","description":{"a":[1,{"b":null}]},"activity":null}`,
		`{"validity_ts":1793620800.5}`, `{"name":"a","actions":["read"]}`, `{`, `null`, `{"description":{"a":1e999}}`,
	} {
		f.Add(text)
	}
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		d := founded(t, now)
		by := super()
		var role accounts.RoleForm
		if decode(t, text, &role) == nil {
			if r, err := d.CreateRole(by, role, now); err == nil {
				require.NoError(t, d.Apply(r.Document()), text)
			}
		}
		var user accounts.UserForm
		if decode(t, text, &user) == nil {
			admin := accounts.SuperAdmin(accounts.Own())
			user.Role = &admin
			u, err := d.CreateUser(by, user, now)
			require.NoError(t, err, text)
			require.NoError(t, d.Apply(u.Document()), text)
		}
		var secret accounts.SecretForm
		if decode(t, text, &secret) == nil {
			_ = secret.After(now)
		}
		var account accounts.AccountForm
		if decode(t, text, &account) == nil {
			_, _, _, docs, err := d.CreateAccount(by, account, now)
			require.NoError(t, err, text)
			for _, doc := range docs {
				require.NoError(t, d.Apply(doc), text)
			}
		}
	})
}

// A document that is not ours, or was written by another version, lets nobody in.
func FuzzDocuments(f *testing.F) {
	f.Add("user.1", `{"uuid":"1"}`)
	f.Add("role.1", `{"uuid":"1","statement":{"effect":"allow"}}`)
	f.Add("account.1", `{"uuid":"2"}`)
	f.Add("x", "")
	f.Fuzz(func(t *testing.T, id, text string) {
		now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
		d := founded(t, now)
		if d.Apply(accounts.Document{ID: id, Text: text}) != nil {
			_, known := d.Identify(accounts.SecretPrefix, now)
			assert.False(t, known)
		}
		d.Empty(now)
		d.Accounts()
	})
}

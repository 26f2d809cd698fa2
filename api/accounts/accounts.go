// Package accounts is the way in to accounts: who am I, roles, users, PINs and
// secrets, as clients of Trusted Twin ask for them.
package accounts

import (
	"context"
	"errors"
	"net/http"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
)

// Store keeps the accounts.
type Store interface {
	LookUp(look func(*accounts.Directory) error) error
	ChangeAccounts(ctx context.Context, decide func(there *accounts.Directory, now time.Time) ([]accounts.Document, error)) error
}

// room answers from a store.
type room struct {
	store Store
	now   func() time.Time
}

// Routes are the ways in.
func Routes(store Store, now func() time.Time) []access.Route {
	r := room{store, now}
	route := func(pattern string, action access.Action, f func(*http.Request) (int, any, error)) access.Route {
		return access.Route{Pattern: pattern, Action: action, Handler: trusted.Serve(refusal, f)}
	}
	return trusted.Routes(
		route("GET /whoami", "who_am_i", r.whoAmI),
		route("GET /roles", "get_user_roles", r.roles),
		route("POST /roles", "create_user_role", r.createRole),
		route("GET /roles/{role}", "get_user_role", r.role),
		route("PATCH /roles/{role}", "update_user_role", r.updateRole),
		route("DELETE /roles/{role}", "delete_user_role", r.deleteRole),
		route("GET /users", "get_users", r.users),
		route("POST /users", "create_user", r.createUser),
		route("GET /users/{user}", "get_user", r.user),
		route("PATCH /users/{user}", "update_user", r.updateUser),
		route("DELETE /users/{user}", "delete_user", r.deleteUser),
		route("POST /users/{user}/secrets", "create_user_secret_pin", r.createPIN),
		route("GET /users/{user}/secrets", "get_user_secret", r.secret),
		route("PATCH /users/{user}/secrets", "update_user_secret", r.updateSecret),
		route("DELETE /users/{user}/secrets", "delete_user_secret", r.deleteSecret),
		route("POST /secrets/{account}/{pin}", access.Redeem, r.createSecret),
		route("GET /accounts", "get_accounts", r.accounts),
		route("POST /accounts", "create_account", r.createAccount),
		route("PATCH /accounts/{account}", "change_account", r.updateAccount),
		route("DELETE /accounts/{account}", "delete_account", r.deleteAccount),
		route("POST /accounts/{account}/secrets", "create_account", r.createAccountPIN),
	)
}

// statuses are those of the refusals.
var statuses = map[accounts.Reason]struct {
	status  int
	subcode string
}{
	accounts.Missing:  {http.StatusNotFound, trusted.NotFound},
	accounts.Denied:   {http.StatusForbidden, trusted.Forbidden},
	accounts.Conflict: {http.StatusBadRequest, trusted.Invalid},
	accounts.TooMany:  {http.StatusBadRequest, trusted.QuotaViolation},
}

// refusal is an error as it is answered.
func refusal(err error) error {
	if no, ok := errors.AsType[*accounts.Refusal](err); ok {
		s := statuses[no.Reason]
		return &trusted.Error{Status: s.status, Subcode: s.subcode, Description: no.Why}
	}
	if errors.Is(err, engine.ErrNotRead) {
		return &access.Refused{Code: access.Unavailable, Why: err.Error(), After: time.Second}
	}
	return err
}

// stamp is a time as clients read it: seconds since 1970, to three decimals.
func stamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// until is the stamp of a time that need not come.
func until(t *time.Time) *float64 {
	if t == nil {
		return nil
	}
	s := stamp(*t)
	return &s
}

// actor is who asks, with what it may do: as its role has it, where it has one
// that is kept.
func actor(ctx context.Context, d *accounts.Directory) accounts.Actor {
	account, user, role := trusted.Actor(ctx)
	by := accounts.Actor{Account: account, User: user, May: accounts.Statement{Effect: accounts.Allow}}
	caller := access.From(ctx)
	kept, err := d.Role(account, role)
	switch {
	case caller.Actions == nil:
		by.May = accounts.Everything()
	case err == nil:
		by.May = kept.Statement
	default:
		for _, a := range caller.Actions {
			by.May.Actions = append(by.May.Actions, string(a))
		}
	}
	return by
}

func (r *room) whoAmI(req *http.Request) (int, any, error) {
	account, user, role := trusted.Actor(req.Context())
	caller := access.From(req.Context())
	name := caller.Name
	err := r.store.LookUp(func(d *accounts.Directory) error {
		if u, err := d.User(account, user); err == nil {
			name = u.Name
		}
		return nil
	})
	return http.StatusOK, struct {
		Account string `json:"account"`
		User    string `json:"user"`
		Role    string `json:"role"`
		Name    string `json:"name"`
	}{account, user, role, name}, err
}

// look answers with what is made of the accounts as they are.
func look[T any](r *room, req *http.Request, see func(d *accounts.Directory, account string) (T, error)) (int, any, error) {
	account, _, _ := trusted.Actor(req.Context())
	var answer T
	err := r.store.LookUp(func(d *accounts.Directory) (err error) {
		answer, err = see(d, account)
		return err
	})
	return http.StatusOK, answer, err
}

// change lets an actor change something, and answers with it.
func change[T any](r *room, req *http.Request, status int, decide func(d *accounts.Directory, by accounts.Actor, now time.Time) (answer T, docs []accounts.Document, err error)) (int, any, error) {
	var answer T
	ctx := req.Context()
	err := r.store.ChangeAccounts(ctx, func(d *accounts.Directory, now time.Time) (docs []accounts.Document, err error) {
		answer, docs, err = decide(d, actor(ctx, d), now)
		return docs, err
	})
	return status, answer, err
}

// one is a change that keeps one document.
func one(d accounts.Document) []accounts.Document { return []accounts.Document{d} }

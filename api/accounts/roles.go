package accounts

import (
	"net/http"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/api/trusted"
)

// roleView is a role as clients read it.
type roleView struct {
	UUID      string             `json:"uuid"`
	Account   string             `json:"account"`
	Name      string             `json:"name"`
	Statement accounts.Statement `json:"statement"`
	Rules     rulesView          `json:"rules"`
	Created   float64            `json:"created_ts"`
	Updated   float64            `json:"updated_ts"`
}

// rulesView are rules of access: there are none.
type rulesView struct {
	Twin     *string `json:"twin_rule"`
	Entry    *string `json:"entry_rule"`
	Identity *string `json:"identity_rule"`
}

func viewRole(r *accounts.Role) roleView {
	return roleView{UUID: r.UUID, Account: r.Account, Name: r.Name, Statement: r.Statement, Created: stamp(r.Created), Updated: stamp(r.Updated)}
}

// listed is an object in a list of them.
type listed struct {
	Name    string  `json:"name"`
	Role    string  `json:"role,omitempty"`
	Created float64 `json:"created_ts"`
	Updated float64 `json:"updated_ts"`
}

func (r *room) roles(req *http.Request) (int, any, error) {
	return look(r, req, func(d *accounts.Directory, account string) (map[string]map[string]listed, error) {
		all := map[string]listed{}
		for _, role := range d.Roles(account) {
			all[role.UUID] = listed{Name: role.Name, Created: stamp(role.Created), Updated: stamp(role.Updated)}
		}
		return map[string]map[string]listed{"roles": all}, nil
	})
}

func (r *room) role(req *http.Request) (int, any, error) {
	return look(r, req, func(d *accounts.Directory, account string) (roleView, error) {
		role, err := d.Role(account, req.PathValue("role"))
		if err != nil {
			return roleView{}, err
		}
		return viewRole(role), nil
	})
}

func (r *room) createRole(req *http.Request) (int, any, error) {
	var form accounts.RoleForm
	if raw, err := trusted.Read(req, &form); err != nil || form.Name == nil {
		return 0, nil, wanted(err, raw, "name")
	}
	return change(r, req, http.StatusCreated, func(d *accounts.Directory, by accounts.Actor, now time.Time) (roleView, []accounts.Document, error) {
		return keptRole(d.CreateRole(by, form, now))
	})
}

func (r *room) updateRole(req *http.Request) (int, any, error) {
	var form accounts.RoleForm
	if _, err := trusted.Read(req, &form); err != nil {
		return 0, nil, err
	}
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, now time.Time) (roleView, []accounts.Document, error) {
		return keptRole(d.UpdateRole(by, req.PathValue("role"), form, now))
	})
}

func keptRole(role *accounts.Role, err error) (roleView, []accounts.Document, error) {
	if err != nil {
		return roleView{}, nil, err
	}
	return viewRole(role), one(role.Document()), nil
}

func (r *room) deleteRole(req *http.Request) (int, any, error) {
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, _ time.Time) (roleView, []accounts.Document, error) {
		role, err := d.DeleteRole(by, req.PathValue("role"))
		if err != nil {
			return roleView{}, nil, err
		}
		return viewRole(role), one(role.Gone()), nil
	})
}

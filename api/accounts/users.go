package accounts

import (
	"net/http"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/api/trusted"
	"tocsin.internal/internal/strictjson"
)

// userView is a user as clients read it.
type userView struct {
	UUID        string         `json:"uuid"`
	Account     string         `json:"account"`
	Role        string         `json:"role"`
	Name        string         `json:"name,omitempty"`
	Description map[string]any `json:"description,omitzero"`
	Activity    *struct{}      `json:"activity"`
	Created     float64        `json:"created_ts"`
	Updated     float64        `json:"updated_ts"`
}

func viewUser(u *accounts.User) userView {
	return userView{UUID: u.UUID, Account: u.Account, Role: u.Role, Name: u.Name, Description: u.Description, Created: stamp(u.Created), Updated: stamp(u.Updated)}
}

// wanted is the error of a body: what is wrong with it, or that it lacks a member.
func wanted(err error, raw strictjson.Raw, member string) error {
	if err != nil {
		return err
	}
	return trusted.Errorf(trusted.Invalid, "%v", raw.Missing(member))
}

func (r *room) users(req *http.Request) (int, any, error) {
	return look(r, req, func(d *accounts.Directory, account string) (map[string]map[string]listed, error) {
		all := map[string]listed{}
		for _, u := range d.Users(account) {
			all[u.UUID] = listed{Name: u.Name, Role: u.Role, Created: stamp(u.Created), Updated: stamp(u.Updated)}
		}
		return map[string]map[string]listed{"users": all}, nil
	})
}

func (r *room) user(req *http.Request) (int, any, error) {
	return look(r, req, func(d *accounts.Directory, account string) (userView, error) {
		u, err := d.User(account, req.PathValue("user"))
		if err != nil {
			return userView{}, err
		}
		return viewUser(u), nil
	})
}

func (r *room) createUser(req *http.Request) (int, any, error) {
	var form accounts.UserForm
	if raw, err := trusted.Read(req, &form); err != nil || form.Role == nil {
		return 0, nil, wanted(err, raw, "role")
	}
	return change(r, req, http.StatusCreated, func(d *accounts.Directory, by accounts.Actor, now time.Time) (userView, []accounts.Document, error) {
		return keptUser(d.CreateUser(by, form, now))
	})
}

func (r *room) updateUser(req *http.Request) (int, any, error) {
	var form accounts.UserForm
	if _, err := trusted.Read(req, &form); err != nil {
		return 0, nil, err
	}
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, now time.Time) (userView, []accounts.Document, error) {
		return keptUser(d.UpdateUser(by, req.PathValue("user"), form, now))
	})
}

func keptUser(u *accounts.User, err error) (userView, []accounts.Document, error) {
	if err != nil {
		return userView{}, nil, err
	}
	return viewUser(u), one(u.Document()), nil
}

func (r *room) deleteUser(req *http.Request) (int, any, error) {
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, _ time.Time) (userView, []accounts.Document, error) {
		u, err := d.DeleteUser(by, req.PathValue("user"))
		if err != nil {
			return userView{}, nil, err
		}
		return viewUser(u), one(u.Gone()), nil
	})
}

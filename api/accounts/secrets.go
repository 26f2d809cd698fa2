package accounts

import (
	"net/http"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/api/trusted"
)

// secretView is a secret as clients read it; the secret itself is there once.
type secretView struct {
	Account     string   `json:"account"`
	User        string   `json:"user"`
	Secret      string   `json:"secret,omitempty"`
	Fingerprint string   `json:"fingerprint"`
	Validity    *float64 `json:"validity_ts"` // null: for ever
	Created     float64  `json:"created_ts"`
	Updated     float64  `json:"updated_ts"`
}

func viewSecret(u *accounts.User, s *accounts.Secret) secretView {
	return secretView{Account: u.Account, User: u.UUID, Fingerprint: s.Fingerprint, Validity: until(s.Until), Created: stamp(s.Created), Updated: stamp(s.Updated)}
}

// pinView is a PIN as clients read it, once.
type pinView struct {
	PIN      string  `json:"pin"`
	Account  string  `json:"account"`
	User     string  `json:"user"`
	Validity float64 `json:"validity_ts"` // of the PIN
}

func viewPIN(pin string, u *accounts.User) pinView {
	return pinView{pin, u.Account, u.UUID, stamp(u.PIN.Until)}
}

func keptPIN(pin string, u *accounts.User, err error) (pinView, []accounts.Document, error) {
	if err != nil {
		return pinView{}, nil, err
	}
	return viewPIN(pin, u), one(u.Document()), nil
}

// validity reads until when a secret is to hold; required says whether that has
// to be said, null for ever.
func (r *room) validity(req *http.Request, required bool) (*time.Time, error) {
	var form accounts.SecretForm
	if raw, err := trusted.Read(req, &form); err != nil || required && !form.Given() {
		return nil, wanted(err, raw, "validity_ts")
	}
	if err := form.After(r.now()); err != nil {
		return nil, trusted.Errorf(trusted.Invalid, "%v", err)
	}
	return form.Until, nil
}

func (r *room) createPIN(req *http.Request) (int, any, error) {
	until, err := r.validity(req, false)
	if err != nil {
		return 0, nil, err
	}
	return change(r, req, http.StatusCreated, func(d *accounts.Directory, by accounts.Actor, now time.Time) (pinView, []accounts.Document, error) {
		return keptPIN(d.NewPIN(by, req.PathValue("user"), until, now))
	})
}

func (r *room) createSecret(req *http.Request) (int, any, error) {
	return change(r, req, http.StatusCreated, func(d *accounts.Directory, _ accounts.Actor, now time.Time) (secretView, []accounts.Document, error) {
		secret, u, err := d.UsePIN(req.PathValue("account"), req.PathValue("pin"), now)
		if err != nil {
			return secretView{}, nil, err
		}
		view := viewSecret(u, u.Secret)
		view.Secret = secret
		return view, one(u.Document()), nil
	})
}

func (r *room) secret(req *http.Request) (int, any, error) {
	return look(r, req, func(d *accounts.Directory, account string) (secretView, error) {
		u, err := d.User(account, req.PathValue("user"))
		if err == nil && u.Secret == nil {
			err = trusted.Missing("user %q has no secret", u.UUID)
		}
		if err != nil {
			return secretView{}, err
		}
		return viewSecret(u, u.Secret), nil
	})
}

func (r *room) updateSecret(req *http.Request) (int, any, error) {
	until, err := r.validity(req, true)
	if err != nil {
		return 0, nil, err
	}
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, now time.Time) (secretView, []accounts.Document, error) {
		u, err := d.UpdateSecret(by, req.PathValue("user"), until, now)
		if err != nil {
			return secretView{}, nil, err
		}
		return viewSecret(u, u.Secret), one(u.Document()), nil
	})
}

func (r *room) deleteSecret(req *http.Request) (int, any, error) {
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, now time.Time) (secretView, []accounts.Document, error) {
		was, u, err := d.DeleteSecret(by, req.PathValue("user"), now)
		if err != nil {
			return secretView{}, nil, err
		}
		return viewSecret(u, was), one(u.Document()), nil
	})
}

// accountView is an account as clients read it.
type accountView struct {
	UUID    string   `json:"uuid"`
	Name    string   `json:"name"`
	Actions []string `json:"actions,omitempty"`
	Created float64  `json:"created_ts"`
	Updated float64  `json:"updated_ts"`
}

func viewAccount(a *accounts.Account) accountView {
	return accountView{a.UUID, a.Name, a.Actions, stamp(a.Created), stamp(a.Updated)}
}

func (r *room) accounts(req *http.Request) (int, any, error) {
	return look(r, req, func(d *accounts.Directory, _ string) (map[string][]accountView, error) {
		all := []accountView{}
		for _, a := range d.Accounts() {
			all = append(all, viewAccount(a))
		}
		return map[string][]accountView{"accounts": all}, nil
	})
}

// newAccount is an account with the PIN of its Super Admin.
type newAccount struct {
	accountView
	Administrator pinView `json:"administrator"`
}

func (r *room) createAccount(req *http.Request) (int, any, error) {
	var form accounts.AccountForm
	if raw, err := trusted.Read(req, &form); err != nil || form.Name == nil {
		return 0, nil, wanted(err, raw, "name")
	}
	return change(r, req, http.StatusCreated, func(d *accounts.Directory, by accounts.Actor, now time.Time) (newAccount, []accounts.Document, error) {
		pin, account, user, docs, err := d.CreateAccount(by, form, now)
		if err != nil {
			return newAccount{}, nil, err
		}
		return newAccount{viewAccount(account), viewPIN(pin, user)}, docs, nil
	})
}

func (r *room) updateAccount(req *http.Request) (int, any, error) {
	var form accounts.AccountForm
	if _, err := trusted.Read(req, &form); err != nil {
		return 0, nil, err
	}
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, now time.Time) (accountView, []accounts.Document, error) {
		account, err := d.UpdateAccount(by, req.PathValue("account"), form, now)
		if err != nil {
			return accountView{}, nil, err
		}
		return viewAccount(account), one(account.Document()), nil
	})
}

func (r *room) deleteAccount(req *http.Request) (int, any, error) {
	return change(r, req, http.StatusOK, func(d *accounts.Directory, by accounts.Actor, _ time.Time) (accountView, []accounts.Document, error) {
		account, docs, err := d.DeleteAccount(by, req.PathValue("account"))
		if err != nil {
			return accountView{}, nil, err
		}
		return viewAccount(account), docs, nil
	})
}

func (r *room) createAccountPIN(req *http.Request) (int, any, error) {
	return change(r, req, http.StatusCreated, func(d *accounts.Directory, by accounts.Actor, now time.Time) (pinView, []accounts.Document, error) {
		return keptPIN(d.AdministratorPIN(by, req.PathValue("account"), now))
	})
}

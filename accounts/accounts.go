// Package accounts holds who works in an installation: accounts, their users,
// the roles that say what these may do, and the secrets that they show. It knows
// no clock, no network and no store: documents and times come in as values.
package accounts

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Account is a company, or another group of users, whose stickers, topics and
// ledgers are its own.
type Account struct {
	UUID    string    `json:"uuid"`
	Name    string    `json:"name"`
	Actions []string  `json:"actions,omitempty"` // operations of the installation that it was given
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Role is what its users may do.
type Role struct {
	UUID      string    `json:"uuid"`
	Account   string    `json:"account"`
	Name      string    `json:"name"`
	Statement Statement `json:"statement"`
	Created   time.Time `json:"created"`
	Updated   time.Time `json:"updated"`
}

// User is a person or a program of an account.
type User struct {
	UUID        string         `json:"uuid"`
	Account     string         `json:"account"`
	Role        string         `json:"role"`
	Name        string         `json:"name,omitempty"`
	Description map[string]any `json:"description,omitempty"`
	Created     time.Time      `json:"created"`
	Updated     time.Time      `json:"updated"`
	Secret      *Secret        `json:"secret,omitempty"` // nil: it cannot show who it is
	PIN         *PIN           `json:"pin,omitempty"`    // nil: none was made, or it was used
}

// Secret is what is kept of the secret that a user shows.
type Secret struct {
	Hash        string     `json:"hash"`        // sha256, hexadecimal
	Fingerprint string     `json:"fingerprint"` // its last characters, by which people tell it from others
	Until       *time.Time `json:"until,omitempty"`
	Created     time.Time  `json:"created"`
	Updated     time.Time  `json:"updated"`
}

// PIN is what is kept of what can be turned into a secret once.
type PIN struct {
	Hash        string     `json:"hash"`
	Until       time.Time  `json:"until"`
	SecretUntil *time.Time `json:"secretUntil,omitempty"` // of the secret that it will give
}

// Document is an object as it is kept: the text "" says that it is gone.
type Document struct{ ID, Text string }

// The kinds of documents: their ids are KIND.UUID.
const (
	accountKind = "account"
	roleKind    = "role"
	userKind    = "user"
)

// Document is the account as it is kept.
func (a *Account) Document() Document { return document(accountKind, a.UUID, a) }

// Document is the role as it is kept.
func (r *Role) Document() Document { return document(roleKind, r.UUID, r) }

// Document is the user as it is kept.
func (u *User) Document() Document { return document(userKind, u.UUID, u) }

// Gone is the account's document when it is deleted.
func (a *Account) Gone() Document { return Document{ID: accountKind + "." + a.UUID} }

// Gone is the role's document when it is deleted.
func (r *Role) Gone() Document { return Document{ID: roleKind + "." + r.UUID} }

// Gone is the user's document when it is deleted.
func (u *User) Gone() Document { return Document{ID: userKind + "." + u.UUID} }

func document(kind, uuid string, v any) Document {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what it holds came from JSON, or is ours
	}
	return Document{kind + "." + uuid, string(text)}
}

// read reads a document of a kind, which must be the one of the id.
func read[T any](id, kind, text string, uuid func(*T) string) (*T, error) {
	v := new(T)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return nil, fmt.Errorf("document %q: %w", id, err)
	}
	if kind+"."+uuid(v) != id {
		return nil, fmt.Errorf("document %q: it is that of %q", id, uuid(v))
	}
	return v, nil
}

// kindOf is the kind of the document with an id.
func kindOf(id string) string {
	kind, _, _ := strings.Cut(id, ".")
	return kind
}

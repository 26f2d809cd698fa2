package identity

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Resolver keeps the tokens of documents.
type Resolver interface {
	// Discover gives the token of a DID's document; its error wraps [ErrUnknown]
	// when there is none.
	Discover(ctx context.Context, id string) (token string, err error)
	Register(ctx context.Context, token string) error
}

// Client makes identities and tells a resolver of them.
type Client struct {
	Resolver Resolver
	Now      func() time.Time
}

// Secret is what a key is made of.
type Secret struct {
	Seed []byte // 16 to 32 bytes, a multiple of 4
	Name string // of the key
}

// UserAndAgent makes a user and an agent that may show tokens for the user,
// which the user's document says under the name of the delegation, such as
// "#AuthDeleg". What is registered already stays.
func (c Client) UserAndAgent(ctx context.Context, userSecret, agentSecret Secret, delegation string) (user, agent Identity, err error) {
	if user, err = c.Identity(ctx, userSecret, User); err != nil {
		return user, agent, err
	}
	if agent, err = c.Identity(ctx, agentSecret, Agent); err != nil {
		return user, agent, err
	}
	return user, agent, c.Change(ctx, user, func(d *Document) {
		d.DelegateTo(agent, &d.DelegateAuthentication, delegation)
	})
}

// Twin makes a twin that the agent may control, which the twin's document says
// under the name of the delegation, such as "#ControlDeleg".
func (c Client) Twin(ctx context.Context, secret Secret, agent Identity, delegation string) (Identity, error) {
	twin, err := c.Identity(ctx, secret, Twin)
	if err != nil {
		return twin, err
	}
	return twin, c.Change(ctx, twin, func(d *Document) { d.DelegateTo(agent, &d.DelegateControl, delegation) })
}

// Token is what the agent shows to act for the user from now on.
func (c Client) Token(agent Identity, user string, lasts time.Duration) (string, error) {
	return AuthToken(agent, user, DefaultAudience, c.Now(), lasts)
}

// Identity is the one of a secret; its document is registered where there is none.
func (c Client) Identity(ctx context.Context, secret Secret, kind Kind) (Identity, error) {
	key, err := FromSeed(secret.Seed, kind, secret.Name)
	if err != nil {
		return Identity{}, fmt.Errorf("%s %q: %w", kind, secret.Name, err)
	}
	i := NewIdentity(key, kind)
	switch d, err := c.document(ctx, i.DID); {
	case errors.Is(err, ErrUnknown):
		return i, c.register(ctx, NewDocument(i, kind, c.Now()), i)
	case err != nil:
		return i, err
	case d.nameOf(key.Public()) == "":
		return i, fmt.Errorf("%s has other owners", i.DID)
	default:
		i.Name = d.nameOf(key.Public())
		return i, nil
	}
}

// Change changes the document of an identity that owns it.
func (c Client) Change(ctx context.Context, owner Identity, change func(*Document)) error {
	d, err := c.document(ctx, owner.DID)
	if err != nil {
		return err
	}
	change(d)
	d.UpdateTime = max(c.Now().UnixMilli(), d.UpdateTime+1)
	return c.register(ctx, d, owner)
}

func (c Client) document(ctx context.Context, id string) (*Document, error) {
	token, err := c.Resolver.Discover(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", id, err)
	}
	d, err := ParseDocument(token)
	if err == nil && d.ID != id {
		err = fmt.Errorf("got the document of %s", d.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", id, err)
	}
	return d, nil
}

func (c Client) register(ctx context.Context, d *Document, by Identity) error {
	token, err := DocumentToken(d, by)
	if err == nil {
		err = c.Resolver.Register(ctx, token)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", d.ID, err)
	}
	return nil
}

package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tocsin.internal/internal/did"
)

// ErrUnknown is the error of a DID without a document.
var ErrUnknown = did.ErrUnknown

// ErrExpired is the error of a token that held until its exp.
var ErrExpired = errors.New("expired")

// Discover finds the document of a DID. Its error wraps [ErrUnknown] when there is
// none, and is another when that cannot be said now.
type Discover func(ctx context.Context, id string) (*Document, error)

// Claims are what a token says that holds.
type Claims struct {
	Agent   string // the issuer: DID#name
	User    string // the DID it acts for
	Expires time.Time
}

// Verify says who shows a token: it is of the key that its issuer's document has
// under that name, for the audience ("*": any), good at the time now, and the user has
// delegated authentication or control to the issuer, with a proof that holds. Nothing
// of it is revoked.
func Verify(ctx context.Context, discover Discover, token, audience string, now time.Time) (Claims, error) {
	var claims jwt.RegisteredClaims
	s, err := parse(token, MaxToken, &claims)
	if err != nil {
		return Claims{}, err
	}
	if err := checkTimes(&claims, audience, now); err != nil {
		return Claims{}, err
	}
	issuer, name, err := splitIssuer(claims.Issuer)
	if err != nil {
		return Claims{}, err
	}
	if !did.Valid(claims.Subject) {
		return Claims{}, fmt.Errorf("subject %s; want a DID", shown(claims.Subject))
	}
	doc, err := discover(ctx, issuer)
	if err != nil {
		return Claims{}, fmt.Errorf("issuer %s: %w", issuer, err)
	}
	public, err := doc.key(name, true)
	if err != nil {
		return Claims{}, err
	}
	if err := s.verify(public); err != nil {
		return Claims{}, err
	}
	if err := allowed(ctx, discover, claims.Issuer, claims.Subject, true); err != nil {
		return Claims{}, err
	}
	return Claims{Agent: claims.Issuer, User: claims.Subject, Expires: claims.ExpiresAt.Time}, nil
}

// checkTimes checks the claims that need no document.
func checkTimes(c *jwt.RegisteredClaims, audience string, now time.Time) error {
	switch {
	case c.ExpiresAt == nil:
		return errors.New("no exp; want when it expires")
	case !now.Before(c.ExpiresAt.Time):
		return fmt.Errorf("%w at %s", ErrExpired, c.ExpiresAt.UTC().Format(time.RFC3339))
	case c.IssuedAt == nil:
		return errors.New("no iat; want when it was issued")
	case c.IssuedAt.After(now.Add(ahead)):
		return fmt.Errorf("issued in the future, at %s", c.IssuedAt.UTC().Format(time.RFC3339))
	case c.NotBefore != nil && c.NotBefore.After(now.Add(ahead)):
		return fmt.Errorf("good from %s on only", c.NotBefore.UTC().Format(time.RFC3339))
	case audience != "*" && !slices.Contains(c.Audience, audience):
		return fmt.Errorf("for the audience %s; want %q", shown(strings.Join(c.Audience, " ")), audience)
	}
	return nil
}

// Controls says whether an agent, DID#name, may change the twin: the twin's
// document, or that of its controller, has the agent's key as an owner, or has
// delegated control to it.
func Controls(ctx context.Context, discover Discover, agent, twin string) error {
	return allowed(ctx, discover, agent, twin, false)
}

// allowed says whether the issuer may act for the subject: control it, or, with
// authentication, be taken for it.
func allowed(ctx context.Context, discover Discover, issuer, subject string, authentication bool) error {
	id, name, err := splitIssuer(issuer)
	if err != nil {
		return err
	}
	if !did.Valid(subject) {
		return fmt.Errorf("%s is no DID: %w", shown(subject), ErrUnknown)
	}
	agent, err := discover(ctx, id)
	if err != nil {
		return fmt.Errorf("issuer %s: %w", id, err)
	}
	doc, err := discover(ctx, subject)
	if err != nil {
		return fmt.Errorf("subject %s: %w", subject, err)
	}
	err = doc.lets(agent, issuer, name, authentication)
	if controller, _, _ := strings.Cut(doc.Controller, "#"); err != nil && controller != "" && !doc.Revoked {
		other, otherErr := discover(ctx, controller)
		if otherErr != nil {
			return fmt.Errorf("controller %s: %w", controller, otherErr)
		}
		return other.lets(agent, issuer, name, authentication)
	}
	return err
}

// lets says whether the document lets the issuer, whose document agent is, act.
func (d *Document) lets(agent *Document, issuer, name string, authentication bool) error {
	switch {
	case agent.Revoked:
		return fmt.Errorf("%s is revoked", agent.ID)
	case d.Revoked:
		return fmt.Errorf("%s is revoked", d.ID)
	case agent.ID == d.ID:
		_, err := d.key(name, authentication)
		return err
	}
	delegations := d.DelegateControl
	if authentication {
		delegations = slices.Concat(d.DelegateControl, d.DelegateAuthentication)
	}
	why := fmt.Errorf("%s has delegated nothing to %s", d.ID, issuer)
	for _, g := range delegations {
		switch {
		case g.Controller != issuer:
		case g.Revoked:
			why = fmt.Errorf("%s has revoked delegation %s to %s", d.ID, g.ID, issuer)
		case !g.holds(d.ID, agent, name):
			why = fmt.Errorf("the proof of delegation %s of %s does not hold", g.ID, d.ID)
		default:
			return nil
		}
	}
	return why
}

// holds says whether the agent's key has signed that it takes the delegation.
func (g Delegation) holds(id string, agent *Document, name string) bool {
	public, err := agent.key(name, false)
	if err != nil {
		return false
	}
	if g.ProofType == genericProof {
		id = ""
	}
	return proves(public, id, g.Proof)
}

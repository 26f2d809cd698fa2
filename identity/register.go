package identity

import (
	"errors"
	"fmt"
	"time"
)

// ErrStale is the error of a document that is older than the one that is there.
var ErrStale = errors.New("an older document than the one that is there")

// By how much the clocks of others may be ahead. A document may be more so: a
// client whose clock is wrong should be told by its tokens, and a moment that is
// too far would keep its owner from changing it again.
const (
	ahead         = 30 * time.Second
	documentAhead = 5 * time.Minute
)

// Registered is the document of a token that may take the place of the token
// that is there, "" for none. It has to be signed by an owner: of the document
// that is there, or, where there is none, the one whose key the DID is made of.
// An older document is ErrStale: it would take back what was revoked since.
func Registered(token, there string, now time.Time) (*Document, error) {
	d, err := readDocument(token)
	if err != nil {
		return nil, err
	}
	if at := time.UnixMilli(d.UpdateTime); at.After(now.Add(documentAhead)) {
		return nil, fmt.Errorf("updateTime %s is in the future", at.UTC().Format(time.RFC3339))
	}
	if there == "" {
		return d.Document, d.checkNew()
	}
	old, err := ParseDocument(there)
	if err != nil {
		return nil, fmt.Errorf("what is there: %w", err)
	}
	return d.Document, d.checkNext(old)
}

// checkNew is for the first document of a DID.
func (d signedDocument) checkNew() error {
	owner := d.owner()
	if owner == nil {
		return fmt.Errorf("none of its keys is the one that %s is made of", d.ID)
	}
	if err := d.verify(owner); err != nil {
		return fmt.Errorf("a new document: %w", err)
	}
	if !proves(owner, d.ID, d.Proof) {
		return fmt.Errorf("its proof is not by the key that %s is made of", d.ID)
	}
	return nil
}

// checkNext is for a document that takes the place of another.
func (d signedDocument) checkNext(old *Document) error {
	if d.ID != old.ID {
		return fmt.Errorf("a document of %s for %s", d.ID, old.ID)
	}
	public, err := old.key(d.by, false)
	if err == nil {
		err = d.verify(public)
	}
	if err != nil {
		return fmt.Errorf("not by an owner of the document that is there: %w", err)
	}
	if owner := d.owner(); d.Proof != old.Proof && (owner == nil || !proves(owner, d.ID, d.Proof)) {
		return fmt.Errorf("its proof is not by the key that %s is made of", d.ID)
	}
	if d.UpdateTime < old.UpdateTime {
		return fmt.Errorf("%s: %w", d.ID, ErrStale)
	}
	return nil
}

package engine

import (
	"context"
	"errors"

	"tocsin.internal/bus"
)

// Document gives the token of a DID's document, which the pool keeps; "" for none.
func (e *Engine) Document(ctx context.Context, id string) (string, error) {
	token, _, err := e.bus.Document(ctx, bus.Identities, id)
	return token, err
}

// EditDocument keeps what edit makes of the token that is there, "" for none.
// Nobody else changes it meanwhile: else edit is asked again. An error of edit
// leaves everything as it was.
func (e *Engine) EditDocument(ctx context.Context, id string, edit func(there string) (string, error)) error {
	return e.editDocument(ctx, bus.Identities, id, edit)
}

// editDocument is EditDocument of any shelf; "" made of a document deletes it.
func (e *Engine) editDocument(ctx context.Context, shelf bus.Shelf, id string, edit func(there string) (string, error)) error {
	_, err := e.reviseDocument(ctx, shelf, id, edit)
	return err
}

// reviseDocument is editDocument that gives the revision that is there then, where
// it has not deleted it.
func (e *Engine) reviseDocument(ctx context.Context, shelf bus.Shelf, id string, edit func(there string) (string, error)) (bus.Revision, error) {
	for {
		there, revision, err := e.bus.Document(ctx, shelf, id)
		if err != nil {
			return 0, err
		}
		text, err := edit(there)
		if err != nil || text == there {
			return revision, err
		}
		if text == "" {
			err = e.bus.DeleteDocument(ctx, shelf, id, revision)
		} else {
			revision, err = e.bus.PutDocument(ctx, shelf, id, text, revision)
		}
		if !errors.Is(err, bus.ErrOvertaken) {
			return revision, err
		}
	}
}

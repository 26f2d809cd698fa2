package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/twins"
)

// A sticker is a document on a shelf, and the document says all: what is there, and
// what is still to be told of it. Whoever is at the desk keeps an index of them,
// carries out what rules decide, has their time end, and tells.

// ErrNoSticker is what the error wraps when there is no such sticker, or none that
// the caller may see.
var ErrNoSticker = errors.New("sticker not found")

// StickerQuery says which stickers are meant. The zero query means all.
type StickerQuery struct {
	Twin, Color string    // "" = any
	Accounts    []string  // whose they are; nil = anybody's
	Seen        []string  // by a user, a role or an account that has one of these ids; nil = by anybody
	From, To    time.Time // when they were put, both included; zero = any time
	First       string    // the account whose stickers come first; "" = those that were put last
}

// Stickers are the stickers that are meant, those that were put last first, and
// then by account, twin and color: at most limit of them from offset on, and how
// many there are in all.
func (e *Engine) Stickers(ctx context.Context, q StickerQuery, limit, offset int) (list []twins.Sticker, total int, err error) {
	book, err := e.stickerBook(ctx)
	if err != nil {
		return nil, 0, err
	}
	all := book.find(&q, time.Now())
	first := min(offset, len(all))
	return all[first:min(first+limit, len(all))], len(all), nil
}

// PutStickers puts stickers on a twin, and gives those that are there then: a
// sticker that is there with the same content stays as it is. The error may wrap
// ErrNoTwin, or twins.ErrOtherSticker: then none was put that was not there before,
// but for what others do at the same time. by is who does it.
func (e *Engine) PutStickers(ctx context.Context, stickers []twins.Sticker, by string) ([]twins.Sticker, error) {
	book, err := e.stickerBook(ctx)
	if err != nil {
		return nil, err
	}
	ctx = e.whileAtDesk(ctx)
	there := make([]twins.Sticker, len(stickers))
	for _, dry := range []bool{true, false} {
		for i := range stickers {
			if there[i], err = e.putSticker(ctx, book, &stickers[i], by, dry); err != nil {
				return nil, err
			}
		}
	}
	return there, nil
}

// errDry ends an edit that was only to be tried.
var errDry = errors.New("dry")

func (e *Engine) putSticker(ctx context.Context, book *stickerBook, s *twins.Sticker, by string, dry bool) (there twins.Sticker, err error) {
	if _, err := e.mustKnow(ctx, s.Twin); err != nil {
		return there, err
	}
	err = e.editSticker(ctx, book, s.Key(), func(r *twins.StickerRecord) error {
		_, err := r.Put(*s, "", by, time.Now())
		there = r.Sticker
		if err == nil && dry {
			return errDry
		}
		return err
	})
	if errors.Is(err, errDry) {
		err = nil
	}
	if errors.Is(err, twins.ErrOtherSticker) {
		err = fmt.Errorf("%w: %q", err, s.Color)
	}
	return there, err
}

// RemoveSticker takes the first of the stickers that are meant off its twin, and
// gives it. Of several who do so at once one does: the others' error wraps
// ErrNoSticker. by is who does it.
func (e *Engine) RemoveSticker(ctx context.Context, q StickerQuery, by string) (twins.Sticker, error) {
	book, err := e.stickerBook(ctx)
	if err != nil {
		return twins.Sticker{}, err
	}
	found := book.find(&q, time.Now())
	if len(found) == 0 {
		return twins.Sticker{}, ErrNoSticker
	}
	s := found[0]
	err = e.editSticker(e.whileAtDesk(ctx), book, s.Key(), func(r *twins.StickerRecord) error {
		if r.Sticker.ID != s.ID || !r.Take(by, time.Now()) {
			return ErrNoSticker
		}
		return nil
	})
	return s, err
}

// stickerBook is the index, when it is complete.
func (e *Engine) stickerBook(ctx context.Context) (*stickerBook, error) {
	if err := e.awaitDesk(ctx); err != nil {
		return nil, err
	}
	d := e.atDesk()
	if d == nil {
		return nil, ErrNotAtDesk
	}
	select {
	case <-d.stickers.ready:
		return d.stickers, nil
	case <-d.work.Done():
		return nil, ErrNotAtDesk
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the stickers: %w", ctx.Err())
	}
}

// editSticker changes a sticker's record, and nobody else does meanwhile. An error
// of change leaves it as it was. What is there then the book has too.
func (e *Engine) editSticker(ctx context.Context, book *stickerBook, key string, change func(*twins.StickerRecord) error) error {
	var now twins.StickerRecord
	revision, err := e.reviseDocument(ctx, bus.Stickers, key, func(there string) (string, error) {
		r, err := twins.DecodeStickerRecord(there)
		if err == nil {
			err = change(&r)
		}
		if err != nil {
			return "", err
		}
		now = r
		return r.Encode()
	})
	if err == nil {
		book.put(key, &now, revision)
	}
	return err
}

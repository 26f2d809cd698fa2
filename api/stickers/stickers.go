// Package stickers is the way in to stickers: they are put, looked at, listed and
// taken off as clients of Trusted Twin do it.
package stickers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"tocsin.internal/api/access"
	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/twins"
)

// Store keeps the stickers.
type Store interface {
	Stickers(ctx context.Context, q engine.StickerQuery, limit, offset int) (list []twins.Sticker, total int, err error)
	PutStickers(ctx context.Context, stickers []twins.Sticker, by string) ([]twins.Sticker, error)
	RemoveSticker(ctx context.Context, q engine.StickerQuery, by string) (twins.Sticker, error)
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
		return access.Route{Pattern: pattern, Action: action, Handler: trusted.Serve(refusal, func(req *http.Request) (int, any, error) {
			ctx, cancel := context.WithTimeout(req.Context(), patience)
			defer cancel()
			return f(req.WithContext(ctx))
		})}
	}
	return trusted.Routes(
		route("POST /twins/{twin}/stickers", "put_sticker", r.put),
		route("GET /twins/{twin}/stickers", "get_stickers", r.ofTwin),
		route("GET /twins/{twin}/stickers/{color}", "get_sticker", r.get),
		route("DELETE /twins/{twin}/stickers/{color}", "remove_sticker", r.remove),
		route("GET /stickers", "list_stickers", r.list),
	)
}

// patience is how long a client waits for an engine that catches up.
const patience = 15 * time.Second

// refusal is an error as it is answered. Of a sticker that the caller may not see
// it says the same as of one that is not there.
func refusal(err error) error {
	own, _ := errors.AsType[*trusted.Error](err)
	large, _ := errors.AsType[*http.MaxBytesError](err)
	switch {
	case own != nil, large != nil:
		return err
	case errors.Is(err, engine.ErrNoSticker):
		return trusted.Missing("sticker not found")
	case errors.Is(err, engine.ErrNoTwin):
		return trusted.Missing("twin not found")
	case errors.Is(err, twins.ErrOtherSticker):
		return trusted.Errorf(trusted.IdempotencyViolation, "%v", err)
	}
	return &access.Refused{Code: access.Unavailable, Why: err.Error(), After: 2 * time.Second}
}

// caller is who asks.
type caller struct {
	account string
	name    string   // what is written down of it: its user's id
	seen    []string // the ids by which it is among recipients; nil: it sees all
}

func who(ctx context.Context) caller {
	account, user, role := trusted.Actor(ctx)
	c := caller{account: account, name: user}
	if !access.From(ctx).Everybody() {
		c.seen = slices.DeleteFunc([]string{user, role, account}, func(id string) bool { return id == "" })
	}
	return c
}

// put puts one or more stickers on a twin.
func (r room) put(req *http.Request) (int, any, error) {
	var body struct {
		Stickers strictjson.Raw `json:"stickers" strict:"required"`
	}
	if _, err := trusted.Read(req, &body); err != nil {
		return 0, nil, err
	}
	if body.Stickers.Kind() != strictjson.Object || len(body.Stickers.Members()) == 0 {
		return 0, nil, trusted.Errorf(trusted.Invalid, `stickers: got %s; want one or more by their colors, such as {"red":{"recipients":[…]}}`, body.Stickers.Shown())
	}
	by, now := who(req.Context()), r.now()
	var all []twins.Sticker
	var errs []error
	for _, m := range body.Stickers.Members() {
		s, err := twins.DecodeSticker(m.Value, m.Name, now)
		s.ID, s.Twin, s.Account = uuid.NewString(), req.PathValue("twin"), by.account
		all, errs = append(all, s), append(errs, err)
	}
	if err := strictjson.Join(errs...); err != nil {
		return 0, nil, trusted.Errorf(trusted.Invalid, "%v", err)
	}
	all, err := r.store.PutStickers(req.Context(), all, by.name)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, map[string]any{"stickers": byColor(all)}, nil
}

// ofTwin gives the stickers of a twin that the caller sees, by account and color.
func (r room) ofTwin(req *http.Request) (int, any, error) {
	q, _, err := r.question(req, system, "context")
	if err != nil {
		return 0, nil, err
	}
	all, _, err := r.store.Stickers(req.Context(), q, allOfThem, 0)
	if err != nil {
		return 0, nil, err
	}
	accounts := map[string][]twins.Sticker{}
	for _, s := range all {
		accounts[s.Account] = append(accounts[s.Account], s)
	}
	grouped := map[string]any{}
	for account, stickers := range accounts {
		grouped[account] = byColor(stickers)
	}
	return http.StatusOK, map[string]any{"stickers": grouped}, nil
}

// get gives a sticker of a twin that the caller sees: that of its own account,
// else the one that was put last.
func (r room) get(req *http.Request) (int, any, error) {
	q, _, err := r.question(req, system, "context")
	if err != nil {
		return 0, nil, err
	}
	found, _, err := r.store.Stickers(req.Context(), q, 1, 0)
	if err == nil && len(found) == 0 {
		err = engine.ErrNoSticker
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, whole(&found[0]), nil
}

// remove takes a sticker off a twin.
func (r room) remove(req *http.Request) (int, any, error) {
	q, _, err := r.question(req, personal, "context")
	if err != nil {
		return 0, nil, err
	}
	s, err := r.store.RemoveSticker(req.Context(), q, who(req.Context()).name)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, whole(&s), nil
}

// list gives the stickers that the caller sees, on whatever twin.
func (r room) list(req *http.Request) (int, any, error) {
	q, page, err := r.question(req, personal, "color", "context", "ge", "le", "limit", "offset")
	if err != nil {
		return 0, nil, err
	}
	all, total, err := r.store.Stickers(req.Context(), q, page.limit, page.offset)
	if err != nil {
		return 0, nil, err
	}
	out := make([]sticker, 0, len(all))
	for i := range all {
		out = append(out, whole(&all[i]))
	}
	return http.StatusOK, map[string]any{"stickers": out, "total": total}, nil
}

// sticker is one as it is answered.
type sticker struct {
	Account    string              `json:"account,omitempty"`
	Twin       string              `json:"twin,omitempty"`
	Color      string              `json:"color,omitempty"`
	Note       string              `json:"note"`
	Recipients []string            `json:"recipients"`
	Validity   twins.Timestamp     `json:"validity_ts"`
	Created    twins.Timestamp     `json:"created_ts"`
	Publish    map[string][]string `json:"publish"`
}

// bare is a sticker whose account, twin and color are known.
func bare(s *twins.Sticker) sticker {
	return sticker{Note: s.Note, Recipients: s.Recipients, Validity: twins.TimestampOf(s.ValidUntil), Created: twins.TimestampOf(s.Created), Publish: s.Published()}
}

func whole(s *twins.Sticker) sticker {
	out := bare(s)
	out.Account, out.Twin, out.Color = s.Account, s.Twin, s.Color
	return out
}

func byColor(list []twins.Sticker) map[string]sticker {
	out := map[string]sticker{}
	for i := range list {
		out[list[i].Color] = bare(&list[i])
	}
	return out
}

package ledgers

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/trusted"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/twins"
)

// twinAnswer is a twin as it is answered.
type twinAnswer struct {
	twins.Record
	Status string `json:"status"`
}

// The statuses of twins.
const (
	alive      = "alive"
	terminated = "terminated"
)

func shown(r twins.Record, status string) twinAnswer {
	if status == alive {
		r.Terminated = nil // it has come back
	}
	return twinAnswer{r, status}
}

// find is what there is of a twin. One that was described elsewhere, by a file or
// by the IOTICS API, belongs to the own account. Twins of the engine live; of
// others only the record is left.
func (o *room) find(ctx context.Context, id string) (r twins.Record, status string, err error) {
	r, known, err := o.engine.TwinRecord(ctx, id)
	if err != nil {
		return r, "", err
	}
	t, lives := o.engine.Twin(id)
	switch {
	case known && lives:
		return r, alive, nil
	case known:
		return r, terminated, nil
	case lives:
		return foreign(t), alive, nil
	}
	return r, "", noTwin()
}

// foreign is the record of a twin that was described elsewhere.
func foreign(t *twins.Twin) twins.Record {
	return twins.Record{Certificate: twins.Certificate{UUID: t.ID, Creator: accounts.Own()}, Owner: accounts.Own(), Description: t.Description()}
}

func noTwin() error { return trusted.Missing("twin not found") }

// readDescription reads {"description"}; said says whether there is one.
func readDescription(r *http.Request) (description json.RawMessage, said bool, err error) {
	var in struct {
		Description strictjson.Raw `json:"description"`
	}
	if _, err := trusted.Read(r, &in); err != nil {
		return nil, false, err
	}
	if err := wrong(twins.CheckDescription(in.Description)); err != nil {
		return nil, false, err
	}
	if in.Description.Kind() == strictjson.Object {
		description = in.Description.Text()
	}
	return description, !in.Description.IsZero(), nil
}

func (o *room) create(r *http.Request) (int, any, error) {
	description, _, err := readDescription(r)
	if err != nil {
		return 0, nil, err
	}
	id, by, now := newID(), who(r), twins.TimestampOf(o.now())
	if err := may(r, id); err != nil {
		return 0, nil, err
	}
	record := twins.Record{Certificate: twins.Certificate{UUID: id, Creator: by.account, Created: now}, Owner: by.account, Updated: now, Description: description}
	err = o.engine.EditTwinRecord(r.Context(), id, func(twins.Record, bool) (twins.Record, error) { return record, nil })
	if err == nil {
		err = o.engine.EditTwin(r.Context(), id, func(t twins.Twin, _ bool) (twins.Twin, error) {
			t.Visibility = twins.Public
			return t.Describe(description, nil)
		})
	}
	return http.StatusCreated, shown(record, alive), err
}

func (o *room) get(r *http.Request) (int, any, error) {
	q, err := query(r, "show_terminated")
	if err != nil {
		return 0, nil, err
	}
	ended, err := flag(q, "show_terminated")
	if err != nil {
		return 0, nil, err
	}
	record, status, err := o.find(r.Context(), r.PathValue("twin"))
	if err == nil && status == terminated && !ended {
		err = noTwin()
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, shown(o.censored(r, record), status), nil
}

// censored is the record without the description of a twin that was described
// elsewhere and is not public, for who is of another account.
func (o *room) censored(r *http.Request, record twins.Record) twins.Record {
	by := who(r)
	if t, ok := o.engine.Twin(record.Certificate.UUID); ok && t.Seen() == twins.Private && by.account != record.Owner && !by.everybody {
		record.Description = nil
	}
	return record
}

// owned is a twin that lives and that the caller may change.
func (o *room) owned(r *http.Request) (id string, record twins.Record, err error) {
	id = r.PathValue("twin")
	record, status, err := o.find(r.Context(), id)
	switch by := who(r); {
	case err != nil:
		return id, record, err
	case by.account != record.Owner && !by.everybody:
		return id, record, access.Deny("only the owner of the twin may do that")
	case status != alive:
		return id, record, trusted.Errorf(trusted.Invalid, "the twin has been terminated")
	}
	if record.Certificate.Created == 0 { // described elsewhere, where an agent has to have been given control
		if err := o.guard.Controlled(r.Context(), access.From(r.Context()), id); err != nil {
			return id, record, err
		}
	}
	return id, record, may(r, id)
}

func (o *room) update(r *http.Request) (int, any, error) {
	id, record, err := o.owned(r)
	if err != nil {
		return 0, nil, err
	}
	description, said, err := readDescription(r)
	if err != nil {
		return 0, nil, err
	}
	if !said {
		return http.StatusOK, shown(record, alive), nil
	}
	before := record.Description
	err = o.engine.EditTwinRecord(r.Context(), id, func(there twins.Record, known bool) (twins.Record, error) {
		if known {
			record = there
		}
		before = record.Description
		record.Description, record.Updated, record.Terminated = description, twins.TimestampOf(o.now()), nil
		return record, nil
	})
	if err == nil {
		err = o.engine.EditTwin(r.Context(), id, func(t twins.Twin, known bool) (twins.Twin, error) {
			if !known {
				return t, noTwin()
			}
			return t.Describe(description, before)
		})
	}
	return http.StatusOK, shown(record, alive), err
}

func (o *room) terminate(r *http.Request) (int, any, error) {
	id, record, err := o.owned(r)
	if err != nil {
		return 0, nil, err
	}
	err = o.engine.EditTwinRecord(r.Context(), id, func(there twins.Record, known bool) (twins.Record, error) {
		if known {
			record = there
		}
		now := twins.TimestampOf(o.now())
		record.Updated, record.Terminated = now, &twins.Termination{Issuer: who(r).account, At: now}
		return record, nil
	})
	if err == nil {
		err = o.engine.DeleteTwin(r.Context(), id)
	}
	return http.StatusOK, shown(record, terminated), err
}

// maxTwins is how many twins a page has at most.
const maxTwins = 100

// scan lists the twins that live, in the order of their ids: the public ones, and
// to the own account all.
func (o *room) scan(r *http.Request) (int, any, error) {
	q, err := query(r, "cursor", "count", "details")
	if err != nil {
		return 0, nil, err
	}
	count, err := number(q, "count", maxTwins)
	if err != nil {
		return 0, nil, err
	}
	offset, err := place(q.Get("cursor"))
	if err != nil {
		return 0, nil, err
	}
	details, err := flag(q, "details")
	if err != nil {
		return 0, nil, err
	}
	by := who(r)
	found := o.engine.Search(twins.Query{Limit: count, Offset: offset})
	var ids []string
	whole := map[string]twinAnswer{}
	for _, t := range found {
		if t.Seen() == twins.Private && by.account != accounts.Own() && !by.everybody {
			continue
		}
		ids = append(ids, t.ID)
		if q.Has("details") && details {
			record, status, err := o.find(r.Context(), t.ID)
			if err != nil {
				return 0, nil, err
			}
			whole[t.ID] = shown(o.censored(r, record), status)
		}
	}
	out := map[string]any{"twins": notNull(ids)}
	if q.Has("details") && details {
		out["twins"] = whole
	}
	if len(found) == count {
		out["cursor"] = base64.URLEncoding.EncodeToString([]byte(strconv.Itoa(offset + count)))
	}
	return http.StatusOK, out, nil
}

// notNull is a list that is not null in JSON.
func notNull(ids []string) []string {
	if ids == nil {
		return []string{}
	}
	return ids
}

// place is that of a cursor: how many twins come before it.
func place(cursor string) (int, error) {
	text, err := base64.URLEncoding.DecodeString(cursor)
	n, notNumber := strconv.Atoi(cmp.Or(string(text), "0"))
	if err != nil || notNumber != nil || n < 0 {
		return 0, trusted.Errorf(trusted.Invalid, "parameter %q: got %q; want that of an answer", "cursor", cut(cursor))
	}
	return n, nil
}

// exists wants there to be a twin, alive or not.
func (o *room) exists(ctx context.Context, id string) error {
	if _, ok := o.engine.Twin(id); ok {
		return nil
	}
	_, _, err := o.find(ctx, id)
	return err
}

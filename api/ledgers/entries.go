package ledgers

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"tocsin.internal/api/access"
	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/twins"
)

// entryAnswer is an entry as it is answered.
type entryAnswer struct {
	Value      json.RawMessage      `json:"value"`
	Feed       string               `json:"feed,omitempty"`
	Field      string               `json:"field,omitempty"`
	Ref        *linkAnswer          `json:"ref,omitempty"`
	Include    *linkAnswer          `json:"include,omitempty"`
	Visibility json.RawMessage      `json:"visibility"`
	History    string               `json:"history,omitempty"`
	Timeseries json.RawMessage      `json:"timeseries,omitempty"`
	Publish    *twins.LedgerPublish `json:"publish,omitempty"`
	Created    twins.Timestamp      `json:"entry_created_ts"`
	Updated    twins.Timestamp      `json:"entry_updated_ts"`
	Changed    twins.Timestamp      `json:"value_changed_ts"`
}

// linkAnswer is a link, and whether there is anything at its end.
type linkAnswer struct {
	Source string `json:"source"`
	Status string `json:"status"`
}

// The statuses of links.
const (
	linkFound   = "ok"
	linkMissing = "not_found"
)

// entryRefusal says why nothing was done to an entry.
type entryRefusal struct {
	Error struct {
		Subcode     string `json:"subcode"`
		Description string `json:"description"`
	} `json:"error"`
}

// ledgerAnswer is a ledger as it is answered.
type ledgerAnswer struct {
	Entries map[string]any  `json:"entries"`
	Created twins.Timestamp `json:"entry_created_ts,omitzero"`
	Updated twins.Timestamp `json:"entry_updated_ts,omitzero"`
	Changed twins.Timestamp `json:"value_changed_ts,omitzero"`
}

// ledger is the one in the path; own says whether it is the caller's account's.
func (o *room) ledger(r *http.Request) (of engine.LedgerOf, own bool, err error) {
	by, twin := who(r), r.PathValue("twin")
	if err := o.exists(r.Context(), twin); err != nil {
		return of, false, err
	}
	of = engine.LedgerOf{Twin: twin, Account: by.account}
	switch name := r.PathValue("ledger"); name {
	case "personal":
	case "owner", "creator":
		record, _, err := o.find(r.Context(), twin)
		if err != nil {
			return of, false, err
		}
		of.Account = record.Owner
		if name == "creator" {
			of.Account = record.Certificate.Creator
		}
	default:
		account, err := uuid.Parse(name)
		if err != nil {
			return of, false, trusted.Errorf(trusted.Invalid, "ledger %q: want personal, owner, creator, or the UUID of an account", cut(name))
		}
		of.Account = account.String()
	}
	return of, of.Account == by.account, nil
}

// ownLedger is a ledger that the caller may change.
func (o *room) ownLedger(r *http.Request) (of engine.LedgerOf, err error) {
	of, own, err := o.ledger(r)
	switch {
	case err != nil:
		return of, err
	case !own:
		return of, access.Deny("only the account of a ledger may change it")
	}
	return of, may(r, of.Twin)
}

// readEntries reads {"entries"} of a request that adds or changes some.
func (o *room) readEntries(r *http.Request, of engine.LedgerOf, decode entryDecoder) (map[string]twins.EntryUpdate, error) {
	var in struct {
		Entries strictjson.Raw `json:"entries" strict:"required"`
	}
	if _, err := trusted.Read(r, &in); err != nil {
		return nil, err
	}
	entries, err := decode(in.Entries)
	if err != nil {
		return nil, wrong(err)
	}
	return entries, o.mayLink(r, of, entries)
}

// mayLink lets only the twin's owner show its feeds in a ledger: others have no
// other way to them.
func (o *room) mayLink(r *http.Request, of engine.LedgerOf, entries map[string]twins.EntryUpdate) error {
	links := func(u twins.EntryUpdate) bool { return u.Feed != nil }
	if !slices.ContainsFunc(slices.Collect(maps.Values(entries)), links) {
		return nil
	}
	record, _, err := o.find(r.Context(), of.Twin)
	if by := who(r); err == nil && by.account != record.Owner && !by.everybody {
		err = access.Deny("only the owner of the twin may link entries to its feeds")
	}
	return err
}

// entryDecoder reads what a request says of entries.
type entryDecoder func(strictjson.Raw) (map[string]twins.EntryUpdate, error)

func addedEntries(r strictjson.Raw) (map[string]twins.EntryUpdate, error) {
	return twins.DecodeEntries(r, true)
}

func changedEntries(r strictjson.Raw) (map[string]twins.EntryUpdate, error) {
	return twins.DecodeEntries(r, false)
}

func (o *room) addEntries(r *http.Request) (int, any, error) {
	entries, refused, answer, err := o.edit(r, addedEntries, (*twins.Ledger).Add)
	if err != nil {
		return 0, nil, err
	}
	if len(refused) == len(entries) {
		return http.StatusOK, answer, nil
	}
	return http.StatusCreated, answer, nil
}

func (o *room) updateEntries(r *http.Request) (int, any, error) {
	_, _, answer, err := o.edit(r, changedEntries, (*twins.Ledger).Update)
	return http.StatusOK, answer, err
}

// edit changes the caller's ledger by the entries of the body, and gives them,
// those that were refused, and how all of them are then.
func (o *room) edit(
	r *http.Request, decode entryDecoder, change func(*twins.Ledger, map[string]twins.EntryUpdate, twins.Timestamp) (map[string]error, error),
) (entries map[string]twins.EntryUpdate, refused map[string]error, out *ledgerAnswer, err error) {
	of, err := o.ownLedger(r)
	if err != nil {
		return nil, nil, out, err
	}
	if entries, err = o.readEntries(r, of, decode); err != nil {
		return nil, nil, out, err
	}
	l, refused, err := o.change(r, of, func(l *twins.Ledger) (map[string]error, error) {
		return change(l, entries, twins.TimestampOf(o.now()))
	})
	if err != nil {
		return nil, nil, out, err
	}
	out, err = o.answer(r, of, l, slices.Collect(maps.Keys(entries)), refused)
	return entries, refused, out, err
}

func (o *room) deleteEntries(r *http.Request) (int, any, error) {
	of, err := o.ownLedger(r)
	if err != nil {
		return 0, nil, err
	}
	q, list, err := entriesQuery(r)
	if err != nil {
		return 0, nil, err
	}
	before := new(twins.Ledger)
	_, refused, err := o.change(r, of, func(l *twins.Ledger) (map[string]error, error) {
		*before = *l
		before.Entries = maps.Clone(l.Entries)
		if !q.Has("entries") {
			list = slices.Collect(maps.Keys(l.Entries))
		}
		return l.Delete(list, twins.TimestampOf(o.now()))
	})
	if err != nil {
		return 0, nil, err
	}
	answer, err := o.answer(r, of, before, list, refused)
	return http.StatusOK, answer, err
}

// change changes a ledger, and gives what it is since.
func (o *room) change(r *http.Request, of engine.LedgerOf, f func(*twins.Ledger) (map[string]error, error)) (is *twins.Ledger, refused map[string]error, err error) {
	err = o.engine.EditLedger(r.Context(), of, func(l *twins.Ledger) (err error) {
		is = l
		refused, err = f(l)
		return err
	})
	return is, refused, err
}

// answer shows entries of a ledger, or why nothing was done to them.
func (o *room) answer(r *http.Request, of engine.LedgerOf, l *twins.Ledger, list []string, refused map[string]error) (*ledgerAnswer, error) {
	out := &ledgerAnswer{Entries: map[string]any{}, Created: l.Created, Updated: l.Updated, Changed: l.Changed}
	for _, name := range list {
		if err := refused[name]; err != nil {
			out.Entries[name] = refusedEntry(err)
			continue
		}
		e := l.Entries[name]
		if e == nil {
			continue
		}
		shown, err := o.entry(r, of, e)
		if err != nil {
			return nil, err
		}
		out.Entries[name] = shown
	}
	return out, nil
}

func refusedEntry(err error) (e entryRefusal) {
	e.Error.Subcode, e.Error.Description = trusted.Invalid, err.Error()
	switch {
	case errors.Is(err, twins.ErrEntryThere):
		e.Error.Subcode = trusted.IdempotencyViolation
	case errors.Is(err, twins.ErrEntryMissing):
		e.Error.Subcode = trusted.NotFound
	}
	return e
}

// entry is an entry with the value that it has, or shows, now.
func (o *room) entry(r *http.Request, of engine.LedgerOf, e *twins.Entry) (entryAnswer, error) {
	out := entryAnswer{
		Value: e.Value, Visibility: e.Visibility, History: e.History, Timeseries: e.Timeseries, Publish: e.Publish,
		Created: e.Created, Updated: e.Updated, Changed: e.Changed,
	}
	switch {
	case e.Feed != nil:
		out.Feed, out.Field = e.Feed.Feed, e.Feed.Field
		value, at, err := o.feedValue(r.Context(), of.Twin, e.Feed)
		if at > 0 {
			out.Changed = at
		}
		out.Value = value
		return out, err
	case e.Ref != nil:
		return out, o.follow(r, of, e.Ref, &out, &out.Ref)
	case e.Include != nil:
		return out, o.follow(r, of, e.Include, &out, &out.Include)
	}
	return out, nil
}

// feedValue is a field of the last sample of a feed, and when it was; null where
// there is none.
func (o *room) feedValue(ctx context.Context, twin string, link *twins.FeedLink) (value json.RawMessage, at twins.Timestamp, err error) {
	last, ok, err := o.engine.LastSample(ctx, twin, link.Feed)
	if errors.Is(err, engine.ErrNoTwin) || errors.Is(err, engine.ErrNoFeed) || err == nil && !ok {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	value = last.Data
	if link.Field != "" {
		for part := range strings.SplitSeq(link.Field, ".") {
			var object map[string]json.RawMessage
			if json.Unmarshal(value, &object) != nil {
				return nil, 0, nil
			}
			value = object[part]
		}
	}
	return value, twins.TimestampOf(last.At), nil
}

// follow gives an entry the value of the one that it links to, where the caller
// may see that one. One that links itself has none.
func (o *room) follow(r *http.Request, of engine.LedgerOf, link *twins.EntryLink, out *entryAnswer, at **linkAnswer) error {
	*at = &linkAnswer{link.String(), linkMissing}
	target := engine.LedgerOf{Twin: link.Twin, Account: link.Account}
	if target.Account == "" {
		target.Account = of.Account
	}
	l, err := o.engine.Ledger(r.Context(), target)
	if err != nil {
		return err
	}
	e := l.Entries[link.Entry]
	if e == nil || e.Ref != nil || e.Include != nil || !o.sees(r, target, e) {
		return nil
	}
	shown, err := o.entry(r, target, e)
	out.Value, out.Changed, (*at).Status = shown.Value, shown.Changed, linkFound
	return err
}

// sees says whether the caller may see an entry.
func (o *room) sees(r *http.Request, of engine.LedgerOf, e *twins.Entry) bool {
	by := who(r)
	return by.account == of.Account || by.everybody || e.VisibleTo(twins.Viewer{Account: by.account, User: by.user, Role: by.role}, of.Twin)
}

// visible are the entries of a ledger that the caller may see. Of a ledger of
// another account in which there are none it says no more than of one that there
// is not.
func (o *room) visible(r *http.Request) (of engine.LedgerOf, l *twins.Ledger, own bool, err error) {
	of, own, err = o.ledger(r)
	if err != nil {
		return of, nil, own, err
	}
	if l, err = o.engine.Ledger(r.Context(), of); err != nil {
		return of, nil, own, err
	}
	if own {
		return of, l, own, nil
	}
	seen := &twins.Ledger{Entries: map[string]*twins.Entry{}}
	for name, e := range l.Entries {
		if o.sees(r, of, e) {
			seen.Entries[name] = e
			seen.Created, seen.Updated, seen.Changed = max(seen.Created, e.Created), max(seen.Updated, e.Updated), max(seen.Changed, e.Changed)
		}
	}
	if len(seen.Entries) == 0 {
		return of, nil, own, trusted.Missing("ledger not found")
	}
	return of, seen, own, nil
}

func (o *room) getLedger(r *http.Request) (int, any, error) {
	q, list, err := entriesQuery(r, "show_public", "show_private", "show_references")
	if err != nil {
		return 0, nil, err
	}
	var show [3]bool
	for i, name := range []string{"show_public", "show_private", "show_references"} {
		if show[i], err = flag(q, name); err != nil {
			return 0, nil, err
		}
	}
	of, l, own, err := o.visible(r)
	if err != nil {
		return 0, nil, err
	}
	if list == nil {
		list = slices.Collect(maps.Keys(l.Entries))
	}
	list = slices.DeleteFunc(list, func(name string) bool {
		e := l.Entries[name]
		if e == nil || !own {
			return e == nil
		}
		return e.Visibility != nil && !show[0] || e.Visibility == nil && !show[1] || e.Ref != nil && !show[2]
	})
	answer, err := o.answer(r, of, l, list, nil)
	if err == nil && !own {
		answer.withoutRules()
	}
	return http.StatusOK, answer, err
}

// withoutRules leaves out what is the account's own business.
func (a *ledgerAnswer) withoutRules() {
	for name, e := range a.Entries {
		if shown, ok := e.(entryAnswer); ok {
			a.Entries[name] = struct {
				Value   json.RawMessage `json:"value"`
				Created twins.Timestamp `json:"entry_created_ts"`
				Updated twins.Timestamp `json:"entry_updated_ts"`
				Changed twins.Timestamp `json:"value_changed_ts"`
			}{shown.Value, shown.Created, shown.Updated, shown.Changed}
		}
	}
}

// getValues shows the values of entries and nothing else.
func (o *room) getValues(r *http.Request) (int, any, error) {
	_, list, err := entriesQuery(r)
	if err != nil {
		return 0, nil, err
	}
	of, l, _, err := o.visible(r)
	if err != nil {
		return 0, nil, err
	}
	if list == nil {
		list = slices.Collect(maps.Keys(l.Entries))
	}
	answer, err := o.answer(r, of, l, list, nil)
	return http.StatusOK, answer.values(), err
}

// setValues changes the values of entries: {"entries": {"<name>": value, …}}.
func (o *room) setValues(r *http.Request) (int, any, error) {
	_, _, answer, err := o.edit(r, twins.DecodeValues, (*twins.Ledger).Update)
	return http.StatusOK, answer.values(), err
}

// values is a ledger of which only the values are shown; nil of none.
func (a *ledgerAnswer) values() map[string]any {
	if a == nil {
		return nil
	}
	out := map[string]any{}
	for name, e := range a.Entries {
		if shown, ok := e.(entryAnswer); ok {
			out[name] = shown.Value
		} else {
			out[name] = e
		}
	}
	return map[string]any{"entries": out}
}

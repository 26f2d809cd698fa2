package twins

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

var (
	entryName    = regexp.MustCompile(`^[a-z_][0-9a-z_]{0,127}$`)
	historyShape = regexp.MustCompile(`^([1-9][0-9]{0,2}[DWMY]|INF)$`)
)

// EntryUpdate is what a request says of an entry.
type EntryUpdate struct {
	Value                                    strictjson.Raw
	Feed                                     *FeedLink
	Ref, Include                             *EntryLink
	Visibility, History, Timeseries, Publish strictjson.Raw // null: none
	publish                                  *LedgerPublish
}

// DecodeEntries reads {"<name>": entry, …}; added entries need a value or a link.
func DecodeEntries(r strictjson.Raw, added bool) (map[string]EntryUpdate, error) {
	if r.Kind() != strictjson.Object {
		return nil, r.Wrong(strictjson.Object, `{"<entry>": {"value": …}, …}`)
	}
	if len(r.Members()) == 0 {
		return nil, r.At.Errorf(`no entry; want {"<entry>": {"value": …}, …}`)
	}
	entries := map[string]EntryUpdate{}
	var errs []error
	for _, m := range r.Members() {
		if err := CheckEntryName(m.Name); err != nil {
			errs = append(errs, m.Key.As(strictjson.WrongValue).Errorf("%v", err))
			continue
		}
		var u EntryUpdate
		if err := u.DecodeStrict(m.Value); err != nil {
			errs = append(errs, err)
		} else if added && u.Value.IsZero() && u.Feed == nil && u.Ref == nil && u.Include == nil {
			errs = append(errs, m.Value.Missing("value"))
		}
		entries[m.Name] = u
	}
	return entries, strictjson.Join(errs...)
}

// DecodeValues reads {"<name>": value, …}: updates of the values of entries.
func DecodeValues(r strictjson.Raw) (map[string]EntryUpdate, error) {
	if r.Kind() != strictjson.Object || len(r.Members()) == 0 {
		return nil, r.Wrong(strictjson.Object, `{"<entry>": value, …}`)
	}
	entries := map[string]EntryUpdate{}
	var errs []error
	for _, m := range r.Members() {
		if err := CheckEntryName(m.Name); err != nil {
			errs = append(errs, m.Key.As(strictjson.WrongValue).Errorf("%v", err))
		}
		entries[m.Name] = EntryUpdate{Value: m.Value}
	}
	return entries, strictjson.Join(errs...)
}

// CheckEntryName wants a text to be the name of an entry.
func CheckEntryName(name string) error {
	switch {
	case name == changedName:
		return fmt.Errorf("the name %q is taken: it lists what has changed", name)
	case !entryName.MatchString(name):
		return fmt.Errorf("name %.140q; want a letter of a to z or _, then at most 127 of these and digits", name)
	}
	return nil
}

// DecodeStrict reads {"value","feed","field","ref" or "reference","include","visibility",
// "history","timeseries","publish"}, each of which may be absent.
func (u *EntryUpdate) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Value      strictjson.Raw `json:"value"`
		Feed       *string        `json:"feed"`
		Field      *string        `json:"field"`
		Ref        *EntryLink     `json:"ref"`
		Reference  *EntryLink     `json:"reference"` // as some clients call it
		Include    *EntryLink     `json:"include"`
		Visibility strictjson.Raw `json:"visibility"`
		History    strictjson.Raw `json:"history"`
		Timeseries strictjson.Raw `json:"timeseries"`
		Publish    strictjson.Raw `json:"publish"`
	}
	err := r.Decode(&in)
	*u = EntryUpdate{Value: in.Value, Ref: cmp.Or(in.Ref, in.Reference), Include: in.Include, Visibility: in.Visibility, History: in.History, Timeseries: in.Timeseries, Publish: in.Publish}
	kinds := 0
	for _, there := range []bool{!in.Value.IsZero(), in.Feed != nil, in.Ref != nil, in.Reference != nil, in.Include != nil} {
		if there {
			kinds++
		}
	}
	if kinds > 1 {
		err = strictjson.Join(err, r.At.Errorf("more than one of value, feed, ref and include; want one"))
	}
	switch {
	case in.Feed != nil && r.Member("feed").Kind() != strictjson.String: // that is told already
	case in.Feed != nil && *in.Feed == "":
		err = strictjson.Join(err, r.Member("feed").Wrong(strictjson.String, "the id of a feed"))
	case in.Feed != nil:
		u.Feed = &FeedLink{Feed: *in.Feed}
		if in.Field != nil {
			u.Feed.Field = *in.Field
		}
	case in.Field != nil:
		err = strictjson.Join(err, r.Member("field").At.Errorf("a field of no feed; want feed beside it"))
	}
	return strictjson.Join(err, checkVisibility(in.Visibility), checkHistory(in.History), checkTimeseries(in.Timeseries), u.readPublish())
}

// given says whether something was said, and not that there is none.
func given(r strictjson.Raw) bool { return !r.IsZero() && r.Kind() != strictjson.Null }

func checkVisibility(r strictjson.Raw) error {
	switch {
	case !given(r):
		return nil
	case r.Kind() == strictjson.Object, r.Kind() == strictjson.Bool, r.Str() == "True", r.Str() == "true":
		_, err := logic.Compile(readable(r))
		return err
	case r.Kind() == strictjson.String:
		return r.Wrong(strictjson.Object, `JSONLogic over user, role, account and twin, such as {"==":[{"var":"role"},"<uuid>"]}, or "True": expressions in text are not read`)
	}
	return r.Wrong(strictjson.Object, "JSONLogic over user, role, account and twin, or null")
}

func checkHistory(r strictjson.Raw) error {
	if given(r) && !historyShape.MatchString(r.Str()) {
		return r.Wrong(strictjson.String, `a number up to 999 and D, W, M or Y, such as "1M", or "INF"`)
	}
	return nil
}

func checkTimeseries(r strictjson.Raw) error {
	if given(r) && r.Kind() != strictjson.Object {
		return r.Wrong(strictjson.Object, "an object")
	}
	return nil
}

func (u *EntryUpdate) readPublish() error {
	if !given(u.Publish) {
		return nil
	}
	u.publish = new(LedgerPublish)
	return u.publish.DecodeStrict(u.Publish)
}

// DecodeStrict reads {"rule","topic"}: the rule is JSONLogic and may be absent,
// the topic is one or a list of them.
func (p *LedgerPublish) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Rule  strictjson.Raw `json:"rule"`
		Topic strictjson.Raw `json:"topic" strict:"required"`
	}
	err := r.Decode(&in)
	if given(in.Rule) {
		p.Rule = in.Rule.Text()
		if in.Rule.Kind() == strictjson.String && in.Rule.Str() != "True" && in.Rule.Str() != "true" {
			err = strictjson.Join(err, in.Rule.Wrong(strictjson.Object, `JSONLogic over new_value, old_value, entry, changed_ts and ledger, or "True": expressions in text are not read`))
		} else if _, wrong := logic.Compile(readable(in.Rule)); wrong != nil {
			err = strictjson.Join(err, wrong)
		}
	}
	if in.Topic.IsZero() {
		return err
	}
	topics, wrong := decodeTopics(in.Topic)
	p.Topics = topics
	return strictjson.Join(err, wrong)
}

// fits says why an update cannot be one of an entry.
func (u *EntryUpdate) fits(e *Entry) error {
	switch links := u.Feed != nil || u.Ref != nil || u.Include != nil; {
	case e.Linked() && !u.Value.IsZero():
		return ErrEntryLinked
	case !e.Linked() && links,
		u.Feed != nil && e.Feed == nil, u.Ref != nil && e.Ref == nil, u.Include != nil && e.Include == nil:
		return ErrEntryValued
	}
	return nil
}

// apply changes an entry by what the update says.
func (u *EntryUpdate) apply(e *Entry, at Timestamp) error {
	was := *e
	if u.Feed != nil || u.Ref != nil || u.Include != nil {
		e.Feed, e.Ref, e.Include = u.Feed, u.Ref, u.Include
	}
	if !u.Visibility.IsZero() {
		e.Visibility = asWritten(u.Visibility)
	}
	if !u.History.IsZero() {
		e.History = u.History.Str()
	}
	if !u.Timeseries.IsZero() {
		e.Timeseries = asWritten(u.Timeseries)
	}
	if !u.Publish.IsZero() {
		e.Publish = u.publish
	}
	if !was.same(e) {
		e.Updated = at
	}
	if !u.Value.IsZero() {
		value, err := json.Marshal(u.Value)
		if err != nil {
			return err
		}
		if string(value) != string(e.Value) {
			e.Value, e.Changed = value, at
		}
	}
	return nil
}

// asWritten is a value as it is kept; null is nothing.
func asWritten(r strictjson.Raw) json.RawMessage {
	if !given(r) {
		return nil
	}
	return json.RawMessage(r.Text())
}

// String is the URL by which Trusted Twin names an entry.
func (l EntryLink) String() string {
	if l.Account == "" {
		return "twin://" + l.Twin + "/" + l.Entry
	}
	return "twin://" + l.Twin + "/" + l.Account + "/" + l.Entry
}

// linkSource is an EntryLink in JSON.
type linkSource struct {
	Source string `json:"source" strict:"required"`
	Status string `json:"status"` // clients may send back what they got
}

// MarshalJSON gives {"source"}.
func (l EntryLink) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"source": l.String()})
}

// UnmarshalJSON reads {"source"}.
func (l *EntryLink) UnmarshalJSON(text []byte) error {
	var in linkSource
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	link, ok := parseLink(in.Source)
	if !ok {
		return fmt.Errorf("source %q of an entry", in.Source)
	}
	*l = link
	return nil
}

// DecodeStrict reads {"source":"twin://<twin>/<account>/<entry>"}; without the
// account it is that of the ledger.
func (l *EntryLink) DecodeStrict(r strictjson.Raw) error {
	var in linkSource
	if err := r.Decode(&in); err != nil {
		return err
	}
	link, ok := parseLink(in.Source)
	if !ok {
		return r.Member("source").Wrong(strictjson.String, `an entry such as "twin://<twin>/<account>/<entry>"`)
	}
	*l = link
	return nil
}

func parseLink(source string) (l EntryLink, ok bool) {
	rest, ok := strings.CutPrefix(source, "twin://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 2 || len(parts) > 3 || parts[0] == "" || len(parts[0]) > maxID {
		return l, false
	}
	l.Twin, l.Entry = parts[0], parts[len(parts)-1]
	if len(parts) == 3 {
		account, err := uuid.Parse(parts[1])
		if err != nil {
			return l, false
		}
		l.Account = account.String()
	}
	return l, entryName.MatchString(l.Entry)
}

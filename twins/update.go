package twins

import (
	"slices"

	"tocsin.internal/rules"
)

// PropertyUpdate changes properties, in the order of its fields.
type PropertyUpdate struct {
	ClearedAll   bool
	Deleted      []rules.Property // exactly these
	DeletedByKey []string
	Added        []rules.Property
}

// Apply gives what the update makes of ps, which it does not change. What is
// there already is not added again, so that an update may be sent twice.
func (u *PropertyUpdate) Apply(ps []rules.Property) []rules.Property {
	var out []rules.Property
	if !u.ClearedAll {
		for _, p := range ps {
			if !slices.Contains(u.Deleted, p) && !slices.Contains(u.DeletedByKey, p.Key) {
				out = append(out, p)
			}
		}
	}
	for _, p := range u.Added {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// ValueUpdate changes the values of a feed or an input. A label that is both
// added and deleted is deleted.
type ValueUpdate struct {
	Added          []rules.Value
	DeletedByLabel []string
}

// Apply gives what the update makes of vs, which it does not change. A value
// takes the place of the one with its label.
func (u *ValueUpdate) Apply(vs []rules.Value) []rules.Value {
	out := slices.Clone(vs)
	for _, v := range u.Added {
		if i := slices.IndexFunc(out, func(o rules.Value) bool { return o.Label == v.Label }); i >= 0 {
			out[i] = v
		} else {
			out = append(out, v)
		}
	}
	return slices.DeleteFunc(out, func(v rules.Value) bool { return slices.Contains(u.DeletedByLabel, v.Label) })
}

// FeedUpdate changes a feed.
type FeedUpdate struct {
	StoreLast  *bool // nil leaves it
	Values     ValueUpdate
	Properties PropertyUpdate
}

// Apply gives what the update makes of f.
func (u *FeedUpdate) Apply(f rules.Feed) rules.Feed {
	if u.StoreLast != nil {
		f.StoreLast = *u.StoreLast
	}
	f.Values, f.Properties = u.Values.Apply(f.Values), u.Properties.Apply(f.Properties)
	return f
}

// Update changes a twin, but not its feeds and inputs.
type Update struct {
	Visibility string // "" leaves it
	Properties PropertyUpdate
	Moved      bool            // the location is to be Location
	Location   *rules.Location // nil: nowhere
}

// Apply gives what the update makes of t.
func (u *Update) Apply(t Twin) Twin {
	if u.Visibility != "" {
		t.Visibility = u.Visibility
	}
	if u.Moved {
		t.Location = u.Location
	}
	t.Properties = u.Properties.Apply(t.Properties)
	return t
}

// WithFeed is the twin with a feed, in the place of the one with its id where
// there is one.
func (t Twin) WithFeed(f rules.Feed) Twin {
	t.Feeds = slices.Clone(t.Feeds)
	if i := slices.IndexFunc(t.Feeds, func(o rules.Feed) bool { return o.ID == f.ID }); i >= 0 {
		t.Feeds[i] = f
	} else {
		t.Feeds = append(t.Feeds, f)
	}
	return t
}

// WithoutFeed is the twin without the feed of that id.
func (t Twin) WithoutFeed(id string) Twin {
	t.Feeds = without(t.Feeds, id)
	return t
}

// WithoutInput is the twin without the input of that id.
func (t Twin) WithoutInput(id string) Twin {
	t.Inputs = without(t.Inputs, id)
	return t
}

func without(feeds []rules.Feed, id string) []rules.Feed {
	return slices.DeleteFunc(slices.Clone(feeds), func(f rules.Feed) bool { return f.ID == id })
}

// Input is the twin's input of that id.
func (t *Twin) Input(id string) (rules.Feed, bool) {
	i := slices.IndexFunc(t.Inputs, func(f rules.Feed) bool { return f.ID == id })
	if i < 0 {
		return rules.Feed{}, false
	}
	return t.Inputs[i], true
}

// The values of the properties hostAllowList and hostMetadataAllowList, by their
// names of today and of before.
const (
	allowAll    = "http://data.iotics.com/public#all"
	allowAllOld = "http://data.iotics.com/public#allHosts"
)

// Seen is the twin's visibility: what was said, or else what its metadata allow
// list says. Private is what says nothing.
func (t *Twin) Seen() string {
	switch {
	case t.Visibility != "":
		return t.Visibility
	case t.Has(rules.PropHostMetaAllowList, rules.Literal{Kind: rules.URI, Value: allowAll}),
		t.Has(rules.PropHostMetaAllowList, rules.Literal{Kind: rules.URI, Value: allowAllOld}):
		return Public
	}
	return Private
}

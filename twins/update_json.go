package twins

import (
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// DecodeStrict reads {"clearedAll","deleted","deletedByKey","added"}, each of
// which may be absent.
func (u *PropertyUpdate) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		ClearedAll   bool             `json:"clearedAll"`
		Deleted      []rules.Property `json:"deleted"`
		DeletedByKey []string         `json:"deletedByKey"`
		Added        []rules.Property `json:"added"`
	}
	err := r.Decode(&in)
	*u = PropertyUpdate(in)
	return err
}

// DecodeStrict reads {"added","deletedByLabel"}, each of which may be absent.
func (u *ValueUpdate) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Added          []rules.Value `json:"added"`
		DeletedByLabel []string      `json:"deletedByLabel"`
	}
	err := r.Decode(&in)
	*u = ValueUpdate(in)
	return err
}

// DecodeStrict reads {"storeLast","values","properties"}, each of which may be
// absent.
func (u *FeedUpdate) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		StoreLast  *bool           `json:"storeLast"`
		Values     *ValueUpdate    `json:"values"`
		Properties *PropertyUpdate `json:"properties"`
	}
	err := r.Decode(&in)
	u.StoreLast = in.StoreLast
	if in.Values != nil {
		u.Values = *in.Values
	}
	if in.Properties != nil {
		u.Properties = *in.Properties
	}
	return err
}

// DecodeStrict reads {"newVisibility","properties","location"}, each of which
// may be absent. The visibility is PUBLIC, PRIVATE, or {"visibility"} of them.
// The location is {"lat","lon"} or {"location":{"lat","lon"}}; {} unsets it.
func (u *Update) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Visibility *newVisibility  `json:"newVisibility"`
		Properties *PropertyUpdate `json:"properties"`
		Location   locationUpdate  `json:"location"`
	}
	err := r.Decode(&in)
	*u = Update{Moved: in.Location.given, Location: in.Location.at}
	if in.Visibility != nil {
		u.Visibility = string(*in.Visibility)
	}
	if in.Properties != nil {
		u.Properties = *in.Properties
	}
	return err
}

type newVisibility visibility

func (v *newVisibility) DecodeStrict(r strictjson.Raw) error {
	if r.Kind() != strictjson.Object {
		return (*visibility)(v).DecodeStrict(r)
	}
	var in struct {
		Visibility visibility `json:"visibility" strict:"required"`
	}
	err := r.Decode(&in)
	*v = newVisibility(in.Visibility)
	return err
}

type locationUpdate struct {
	location
	given bool
}

func (l *locationUpdate) DecodeStrict(r strictjson.Raw) error {
	inner := r
	if m := r.Member("location"); !m.IsZero() {
		inner = m
	}
	switch {
	case r.Kind() == strictjson.Null:
		return nil
	case inner.Kind() == strictjson.Null, r.Kind() == strictjson.Object && len(r.Members()) == 0:
		l.given = true
		return nil
	}
	l.given = true
	return l.location.DecodeStrict(r)
}

package accounts

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
)

// RoleForm is what somebody wants a role to be; nil leaves it as it is.
type RoleForm struct {
	Name      *string
	Statement *Statement
}

// DecodeStrict implements strictjson.Decoder.
func (f *RoleForm) DecodeStrict(raw strictjson.Raw) error {
	var form struct {
		Name      strictjson.Raw `json:"name"`
		Statement strictjson.Raw `json:"statement"`
		Rules     strictjson.Raw `json:"rules"`
	}
	err := raw.Decode(&form)
	var errs []error
	if given(form.Name) {
		f.Name = new(string)
		errs = append(errs, name(form.Name, f.Name))
	}
	if given(form.Statement) {
		f.Statement = new(Statement)
		errs = append(errs, f.Statement.decode(form.Statement))
	}
	return strictjson.Join(append(errs, err, noRules(form.Rules))...)
}

// given says whether a member is there and is not null.
func given(raw strictjson.Raw) bool { return !raw.IsZero() && raw.Kind() != strictjson.Null }

// noRules refuses rules of access: to take them and not keep to them would let
// somebody do more than was meant.
func noRules(raw strictjson.Raw) error {
	if !given(raw) {
		return nil
	}
	var errs []error
	var rules map[string]strictjson.Raw
	if err := raw.Decode(&rules); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if given(rules[name]) {
			errs = append(errs, rules[name].At.Errorf("rules of access are not evaluated here; want null, and a statement with fewer actions"))
		}
	}
	return strictjson.Join(errs...)
}

func (s *Statement) decode(raw strictjson.Raw) error {
	var form struct {
		Effect  string         `json:"effect" strict:"required"`
		Actions strictjson.Raw `json:"actions"`
	}
	if err := raw.Decode(&form); err != nil {
		return err
	}
	if effects := []string{Allow, Deny}; !slices.Contains(effects, form.Effect) {
		return raw.Member("effect").At.Errorf("got %q%s", form.Effect, strictjson.OneOf(form.Effect, effects))
	}
	actions, err := actions(form.Actions)
	*s = Statement{form.Effect, actions}
	return err
}

// actions reads a list of names of operations, each once.
func actions(raw strictjson.Raw) ([]string, error) {
	out := []string{}
	if !given(raw) {
		return out, nil
	}
	var written []string
	if err := raw.Decode(&written); err != nil {
		return out, err
	}
	var errs []error
	for i, name := range written {
		if !Known(name) {
			at := raw.Elems()[i].At
			errs = append(errs, at.Renamed(name, names()).Errorf("no operation %q%s", name, strictjson.DidYouMean(name, names())))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, strictjson.Join(errs...)
}

func (f *RoleForm) write(r *Role, now time.Time) {
	if f.Name != nil {
		r.Name = *f.Name
	}
	if f.Statement != nil {
		r.Statement = *f.Statement
	}
	r.Updated = now
}

// maxName is how many characters a name may have.
const maxName = 64

func name(raw strictjson.Raw, into *string) error {
	if err := raw.Decode(into); err != nil {
		return err
	}
	n := *into
	if n == "" || utf8.RuneCountInString(n) > maxName || strings.TrimSpace(n) != n || strings.ContainsFunc(n, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return raw.At.Errorf("got %s; want 1 to %d characters on one line, without blanks around them", raw.Shown(), maxName)
	}
	return nil
}

// UserForm is what somebody wants a user to be; nil leaves it as it is.
type UserForm struct {
	Name, Role  *string
	Description *map[string]any
}

var attribute = regexp.MustCompile(`^[a-z_][0-9a-z_]{0,63}$`)

// DecodeStrict implements strictjson.Decoder.
func (f *UserForm) DecodeStrict(raw strictjson.Raw) error {
	var form struct {
		Name        strictjson.Raw `json:"name"`
		Role        *string        `json:"role"`
		Description strictjson.Raw `json:"description"`
		Activity    strictjson.Raw `json:"activity"`
	}
	err := raw.Decode(&form)
	var errs []error
	if given(form.Name) {
		f.Name = new(string)
		errs = append(errs, name(form.Name, f.Name))
	}
	if form.Role != nil {
		role := strings.ToLower(*form.Role)
		f.Role = &role
	}
	if !form.Description.IsZero() {
		f.Description = new(map[string]any)
		errs = append(errs, describe(form.Description, f.Description))
	}
	if given(form.Activity) {
		errs = append(errs, form.Activity.At.Errorf("activity logs are not kept here; want null"))
	}
	return strictjson.Join(append(errs, err)...)
}

// describe reads a description; null is none.
func describe(raw strictjson.Raw, into *map[string]any) error {
	if !given(raw) {
		return nil
	}
	if err := raw.Decode(into); err != nil {
		return err
	}
	for _, m := range raw.Members() {
		if !attribute.MatchString(m.Name) {
			return m.Value.At.Errorf("name %q; want %s", m.Name, attribute)
		}
	}
	return nil
}

func (f *UserForm) write(u *User, now time.Time) {
	if f.Name != nil {
		u.Name = *f.Name
	}
	if f.Role != nil {
		u.Role = *f.Role
	}
	if f.Description != nil {
		u.Description = *f.Description
	}
	u.Updated = now
}

// SecretForm says until when a secret is to hold.
type SecretForm struct {
	Until *time.Time // nil: for ever
	raw   strictjson.Raw
}

// DecodeStrict implements strictjson.Decoder.
func (f *SecretForm) DecodeStrict(raw strictjson.Raw) error {
	var form struct {
		Validity strictjson.Raw `json:"validity_ts"`
	}
	if err := raw.Decode(&form); err != nil {
		return err
	}
	f.raw = form.Validity
	if !given(form.Validity) {
		return nil
	}
	var seconds float64
	if err := form.Validity.Decode(&seconds); err != nil {
		return err
	}
	const most = 253402300799 // the end of the year 9999
	if !(seconds > 0 && seconds <= most) {
		return form.Validity.At.Errorf("got %s; want seconds since 1970", form.Validity.Shown())
	}
	until := time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	f.Until = &until
	return nil
}

// Given says whether the form says anything.
func (f *SecretForm) Given() bool { return !f.raw.IsZero() }

// After says whether what was wanted is still to come.
func (f *SecretForm) After(now time.Time) error {
	if f.Until != nil && !now.Before(*f.Until) {
		return f.raw.At.Errorf("got %s, which is past; want a time to come, or null for ever", f.raw.Shown())
	}
	return nil
}

// AccountForm is what somebody wants an account to be; nil leaves it as it is.
type AccountForm struct {
	Name    *string
	Actions *[]string // operations of the installation that it is given
}

// DecodeStrict implements strictjson.Decoder.
func (f *AccountForm) DecodeStrict(raw strictjson.Raw) error {
	var form struct {
		Name    strictjson.Raw `json:"name"`
		Actions strictjson.Raw `json:"actions"`
	}
	if err := raw.Decode(&form); err != nil {
		return err
	}
	var errs []error
	if given(form.Name) {
		f.Name = new(string)
		errs = append(errs, name(form.Name, f.Name))
	}
	if !form.Actions.IsZero() {
		given, err := actions(form.Actions)
		f.Actions, errs = &given, append(errs, err)
	}
	for i, name := range form.Actions.Elems() {
		if op, ok := operation(name.Str()); ok && op.Kind != Installation {
			errs = append(errs, form.Actions.Elems()[i].At.Errorf("%q cannot be given to an account; want operations of the installation, such as \"read\"", op.Name))
		}
	}
	return strictjson.Join(errs...)
}

func (f *AccountForm) write(a *Account, now time.Time) {
	if f.Name != nil {
		a.Name = *f.Name
	}
	if f.Actions != nil {
		a.Actions = *f.Actions
	}
	a.Updated = now
}

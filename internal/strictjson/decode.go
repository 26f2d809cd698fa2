package strictjson

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Decoder is what a type implements that reads itself from a value. Its error
// is a complaint with a place, or several joined by [Join].
type Decoder interface{ DecodeStrict(Raw) error }

// Decode reads the value into v, a pointer, and reports every problem at once.
//
// Structs take exactly the members that their `json:"name"` tags name; with
// `strict:"required"` beside it a member must be there. A pointer field takes null as
// nil; anything else refuses null. A field of type [Raw] is left for later.
// A time.Duration is a string such as "90s". Absent members leave v as it was,
// so that defaults are set before the call.
func (r Raw) Decode(v any) error {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		panic("strictjson: Decode wants a pointer")
	}
	var d decoding
	d.value(r, rv.Elem())
	return Join(d.errs...)
}

type decoding struct{ errs []error }

// wrong complains about a value; takes is the type of those that are fine.
func (d *decoding) wrong(r Raw, takes Kind, want string) {
	d.errs = append(d.errs, r.Wrong(takes, want))
}

// Wrong complains about the value: about its type, unless that is takes.
func (r Raw) Wrong(takes Kind, want string) error {
	code := WrongType
	if r.kind == takes {
		code = WrongValue
	}
	return r.At.As(code).Errorf("got %s; want %s", r.Shown(), want)
}

// Missing complains about a member that the object has to have.
func (r Raw) Missing(name string) error {
	return r.At.Start().As(MissingField).Meaning(name).Errorf("field %q is missing", name)
}

var (
	rawType      = reflect.TypeFor[Raw]()
	durationType = reflect.TypeFor[time.Duration]()
)

func (d *decoding) value(r Raw, v reflect.Value) {
	t := v.Type()
	switch {
	case t == rawType:
		*v.Addr().Interface().(*Raw) = r
		return
	case t == durationType:
		d.duration(r, v)
		return
	}
	if itself, ok := reflect.TypeAssert[Decoder](v.Addr()); ok {
		if err := itself.DecodeStrict(r); err != nil {
			d.errs = append(d.errs, err)
		}
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		if r.kind == Null {
			v.SetZero()
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.value(r, v.Elem())
	case reflect.Struct:
		d.object(r, v)
	case reflect.Slice:
		if r.kind != Array {
			d.wrong(r, Array, "an array")
			return
		}
		s := reflect.MakeSlice(t, len(r.elems), len(r.elems))
		for i, e := range r.elems {
			d.value(e, s.Index(i))
		}
		v.Set(s)
	case reflect.Map:
		if r.kind != Object {
			d.wrong(r, Object, "an object")
			return
		}
		m := reflect.MakeMapWithSize(t, len(r.members))
		for _, e := range r.members {
			x := reflect.New(t.Elem()).Elem()
			d.value(e.Value, x)
			m.SetMapIndex(reflect.ValueOf(e.Name).Convert(t.Key()), x)
		}
		v.Set(m)
	case reflect.String:
		if r.kind != String {
			d.wrong(r, String, "a string")
			return
		}
		v.SetString(r.str)
	case reflect.Bool:
		if r.kind != Bool {
			d.wrong(r, Bool, "true or false")
			return
		}
		v.SetBool(r.text[0] == 't')
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(r, v)
	case reflect.Float64:
		if r.kind != Number {
			d.wrong(r, Number, "a number")
			return
		}
		f, _ := strconv.ParseFloat(string(r.text), 64)
		v.SetFloat(f)
	case reflect.Interface:
		v.Set(reflect.ValueOf(r.Any()))
	default:
		panic(fmt.Sprintf("strictjson: cannot decode into %s", t))
	}
}

func (d *decoding) integer(r Raw, v reflect.Value) {
	signed := v.CanInt()
	want := "a whole number"
	if !signed {
		want = "a whole number, zero or more"
	}
	f, err := strconv.ParseFloat(string(r.text), 64)
	if r.kind != Number || err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 || !signed && f < 0 ||
		signed && v.OverflowInt(int64(f)) || !signed && v.OverflowUint(uint64(f)) {
		d.wrong(r, Number, want)
		return
	}
	if signed {
		v.SetInt(int64(f))
	} else {
		v.SetUint(uint64(f))
	}
}

func (d *decoding) duration(r Raw, v reflect.Value) {
	if r.kind == String {
		if x, err := time.ParseDuration(r.str); err == nil && x >= 0 {
			v.SetInt(int64(x))
			return
		}
	}
	d.errs = append(d.errs, r.At.As(WrongTime).Errorf(`got %s; want a duration with its unit, such as "90s" or "15m"`, r.Shown()))
}

// field is one member that a struct takes.
type field struct {
	name     string
	required bool
	index    []int
}

// shape is what members a struct takes.
type shape struct {
	fields []field
	names  []string // of the fields
}

// shapes are those of the types that have been asked for: a document has many
// values of few types.
var shapes sync.Map // reflect.Type to *shape

func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	s := &shape{fields: fields(t)}
	for _, f := range s.fields {
		s.names = append(s.names, f.name)
	}
	shapes.Store(t, s)
	return s
}

func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("json")
		if f.Anonymous && !ok {
			for _, in := range fields(f.Type) {
				in.index = append([]int{i}, in.index...)
				out = append(out, in)
			}
			continue
		}
		if !ok || tag == "-" || tag == "" {
			continue
		}
		out = append(out, field{tag, f.Tag.Get("strict") == "required", []int{i}})
	}
	return out
}

func (d *decoding) object(r Raw, v reflect.Value) {
	if r.kind != Object {
		d.wrong(r, Object, "an object")
		return
	}
	s := shapeOf(v.Type())
	for _, m := range r.members {
		i := slices.Index(s.names, m.Name)
		if i < 0 {
			d.errs = append(d.errs, Unknown(r, m, s.names))
			continue
		}
		d.value(m.Value, v.FieldByIndex(s.fields[i].index))
	}
	for _, f := range s.fields {
		if f.required && r.Member(f.name).IsZero() {
			d.errs = append(d.errs, r.Missing(f.name))
		}
	}
}

// Unknown complains about a member of the object r whose name is not one of known.
func Unknown(r Raw, m Member, known []string) error {
	at := m.Key.As(UnknownField)
	hint := OneOf(m.Name, slices.Sorted(slices.Values(known)))
	if name, _ := Nearest(m.Name, known); name != "" && r.Member(name).IsZero() {
		at = at.Meaning(name).Renamed(m.Name, known)
	}
	return at.Errorf("unknown field %q%s", m.Name, hint)
}

package reference

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/diegoholiveira/jsonlogic/v3"
)

// inspection reads all of a sample before the library does.
type inspection struct {
	work   int
	astral bool // there is text outside of the basic multilingual plane
}

// unfit is data that the library must not see.
type unfit struct {
	pointer string // JSON pointer, completed on the way up
	why     string
}

func (u *unfit) Error() string {
	if u.pointer == "" {
		return "data: " + u.why
	}
	return "data " + u.pointer + ": " + u.why
}

func (u *unfit) Unwrap() error { return ErrNotComparable }

func unfitf(format string, args ...any) *unfit {
	return &unfit{why: fmt.Sprintf("%v: ", ErrNotComparable) + fmt.Sprintf(format, args...)}
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

func (u *unfit) below(name string) *unfit {
	u.pointer = "/" + pointerEscaper.Replace(name) + u.pointer
	return u
}

func (in *inspection) value(v any, depth int) *unfit {
	if in.work++; in.work > MaxWork {
		return unfitf("more than %d values", MaxWork)
	}
	switch v := v.(type) {
	case nil, bool:
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return unfitf("%v is no JSON number", v)
		}
		return nil
	case string:
		in.work += len(v) / 8
		in.astral = in.astral || astral(v)
		return nil
	case []any:
		return in.list(v, depth)
	case map[string]any:
		return in.object(v, depth)
	}
	return unfitf("%T is no decoded JSON", v)
}

func (in *inspection) list(elems []any, depth int) *unfit {
	if depth >= MaxDepth {
		return unfitf("nested deeper than %d levels", MaxDepth)
	}
	for i, e := range elems {
		if u := in.value(e, depth+1); u != nil {
			return u.below(strconv.Itoa(i))
		}
	}
	return nil
}

func (in *inspection) object(members map[string]any, depth int) *unfit {
	if depth >= MaxDepth {
		return unfitf("nested deeper than %d levels", MaxDepth)
	}
	for name, e := range members {
		if len(members) == 1 && runs(name) {
			return unfitf("an object whose only key is the operator %q could run as logic", name)
		}
		in.work += len(name) / 8
		if u := in.value(e, depth+1); u != nil {
			return u.below(name)
		}
	}
	return nil
}

// runs says whether the library has an operator of this name. It has no other
// way to ask.
func runs(name string) bool {
	return jsonlogic.ValidateJsonLogic(map[string]any{name: true})
}

// astral says whether text has characters outside of the basic multilingual
// plane.
func astral(text string) bool {
	for _, r := range text {
		if r > 0xffff {
			return true
		}
	}
	return false
}

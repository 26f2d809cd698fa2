package engine

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"tocsin.internal/bus"
)

// ErrEventID is what the error wraps when a text is not the id of an event.
var ErrEventID = errors.New("not the id of an event")

// tailPlace is what a follower has of a tail: all up to a message, of which it has the
// samples up to an index; whole: all of it.
type tailPlace struct {
	seq   uint64
	index uint32
}

const whole = math.MaxUint32

// places are the places in each tail. One in which nobody was has no known bit.
type places struct {
	at    [bus.Tails]tailPlace
	known tailSet
}

// tailSet is a set of tails.
type tailSet uint8

func (s tailSet) has(t bus.Tail) bool { return s&(1<<t) != 0 }

func (s tailSet) each(yield func(bus.Tail) bool) {
	for t := range bus.Tails {
		if s.has(t) && !yield(t) {
			return
		}
	}
}

func (p *places) set(t bus.Tail, at tailPlace) {
	p.at[t] = at
	p.known |= 1 << t
}

// tailLetters name the tails in the ids of events.
const tailLetters = "foasnit"

// String is the id of the event at these places: see docs/wire.md.
func (p *places) String() string {
	var buf [128]byte
	b := buf[:0]
	for t := range p.known.each {
		if len(b) > 0 {
			b = append(b, '-')
		}
		b = append(b, tailLetters[t])
		b = strconv.AppendUint(b, p.at[t].seq, 10)
		if p.at[t].index != whole {
			b = append(b, '.')
			b = strconv.AppendUint(b, uint64(p.at[t].index), 10)
		}
	}
	return string(b)
}

// parsePlaces is the reverse of String.
func parsePlaces(id string) (p places, err error) {
	for part := range strings.SplitSeq(id, "-") {
		at := tailPlace{index: whole}
		t, ok := bus.Tail(0), part != ""
		if ok {
			i := strings.IndexByte(tailLetters, part[0])
			t, ok = bus.Tail(max(i, 0)), i >= 0 && !p.known.has(bus.Tail(max(i, 0)))
		}
		if ok {
			seq, index, indexed := strings.Cut(part[1:], ".")
			at.seq, ok = number(seq, 64)
			if indexed && ok {
				var n uint64
				n, ok = number(index, 32)
				at.index = uint32(n)
				ok = ok && at.index != whole
			}
		}
		if !ok {
			return places{}, fmt.Errorf("%w: %q", ErrEventID, shorten(id))
		}
		p.set(t, at)
	}
	return p, nil
}

// number reads digits alone.
func number(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

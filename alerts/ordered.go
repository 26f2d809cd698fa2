package alerts

import "container/heap"

// ordered is a heap whose items know their places, so that any of them can be
// taken out. Use it by add, remove, take and clear; the rest is for container/heap.
type ordered[T placed] struct {
	items  []T
	before func(a, b T) bool
}

// placed is an item of an ordered.
type placed interface {
	place() *int // where it is in items, from 1; 0 when it is not
}

func (h *ordered[T]) add(x T) { heap.Push(h, x) }

func (h *ordered[T]) take() T { return heap.Pop(h).(T) }

// remove takes x out, if it is in.
func (h *ordered[T]) remove(x T) {
	if at := *x.place(); at > 0 {
		heap.Remove(h, at-1)
	}
}

// clear takes everything out.
func (h *ordered[T]) clear() {
	for _, x := range h.items {
		*x.place() = 0
	}
	clear(h.items)
	h.items = h.items[:0]
}

func (h *ordered[T]) Len() int           { return len(h.items) }
func (h *ordered[T]) Less(i, j int) bool { return h.before(h.items[i], h.items[j]) }

func (h *ordered[T]) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.items[i].place(), *h.items[j].place() = i+1, j+1
}

func (h *ordered[T]) Push(x any) {
	item := x.(T)
	h.items = append(h.items, item)
	*item.place() = len(h.items)
}

func (h *ordered[T]) Pop() any {
	var none T
	last := len(h.items) - 1
	item := h.items[last]
	h.items[last] = none
	h.items = h.items[:last]
	*item.place() = 0
	return item
}

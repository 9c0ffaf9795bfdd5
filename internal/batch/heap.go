package batch

import "container/heap"

func push[T any](entries *[]*Entry[T], e *Entry[T]) { heap.Push((*byDue[T])(entries), e) }
func pop[T any](entries *[]*Entry[T]) *Entry[T]     { return heap.Pop((*byDue[T])(entries)).(*Entry[T]) }

// byDue is a heap of entries, ordered by due.
type byDue[T any] []*Entry[T]

func (h byDue[T]) Len() int           { return len(h) }
func (h byDue[T]) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h byDue[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byDue[T]) Push(e any)        { *h = append(*h, e.(*Entry[T])) }
func (h *byDue[T]) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

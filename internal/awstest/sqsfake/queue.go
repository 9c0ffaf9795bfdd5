package sqsfake

import (
	"container/heap"
	"strconv"
	"time"
)

// queue is one SQS queue, guarded by Service.mu. Every operation on a message costs at most O(log n): visible messages wait in
// a list, delayed ones and those in flight in a heap by the time at which they become visible.
type queue struct {
	name       string
	arn        string
	fifo       bool
	settings   queueSettings
	attributes map[string]string
	created    time.Time
	modified   time.Time
	deleted    bool

	ready    list[*message] // visible messages of a standard queue; entries whose state has changed are skipped
	hidden   hiddenHeap     // delayed or in flight
	byID     map[string]*message
	all      []*message // with ended ones too, when recording
	visible  int
	inFlight int

	groups      map[string]*group // FIFO
	readyGroups list[*group]
	dedup       map[string]dedupEntry

	waiters []chan struct{} // long polls, each woken once
}

type queueSettings struct {
	visibility, delay, retention, wait time.Duration
	maxSize                            int
	redriveTo                          string // ARN
	maxReceives                        int
	contentDedup                       bool
}

// group is a FIFO queue's message group: while one of its messages is in flight it yields no other ("FIFO queue delivery logic").
type group struct {
	messages list[*message] // not ended, in order; ended ones are skipped
	inFlight int
	queued   bool // in readyGroups
}

// dedupEntry is a message that a FIFO queue accepted.
type dedupEntry struct {
	at     time.Time
	id     string
	number uint64
}

// list is a queue with cheap ends.
type list[T any] struct {
	items []T
	head  int
}

func (l *list[T]) len() int  { return len(l.items) - l.head }
func (l *list[T]) push(v T)  { l.items = append(l.items, v) }
func (l *list[T]) first() T  { return l.items[l.head] }
func (l *list[T]) rest() []T { return l.items[l.head:] }

func (l *list[T]) pop() T {
	var zero T
	v := l.items[l.head]
	l.items[l.head] = zero
	l.head++
	if l.head > 1024 && l.head > len(l.items)/2 {
		l.items = append(l.items[:0], l.items[l.head:]...)
		l.head = 0
	}
	return v
}

// hiddenHeap orders hidden messages by the time at which they become visible.
type hiddenHeap []*message

func (h hiddenHeap) Len() int { return len(h) }

func (h hiddenHeap) Less(i, j int) bool {
	if !h[i].visibleAt.Equal(h[j].visibleAt) {
		return h[i].visibleAt.Before(h[j].visibleAt)
	}
	return h[i].number < h[j].number
}

func (h hiddenHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *hiddenHeap) Push(x any) {
	m := x.(*message)
	m.heapIndex = len(*h)
	*h = append(*h, m)
}

func (h *hiddenHeap) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	m.heapIndex = -1
	return m
}

// add puts a new message into the queue.
func (q *queue) add(m *message, delay time.Duration, now time.Time, record bool) {
	q.byID[m.id] = m
	if record {
		q.all = append(q.all, m)
	}
	m.heapIndex = -1
	if q.fifo {
		q.group(m.group).messages.push(m)
	}
	if delay > 0 {
		m.state = Delayed
		m.visibleAt = now.Add(delay)
		heap.Push(&q.hidden, m)
		q.wake() // a waiter may have to wait less than it thought
		return
	}
	q.show(m)
}

func (q *queue) group(id string) *group {
	g := q.groups[id]
	if g == nil {
		g = &group{}
		q.groups[id] = g
	}
	return g
}

// show makes a message visible, and wakes a waiter for it.
func (q *queue) show(m *message) {
	m.state = Visible
	q.visible++
	if q.fifo {
		q.offer(q.group(m.group))
	} else {
		q.ready.push(m)
	}
	q.wake()
}

// offer lets receives see the group, if nothing of it is in flight.
func (q *queue) offer(g *group) {
	if !g.queued && g.inFlight == 0 && g.messages.len() > 0 {
		g.queued = true
		q.readyGroups.push(g)
	}
}

// hide takes a visible message out: what is left in the lists is skipped later.
func (q *queue) hide(m *message, state MessageState) {
	m.state = state
	q.visible--
}

// end takes a message out of the queue, whatever its state.
func (q *queue) end(m *message, state MessageState, now time.Time) {
	switch m.state {
	case Visible:
		q.visible--
	case InFlight, Delayed:
		q.unhide(m)
	}
	m.state, m.ended = state, now
	delete(q.byID, m.id)
	if q.fifo {
		q.offer(q.group(m.group))
		q.wake()
	}
}

// unhide takes a delayed message or one in flight out of the heap; the caller gives it its new state.
func (q *queue) unhide(m *message) {
	if m.state == InFlight {
		q.inFlight--
		if q.fifo {
			q.group(m.group).inFlight--
		}
	}
	heap.Remove(&q.hidden, m.heapIndex)
}

// harvest makes visible what has waited long enough.
func (q *queue) harvest(now time.Time) {
	for len(q.hidden) > 0 && !q.hidden[0].visibleAt.After(now) {
		m := q.hidden[0]
		q.unhide(m)
		q.show(m)
	}
}

// take returns up to n messages to deliver, oldest first. It ends those whose retention period is over, and passes those
// that were received too often to deadLetter.
func (q *queue) take(n int, now time.Time, deadLetter func(*message)) []*message {
	var taken []*message
	usable := func(m *message) bool {
		switch {
		case m.state != Visible:
			return false
		case now.Sub(m.sent) >= q.settings.retention:
			q.end(m, Expired, now)
			return false
		case q.settings.maxReceives > 0 && m.receives >= q.settings.maxReceives:
			q.end(m, DeadLettered, now)
			deadLetter(m)
			return false
		}
		return true
	}
	if !q.fifo {
		for len(taken) < n && q.ready.len() > 0 {
			if m := q.ready.pop(); usable(m) {
				q.hide(m, InFlight)
				taken = append(taken, m)
			}
		}
		return taken
	}
	for len(taken) < n && q.readyGroups.len() > 0 {
		g := q.readyGroups.pop()
		g.queued = false
		if g.inFlight > 0 {
			continue
		}
		before := len(taken)
		for _, m := range g.messages.rest() {
			if len(taken) == n || m.state == Delayed {
				break
			}
			if usable(m) {
				q.hide(m, InFlight)
				taken = append(taken, m)
			}
		}
		for g.messages.len() > 0 && g.messages.first().state.ended() {
			g.messages.pop()
		}
		g.queued = false // usable may have offered it
		g.inFlight += len(taken) - before
	}
	return taken
}

// deliver starts a receive of a message that take has found: its visibility timeout and its handle.
func (q *queue) deliver(m *message, visibility time.Duration, now time.Time) {
	m.receives++
	if m.receives == 1 {
		m.firstReceive = now
	}
	m.received = now
	m.handle = "AQEB" + m.id + "." + strconv.Itoa(m.receives)
	m.visibleAt = now.Add(visibility)
	q.inFlight++
	heap.Push(&q.hidden, m)
}

// wake lets one long poll look again.
func (q *queue) wake() {
	if len(q.waiters) == 0 {
		return
	}
	w := q.waiters[0]
	q.waiters[0] = nil
	q.waiters = q.waiters[1:]
	close(w)
}

// wakeAll lets every long poll look again.
func (q *queue) wakeAll() {
	for len(q.waiters) > 0 {
		q.wake()
	}
}

// leave takes a waiter out that no longer waits.
func (q *queue) leave(w chan struct{}) {
	for i, other := range q.waiters {
		if other == w {
			q.waiters = append(q.waiters[:i:i], q.waiters[i+1:]...)
			return
		}
	}
}

// rehide moves the time at which a message in flight becomes visible.
func (q *queue) rehide(m *message, visibleAt, now time.Time) {
	m.visibleAt = visibleAt
	if !visibleAt.After(now) {
		q.unhide(m)
		q.show(m)
		return
	}
	heap.Fix(&q.hidden, m.heapIndex)
	q.wake()
}

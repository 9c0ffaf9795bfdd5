package objects

// A turn is a right to use a processor. Goroutines that read objects leave it whenever they wait. With fewer turns than processors,
// the goroutines of streamed predictions find one free: those of objects would otherwise keep each of them for 10 ms, after which the
// scheduler of Go preempts.
type turn struct{ free chan struct{} }

func newTurn(n int) *turn { return &turn{make(chan struct{}, n)} }

func (t *turn) enter() { t.free <- struct{}{} }
func (t *turn) leave() { <-t.free }

// away calls wait without the turn. A nil turn is never held.
func (t *turn) away(wait func()) {
	if t == nil {
		wait()
		return
	}
	t.leave()
	defer t.enter()
	wait()
}

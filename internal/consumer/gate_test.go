package consumer

import (
	"testing"
	"testing/synctest"
)

func TestAPollerThatMadeNoReceiveLetsTheNextOneAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		g.setMode(Open)
		g.received(MaxBatch) // so that two may ask; one that never asked
		g.asking = 0
		if !g.wait(t.Context(), 1) {
			t.Fatal("poller 1 may not ask")
		}
		g.setMode(Closed)
		g.setMode(One) // the probe: poller 0 may ask, but not beside poller 1
		asked := make(chan bool, 1)
		go func() { asked <- g.wait(t.Context(), 0) }()
		synctest.Wait()
		g.skipped() // poller 1 had seen that the intake was closed
		synctest.Wait()
		select {
		case <-asked:
		default:
			t.Fatal("poller 0 was not woken")
		}
	})
}

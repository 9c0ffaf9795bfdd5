package erase

import (
	"fmt"
	"sync"

	"github.com/predcache/predcache/internal/checkpoint"
)

// A state is the progress of an interrupted run. It holds no id.
type state struct {
	IDs     string `json:"ids"`     // digest of the ids
	Done    int    `json:"done"`    // so many ids, from the first on, are erased
	Started int64  `json:"started"` // of the first run, in milliseconds since the epoch
}

// A ledger records which ids are erased. They end in any order; Done counts those before the first that is not erased.
type ledger struct {
	mu     sync.Mutex
	erased []bool
	done   int // so many are erased, from the first on
	ended  int // so many are erased
}

func (l *ledger) end(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.erased[i] {
		return
	}
	l.erased[i] = true
	l.ended++
	for l.done < len(l.erased) && l.erased[l.done] {
		l.done++
	}
}

func (l *ledger) isErased(i int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.erased[i]
}

func (l *ledger) progress() (done, ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done, l.ended
}

// resume reads the state of an interrupted run of the same ids, if there is one.
func (r *Run) resume() error {
	if r.o.State == "" || r.o.DryRun {
		return nil
	}
	at, err := checkpoint.Load[state](r.o.State)
	switch {
	case err != nil || at == nil:
		return err //nolint:wrapcheck // it says what was being done
	case at.IDs != digest(r.keys) || at.Done > len(r.keys):
		return fmt.Errorf("%s is the state of a run of other ids: repeat that command, or remove the state to start again", r.o.State)
	}
	r.started, r.resumed = at.Started, at.Done
	for i := range at.Done {
		r.ledger.end(i)
	}
	return nil
}

func (r *Run) save() error {
	if r.o.State == "" || r.o.DryRun {
		return nil
	}
	done, _ := r.ledger.progress()
	return checkpoint.Save(r.o.State, state{digest(r.keys), done, r.started}) //nolint:wrapcheck // it says what was being done
}

func (r *Run) removeState() error {
	if r.o.State == "" || r.o.DryRun {
		return nil
	}
	return checkpoint.Remove(r.o.State) //nolint:wrapcheck // it says what was being done
}

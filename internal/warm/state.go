package warm

import (
	"fmt"
	"time"

	"github.com/predcache/predcache/internal/checkpoint"
)

// A position is a place in the sources of a run. Everything before the durable position is in the table or rejected.
type position struct {
	File     string    `json:"file"`
	Index    int       `json:"index"`  // of the source
	Offset   int64     `json:"offset"` // as records.Record counts
	Row      int64     `json:"row"`
	Size     int64     `json:"size"` // of the source; one with another Size or Modified has changed
	Modified time.Time `json:"modified"`
	Started  int64     `json:"started"` // the run's start, seconds since the epoch
	Rejects  int64     `json:"rejects"` // bytes of the rejects file
}

// resume reads the state of an interrupted run of the same files, if there is one.
func (r *Run) resume() error {
	if r.o.State == "" || r.o.DryRun {
		return nil
	}
	at, err := checkpoint.Load[position](r.o.State)
	switch {
	case err != nil || at == nil:
		return err //nolint:wrapcheck // it says what was being done
	case at.Index >= len(r.sources) || r.sources[at.Index].name != at.File:
		return fmt.Errorf("%s is the state of a run of other files, interrupted in %s: repeat that command, or remove the state to start again", r.o.State, at.File)
	}
	r.resumed, r.started, r.ledger.durable = at, at.Started, *at
	return nil
}

// saveState saves the durable position.
func (r *Run) saveState() error {
	at, rejects, _ := r.ledger.position()
	if r.o.State == "" || r.o.DryRun || at.File == "" {
		return nil
	}
	at.Started, at.Rejects = r.started, rejects
	return checkpoint.Save(r.o.State, at) //nolint:wrapcheck // it says what was being done
}

func (r *Run) removeState() error {
	if r.o.State == "" || r.o.DryRun {
		return nil
	}
	return checkpoint.Remove(r.o.State) //nolint:wrapcheck // it says what was being done
}

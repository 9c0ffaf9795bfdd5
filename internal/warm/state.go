package warm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
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
	text, err := os.ReadFile(r.o.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var at position
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	switch {
	case err != nil:
		return fmt.Errorf("reading the state of the interrupted run: %w", err)
	case at.Index >= len(r.sources) || r.sources[at.Index].name != at.File:
		return fmt.Errorf("%s is the state of a run of other files, interrupted in %s: repeat that command, or remove the state to start again", r.o.State, at.File)
	}
	r.resumed, r.started, r.ledger.durable = &at, at.Started, at
	return nil
}

// keepSaving writes the state once a second until ctx is done.
func (r *Run) keepSaving(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.saveState(); err != nil {
			return err
		}
	}
}

// saveState replaces the state file atomically, so that a crash leaves the old state or the new one.
func (r *Run) saveState() error {
	at, rejects, _ := r.ledger.position()
	if r.o.State == "" || r.o.DryRun || at.File == "" {
		return nil
	}
	at.Started, at.Rejects = r.started, rejects
	text, err := json.Marshal(at)
	if err == nil {
		err = os.WriteFile(r.o.State+".next", text, 0o600)
	}
	if err == nil {
		err = os.Rename(r.o.State+".next", r.o.State)
	}
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	return nil
}

func (r *Run) removeState() error {
	if r.o.State == "" || r.o.DryRun {
		return nil
	}
	if err := os.Remove(r.o.State); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the state: %w", err)
	}
	return nil
}

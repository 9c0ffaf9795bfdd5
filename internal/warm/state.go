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

// A position is how far a run is durable: what comes before it is in the table, or can never be.
type position struct {
	File        string    `json:"file"`
	Index       int       `json:"index"`  // of the file among those of the command
	Offset      int64     `json:"offset"` // bytes, decompressed
	Line        int64     `json:"line"`
	LinesBefore int64     `json:"linesBefore"` // of the files before it
	Size        int64     `json:"size"`        // of the file; with Time it tells a changed file
	Time        time.Time `json:"modified"`
	Started     int64     `json:"started"` // the run's start, seconds since the epoch
	Rejects     int64     `json:"rejects"` // bytes of the rejects file
}

// resume reads where an interrupted run of the same files was, if there is one.
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
	case at.Index >= len(r.o.Files) || r.o.Files[at.Index] != at.File:
		return fmt.Errorf("%s is of a run of other files, which was in %s: give the same command, or remove it to start again", r.o.State, at.File)
	}
	r.resumed, r.started, r.ledger.durable = &at, at.Started, at
	return nil
}

// keep writes the state once a second until ctx is done.
func (r *Run) keep(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.keepState(); err != nil {
			return err
		}
	}
}

// keepState writes the state in one step, so that a crash leaves the last state or this one.
func (r *Run) keepState() error {
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
		return fmt.Errorf("keeping the state: %w", err)
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

// Package checkpoint keeps the progress of a long command in a file, so that the next run can continue where an interrupted one
// stopped.
package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Load returns what Save wrote to a file, or nil if there is no such file.
func Load[T any](file string) (*T, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	state := new(T)
	if err == nil {
		err = json.Unmarshal(text, state)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of the interrupted run: %w", err)
	}
	return state, nil
}

// Save replaces a file atomically, so that a crash leaves the old state or the new one. Only its owner may read it.
func Save(file string, state any) error {
	text, err := json.Marshal(state)
	if err == nil {
		err = os.WriteFile(file+".next", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".next", file)
	}
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	return nil
}

// Keep calls save once a second until ctx is done, or save fails.
func Keep(ctx context.Context, save func() error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := save(); err != nil {
			return err
		}
	}
}

// Remove removes a file, if it is there.
func Remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the state: %w", err)
	}
	return nil
}

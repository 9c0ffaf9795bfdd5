package checkpoint_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/checkpoint"
)

type progress struct{ Done int }

func TestCheckpoint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	if got, err := checkpoint.Load[progress](file); got != nil || err != nil {
		t.Fatalf("without a file: %v, %v", got, err)
	}
	for done := range 3 {
		if err := checkpoint.Save(file, progress{done}); err != nil {
			t.Fatal(err)
		}
		if got, err := checkpoint.Load[progress](file); err != nil || got.Done != done {
			t.Fatalf("got %v, %v; want %d", got, err, done)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(file + "*"); len(left) != 1 {
		t.Errorf("files are left: %v", left)
	}
	for range 2 {
		if err := checkpoint.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad_brokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(file, []byte(`{"Done":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := checkpoint.Load[progress](file); err == nil {
		t.Errorf("read %v", got)
	}
}

func TestSave_noFolder(t *testing.T) {
	if err := checkpoint.Save(filepath.Join(t.TempDir(), "absent", "state"), progress{1}); err == nil {
		t.Error("no error")
	}
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		saved := 0
		if err := checkpoint.Keep(ctx, func() error { saved++; return nil }); err != nil || saved != 3 {
			t.Errorf("saved %d times, %v; want 3", saved, err)
		}
		full := errors.New("the disk is full")
		if err := checkpoint.Keep(t.Context(), func() error { return full }); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	})
}

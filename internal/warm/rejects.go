package warm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/predcache/predcache/internal/prediction"
)

// A rejectedRow is a line of the rejects file, which is NDJSON.
type rejectedRow struct {
	File   string            `json:"file"`
	Line   int64             `json:"line"`
	Reason prediction.Reason `json:"reason"`
	Field  string            `json:"field,omitempty"`
	Detail string            `json:"detail"`
	Raw    string            `json:"raw"`
}

// A rejectsFile is the file of predictions that can't be stored. The ledger's mutex guards it.
type rejectsFile struct {
	name string // "" for none
	file *os.File
	size int64
}

// open removes the file of an earlier run, or truncates that of an interrupted run to its durable size. The file is created with the
// first reject.
func (f *rejectsFile) open(o Options, resumed *position) error {
	if o.DryRun || o.Rejects == "" {
		return nil
	}
	f.name = o.Rejects
	if resumed == nil {
		if err := os.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the rejects of an earlier run: %w", err)
		}
		return nil
	}
	f.size = resumed.Rejects
	if err := os.Truncate(f.name, f.size); err != nil && (f.size > 0 || !errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("truncating the rejects of the interrupted run: %w", err)
	}
	return nil
}

func (f *rejectsFile) write(lines []rejectedRow) error {
	if f.name == "" || len(lines) == 0 {
		return nil
	}
	slices.SortFunc(lines, func(a, b rejectedRow) int { return int(a.Line - b.Line) })
	var text []byte
	for i := range lines {
		line, err := json.Marshal(lines[i])
		if err != nil {
			return fmt.Errorf("writing the rejects: %w", err)
		}
		text = append(append(text, line...), '\n')
	}
	if f.file == nil {
		var err error
		if f.file, err = os.OpenFile(f.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
			return fmt.Errorf("writing the rejects: %w", err)
		}
	}
	n, err := f.file.Write(text)
	f.size += int64(n)
	if err != nil {
		return fmt.Errorf("writing the rejects: %w", err)
	}
	return nil
}

func (f *rejectsFile) close() error {
	if f.file == nil {
		return nil
	}
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("writing the rejects: %w", err)
	}
	return nil
}

package warm

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/predcache/predcache/internal/records"
)

// A source is a file, an object, or standard input.
type source struct {
	name     string // "-" is standard input
	size     int64  // in bytes, as stored; -1 if unknown
	modified time.Time
	open     func(ctx context.Context, o records.Options) (rows, error)
}

// rows are the rows of an open source: a records.File or what is like it.
type rows interface {
	Next() (records.Record, error)
	Skip(offset, row int64) error
	Offset() int64
	Row() int64
	Read() int64 // bytes of the source, as stored, that the rows so far have taken
	Close()
}

// fileSources returns the sources of files.
func fileSources(names []string, stdin io.Reader) ([]*source, error) {
	var all []*source
	for _, name := range names {
		s := &source{name: name, size: -1}
		if name != "-" {
			info, err := os.Stat(name)
			if err != nil {
				return nil, fmt.Errorf("opening the predictions: %w", err)
			}
			s.size, s.modified = info.Size(), info.ModTime().UTC()
		}
		s.open = func(_ context.Context, o records.Options) (rows, error) { return records.OpenFile(name, stdin, o) }
		all = append(all, s)
	}
	return all, nil
}

// openAt opens a source, at the position of an interrupted run if at is not nil.
func (r *Run) openAt(ctx context.Context, s *source, at *position) (rows, error) {
	if at != nil && at.Offset > 0 && (at.Size != s.size || !at.Modified.Equal(s.modified)) {
		return nil, fmt.Errorf("%s is no longer the file that the interrupted run read: remove its state to start again", s.name)
	}
	in, err := s.open(ctx, records.Options{Name: s.name, Fields: r.fields, MaxRow: r.o.Config.MaxDecodedBytes, Table: r.table})
	if err != nil {
		return nil, err
	}
	if at == nil || at.Offset == 0 {
		return in, nil
	}
	if err := in.Skip(at.Offset, at.Row); err != nil {
		in.Close()
		return nil, err //nolint:wrapcheck // it names the source
	}
	return in, nil
}

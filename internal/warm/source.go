package warm

import (
	"fmt"
	"strings"

	"github.com/predcache/predcache/internal/jsonlines"
)

// A source reads one file's lines.
type source struct {
	*jsonlines.File
	index       int
	linesBefore int64 // of the files before it
	bytesBefore int64
}

// open opens a file, at the position of an interrupted run if at is not nil.
func (r *Run) open(name string, index int, at *position) (*source, error) {
	f, err := jsonlines.Open(name, r.o.Stdin)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	s := &source{File: f, index: index}
	if at == nil {
		return s, nil
	}
	s.linesBefore = at.LinesBefore
	if at.Offset == 0 {
		return s, nil
	}
	if at.Size != f.Size || !at.Time.Equal(f.Modified) {
		f.Close()
		return nil, fmt.Errorf("%s is no longer the file that the interrupted run read: remove its state to start again", name)
	}
	if err := f.Skip(at.Offset, at.Line); err != nil {
		f.Close()
		return nil, err //nolint:wrapcheck // it names the file
	}
	return s, nil
}

// position returns the position after the last line read.
func (s *source) position() position {
	return position{File: s.Name, Index: s.index, Offset: s.Offset(), Line: s.Line(), LinesBefore: s.linesBefore, Size: s.Size, Time: s.Modified}
}

func blank(line string) bool { return strings.TrimLeft(line, " \t\r\n") == "" }

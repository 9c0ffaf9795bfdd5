package records

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// A File is a Reader of a file, an object or standard input.
type File struct {
	*Reader
	Size     int64     // in bytes, as stored; -1 for standard input
	Modified time.Time // zero for standard input

	stored Stored // nil for standard input, unless it had to be copied
	read   counter
}

// A Stored is a file, or what can be read like one. Read and ReadAt are not used at the same time.
type Stored interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
}

// OpenFile opens a file, or stdin for the name "-". Parquet has to be read from its end, so that it is copied to a temporary file if
// it comes by standard input.
func OpenFile(name string, stdin io.Reader, o Options) (*File, error) {
	if o.Name = name; name == "-" {
		return openInput(stdin, o)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the predictions: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory: give its files", name)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("opening the predictions: %w", err)
	}
	return OpenStored(file, info.Size(), info.ModTime().UTC(), o)
}

// openInput opens standard input.
func openInput(stdin io.Reader, o Options) (_ *File, err error) {
	o.Name = "standard input"
	f := &File{Size: -1}
	f.read.r = stdin
	in := bufio.NewReaderSize(&f.read, blockBytes)
	start, _ := in.Peek(4) // an error comes back with the next read
	if !IsParquet(start) {
		f.Reader, err = Open(in, o)
		return f, err
	}
	file, size, err := copied(in)
	if err != nil {
		return nil, err
	}
	if f, err = OpenStored(file, size, time.Time{}, o); err != nil {
		return nil, err
	}
	f.Size = -1
	return f, nil
}

// OpenStored opens what can be read like a file. It closes stored if it returns an error.
func OpenStored(stored Stored, size int64, modified time.Time, o Options) (_ *File, err error) {
	f := &File{Size: size, Modified: modified, stored: stored}
	f.read.r = stored
	var start [4]byte
	n, err := stored.ReadAt(start[:min(size, int64(len(start)))], 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("reading %s: %w", o.Name, err)
	case IsParquet(start[:n]):
		f.Reader, err = OpenParquet(stored, size, o)
	default:
		f.Reader, err = Open(&f.read, o)
	}
	if err != nil {
		stored.Close()
		return nil, err
	}
	return f, nil
}

// copied returns a temporary file with the content of r, and its size. It has no name any more.
func copied(r io.Reader) (_ *os.File, size int64, err error) {
	file, err := os.CreateTemp("", "predcache")
	if err != nil {
		return nil, 0, fmt.Errorf("copying standard input, since Parquet is read from its end: %w", err)
	}
	err = os.Remove(file.Name())
	if err == nil {
		size, err = io.Copy(file, r)
	}
	if err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("copying standard input, since Parquet is read from its end: %w", err)
	}
	return file, size, nil
}

// Read returns how many bytes of the file, as stored, the rows so far have taken.
func (f *File) Read() int64 {
	switch total := f.NumRows(); {
	case total > 0 && f.Size >= 0:
		return int64(float64(f.Size) * float64(f.Row()) / float64(total))
	case total < 0 && !f.in.compressed:
		return f.Offset()
	}
	return f.read.n.Load()
}

// Close closes the file, but not standard input.
func (f *File) Close() {
	f.Reader.Close()
	if f.stored != nil {
		f.stored.Close()
	}
}

// A counter counts the bytes that are read.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// Seek implements io.Seeker where the reader does.
func (c *counter) Seek(offset int64, whence int) (int64, error) {
	s, ok := c.r.(io.Seeker)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	at, err := s.Seek(offset, whence)
	if err == nil {
		c.n.Store(at)
	}
	return at, err //nolint:wrapcheck // it is asked for by seek
}

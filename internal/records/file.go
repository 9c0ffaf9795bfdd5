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

// A File is a Reader of a file or of standard input.
type File struct {
	*Reader
	Size     int64     // in bytes, as stored; -1 for standard input
	Modified time.Time // zero for standard input

	file *os.File // nil for standard input, unless it had to be copied
	read counter
	temp bool // file is a copy, and has no name
}

// OpenFile opens a file, or stdin for the name "-". Parquet has to be read from its end, so that it is copied to a temporary file if
// it comes by standard input.
func OpenFile(name string, stdin io.Reader, o Options) (_ *File, err error) {
	f := &File{Size: -1}
	defer func() {
		if err != nil {
			f.closeFile()
		}
	}()
	if o.Name = name; name == "-" {
		o.Name = "standard input"
		f.read.r = stdin
		in := bufio.NewReaderSize(&f.read, blockBytes)
		if start, _ := in.Peek(4); !IsParquet(start) { // an error comes back with the next read
			f.Reader, err = Open(in, o)
			return f, err
		}
		if f.file, err = copied(in); err != nil {
			return nil, err
		}
		f.temp = true
	} else if f.file, err = os.Open(name); err != nil {
		return nil, fmt.Errorf("opening the predictions: %w", err)
	}
	info, err := f.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the predictions: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: give its files", name)
	}
	if !f.temp {
		f.Size, f.Modified = info.Size(), info.ModTime().UTC()
	}
	var start [4]byte
	n, err := f.file.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", o.Name, err)
	}
	if IsParquet(start[:n]) {
		f.Reader, err = OpenParquet(f.file, info.Size(), o)
		return f, err
	}
	f.read.r = f.file
	f.Reader, err = Open(&f.read, o)
	return f, err
}

// copied returns a temporary file with the content of r. It has no name any more.
func copied(r io.Reader) (*os.File, error) {
	file, err := os.CreateTemp("", "predcache")
	if err != nil {
		return nil, fmt.Errorf("copying standard input, since Parquet is read from its end: %w", err)
	}
	err = os.Remove(file.Name())
	if err == nil {
		_, err = io.Copy(file, r)
	}
	if err != nil {
		file.Close() //nolint:errcheck,gosec // it is of no use
		return nil, fmt.Errorf("copying standard input, since Parquet is read from its end: %w", err)
	}
	return file, nil
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

// Close closes the file.
func (f *File) Close() {
	f.Reader.Close()
	f.closeFile()
}

func (f *File) closeFile() {
	if f.file != nil {
		f.file.Close() //nolint:errcheck,gosec // it was only read
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

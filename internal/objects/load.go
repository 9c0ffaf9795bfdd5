package objects

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

// readCreated reads a new object, or splits it into ranges.
func (l *Loader) readCreated(calls context.Context, m *consumer.Message, s *seat, c *created) {
	if c.why != nil {
		l.reject(m, c.raw, false, &c.Object, c.why)
		return
	}
	prefix, ok := permitted(l.cfg.Allowed, &c.Object)
	switch {
	case !ok:
		l.reject(m, c.raw, false, &c.Object, notPermitted())
		return
	case c.skips(prefix.Prefix):
		l.cfg.Observer.Object(Skipped)
		return
	}
	j := &job{l: l, calls: calls, m: m, seat: s, prefix: prefix, raw: c.raw}
	defer j.free()
	j.body = l.newBody(l.intake, c.Object, 0, 0)
	j.finish(j.whole(0, 0))
}

func notPermitted() *prediction.Reject {
	return prediction.Rejectf(prediction.ReasonObject, "key", "is outside of what may be read: add its bucket and prefix to WORKER_OBJECTS, or limit the events to those")
}

// readPart reads a range, or what another worker has left.
func (l *Loader) readPart(calls context.Context, m *consumer.Message, s *seat, p *part) {
	prefix, ok := permitted(l.cfg.Allowed, &p.Object)
	if !ok {
		l.reject(m, m.Body, true, &p.Object, notPermitted())
		return
	}
	j := &job{l: l, calls: calls, m: m, seat: s, prefix: prefix, raw: m.Body, header: p.Header, until: p.End}
	defer j.free()
	if p.End == 0 {
		j.body = l.newBody(l.intake, p.Object, 0, 0)
		j.finish(j.whole(p.Start, p.Row))
		return
	}
	j.body = l.newBody(l.intake, p.Object, max(p.Start-1, 0), p.End)
	j.finish(j.readRange(p.Start))
}

// A job is the reading of an object or of a range by this worker.
type job struct {
	l      *Loader
	calls  context.Context
	m      *consumer.Message
	seat   *seat
	prefix Prefix
	raw    string // the event or the part, for the reject queue
	body   *body
	rows   *records.Reader

	header string // of a range of CSV
	until  int64  // the range's end; 0 for a whole object
	// at and row are where the next row begins that was not passed on.
	at, row int64
	passed  bool   // some rows were passed on
	shift   int64  // of the offsets of rows, in a range of CSV
	plain   bool   // the object is not compressed
	chunk   *chunk // of the next rows; nil once it is passed on
	done    Outcome
	left    int64 // bytes that the Observer knows to be left
}

// sniffed is how much of an object is looked at before records.Open.
const sniffed = 4

// whole reads an object that is not split, or splits it. It continues at an offset and a row of an earlier reading.
func (j *job) whole(offset, row int64) error {
	l := j.l
	if err := j.start(); err != nil {
		return err
	}
	if j.body.object.Size == 0 {
		j.done = Skipped
		return nil
	}
	j.begin()
	defer j.end()
	head := make([]byte, sniffed)
	n, err := io.ReadFull(j.body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err //nolint:wrapcheck // the Store's
	}
	head = head[:n]
	// Decompressors and the pages of Parquet take memory beside the rows: two objects are decompressed at once, and Parquet, whose
	// pages can take over 100 MiB, is read alone.
	parquet := records.IsParquet(head)
	j.plain = !parquet && !bytes.HasPrefix(head, []byte{0x1f, 0x8b}) && !bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd})
	if !j.plain {
		taken, seats := false, int64(l.cfg.Concurrency)
		if !parquet {
			seats = max(seats/2, 1)
		}
		l.turn.away(func() { taken = j.seat.take(seats) })
		if !taken {
			return errStopped
		}
	}
	if parquet {
		j.body.close()
		j.rows, err = records.OpenParquet(&blocks{of: j.body}, j.body.object.Size, l.options())
	} else {
		j.rows, err = records.Open(io.MultiReader(bytes.NewReader(head), j.body), l.options())
	}
	if err != nil {
		return err //nolint:wrapcheck // it says what the object is, or is the Store's
	}
	defer j.rows.Close()
	j.at, j.row, j.done = offset, row, Read
	if offset > 0 || row > 0 {
		if err := j.rows.Skip(offset, row); err != nil {
			return err //nolint:wrapcheck // the Store's, or a FormatError
		}
		return j.pass(nil)
	}
	first, err := j.try()
	if err != nil {
		return j.chunk.drop(err)
	}
	if split, err := j.split(first); split || err != nil {
		return j.chunk.drop(err)
	}
	return j.pass(first)
}

// readRange reads the rows of a range.
func (j *job) readRange(start int64) (err error) {
	j.at, j.done = start, RangeRead
	if err := j.start(); err != nil {
		return err
	}
	j.begin()
	defer j.end()
	o := j.l.options()
	if j.header == "" {
		j.rows, err = records.OpenRange(j.body, start, j.until, o)
	} else {
		text := newRangeText(j.body, start, j.until)
		if err := text.begin(); err != nil {
			return err
		}
		j.shift = text.at - int64(len(j.header))
		j.rows, err = records.Open(io.MultiReader(bytes.NewReader([]byte(j.header)), text), o)
	}
	if err != nil {
		return err //nolint:wrapcheck // the Store's
	}
	defer j.rows.Close()
	return j.pass(nil)
}

func (l *Loader) options() records.Options {
	return records.Options{Name: "the object", Fields: l.cfg.Fields, MaxRow: l.cfg.MaxRow, Table: l.cfg.Table}
}

const (
	// An object whose first tryRows rows are all bad is rejected once, instead of row by row. They are held in memory meanwhile, up to
	// tryBytes.
	tryRows  = 1000
	tryBytes = 4 << 20
)

// A refusal is the reason to reject an object or a range as a whole.
type refusal struct{ why *prediction.Reject }

func (e *refusal) Error() string { return e.why.Error() }

// try reads rows until one can be stored, and returns them.
func (j *job) try() (first []records.Record, err error) {
	size := 0
	j.newChunk()
	for len(first) < tryRows && size < tryBytes {
		r, err := j.rows.Next()
		if errors.Is(err, io.EOF) {
			return first, nil
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // the Store's, or a FormatError
		}
		first = append(first, r)
		size += len(r.Text)
		why := r.Why
		if why == nil {
			why = j.l.cfg.Ingest.Check(ingest.Text{Body: r.Text, Sent: j.modified(), Place: r.Place})
		}
		if why == nil {
			return first, nil
		}
		if len(first) == tryRows {
			return nil, &refusal{prediction.Rejectf(prediction.ReasonObject, "", "the first %d rows of the object are all rejected, so it was not read further: the last of them with %v", tryRows, why)}
		}
	}
	return first, nil
}

func (j *job) modified() int64 { return j.body.modified.UnixMilli() }

// split sends the ranges of an object to the queue, if it is large and its format can be read in ranges. first are its first rows.
func (j *job) split(first []records.Record) (bool, error) {
	l, o := j.l, j.body.object
	csv := l.cfg.SplitCSV && j.rows.Format() == records.CSV && j.plain && len(first) > 0 && first[0].Offset <= maxHeader
	if o.Size <= l.cfg.RangeBytes || !j.rows.Splits() && !csv {
		return false, nil
	}
	j.body.close()
	parts := split(&o, j.modified(), l.cfg.RangeBytes)
	if csv {
		header := make([]byte, first[0].Offset)
		if err := j.body.readAt(header, 0); err != nil {
			return false, err
		}
		parts[0].Start = first[0].Offset
		for i := range parts {
			parts[i].Header = string(header)
		}
	}
	j.done = Split
	return true, j.send(parts)
}

// maxHeader bounds the first line of CSV, which each range has.
const maxHeader = 8 << 10

// maxAge is the time after which a stream is left to the next worker: SQS keeps a message invisible for up to 12 hours.
const maxAge = 6 * time.Hour

// pass passes the rows on, first those of first, until the end of the object or range. It returns errStopped when the worker stops.
func (j *job) pass(first []records.Record) error {
	began := time.Now()
	at, row := j.rows.Offset()+j.shift, j.rows.Row() // of the row after first
	for more := true; more; {
		c := j.newChunk()
		var failed error
		for more && len(c.rows) < chunkRows && c.size < chunkBytes {
			var r records.Record
			if len(first) > 0 {
				r, first = first[0], first[1:]
			} else {
				if r, failed = j.rows.Next(); failed != nil {
					more = false
					break
				}
				at, row = j.rows.Offset()+j.shift, j.rows.Row()
			}
			if len(r.Text) > longRow && !c.takeLong(j.l.intake) {
				return c.drop(errStopped)
			}
			c.add(j.moved(r))
		}
		j.chunk = nil
		if err := c.pass(j.calls); err != nil {
			return c.drop(err)
		}
		if len(first) == 0 {
			j.at, j.row, j.passed = at, row, true
		}
		j.progress()
		switch {
		case errors.Is(failed, io.EOF):
			return nil
		case failed != nil:
			return failed
		case len(first) == 0 && (j.l.intake.Err() != nil || time.Since(began) > maxAge):
			return errStopped
		}
	}
	return nil
}

// free gives back the memory of the rows that were being read when a decoder panicked.
func (j *job) free() {
	if j.chunk != nil {
		j.chunk.free()
	}
}

// newChunk returns the chunk of the next rows. Reading a long row takes Loader.long for it.
func (j *job) newChunk() *chunk {
	if j.chunk != nil {
		return j.chunk
	}
	c := &chunk{l: j.l, m: j.m, object: &j.body.object, modified: j.modified(), rows: make([]row, 0, chunkRows)}
	from := j.body.at
	j.body.more = func(at int64) error {
		if len(c.rows) > c.seen {
			from, c.seen = at, len(c.rows)
		}
		if at-from > longRow && !c.takeLong(j.l.intake) {
			return errStopped
		}
		return nil
	}
	j.chunk = c
	return c
}

// moved returns a row of a range of CSV with its place in the whole object.
func (j *job) moved(r records.Record) records.Record {
	if j.header != "" {
		r.Offset += j.shift
		r.Row = 0
		r.Place = int32(min(r.Offset>>2, 1<<31-1)) // rows have at least 4 bytes
	}
	return r
}

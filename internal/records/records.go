// Package records reads the rows of files, objects and streams, whatever their format, and returns each as the JSON text of a
// prediction. What a text holds tells its format; names and suffixes do not matter.
//
// A row that can't be read is returned with the reason, and its neighbours are read. Memory is bounded by Options.MaxRow, whatever
// the size of the text: a row is the largest thing that is held.
package records

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A Format is the form of a text.
type Format string

// The formats.
const (
	Lines   Format = "NDJSON"               // one JSON object, or one array of objects, per line
	Values  Format = "JSON"                 // arrays of objects, over any number of lines, or objects back to back
	CSV     Format = "CSV"                  // with a header, as RFC 4180 says
	Export  Format = "DynamoDB JSON export" // one {"Item": {…}} per line, as ExportTableToPointInTime writes it
	Parquet Format = "Parquet"
)

// Options of a Reader.
type Options struct {
	Name   string            // names the text in errors
	Fields prediction.Fields // names of a prediction's fields: columns of CSV and Parquet
	// MaxRow is the maximum length of a row in bytes of text. Longer rows are rejected.
	MaxRow int
	// Table is the table that rows are written to. In CSV and Parquet an id is a number if the table's partition key is one, else a
	// string. A DynamoDB export has the table's attribute names.
	Table item.Table
}

// A Record is a row.
type Record struct {
	// Text is the row as JSON: an object, or in a line of NDJSON an array of objects. If Why is set, it is the start of the row.
	Text string
	// Offset is where the row begins, in bytes of the decompressed text. It is the number of earlier rows in Parquet.
	Offset int64
	// Row is the number of the row: the line in NDJSON and exports, else the row, from 1. It is 0 in a range.
	Row int64
	// Place orders the rows of one text, as ingest.Text.Place.
	Place int32
	// Why says why the row can't be read. It is nil for a good row, whose content nobody has checked yet.
	Why *prediction.Reject
}

// rejectStart is the maximum length of a rejected row's Text.
const rejectStart = 1 << 10

// A FormatError says that a text has no format that can be read, or is damaged. Reading it again will not help.
type FormatError struct {
	Name, What string
	Err        error // the cause, if any
}

func (e *FormatError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s %s: %v", e.Name, e.What, e.Err)
	}
	return e.Name + " " + e.What
}

func (e *FormatError) Unwrap() error { return e.Err }

// A Reader reads the rows of a text. It is not safe for concurrent use.
type Reader struct {
	o      Options
	format Format
	rows   rows
	in     *input // nil for Parquet
	row    int64  // rows that have been read
}

// rows reads the rows of a format.
type rows interface {
	// next returns the next row with its Text, Offset and Why. It returns io.EOF after the last one. blank is the number of rows
	// before it that hold nothing.
	next() (r Record, blank int64, err error)
}

// Open tells the format of r by its first bytes and returns a Reader of its rows. It reads no more than it needs for that. The caller
// must call Close, and closes r itself. A text that has none of the formats is a FormatError.
func Open(r io.Reader, o Options) (*Reader, error) {
	in, err := newInput(r, o.Name)
	if err != nil {
		return nil, err
	}
	reader := &Reader{o: o, in: in}
	if err := reader.detect(); err != nil {
		in.close()
		return nil, err
	}
	return reader, nil
}

// OpenRange returns a Reader of the rows of plain NDJSON that begin in the bytes from start up to end; with end -1, up to the end. If
// start is greater than 0, r must begin one byte before start: that byte tells whether a row begins at start. r may go on behind
// end, since the last row does.
func OpenRange(r io.Reader, start, end int64, o Options) (*Reader, error) {
	in := &input{name: o.Name, source: &source{r: r}}
	in.window = newWindow(in.source)
	reader := &Reader{o: o, in: in, format: Lines, rows: &lines{in: in, limit: o.MaxRow, end: end}, row: -1}
	if start == 0 {
		return reader, in.skipMark()
	}
	in.at = start - 1
	if _, _, err := in.row(newline{}, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, in.failed(err)
	}
	return reader, nil
}

// Format returns the format of the text.
func (r *Reader) Format() Format { return r.format }

// Splits reports whether the text can be read in ranges, by OpenRange: it is NDJSON and not compressed.
func (r *Reader) Splits() bool { return r.format == Lines && !r.in.compressed }

// Next returns the next row. The error is io.EOF after the last one. A FormatError says that the text is damaged, so that the rest of it
// can't be read; other errors are those of the io.Reader.
func (r *Reader) Next() (Record, error) {
	rec, blank, err := r.rows.next()
	if err != nil {
		return Record{}, err
	}
	if r.row >= 0 {
		r.row += blank + 1
		rec.Row = r.row
	}
	if rec.Why != nil {
		rec.Text = strings.ToValidUTF8(rec.Text[:min(len(rec.Text), rejectStart)], "\ufffd")
	}
	rec.Place = place(r.format, rec)
	return rec, nil
}

// place returns the order of a row in its text: of Lines the offset, which a range knows, else the number of the row. No two
// predictions of Lines are within 8 bytes of each other, so the order of a text of 16 GiB fits into 31 bits.
func place(f Format, r Record) int32 {
	if f == Lines {
		return int32(min(r.Offset>>3, maxPlace))
	}
	return int32(min(r.Row, maxPlace))
}

// maxPlace leaves room for the elements of an array on a line.
const maxPlace = 1<<31 - 1 - 200_000

// Offset returns where the next row begins, as Record.Offset counts.
func (r *Reader) Offset() int64 {
	if p, ok := r.rows.(*parquetRows); ok {
		return p.at
	}
	return r.in.offset()
}

// Row returns the number of rows that have been read.
func (r *Reader) Row() int64 { return max(r.row, 0) }

// Skip continues at an Offset and Row of an earlier Reader of the same text. Nothing has been read of this one.
func (r *Reader) Skip(offset, row int64) error {
	if p, ok := r.rows.(*parquetRows); ok {
		r.row = row
		return p.seek(offset)
	}
	if r.format == Values { // whether an array is open at offset is known only to who has read it
		for r.in.offset() < offset {
			if _, err := r.Next(); err != nil {
				return fmt.Errorf("continuing in %s at byte %d: %w", r.o.Name, offset, err)
			}
		}
		return nil
	}
	r.row = row
	if offset > r.in.offset() && r.in.seek(offset) {
		return nil
	}
	return r.in.discardTo(offset)
}

// NumRows returns the number of rows of a Parquet file, and -1 for others, which do not say.
func (r *Reader) NumRows() int64 {
	if p, ok := r.rows.(*parquetRows); ok {
		return p.file.NumRows()
	}
	return -1
}

// Close frees what decompression holds. It does not close the text.
func (r *Reader) Close() {
	if p, ok := r.rows.(*parquetRows); ok {
		p.close()
		return
	}
	r.in.close()
}

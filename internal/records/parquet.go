package records

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/predcache/predcache/internal/prediction"
)

const (
	// maxFooter is the maximum length of the schema and the list of the pages, which are read at once.
	maxFooter = 32 << 20
	// parquetBuffer is how much of a column is read at once. Columns are read side by side.
	parquetBuffer = 64 << 10
)

// OpenParquet returns a Reader of the rows of a Parquet file. It reads the file's end first, and then one page of each column at a time.
func OpenParquet(r io.ReaderAt, size int64, o Options) (_ *Reader, err error) {
	src := &sourceAt{r: r}
	p := &parquetRows{o: o, source: src}
	defer p.recovered(&err)
	if err := p.checkFooter(size); err != nil {
		return nil, err
	}
	p.file, err = parquet.OpenFile(src, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(parquetBuffer))
	if err != nil {
		return nil, p.failed(err)
	}
	if err := p.schema(); err != nil {
		return nil, &FormatError{o.Name, "is Parquet that can't be read: it " + err.Error(), nil}
	}
	return &Reader{o: o, format: Parquet, rows: p}, nil
}

// A sourceAt keeps the error of the file's io.ReaderAt apart from those of the content.
type sourceAt struct {
	r   io.ReaderAt
	err error // but io.EOF
}

func (s *sourceAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// parquetRows reads Parquet.
type parquetRows struct {
	o       Options
	source  *sourceAt
	file    *parquet.File
	columns *columns
	fields  []*node
	leaves  [][]parquet.Value // the values of a row, by column

	repeats []int // maximum repetition level, by column

	group     int       // index of the next row group
	left      int64     // rows of the row group that is read
	reader    []*column // its columns
	pageBytes int64     // size of their pages and dictionaries
	at        int64     // rows that have been read
	text      []byte
}

// checkFooter refuses what is not Parquet, or has a footer that would take too much memory.
func (p *parquetRows) checkFooter(size int64) error {
	var end [8]byte
	if size < 12 {
		return &FormatError{p.o.Name, "is not Parquet: it is too short", nil}
	}
	if _, err := p.source.ReadAt(end[:], size-8); err != nil {
		return p.failed(err)
	}
	switch length := binary.LittleEndian.Uint32(end[:]); {
	case string(end[4:]) == "PARE":
		return &FormatError{p.o.Name, "is encrypted Parquet", nil}
	case string(end[4:]) != "PAR1":
		return &FormatError{p.o.Name, "is Parquet without its end: it is incomplete", nil}
	case length > maxFooter:
		return &FormatError{p.o.Name, fmt.Sprintf("is Parquet with a footer of %d bytes: at most %d are read", length, maxFooter), nil}
	}
	return nil
}

// failed returns the error of reading the file: that of its io.ReaderAt, or a FormatError.
func (p *parquetRows) failed(err error) error {
	if p.source.err != nil {
		return fmt.Errorf("reading %s: %w", p.o.Name, p.source.err)
	}
	return &FormatError{p.o.Name, fmt.Sprintf("is damaged Parquet, after row %d", p.at), err}
}

// recovered turns a panic into an error: the library panics at some damaged files.
func (p *parquetRows) recovered(err *error) {
	if fault := recover(); fault != nil {
		*err = p.failed(fmt.Errorf("reading it failed: %v", fault))
	}
}

// schema gives the columns their roles.
func (p *parquetRows) schema() (err error) {
	var names []string
	nodes := newSchema(p.file.Metadata().Schema, p.o.MaxRow)
	for _, field := range p.file.Schema().Fields() {
		n, err := nodes.node(field, 0, 0)
		if err != nil {
			return err
		}
		names = append(names, field.Name())
		p.fields = append(p.fields, n)
	}
	p.leaves, p.repeats = make([][]parquet.Value, nodes.leaf), nodes.repeats
	p.columns, err = newColumns(names, p.o)
	return err
}

func (p *parquetRows) next() (r Record, blank int64, err error) {
	defer p.recovered(&err)
	for p.left <= 0 {
		p.close()
		groups := p.file.RowGroups()
		if p.group == len(groups) {
			return r, 0, io.EOF
		}
		p.left, p.reader = groups[p.group].NumRows(), p.columnsOf(p.group)
		p.group++
	}
	r.Offset = p.at
	tooLong, err := p.read()
	switch {
	case err != nil:
		return r, 0, p.failed(err)
	case tooLong:
		r.Why = prediction.Rejectf(prediction.ReasonTooLarge, "", "the row has a list of more than %d elements", maxRowValues)
	default:
		r.Why = p.message()
	}
	if r.Why == nil {
		r.Text = string(p.text)
	}
	return r, 0, nil
}

// read reads the values of the next row.
func (p *parquetRows) read() (tooLong bool, err error) {
	for i, c := range p.reader {
		var long bool
		if p.leaves[i], long, err = c.next(); err != nil {
			return false, err
		}
		tooLong = tooLong || long
	}
	p.left--
	p.at++
	return tooLong, nil
}

// close ends the reading of a row group.
func (p *parquetRows) close() {
	for _, c := range p.reader {
		c.pages.Close()
	}
	p.reader, p.left = nil, 0
}

// seek continues at a row. It reads over the rows before it in its row group.
func (p *parquetRows) seek(row int64) (err error) {
	defer p.recovered(&err)
	p.close()
	p.at, p.group = 0, 0
	for groups := p.file.RowGroups(); p.group < len(groups) && row-p.at >= groups[p.group].NumRows(); p.group++ {
		p.at += groups[p.group].NumRows()
	}
	if p.at == row || p.group == len(p.file.RowGroups()) {
		return nil
	}
	p.left, p.reader = p.file.RowGroups()[p.group].NumRows(), p.columnsOf(p.group)
	p.group++
	for p.at < row {
		if _, err := p.read(); err != nil {
			return p.failed(err)
		}
	}
	return nil
}

// message makes the text of a row's prediction.
func (p *parquetRows) message() *prediction.Reject {
	p.text = p.columns.begin(p.text)
	for i, n := range p.fields {
		p.field(i, n)
		if len(p.text)+len(p.columns.inner) > p.o.MaxRow {
			return tooLongRow(p.o.MaxRow)
		}
	}
	p.text = p.columns.end(p.text)
	return nil
}

// field appends a column. Null is absent, but in a payload that the columns make.
func (p *parquetRows) field(i int, n *node) {
	kind := p.columns.roles[i]
	values := p.leaves[n.first:n.last]
	absent := n.absent(values)
	switch {
	case p.columns.omits(kind, absent):
	case n.leaf == nil, absent, kind == attribute, !n.text:
		if kind == id && n.number && !p.columns.id {
			p.text = p.columns.add(p.text, i, func(dst []byte) []byte { return append(n.append(append(dst, '"'), values), '"') })
			return
		}
		p.text = p.columns.add(p.text, i, func(dst []byte) []byte { return n.append(dst, values) })
	default: // a text, read as a cell of CSV is
		text := values[0][0].ByteArray()
		p.text = p.columns.add(p.text, i, func(dst []byte) []byte {
			if !utf8.Valid(text) {
				return appendText(dst, text)
			}
			return appendCell(dst, string(text), kind, true, p.columns.id)
		})
	}
}

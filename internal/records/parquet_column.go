package records

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// maxPages is the maximum size of the pages that are in memory at once, one of each column, uncompressed. Most writers make pages
	// of 1 MB. A page can only be read as a whole.
	maxPages = 64 << 20
	// maxPageValues is the maximum number of values of a page. A few bytes can stand for any number of equal ones.
	maxPageValues = 16 << 20
	// maxRowValues is the maximum number of elements of a list, in one row.
	maxRowValues = 1 << 18
	valuesAt     = 64 // values that are read at once
)

// A column reads one column of a row group. It looks at each page's header before the library reads the page, which would allocate
// what the header says.
type column struct {
	p      *parquetRows
	flat   bool // each row has one value
	pages  parquet.Pages
	header int64 // offset of the next page's header
	end    int64 // of the column
	size   int64 // of the page, uncompressed
	values parquet.ValueReader
	buf    []parquet.Value
	off    int // index in buf of the next value
	n      int // values in buf
	row    []parquet.Value
}

// columnsOf returns the columns of a row group.
func (p *parquetRows) columnsOf(group int) []*column {
	p.pageBytes = 0
	var all []*column
	chunks := p.file.RowGroups()[group].ColumnChunks()
	for i := range p.file.Metadata().RowGroups[group].Columns {
		meta := &p.file.Metadata().RowGroups[group].Columns[i].MetaData
		c := &column{p: p, flat: p.repeats[i] == 0, pages: chunks[i].Pages(), header: meta.DataPageOffset, buf: make([]parquet.Value, valuesAt)}
		if meta.DictionaryPageOffset != 0 {
			c.header = meta.DictionaryPageOffset
		}
		c.end = c.header + meta.TotalCompressedSize
		all = append(all, c)
	}
	return all
}

// next returns the values of the next row, which are valid until the next call. tooLong says that it has more of them.
func (c *column) next() (row []parquet.Value, tooLong bool, err error) {
	if c.off == c.n {
		if err := c.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, false, err
		}
	}
	c.off++
	if c.flat {
		return c.buf[c.off-1 : c.off], false, nil
	}
	c.row = append(c.row[:0], c.buf[c.off-1])
	for {
		if c.off == c.n {
			switch err := c.fill(); {
			case errors.Is(err, io.EOF):
				return c.row, tooLong, nil
			case err != nil:
				return nil, false, err
			}
		}
		switch v := c.buf[c.off]; {
		case v.RepetitionLevel() == 0:
			return c.row, tooLong, nil
		case len(c.row) == maxRowValues:
			tooLong = true
		default:
			c.row = append(c.row, v)
		}
		c.off++
	}
}

// fill reads more values. The error is io.EOF at the end of the column. The page before is left to the garbage collector, since values of
// it may be in use.
func (c *column) fill() error {
	c.off, c.n = 0, 0
	for {
		if c.values != nil {
			n, err := c.values.ReadValues(c.buf)
			switch {
			case n > 0:
				c.n = n
				return nil
			case err == nil:
				return io.ErrNoProgress
			case !errors.Is(err, io.EOF):
				return err //nolint:wrapcheck // the caller names the file
			}
			c.values = nil
		}
		if err := c.checkPage(); err != nil {
			return err
		}
		page, err := c.pages.ReadPage()
		if err != nil {
			return err //nolint:wrapcheck // the caller names the file
		}
		c.values = page.Values()
	}
}

// checkPage reads the header of the next page, and those of dictionaries before it, which the library reads together with it.
func (c *column) checkPage() error {
	for c.header < c.end {
		read := counter{r: io.NewSectionReader(c.p.source, c.header, c.end-c.header)}
		in := bufio.NewReaderSize(&read, 1<<10)
		var h format.PageHeader
		if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(in)).Decode(&h); err != nil {
			return err //nolint:wrapcheck // the caller names the file
		}
		values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
		size := max(int64(h.UncompressedPageSize), int64(h.CompressedPageSize))
		dictionary := h.Type == format.DictionaryPage
		if !dictionary {
			c.p.pageBytes -= c.size
			c.size = size
		}
		if c.p.pageBytes += size; c.p.pageBytes > maxPages || values > maxPageValues {
			return fmt.Errorf("it has pages of %d bytes in columns side by side, and one of %d values: at most %d bytes and %d values are read: write smaller pages", c.p.pageBytes, values, maxPages, maxPageValues)
		}
		c.header += read.n.Load() - int64(in.Buffered()) + max(int64(h.CompressedPageSize), 0)
		if !dictionary {
			return nil
		}
	}
	return nil
}

package records

import (
	"errors"
	"io"
)

// blockBytes is how much of a text is read at once. Its rows share one string.
const blockBytes = 64 << 10

// A window is the part of a text that is in memory: one block, or a row that is longer.
type window struct {
	r    io.Reader
	buf  []byte // the text from offset at on
	next int    // index in buf of the next row
	at   int64
	text string // a copy of buf, which the rows are parts of; shorter if more has been read since
	err  error  // of r: io.EOF at the end
}

func newWindow(r io.Reader) *window { return &window{r: r} }

// offset returns where the next row begins in the text.
func (w *window) offset() int64 { return w.at + int64(w.next) }

// more reads more of the text behind buf. Before, it drops what stands before next. It returns false at the end, and after an error.
func (w *window) more() bool {
	if w.err != nil {
		return false
	}
	rest := w.buf[w.next:]
	switch {
	case cap(w.buf)-len(rest) < blockBytes/2 || cap(w.buf) > 4*blockBytes && len(rest) < blockBytes/2:
		w.buf = append(make([]byte, 0, max(2*len(rest), blockBytes)), rest...)
	case w.next > 0:
		w.buf = w.buf[:copy(w.buf, rest)]
	}
	w.at += int64(w.next)
	if w.next > 0 {
		w.next, w.text = 0, ""
	}
	for range 100 {
		var n int
		n, w.err = w.r.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+n]
		if n > 0 || w.err != nil {
			return n > 0
		}
	}
	w.err = io.ErrNoProgress
	return false
}

// take returns the text up to the index end of buf, and continues there.
func (w *window) take(end int) string {
	if end > len(w.text) {
		w.text = string(w.buf)
	}
	row := w.text[w.next:end]
	w.next = end
	return row
}

// A splitter finds where a row ends. It is given the row's text piece by piece, followed by what comes after the row.
type splitter interface {
	// end returns the length of the row's last part in text, or -1 if the row does not end in it.
	end(text []byte) int
}

// row returns the text from next to the end of the row. Of a row longer than limit it returns the start, and true. At the end of the
// text it returns what is left, although s has found no end. The error is io.EOF if nothing is left.
func (w *window) row(s splitter, limit int) (row string, tooLong bool, err error) {
	scanned := w.next
	for {
		n := s.end(w.buf[scanned:])
		if n >= 0 && scanned+n-w.next <= limit {
			return w.take(scanned + n), false, nil
		}
		if n >= 0 || len(w.buf)-w.next > limit {
			return w.skip(s, scanned, n)
		}
		read := len(w.buf) - w.next
		if !w.more() {
			switch {
			case !errors.Is(w.err, io.EOF):
				return "", false, w.err
			case read == 0:
				return "", false, io.EOF
			}
			return w.take(len(w.buf)), false, nil
		}
		scanned = read
	}
}

// skip skips a row that is too long and returns its start. buf has been scanned from the index scanned on, with the result n.
func (w *window) skip(s splitter, scanned, n int) (start string, tooLong bool, err error) {
	var first []byte
	for {
		end := len(w.buf)
		if n >= 0 {
			end = scanned + n
		}
		if room := rejectStart - len(first); room > 0 {
			first = append(first, w.buf[w.next:min(end, w.next+room)]...)
		}
		w.next = end
		if n >= 0 {
			return string(first), true, nil
		}
		if !w.more() {
			if errors.Is(w.err, io.EOF) {
				return string(first), true, nil
			}
			return "", false, w.err
		}
		scanned, n = 0, s.end(w.buf)
	}
}

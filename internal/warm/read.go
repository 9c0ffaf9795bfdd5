package warm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/records"
)

const (
	// A chunk of rows is read, submitted and settled together.
	chunkBytes = 64 << 10
	chunkRows  = 100
	// rowBytes is the approximate memory of a row beside its text.
	rowBytes = 1 << 10

	// maxAhead is the maximum number of sources that are open at once, and aheadBytes that of their bytes. A source that is read ahead
	// holds aheadChunks chunks.
	maxAhead    = 16
	aheadBytes  = 32 << 20
	sourceBytes = blocksHeld * blockBytes // maximum that a source counts for
	aheadChunks = 2
)

// A feed is a source that is being read. Sources are read side by side, and their rows are submitted in order.
type feed struct {
	source *source
	index  int
	weight int64
	chunks chan *chunk
	read   int64 // bytes of the source that were read; valid after chunks is closed, as is err
	err    error
}

// readAll reads all sources, from the position of an interrupted run. It returns false if it did not reach the end.
func (r *Run) readAll(ctx context.Context) (all bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var readers, decoders sync.WaitGroup
	feeds := r.readAhead(ctx, &readers)
	work := make(chan *chunk)
	for range r.decoders() {
		decoders.Go(func() {
			for c := range work {
				r.submit(ctx, c)
			}
		})
	}
	all, err = r.pass(ctx, feeds, work)
	stop()
	close(work)
	decoders.Wait()
	if !r.stdin { // whose reader may wait for ever
		readers.Wait()
	}
	return all, err
}

// decoders returns the number of goroutines that decode rows. With several, two rows of one key may be swapped, if fewer than room
// holds are between them. The window puts them in order if it remembers the first for so long.
func (r *Run) decoders() int {
	if r.o.Config.DedupWindow/2 < room/rowBytes {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// readAhead starts to read the sources, a few at a time, and returns them in their order.
func (r *Run) readAhead(ctx context.Context, readers *sync.WaitGroup) <-chan *feed {
	feeds := make(chan *feed, maxAhead)
	budget := semaphore.NewWeighted(aheadBytes)
	first := 0
	if r.resumed != nil {
		first = r.resumed.Index
	}
	readers.Go(func() {
		defer close(feeds)
		for i := first; i < len(r.sources); i++ {
			f := &feed{source: r.sources[i], index: i, chunks: make(chan *chunk, aheadChunks)}
			f.weight = min(max(f.source.size, chunkBytes), sourceBytes)
			if err := budget.Acquire(ctx, f.weight); err != nil {
				return
			}
			readers.Go(func() {
				defer budget.Release(f.weight)
				defer close(f.chunks)
				f.err = r.readSource(ctx, f)
			})
			select {
			case feeds <- f:
			case <-ctx.Done():
				return
			}
		}
	})
	return feeds
}

// pass passes the chunks to work, in order, as the ledger has room for them.
func (r *Run) pass(ctx context.Context, feeds <-chan *feed, work chan<- *chunk) (all bool, err error) {
	var before int64 // bytes of the sources that have been read
	for f := range feeds {
		if before == 0 {
			for _, s := range r.sources[:f.index] {
				before += max(s.size, 0)
			}
		}
		for c := range f.chunks {
			c.passed += before
			if err := r.ledger.begin(ctx, c); err != nil {
				return false, nil //nolint:nilerr // ctx is done
			}
			work <- c
		}
		if f.err != nil || ctx.Err() != nil {
			return false, f.err
		}
		before += f.read
	}
	return ctx.Err() == nil, nil
}

// readSource reads a source in chunks. It stops without an error when ctx is done.
func (r *Run) readSource(ctx context.Context, f *feed) error {
	var from *position
	if r.resumed != nil && r.resumed.Index == f.index {
		from = r.resumed
	}
	in, err := r.openAt(ctx, f.source, from)
	if err != nil {
		return err
	}
	defer in.Close()
	for err == nil {
		c := &chunk{run: r, index: f.index}
		size := 0
		for size < chunkBytes && len(c.rows) < chunkRows {
			var rec records.Record
			if rec, err = in.Next(); err != nil {
				break
			}
			size += len(rec.Text)
			c.rows = append(c.rows, rec)
		}
		c.passed, f.read = in.Read(), in.Read()
		c.cost = min(int64(2*size+rowBytes*len(c.rows)), room)
		c.end = position{File: f.source.name, Index: f.index, Offset: in.Offset(), Row: in.Row(), Size: f.source.size, Modified: f.source.modified}
		select {
		case f.chunks <- c:
		case <-ctx.Done():
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// submit decodes the rows of a chunk and submits their items.
func (r *Run) submit(ctx context.Context, c *chunk) {
	batch := r.ingest.Begin()
	sinks := make([]row, len(c.rows))
	sent := r.eventTime(r.sources[c.index])
	for i := range c.rows {
		rec := &c.rows[i]
		sinks[i] = row{c, rec.Row}
		if rec.Why != nil {
			r.counts.Outcome(prediction.Rejected, 0, 0)
			sinks[i].reject(rec.Text, rec.Why)
			continue
		}
		batch.Add(ctx, ingest.Text{Name: c.end.File, Body: rec.Text, Sent: sent, Order: r.order(c.index), Place: rec.Place}, &sinks[i])
	}
	batch.End(ctx)
	c.rows = nil
	c.resolved()
}

// eventTime returns the event time of predictions that have none, in milliseconds since the epoch.
func (r *Run) eventTime(s *source) int64 {
	if r.o.Modified {
		return s.modified.UnixMilli()
	}
	return r.o.EventTime
}

// order returns the ingest.Text.Order of the rows of a source. Of two predictions of one id and event time, the one in the later row,
// source or run wins. The result is negative, so that a message wins over every file: a message's order is its sent time. The upper
// 31 bits hold the run's start in seconds since the epoch, the lower 32 the source's index.
func (r *Run) order(index int) int64 {
	return math.MinInt64 + r.started<<32 + int64(min(index, math.MaxUint32))
}

const (
	// estimateRows is the number of rows that estimate reads at least.
	estimateRows = 1000
	// estimateBytes is how much of the source it reads at least, as stored. Compressed text is read in blocks of 64 KB, which may hold
	// many more rows than those that were decoded.
	estimateBytes = 1 << 20
	// maxEstimateRows bounds what highly compressed text decompresses to.
	maxEstimateRows = 100 * estimateRows
)

// estimate returns the approximate number of write units of all sources, by the first rows of the largest. It is 0 if that is unknown.
func (r *Run) estimate(ctx context.Context, decoder *prediction.Decoder) int64 {
	s := slices.MaxFunc(r.sources, func(a, b *source) int { return cmp.Compare(a.size, b.size) })
	if r.total <= 0 || s.size <= 0 || r.resumed != nil {
		return 0
	}
	in, err := r.openAt(ctx, s, nil)
	if err != nil {
		return 0 // Run reports it
	}
	defer in.Close()
	var decoded prediction.Decoded
	units, stored := 0, int64(0)
	for n := 0; n < estimateRows || n < maxEstimateRows && stored < estimateBytes; n++ {
		rec, err := in.Next()
		if err != nil {
			break
		}
		decoder.Decode(&decoded, prediction.Message{Body: rec.Text, Sent: time.Now().UnixMilli()}, time.Now())
		for i := range decoded.Predictions {
			if it, why := r.layout.New(&decoded.Predictions[i]); why == nil {
				units += it.Units()
			}
		}
		stored = in.Read()
	}
	if units == 0 || stored == 0 {
		return 0
	}
	return int64(float64(units) / float64(stored) * float64(r.total))
}

var _ rows = (*records.File)(nil)

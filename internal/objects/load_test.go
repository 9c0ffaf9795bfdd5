package objects

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// lines returns n rows, of lengths up to most, and their ids in order.
func lines(r *rand.Rand, n, most int) (text string, ids []string) {
	var b strings.Builder
	for i := range n {
		id := fmt.Sprintf("id-%06d", i)
		ids = append(ids, id)
		fmt.Fprintf(&b, `{"predictionId":%q,"prediction":"%s"}`, id, noise(r, r.IntN(most)))
		switch r.IntN(8) {
		case 0:
			b.WriteString("\r\n")
		case 1:
			b.WriteString("\n\n")
		default:
			b.WriteString("\n")
		}
	}
	if text = b.String(); r.IntN(2) == 0 {
		text = strings.TrimRight(text, "\r\n")
	}
	return text, ids
}

// noise returns n characters that do not compress well.
func noise(r *rand.Rand, n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('!' + r.IntN('['-'#')) // neither a quote nor a backslash
		if text[i] == '"' {
			text[i] = 'a'
		}
	}
	return string(text)
}

// Each row is read once, wherever the ranges' boundaries are.
func TestRangesHaveEachRowOnce(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 1))
				w := newWorld(t, nil)
				text, ids := lines(r, 1+r.IntN(120), 1+r.IntN(300))
				o := w.store.put("daily/a.jsonl", text)
				o.Bucket = "scores"
				size := int64(1 + r.IntN(200))
				for start := int64(0); start < o.Size; start += size {
					w.queue.put((&part{Object: o, Modified: time.Now().UnixMilli(), Start: start, End: min(start+size, o.Size)}).message())
				}
				if r.IntN(2) == 0 {
					w.store.torn = func() int { return r.IntN(400) }
				}
				w.run(w.idle)
				if got := w.sorted(); !slices.Equal(got, ids) {
					t.Errorf("ranges of %d bytes of %d: %d rows, want %d:\n%v", size, o.Size, len(got), len(ids), got)
				}
			})
		})
	}
}

// A range that ends where a row does has no part of the next one.
func TestRangesAtEveryBoundary(t *testing.T) {
	text := "{\"predictionId\":\"a\",\"prediction\":1}\n{\"predictionId\":\"b\",\"prediction\":22}\r\n\n{\"predictionId\":\"c\",\"prediction\":333}"
	for at := int64(1); at < int64(len(text)); at++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			o := w.store.put("daily/a.jsonl", text)
			for _, p := range []part{{Start: 0, End: at}, {Start: at, End: o.Size}} {
				p.Object, p.Modified = o, time.Now().UnixMilli()
				w.queue.put(p.message())
			}
			w.run(w.idle)
			if got := w.sorted(); !slices.Equal(got, []string{"a", "b", "c"}) {
				t.Errorf("split at %d: %v", at, got)
			}
		})
	}
}

func TestLargeObjectIsSplit(t *testing.T) {
	for _, format := range []string{"NDJSON", "CSV"} {
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.RangeBytes, c.SplitCSV = 1<<20, true })
				r := rand.New(rand.NewPCG(1, 2))
				text, ids := lines(r, 5000, 1500)
				if format == "CSV" {
					text = "predictionId,prediction,model\n" + strings.Join(strings.Split(strings.Join(ids, ",1,"+strings.Repeat("m", 700)+"\n")+",1,m", "\n"), "\n")
				}
				w.queue.failing = 2
				w.queue.put(event(w.store.put("daily/a", text)))
				w.run(w.idle)
				if got := w.sorted(); !slices.Equal(slices.Compact(got), ids) {
					t.Errorf("%d rows, want %d", len(got), len(ids))
				}
				ranges := (len(text) + 1<<20 - 1) >> 20
				if w.outcomes[Split] != 1 || w.outcomes[RangeRead] < ranges || len(w.rejects) > 0 {
					t.Errorf("outcomes %v, want %d ranges; rejects %v", w.outcomes, ranges, w.rejects)
				}
				for _, it := range w.items {
					if it.Queued != 0 || it.Version.Sent%1000 != 0 || it.Version.Place == 0 && it.Key.ID != ids[0] {
						t.Fatalf("%+v", it.Version)
					}
				}
			})
		})
	}
}

// The later of two rows of one id wins, wherever they are read.
func TestPlaceOrdersTheRowsOfAnObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.RangeBytes = 1 << 20 })
		text, _ := lines(rand.New(rand.NewPCG(3, 3)), 4000, 1000)
		w.queue.put(event(w.store.put("daily/a.jsonl", text)))
		w.run(w.idle)
		slices.SortFunc(w.items, func(a, b *item.Item) int { return a.Version.Compare(b.Version) })
		for i, it := range w.items {
			if want := fmt.Sprintf("id-%06d", i); it.Key.ID != want {
				t.Fatalf("row %d is %s", i, it.Key.ID)
			}
		}
	})
}

// What stops a worker leaves the rest of its objects to another, and no row is lost or, without a kill, read twice.
func TestStopLeavesTheRest(t *testing.T) {
	for name, tt := range map[string]struct {
		ranges bool
		text   func(text string) string
	}{
		"range": {true, nil}, "small object": {false, nil},
		"array": {false, func(text string) string {
			return "[" + strings.Join(strings.Fields(text), ",\n") + "]"
		}},
		"gzip": {false, zipped},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				text, ids := lines(rand.New(rand.NewPCG(5, 5)), 3000, 500)
				if tt.text != nil {
					text = tt.text(text)
				}
				o := w.store.put("daily/a", text)
				if tt.ranges {
					w.queue.put((&part{Object: o, Modified: time.Now().UnixMilli(), Start: 0, End: o.Size}).message())
				} else {
					w.queue.put(event(o))
				}
				w.store.delay = time.Second
				for stops := 0; w.queue.len() > 0 && stops < 30; stops++ {
					begin := time.Now()
					w.run(func() bool { return w.queue.len() == 0 || time.Since(begin) > 4500*time.Millisecond })
					w.store.delay = 900 * time.Millisecond // so that what must be read again is not for ever the whole
					if stops > 3 {
						w.store.delay = 0
					}
				}
				if got := w.sorted(); !slices.Equal(got, ids) {
					t.Errorf("%d rows, want %d", len(got), len(ids))
				}
				if w.outcomes[Continued] < 2 || w.outcomes[Read]+w.outcomes[RangeRead] != 1 || len(w.rejects) > 0 {
					t.Errorf("outcomes %v, rejects %v", w.outcomes, w.rejects)
				}
			})
		})
	}
}

func zipped(text string) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	z.Close()
	return b.String()
}

// A message that is being read is not redelivered, however long it takes.
func TestLeaseIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.MaxBytes = 2<<20 + 300<<10 })
		text, ids := lines(rand.New(rand.NewPCG(5, 5)), 1000, 500)
		w.queue.put(event(w.store.put("daily/a", text)))
		w.hold = true
		w.run(func() bool {
			if time.Now().Minute() >= 30 {
				w.release()
			}
			return w.idle()
		})
		if got := w.sorted(); !slices.Equal(got, ids) || w.settled[consumer.Deleted] != 1 {
			t.Errorf("%d rows, settled %v", len(got), w.settled)
		}
	})
}

func TestOutcomes(t *testing.T) {
	const good = `{"predictionId":"a","prediction":1}` + "\n"
	bad := strings.Repeat("{}\n", tryRows)
	for name, tt := range map[string]struct {
		put     func(w *world) // puts messages into the queue
		want    map[Outcome]int
		rejects []string // reasons and details
	}{
		"test event": {func(w *world) { w.queue.put(testEvent) }, map[Outcome]int{Ignored: 1}, nil},
		"of another kind": {func(w *world) {
			w.queue.put(strings.Replace(event(w.store.put("daily/a", good)), "ObjectCreated", "ObjectRemoved", 1))
		}, map[Outcome]int{Ignored: 1}, nil},
		"no event": {func(w *world) { w.queue.put(good) }, map[Outcome]int{Refused: 1}, []string{"WORKER_QUEUE_URL"}},
		"skipped":  {func(w *world) { w.queue.put(event(w.store.put("daily/_SUCCESS", good))) }, map[Outcome]int{Skipped: 1}, nil},
		"empty":    {func(w *world) { w.queue.put(event(w.store.put("daily/a", ""))) }, map[Outcome]int{Skipped: 1}, nil},
		"outside":  {func(w *world) { w.queue.put(event(w.store.put("weekly/a", good))) }, map[Outcome]int{Refused: 1}, []string{"WORKER_OBJECTS"}},
		"a part outside": {func(w *world) {
			w.queue.put((&part{Object: w.store.put("weekly/a", good), Modified: 1, End: 1}).message())
		}, map[Outcome]int{Refused: 1}, []string{"WORKER_OBJECTS"}},
		"another bucket's": {func(w *world) { o := w.store.put("daily/a", good); o.Bucket = "other"; w.queue.put(event(o)) }, map[Outcome]int{Refused: 1}, []string{"WORKER_OBJECTS"}},
		"missing":          {func(w *world) { w.queue.put(event(Object{Bucket: "scores", Key: "daily/x", Size: 1})) }, map[Outcome]int{Refused: 1}, []string{"does not exist"}},
		"overwritten": {func(w *world) {
			o := w.store.put("daily/a", good)
			w.queue.put(event(o))
			w.queue.put((&part{Object: o, Modified: 1, End: 9}).message())
			w.queue.put(event(w.store.put("daily/a", good+"\n")))
		}, map[Outcome]int{Changed: 2, Read: 1}, nil},
		"no format":        {func(w *world) { w.queue.put(event(w.store.put("daily/a", "ORC\x00\x00"))) }, map[Outcome]int{Refused: 1}, []string{"ORC"}},
		"all bad":          {func(w *world) { w.queue.put(event(w.store.put("daily/a", bad+good))) }, map[Outcome]int{Refused: 1}, []string{"object: the first 1000 rows of the object are all rejected, so it was not read further: the last of them with missing_field: predictionId"}},
		"bad but the last": {func(w *world) { w.queue.put(event(w.store.put("daily/a", bad[3:]+good))) }, map[Outcome]int{Read: 1}, nil},
		"short and all bad": {func(w *world) { w.queue.put(event(w.store.put("daily/a", "{}\n[1]\n"))) }, map[Outcome]int{Read: 1},
			[]string{"", ""}},
		"no row begins": {func(w *world) {
			o := w.store.put("daily/a", `{"predictionId":"a","prediction":"`+strings.Repeat("x", 1000)+`"}`)
			w.queue.put((&part{Object: o, Modified: 1, Start: 10, End: 900}).message())
		}, map[Outcome]int{RangeRead: 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				tt.put(w)
				w.run(w.idle)
				for o := range w.outcomes {
					if w.outcomes[o] != tt.want[o] {
						t.Errorf("outcomes %v, want %v", w.outcomes, tt.want)
					}
				}
				if len(w.outcomes) != len(tt.want) || tt.rejects != nil && len(w.rejects) != len(tt.rejects) {
					t.Fatalf("outcomes %v, want %v; %d rejects: %v", w.outcomes, tt.want, len(w.rejects), w.rejects)
				}
				for i, want := range tt.rejects {
					if got := attribute(&w.rejects[i], consumer.AttrReason) + ": " + attribute(&w.rejects[i], consumer.AttrDetail); !strings.Contains(got, want) {
						t.Errorf("rejected with %q, want %q", got, want)
					}
				}
			})
		})
	}
}

func attribute(o *consumer.Outgoing, name string) string {
	r := consumer.Received{Attributes: o.Attributes}
	return r.Attribute(name)
}

// A bad row is rejected alone, with its place in the object.
func TestRejectsNameTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		const first = `{"predictionId":"a","prediction":1}` + "\n"
		long := `{"predictionId":"` + strings.Repeat("y", w.cfg.MaxRow) + `"}` + "\n"
		text := first + "{}\n" + long + strings.Repeat(first, 200) + "[" + strings.Repeat("1,", 50) + "1]\n"
		o := w.store.put("daily/a", text)
		w.queue.put((&part{Object: o, Modified: 1_700_000_000_000, Start: 0, End: o.Size}).message())
		w.run(w.idle)
		if len(w.rejects) != 3 || w.settled[consumer.Deleted] != 1 || len(w.ids) != 201 {
			t.Fatalf("%d rejects, %d rows, settled %v", len(w.rejects), len(w.ids), w.settled)
		}
		for i, want := range []struct {
			reason prediction.Reason
			offset int
			body   string
		}{
			{prediction.ReasonMissingField, len(first), "{}"}, {prediction.ReasonTooLarge, len(first) + 3, long[:1<<10]},
			{prediction.ReasonFieldType, strings.LastIndexByte(text, '['), "[" + strings.Repeat("1,", 50) + "1]"},
		} {
			r := &w.rejects[i]
			source := fmt.Sprintf(`"object":{"bucket":"scores","key":"daily/a","offset":%d}`, want.offset)
			if attribute(r, consumer.AttrReason) != string(want.reason) || !strings.Contains(attribute(r, consumer.AttrSource), source) || r.Body != want.body {
				t.Errorf("%d: %+v, want %s of %s", i, r, want.reason, source)
			}
			if sent := attribute(r, consumer.AttrSent); sent != fmt.Sprint(w.items[0].Version.Sent) {
				t.Errorf("%d: sent at %s, but the object is of %d", i, sent, w.items[0].Version.Sent)
			}
		}
	})
}

// Without a reject queue the message stays on its queue, and its good rows are in the table.
func TestNoRejectQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Rejects = nil })
		w.queue.put(event(w.store.put("daily/a", `{"predictionId":"a","prediction":1}`+"\n{}\n")))
		begin := time.Now()
		w.run(func() bool { return time.Since(begin) > 10*time.Minute })
		if w.queue.len() != 1 || w.settled[consumer.BackedOff] < 2 || w.settled[consumer.BackedOff] > 6 {
			t.Errorf("%d messages, settled %v", w.queue.len(), w.settled)
		}
	})
}

// A role that may read nothing is no reason to reject: the objects wait. One object that may not be read is rejected.
func TestDenied(t *testing.T) {
	denied := fmt.Errorf("GetObject: AccessDenied: %w", ErrForbidden)
	const good = `{"predictionId":"a","prediction":1}` + "\n"
	t.Run("all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			for i := range 30 {
				w.queue.put(event(w.store.put(fmt.Sprintf("daily/%d", i), good)))
			}
			begin := time.Now()
			w.store.denied = func(Request) error {
				if time.Since(begin) < 30*time.Minute {
					return denied
				}
				return nil
			}
			told := false
			w.run(func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				told = told || w.denied[Prefix{"scores", "daily/"}] != nil
				return w.queue.len() == 0
			})
			if !told || w.denied[Prefix{"scores", "daily/"}] != nil || len(w.rejects) > 0 || w.outcomes[Read] != 30 || w.settled[consumer.BackedOff] > 100 {
				t.Errorf("told %v, denied %v, %d rejects, outcomes %v, settled %v", told, w.denied, len(w.rejects), w.outcomes, w.settled)
			}
		})
	})
	t.Run("one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.store.denied = func(r Request) error {
				if r.Key == "daily/1" {
					return denied
				}
				return nil
			}
			for i := range 3 {
				w.queue.put(event(w.store.put(fmt.Sprintf("daily/%d", i), good)))
			}
			w.run(w.idle)
			if len(w.rejects) != 1 || w.outcomes[Read] != 2 {
				t.Fatalf("%d rejects, outcomes %v", len(w.rejects), w.outcomes)
			}
			detail := attribute(&w.rejects[0], consumer.AttrDetail)
			if !strings.Contains(detail, "s3:GetObject") || !strings.Contains(detail, "s3:ListBucket") {
				t.Errorf("%q names not both causes", detail)
			}
		})
	})
}

// A fault of the worker's own rejects the message, and the others are read, also when it is within a long row.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.store.torn = func() int { return 2 * longRow }
		w.store.denied = func(r Request) error {
			if r.Key == "daily/1" && r.From > 0 {
				panic("of a decoder")
			}
			return nil
		}
		for i := range 3 {
			rows := fmt.Sprintf("{\"predictionId\":\"%da\",\"prediction\":1}\n{\"predictionId\":\"%db\",%s\"prediction\":1}", i, i, strings.Repeat(" ", 3*longRow))
			w.queue.put(event(w.store.put(fmt.Sprintf("daily/%d", i), rows)))
		}
		w.run(w.idle)
		if len(w.rejects) != 1 || len(w.ids) != 4 || attribute(&w.rejects[0], consumer.AttrReason) != string(prediction.ReasonInternal) {
			t.Errorf("%d rows, rejects %+v", len(w.ids), w.rejects)
		}
	})
}

// SlowDown and torn bodies delay a read and change nothing else.
func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.RangeBytes = 1 << 20 })
		r := rand.New(rand.NewPCG(8, 8))
		text, ids := lines(r, 6000, 1000)
		var mu sync.Mutex
		w.store.denied = func(Request) error {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(2) == 0 {
				return errors.New("SlowDown: please reduce your request rate")
			}
			return nil
		}
		w.store.torn = func() int {
			mu.Lock()
			defer mu.Unlock()
			return r.IntN(1 << 20)
		}
		w.queue.put(event(w.store.put("daily/a.jsonl", text)))
		w.run(w.idle)
		if got := w.sorted(); !slices.Equal(got, ids) || len(w.rejects) > 0 {
			t.Errorf("%d rows, want %d; rejects %v", len(got), len(ids), w.rejects)
		}
	})
}

// Parquet is not read from start to end, and yet by few calls.
func TestParquet(t *testing.T) {
	type filed struct {
		ID      string  `parquet:"predictionId"`
		Payload string  `parquet:"prediction"`
		Score   float64 `parquet:"score"`
	}
	var b bytes.Buffer
	file := parquet.NewGenericWriter[filed](&b)
	r := rand.New(rand.NewPCG(6, 6))
	var want []string
	for i := range 20000 {
		id := fmt.Sprintf("id-%06d", i)
		want = append(want, id)
		if _, err := file.Write([]filed{{id, noise(r, 100), r.Float64()}}); err != nil {
			t.Fatal(err)
		}
		if i%5000 == 4999 {
			if err := file.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.store.torn = func() int { return 1 << 20 }
		w.queue.put(event(w.store.put("daily/a.parquet", b.String())))
		w.store.delay = 500 * time.Millisecond
		w.run(func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.rows > 1000
		})
		if w.outcomes[Continued] != 1 {
			t.Errorf("outcomes %v, want it to be continued", w.outcomes)
		}
		w.store.delay = 0
		w.run(w.idle)
		if got := w.sorted(); !slices.Equal(got, want) {
			t.Errorf("%d rows, want %d", len(got), len(want))
		}
		if most := 2 * (b.Len()/blockBytes + 10); w.store.gets > most {
			t.Errorf("%d Gets of %d bytes, want at most %d", w.store.gets, b.Len(), most)
		}
	})
}

package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/ingest"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// What a text takes is counted, whatever it holds, and nothing is allocated in proportion to what is refused.
func TestMemory(t *testing.T) {
	const (
		pools   = 2 << 20  // encoders, decoders and buffers that a collection took from their pools
		slack   = 64 << 10 // of the heap
		perByte = 6        // allocated to read a byte of text
	)
	stream := uint64(0) // of random bodies, another for each run
	for _, encoding := range []item.Encoding{item.JSON, item.Map, item.Zstd} {
		for _, keep := range []prediction.Attributes{{All: true}, {Names: []string{"model"}}} {
			t.Run(fmt.Sprintf("%s, all attributes %v", encoding, keep.All), func(t *testing.T) {
				h := newHolder(t, encoding, keep)
				stream++
				for i, kind := range parts {
					a := adversary{rand.New(rand.NewPCG(uint64(i), stream))}
					b := a.body(kind, 1<<(14+a.IntN(7)))
					allocated, retained := h.add(t, ingest.Text{Body: b.text, ContentEncoding: b.encoding, Sent: now.UnixMilli()})
					if most := h.counted*13/10 + slack; retained > most {
						t.Errorf("%s: %d bytes are retained, but %d are counted", kind.name, retained, h.counted)
					}
					if length := len(b.text) + b.inflated; allocated > perByte*length+2*max(h.counted, h.reserved)+pools {
						t.Errorf("%s: %d bytes are allocated for %d bytes of text; %d are counted", kind.name, allocated, length, h.counted)
					}
				}
			})
		}
	}
}

// A holder is an Ingest whose sink holds what a worker holds: the items and the rejected parts.
type holder struct {
	*ingest.Ingest
	items             []*item.Item
	parts             []prediction.RejectedPart
	counted, reserved int
}

func newHolder(t *testing.T, encoding item.Encoding, keep prediction.Attributes) *holder {
	t.Helper()
	table := item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"}
	layout, err := item.NewLayout(table, item.Options{PerSecond: 1, Encoding: encoding})
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{}
	h.Ingest = ingest.New(ingest.Config{
		Decoder: prediction.Config{
			Fields: prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction", TTLSeconds: "ttlSeconds"}, Attributes: keep,
			TTL: time.Hour, MaxFuture: time.Minute, MaxDecodedBytes: 16 << 20,
		},
		Layout: layout, Observer: h, Now: func() time.Time { return now }, Grace: time.Minute, Log: slog.New(slog.DiscardHandler),
		Admit:  func(*item.Item, dedup.Waiter) bool { return true },
		Submit: func(items ...*item.Item) { h.items = append(h.items, items...) },
	})
	return h
}

// add reads a text and returns the bytes that this allocated, and those that it retained beside the text.
func (h *holder) add(t *testing.T, text ingest.Text) (allocated, retained int) {
	t.Helper()
	read := func() {
		h.items, h.parts, h.counted, h.reserved = h.items[:0], nil, 0, 0
		b := h.Begin()
		b.Add(t.Context(), text, h)
		b.End(t.Context())
	}
	var before, after runtime.MemStats
	read() // makes what is pooled, and the holder's list of items
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	allocated = int(after.TotalAlloc - before.TotalAlloc)

	clear(h.items)
	h.parts = nil
	collect(&before)
	read()
	collect(&after)
	runtime.KeepAlive(text)
	runtime.KeepAlive(h)
	return allocated, int(after.HeapAlloc) - int(before.HeapAlloc)
}

// collect frees what is not held. The second collection empties the pools.
func collect(stats *runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(stats)
}

func (h *holder) Outcome(prediction.Outcome, int, int64) {}
func (h *holder) Admit(*item.Item) dedup.Waiter          { return nil }
func (h *holder) NoRoom()                                {}
func (h *holder) Done(bytes int)                         { h.counted = bytes }

func (h *holder) Reserve(_ context.Context, bytes int) bool {
	h.reserved = bytes
	return true
}

func (h *holder) Reject(part prediction.RejectedPart, _ int) { // as consumer.Message
	if len(h.parts) < prediction.MaxRejectedParts {
		h.parts = append(h.parts, part)
	}
}

// An adversary makes bodies that try to take more memory than they should.
type adversary struct{ *rand.Rand }

type body struct {
	text, encoding string
	inflated       int
}

// body returns a body of about so many bytes once it is inflated.
func (a adversary) body(kind part, size int) body {
	var b strings.Builder
	form := a.IntN(3)
	if form == 0 {
		b.WriteByte('[')
	}
	one := max(size/(1<<a.IntN(16)), 1) // the size of a part
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteString([]string{",", "\n", "\n"}[form])
		}
		b.WriteString(kind.make(a, i, min(one, size)))
		if form == 2 && i > 0 { // one or two parts
			break
		}
	}
	if form == 0 {
		b.WriteByte(']')
	}
	out := body{text: b.String()}
	switch a.IntN(5) {
	case 0:
		out.inflated = len(out.text)
		out.text, out.encoding = gzipped(out.text), "gzip"
	case 1:
		out.inflated = len(out.text)
		out.text, out.encoding = compressed(out.text), "zstd"
	case 2:
		out.inflated = len(out.text)
		out.text = string(append(jsonscan.AppendQuoted([]byte(`{"Type":"Notification","TopicArn":"t","Message":`), out.text), '}'))
	}
	return out
}

func gzipped(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// A part is a kind of part. make returns the i-th of a body, of about n bytes.
type part struct {
	name string
	make func(a adversary, i, n int) string
}

var parts = []part{
	{"parts that are no predictions", func(a adversary, _, _ int) string { return []string{"0", "{}", "[]", `""`, "NaN"}[a.IntN(5)] }},
	{"broken parts", func(a adversary, _, _ int) string { return []string{"{", `{"a":}`, "x", `{"a":NaN}`}[a.IntN(4)] }},
	{"tiny predictions", func(_ adversary, i, _ int) string { return fmt.Sprintf(`{"predictionId":"%x","prediction":0}`, i) }},
	{"tiny members", func(_ adversary, i, n int) string {
		return object(i, n, func(j int) string { return fmt.Sprintf(`"%x":0`, j) })
	}},
	{"members with escaped names", func(_ adversary, i, n int) string {
		return object(i, n, func(j int) string { return fmt.Sprintf(`"\n%x":0`, j) })
	}},
	{"long names", func(a adversary, i, n int) string {
		name := strings.Repeat([]string{"n", `\n`, `\u0041`}[a.IntN(3)], n/6+1)
		return object(i, n, func(j int) string { return fmt.Sprintf(`"%s%x":0`, name, j) })
	}},
	{"a name twice", func(a adversary, i, n int) string {
		name := strings.Repeat([]string{"n", `\n`}[a.IntN(2)], n/6+1)
		return object(i, n, func(int) string { return fmt.Sprintf(`"%s":0`, name) })
	}},
	{"a long id", func(_ adversary, _, n int) string {
		return `{"predictionId":"` + strings.Repeat(`\n`, n/2+1) + `","prediction":0}`
	}},
	{"ids with escapes", func(_ adversary, i, _ int) string {
		return fmt.Sprintf(`{"predictionId":"%s%x","prediction":0}`, strings.Repeat(`\n`, 500), i)
	}},
	{"long numbers", func(a adversary, i, n int) string {
		number := strings.Repeat("9", n/3) + ".5" + strings.Repeat("0", n/3)
		return fmt.Sprintf([]string{`{"predictionId":"%d","prediction":%s}`, `{"predictionId":"%d","prediction":0,"model":%s}`, `{"predictionId":"%d","prediction":0,"ttlSeconds":%s}`}[a.IntN(3)], i, number)
	}},
	{"lists", func(a adversary, i, n int) string {
		element := []string{"0,", "1.5,", `"",`, "[],", "{},", `"\n",`}[a.IntN(6)]
		return nested(a, i, "["+strings.Repeat(element, n/len(element))+"0]")
	}},
	{"maps", func(a adversary, i, n int) string {
		var b strings.Builder
		for j := 0; b.Len() < n; j++ {
			fmt.Fprintf(&b, []string{`"%x":0,`, `"\n%x":0,`}[j%2], j)
		}
		return nested(a, i, "{"+b.String()+`"z":0}`)
	}},
	{"deep nesting", func(a adversary, i, n int) string {
		depth := min(n/2+1, 1<<a.IntN(15))
		return nested(a, i, strings.Repeat("[", depth)+strings.Repeat("]", depth))
	}},
	{"nested maps", func(a adversary, i, n int) string {
		depth := min(n/6+1, 30)
		return nested(a, i, strings.Repeat(`{"a":`, depth)+"0"+strings.Repeat("}", depth))
	}},
	{"payloads that hardly compress", func(a adversary, i, n int) string {
		bytes := make([]byte, n/2)
		for j := range bytes {
			bytes[j] = byte(a.Uint32())
		}
		text := base64.StdEncoding.EncodeToString(bytes)
		return fmt.Sprintf(`{"predictionId":"%d","prediction":"%s%s"}`, i, text, text[:len(text)/3])
	}},
	{"white space", func(_ adversary, i, n int) string {
		return fmt.Sprintf(`{"predictionId":"%d","prediction":[%s0]}`, i, strings.Repeat(" ", n))
	}},
	{"escapes", func(_ adversary, i, n int) string {
		return fmt.Sprintf(`{"predictionId":"%d","prediction":0,"model":"%s"}`, i, strings.Repeat(`\"`, n/2))
	}},
}

func object(i, n int, member func(j int) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"predictionId":"%d","prediction":0,"model":1`, i)
	for j := 0; b.Len() < n || j < 2; j++ {
		b.WriteString("," + member(j))
	}
	return b.String() + "}"
}

// nested puts a value into a payload or an attribute.
func nested(a adversary, i int, value string) string {
	return fmt.Sprintf([]string{`{"predictionId":"%d","prediction":%s}`, `{"predictionId":"%d","prediction":0,"model":%s}`}[a.IntN(2)], i, value)
}

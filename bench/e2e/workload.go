package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A workload describes the messages of one run.
type workload struct {
	Name         string
	Messages     int
	Rate         float64       // messages a second; 0: all are visible when the run starts
	Repeats      float64       // share of exact copies of one of the last 200 messages
	Zipf         bool          // keys by Zipf's law (s 1.1, 20,000 keys), each message a newer version
	LatestOnly   bool          // the table has no sort key
	Pack         int           // predictions a message
	Ranking      bool          // 2.4 KB payloads, else 1 KB messages
	Unprocessed  float64       // share of items that the table returns
	Zstd         bool          // the worker compresses payloads
	AddedLatency string        // WORKER_MAX_ADDED_LATENCY
	Soak         time.Duration // length of a soak, which sends Messages messages over and over, each time with new keys
}

// A message is one message of a workload, with the keys of its predictions.
type message struct {
	body string
	keys []string // of the predictions
	ts   int64    // the event time of all predictions
}

// messages makes a workload's messages, which are the same in each run. base is the event time of the first.
func (w *workload) messages(base int64) []message {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 1, 20_000-1)
	all := make([]message, w.Messages)
	serial := 0
	for n := range all {
		if n > 0 && r.Float64() < w.Repeats {
			all[n] = all[n-1-r.IntN(min(n, 200))]
			continue
		}
		m := message{ts: base}
		if w.Zipf {
			m.ts = base + int64(n) // in milliseconds, see prediction
		}
		parts := make([]string, max(w.Pack, 1))
		for i := range parts {
			key := fmt.Sprintf("user-%09d", serial)
			if w.Zipf {
				key = fmt.Sprintf("user-%09d", zipf.Uint64())
			}
			serial++
			m.keys = append(m.keys, key)
			parts[i] = w.prediction(r, key, m.ts)
		}
		m.body = parts[0]
		if w.Pack > 0 {
			m.body = "[" + strings.Join(parts, ",") + "]"
		}
		all[n] = m
	}
	return all
}

func (w *workload) prediction(r *rand.Rand, key string, ts int64) string {
	payload := scores(r)
	if w.Ranking {
		payload = ranking(r)
	}
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":%s,"model":"churn","modelVersion":"2026.11.3"}`, key, ts, payload)
}

// scores returns a classifier's answer with its explanation. The message is then 1 KB.
func scores(r *rand.Rand) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"label":"class-%d","scores":{`, r.IntN(10))
	for i := range 10 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"class-%d":%.6f`, i, r.Float64())
	}
	b.WriteString(`},"features":[`)
	for i := 0; b.Len() < 880; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"f%02d","weight":%.4f}`, i, r.Float64()*2-1)
	}
	b.WriteString(`]}`)
	return b.String()
}

// ranking returns 50 entries of id, score and rank: 2.4 KB.
func ranking(r *rand.Rand) string {
	var b strings.Builder
	b.WriteByte('[')
	score := 1.0
	for i := range 50 {
		if i > 0 {
			b.WriteByte(',')
		}
		score -= r.Float64() / 60
		fmt.Fprintf(&b, `{"id":"item-%06d","score":%.6f,"rank":%d}`, r.IntN(1_000_000), score, i+1)
	}
	b.WriteByte(']')
	return b.String()
}

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// A put is one item of a batch.
type put struct {
	key  string
	ts   int64 // the event time; milliseconds where the workload tells versions apart by them
	size int   // bytes, as DynamoDB counts them
	text string
}

// write stores a batch, or refuses it if a key occurs twice. It returns the answer and its HTTP status.
func (f *fake) write(dst []byte, body string) ([]byte, int) {
	puts := f.puts(body)
	f.table.Lock()
	defer f.table.Unlock()
	now := time.Now()
	f.stats.Writes++
	if f.duplicates(puts) {
		f.stats.Refused++
		return append(dst, `{"__type":"com.amazon.coral.validate#ValidationException","message":"Provided list of item keys contains duplicates"}`...), 400
	}
	dst = append(dst, `{"UnprocessedItems":{`...)
	units, back := 0, 0
	for i := range puts {
		p := &puts[i]
		if f.w.Unprocessed > 0 && f.random.Float64() < f.w.Unprocessed {
			if back == 0 {
				dst = append(dst, `"predictions":[`...)
			} else {
				dst = append(dst, ',')
			}
			dst = append(dst, p.text...)
			back++
			continue
		}
		units += (p.size + 1023) / 1024
		f.store(p, now)
	}
	if back > 0 {
		dst = append(dst, ']')
	}
	f.stats.Items += len(puts) - back
	f.stats.Unprocessed += back
	f.stats.Units += float64(units)
	f.stats.LastWrite = now
	return fmt.Appendf(dst, `},"ConsumedCapacity":[{"TableName":"predictions","CapacityUnits":%d.0}]}`, units), 200
}

// puts parses the body of a BatchWriteItem.
func (f *fake) puts(body string) []put {
	v, err := jsonscan.Parse(body)
	if err != nil {
		panic(err)
	}
	tables := slices.Collect(jsonscan.Members(member(v, "RequestItems")))
	requests := slices.Collect(jsonscan.Elements(tables[0].Value))
	puts := make([]put, len(requests))
	var members []jsonscan.Member
	for i, r := range requests {
		item := member(member(r, "PutRequest"), "Item")
		p := &puts[i]
		p.text = r.Text
		members = slices.AppendSeq(members[:0], jsonscan.Members(item))
		for _, m := range members {
			f.attribute(p, m)
		}
	}
	return puts
}

// attribute adds an attribute's size to the put's, and takes the key and the event time.
func (f *fake) attribute(p *put, m jsonscan.Member) {
	typed := m.Value.Text // {"S":"…"}
	kind, value := typed[2], typed[6:len(typed)-2]
	p.size += len(m.Name)
	switch kind {
	case 'S':
		p.size += unescapedLen(value)
	case 'N':
		p.size += 1 + (len(value)+1)/2
	case 'B':
		p.size += len(value) * 3 / 4
	}
	switch m.Name {
	case "predictionId":
		p.key = value
	case "createdAt", "timestamp":
		// The worker's createdAt has the milliseconds.
		if seconds, fraction, found := strings.Cut(value, "."); found {
			n, _ := strconv.ParseInt(seconds+(fraction + "000")[:3], 10, 64)
			p.ts = n
		} else if n, _ := strconv.ParseInt(value, 10, 64); f.w.Zipf && n < 1e11 {
			p.ts = max(p.ts, n*1000)
		} else {
			p.ts = max(p.ts, n)
		}
	}
}

// duplicates reports whether two puts have the same key.
func (f *fake) duplicates(puts []put) bool {
	for i := range puts {
		for j := range i {
			if puts[i].key == puts[j].key && (f.w.LatestOnly || puts[i].ts == puts[j].ts) {
				return true
			}
		}
	}
	return false
}

// store records a put that is durable now. It requires that f.table is held.
func (f *fake) store(p *put, now time.Time) {
	if f.w.Soak > 0 {
		f.soaked(p.key, now)
		return
	}
	senders, streamed := f.senders[p.key]
	if f.bulk.file != nil && !streamed {
		return // a row of an object: a million in the map would keep the fake's garbage collector busy
	}
	f.items[strings.Clone(p.key)] = p.ts
	if f.w.Rate > 0 {
		// A version makes the older ones durable too: nobody misses them.
		for len(senders) > 0 && f.messages[senders[0]].ts <= p.ts {
			f.ages = append(f.ages, now.Sub(f.messages[senders[0]].sent).Seconds())
			senders = senders[1:]
		}
		f.senders[strings.Clone(p.key)] = senders
	}
}

// unescapedLen is the length of a string whose escapes are of one character each.
func unescapedLen(s string) int {
	n := len(s)
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return n
		}
		n--
		s = s[i+2:]
	}
}

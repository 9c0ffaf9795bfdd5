package main

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// callTime is how long each call takes: a service in the same zone answers in 1 to 5 ms.
const callTime = time.Millisecond

// A fake is SQS and DynamoDB for the measurements: it keeps to the services' forms, checks that nothing is lost or stale,
// and costs as little as can be, since it shares the machine with what is measured. Its rules are the few that the workloads
// touch; package awstest has them all.
type fake struct {
	mu       sync.Mutex
	changed  *sync.Cond
	loads    int // a receive that waits since before the last load belongs to a program that is gone
	w        workload
	messages []stored
	ready    []int32 // indexes of visible messages
	stats    stats
	ages     []float64 // seconds from sent to durable

	table    sync.Mutex
	items    map[string]int64 // event time of what is stored, by key
	expected map[string]int64 // the newest event time sent, by key
	sender   map[string]int32 // which message carried a key
	random   *rand.Rand
}

type stored struct {
	head, plain []byte // up to the SentTimestamp's value; and without attributes
	sent        time.Time
	predictions int32
	deleted     bool
}

// stats are what the harness asks for.
type stats struct {
	Ready, Received, Deleted, Unknown      int
	Receives, Empty, DeleteCalls, Writes   int
	OtherCalls, RequestChunks              int
	Items, Unprocessed, Refused, WroteBack int
	Units                                  float64
	Opened, LastWrite, LastDelete          time.Time
	Durable, Expected, Stale               int
	Messages, Predictions                  int
	AgeP50, AgeP99                         float64
}

func newFake() *fake {
	f := &fake{}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// serveFake prints its address and serves until standard input ends, which is when the harness does.
func serveFake() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	f := newFake()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serve answers the requests of one connection. It reads HTTP itself: net/http's server would cost more than the rest.
func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	var body, out, answer []byte
	for {
		target, length := "", 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
				break
			}
			name, value, _ := bytes.Cut(line, []byte(": "))
			switch {
			case bytes.EqualFold(name, []byte("X-Amz-Target")):
				target = string(value)
			case bytes.EqualFold(name, []byte("Content-Length")):
				length, _ = strconv.Atoi(string(value))
			}
		}
		body = slices.Grow(body[:0], length)[:length]
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		start := time.Now()
		_, operation, _ := strings.Cut(target, ".")
		var status int
		answer, status = f.answer(answer[:0], operation, string(body))
		time.Sleep(callTime - time.Since(start))
		out = fmt.Appendf(out[:0], "HTTP/1.1 %d %s\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amzn-Requestid: 0a1b2c3d-1111-2222-3333-444455556666\r\nDate: %s\r\n",
			status, http.StatusText(status), time.Now().UTC().Format(http.TimeFormat))
		if strings.HasPrefix(target, "DynamoDB") {
			out = fmt.Appendf(out, "X-Amz-Crc32: %d\r\n", crc32.ChecksumIEEE(answer))
		}
		out = fmt.Appendf(out, "Content-Length: %d\r\n\r\n", len(answer))
		out = append(out, answer...)
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func (f *fake) answer(dst []byte, operation, body string) ([]byte, int) {
	switch operation {
	case "ReceiveMessage":
		return f.receive(dst, body), 200
	case "DeleteMessageBatch":
		return f.delete(dst, body), 200
	case "ChangeMessageVisibilityBatch":
		return f.changeVisibility(dst, body), 200
	case "BatchWriteItem":
		return f.write(dst, body)
	case "Load":
		return f.load(dst, body), 200
	case "Open":
		f.open()
		return append(dst, "{}"...), 200
	case "Stats":
		return f.report(dst, false), 200
	case "Results":
		return f.report(dst, true), 200
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.OtherCalls++
	switch operation {
	case "GetQueueAttributes":
		return append(dst, `{"Attributes":{"VisibilityTimeout":"120","MaximumMessageSize":"262144","MessageRetentionPeriod":"345600","ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"0"}}`...), 200
	case "DescribeTable":
		sortKey, sortType := `,{"AttributeName":"timestamp","KeyType":"RANGE"}`, `,{"AttributeName":"timestamp","AttributeType":"N"}`
		if f.w.LatestOnly {
			sortKey, sortType = "", ""
		}
		return fmt.Appendf(dst, `{"Table":{"TableStatus":"ACTIVE","TableName":"predictions","ItemCount":0,"TableSizeBytes":0,"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"},"KeySchema":[{"AttributeName":"predictionId","KeyType":"HASH"}%s],"AttributeDefinitions":[{"AttributeName":"predictionId","AttributeType":"S"}%s]}}`, sortKey, sortType), 200
	case "DescribeTimeToLive":
		return append(dst, `{"TimeToLiveDescription":{"AttributeName":"expiresAt","TimeToLiveStatus":"ENABLED"}}`...), 200
	}
	return fmt.Appendf(dst, `{"__type":"com.amazon.coral.service#UnknownOperationException","message":"%s"}`, operation), 400
}

// load prepares a workload: nothing is visible before open.
func (f *fake) load(dst []byte, body string) []byte {
	var w workload
	if err := json.Unmarshal([]byte(body), &w); err != nil {
		panic(err)
	}
	base := time.Now().Unix()
	if w.Zipf {
		base *= 1000
	}
	all := w.messages(base)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table.Lock()
	defer f.table.Unlock()
	f.loads++
	f.changed.Broadcast()
	f.w, f.stats, f.ages, f.ready = w, stats{Messages: len(all)}, nil, nil
	f.items, f.expected, f.sender = map[string]int64{}, map[string]int64{}, map[string]int32{}
	f.random = rand.New(rand.NewPCG(3, 4))
	f.messages = make([]stored, len(all))
	padding := strings.Repeat("AQEBzZkFhL3J5c2Vn", 20)
	for i := range all {
		m := &all[i]
		for _, k := range m.keys {
			f.expected[k] = max(f.expected[k], m.ts)
			f.sender[k] = int32(i)
		}
		f.stats.Predictions += len(m.keys)
		plain := fmt.Appendf(nil, `{"MessageId":"%08x-2222-4333-8444-0123456789ab","ReceiptHandle":"%08d%s","MD5OfBody":"%x","Body":%s`,
			i, i, padding, md5.Sum([]byte(m.body)), jsonscan.AppendQuoted(nil, m.body))
		head := fmt.Appendf(plain[:len(plain):len(plain)], `,"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"`)
		f.messages[i] = stored{head: head, plain: plain, predictions: int32(len(m.keys))}
	}
	f.stats.Expected = len(f.expected)
	return append(dst, "{}"...)
}

// open makes the messages visible: at once, or at the workload's rate.
func (f *fake) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	start := time.Now()
	f.stats.Opened = start
	if f.w.Rate == 0 {
		f.send(0, len(f.messages), start)
		return
	}
	go func() {
		for n := 0; n < len(f.messages); {
			time.Sleep(time.Millisecond)
			now := time.Now()
			due := min(int(now.Sub(start).Seconds()*f.w.Rate), len(f.messages))
			f.mu.Lock()
			f.send(n, due, now)
			f.mu.Unlock()
			n = due
		}
	}()
}

// send makes messages from n to before end visible. f.mu is held.
func (f *fake) send(n, end int, now time.Time) {
	if n == end {
		return
	}
	for ; n < end; n++ {
		f.messages[n].sent = now
		f.ready = append(f.ready, int32(n))
	}
	f.changed.Broadcast()
}

func (f *fake) receive(dst []byte, body string) []byte {
	wait := time.Duration(number(body, `"WaitTimeSeconds":`)) * time.Second
	limit := max(number(body, `"MaxNumberOfMessages":`), 1)
	attributes := strings.Contains(body, `"MessageSystemAttributeNames"`)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Receives++
	if len(f.ready) == 0 && wait > 0 {
		deadline := time.Now().Add(wait)
		timer := time.AfterFunc(wait, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.changed.Broadcast()
		})
		loads := f.loads
		for len(f.ready) == 0 && f.loads == loads && time.Now().Before(deadline) {
			f.changed.Wait()
		}
		timer.Stop()
		if f.loads != loads {
			return append(dst, "{}"...)
		}
	}
	n := min(len(f.ready), limit)
	if n == 0 {
		f.stats.Empty++
		f.stats.RequestChunks++
		return append(dst, "{}"...)
	}
	dst = append(dst, `{"Messages":[`...)
	for i, index := range f.ready[:n] {
		if i > 0 {
			dst = append(dst, ',')
		}
		m := &f.messages[index]
		if attributes {
			dst = append(dst, m.head...)
			dst = strconv.AppendInt(dst, m.sent.UnixMilli(), 10)
			dst = append(dst, `"}}`...)
		} else {
			dst = append(append(dst, m.plain...), '}')
		}
	}
	f.ready = f.ready[n:]
	f.stats.Received += n
	f.stats.RequestChunks += (len(dst) + 65535) >> 16
	return append(dst, "]}"...)
}

// receipts calls do with each message that a batch names.
func (f *fake) receipts(body string, do func(index int32)) (ids []string) {
	v, err := jsonscan.Parse(body)
	if err != nil {
		panic(err)
	}
	for _, e := range jsonscan.Elements(nil, member(v, "Entries")) {
		handle := member(e, "ReceiptHandle").Text
		index, err := strconv.Atoi(handle[1:9])
		if err != nil {
			panic(err)
		}
		do(int32(index))
		ids = append(ids, member(e, "Id").Text)
	}
	return ids
}

func (f *fake) delete(dst []byte, body string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.DeleteCalls++
	f.stats.RequestChunks++
	ids := f.receipts(body, func(index int32) {
		m := &f.messages[index]
		if m.deleted {
			f.stats.Unknown++
		} else {
			m.deleted = true
			f.stats.Deleted++
		}
	})
	f.stats.LastDelete = time.Now()
	return successful(dst, ids)
}

func (f *fake) changeVisibility(dst []byte, body string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.OtherCalls++
	f.stats.RequestChunks++
	ids := f.receipts(body, func(index int32) {
		if strings.Contains(body, `"VisibilityTimeout":0`) {
			f.ready = append(f.ready, index)
		}
	})
	f.changed.Broadcast()
	return successful(dst, ids)
}

func successful(dst []byte, ids []string) []byte {
	dst = append(dst, `{"Failed":[],"Successful":[`...)
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"Id":`...), id...), '}')
	}
	return append(dst, "]}"...)
}

// write stores a batch. It refuses a key that is there twice.
func (f *fake) write(dst []byte, body string) ([]byte, int) {
	v, err := jsonscan.Parse(body)
	if err != nil {
		panic(err)
	}
	requests := jsonscan.Elements(nil, jsonscan.Members(nil, member(v, "RequestItems"))[0].Value)
	type put struct {
		key  string
		ts   int64
		size int
		text string
	}
	puts := make([]put, len(requests))
	var members []jsonscan.Member
	for i, r := range requests {
		item := member(member(r, "PutRequest"), "Item")
		p := &puts[i]
		p.text = r.Text
		members = jsonscan.Members(members[:0], item)
		for _, m := range members {
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
	}
	f.table.Lock()
	defer f.table.Unlock()
	now := time.Now()
	f.stats.Writes++
	for i := range puts {
		for j := range i {
			if puts[i].key == puts[j].key && (f.w.LatestOnly || puts[i].ts == puts[j].ts) {
				f.stats.Refused++
				return append(dst, `{"__type":"com.amazon.coral.validate#ValidationException","message":"Provided list of item keys contains duplicates"}`...), 400
			}
		}
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
		key := strings.Clone(p.key)
		f.items[key] = p.ts
		if f.w.Rate > 0 {
			f.ages = append(f.ages, now.Sub(f.messages[f.sender[key]].sent).Seconds())
		}
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

// report says how a run stands, and with results what came of it: that takes too long to be asked for while the run goes on.
func (f *fake) report(dst []byte, results bool) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table.Lock()
	defer f.table.Unlock()
	s := f.stats
	s.Ready = len(f.ready)
	if results {
		for key, ts := range f.expected {
			if stored, found := f.items[key]; found {
				s.Durable++
				if stored < ts {
					s.Stale++
				}
			}
		}
		slices.Sort(f.ages)
		if n := len(f.ages); n > 0 {
			s.AgeP50, s.AgeP99 = f.ages[n/2], f.ages[n*99/100]
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return append(dst, text...)
}

func member(object jsonscan.Value, name string) jsonscan.Value {
	for _, m := range jsonscan.Members(nil, object) {
		if m.Name == name {
			return m.Value
		}
	}
	return jsonscan.Value{}
}

func number(body, name string) int {
	_, rest, found := strings.Cut(body, name)
	if !found {
		return 0
	}
	end := strings.IndexAny(rest, ",}")
	n, _ := strconv.Atoi(rest[:end])
	return n
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

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

// callTime is the duration of each call: a service in the same zone answers in 1 to 5 ms.
const callTime = time.Millisecond

// A fake is SQS and DynamoDB for the measurements. It answers in the services' formats and checks that nothing is lost or stale.
// It uses as little CPU as possible, since it shares the machine with the programs under test. It has only the rules that the
// workloads need; packages sqsfake and dynamodbfake have them all.
type fake struct {
	mu       sync.Mutex
	changed  *sync.Cond
	loads    int // number of loads: a receive from before the last one belongs to a program that has ended
	w        workload
	messages []stored
	ready    []int32 // indexes of visible messages
	stats    stats
	bulk     bulk
	ages     []float64 // seconds from sent to durable

	table    sync.Mutex
	items    map[string]int64   // event time of the stored item, by key
	expected map[string]int64   // the newest event time sent, by key
	senders  map[string][]int32 // indexes of the messages that carry a key and are not durable yet
	random   *rand.Rand
}

type stored struct {
	head, plain []byte // up to the SentTimestamp's value; and without attributes
	sent        time.Time
	ts          int64 // the event time
	predictions int32
	deleted     bool
	durable     bool // in a soak
}

// stats are the fake's answers to the harness.
type stats struct {
	Ready, Received, Deleted, Unknown      int
	Receives, Empty, DeleteCalls, Writes   int
	OtherCalls, RequestChunks              int
	Items, Unprocessed, Refused, WroteBack int
	Units                                  float64
	Opened, LastWrite, LastDelete          time.Time
	Durable, Expected, Stale               int
	Messages, Predictions                  int
	ObjectsLeft                            int // messages of the objects queue
	Lost                                   int // in a soak: messages deleted before their item was stored
	AgeP50, AgeP99                         float64
}

func newFake() *fake {
	f := &fake{}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// serveFake prints its address and serves until standard input ends, which happens when the harness exits.
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

// serve answers the requests of one connection. It parses HTTP itself: net/http's server would use more CPU than all the rest.
func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	var body, out, answer []byte
	for {
		target, length, get, bytesOf := "", 0, false, ""
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
			case bytes.HasPrefix(line, []byte("GET /scores/")):
				get = true
			case bytes.EqualFold(name, []byte("Range")):
				bytesOf = string(value)
			case bytes.EqualFold(name, []byte("X-Amz-Target")):
				target = string(value)
			case bytes.EqualFold(name, []byte("Content-Length")):
				length, _ = strconv.Atoi(string(value))
			}
		}
		if get {
			if f.object(conn, bytesOf) != nil {
				return
			}
			continue
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
	if strings.Contains(body[:min(len(body), 200)], `/objects"`) && operation != "GetQueueAttributes" {
		return f.objectsQueue(dst, operation, body), 200
	}
	switch operation {
	case "Offer":
		f.offer(strings.Trim(body, `"`))
		return append(dst, "{}"...), 200
	case "ReceiveMessage":
		return f.receive(dst, body), 200
	case "DeleteMessageBatch":
		return f.delete(dst, body), 200
	case "SendMessageBatch": // of rejects
		f.mu.Lock()
		defer f.mu.Unlock()
		return successful(dst, f.entries(body, func(jsonscan.Value) {})), 200
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

// load prepares a workload. Its messages are invisible until open.
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
	f.w, f.stats, f.ages, f.ready, f.bulk = w, stats{Messages: len(all)}, nil, nil, bulk{}
	f.items, f.expected, f.senders = map[string]int64{}, map[string]int64{}, map[string][]int32{}
	f.random = rand.New(rand.NewPCG(3, 4))
	f.messages = make([]stored, len(all))
	padding := strings.Repeat("AQEBzZkFhL3J5c2Vn", 20)
	for i := range all {
		m := &all[i]
		for _, k := range m.keys {
			f.expected[k] = max(f.expected[k], m.ts)
			f.senders[k] = append(f.senders[k], int32(i))
		}
		f.stats.Predictions += len(m.keys)
		plain := fmt.Appendf(nil, `{"MessageId":"%08x-2222-4333-8444-0123456789ab","ReceiptHandle":"%08d%s","MD5OfBody":"%x","Body":%s`,
			i, i, padding, md5.Sum([]byte(m.body)), jsonscan.AppendQuoted(nil, m.body))
		head := fmt.Appendf(plain[:len(plain):len(plain)], `,"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"`)
		f.messages[i] = stored{head: head, plain: plain, ts: m.ts, predictions: int32(len(m.keys))}
	}
	f.stats.Expected = len(f.expected)
	return append(dst, "{}"...)
}

// report returns the progress of a run. With results it also checks the outcome, which takes too long during the run.
func (f *fake) report(dst []byte, results bool) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table.Lock()
	defer f.table.Unlock()
	s := f.stats
	s.Ready, s.ObjectsLeft = len(f.ready), len(f.bulk.ready)+len(f.bulk.held)
	if results && f.w.Soak > 0 {
		s.AgeP50, s.AgeP99 = percentiles(f.ages)
		f.ages = f.ages[:0]
	} else if results {
		for key, ts := range f.expected {
			if stored, found := f.items[key]; found {
				s.Durable++
				if stored < ts {
					s.Stale++
				}
			}
		}
		s.AgeP50, s.AgeP99 = percentiles(f.ages)
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return append(dst, text...)
}

func percentiles(ages []float64) (p50, p99 float64) {
	n := len(ages)
	if n == 0 {
		return 0, 0
	}
	slices.Sort(ages)
	return ages[n/2], ages[n*99/100]
}

func member(object jsonscan.Value, name string) jsonscan.Value {
	for m := range jsonscan.Members(object) {
		if m.Name == name {
			return m.Value
		}
	}
	return jsonscan.Value{}
}

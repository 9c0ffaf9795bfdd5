package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/workertest/process"
)

var (
	objectsKills = flag.Int("objects.kills", 3, "how often TestObjectsCrash kills a worker")
	objectsMiB   = flag.Int64("objects.mib", 64, "size in MiB of the object that TestObjectsCrash has workers read")
)

// The generated object consists of blocks of 64 KiB with 64 rows, of 600 to 1,400 bytes each, so that ranges begin and end anywhere in
// a row. No byte of it is kept.
const (
	blockBytes = 64 << 10
	blockRows  = 64
	rowsAt     = 1_790_000_000 // event time
)

// rowText is row i without the end of its line, which is length bytes with it.
func rowText(i int64, length int) []byte {
	b := make([]byte, 0, length+16)
	b = fmt.Appendf(b, `{"predictionId":"row-%d","timestamp":%d,"prediction":"`, i, rowsAt+i%86400)
	for n := uint64(0); len(b) < length-3; n++ {
		b = strconv.AppendUint(b, awstest.Mix(uint64(i)<<20|n), 36)
	}
	return append(b[:length-3], `"}`...)
}

// rowLengths are the lengths of a block's rows. They differ from block to block, and fill it.
func rowLengths(block int64) (lengths [blockRows]int) {
	left := blockBytes
	for i := range lengths {
		mean := left / (blockRows - i)
		lengths[i] = mean
		if i < blockRows-1 {
			lengths[i] = mean*3/4 + int(awstest.Mix(uint64(block)<<8|uint64(i))%uint64(mean/2))
		}
		left -= lengths[i]
	}
	return lengths
}

func fillBlock(block int64, b []byte) {
	at := 0
	for i, length := range rowLengths(block) {
		at += copy(b[at:], rowText(block*blockRows+int64(i), length))
		b[at] = '\n'
		at++
	}
}

// A ledger checks each item that is written against the row that it comes from, and counts it.
type ledger struct {
	mu      sync.Mutex
	written []uint8
	strange []string
}

func (l *ledger) wrote(it attribute.Item) {
	row, err := strconv.ParseInt(strings.TrimPrefix(it.Text("predictionId"), "row-"), 10, 64)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || row < 0 || row >= int64(len(l.written)) {
		l.strange = append(l.strange, it.JSON())
		return
	}
	_, payload, _ := bytes.Cut(rowText(row, rowLengths(row / blockRows)[row%blockRows]), []byte(`"prediction":`))
	if got := it.Text(item.AttrPayload); got != string(payload[:len(payload)-1]) || it.Text("timestamp") != strconv.FormatInt(rowsAt+row%86400, 10) {
		l.strange = append(l.strange, it.JSON())
	}
	l.written[row] = min(l.written[row]+1, 255)
}

// counts returns how many rows were never written, and how many writes were repeats.
func (l *ledger) counts() (missing, repeats int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.written {
		if n == 0 {
			missing++
		} else {
			repeats += int(n) - 1
		}
	}
	return missing, repeats
}

// A holding knows which messages of the objects queue each worker holds. A worker is told by the host that it calls.
type holding struct {
	mu   sync.Mutex
	held map[string]map[string]bool // by worker and id of a message: it is an event, and no range
	dead map[string]bool
	late under // what a receive of a dead worker has taken
}

// under is what a worker had under way. An event whose delete was still due is received again, and its object is split again.
type under struct{ ranges, events int }

func (u *under) add(event bool) {
	if event {
		u.events++
	} else {
		u.ranges++
	}
}

func (h *holding) fault(c *awstest.Call) awstest.Fault {
	worker := c.Base()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[worker] == nil {
		h.held[worker] = map[string]bool{}
	}
	if c.Operation == "DeleteMessageBatch" || c.Operation == "DeleteMessage" {
		for _, e := range c.Entries {
			delete(h.held[worker], e.MessageID)
		}
	}
	return awstest.Fault{Redeliver: func(e awstest.Entry) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		event := strings.Contains(e.Body, `"Records"`)
		if h.dead[worker] {
			h.late.add(event)
		} else {
			h.held[worker][e.MessageID] = event
		}
		return false
	}}
}

// lose records that a worker is dead, and adds what it held.
func (h *holding) lose(worker string, to *under) (held int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead[worker] = true
	for _, event := range h.held[worker] {
		to.add(event)
	}
	return len(h.held[worker])
}

// TestObjectsCrash kills two workers, again and again, while they read one large object, and then compares the table with it. Each kill
// may repeat at most what the worker had under way. make crash-objects does it with 2 GB and 20 kills.
func TestObjectsCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and runs the worker")
	}
	path, err := process.Build{}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const concurrency, patience = 8, 90 * time.Minute
	rangeBytes := 1 << 20
	if *objectsMiB >= 512 {
		rangeBytes = 8 << 20 // the default
	}
	blocks := *objectsMiB << 20 / blockBytes
	rows := blocks * blockRows
	queues, tables, objects := sqsfake.New(), dynamodbfake.New(), s3fake.New()
	workertest.CreateTable(t, tables.Client(), "cache", item.Versioned, item.TypeS)
	written, held := &ledger{written: make([]uint8, rows)}, &holding{held: map[string]map[string]bool{}, dead: map[string]bool{}}
	tables.SetRecording(false)
	tables.SetDiscarding(true)
	tables.SetEffect(func(c *awstest.Call, i int, _ attribute.Item) { written.wrote(c.Entries[i].Item) })
	for _, name := range []string{"predictions", "rejects", "objects"} {
		queues.CreateQueue(name, map[string]string{"VisibilityTimeout": "10"})
	}
	queues.SetFault(held.fault)
	objects.CreateBucket("batch", s3fake.Bucket{})
	objects.SetNotification("batch", s3fake.Notification{Send: func(body string) { queues.Send("objects", body) }})
	shared := awstest.With(objects, tables)

	start := func() (p *process.Process, queueHost string) {
		server, sqsServer := httptest.NewServer(shared), httptest.NewServer(queues)
		t.Cleanup(server.Close)
		t.Cleanup(sqsServer.Close)
		url := sqsServer.URL + "/000000000000/"
		return startWorker(t, path, "AWS_ENDPOINT_URL_SQS="+sqsServer.URL, "AWS_ENDPOINT_URL_DYNAMODB="+server.URL, "AWS_ENDPOINT_URL_S3="+server.URL,
			"WORKER_QUEUE_URL="+url+"predictions", "WORKER_REJECT_QUEUE_URL="+url+"rejects", "WORKER_TABLE_NAME=cache", "WORKER_ADMIN_ADDR=",
			"WORKER_OBJECTS_QUEUE_URL="+url+"objects", "WORKER_OBJECTS=batch/out/", "WORKER_RECEIVE_WAIT=1s", "WORKER_OBJECTS_RANGE_BYTES="+strconv.Itoa(rangeBytes),
			"WORKER_OBJECTS_CONCURRENCY="+strconv.Itoa(concurrency), "WORKER_TTL=8760h"), sqsServer.URL
	}
	t.Cleanup(func() { queues.Close(); tables.Close(); objects.Close() })
	objects.Put("batch", "out/part-0 of 1.ndjson", s3fake.Blocks(blocks, blockBytes, 7, fillBlock))

	type running struct {
		*process.Process
		queueHost string
	}
	var workers [2]running
	for i := range workers {
		workers[i].Process, workers[i].queueHost = start()
	}
	began := time.Now()
	r := rand.New(rand.NewPCG(5, 6))
	var lost under
	peak := int64(0)
	rest := func() int { missing, _ := written.counts(); return missing }
	for kill := range *objectsKills {
		// Spread over the reading: the next one when this share of the rows is written.
		target := int(rows) * (*objectsKills - kill) / (*objectsKills + 1)
		i := r.IntN(len(workers))
		if err := workers[i].Until(t.Context(), func() bool { return rest() < target || time.Since(began) > patience }); err != nil {
			t.Fatalf("%v\n%s", err, workers[i].Log().Tail(20))
		}
		_, most := workers[i].Resident()
		peak = max(peak, most)
		if err := workers[i].Kill(); err != nil {
			t.Fatal(err)
		}
		if n := held.lose(workers[i].queueHost, &lost); n > concurrency+consumerSlack {
			t.Errorf("a worker held %d messages of the objects queue, of at most %d", n, concurrency+consumerSlack)
		}
		workers[i].Process, workers[i].queueHost = start()
	}
	done := func() bool {
		visible, inFlight, _ := queues.Counts("objects")
		return visible == 0 && inFlight == 0
	}
	if err := workers[0].Until(t.Context(), func() bool { return done() || time.Since(began) > patience }); err != nil {
		t.Fatalf("%v\n%s", err, workers[0].Log().Tail(20))
	}
	took := time.Since(began)
	for _, w := range workers {
		_, most := w.Resident()
		peak = max(peak, most)
		stopWorker(t, w.Process, 30*time.Second)
	}
	received := 0
	for _, m := range queues.Messages("objects") {
		received += max(m.ReceiveCount-1, 0)
	}
	missing, repeats := written.counts()
	written.mu.Lock()
	defer written.mu.Unlock()
	if missing > 0 || len(written.strange) > 0 {
		t.Errorf("%d of %d rows are missing, and %d items are no rows, like %.300q", missing, rows, len(written.strange), written.strange[:min(1, len(written.strange))])
	}
	lost.ranges, lost.events = lost.ranges+held.late.ranges, lost.events+held.late.events
	if received > lost.ranges+lost.events {
		t.Errorf("%d messages were received again, but the killed workers held only %+v", received, lost)
	}
	if limit := lost.ranges*(rangeBytes/blockBytes+1)*blockRows + lost.events*int(rows); repeats > limit {
		t.Errorf("%d rows were written again, more than the %d of what was under way, %+v", repeats, limit, lost)
	}
	if rejects := queues.Messages("rejects"); len(rejects) > 0 {
		t.Errorf("%d rejects, like %s", len(rejects), rejects[0].Body)
	}
	const memoryTarget = 192 << 20
	if peak > memoryTarget {
		t.Errorf("a worker took %d MiB of memory, of at most %d", peak>>20, memoryTarget>>20)
	}
	t.Logf("%d MiB, %d rows in %v with %d kills: %+v under way at the kills, %d messages received again, %d rows written again; at most %d MiB of memory a worker",
		*objectsMiB, rows, took.Round(100*time.Millisecond), *objectsKills, lost, received, repeats, peak>>20)
}

// consumerSlack are messages that a worker holds beside those that it reads: each of its two pollers may bring one, and settled ones
// wait for their delete.
const consumerSlack = 2 + 10

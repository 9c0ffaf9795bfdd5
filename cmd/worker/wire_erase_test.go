package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest/process"
)

var (
	eraseIDs      = flag.Int("erase.ids", 24, "how many ids TestEraseBinary has")
	eraseVersions = flag.Int("erase.versions", 60, "how many versions the last of its ids has; the first has one")
	eraseKills    = flag.Int("erase.kills", 2, "how often it kills a worker")
)

// A history is an id of TestEraseBinary: its versions, a second apart, and what becomes of them.
type history struct {
	id       string
	first    int64 // event time of its first version
	versions int
	deleted  int  // so many of them, the oldest, are deleted
	erase    bool // by worker erase, not by a message
}

// payload is found by its text in a Scan.
func (h *history) payload(version int) string { return fmt.Sprintf("secret %s %d", h.id, version) }

func (h *history) prediction(version int) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":%q}`, h.id, h.first+int64(version), h.payload(version))
}

// newHistories makes ids of which a third keep everything, a third lose all or the older half by a delete, and a third all by worker erase.
func newHistories(n, most int) []*history {
	start := time.Now().Unix() - int64(most) - 100
	var all []*history
	for i := range n {
		h := &history{id: fmt.Sprintf("id-%d", i), first: start, versions: 1 + i*(most-1)/max(n-1, 1)}
		switch i % 6 {
		case 0, 1:
			h.deleted = h.versions
		case 2:
			h.deleted = (h.versions + 1) / 2
		case 3:
			h.deleted, h.erase = h.versions, true
		}
		all = append(all, h)
	}
	return all
}

// TestEraseBinary deletes ids with many versions by messages and by worker erase, while both kinds of process are killed, under load and
// with faults on the wire. Then exactly what was deleted is gone. make deletes does it at length.
func TestEraseBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and runs the worker")
	}
	path, err := process.Build{Race: *crashRace}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backend.All(t) {
		for _, kind := range []item.Kind{item.Versioned, item.ExpirySorted} {
			t.Run(fmt.Sprint(b.Name, "/", kind), func(t *testing.T) { eraseUnderLoad(t, path, b, kind) })
		}
	}
}

func eraseUnderLoad(t *testing.T, path string, b backend.Services, kind item.Kind) {
	w := newWire(t, b, kind, item.TypeS, false)
	w.redeliverSoon(t)
	queues, queuesURL := newFaultProxy(t, b.SQSEndpoint, 1, 0.03)
	tables, tablesURL := newFaultProxy(t, b.DynamoDBEndpoint, 2, 0.05)
	env := []string{
		"AWS_ENDPOINT_URL_SQS=" + queuesURL, "AWS_ENDPOINT_URL_DYNAMODB=" + tablesURL, "WORKER_ADMIN_ADDR=", "WORKER_DELETES=remove",
		"WORKER_DRAIN_TIMEOUT=6s", "WORKER_CALL_TIMEOUT=2s", "WORKER_POLLERS=2", "WORKER_WRITE_CONCURRENCY=4",
	}
	if kind != item.Versioned {
		env = append(env, "WORKER_ORDERING=newest")
	}
	histories := newHistories(*eraseIDs, *eraseVersions)
	began := time.Now()
	workers := []*process.Process{startWorker(t, path, env...), startWorker(t, path, env...)}

	// What is to be deleted is in the table, and its messages have gone, so that none of it can come back.
	var parts []string
	for _, h := range histories {
		for v := range h.versions {
			parts = append(parts, h.prediction(v))
		}
	}
	written := len(parts)
	w.sendPacked(t, parts)
	waitUntilEmpty(t, b.SQS, w.queue, 10*time.Minute)
	filled := time.Since(began)

	// Deletes, and a load beside them that has nothing to do with them, while workers are killed.
	load := &history{id: "load", first: time.Now().Unix() - 5000, versions: 2000}
	parts = nil
	for v := range load.versions {
		parts = append(parts, load.prediction(v))
	}
	for _, h := range histories {
		if h.deleted > 0 && !h.erase {
			parts = append(parts, fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"deleted":true,"prediction":%q}`, h.id, h.first+int64(h.deleted)-1, h.payload(0)))
		}
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	w.sendPacked(t, parts)
	erased := w.eraseInBackground(t, path, env, histories)
	r := rand.New(rand.NewPCG(3, 4))
	for range *eraseKills {
		time.Sleep(time.Duration(200+r.IntN(800)) * time.Millisecond)
		i := r.IntN(len(workers))
		if err := workers[i].Kill(); err != nil {
			t.Error(err)
		}
		workers[i] = startWorker(t, path, env...)
	}
	erased()
	waitUntilEmpty(t, b.SQS, w.queue, 10*time.Minute)
	for _, p := range workers {
		stopWorker(t, p, 9*time.Second)
	}
	left := w.checkHistories(t, append(histories, load))
	t.Logf("%d ids with 1 to %d versions, %d written in %v; deleted and erased in %v with %d kills: %d items left, as they should be",
		len(histories), *eraseVersions, written, filled.Round(time.Second), time.Since(began.Add(filled)).Round(time.Second), *eraseKills, left)
	t.Logf("faults on the wire: SQS %v, DynamoDB %v", queues.struck, tables.struck)
}

// sendPacked sends parts, many to a message.
func (w *wire) sendPacked(t *testing.T, parts []string) {
	t.Helper()
	const perMessage = 100
	for len(parts) > 0 {
		n := min(perMessage, len(parts))
		body := "[" + strings.Join(parts[:n], ",") + "]"
		parts = parts[n:]
		if _, err := w.SQS.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{
			QueueUrl: &w.queue, Entries: []types.SendMessageBatchRequestEntry{{Id: aws.String("0"), MessageBody: &body}},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// eraseInBackground runs worker erase for the ids that are for it, kills it once, and repeats it. The function that it returns waits for
// the end.
func (w *wire) eraseInBackground(t *testing.T, path string, env []string, histories []*history) (wait func()) {
	t.Helper()
	var ids []string
	for _, h := range histories {
		if h.erase {
			ids = append(ids, h.id)
		}
	}
	file := filepath.Join(t.TempDir(), "ids.txt")
	if err := os.WriteFile(file, []byte(strings.Join(ids, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "AWS_") || strings.HasPrefix(variable, "WORKER_") {
			own = append(own, variable)
		}
	}
	own = append(own, env...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		killed, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, _ = process.Run(killed, path, own, "", "erase", "--file", file)
		out, err := process.Run(t.Context(), path, own, "", "erase", "--file", file)
		if err != nil {
			t.Errorf("worker erase: %v\n%s", err, out)
		}
		t.Logf("worker erase, after it was killed:\n%s", out)
	}()
	return func() { <-done }
}

// checkHistories compares a Scan with what must be left, and returns the number of items.
func (w *wire) checkHistories(t *testing.T, histories []*history) int {
	t.Helper()
	want, tombstones := map[string]bool{}, map[string]int{}
	for _, h := range histories {
		for v := h.deleted; v < h.versions; v++ {
			want[h.payload(v)] = true
		}
	}
	items, strange := 0, 0
	pages := dynamodb.NewScanPaginator(w.DynamoDB, &dynamodb.ScanInput{TableName: &w.table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			items++
			id, _ := it["predictionId"].(*ddbtypes.AttributeValueMemberS)
			if _, deleted := it["deleted"]; deleted {
				tombstones[id.Value]++
				if strings.Contains(fmt.Sprint(it), "secret") || it["prediction"] != nil {
					t.Errorf("a tombstone keeps %v", it)
				}
				continue
			}
			payload, _ := it["prediction"].(*ddbtypes.AttributeValueMemberS)
			if payload == nil || !want[strings.Trim(payload.Value, `"`)] {
				if strange++; strange <= 5 {
					t.Errorf("%s should be gone: %v", id.Value, payload)
				}
				continue
			}
			delete(want, strings.Trim(payload.Value, `"`))
		}
	}
	if len(want) > 0 || strange > 0 {
		t.Errorf("%d predictions are missing, and %d should be gone", len(want), strange)
	}
	for _, h := range histories {
		if n := tombstones[h.id]; h.deleted > 0 && n == 0 || h.deleted == 0 && n > 0 {
			t.Errorf("%s has %d tombstones", h.id, n)
		}
	}
	return items
}

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
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
	deleteIDs      = flag.Int("deletes.ids", 20, "how many ids TestDeletesOfBinary deletes")
	deleteVersions = flag.Int("deletes.versions", 200, "how many versions an id has at most")
	deleteKills    = flag.Int("deletes.kills", 5, "how often it kills a worker meanwhile")
)

// TestDeletesOfBinary deletes ids with many versions, under load, with faults on the wire, while real workers are killed. In the end
// the versions of the deleted ids are gone, and nothing else is.
func TestDeletesOfBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and runs the worker")
	}
	path, err := process.Build{Race: *crashRace}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) { deleteUnderLoad(t, path, b) })
	}
}

// versionsOf is how many versions the i-th id has: the first has one, the last the most.
func versionsOf(i int) int { return 1 + i*(*deleteVersions-1)/max(*deleteIDs-1, 1) }

func deleteUnderLoad(t *testing.T, path string, b backend.Services) {
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	w.redeliverSoon(t)
	now := time.Now()
	old := 0
	for i := range *deleteIDs {
		n := versionsOf(i)
		old += n
		fill(t, b.DynamoDB, w.table, fmt.Sprint("gone-", i), n, now)
		fill(t, b.DynamoDB, w.table, fmt.Sprint("kept-", i), min(n, 50), now)
	}
	_, queuesURL := newFaultProxy(t, b.SQSEndpoint, 1, 0.03)
	_, tablesURL := newFaultProxy(t, b.DynamoDBEndpoint, 2, 0.05)
	env := []string{
		"AWS_ENDPOINT_URL_SQS=" + queuesURL, "AWS_ENDPOINT_URL_DYNAMODB=" + tablesURL, "WORKER_ADMIN_ADDR=", "WORKER_DELETES=remove",
		"WORKER_SORT_UNIT=ms", "WORKER_DRAIN_TIMEOUT=6s", "WORKER_CALL_TIMEOUT=1s", "WORKER_POLLERS=2", "WORKER_WRITE_CONCURRENCY=4",
	}
	l := &load{client: b.SQS, queue: w.queue, published: map[string]bool{}, bad: map[string]bool{}}
	publishing, enough := context.WithCancel(t.Context())
	var publisher sync.WaitGroup
	publisher.Go(func() { l.run(publishing, t) })
	began := time.Now()
	workers := []*process.Process{startWorker(t, path, env...), startWorker(t, path, env...)}
	sendEach(t, b.SQS, w.queue, func(i int) string {
		return fmt.Sprintf(`{"predictionId":"gone-%d","timestamp":%d,"deleted":true}`, i, now.UnixMilli())
	})
	sendEach(t, b.SQS, w.queue, func(i int) string { // one that is late, and one that is newer
		return fmt.Sprintf(`[{"predictionId":"gone-%d","timestamp":%d,"prediction":"late"},{"predictionId":"gone-%[1]d","timestamp":%[3]d,"prediction":"newer"}]`, i, now.UnixMilli()-1, now.UnixMilli()+1)
	})
	r := rand.New(rand.NewPCG(3, 4))
	for range *deleteKills {
		time.Sleep(time.Duration(200+r.IntN(800)) * time.Millisecond)
		i := r.IntN(len(workers))
		if err := workers[i].Kill(); err != nil {
			t.Error(err)
		}
		workers[i] = startWorker(t, path, env...)
	}
	enough()
	publisher.Wait()
	waitUntilEmpty(t, b.SQS, w.queue, 4*time.Minute)
	for _, p := range workers {
		stopWorker(t, p, 9*time.Second)
	}
	took := time.Since(began)
	checkDeleted(t, b, w, l)
	t.Logf("%d ids with %d versions deleted within %v and %d kills, beside %d predictions", *deleteIDs, old, took.Round(time.Second), *deleteKills, len(l.published))
}

// checkDeleted compares the table with what must be left.
func checkDeleted(t *testing.T, b backend.Services, w *wire, l *load) {
	t.Helper()
	stored := keysOf(t, b.DynamoDB, w.table)
	tombstones, newer, kept := map[string]int{}, map[string]int{}, map[string]int{}
	late := 0
	pages := dynamodb.NewScanPaginator(b.DynamoDB, &dynamodb.ScanInput{TableName: &w.table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			id := it["predictionId"].(*ddbtypes.AttributeValueMemberS).Value
			payload, _ := it["prediction"].(*ddbtypes.AttributeValueMemberS)
			switch {
			case strings.HasPrefix(id, "kept-"):
				kept[id]++
			case !strings.HasPrefix(id, "gone-"):
			case payload == nil:
				tombstones[id]++
			case payload.Value == `"newer"`:
				newer[id]++
			case payload.Value == `"late"`:
				late++ // which may come after the delete's end, and is hidden then
			default:
				t.Errorf("%s still has %s", id, payload.Value)
			}
		}
	}
	for i := range *deleteIDs {
		gone, other := fmt.Sprint("gone-", i), fmt.Sprint("kept-", i)
		if tombstones[gone] != 1 || newer[gone] != 1 || kept[other] != min(versionsOf(i), 50) {
			t.Errorf("%s has %d tombstones and %d newer predictions, %s has %d of %d", gone, tombstones[gone], newer[gone], other, kept[other], min(versionsOf(i), 50))
		}
	}
	missing := 0
	for k := range l.published {
		if !stored[k] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d predictions of others are missing", missing)
	}
	t.Logf("%d late predictions are hidden", late)
}

// fill writes versions of an id to the table, from now backwards, as a worker would have.
func fill(t *testing.T, client *dynamodb.Client, table, id string, versions int, now time.Time) {
	t.Helper()
	var requests []ddbtypes.WriteRequest
	for v := range versions {
		ms := now.Add(-time.Duration(v+1) * time.Second).UnixMilli()
		n := func(value int64) ddbtypes.AttributeValue {
			return &ddbtypes.AttributeValueMemberN{Value: strconv.FormatInt(value, 10)}
		}
		requests = append(requests, ddbtypes.WriteRequest{PutRequest: &ddbtypes.PutRequest{Item: map[string]ddbtypes.AttributeValue{
			"predictionId": &ddbtypes.AttributeValueMemberS{Value: id}, "timestamp": n(ms), "expiresAt": n(ms/1000 + 86400),
			"createdAt":  &ddbtypes.AttributeValueMemberN{Value: fmt.Sprintf("%d.%03d", ms/1000, ms%1000)},
			"prediction": &ddbtypes.AttributeValueMemberS{Value: `"secret"`},
		}}})
		if len(requests) == 25 || v == versions-1 {
			out, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]ddbtypes.WriteRequest{table: requests}})
			if err != nil || len(out.UnprocessedItems) > 0 {
				t.Fatalf("filling the table: %v", err)
			}
			requests = nil
		}
	}
}

// sendEach sends one message for each id.
func sendEach(t *testing.T, client *sqs.Client, queue string, body func(i int) string) {
	t.Helper()
	var entries []types.SendMessageBatchRequestEntry
	for i := range *deleteIDs {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body(i))})
		if len(entries) == 10 || i == *deleteIDs-1 {
			out, err := client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &queue, Entries: entries})
			if err != nil || len(out.Failed) > 0 {
				t.Fatalf("sending: %v", err)
			}
			entries = nil
		}
	}
}

// Command afternoon is the consumer that one writes in an afternoon: receive ten, BatchWriteItem, DeleteMessageBatch, in eight
// goroutines, by the plain SDK with Go's default settings. It is the baseline of the worker's benchmarks. On clean input it
// is correct; it doesn't handle repeats, versions, packed messages, or items that the table refuses.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sq "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const ttl = 24 * 60 * 60

type prediction struct {
	PredictionID string          `json:"predictionId"`
	Timestamp    int64           `json:"timestamp"`
	Prediction   json.RawMessage `json:"prediction"`
	Model        string          `json:"model"`
	ModelVersion string          `json:"modelVersion"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	queue, table := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	url, name := os.Getenv("QUEUE_URL"), os.Getenv("TABLE_NAME")
	var loops sync.WaitGroup
	for range 8 {
		loops.Go(func() {
			for ctx.Err() == nil {
				if err := once(ctx, queue, table, url, name); err != nil && ctx.Err() == nil {
					log.Print(err)
				}
			}
		})
	}
	loops.Wait()
}

func once(ctx context.Context, queue *sqs.Client, table *dynamodb.Client, url, name string) error {
	out, err := queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
	if err != nil || len(out.Messages) == 0 {
		return err
	}
	requests := make([]ddb.WriteRequest, 0, 10)
	entries := make([]sq.DeleteMessageBatchRequestEntry, 0, 10)
	for i, m := range out.Messages {
		var p prediction
		if err := json.Unmarshal([]byte(*m.Body), &p); err != nil {
			return err
		}
		requests = append(requests, ddb.WriteRequest{PutRequest: &ddb.PutRequest{Item: map[string]ddb.AttributeValue{
			"predictionId": &ddb.AttributeValueMemberS{Value: p.PredictionID},
			"timestamp":    &ddb.AttributeValueMemberN{Value: strconv.FormatInt(p.Timestamp, 10)},
			"expiresAt":    &ddb.AttributeValueMemberN{Value: strconv.FormatInt(p.Timestamp+ttl, 10)},
			"prediction":   &ddb.AttributeValueMemberS{Value: string(p.Prediction)},
			"model":        &ddb.AttributeValueMemberS{Value: p.Model},
			"modelVersion": &ddb.AttributeValueMemberS{Value: p.ModelVersion},
		}}})
		entries = append(entries, sq.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	for left := map[string][]ddb.WriteRequest{name: requests}; len(left) > 0; {
		out, err := table.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: left})
		if err != nil {
			return err
		}
		if left = out.UnprocessedItems; len(left) > 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	_, err = queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries})
	return err
}

package awstest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

func TestLongPollInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := sqsfake.New()
		client := queue.Client()
		url := queue.CreateQueue("predictions", nil)
		start := time.Now()
		go func() {
			time.Sleep(7 * time.Second)
			if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("hello")}); err != nil {
				t.Error(err)
			}
		}()
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); len(out.Messages) != 1 || waited != 7*time.Second {
			t.Fatalf("got %d messages after %v, want 1 after 7s", len(out.Messages), waited)
		}
		// A second poll ends empty at its wait, not when the message in flight will be visible.
		out, err = client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		if err != nil || len(out.Messages) != 0 || time.Since(start) != 27*time.Second {
			t.Fatalf("got %v, %v after %v, want nothing after 27s", out, err, time.Since(start))
		}
		// A third sees it when its visibility timeout is over.
		out, err = client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		if err != nil || len(out.Messages) != 1 || time.Since(start) != 37*time.Second {
			t.Fatalf("got %v, %v after %v, want the message after 37s", out, err, time.Since(start))
		}
		// A client that goes away takes nothing.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err = client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want a deadline", err)
		}
	})
}

func TestAWriteInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := dynamodbfake.New()
		client := db.Client()
		if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: aws.String("predictions"), BillingMode: ddbtypes.BillingModePayPerRequest,
			AttributeDefinitions: []ddbtypes.AttributeDefinition{{AttributeName: aws.String("predictionId"), AttributeType: ddbtypes.ScalarAttributeTypeS}},
			KeySchema:            []ddbtypes.KeySchemaElement{{AttributeName: aws.String("predictionId"), KeyType: ddbtypes.KeyTypeHash}},
		}); err != nil {
			t.Fatal(err)
		}
		db.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "BatchWriteItem" && c.N == 1 {
				return awstest.Fault{Delay: time.Second, Unprocessed: awstest.UnprocessedFrom(1)}
			}
			return awstest.Fault{}
		})
		var requests []ddbtypes.WriteRequest
		for i := range 3 {
			requests = append(requests, ddbtypes.WriteRequest{PutRequest: &ddbtypes.PutRequest{Item: map[string]ddbtypes.AttributeValue{
				"predictionId": &ddbtypes.AttributeValueMemberS{Value: fmt.Sprint("p", i)},
				"n":            &ddbtypes.AttributeValueMemberN{Value: "1.50e1"},
			}}})
		}
		out, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]ddbtypes.WriteRequest{"predictions": requests}, ReturnConsumedCapacity: ddbtypes.ReturnConsumedCapacityTotal})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out.UnprocessedItems["predictions"]); n != 2 || *out.ConsumedCapacity[0].CapacityUnits != 1 {
			t.Fatalf("got %+v, want 2 unprocessed and 1 unit", out)
		}
		if got, want := db.Item("predictions", "p0").JSON(), `{"n":{"N":"15"},"predictionId":{"S":"p0"}}`; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

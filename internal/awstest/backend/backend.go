// Package backend gives a test suite the SQS and DynamoDB to run against: our fakes always, and independent stand-ins
// where the environment says where they are.
package backend

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// The environment that says where the stand-ins are; dev/standins/run.sh sets it.
const (
	sqsEndpointVariable      = "PREDCACHE_TEST_SQS_ENDPOINT"
	sqsStandinVariable       = "PREDCACHE_TEST_SQS_STANDIN"
	dynamoDBEndpointVariable = "PREDCACHE_TEST_DYNAMODB_ENDPOINT"
	requireVariable          = "PREDCACHE_REQUIRE_STANDINS"
)

// Services are an SQS and a DynamoDB, reached over HTTP on a loopback address.
type Services struct {
	// Name is "fake" or "standins".
	Name string
	// SQSProgram and DynamoDBProgram are what serves: "fake", "localstack" or "ministack".
	SQSProgram, DynamoDBProgram string
	// SQSEndpoint and DynamoDBEndpoint are for AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL_DYNAMODB.
	SQSEndpoint, DynamoDBEndpoint string
	SQS                           *sqs.Client
	DynamoDB                      *dynamodb.Client
	// FakeSQS and FakeDynamoDB are nil unless Name is "fake".
	FakeSQS      *sqsfake.Service
	FakeDynamoDB *dynamodbfake.Service
}

// All returns the services to run a suite against: the fakes, and the stand-ins if the environment says where they are.
// With PREDCACHE_REQUIRE_STANDINS=1 it fails the test if they are missing.
func All(t testing.TB) []Services {
	t.Helper()
	all := []Services{Fakes(t)}
	standins := Services{Name: "standins", SQSProgram: os.Getenv(sqsStandinVariable), DynamoDBProgram: "ministack",
		SQSEndpoint: os.Getenv(sqsEndpointVariable), DynamoDBEndpoint: os.Getenv(dynamoDBEndpointVariable)}
	if standins.SQSProgram == "" {
		standins.SQSProgram = "localstack"
	}
	switch {
	case standins.SQSEndpoint != "" && standins.DynamoDBEndpoint != "":
		all = append(all, standins.connected())
	case os.Getenv(requireVariable) == "1":
		t.Fatalf("%s=1, but %s or %s is not set: run the tests by dev/standins/run.sh", requireVariable, sqsEndpointVariable, dynamoDBEndpointVariable)
	}
	return all
}

// Fakes returns fakes of their own for the test.
func Fakes(t testing.TB) Services {
	queues, tables := sqsfake.New(), dynamodbfake.New()
	b := Services{Name: "fake", SQSProgram: "fake", DynamoDBProgram: "fake", SQSEndpoint: serve(t, queues), DynamoDBEndpoint: serve(t, tables),
		FakeSQS: queues, FakeDynamoDB: tables}
	t.Cleanup(func() { queues.Close(); tables.Close() }) // before the servers close, which wait for their requests
	return b.connected()
}

func serve(t testing.TB, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func (b Services) connected() Services {
	config := awstest.Config(wholeBody{&http.Transport{MaxIdleConnsPerHost: 64}})
	b.SQS = sqs.NewFromConfig(config, func(o *sqs.Options) { o.BaseEndpoint = aws.String(b.SQSEndpoint) })
	b.DynamoDB = dynamodb.NewFromConfig(config, func(o *dynamodb.Options) { o.BaseEndpoint = aws.String(b.DynamoDBEndpoint) })
	return b
}

// wholeBody reads a request's body before it is sent. The SDK closes the body as soon as the answer comes, while net/http may
// still be looking for its end; on a fast network that costs connections and, seldom, answers, and with them messages.
type wholeBody struct{ http.RoundTripper }

func (w wholeBody) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil {
		return w.RoundTripper.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	return w.RoundTripper.RoundTrip(req)
}

var names atomic.Uint64

// uniqueName is a name for a queue or table that no other test uses, also in stand-ins that outlive the test.
func uniqueName() string {
	return fmt.Sprintf("test-%x-%x-%d", os.Getpid(), time.Now().UnixNano(), names.Add(1))
}

// CreateQueue makes a queue under a name of its own and returns its URL. The queue goes when the test ends.
func (b Services) CreateQueue(t testing.TB, attributes map[string]string) string {
	t.Helper()
	name := uniqueName()
	if attributes["FifoQueue"] == "true" {
		name += ".fifo"
	}
	out, err := b.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatalf("create queue: %v", err)
	}
	t.Cleanup(func() {
		b.SQS.DeleteQueue(context.WithoutCancel(t.Context()), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
	})
	return *out.QueueUrl
}

// CreateTable makes a table under a name of its own, with TTL on ttlAttribute unless that is "", and returns its name. in says
// the keys; billing is on demand unless it says otherwise. The table goes when the test ends.
func (b Services) CreateTable(t testing.TB, in dynamodb.CreateTableInput, ttlAttribute string) string {
	t.Helper()
	name := uniqueName()
	in.TableName = &name
	if in.BillingMode == "" {
		in.BillingMode = types.BillingModePayPerRequest
	}
	if _, err := b.DynamoDB.CreateTable(t.Context(), &in); err != nil {
		t.Fatalf("create table: %v", err)
	}
	t.Cleanup(func() {
		b.DynamoDB.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &name})
	})
	waiter := dynamodb.NewTableExistsWaiter(b.DynamoDB, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	})
	if err := waiter.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		t.Fatalf("wait for table: %v", err)
	}
	if ttlAttribute != "" {
		if _, err := b.DynamoDB.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &name,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &ttlAttribute, Enabled: aws.Bool(true)}}); err != nil {
			t.Fatalf("switch TTL on: %v", err)
		}
	}
	return name
}

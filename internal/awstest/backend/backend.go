// Package backend gives a test suite the SQS, DynamoDB and S3 to run against: our fakes always, and independent stand-ins
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
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// The environment that says where the stand-ins are; dev/standins/run.sh sets it.
const (
	sqsEndpointVariable      = "PREDCACHE_TEST_SQS_ENDPOINT"
	sqsStandinVariable       = "PREDCACHE_TEST_SQS_STANDIN"
	dynamoDBEndpointVariable = "PREDCACHE_TEST_DYNAMODB_ENDPOINT"
	s3EndpointVariable       = "PREDCACHE_TEST_S3_ENDPOINT"
	requireVariable          = "PREDCACHE_REQUIRE_STANDINS"
)

// Services are an SQS, a DynamoDB and an S3, reached over HTTP on a loopback address.
type Services struct {
	// Name is "fake" or "standins".
	Name string
	// SQSProgram, DynamoDBProgram and S3Program are what serves: "fake", "localstack" or "ministack".
	SQSProgram, DynamoDBProgram, S3Program string
	// The endpoints are for AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL_DYNAMODB and AWS_ENDPOINT_URL_S3.
	SQSEndpoint, DynamoDBEndpoint, S3Endpoint string
	SQS                                       *sqs.Client
	DynamoDB                                  *dynamodb.Client
	S3                                        *s3.Client
	// S3Queues is the SQS that S3 can send its events to, and S3QueuesEndpoint where it is.
	S3Queues         *sqs.Client
	S3QueuesEndpoint string
	// The fakes are nil unless Name is "fake".
	FakeSQS      *sqsfake.Service
	FakeDynamoDB *dynamodbfake.Service
	FakeS3       *s3fake.Service
}

// All returns the services to run a suite against: the fakes, and the stand-ins if the environment says where they are.
// With PREDCACHE_REQUIRE_STANDINS=1 it fails the test if they are missing.
func All(t testing.TB) []Services {
	t.Helper()
	all := []Services{Fakes(t)}
	standins := Services{Name: "standins", SQSProgram: os.Getenv(sqsStandinVariable), DynamoDBProgram: "ministack", S3Program: "ministack",
		SQSEndpoint: os.Getenv(sqsEndpointVariable), DynamoDBEndpoint: os.Getenv(dynamoDBEndpointVariable), S3Endpoint: os.Getenv(s3EndpointVariable)}
	if standins.SQSProgram == "" {
		standins.SQSProgram = "localstack"
	}
	switch {
	case standins.SQSEndpoint != "" && standins.DynamoDBEndpoint != "" && standins.S3Endpoint != "":
		all = append(all, standins.connected(standins.S3Endpoint))
	case os.Getenv(requireVariable) == "1":
		t.Fatalf("%s=1, but %s, %s or %s is not set: run the tests by dev/standins/run.sh", requireVariable, sqsEndpointVariable,
			dynamoDBEndpointVariable, s3EndpointVariable)
	}
	return all
}

// Fakes returns fakes of their own for the test.
func Fakes(t testing.TB) Services {
	queues, tables, objects := sqsfake.New(), dynamodbfake.New(), s3fake.New()
	objects.SetDeliverer(func(queueARN, body string) { queues.Send(queueARN[strings.LastIndexByte(queueARN, ':')+1:], body) })
	b := Services{Name: "fake", SQSProgram: "fake", DynamoDBProgram: "fake", S3Program: "fake",
		SQSEndpoint: serve(t, queues), DynamoDBEndpoint: serve(t, tables), S3Endpoint: serve(t, objects),
		FakeSQS: queues, FakeDynamoDB: tables, FakeS3: objects}
	t.Cleanup(func() { queues.Close(); tables.Close(); objects.Close() }) // before the servers close, which wait for their requests
	return b.connected(b.SQSEndpoint)
}

func serve(t testing.TB, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// connected makes the clients. eventQueues is the endpoint of the SQS that S3 sends to.
func (b Services) connected(eventQueues string) Services {
	config := awstest.Config(wholeBody{&http.Transport{MaxIdleConnsPerHost: 64}})
	b.SQS = sqs.NewFromConfig(config, func(o *sqs.Options) { o.BaseEndpoint = aws.String(b.SQSEndpoint) })
	b.DynamoDB = dynamodb.NewFromConfig(config, func(o *dynamodb.Options) { o.BaseEndpoint = aws.String(b.DynamoDBEndpoint) })
	b.S3 = s3.NewFromConfig(config, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = aws.String(b.S3Endpoint), true })
	b.S3QueuesEndpoint = eventQueues
	b.S3Queues = sqs.NewFromConfig(config, func(o *sqs.Options) { o.BaseEndpoint = &eventQueues })
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

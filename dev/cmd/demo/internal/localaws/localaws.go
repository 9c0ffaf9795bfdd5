// Package localaws serves an SQS, a DynamoDB and an S3 from this process, with the queues, the table and the bucket that the worker
// needs.
//
// They are the fakes that the tests use: nothing has to be installed, they enforce the services' rules, and they know the
// operations that the worker, its publishers and its readers call.
package localaws

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// What clients of the services need besides the endpoint. Nothing checks the credentials, but SDKs want some.
const (
	Region    = awstest.Region
	AccessKey = "local"
	SecretKey = "local"
)

// maxReceiveCount is high since the worker rejects poison itself: the dead-letter queue is the last resort.
const maxReceiveCount = 50

// A Server is the running services.
type Server struct {
	Endpoint string
	// The URLs of the queues, and the table's name. They are set by Create.
	Queue, RejectQueue, DeadLetterQueue string
	ObjectsQueue                        string // of the events of Bucket
	Table                               string
	Layout                              expect.Layout

	queues   *sqsfake.Service
	tables   *dynamodbfake.Service
	objects  *s3fake.Service
	server   *http.Server
	sqs      *sqs.Client
	dynamodb *dynamodb.Client
}

// Start starts the services on a free port of the loopback interface: they ask for no password.
func Start() (*Server, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve SQS, DynamoDB and S3: %w", err)
	}
	s := &Server{Endpoint: "http://" + l.Addr().String(), queues: sqsfake.New(), tables: dynamodbfake.New(), objects: s3fake.New()}
	s.queues.SetRecording(false)
	s.tables.SetRecording(false)
	s.objects.SetRecording(false)
	s.sqs, s.dynamodb = s.queues.Client(), s.tables.Client()
	s.server = &http.Server{Handler: awstest.With(s.objects, awstest.Both(s.queues, s.tables)), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }() // ends with Close
	return s, nil
}

// Close stops the services, and what they held is gone.
func (s *Server) Close() {
	s.queues.Close()
	s.tables.Close()
	s.objects.Close()
	_ = s.server.Close()
}

// Bucket is the bucket. It sends an event of each new object to the objects queue.
const (
	Bucket       = "batch-outputs"
	objectsQueue = "prediction-objects"
)

// Put stores an object in the bucket.
func (s *Server) Put(key, text string) { s.objects.Put(Bucket, key, s3fake.Text(text)) }

// Create makes the queues, the table and the bucket.
func (s *Server) Create(ctx context.Context, layout expect.Layout) (err error) {
	if s.RejectQueue, err = s.createQueue(ctx, "predictions-rejected", nil); err != nil {
		return err
	}
	if s.DeadLetterQueue, err = s.createQueue(ctx, "predictions-dead", nil); err != nil {
		return err
	}
	if s.ObjectsQueue, err = s.createQueue(ctx, objectsQueue, nil); err != nil {
		return err
	}
	s.objects.CreateBucket(Bucket, s3fake.Bucket{})
	s.objects.SetNotification(Bucket, s3fake.Notification{Send: func(body string) { s.queues.Send(objectsQueue, body) }})
	deadLetters, err := s.attribute(ctx, s.DeadLetterQueue, "QueueArn")
	if err != nil {
		return err
	}
	redrive := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, deadLetters, maxReceiveCount)
	if s.Queue, err = s.createQueue(ctx, "predictions", map[string]string{"RedrivePolicy": redrive}); err != nil {
		return err
	}
	s.Layout, s.Table = layout, "predictions"
	return s.createTable(ctx)
}

func (s *Server) createQueue(ctx context.Context, name string, attributes map[string]string) (string, error) {
	created, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		return "", fmt.Errorf("create the queue %s: %w", name, err)
	}
	// The client in this process has no endpoint. SDKs that take theirs from the URL need the real one.
	u, err := url.Parse(aws.ToString(created.QueueUrl))
	if err != nil {
		return "", err
	}
	return s.Endpoint + u.Path, nil
}

func (s *Server) createTable(ctx context.Context) error {
	table := dynamodbfake.Keys("predictionId:S", "timestamp:N")
	if s.Layout == expect.LatestOnly {
		table = dynamodbfake.Keys("predictionId:S")
	}
	table.TableName, table.BillingMode = &s.Table, types.BillingModePayPerRequest
	if _, err := s.dynamodb.CreateTable(ctx, &table); err != nil {
		return fmt.Errorf("create the table %s: %w", s.Table, err)
	}
	_, err := s.dynamodb.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &s.Table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{Enabled: aws.Bool(true), AttributeName: aws.String(s.TTLAttribute())},
	})
	if err != nil {
		return fmt.Errorf("switch on the table's TTL: %w", err)
	}
	return nil
}

// TTLAttribute is the attribute by which the table's items expire.
func (s *Server) TTLAttribute() string {
	if s.Layout == expect.ExpirySorted {
		return "timestamp"
	}
	return "expiresAt"
}

// Config is by which an SDK in this process calls the services over the network.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: &s.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	}
}

// Environment is what makes an SDK in another process use the services, and nothing of this machine's own AWS settings.
func (s *Server) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.Endpoint,
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + SecretKey,
	}
}

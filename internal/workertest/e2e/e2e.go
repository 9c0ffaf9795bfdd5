// Package e2e is a worker under load, for tests that look at it from outside: fakes of SQS and DynamoDB that listen on
// loopback, the real worker as a process, messages like those of a model pipeline, and a table that fails on demand.
package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/workertest/process"
)

// A System is running services and a running worker.
type System struct {
	*process.Process
	SQS      *sqsfake.Service
	DynamoDB *dynamodbfake.Service
	S3       *s3fake.Service // nil without StartWithObjects

	servers   []*http.Server
	condition atomic.Int32
}

// Condition is the state of the table.
type Condition int32

// The conditions.
const (
	Healthy   Condition = iota
	Throttled           // it takes a third of what it is asked to
	Denied              // it answers AccessDeniedException
)

// The names of the queues, the table and the bucket.
const (
	Queue   = "predictions"
	Rejects = "predictions-rejects"
	Table   = "predictions"
	Objects = "predictions-objects"
	Bucket  = "scores"
)

// Start builds the worker and starts it with the services.
func Start(ctx context.Context, settings ...string) (*System, error) {
	return start(ctx, &System{SQS: sqsfake.New(), DynamoDB: dynamodbfake.New()}, settings)
}

// StartWithObjects is Start with a bucket, whose objects the worker reads too.
func StartWithObjects(ctx context.Context, settings ...string) (*System, error) {
	s := &System{SQS: sqsfake.New(), DynamoDB: dynamodbfake.New(), S3: s3fake.New()}
	s.SQS.CreateQueue(Objects, map[string]string{"VisibilityTimeout": "60"})
	s.S3.CreateBucket(Bucket, s3fake.Bucket{})
	s.S3.SetNotification(Bucket, s3fake.Notification{Send: func(body string) { s.SQS.Send(Objects, body) }})
	return start(ctx, s, settings)
}

func start(ctx context.Context, s *System, settings []string) (*System, error) {
	path, err := process.Build{}.Binary(ctx)
	if err != nil {
		return nil, err
	}
	s.SQS.SetRecording(false)
	s.DynamoDB.SetRecording(false)
	s.SQS.CreateQueue(Queue, map[string]string{"VisibilityTimeout": "60"})
	s.SQS.CreateQueue(Rejects, nil)
	if err := s.createTable(ctx); err != nil {
		return nil, err
	}
	s.SQS.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: latency(2, 5)} })
	s.DynamoDB.SetFault(s.fault)
	queues, err := s.serve(s.SQS)
	if err != nil {
		return nil, err
	}
	tables, err := s.serve(s.DynamoDB)
	if err != nil {
		return nil, err
	}
	if s.S3 != nil {
		objects, err := s.serve(s.S3)
		if err != nil {
			return nil, err
		}
		settings = append(settings, "AWS_ENDPOINT_URL_S3="+objects, "WORKER_OBJECTS_QUEUE_URL="+queues+"/000000000000/"+Objects, "WORKER_OBJECTS="+Bucket)
	}
	s.Process, err = process.Start(process.Config{Path: path, Settings: append([]string{
		"AWS_ENDPOINT_URL_SQS=" + queues, "AWS_ENDPOINT_URL_DYNAMODB=" + tables,
		"WORKER_QUEUE_URL=" + queues + "/000000000000/" + Queue, "WORKER_REJECT_QUEUE_URL=" + queues + "/000000000000/" + Rejects,
		"WORKER_TABLE_NAME=" + Table, "WORKER_RECEIVE_WAIT=2s",
	}, settings...)})
	return s, err
}

func (s *System) serve(h http.Handler) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("serving a fake: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // ends with Close
	return "http://" + l.Addr().String(), nil
}

func (s *System) createTable(ctx context.Context) error {
	client, in := s.DynamoDB.Client(), dynamodbfake.Keys("predictionId:S", "timestamp:N")
	in.TableName, in.BillingMode = aws.String(Table), types.BillingModePayPerRequest
	if _, err := client.CreateTable(ctx, &in); err != nil {
		return fmt.Errorf("creating the table: %w", err)
	}
	_, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(Table), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)},
	})
	return err
}

// Stop ends the worker as an orchestrator does, and then the services.
func (s *System) Stop() error {
	err := s.Process.Stop(30 * time.Second)
	s.SQS.Close()
	s.DynamoDB.Close()
	if s.S3 != nil {
		s.S3.Close()
	}
	for _, server := range s.servers {
		_ = server.Close()
	}
	return err
}

// SetCondition sets the state of the table from now on.
func (s *System) SetCondition(c Condition) { s.condition.Store(int32(c)) }

// latency is the time of one call in ms: mostly near the least, sometimes much longer, as with a real service.
func latency(least, typical float64) time.Duration {
	ms := least + rand.ExpFloat64()*(typical-least)
	return time.Duration(min(ms, 40*typical) * float64(time.Millisecond))
}

func (s *System) fault(c *awstest.Call) awstest.Fault {
	f := awstest.Fault{Delay: latency(5, 11)}
	if c.Operation != "BatchWriteItem" {
		return f
	}
	switch Condition(s.condition.Load()) {
	case Denied:
		f.Err = awstest.AccessDenied("BatchWriteItem")
	case Throttled:
		if rand.Float64() < .4 {
			f.Err = dynamodbfake.ProvisionedThroughputExceeded()
		} else {
			f.Unprocessed = func(int, awstest.Entry) bool { return rand.Float64() < .6 }
		}
	case Healthy:
		if rand.Float64() < .02 {
			f.Unprocessed = func(int, awstest.Entry) bool { return rand.Float64() < .1 }
		}
	}
	return f
}

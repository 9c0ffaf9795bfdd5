// Package awsclient adapts SQS and DynamoDB to the interfaces of the pipeline's stages.
//
// The calls of the hot path, those of Queue and Table, are requests of our own: see package awsjson. The SDK's clients
// serve the rest, such as DescribeTable. The parity tests send the hot path's calls through both and compare requests and
// results.
package awsclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"github.com/predcache/predcache/internal/awsjson"
)

// A Clock is the services' clock: see awsjson.Clock.
type Clock = awsjson.Clock

// Config configures the Clients.
type Config struct {
	// QueueURL determines the region if no AWS setting does.
	QueueURL string
	// Connections is the number of idle connections kept per service. It should be the number of concurrent calls.
	Connections int
	// Transport replaces the network in tests.
	Transport http.RoundTripper
	// Clock is corrected by each answer.
	Clock *Clock
	// Log receives the SDK's log. Nil discards it: the SDK would write to standard error, in another format.
	Log *slog.Logger
}

// Clients are the SDK's clients. They make one attempt a call: the callers own the retries, and the SDK's would multiply
// them.
type Clients struct {
	SQS      *sqs.Client
	DynamoDB *dynamodb.Client
	S3       *s3.Client
	Clock    *Clock
}

// New returns clients with the SDK's own settings: environment, shared files, the role of the task or pod.
func New(ctx context.Context, cfg Config) (*Clients, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithLogger(sdkLogger(cfg.Log)),
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		// A BuildableClient, since the SDK can add AWS_CA_BUNDLE to that alone.
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 0 // no common limit for both services
			t.MaxIdleConnsPerHost = cfg.Connections
			// SQS and DynamoDB close connections that are idle for longer.
			t.IdleConnTimeout = 15 * time.Second
			t.ResponseHeaderTimeout = 0 // callers set a timeout for each attempt; a long poll answers late
			// A batch of 25 items of 1 KB goes out in one write instead of eight.
			t.WriteBufferSize = 32 << 10
		})),
	}
	conf, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS settings: %w", err)
	}
	if conf.Region == "" {
		conf.Region = regionOf(cfg.QueueURL)
	}
	if conf.Region == "" {
		return nil, errors.New("no AWS region is set: set AWS_REGION to the region of the queue and the table")
	}
	transport := cfg.Transport
	if transport == nil {
		transport = conf.HTTPClient.(*awshttp.BuildableClient).GetTransport()
	}
	conf.HTTPClient = &http.Client{Transport: cfg.Clock.Watch(transport)}
	conf.APIOptions = append(conf.APIOptions, plainBodies)
	clients := &Clients{SQS: sqs.NewFromConfig(conf), DynamoDB: dynamodb.NewFromConfig(conf), S3: newS3(conf), Clock: cfg.Clock}
	if err := clients.checkRegion("the queue", cfg.QueueURL); err != nil {
		return nil, err
	}
	return clients, nil
}

// sdkLogger passes on the SDK's log. The SDK warns of problems that it works around, such as an unreadable shared file. They
// matter only if calls fail, so its warnings are logged at level info.
func sdkLogger(log *slog.Logger) logging.Logger {
	if log == nil {
		return logging.Nop{}
	}
	return logging.LoggerFunc(func(c logging.Classification, format string, v ...any) {
		if text := fmt.Sprintf(format, v...); c == logging.Warn {
			log.Info("AWS SDK", "reason", text)
		} else {
			log.Debug("AWS SDK", "reason", text)
		}
	})
}

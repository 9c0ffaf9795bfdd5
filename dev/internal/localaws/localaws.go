// Package localaws is an SQS and a DynamoDB inside this process, with the queues and the table that the worker needs.
//
// They are kumo's, which is quick and needs nothing installed, but accepts what AWS refuses: a key twice in a batch,
// items over 400 KB, messages of any size. Good for showing and developing, not for testing the services' rules.
package localaws

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/sivchari/kumo"

	"github.com/predcache/predcache/dev/internal/expect"
)

// What clients of the services need besides the endpoint. Nothing checks the credentials, but SDKs want some.
const (
	Region    = "us-east-1"
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
	Table                               string
	Layout                              expect.Layout

	kumo     *kumo.Server
	sqs      *sqs.Client
	dynamodb *dynamodb.Client
}

// Start starts the services on a free port of the loopback interface.
func Start() (*Server, error) {
	k := kumo.NewServer()
	if err := checkLoopback(k.URL); err != nil {
		k.Close()
		return nil, err
	}
	cfg := aws.Config{
		Region:       Region,
		BaseEndpoint: &k.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, nil
		}),
		HTTPClient: &http.Client{Transport: plainBodies{&http.Transport{}}}, // and by no proxy,
	}
	return &Server{Endpoint: k.URL, kumo: k, sqs: sqs.NewFromConfig(cfg), dynamodb: dynamodb.NewFromConfig(cfg)}, nil
}

// Close stops the services, and what they held is gone.
func (s *Server) Close() { s.kumo.Close() }

// checkLoopback makes sure of what kumo promises: nobody else's machine can reach a service that asks for no password.
func checkLoopback(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("the local SQS and DynamoDB listen on %s, which is not a loopback address", u.Host)
	}
	return nil
}

// plainBodies hides all of a request's body but Read and Close. The SDK closes a body once the answer begins to arrive,
// and its WriteTo then returns io.EOF to net/http's last look at it, which drops the connection under the answer. The
// SDK would send again, and what was published would be there twice, uncounted.
type plainBodies struct{ next http.RoundTripper }

func (t plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return t.next.RoundTrip(r)
}

// Create makes the queues and the table.
func (s *Server) Create(ctx context.Context, layout expect.Layout) (err error) {
	if s.RejectQueue, err = s.createQueue(ctx, "predictions-rejected", nil); err != nil {
		return err
	}
	if s.DeadLetterQueue, err = s.createQueue(ctx, "predictions-dead", nil); err != nil {
		return err
	}
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
	// kumo names its usual port, whatever port it listens on. SDKs that take the endpoint from the URL would miss it.
	u, err := url.Parse(aws.ToString(created.QueueUrl))
	if err != nil {
		return "", err
	}
	return s.Endpoint + u.Path, nil
}

func (s *Server) createTable(ctx context.Context) error {
	const id, timestamp = "predictionId", "timestamp"
	table := &dynamodb.CreateTableInput{
		TableName:            &s.Table,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(id), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(id), KeyType: types.KeyTypeHash}},
	}
	if s.Layout != expect.LatestOnly {
		table.AttributeDefinitions = append(table.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(timestamp), AttributeType: types.ScalarAttributeTypeN})
		table.KeySchema = append(table.KeySchema, types.KeySchemaElement{AttributeName: aws.String(timestamp), KeyType: types.KeyTypeRange})
	}
	if _, err := s.dynamodb.CreateTable(ctx, table); err != nil {
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

// Environment is what makes an SDK in another process use the services, and nothing of this machine's own AWS settings.
func (s *Server) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.Endpoint,
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + SecretKey,
	}
}

package awstest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// rule is one thing that a service does, as a check that says what it found instead.
type rule struct {
	name  string
	check func(c *conformance)
	// inProcess, if not "", is why the rule is only checked on the fakes in a bubble.
	inProcess string
	// deviates says of a stand-in by its name how it is known to deviate from AWS here. The check must then fail on it: one
	// that passes again fails the test, so that the table stays true.
	deviates map[string]string
	service  service
}

// service is what a rule is about.
type service int

const (
	onDynamoDB service = iota
	onSQS
	onS3
)

// conformance is what a check works with. Its methods end the check when they find a breach.
type conformance struct {
	ctx     context.Context
	sqs     *sqs.Client
	db      *dynamodb.Client
	s3      *s3.Client
	events  *sqs.Client           // the SQS that S3 can send to
	fakeSQS *sqsfake.Service      // in process only
	fakeDB  *dynamodbfake.Service // in process only
	fakeS3  *s3fake.Service       // in process only
	cleanup func(func())
}

type breach struct{ error }

func (c *conformance) fatalf(format string, args ...any) { panic(breach{fmt.Errorf(format, args...)}) }

func (c *conformance) ok(err error) {
	if err != nil {
		c.fatalf("got an error: %w", err)
	}
}

// refused expects an error of this code, whose message has the text.
func (c *conformance) refused(err error, code, text string) {
	var api smithy.APIError
	switch {
	case err == nil:
		c.fatalf("accepted, want %s %q", code, text)
	case !errors.As(err, &api):
		c.fatalf("got %v, want %s %q", err, code, text)
	case api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text):
		c.fatalf("got %s %q, want %s %q", api.ErrorCode(), api.ErrorMessage(), code, text)
	}
}

func (c *conformance) equal(what string, got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		c.fatalf("%s: got %v, want %v", what, got, want)
	}
}

// run carries out the check and returns the breach, or nil.
func (r rule) run(c *conformance) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b, ok := p.(breach)
			if !ok {
				panic(p)
			}
			err = b.error
		}
	}()
	r.check(c)
	return nil
}

func TestConformanceInProcess(t *testing.T) {
	for _, r := range allRules() {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queues, db, objects := sqsfake.New(), dynamodbfake.New(), s3fake.New()
				objects.SetDeliverer(func(queueARN, body string) { queues.Send(queueARN[strings.LastIndexByte(queueARN, ':')+1:], body) })
				c := &conformance{ctx: t.Context(), sqs: queues.Client(), db: db.Client(), s3: objects.Client(), events: queues.Client(),
					fakeSQS: queues, fakeDB: db, fakeS3: objects, cleanup: t.Cleanup}
				if err := r.run(c); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestConformance runs the rules over HTTP: on the fakes, and on the stand-ins where they are.
func TestConformance(t *testing.T) {
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			results := runAll(t, b)
			for i, r := range allRules() {
				if r.inProcess != "" {
					continue // TestConformanceInProcess has it
				}
				program := map[service]string{onSQS: b.SQSProgram, onDynamoDB: b.DynamoDBProgram, onS3: b.S3Program}[r.service]
				t.Run(r.name, func(t *testing.T) { r.judge(t, program, <-results[i]) })
			}
		})
	}
}

// atOnce is how many rules run at once. They mostly wait for visibility timeouts, so -parallel, which goes by processors, would
// take much longer; many more would slow a stand-in down so much that timeouts end too early.
const atOnce = 6

// runAll starts all checks and returns where the result of each comes.
func runAll(t *testing.T, b backend.Services) []chan error {
	turns := make(chan struct{}, atOnce)
	var results []chan error
	for _, r := range allRules() {
		result := make(chan error, 1)
		results = append(results, result)
		if r.inProcess != "" {
			continue
		}
		// It ends with its check, whose result the test waits for.
		go func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			result <- r.run(&conformance{ctx: t.Context(), sqs: b.SQS, db: b.DynamoDB, s3: b.S3, events: b.S3Queues, cleanup: t.Cleanup})
		}()
	}
	return results
}

// judge holds the result of the check against what is known of the program.
func (r rule) judge(t *testing.T, program string, err error) {
	reason, known := r.deviates[program]
	switch {
	case known && err == nil:
		t.Errorf("%s no longer deviates: take the reason out of the table (%s)", program, reason)
	case known:
		t.Skipf("%s is known to deviate from AWS: %s (%v)", program, reason, err)
	case err != nil:
		t.Error(err)
	}
}

func allRules() []rule {
	var all []rule
	add := func(about service, rules []rule) {
		for _, r := range rules {
			r.service = about
			all = append(all, r)
		}
	}
	add(onSQS, sqsRules())
	add(onDynamoDB, dynamoDBRules())
	add(onS3, append(s3ReadRules(), s3ListRules()...))
	return all
}

var conformanceNames atomic.Int64

func uniqueName() string {
	return fmt.Sprintf("conformance-%d-%d", os.Getpid(), conformanceNames.Add(1))
}

// queue makes a queue; attributes are name, value, ….
func (c *conformance) queue(attributes ...string) string {
	in := &sqs.CreateQueueInput{QueueName: aws.String(uniqueName()), Attributes: pairs(attributes)}
	if in.Attributes["FifoQueue"] == "true" {
		in.QueueName = aws.String(*in.QueueName + ".fifo")
	}
	out, err := c.sqs.CreateQueue(c.ctx, in)
	c.ok(err)
	c.cleanup(func() {
		c.sqs.DeleteQueue(context.WithoutCancel(c.ctx), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
	})
	return *out.QueueUrl
}

func pairs(list []string) map[string]string {
	m := make(map[string]string)
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// table makes a table with the key attributes, each as name:type.
func (c *conformance) table(hash string, sort ...string) string {
	return c.tableOf(dynamodbfake.Keys(hash, sort...))
}

func (c *conformance) tableOf(in dynamodb.CreateTableInput) string {
	in.TableName = aws.String(uniqueName())
	if in.BillingMode == "" {
		in.BillingMode = ddbtypes.BillingModePayPerRequest
	}
	_, err := c.db.CreateTable(c.ctx, &in)
	c.ok(err)
	c.cleanup(func() {
		c.db.DeleteTable(context.WithoutCancel(c.ctx), &dynamodb.DeleteTableInput{TableName: in.TableName})
	})
	for {
		out, err := c.db.DescribeTable(c.ctx, &dynamodb.DescribeTableInput{TableName: in.TableName})
		c.ok(err)
		if out.Table.TableStatus == ddbtypes.TableStatusActive {
			return *in.TableName
		}
		time.Sleep(20 * time.Millisecond)
	}
}

//go:build long

package testproviders

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A site is what the tests of stacks share: the worker, and clients of the stand-ins.
type site struct {
	worker   string
	dynamodb *dynamodb.Client
	sqs      *sqs.Client
}

// The stand-ins are started by dev/standins/run.sh, which says where they are.
func newSite(t *testing.T) *site {
	t.Helper()
	for variable, source := range map[string]string{"AWS_ENDPOINT_URL_SQS": "PREDCACHE_TEST_SQS_ENDPOINT", "AWS_ENDPOINT_URL_DYNAMODB": "PREDCACHE_TEST_DYNAMODB_ENDPOINT"} {
		value := os.Getenv(source)
		if value == "" {
			t.Fatalf("%s is not set: run this by make deploy-test", source)
		}
		t.Setenv(variable, value)
	}
	s := &site{worker: filepath.Join(t.TempDir(), "worker")}
	build(t, "../..", s.worker, "./cmd/worker")
	conf, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.dynamodb, s.sqs = dynamodb.NewFromConfig(conf), sqs.NewFromConfig(conf)
	return s
}

// build builds a program. The worker is run by hand in this file, without the harness of the other tests
// (internal/workertest/process): with the worker's module in go.mod, other versions would compile Pulumi's SDK a second time.
func build(t *testing.T, dir, output, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", output, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
}

// A layout is a stack that is brought up, with what there must be then.
type layout struct {
	scenario
	keys, ttl string
	check     func(*testing.T, *types.TableDescription)
	unlocked  string // the scenario's cache without what protects the table, where something does
}

var layouts = []layout{
	{
		scenario: scenario{"versioned", `{"layout": "versioned", "deletionProtection": true}`, ``}, unlocked: `{"layout": "versioned"}`,
		keys: "predictionId S HASH, timestamp N RANGE", ttl: "expiresAt",
		check: func(t *testing.T, table *types.TableDescription) {
			if !aws.ToBool(table.DeletionProtectionEnabled) {
				t.Error("the table is not protected")
			}
			onDemand(t, table)
		},
	},
	{
		scenario: scenario{"expiry-sorted", `{"layout": "expiry-sorted", "tags": {"team": "ml"}, "objects": {"prefixes": ["scores/daily/"]}}`,
			`{"image": "registry.example/predcache:1", "region": "eu-west-1", "vpcId": "vpc-1", "subnets": ["subnet-a"]}`},
		keys: "predictionId S HASH, timestamp N RANGE", ttl: "timestamp", check: onDemand,
	},
	{
		scenario: scenario{"latest-only", `{"layout": "latest-only", "hashKeyType": "N", "alarms": {},
			"billing": {"mode": "provisioned", "minReadUnits": 5, "maxReadUnits": 50, "minWriteUnits": 10, "maxWriteUnits": 100}}`, ``},
		keys: "predictionId N HASH", ttl: "expiresAt",
		check: func(t *testing.T, table *types.TableDescription) {
			if p := table.ProvisionedThroughput; p == nil || aws.ToInt64(p.WriteCapacityUnits) != 10 || aws.ToInt64(p.ReadCapacityUnits) != 5 {
				t.Errorf("provisioned: %+v", p)
			}
		},
	},
}

// holds checks what a stack has made by the SDK, and has the worker work on it.
func (s *site) holds(t *testing.T, l layout, out map[string]any) {
	t.Helper()
	s.checkTable(t, out["prediction_cache_table_name"].(string), l.keys, l.ttl, l.check)
	s.checkQueue(t, out)
	s.runWorker(t, out, l.name == "latest-only")
}

// isGone fails the test if there is a table.
func (s *site) isGone(t *testing.T, out map[string]any) {
	t.Helper()
	name := out["prediction_cache_table_name"].(string)
	if _, err := s.dynamodb.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}); err == nil {
		t.Errorf("the table %s is still there", name)
	}
}

func onDemand(t *testing.T, table *types.TableDescription) {
	t.Helper()
	if table.BillingModeSummary == nil || table.BillingModeSummary.BillingMode != types.BillingModePayPerRequest {
		t.Errorf("billing: %+v", table.BillingModeSummary)
	}
}

// checkTable reads the table back by the SDK.
func (s *site) checkTable(t *testing.T, name, keys, ttl string, check func(*testing.T, *types.TableDescription)) {
	t.Helper()
	d, err := s.dynamodb.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, k := range d.Table.KeySchema {
		for _, a := range d.Table.AttributeDefinitions {
			if *a.AttributeName == *k.AttributeName {
				found = append(found, fmt.Sprintf("%s %s %s", *k.AttributeName, a.AttributeType, k.KeyType))
			}
		}
	}
	if got := strings.Join(found, ", "); got != keys {
		t.Errorf("the keys are %s, want %s", got, keys)
	}
	check(t, d.Table)
	described, err := s.dynamodb.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if got := described.TimeToLiveDescription; got.TimeToLiveStatus != types.TimeToLiveStatusEnabled || aws.ToString(got.AttributeName) != ttl {
		t.Errorf("TTL is %s on %s, want it on %s", got.TimeToLiveStatus, aws.ToString(got.AttributeName), ttl)
	}
	listed, err := s.dynamodb.ListTagsOfResource(t.Context(), &dynamodb.ListTagsOfResourceInput{ResourceArn: d.Table.TableArn})
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range listed.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if tags["Environment"] != "Production" || tags["Purpose"] != "CachePredictionOutputs" {
		t.Errorf("the tags are %v", tags)
	}
	t.Logf("table: %s; TTL %s; tags %v", strings.Join(found, ", "), ttl, tags)
}

// checkQueue reads the queue's policies back by the SDK.
func (s *site) checkQueue(t *testing.T, out map[string]any) {
	t.Helper()
	attributes := func(url string) map[string]string {
		got, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		return got.Attributes
	}
	queue, letters := attributes(out["queue_url"].(string)), attributes(out["dead_letter_queue_url"].(string))
	var redrive struct {
		Target string      `json:"deadLetterTargetArn"`
		Max    json.Number `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(queue["RedrivePolicy"], `"50"`, "50")), &redrive); err != nil {
		t.Fatal(err)
	}
	if redrive.Target != letters["QueueArn"] || redrive.Max != "50" {
		t.Errorf("redrive: %+v, want %s after 50", redrive, letters["QueueArn"])
	}
	var allow struct {
		Permission string   `json:"redrivePermission"`
		Sources    []string `json:"sourceQueueArns"`
	}
	if err := json.Unmarshal([]byte(letters["RedriveAllowPolicy"]), &allow); err != nil {
		t.Fatal(err)
	}
	if allow.Permission != "byQueue" || len(allow.Sources) != 1 || allow.Sources[0] != queue["QueueArn"] {
		t.Errorf("who may use the dead-letter queue: %+v", allow)
	}
	for _, q := range []map[string]string{queue, letters} {
		if policy := q["Policy"]; !strings.Contains(policy, "aws:SecureTransport") || !strings.Contains(policy, q["QueueArn"]) {
			t.Errorf("the policy of %s is %s", q["QueueArn"], policy)
		}
	}
	t.Logf("queue: redrive to %s after %s", redrive.Target, redrive.Max)
}

// runWorker has the worker work on what the stack made, with the stack's outputs as its settings.
func (s *site) runWorker(t *testing.T, out map[string]any, numeric bool) {
	t.Helper()
	env := append(os.Environ(), "WORKER_HTTP_ADDR=127.0.0.1:0", "WORKER_ADMIN_ADDR=", "WORKER_RECEIVE_WAIT=1s")
	for name, value := range out["worker_environment"].(map[string]any) {
		env = append(env, name+"="+value.(string))
	}
	id := `"stack-1"`
	var key types.AttributeValue = &types.AttributeValueMemberS{Value: "stack-1"}
	if numeric {
		id, key = "4711", &types.AttributeValueMemberN{Value: "4711"}
	}
	work := func(stdin string, args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, s.worker, args...)
		cmd.Env, cmd.Stdin = env, strings.NewReader(stdin)
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("worker %v: %v\n%s", args, err, text)
		}
		return string(text)
	}
	t.Logf("worker check:\n%s", work("", "check"))
	t.Log(work(fmt.Sprintf(`{"predictionId": %s, "prediction": {"label": "cat"}}`, id), "publish", "-"))

	var log bytes.Buffer
	run := exec.CommandContext(t.Context(), s.worker, "run")
	run.Env, run.Stderr = env, &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		got, err := s.dynamodb.Scan(t.Context(), &dynamodb.ScanInput{
			TableName: aws.String(out["prediction_cache_table_name"].(string)), FilterExpression: aws.String("predictionId = :id"), ExpressionAttributeValues: map[string]types.AttributeValue{":id": key},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Items) == 1 {
			t.Logf("written: %s", got.Items[0]["prediction"].(*types.AttributeValueMemberS).Value)
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("the worker wrote nothing:\n%s", log.String())
			break
		}
		time.Sleep(100 * time.Millisecond) // a stand-in in another process: there is nothing to wait on
	}
	run.Process.Signal(syscall.SIGTERM)
	if err := run.Wait(); err != nil {
		t.Errorf("the worker's end: %v\n%s", err, log.String())
	}
}

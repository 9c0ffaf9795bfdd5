package deployments

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/workertest/process"
)

// A guard stands before the fakes of SQS and DynamoDB and refuses, as AWS does, what the policies don't allow.
type guard struct {
	t        *testing.T
	next     http.Handler
	resource func(body object) []string // what a call is about

	mu      sync.Mutex
	allowed map[string]bool // "action resource"
	used    map[string]bool
	refused []string
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	var body object
	if err := json.Unmarshal(text, &body); err != nil {
		g.t.Errorf("a call that is not JSON: %v", err)
	}
	target := r.Header.Get("X-Amz-Target")
	action := operations()[target[strings.LastIndex(target, ".")+1:]]
	g.mu.Lock()
	ok := action != ""
	for _, resource := range g.resource(body) {
		permission := action + " " + resource
		if g.allowed[permission] {
			g.used[permission] = true
		} else {
			ok = false
			g.refused = append(g.refused, permission)
		}
	}
	g.mu.Unlock()
	if !ok {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not authorized to perform: `+action+`"}`)
		return
	}
	g.next.ServeHTTP(w, r)
}

// objects is the guard of S3: it stands before next, and refuses what the policies don't allow of the bucket and its prefix.
func (g *guard) objects(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		permission, prefix := "s3:GetObject *", key
		switch {
		case key == "":
			permission, prefix = "s3:ListBucket "+bucket, r.URL.Query().Get("prefix")
		case r.URL.Query().Has("versionId"):
			permission = "s3:GetObjectVersion *"
		}
		g.mu.Lock()
		ok := g.allowed[permission] && strings.HasPrefix(prefix, names["ObjectsPrefix"])
		if ok {
			g.used[permission] = true
		} else {
			g.refused = append(g.refused, permission+" "+r.URL.String())
		}
		g.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *guard) allow(t *testing.T, policies ...string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.allowed, g.used, g.refused = map[string]bool{}, map[string]bool{}, nil
	for p := range permissions(t, policies...) {
		g.allowed[p] = true
	}
}

// permissions are the actions of policies, each with the last part of its resource: the queue's or table's name.
func permissions(t *testing.T, policies ...string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, name := range policies {
		for _, s := range readPolicy(t, name).Statement {
			for _, a := range s.Action {
				all[a+" "+s.Resource[strings.LastIndexAny(s.Resource, ":/")+1:]] = true
			}
		}
	}
	return all
}

// Each command works with its policies alone, against fakes that refuse all else, and needs all that they allow.
func TestCommandsWorkWithTheirPoliciesAlone(t *testing.T) {
	queues, tables := sqsfake.New(), dynamodbfake.New()
	last := func(s string) string { return s[strings.LastIndexAny(s, ":/")+1:] }
	sqsGuard := &guard{t: t, next: queues, resource: func(body object) []string {
		url, _ := body["QueueUrl"].(string)
		return []string{last(url)}
	}}
	tableGuard := &guard{t: t, next: tables, resource: func(body object) []string {
		if name, ok := body["TableName"].(string); ok {
			return []string{last(name)}
		}
		var names []string
		requests, _ := body["RequestItems"].(object)
		for name := range requests {
			names = append(names, last(name))
		}
		return names
	}}
	sqsServer, tableServer := httptest.NewServer(sqsGuard), httptest.NewServer(tableGuard)
	t.Cleanup(func() { queues.Close(); tables.Close(); sqsServer.Close(); tableServer.Close() })

	urls := map[string]string{}
	objects, objectGuard := s3fake.New(), &guard{t: t}
	objects.CreateBucket("batch-outputs", s3fake.Bucket{})
	objects.CreateBucket("batch-outputs-versions", s3fake.Bucket{Versioned: true})
	objectServer := httptest.NewServer(objectGuard.objects(objects))
	t.Cleanup(func() { objects.Close(); objectServer.Close() })
	for _, name := range []string{"predictions", "rejects", "dead-letters", "objects"} {
		queues.CreateQueue(name, nil)
		urls[name] = sqsServer.URL + "/000000000000/" + name
	}
	direct := queues.Client()
	send := func(queue, body string) {
		t.Helper()
		url := "https://sqs.eu-west-1.amazonaws.com/000000000000/" + queue
		if _, err := direct.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	ddb := tables.Client()
	table := dynamodbfake.Keys("predictionId:S", "timestamp:N")
	table.TableName, table.BillingMode = aws.String("predictions"), types.BillingModePayPerRequest
	if _, err := ddb.CreateTable(t.Context(), &table); err != nil {
		t.Fatal(err)
	}
	if _, err := ddb.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String("predictions"), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
	worker, err := process.Build{}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	env := []string{
		"AWS_ENDPOINT_URL_SQS=" + sqsServer.URL, "AWS_ENDPOINT_URL_DYNAMODB=" + tableServer.URL, "AWS_ENDPOINT_URL_S3=" + objectServer.URL,
		"WORKER_QUEUE_URL=" + urls["predictions"], "WORKER_TABLE_NAME=predictions", "WORKER_RECEIVE_WAIT=1s",
	}
	rejects := "WORKER_REJECT_QUEUE_URL=" + urls["rejects"]
	once := func(env []string, stdin string, args ...string) func() {
		return func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := process.Run(ctx, worker, env, stdin, args...); err != nil {
				t.Error(err)
			}
		}
	}
	used := func(permission string) bool {
		return sqsGuard.has(permission) || tableGuard.has(permission) || objectGuard.has(permission)
	}
	// run has a worker run until it has made a call that shows that the work is done.
	run := func(env []string, done string) func() {
		return func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			p, err := process.Start(process.Config{Path: worker, Settings: env})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			if err := p.Until(ctx, func() bool { return used(done) }); err != nil {
				t.Errorf("waiting for %s: %v\n%s", done, err, p.Log())
			}
			if err := p.Stop(time.Minute); err != nil {
				t.Errorf("%v\n%s", err, p.Log())
			}
		}
	}
	// file stores an object that is large enough to be split.
	file := func(bucket string) {
		objects.SetNotification(bucket, s3fake.Notification{Send: func(body string) { send("objects", body) }})
		objects.Put(bucket, "scores/part-0", s3fake.Text(strings.Repeat(`{"predictionId": "a", "prediction": "`+strings.Repeat("x", 60_000)+"\"}\n", 20)))
	}
	withObjects := append(slices.Clone(env), "WORKER_OBJECTS_QUEUE_URL="+urls["objects"], "WORKER_OBJECTS=batch-outputs/scores/,batch-outputs-versions/scores/", "WORKER_OBJECTS_RANGE_BYTES=1048576")
	const good, bad = `{"predictionId": "a", "prediction": 1}`, `{"predictionId": "b"}`
	for _, c := range []struct {
		name     string
		policies []string
		before   []string // what is sent
		do       func()
		also     []string // permissions that another step needs
	}{
		{"worker publish", []string{"publisher"}, nil, once(env, good, "publish", "-"), nil},
		{"worker run, a prediction that can't be stored and no reject queue", []string{"worker"}, []string{good, bad}, run(env, "sqs:ChangeMessageVisibility predictions"), nil},
		{"worker run, with a reject queue", []string{"worker", "worker-rejects"}, []string{good, bad + " "}, run(append(slices.Clone(env), rejects), "sqs:SendMessage rejects"),
			[]string{"sqs:ChangeMessageVisibility predictions"}},
		{"worker run, newest wins", []string{"worker", "worker-newest"}, []string{good},
			run(append(slices.Clone(env), "WORKER_ORDERING=newest"), "sqs:DeleteMessage predictions"), []string{"dynamodb:BatchWriteItem predictions", "sqs:ChangeMessageVisibility predictions"}},
		{"worker run, which removes what deletes hide", []string{"worker", "worker-deletes"}, []string{
			fmt.Sprintf(`{"predictionId": "gone", "timestamp": %d.1, "prediction": 1}`, time.Now().Unix()-60), fmt.Sprintf(`{"predictionId": "gone", "timestamp": %d.2, "deleted": true}`, time.Now().Unix()-60),
		}, run(append(slices.Clone(env), "WORKER_DELETES=remove"), "sqs:DeleteMessage predictions"), []string{"sqs:ChangeMessageVisibility predictions"}},
		{"worker redrive", []string{"redrive"}, nil, once(append(slices.Clone(env), rejects), "", "redrive", "--all"), []string{"sqs:ChangeMessageVisibility rejects"}},
		{"worker redrive, from the dead-letter queue", []string{"redrive-dead-letters"}, nil, func() {
			send("dead-letters", good)
			once(env, "", "redrive", "--all", "--from", urls["dead-letters"])()
		}, []string{"sqs:ChangeMessageVisibility dead-letters"}},
		{"worker erase", []string{"erase"}, nil, func() {
			// An item that no worker writes, which has to be deleted by itself.
			if _, err := ddb.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("predictions"), Item: map[string]types.AttributeValue{
				"predictionId": &types.AttributeValueMemberS{Value: "gone"}, "timestamp": &types.AttributeValueMemberN{Value: "1"},
			}}); err != nil {
				t.Fatal(err)
			}
			once(env, "", "erase", "gone")()
		}, nil},
		{"worker erase, newest wins", []string{"erase", "worker-newest"}, nil, once(append(slices.Clone(env), "WORKER_ORDERING=newest"), "", "erase", "gone"),
			[]string{"dynamodb:BatchWriteItem predictions", "dynamodb:DeleteItem predictions"}},
		{"worker run, objects of S3", []string{"worker", "worker-objects", "worker-objects-read"}, []string{good}, func() {
			file("batch-outputs")
			file("batch-outputs-versions")
			run(withObjects, "s3:GetObjectVersion *")()
			if _, _, hidden := queues.Counts("objects"); hidden > 0 {
				t.Errorf("%d messages are hidden", hidden)
			}
		}, []string{"s3:ListBucket batch-outputs", "sqs:ChangeMessageVisibility predictions", "sqs:ChangeMessageVisibility objects"}},
		{"worker warm, objects of S3", []string{"worker", "worker-objects-read"}, nil, once(env, "", "warm", "s3://batch-outputs/scores/"), []string{
			"s3:GetObjectVersion *", "sqs:ChangeMessageVisibility predictions", "sqs:DeleteMessage predictions", "sqs:GetQueueAttributes predictions", "sqs:ReceiveMessage predictions",
		}},
		{"worker get", []string{"reader"}, nil, once(env, "", "get", "a"), []string{"dynamodb:BatchGetItem predictions", "dynamodb:GetItem predictions"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sqsGuard.allow(t, c.policies...)
			tableGuard.allow(t, c.policies...)
			objectGuard.allow(t, c.policies...)
			for _, body := range c.before {
				send("predictions", body)
			}
			c.do()
			for _, refused := range slices.Concat(sqsGuard.refused, tableGuard.refused, objectGuard.refused) {
				t.Errorf("refused: %s", refused)
			}
			for p := range permissions(t, c.policies...) {
				if !used(p) && !slices.Contains(c.also, p) {
					t.Errorf("%s is allowed and was not needed", p)
				}
			}
		})
	}
}

func (g *guard) has(permission string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used[permission]
}

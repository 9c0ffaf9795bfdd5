package predcache

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const account = "123456789012"

func TestObjects(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:123456789012:key/2"
	resources, outputs := cache(t, Args{
		Alarms: &Alarms{}, Scaler: true,
		Objects: &Objects{Prefixes: []string{"scores/daily/", "scores/weekly/", "forecasts"}, BucketOwner: account, KeyArns: []string{key}},
	})
	got := resources["aws:sqs/queue:Queue predictions-objects"]
	same(t, "the visibility timeout", got["visibilityTimeoutSeconds"], 120)
	longer, _ := cache(t, Args{Queue: Queue{VisibilitySeconds: 300}, Objects: &Objects{Prefixes: []string{"forecasts"}}})
	same(t, "a longer visibility timeout", longer["aws:sqs/queue:Queue predictions-objects"]["visibilityTimeoutSeconds"], 300)
	same(t, "the redrive policy", got["redrivePolicy"], `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:predictions-objects-dead-letters","maxReceiveCount":50}`)
	same(t, "the dead letters' retention", resources["aws:sqs/queue:Queue predictions-objects-dead-letters"]["messageRetentionSeconds"], 1209600)
	same(t, "who may dead-letter", resources["aws:sqs/redriveAllowPolicy:RedriveAllowPolicy predictions-objects-dead-letters"]["redriveAllowPolicy"],
		`{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:eu-west-1:123456789012:predictions-objects"]}`)
	environment := outputs["worker_environment"].(map[string]string)
	same(t, "the queue", environment["WORKER_OBJECTS_QUEUE_URL"], "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-objects")
	same(t, "the prefixes", environment["WORKER_OBJECTS"], "scores/daily/,scores/weekly/,forecasts")
	same(t, "the owner", environment["WORKER_OBJECTS_BUCKET_OWNER"], account)
	same(t, "the queue's ARN", outputs["objects_queue_arn"], "arn:aws:sqs:eu-west-1:123456789012:predictions-objects")
	for _, name := range []string{"objects-oldest-message", "objects-dead-letters"} {
		if resources["aws:cloudwatch/metricAlarm:MetricAlarm predictions-"+name] == nil {
			t.Errorf("there is no alarm %s", name)
		}
	}
	if !slices.Contains(allowed(t, resources, "scaler"), "sqs:GetQueueAttributes predictions-objects") {
		t.Error("KEDA may not ask how many ranges wait")
	}
	worker := allowed(t, resources, "worker")
	for _, want := range []string{
		"kms:Decrypt key/2", "s3:GetObject forecasts/*", "s3:GetObject scores/daily/*", "s3:GetObject scores/weekly/*", "s3:GetObjectVersion scores/daily/*",
		"s3:ListBucket forecasts", "s3:ListBucket scores", "sqs:ReceiveMessage predictions-objects", "sqs:SendMessage predictions-objects",
	} {
		if !slices.Contains(worker, want) {
			t.Errorf("the worker may not %s: %v", want, worker)
		}
	}
	for _, reader := range []string{"reader", "publisher"} {
		for _, permission := range allowed(t, resources, reader) {
			if strings.HasPrefix(permission, "s3:") {
				t.Errorf("the %s may %s", reader, permission)
			}
		}
	}
}

// The objects may be listed by their prefix alone, and the statements of several prefixes have identifiers of their own.
func TestObjectsPolicyStatements(t *testing.T) {
	resources, _ := cache(t, Args{Objects: &Objects{Prefixes: []string{"scores/daily/", "scores/weekly/"}, BucketOwner: account}})
	text := resources["aws:iam/policy:Policy predictions-worker"]["policy"].(string)
	var p struct {
		Statement []struct {
			Sid       string
			Condition map[string]map[string]string
		}
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	ids, listed := map[string]bool{}, []string{}
	for _, s := range p.Statement {
		if ids[s.Sid] {
			t.Errorf("two statements are called %s", s.Sid)
		}
		ids[s.Sid] = true
		if prefix := s.Condition["StringLike"]["s3:prefix"]; prefix != "" {
			listed = append(listed, prefix)
		}
	}
	same(t, "what may be listed", listed, []string{"daily/*", "weekly/*"})
}

func TestObjectsQueuePolicy(t *testing.T) {
	const arn = "arn:aws-cn:sqs:cn-north-1:123456789012:objects"
	sources := func(o Objects) (all []string) {
		t.Helper()
		text, err := o.queuePolicy(arn)
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Statement []struct {
				Principal any
				Resource  string
				Condition map[string]map[string]string
			}
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		// The first refuses plain HTTP, which TestQueuesRefusePlainHTTP checks.
		for _, s := range p.Statement[1:] {
			same(t, "the principal", s.Principal, map[string]string{"Service": "s3.amazonaws.com"})
			same(t, "the queue", s.Resource, arn)
			all = append(all, s.Condition["ArnEquals"]["aws:SourceArn"]+" of "+s.Condition["StringEquals"]["aws:SourceAccount"])
		}
		return all
	}
	same(t, "each bucket once", sources(Objects{Prefixes: []string{"scores/daily/", "forecasts", "scores/weekly/"}}),
		[]string{"arn:aws-cn:s3:::forecasts of 123456789012", "arn:aws-cn:s3:::scores of 123456789012"})
	same(t, "of another account", sources(Objects{Prefixes: []string{"scores"}, BucketOwner: "210987654321"}), []string{"arn:aws-cn:s3:::scores of 210987654321"})
}

func TestObjectsRefusals(t *testing.T) {
	for want, o := range map[string]Objects{
		`objects.prefixes is empty`:           {},
		`objects.prefixes has ",": give`:      {Prefixes: []string{","}},
		`objects.prefixes has "arn:aws:s3`:    {Prefixes: []string{"arn:aws:s3:::scores"}},
		`objects.prefixes has "scores/*"`:     {Prefixes: []string{"scores/*"}},
		`objects.bucketOwner is "me"`:         {Prefixes: []string{"scores"}, BucketOwner: "me"},
		`objects.keyArns has "alias/objects"`: {Prefixes: []string{"scores"}, KeyArns: []string{"alias/objects"}},
		`objects.maxAgeSeconds`:               {Prefixes: []string{"scores"}, MaxAgeSeconds: 5},
	} {
		if got := refusal(Args{Objects: &o}); !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
	for _, name := range []string{"WORKER_OBJECTS_QUEUE_URL", "WORKER_OBJECTS"} {
		if got := refusal(Args{WorkerSettings: map[string]string{name: "x"}}); !strings.Contains(got, name+" is set by the stack: give objects") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

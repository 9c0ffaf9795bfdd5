package predcache

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	table       = "aws:dynamodb/table:Table predictions-table"
	queue       = "aws:sqs/queue:Queue predictions-queue"
	deadLetters = "aws:sqs/queue:Queue predictions-dead-letters"
	rejects     = "aws:sqs/queue:Queue predictions-rejects"
)

// The system that this one comes from had one table, declared by hand.
func TestOriginalTableIsOneConfiguration(t *testing.T) {
	resources, outputs := cache(t, Args{Layout: ExpirySorted})
	got := resources[table]
	same(t, "the hash key", got["hashKey"], "predictionId")
	same(t, "the range key", got["rangeKey"], "timestamp")
	same(t, "the attributes", got["attributes"], []object{{"name": "predictionId", "type": "S"}, {"name": "timestamp", "type": "N"}})
	same(t, "the billing", got["billingMode"], "PAY_PER_REQUEST")
	same(t, "TTL", got["ttl"], object{"attributeName": "timestamp", "enabled": true})
	same(t, "the tags", got["tags"], object{"Environment": "Production", "Purpose": "CachePredictionOutputs"})
	if outputs["prediction_cache_table_name"] == nil {
		t.Error("prediction_cache_table_name is not exported")
	}
}

func TestDefaultTable(t *testing.T) {
	resources, _ := cache(t, Args{})
	got := resources[table]
	same(t, "the range key", got["rangeKey"], "timestamp")
	same(t, "TTL", got["ttl"], object{"attributeName": "expiresAt", "enabled": true})
	same(t, "the billing", got["billingMode"], "PAY_PER_REQUEST")
	same(t, "deletion protection", got["deletionProtectionEnabled"], false)
	same(t, "recovery", got["pointInTimeRecovery"], object{"enabled": false})
	for _, name := range []string{"onDemandThroughput", "serverSideEncryption", "readCapacity", "name"} {
		if got[name] != nil {
			t.Errorf("%s is set: %v", name, got[name])
		}
	}
	same(t, "everything", types(resources), []string{
		"aws:dynamodb/table:Table predictions-table",
		"aws:iam/policy:Policy predictions-publisher", "aws:iam/policy:Policy predictions-reader", "aws:iam/policy:Policy predictions-worker",
		"aws:sqs/queue:Queue predictions-dead-letters", "aws:sqs/queue:Queue predictions-queue", "aws:sqs/queue:Queue predictions-rejects",
		"aws:sqs/queuePolicy:QueuePolicy predictions-dead-letters", "aws:sqs/queuePolicy:QueuePolicy predictions-queue", "aws:sqs/queuePolicy:QueuePolicy predictions-rejects",
		"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy predictions-dead-letters",
		"predcache:index:Cache predictions",
	})
}

func TestLatestOnlyTable(t *testing.T) {
	resources, _ := cache(t, Args{Layout: LatestOnly, HashKey: "id", HashKeyType: "N", TableName: "cache"})
	got := resources[table]
	same(t, "the name", got["name"], "cache")
	same(t, "the attributes", got["attributes"], []object{{"name": "id", "type": "N"}})
	same(t, "the range key", got["rangeKey"], nil)
	same(t, "TTL", got["ttl"], object{"attributeName": "expiresAt", "enabled": true})
}

func TestTableOptions(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:123456789012:key/1"
	resources, _ := cache(t, Args{
		PointInTimeRecovery: true, DeletionProtection: true, KeyArn: key, SortKey: "at",
		Billing: Billing{MaxWriteUnits: 4000}, Tags: map[string]string{"Environment": "Test", "team": "ml"},
	})
	got := resources[table]
	same(t, "recovery", got["pointInTimeRecovery"], object{"enabled": true})
	same(t, "deletion protection", got["deletionProtectionEnabled"], true)
	same(t, "the key", got["serverSideEncryption"], object{"enabled": true, "kmsKeyArn": key})
	same(t, "the range key", got["rangeKey"], "at")
	same(t, "the bounds", got["onDemandThroughput"], object{"maxReadRequestUnits": -1, "maxWriteRequestUnits": 4000})
	same(t, "the tags", got["tags"], object{"Environment": "Test", "Purpose": "CachePredictionOutputs", "team": "ml"})
	for _, name := range []string{queue, deadLetters, rejects} {
		same(t, name, resources[name]["kmsMasterKeyId"], key)
		same(t, name+" without SQS's own key", resources[name]["sqsManagedSseEnabled"], nil)
	}
}

func TestProvisionedTableScales(t *testing.T) {
	resources, _ := cache(t, Args{Billing: Billing{Mode: Provisioned, MinReadUnits: 5, MaxReadUnits: 50, MinWriteUnits: 10, MaxWriteUnits: 1000, TargetUtilization: 60}})
	got := resources[table]
	same(t, "the billing", got["billingMode"], "PROVISIONED")
	same(t, "reads", got["readCapacity"], 5)
	same(t, "writes", got["writeCapacity"], 10)
	target := resources["aws:appautoscaling/target:Target predictions-write"]
	same(t, "the least", target["minCapacity"], 10)
	same(t, "the most", target["maxCapacity"], 1000)
	same(t, "what", target["resourceId"], "table/predictions-table")
	policy := resources["aws:appautoscaling/policy:Policy predictions-write"]["targetTrackingScalingPolicyConfiguration"]
	same(t, "the policy", policy, object{"predefinedMetricSpecification": object{"predefinedMetricType": "DynamoDBWriteCapacityUtilization"}, "targetValue": 60})
	if resources["aws:appautoscaling/policy:Policy predictions-read"] == nil {
		t.Error("reads don't scale")
	}
}

// Every queue refuses plain HTTP, in each partition.
func TestQueuesRefusePlainHTTP(t *testing.T) {
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
		resources := declareIn(t, partition, func(ctx *pulumi.Context) error {
			_, err := New(ctx, "predictions", Args{Objects: &Objects{Prefixes: []string{"scores/"}}})
			return err
		})
		for _, name := range []string{"queue", "dead-letters", "rejects", "objects", "objects-dead-letters"} {
			arn := "arn:" + partition + ":sqs:eu-west-1:123456789012:predictions-" + name
			var policy struct{ Statement []object }
			text, _ := resources["aws:sqs/queuePolicy:QueuePolicy predictions-"+name]["policy"].(string)
			if err := json.Unmarshal([]byte(text), &policy); err != nil {
				t.Fatalf("%s: %v: %q", name, err, text)
			}
			same(t, name, policy.Statement[0], object{
				"Sid": "TLSOnly", "Effect": "Deny", "Principal": "*", "Action": []string{"sqs:*"}, "Resource": arn,
				"Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
			})
		}
	}
}

func TestQueues(t *testing.T) {
	resources, outputs := cache(t, Args{})
	got := resources[queue]
	var redrive struct {
		Target string `json:"deadLetterTargetArn"`
		Max    int    `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(got["redrivePolicy"].(string)), &redrive); err != nil {
		t.Fatal(err)
	}
	same(t, "the redrive limit", redrive.Max, 50)
	same(t, "the dead-letter queue", redrive.Target, "arn:aws:sqs:eu-west-1:123456789012:predictions-dead-letters")
	same(t, "the visibility timeout", got["visibilityTimeoutSeconds"], 60)
	same(t, "the retention", got["messageRetentionSeconds"], 1209600)
	same(t, "the encryption", got["sqsManagedSseEnabled"], true)
	same(t, "who may dead-letter", resources["aws:sqs/redriveAllowPolicy:RedriveAllowPolicy predictions-dead-letters"]["redriveAllowPolicy"],
		`{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:eu-west-1:123456789012:predictions-queue"]}`)
	same(t, "the worker's settings", outputs["worker_environment"], object{
		"WORKER_QUEUE_URL":        "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-queue",
		"WORKER_REJECT_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-rejects",
		"WORKER_TABLE_NAME":       "predictions-table",
	})
}

func TestQueueOptions(t *testing.T) {
	resources, outputs := cache(t, Args{
		Queue:          Queue{VisibilitySeconds: 120, RetentionDays: 4, MaxReceives: 100, NoRejectQueue: true},
		WorkerSettings: map[string]string{"WORKER_TTL": "1h"},
	})
	got := resources[queue]
	same(t, "the visibility timeout", got["visibilityTimeoutSeconds"], 120)
	same(t, "the retention", got["messageRetentionSeconds"], 345600)
	// A dead letter keeps its first sent time: with the queue's own retention it would be gone too soon.
	same(t, "the dead letters' retention", resources[deadLetters]["messageRetentionSeconds"], 1209600)
	if !strings.Contains(got["redrivePolicy"].(string), `"maxReceiveCount":100`) {
		t.Errorf("the redrive policy is %v", got["redrivePolicy"])
	}
	if resources[rejects] != nil || outputs["reject_queue_url"] != nil {
		t.Error("there is a reject queue")
	}
	same(t, "the worker's settings", outputs["worker_environment"], object{
		"WORKER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-queue", "WORKER_TABLE_NAME": "predictions-table", "WORKER_TTL": "1h",
	})
}

// allowed are the actions that a declared policy allows, each with its resource.
func allowed(t *testing.T, resources map[string]object, name string) []string {
	t.Helper()
	text, _ := resources["aws:iam/policy:Policy predictions-"+name]["policy"].(string)
	var p struct {
		Statement []struct {
			Effect   string
			Action   []string
			Resource string
		}
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%s: %v: %s", name, err, text)
	}
	var all []string
	for _, s := range p.Statement {
		for _, a := range s.Action {
			all = append(all, a+" "+s.Resource[strings.LastIndex(s.Resource, ":")+1:])
		}
	}
	slices.Sort(all)
	return all
}

func TestPolicies(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:123456789012:key/1"
	worker := []string{
		"dynamodb:BatchWriteItem predictions-table", "dynamodb:DescribeTable predictions-table", "dynamodb:DescribeTimeToLive predictions-table",
		"sqs:ChangeMessageVisibility predictions-queue", "sqs:DeleteMessage predictions-queue", "sqs:GetQueueAttributes predictions-queue", "sqs:ReceiveMessage predictions-queue",
	}
	withRejects := slices.Sorted(slices.Values(slices.Concat(worker, []string{"sqs:GetQueueAttributes predictions-rejects", "sqs:SendMessage predictions-rejects"})))
	reader := []string{"dynamodb:BatchGetItem predictions-table", "dynamodb:DescribeTable predictions-table", "dynamodb:DescribeTimeToLive predictions-table", "dynamodb:GetItem predictions-table", "dynamodb:Query predictions-table"}
	for _, c := range []struct {
		name string
		args Args
		want map[string][]string
	}{
		{"by default", Args{}, map[string][]string{"worker": withRejects, "reader": reader, "publisher": {"sqs:SendMessage predictions-queue"}}},
		{"without a reject queue", Args{Queue: Queue{NoRejectQueue: true}}, map[string][]string{"worker": worker}},
		{"newest wins", Args{Queue: Queue{NoRejectQueue: true}, WorkerSettings: map[string]string{"WORKER_ORDERING": "newest"}},
			map[string][]string{"worker": slices.Sorted(slices.Values(append(slices.Clone(worker), "dynamodb:PutItem predictions-table")))}},
		{"deletes remove", Args{Queue: Queue{NoRejectQueue: true}, WorkerSettings: map[string]string{"WORKER_DELETES": "remove"}},
			map[string][]string{"worker": slices.Sorted(slices.Values(append(slices.Clone(worker), "dynamodb:DeleteItem predictions-table", "dynamodb:Query predictions-table")))}},
		{"with a customer key", Args{KeyArn: key}, map[string][]string{
			"worker":    slices.Sorted(slices.Values(append(slices.Clone(withRejects), "kms:Decrypt key/1", "kms:GenerateDataKey key/1"))),
			"reader":    append(slices.Clone(reader), "kms:Decrypt key/1"),
			"publisher": {"kms:Decrypt key/1", "kms:GenerateDataKey key/1", "sqs:SendMessage predictions-queue"},
		}},
		{"redrive without a reject queue", Args{Redrive: true, Queue: Queue{NoRejectQueue: true}}, map[string][]string{"redrive": {
			"sqs:ChangeMessageVisibility predictions-dead-letters", "sqs:DeleteMessage predictions-dead-letters", "sqs:ReceiveMessage predictions-dead-letters", "sqs:SendMessage predictions-queue",
		}}},
		{"by choice", Args{Redrive: true, Scaler: true}, map[string][]string{
			"redrive": {
				"sqs:ChangeMessageVisibility predictions-dead-letters", "sqs:ChangeMessageVisibility predictions-rejects",
				"sqs:DeleteMessage predictions-dead-letters", "sqs:DeleteMessage predictions-rejects",
				"sqs:ReceiveMessage predictions-dead-letters", "sqs:ReceiveMessage predictions-rejects", "sqs:SendMessage predictions-queue", "sqs:SendMessage predictions-queue",
			},
			"scaler": {"cloudwatch:GetMetricData *", "sqs:GetQueueAttributes predictions-queue"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			resources, _ := cache(t, c.args)
			for name, want := range c.want {
				same(t, name, allowed(t, resources, name), want)
			}
		})
	}
}

func TestPodIdentity(t *testing.T) {
	resources, outputs := cache(t, Args{PodIdentity: true})
	trust := resources["aws:iam/role:Role predictions-pod"]["assumeRolePolicy"].(string)
	for _, want := range []string{"pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"} {
		if !strings.Contains(trust, want) {
			t.Errorf("the trust has no %s: %s", want, trust)
		}
	}
	same(t, "the policy", resources["aws:iam/rolePolicyAttachment:RolePolicyAttachment predictions-pod"]["policyArn"], "arn:aws:policy:::predictions-worker")
	if outputs["worker_role_arn"] == nil {
		t.Error("the role is not exported")
	}
}

func TestRefusals(t *testing.T) {
	for want, args := range map[string]Args{
		`layout is "sorted"`:                                              {Layout: "sorted"},
		`hashKeyType is "B"`:                                              {HashKeyType: "B"},
		`hashKey and sortKey are both "timestamp"`:                        {HashKey: "timestamp"},
		`the key "createdAt" is an attribute`:                             {SortKey: "createdAt"},
		`importTable: give tableName`:                                     {ImportTable: true},
		`tableAliases: give tableName`:                                    {TableAliases: []string{"table"}},
		`importTable and tableAliases are both set`:                       {TableName: "t", ImportTable: true, TableAliases: []string{"table"}},
		`billing.mode is "cheap"`:                                         {Billing: Billing{Mode: "cheap"}},
		`give minReadUnits and minWriteUnits`:                             {Billing: Billing{Mode: Provisioned}},
		`are for the mode provisioned`:                                    {Billing: Billing{MinReadUnits: 1}},
		`queue.visibilitySeconds is 5`:                                    {Queue: Queue{VisibilitySeconds: 5}},
		`queue.maxReceives is 3`:                                          {Queue: Queue{MaxReceives: 3}},
		`queue.retentionDays is 15`:                                       {Queue: Queue{RetentionDays: 15}},
		`keyArn is "alias/mine"`:                                          {KeyArn: "alias/mine"},
		`alarms.maxAgeSeconds`:                                            {Alarms: &Alarms{MaxAgeSeconds: 10}},
		`unknown setting TTL`:                                             {WorkerSettings: map[string]string{"TTL": "1h"}},
		`unknown setting WORKER_TLL`:                                      {WorkerSettings: map[string]string{"WORKER_TLL": "1h"}},
		`unknown setting AWS_PROFILE`:                                     {WorkerSettings: map[string]string{"AWS_PROFILE": "me"}},
		`WORKER_TTL is "soon": must be a duration like 500ms, 20s or 24h`: {WorkerSettings: map[string]string{"WORKER_TTL": "soon"}},
		`WORKER_TTL is "3600": must be a duration`:                        {WorkerSettings: map[string]string{"WORKER_TTL": "3600"}},
		`WORKER_POLLERS is "many": must be an integer`:                    {WorkerSettings: map[string]string{"WORKER_POLLERS": "many"}},
		`WORKER_TTL_JITTER is "some": must be a number`:                   {WorkerSettings: map[string]string{"WORKER_TTL_JITTER": "some"}},
		`WORKER_ALLOW_NO_TTL is "maybe": must be true or false`:           {WorkerSettings: map[string]string{"WORKER_ALLOW_NO_TTL": "maybe"}},
		`WORKER_ORDERING is "latest": must be one of last-write, newest`:  {WorkerSettings: map[string]string{"WORKER_ORDERING": "latest"}},
		`WORKER_QUEUE_URL is set by the stack`:                            {WorkerSettings: map[string]string{"WORKER_QUEUE_URL": "x"}},
	} {
		if got := refusal(args); !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", args, got, want)
		}
	}
}

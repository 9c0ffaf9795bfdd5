package predcache

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	headers   = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:collector-AbCdEf:headers::"
	config    = "arn:aws:ssm:eu-west-1:123456789012:parameter/predcache/collector"
	secretKey = "arn:aws:kms:eu-west-1:123456789012:key/1"
)

// withCollector is a service with a secret and a sidecar, as a stack's configuration gives them.
func withCollector(t *testing.T) ServiceArgs {
	t.Helper()
	args := onFargate
	text := `{
	  "secrets": {"OTEL_EXPORTER_OTLP_HEADERS": "` + headers + `"}, "secretKeyArns": ["` + secretKey + `"],
	  "sidecars": [{"name": "collector", "image": "otel/opentelemetry-collector-contrib:0.140.0", "memoryReservation": 256,
	    "command": ["--config=env:CONFIG"], "secrets": [{"name": "CONFIG", "valueFrom": "` + config + `"}]}],
	  "taskPolicyArns": ["arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"]
	}`
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		t.Fatal(err)
	}
	return args
}

func TestSidecarsAndSecrets(t *testing.T) {
	resources := service(t, nil, withCollector(t))
	var containers []object
	if err := json.Unmarshal([]byte(resources["aws:ecs/taskDefinition:TaskDefinition worker"]["containerDefinitions"].(string)), &containers); err != nil {
		t.Fatal(err)
	}
	if len(containers) != 2 {
		t.Fatalf("%d containers", len(containers))
	}
	same(t, "the worker's secrets", containers[0]["secrets"], []object{{"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": headers}})
	sidecar := containers[1]
	same(t, "the name", sidecar["name"], "collector")
	same(t, "the command", sidecar["command"], []string{"--config=env:CONFIG"})
	same(t, "whether its end is the task's", sidecar["essential"], false)
	same(t, "its logs", sidecar["logConfiguration"].(object)["options"].(object)["awslogs-stream-prefix"], "collector")
	same(t, "what the execution role reads", jsonOf(t, resources["aws:iam/rolePolicy:RolePolicy worker-secrets"]["policy"]), object{
		"Version": "2012-10-17", "Statement": []object{
			{"Effect": "Allow", "Action": []string{"kms:Decrypt"}, "Resource": []string{secretKey}},
			{"Effect": "Allow", "Action": []string{"secretsmanager:GetSecretValue"}, "Resource": []string{strings.TrimSuffix(headers, ":headers::")}},
			{"Effect": "Allow", "Action": []string{"ssm:GetParameters"}, "Resource": []string{config}},
		},
	})
	same(t, "whose policy that is", resources["aws:iam/rolePolicy:RolePolicy worker-secrets"]["role"], "worker-execution")
	same(t, "the sidecar's policy", resources["aws:iam/rolePolicyAttachment:RolePolicyAttachment worker-task-0"]["policyArn"], "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess")
	for name := range service(t, nil, onFargate) {
		if strings.HasPrefix(name, "aws:iam/rolePolicy:") {
			t.Errorf("without secrets, there is %s", name)
		}
	}
}

func jsonOf(t *testing.T, text any) (v any) {
	t.Helper()
	s, _ := text.(string)
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v: %q", err, s)
	}
	return v
}

// Only tasks of the account and the region may have the task role, in each partition.
func TestServiceInPartitions(t *testing.T) {
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
		resources := declareIn(t, partition, func(ctx *pulumi.Context) error {
			c, err := New(ctx, "predictions", Args{})
			if err != nil {
				return err
			}
			_, err = NewService(ctx, "worker", c, onFargate)
			return err
		})
		same(t, "the task role's trust", jsonOf(t, resources["aws:iam/role:Role worker-task"]["assumeRolePolicy"]), object{
			"Version": "2012-10-17", "Statement": []object{{
				"Effect": "Allow", "Principal": object{"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole",
				"Condition": object{
					"ArnLike":      object{"aws:SourceArn": "arn:" + partition + ":ecs:eu-west-1:123456789012:*"},
					"StringEquals": object{"aws:SourceAccount": "123456789012"},
				},
			}},
		})
		same(t, "the execution role's trust", jsonOf(t, resources["aws:iam/role:Role worker-execution"]["assumeRolePolicy"]), object{
			"Version": "2012-10-17", "Statement": []object{{"Effect": "Allow", "Principal": object{"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}},
		})
		same(t, "the execution role's policy", resources["aws:iam/rolePolicyAttachment:RolePolicyAttachment worker-execution"]["policyArn"],
			"arn:"+partition+":iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")
	}
}

func TestContainerRefusals(t *testing.T) {
	for want, change := range map[string]func(*ServiceArgs){
		`service.secrets has "A-B": give the name`:                 func(a *ServiceArgs) { a.Secrets = map[string]string{"A-B": headers} },
		`service.secrets has WORKER_TTL: no setting`:               func(a *ServiceArgs) { a.Secrets = map[string]string{"WORKER_TTL": headers} },
		`the secret "collector": give the ARN`:                     func(a *ServiceArgs) { a.Secrets = map[string]string{"TOKEN": "collector"} },
		`the secret "/collector": give the ARN`:                    func(a *ServiceArgs) { a.Sidecars[0]["secrets"] = []any{object{"name": "A", "valueFrom": "/collector"}} },
		`the secret "arn:aws:s3:::scores": give the ARN`:           func(a *ServiceArgs) { a.Secrets = map[string]string{"TOKEN": "arn:aws:s3:::scores"} },
		`service.secretKeyArns or taskPolicyArns has "alias/k"`:    func(a *ServiceArgs) { a.SecretKeyArns = []string{"alias/k"} },
		`service.secretKeyArns or taskPolicyArns has "ReadOnly"`:   func(a *ServiceArgs) { a.TaskPolicyArns = []string{"ReadOnly"} },
		`service.sidecars[0].name is "a b": give up to 255`:        func(a *ServiceArgs) { a.Sidecars[0]["name"] = "a b" },
		`service.sidecars[0].name is "worker", which another`:      func(a *ServiceArgs) { a.Sidecars[0]["name"] = "worker" },
		`service.sidecars[0].image is needed`:                      func(a *ServiceArgs) { delete(a.Sidecars[0], "image") },
		`the worker may take 256 MiB (docs/guarantees.md, Memory)`: func(a *ServiceArgs) { a.Sidecars[0]["memory"] = 800.0 },
		`OTEL_SERVICE_NAME is in both workerSettings and`:          func(a *ServiceArgs) { a.Secrets["OTEL_SERVICE_NAME"] = config },
	} {
		args := withCollector(t)
		change(&args)
		err := pulumi.RunErr(func(ctx *pulumi.Context) error {
			c, err := New(ctx, "predictions", Args{WorkerSettings: map[string]string{"OTEL_SERVICE_NAME": "scores"}})
			if err != nil {
				return err
			}
			_, err = NewService(ctx, "worker", c, args)
			return err
		}, pulumi.WithMocks("predcache", "test", &recorder{resources: map[string]object{}}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

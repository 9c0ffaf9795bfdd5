package deployments

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/config"
)

const ecsTemplate = "ecs/service.template.json"

func TestTemplatePassesCfnLint(t *testing.T) {
	command{}.must(t, tool(t, "cfn-lint"), ecsTemplate)
	// A larger one would have to be put on S3 first ("CloudFormation quotas", template body size in a request).
	if file, err := os.Stat(ecsTemplate); err != nil || file.Size() > 51_200 {
		t.Errorf("the template: %v, %d bytes, want at most 51,200", err, file.Size())
	}
}

// A linter that finds nothing is worth only what it would find.
func TestCfnLintFindsMistakes(t *testing.T) {
	text, err := os.ReadFile(ecsTemplate)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"an unknown function in a rule": {`"Fn::Contains"`, `"Fn::Holds"`, "E1701"},
		"a network mode":                {`"NetworkMode": "awsvpc"`, `"NetworkMode": "bridge"`, "E3048"},
		"an unknown field":              {`"StopTimeout"`, `"StopTime"`, "E3002"},
		"an unknown parameter":          {`"Ref": "Image"`, `"Ref": "Picture"`, "E1020"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "template.json")
			broken := strings.Replace(string(text), c.old, c.new, 1)
			if broken == string(text) {
				t.Fatalf("the template has no %s", c.old)
			}
			if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, err := command{}.run(t, tool(t, "cfn-lint"), file)
			if err == nil || !strings.Contains(stdout, c.want) {
				t.Errorf("cfn-lint: %v\n%s%s\nwant %s", err, stdout, stderr, c.want)
			}
		})
	}
}

// onMoto makes the template's resources with each set of parameters, and returns what AWS would have.
func onMoto(t *testing.T, sets map[string]object) (made map[string]object) {
	t.Helper()
	stdin, err := json.Marshal(sets)
	if err != nil {
		t.Fatal(err)
	}
	text := command{stdin: string(stdin), limit: 2 * time.Minute}.must(t, "../.cache/deploy/python/bin/python", "tools/moto_ecs.py", ecsTemplate)
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

// taskEnvironment has the values of the task's variables by their names.
func taskEnvironment(made any) object {
	values := object{}
	list, _ := at(made, "task", "containerDefinitions", 0, "environment").([]any)
	for _, v := range list {
		values[at(v, "name").(string)] = at(v, "value")
	}
	return values
}

func TestServiceOnMoto(t *testing.T) {
	defaults := map[string]string{}
	for _, s := range config.Settings() {
		defaults[s.Name] = s.Default
	}
	for architecture, made := range onMoto(t, map[string]object{"ARM64": {}, "X86_64": {"Architecture": "X86_64"}}) {
		t.Run(architecture, func(t *testing.T) {
			task, c := at(made, "task"), at(made, "task", "containerDefinitions", 0)
			same(t, "the platform", at(task, "runtimePlatform"), object{"cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"})
			same(t, "where it runs", at(task, "requiresCompatibilities"), []string{"FARGATE"})
			same(t, "the size", []any{at(task, "cpu"), at(task, "memory")}, []string{"512", "1024"})
			same(t, "the network", at(task, "networkMode"), "awsvpc")
			same(t, "the root", at(c, "readonlyRootFilesystem"), true)
			same(t, "the user", at(c, "user"), "65532:65532")
			same(t, "the health check", at(c, "healthCheck", "command"), []string{"CMD", "/worker", "health"})
			same(t, "the logs", at(c, "logConfiguration", "logDriver"), "awslogs")
			same(t, "roles", []any{at(task, "taskRoleArn") != nil, at(task, "executionRoleArn") != nil}, []bool{true, true})
			drain, err := time.ParseDuration(defaults["WORKER_DRAIN_TIMEOUT"])
			if err != nil {
				t.Fatal(err)
			}
			if stop, _ := at(c, "stopTimeout").(float64); time.Duration(stop)*time.Second < drain+5*time.Second {
				t.Errorf("killed after %v s, with %v of drain", stop, drain)
			}
			// Settings without a value are the worker's own, and a reject queue is a choice.
			same(t, "the environment", taskEnvironment(made), object{
				"AWS_REGION": "eu-west-1", "GOMAXPROCS": "1", "WORKER_QUEUE_URL": queueURL, "WORKER_TABLE_NAME": "predictions", "WORKER_DRAIN_TIMEOUT": "25s",
			})
			same(t, "the containers", len(at(made, "task", "containerDefinitions").([]any)), 1)
			same(t, "the secrets", []any{at(c, "secrets"), at(made, "secrets")}, []any{[]any{}, []any{}})
			same(t, "the task role's trust", at(made, "trust", "Statement", 0, "Condition"), object{
				"ArnLike": object{"aws:SourceArn": "arn:aws:ecs:eu-west-1:123456789012:*"}, "StringEquals": object{"aws:SourceAccount": "123456789012"},
			})
			same(t, "the service's network", at(made, "service", "networkConfiguration", "awsvpcConfiguration", "assignPublicIp"), "DISABLED")
			same(t, "the scaling's bounds", []any{at(made, "targets", 0, "MinCapacity"), at(made, "targets", 0, "MaxCapacity")}, []int{1, 10})
			same(t, "the backlog", at(made, "policies", 0, "TargetTrackingScalingPolicyConfiguration", "TargetValue"), 5000)
		})
	}
}

// Each setting has a parameter, under the name that the worker reads.
func TestServiceParametersOnMoto(t *testing.T) {
	parameters := object{
		"Cpu": "2048", "Memory": "5120", "MinTasks": 2, "MaxTasks": 4, "OnDemandTasks": 2, "MessagesPerTask": 900,
		"RejectQueueUrl": queueURL + "-rejects", "OtelExporterOtlpEndpoint": "http://collector:4318", "OtelServiceName": "scores",
		"Gogc": "50", "Gomaxprocs": "1", "DrainTimeout": "50s", "AssignPublicIp": "ENABLED", "OnDemandWeight": 1, "SpotWeight": 0,
	}
	want := object{
		"AWS_REGION": "eu-west-1", "GOMAXPROCS": "1", "WORKER_QUEUE_URL": queueURL, "WORKER_TABLE_NAME": "predictions",
		"WORKER_REJECT_QUEUE_URL": queueURL + "-rejects", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SERVICE_NAME": "scores",
		"GOGC": "50", "WORKER_DRAIN_TIMEOUT": "50s",
	}
	for name, s := range workerSettings(t) {
		if slices.Contains(inChart, name) || name == "WORKER_DRAIN_TIMEOUT" {
			continue
		}
		value := map[string]string{"duration": "1m30s", "integer": "4096", "number": "0.25", "boolean": "true", "string": "value"}[s.Type]
		if s.Values != nil {
			value = s.Values[len(s.Values)-1]
		}
		parameter := ""
		for word := range strings.SplitSeq(strings.TrimPrefix(name, "WORKER_"), "_") {
			parameter += word[:1] + strings.ToLower(word[1:])
		}
		parameters[parameter], want[name] = value, value
	}
	made := onMoto(t, map[string]object{"all": parameters})["all"]
	if made["refused"] != nil {
		t.Fatalf("refused: %v", made["refused"])
	}
	same(t, "the environment", taskEnvironment(made), want)
	same(t, "the stop timeout", at(made, "task", "containerDefinitions", 0, "stopTimeout"), 60)
	same(t, "the addresses", at(made, "service", "networkConfiguration", "awsvpcConfiguration", "assignPublicIp"), "ENABLED")
	same(t, "the mix", at(made, "mix"), []object{
		{"Base": 2, "CapacityProvider": "FARGATE", "Weight": 1}, {"Base": 0, "CapacityProvider": "FARGATE_SPOT", "Weight": 0},
	})
	same(t, "the size", []any{at(made, "task", "cpu"), at(made, "task", "memory")}, []string{"2048", "5120"})
	same(t, "the scaling's bounds", []any{at(made, "targets", 0, "MinCapacity"), at(made, "targets", 0, "MaxCapacity")}, []int{2, 4})
	same(t, "the backlog", at(made, "policies", 0, "TargetTrackingScalingPolicyConfiguration", "TargetValue"), 900)
}

// A sidecar and secrets are registered, and the execution role may read these secrets and no others.
func TestSecretsAndSidecarOnMoto(t *testing.T) {
	const (
		secret    = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:collector-AbCdEf"
		parameter = "arn:aws:ssm:eu-west-1:123456789012:parameter/collector"
		key       = "arn:aws:kms:eu-west-1:123456789012:key/1"
		policy    = "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"
	)
	made := onMoto(t, map[string]object{"all": {
		"SecretName1": "OTEL_EXPORTER_OTLP_HEADERS", "SecretArn1": secret, "SecretJsonKey1": "headers", "SecretKeyArn": key, "TaskPolicyArn": policy,
		"SidecarImage": "otel/opentelemetry-collector-contrib:0.140.0", "SidecarCommand": "--config=env:CONFIG,--set=x=1", "SidecarConfigArn": parameter, "SidecarMemory": 128,
	}})["all"]
	if why := at(made, "refused"); why != nil {
		t.Fatalf("refused: %v", why)
	}
	worker, sidecar := at(made, "task", "containerDefinitions", 0), at(made, "task", "containerDefinitions", 1)
	same(t, "the worker's secrets", at(worker, "secrets"), []object{{"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": secret + ":headers::"}})
	same(t, "the sidecar", []any{at(sidecar, "name"), at(sidecar, "essential"), at(sidecar, "memoryReservation"), at(sidecar, "logConfiguration", "options", "awslogs-stream-prefix")},
		[]any{"sidecar", false, 128, "sidecar"})
	same(t, "its command", at(sidecar, "command"), []string{"--config=env:CONFIG", "--set=x=1"})
	same(t, "its configuration", at(sidecar, "secrets"), []object{{"name": "CONFIG", "valueFrom": parameter}})
	same(t, "what the task role has besides", at(made, "taskPolicies", 1), policy)
	same(t, "what the execution role reads", at(made, "secrets"), []object{{"Version": "2012-10-17", "Statement": []object{
		{"Action": []string{"secretsmanager:GetSecretValue", "ssm:GetParameters"}, "Effect": "Allow", "Resource": []string{secret, parameter}},
		{"Action": []string{"kms:Decrypt"}, "Effect": "Allow", "Resource": key},
	}}})
}

// Nothing in the template is of one partition: China and GovCloud have other ARNs and endpoints. The principal of ECS tasks is
// called so in each.
func TestTemplateWorksInEachPartition(t *testing.T) {
	text, err := os.ReadFile(ecsTemplate)
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.ReplaceAll(string(text), "ecs-tasks.amazonaws.com", "")
	for _, fixed := range []string{"arn:aws:", "amazonaws.com", "eu-west-1", "123456789012"} {
		if strings.Contains(rest, fixed) {
			t.Errorf("the template has %s", fixed)
		}
	}
	made := onMoto(t, map[string]object{"China": {"AWS::Partition": "aws-cn", "AWS::Region": "cn-north-1"}})["China"]
	same(t, "the execution role's policy", at(made, "executionPolicies", 0), "arn:aws-cn:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")
	same(t, "whose tasks may have the role", at(made, "trust", "Statement", 0, "Condition", "ArnLike", "aws:SourceArn"), "arn:aws-cn:ecs:cn-north-1:123456789012:*")
}

func TestTemplateRefuses(t *testing.T) {
	sets := map[string]object{
		"Memory is 1536": {"Cpu": "256", "Memory": "1536"},
		"With 512 CPU units, Fargate takes a memory of 1024, 2048, 3072, 4096 MiB": {"Cpu": "512", "Memory": "8192"},
		"With 256 CPU units, Fargate takes a memory of 512, 1024, 2048 MiB":        {"Cpu": "256", "Memory": "3072"},
		"Cpu is 768":                        {"Cpu": "768"},
		"Ttl is soon":                       {"Ttl": "soon"},
		"Pollers is many":                   {"Pollers": "many"},
		"Ordering is latest":                {"Ordering": "latest"},
		"DrainTimeout is 5m":                {"DrainTimeout": "5m"},
		"SecretArn1 is /key":                {"SecretArn1": "/key"},
		"With SecretArn2, give SecretName2": {"SecretArn2": "arn:aws:ssm:eu-west-1:123456789012:parameter/key"},
	}
	for want, made := range onMoto(t, sets) {
		why, _ := made["refused"].([]any)
		if !slices.Contains(why, any(want)) {
			t.Errorf("%v: refused because of %v, want %s", sets[want], why, want)
		}
	}
}

package predcache

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var onFargate = ServiceArgs{Image: "ghcr.io/predcache/worker:v1.2.3", Region: "eu-west-1", VpcID: "vpc-1", Subnets: []string{"subnet-1", "subnet-2"}}

// container is the worker's container definition.
func container(t *testing.T, resources map[string]object) object {
	t.Helper()
	var list []object
	if err := json.Unmarshal([]byte(resources["aws:ecs/taskDefinition:TaskDefinition worker"]["containerDefinitions"].(string)), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatalf("%d containers", len(list))
	}
	return list[0]
}

func environmentOf(c object) object {
	all := object{}
	for _, v := range c["environment"].([]any) {
		all[v.(object)["name"].(string)] = v.(object)["value"]
	}
	return all
}

func TestTaskDefinition(t *testing.T) {
	resources := service(t, nil, onFargate)
	task, c := resources["aws:ecs/taskDefinition:TaskDefinition worker"], container(t, resources)
	same(t, "the platform", task["runtimePlatform"], object{"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"})
	same(t, "CPU", task["cpu"], "512")
	same(t, "memory", task["memory"], "1024")
	same(t, "the network", task["networkMode"], "awsvpc")
	same(t, "the root", c["readonlyRootFilesystem"], true)
	same(t, "the user", c["user"], "65532:65532")
	same(t, "the health check", c["healthCheck"], object{"command": []string{"CMD", "/worker", "health"}, "interval": 10, "timeout": 5, "retries": 3, "startPeriod": 30})
	same(t, "the stop timeout", c["stopTimeout"], 35)
	same(t, "the log driver", c["logConfiguration"].(object)["logDriver"], "awslogs")
	same(t, "the environment", environmentOf(c), object{
		"AWS_REGION": "eu-west-1", "GOMAXPROCS": "1",
		"WORKER_QUEUE_URL":        "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-queue",
		"WORKER_REJECT_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions-rejects",
		"WORKER_TABLE_NAME":       "predictions-table",
	})
	same(t, "the task's policy", resources["aws:iam/rolePolicyAttachment:RolePolicyAttachment worker-task"]["policyArn"], "arn:aws:policy:::predictions-worker")
}

func TestTaskStopsAfterTheDrain(t *testing.T) {
	c := container(t, service(t, map[string]string{"WORKER_DRAIN_TIMEOUT": "1m"}, onFargate))
	same(t, "the stop timeout", c["stopTimeout"], 70)
	if _, err := ContainerDefinitions(onFargate, "g", map[string]string{"WORKER_DRAIN_TIMEOUT": "2m"}); err == nil || !strings.Contains(err.Error(), "set at most 1m50s") {
		t.Errorf("a drain longer than Fargate allows: %v", err)
	}
}

func TestFargateSizes(t *testing.T) {
	for size, offered := range map[[2]int]bool{
		{256, 512}: true, {256, 1024}: true, {256, 1536}: false, {256, 2048}: true, {256, 3072}: false,
		{512, 1024}: true, {512, 1536}: false, {512, 4096}: true, {512, 5120}: false,
		{1024, 1024}: false, {1024, 8192}: true, {2048, 4096}: true, {4096, 30720}: true, {4096, 31744}: false,
		{8192, 16384}: true, {8192, 17408}: false, {8192, 20480}: true, {16384, 32768}: true, {16384, 36864}: false, {16384, 122880}: true,
		{768, 2048}: false, {32768, 122880}: false,
	} {
		if err := checkSize(size[0], size[1]); (err == nil) != offered {
			t.Errorf("%d CPU units and %d MiB: %v, want offered = %v", size[0], size[1], err, offered)
		}
	}
}

func TestTaskHasTheProcessorsOfItsSize(t *testing.T) {
	for cpu, want := range map[int]string{256: "1", 1024: "1", 2048: "2", 16384: "16"} {
		args := onFargate
		args.CPU, args.Memory = cpu, 32768
		text, err := ContainerDefinitions(args, "g", nil)
		if err != nil || !strings.Contains(text, `{"name":"GOMAXPROCS","value":"`+want+`"}`) {
			t.Errorf("%d CPU units: %v %s", cpu, err, text)
		}
	}
}

func TestTaskHasMemoryForWhatIsHeld(t *testing.T) {
	if need := memoryNeed(nil); need != 256 {
		t.Errorf("by default the worker takes %d MiB, but docs/guarantees.md says 256", need)
	}
	if need := memoryNeed(map[string]string{"WORKER_OBJECTS_QUEUE_URL": "https://queue"}); need != 344 {
		t.Errorf("with batch outputs the worker takes %d MiB, want 344", need)
	}
	args := onFargate
	args.Memory = 512
	_, err := ContainerDefinitions(args, "g", map[string]string{"WORKER_MAX_HELD_BYTES": "419430400"})
	if err == nil || !strings.Contains(err.Error(), "service.memory is 512, but the worker may take 656 MiB") {
		t.Errorf("more held than there is memory: %v", err)
	}
	// The stack says so before it declares the service.
	r := &recorder{resources: map[string]object{}}
	err = pulumi.RunErr(func(ctx *pulumi.Context) error {
		c, err := New(ctx, "predictions", Args{WorkerSettings: map[string]string{"WORKER_DRAIN_TIMEOUT": "2m"}})
		if err != nil {
			return err
		}
		_, err = NewService(ctx, "worker", c, onFargate)
		return err
	}, pulumi.WithMocks("predcache", "test", r))
	if err == nil || !strings.Contains(err.Error(), "set at most 1m50s") || r.resources["predcache:index:Service worker"] != nil {
		t.Errorf("a drain longer than Fargate allows: %v", err)
	}
}

// Traces and the runtime are set by variables that are not the worker's.
func TestServicePassesVariablesThrough(t *testing.T) {
	got := environmentOf(container(t, service(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "GOGC": "50", "GOMAXPROCS": "2", "WORKER_TTL": "1h"}, onFargate)))
	same(t, "the endpoint", got["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://collector:4318")
	same(t, "GOGC", got["GOGC"], "50")
	same(t, "GOMAXPROCS", got["GOMAXPROCS"], "2")
	same(t, "WORKER_TTL", got["WORKER_TTL"], "1h")
}

// The security group lets the worker reach its collector.
func TestEgressPorts(t *testing.T) {
	for endpoint, want := range map[string][]int{
		"": {443}, "http://collector:4318": {443, 4318}, "https://collector": {443}, "http://collector": {443, 80},
		"http://localhost:4317": {443}, // a sidecar, in the task's own network
	} {
		same(t, endpoint, egressPorts(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}), want)
	}
	resources := service(t, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, onFargate)
	egress, _ := resources["aws:ec2/securityGroup:SecurityGroup worker"]["egress"].([]any)
	if len(egress) != 2 || egress[1].(object)["fromPort"] != 4318.0 {
		t.Errorf("the group lets out %v", egress)
	}
}

func TestServiceDefaults(t *testing.T) {
	resources := service(t, nil, onFargate)
	s := resources["aws:ecs/service:Service worker"]
	same(t, "the circuit breaker", s["deploymentCircuitBreaker"], object{"enable": true, "rollback": true})
	same(t, "the mix", s["capacityProviderStrategies"], []object{{"base": 1, "capacityProvider": "FARGATE", "weight": 25}, {"base": 0, "capacityProvider": "FARGATE_SPOT", "weight": 75}})
	same(t, "the group", resources["aws:ec2/securityGroup:SecurityGroup worker"]["ingress"], nil)
	same(t, "the insights", resources["aws:ecs/cluster:Cluster worker"]["settings"], []object{{"name": "containerInsights", "value": "enabled"}})
	target := resources["aws:appautoscaling/target:Target worker"]
	same(t, "the least", target["minCapacity"], 1)
	same(t, "the most", target["maxCapacity"], 10)
	same(t, "what", target["resourceId"], "service/worker/worker")
	policy := resources["aws:appautoscaling/policy:Policy worker"]["targetTrackingScalingPolicyConfiguration"].(object)
	same(t, "the backlog", policy["targetValue"], 5000)
	metrics := policy["customizedMetricSpecification"].(object)["metrics"].([]any)
	same(t, "the metrics", len(metrics), 3)
	for i, returned := range []bool{false, false, true} {
		same(t, "what is returned", metrics[i].(object)["returnData"], returned)
	}
}

func TestServiceOptions(t *testing.T) {
	args := onFargate
	args.Architecture, args.CPU, args.Memory, args.MinTasks, args.MaxTasks, args.MessagesPerTask = "X86_64", 1024, 2048, 2, 6, 20000
	args.ClusterName, args.SecurityGroups, args.SpotShare, args.AssignPublicIP, args.LogDays = "shared", []string{"sg-1"}, -1, true, 7
	resources := service(t, nil, args)
	for _, absent := range []string{"aws:ecs/cluster:Cluster worker", "aws:ec2/securityGroup:SecurityGroup worker"} {
		if resources[absent] != nil {
			t.Errorf("there is a %s", absent)
		}
	}
	s := resources["aws:ecs/service:Service worker"]
	same(t, "the cluster", s["cluster"], "shared")
	same(t, "the mix", s["capacityProviderStrategies"], []object{{"base": 0, "capacityProvider": "FARGATE", "weight": 1}})
	same(t, "the network", s["networkConfiguration"], object{"assignPublicIp": true, "securityGroups": []string{"sg-1"}, "subnets": []string{"subnet-1", "subnet-2"}})
	same(t, "CPU", resources["aws:ecs/taskDefinition:TaskDefinition worker"]["runtimePlatform"], object{"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"})
	same(t, "the logs", resources["aws:cloudwatch/logGroup:LogGroup worker"]["retentionInDays"], 7)
	same(t, "the target", resources["aws:appautoscaling/target:Target worker"]["resourceId"], "service/shared/worker")
}

func TestServiceRefusals(t *testing.T) {
	for want, change := range map[string]func(*ServiceArgs){
		"service.image is needed":    func(a *ServiceArgs) { a.Image = "" },
		"service.region is needed":   func(a *ServiceArgs) { a.Region = "" },
		"service.subnets are needed": func(a *ServiceArgs) { a.Subnets = nil },
		"service.vpcId is needed":    func(a *ServiceArgs) { a.VpcID = "" },
		"service.cpu is 300":         func(a *ServiceArgs) { a.CPU = 300 },
		"service.memory is 512: with service.cpu of 512, Fargate takes 1024 to 4096 in steps of 1024": func(a *ServiceArgs) { a.Memory = 512 },
		`service.architecture is "arm"`: func(a *ServiceArgs) { a.Architecture = "arm" },
		"service.minTasks is 11":        func(a *ServiceArgs) { a.MinTasks = 11 },
	} {
		args := onFargate
		change(&args)
		err := pulumi.RunErr(func(ctx *pulumi.Context) error {
			c, err := New(ctx, "predictions", Args{})
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

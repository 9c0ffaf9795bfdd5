package predcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/appautoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ServiceArgs configure the worker as an ECS service on Fargate.
type ServiceArgs struct {
	// Image of the worker, by digest or by a tag that never moves.
	Image string `json:"image"`
	// Region for the logs and the SDK.
	Region string `json:"region"`
	// VpcID and Subnets are where tasks run. Without AssignPublicIP the subnets need a route to SQS, DynamoDB, CloudWatch Logs and
	// the image's registry: a NAT gateway, or endpoints.
	VpcID          string   `json:"vpcId"`
	Subnets        []string `json:"subnets"`
	AssignPublicIP bool     `json:"assignPublicIp"`
	// SecurityGroups of the tasks. Unless set, one is made that allows HTTPS and traces out, and nothing in.
	SecurityGroups []string `json:"securityGroups"`
	// ClusterName of an ECS cluster with Container Insights, which count the tasks. One is made unless set.
	ClusterName string `json:"clusterName"`

	Architecture string `json:"architecture"` // ARM64 unless set, or X86_64
	CPU          int    `json:"cpu"`          // 512 unless set: half a vCPU. Fargate decides which CPU and memory go together
	Memory       int    `json:"memory"`       // MiB; 1024 unless set
	MinTasks     int    `json:"minTasks"`     // 1 unless set
	MaxTasks     int    `json:"maxTasks"`     // 10 unless set: together they hold at most 100,000 messages
	// MessagesPerTask is the target backlog of a task; 5000 unless set: 5 s at 1,000 messages a second.
	MessagesPerTask int `json:"messagesPerTask"`
	// OnDemandTasks never run on Spot; 1 unless set. SpotShare of the others, in percent, does: 75 unless set, -1 for none. A
	// Spot task gets SIGTERM two minutes before its end, which is more than the drain needs.
	OnDemandTasks int `json:"onDemandTasks"`
	SpotShare     int `json:"spotShare"`
	// LogDays is how long logs are kept; 30 unless set.
	LogDays int `json:"logDays"`

	// Secrets are variables of the worker by the ARN of a parameter of Systems Manager or of a secret of Secrets Manager, like
	// OTEL_EXPORTER_OTLP_HEADERS. The execution role may read these and the sidecars', and no others.
	Secrets map[string]string `json:"secrets"`
	// SecretKeyArns are the customer keys of KMS that the secrets are encrypted with, if any.
	SecretKeyArns []string `json:"secretKeyArns"`
	// Sidecars are more containers of the task, such as a collector, as RegisterTaskDefinition takes them. They share the
	// task's network, CPU, memory and role. Unless set, essential is false and the logs go beside the worker's.
	Sidecars []map[string]any `json:"sidecars"`
	// TaskPolicyArns are more policies of the task's role, for what sidecars call.
	TaskPolicyArns []string `json:"taskPolicyArns"`
}

func (a ServiceArgs) withDefaults() (ServiceArgs, error) {
	orDefault(&a.Architecture, "ARM64")
	orDefault(&a.CPU, 512)
	orDefault(&a.Memory, 1024)
	orDefault(&a.MinTasks, 1)
	orDefault(&a.MaxTasks, 10)
	orDefault(&a.MessagesPerTask, 5000)
	orDefault(&a.OnDemandTasks, 1)
	orDefault(&a.SpotShare, 75)
	orDefault(&a.LogDays, 30)
	var errs []error
	wrong := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(a.Image == "", "service.image is needed")
	wrong(a.Region == "", "service.region is needed")
	wrong(len(a.Subnets) == 0, "service.subnets are needed")
	wrong(a.VpcID == "" && len(a.SecurityGroups) == 0, "service.vpcId is needed, for a security group, unless service.securityGroups are given")
	wrong(a.Architecture != "ARM64" && a.Architecture != "X86_64", "service.architecture is %q: give ARM64 or X86_64", a.Architecture)
	if err := checkSize(a.CPU, a.Memory); err != nil {
		errs = append(errs, err)
	}
	wrong(a.MinTasks < 1 || a.MaxTasks < a.MinTasks, "service.minTasks is %d and maxTasks %d: give 1 or more, and not less", a.MinTasks, a.MaxTasks)
	wrong(a.SpotShare > 100, "service.spotShare is %d: give a share in percent, or -1 for none", a.SpotShare)
	errs = append(errs, a.containerProblems()...)
	return a, errors.Join(errs...)
}

// drainTimeout is the worker's default; stopMargin is how much longer ECS waits before it kills the task.
const (
	drainTimeout = 25 * time.Second
	stopMargin   = 10 * time.Second
	maxStop      = 120 * time.Second // Fargate's maximum
)

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ContainerDefinitions returns the container definitions of the worker's task, the worker's first, as RegisterTaskDefinition
// takes them.
func ContainerDefinitions(a ServiceArgs, logGroup string, settings map[string]string) (string, error) {
	drain := drainTimeout
	if text := settings["WORKER_DRAIN_TIMEOUT"]; text != "" {
		var err error
		if drain, err = time.ParseDuration(text); err != nil {
			return "", fmt.Errorf("WORKER_DRAIN_TIMEOUT is %q: %w", text, err)
		}
	}
	stop := drain + stopMargin
	if stop > maxStop {
		return "", fmt.Errorf("WORKER_DRAIN_TIMEOUT is %v: Fargate kills after %v, so set at most %v", drain, maxStop, maxStop-stopMargin)
	}
	if need, sidecars := memoryNeed(settings), a.sidecarMemory(); a.Memory < need+sidecars {
		return "", fmt.Errorf("service.memory is %d, but the worker may take %d MiB (docs/guarantees.md, Memory) and the sidecars %d: raise it, or lower WORKER_MAX_HELD_BYTES", a.Memory, need, sidecars)
	}
	secrets, err := a.workerSecrets(settings)
	if err != nil {
		return "", err
	}
	// Go would use at least two processors even if the task has less than one.
	own := map[string]string{"AWS_REGION": a.Region, "GOMAXPROCS": strconv.Itoa(max(1, a.CPU/1024))}
	for name, value := range settings {
		own[name] = value
	}
	container := map[string]any{
		"name":                   "worker",
		"image":                  a.Image,
		"essential":              true,
		"command":                []string{"run"},
		"environment":            environment(own),
		"user":                   "65532:65532",
		"readonlyRootFilesystem": true,
		"linuxParameters":        map[string]any{"capabilities": map[string]any{"drop": []string{"ALL"}}, "initProcessEnabled": false},
		"stopTimeout":            int(stop / time.Second),
		"portMappings":           []any{map[string]any{"containerPort": 9090, "hostPort": 9090, "protocol": "tcp", "name": "metrics"}},
		"healthCheck":            map[string]any{"command": []string{"CMD", "/worker", "health"}, "interval": 10, "timeout": 5, "retries": 3, "startPeriod": 30},
		"ulimits":                []any{map[string]any{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}},
		"logConfiguration":       a.logConfiguration(logGroup, "worker"),
	}
	if secrets != nil {
		container["secrets"] = secrets
	}
	text, err := json.Marshal(append([]any{container}, a.sidecars(logGroup)...))
	if err != nil {
		return "", fmt.Errorf("writing the container definitions: %w", err)
	}
	return string(text), nil
}

// A Service is the worker on ECS Fargate.
type Service struct {
	pulumi.ResourceState

	TaskDefinition *ecs.TaskDefinition
	Service        *ecs.Service
	TaskRole       *iam.Role
	LogGroup       *cloudwatch.LogGroup
}

// NewService makes the worker of a Cache an ECS service.
func NewService(ctx *pulumi.Context, name string, c *Cache, args ServiceArgs, opts ...pulumi.ResourceOption) (*Service, error) {
	args, err := args.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("the service %q: %w", name, err)
	}
	// The definitions need the URLs of the queues, which a preview doesn't know. Validate the arguments before that.
	if _, err := ContainerDefinitions(args, "", c.args.WorkerSettings); err != nil {
		return nil, fmt.Errorf("the service %q: %w", name, err)
	}
	s := &Service{}
	if err := ctx.RegisterComponentResource("predcache:index:Service", name, s, opts...); err != nil {
		return nil, fmt.Errorf("registering the service: %w", err)
	}
	b := &builder{ctx: ctx, name: name, cache: c, args: args, service: s, parent: pulumi.Parent(s), tags: c.args.tags()}
	for _, make := range []func() error{b.roles, b.task, b.network, b.run, b.scale} {
		if err := make(); err != nil {
			return nil, fmt.Errorf("declaring the service: %w", err)
		}
	}
	if err := ctx.RegisterResourceOutputs(s, pulumi.Map{"service_name": s.Service.Name}); err != nil {
		return nil, fmt.Errorf("registering the outputs: %w", err)
	}
	return s, nil
}

// A builder declares a Service step by step.
type builder struct {
	ctx     *pulumi.Context
	name    string
	cache   *Cache
	args    ServiceArgs
	service *Service
	parent  pulumi.ResourceOption
	tags    pulumi.StringMap

	execution *iam.Role
	granted   []pulumi.Resource  // what the first task needs: without it the rollout would fail
	cluster   pulumi.StringInput // its name
	groups    pulumi.StringArray
}

// tasksTrust lets ECS assume a role for tasks. The principal is called so in every partition, China's too. With the ARN of a
// queue, which names partition and account, only tasks of this account and region may have the role: a cluster can't be named
// ("Amazon ECS task IAM role", Create the task role). AWS documents these conditions for the task role alone.
func tasksTrust(queueARN, region string) string {
	condition := ""
	if queueARN != "" {
		partition, account := strings.Split(queueARN, ":")[1], strings.Split(queueARN, ":")[4]
		condition = fmt.Sprintf(`,"Condition":{"ArnLike":{"aws:SourceArn":"arn:%s:ecs:%s:%s:*"},"StringEquals":{"aws:SourceAccount":"%s"}}`,
			partition, region, account, account)
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"` + condition + `}]}`
}

func (b *builder) roles() (err error) {
	role := func(name string, trust, policy pulumi.StringInput) (*iam.Role, error) {
		r, err := iam.NewRole(b.ctx, b.name+"-"+name, &iam.RoleArgs{AssumeRolePolicy: trust, Tags: b.tags}, b.parent)
		if err != nil {
			return nil, err
		}
		return r, b.attach(name, r, policy)
	}
	trust := b.cache.Queue.Arn.ApplyT(func(arn string) string { return tasksTrust(arn, b.args.Region) }).(pulumi.StringOutput)
	if b.service.TaskRole, err = role("task", trust, b.cache.WorkerPolicy.Arn); err != nil {
		return err
	}
	for i, policy := range b.args.TaskPolicyArns {
		if err := b.attach(fmt.Sprintf("task-%d", i), b.service.TaskRole, pulumi.String(policy)); err != nil {
			return err
		}
	}
	// Pulls the image, reads the secrets and writes the logs; the containers never have it.
	managed := b.cache.Queue.Arn.ApplyT(func(arn string) string {
		return "arn:" + strings.Split(arn, ":")[1] + ":iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
	}).(pulumi.StringOutput)
	if b.execution, err = role("execution", pulumi.String(tasksTrust("", "")), managed); err != nil {
		return err
	}
	secrets, err := b.args.secretsPolicy()
	if err != nil || secrets == "" {
		return err
	}
	p, err := iam.NewRolePolicy(b.ctx, b.name+"-secrets", &iam.RolePolicyArgs{Role: b.execution.Name, Policy: pulumi.String(secrets)}, b.parent)
	b.granted = append(b.granted, p)
	return err
}

// attach gives a role a policy.
func (b *builder) attach(name string, r *iam.Role, policy pulumi.StringInput) error {
	a, err := iam.NewRolePolicyAttachment(b.ctx, b.name+"-"+name, &iam.RolePolicyAttachmentArgs{Role: r.Name, PolicyArn: policy}, b.parent)
	b.granted = append(b.granted, a)
	return err
}

func (b *builder) task() (err error) {
	// Project and stack are in the names, since several stacks may share an account and a region. A family can't have dots
	// ("RegisterTaskDefinition", Amazon ECS API Reference).
	group := fmt.Sprintf("/%s/%s/%s", b.ctx.Project(), b.ctx.Stack(), b.name)
	family := strings.ReplaceAll(fmt.Sprintf("%s-%s-%s", b.ctx.Project(), b.ctx.Stack(), b.name), ".", "-")
	if b.service.LogGroup, err = cloudwatch.NewLogGroup(b.ctx, b.name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String(group), RetentionInDays: pulumi.Int(b.args.LogDays), Tags: b.tags,
	}, b.parent); err != nil {
		return err
	}
	definitions := pulumi.All(b.service.LogGroup.Name, b.cache.Settings).ApplyT(func(all []any) (string, error) {
		return ContainerDefinitions(b.args, all[0].(string), all[1].(map[string]string))
	}).(pulumi.StringOutput)
	b.service.TaskDefinition, err = ecs.NewTaskDefinition(b.ctx, b.name, &ecs.TaskDefinitionArgs{
		Family: pulumi.String(family), RequiresCompatibilities: pulumi.StringArray{pulumi.String("FARGATE")}, NetworkMode: pulumi.String("awsvpc"),
		Cpu: pulumi.Sprintf("%d", b.args.CPU), Memory: pulumi.Sprintf("%d", b.args.Memory),
		RuntimePlatform:      ecs.TaskDefinitionRuntimePlatformArgs{CpuArchitecture: pulumi.String(b.args.Architecture), OperatingSystemFamily: pulumi.String("LINUX")},
		TaskRoleArn:          b.service.TaskRole.Arn,
		ExecutionRoleArn:     b.execution.Arn,
		ContainerDefinitions: definitions,
		Tags:                 b.tags,
	}, b.parent)
	return err
}

func (b *builder) network() error {
	b.groups = pulumi.ToStringArray(b.args.SecurityGroups)
	if len(b.groups) == 0 {
		var egress ec2.SecurityGroupEgressArray
		for _, port := range egressPorts(b.cache.args.WorkerSettings) {
			egress = append(egress, ec2.SecurityGroupEgressArgs{
				Protocol: pulumi.String("tcp"), FromPort: pulumi.Int(port), ToPort: pulumi.Int(port),
				CidrBlocks: pulumi.StringArray{pulumi.String("0.0.0.0/0")}, Ipv6CidrBlocks: pulumi.StringArray{pulumi.String("::/0")},
			})
		}
		group, err := ec2.NewSecurityGroup(b.ctx, b.name, &ec2.SecurityGroupArgs{
			Description: pulumi.String("predcache's worker: HTTPS out, nothing in"), VpcId: pulumi.String(b.args.VpcID), Egress: egress, Tags: b.tags,
		}, b.parent)
		if err != nil {
			return err
		}
		b.groups = pulumi.StringArray{group.ID()}
	}
	b.cluster = pulumi.String(b.args.ClusterName)
	if b.args.ClusterName == "" {
		cluster, err := ecs.NewCluster(b.ctx, b.name, &ecs.ClusterArgs{
			Settings: ecs.ClusterSettingArray{ecs.ClusterSettingArgs{Name: pulumi.String("containerInsights"), Value: pulumi.String("enabled")}}, Tags: b.tags,
		}, b.parent)
		if err != nil {
			return err
		}
		if _, err := ecs.NewClusterCapacityProviders(b.ctx, b.name, &ecs.ClusterCapacityProvidersArgs{
			ClusterName: cluster.Name, CapacityProviders: pulumi.StringArray{pulumi.String("FARGATE"), pulumi.String("FARGATE_SPOT")},
		}, b.parent); err != nil {
			return err
		}
		b.cluster = cluster.Name
	}
	return nil
}

// strategy divides the tasks between on demand and Spot.
func (b *builder) strategy() ecs.ServiceCapacityProviderStrategyArray {
	provider := func(name string, base, weight int) ecs.ServiceCapacityProviderStrategyArgs {
		return ecs.ServiceCapacityProviderStrategyArgs{CapacityProvider: pulumi.String(name), Base: pulumi.Int(base), Weight: pulumi.Int(weight)}
	}
	if b.args.SpotShare < 0 {
		return ecs.ServiceCapacityProviderStrategyArray{provider("FARGATE", 0, 1)}
	}
	return ecs.ServiceCapacityProviderStrategyArray{
		provider("FARGATE", b.args.OnDemandTasks, 100-b.args.SpotShare), provider("FARGATE_SPOT", 0, b.args.SpotShare),
	}
}

func (b *builder) run() (err error) {
	b.service.Service, err = ecs.NewService(b.ctx, b.name, &ecs.ServiceArgs{
		Cluster: b.cluster, TaskDefinition: b.service.TaskDefinition.Arn, DesiredCount: pulumi.Int(b.args.MinTasks),
		CapacityProviderStrategies: b.strategy(), PlatformVersion: pulumi.String("LATEST"),
		// A rollout that doesn't become healthy is rolled back. New tasks start before the old ones stop: SQS serves both.
		DeploymentCircuitBreaker:        ecs.ServiceDeploymentCircuitBreakerArgs{Enable: pulumi.Bool(true), Rollback: pulumi.Bool(true)},
		DeploymentMinimumHealthyPercent: pulumi.Int(100), DeploymentMaximumPercent: pulumi.Int(200),
		NetworkConfiguration: ecs.ServiceNetworkConfigurationArgs{
			Subnets: pulumi.ToStringArray(slices.Clone(b.args.Subnets)), SecurityGroups: b.groups, AssignPublicIp: pulumi.Bool(b.args.AssignPublicIP),
		},
		EnableEcsManagedTags: pulumi.Bool(true), PropagateTags: pulumi.String("SERVICE"), Tags: b.tags,
	}, b.parent, pulumi.DependsOn(b.granted), pulumi.IgnoreChanges([]string{"desiredCount"})) // autoscaling sets it
	return err
}

// scale keeps the backlog of each task at MessagesPerTask.
func (b *builder) scale() error {
	target, err := appautoscaling.NewTarget(b.ctx, b.name, &appautoscaling.TargetArgs{
		MinCapacity: pulumi.Int(b.args.MinTasks), MaxCapacity: pulumi.Int(b.args.MaxTasks),
		ResourceId:        pulumi.Sprintf("service/%s/%s", b.cluster, b.service.Service.Name),
		ScalableDimension: pulumi.String("ecs:service:DesiredCount"), ServiceNamespace: pulumi.String("ecs"), Tags: b.tags,
	}, b.parent)
	if err != nil {
		return err
	}
	type (
		specification = appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgs
		metrics       = appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricArray
		metric        = appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricArgs
		stat          = appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricMetricStatArgs
		named         = appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricMetricStatMetricArgs
		dimensions    = appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricMetricStatMetricDimensionArray
		dimension     = appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricMetricStatMetricDimensionArgs
	)
	_, err = appautoscaling.NewPolicy(b.ctx, b.name, &appautoscaling.PolicyArgs{
		PolicyType: pulumi.String("TargetTrackingScaling"),
		ResourceId: target.ResourceId, ScalableDimension: target.ScalableDimension, ServiceNamespace: target.ServiceNamespace,
		TargetTrackingScalingPolicyConfiguration: appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs{
			TargetValue: pulumi.Float64(float64(b.args.MessagesPerTask)), ScaleOutCooldown: pulumi.Int(60), ScaleInCooldown: pulumi.Int(300),
			CustomizedMetricSpecification: specification{Metrics: metrics{
				metric{Id: pulumi.String("waiting"), ReturnData: pulumi.Bool(false), MetricStat: stat{Stat: pulumi.String("Average"), Metric: named{
					Namespace: pulumi.String("AWS/SQS"), MetricName: pulumi.String("ApproximateNumberOfMessagesVisible"),
					Dimensions: dimensions{dimension{Name: pulumi.String("QueueName"), Value: b.cache.Queue.Name}},
				}}},
				metric{Id: pulumi.String("tasks"), ReturnData: pulumi.Bool(false), MetricStat: stat{Stat: pulumi.String("Average"), Metric: named{
					Namespace: pulumi.String("ECS/ContainerInsights"), MetricName: pulumi.String("RunningTaskCount"),
					Dimensions: dimensions{
						dimension{Name: pulumi.String("ClusterName"), Value: b.cluster},
						dimension{Name: pulumi.String("ServiceName"), Value: b.service.Service.Name},
					},
				}}},
				// SQS sends no metrics for a queue that has long been empty, and a service may have no task for a while.
				metric{Id: pulumi.String("backlog"), Label: pulumi.String("Messages waiting per task"), ReturnData: pulumi.Bool(true),
					Expression: pulumi.String("FILL(waiting, 0) / IF(FILL(tasks, 1) > 0, FILL(tasks, 1), 1)")},
			}},
		},
	}, b.parent)
	return err
}

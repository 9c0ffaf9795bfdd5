// Package predcache is a Pulumi component: the table of a prediction cache, the queues in front of it, the policies of its
// writers, readers and publishers, alarms, and optionally the worker as an ECS service.
package predcache

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/appautoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sqs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/predcache/predcache/deployments/pulumi/policies"
)

// A Cache is the table with its queues, policies and alarms.
type Cache struct {
	pulumi.ResourceState

	Table       *dynamodb.Table
	Queue       *sqs.Queue
	DeadLetters *sqs.Queue
	Rejects     *sqs.Queue // nil with NoRejectQueue
	// ObjectsQueue and ObjectsDeadLetters are nil unless batch outputs are read.
	ObjectsQueue       *sqs.Queue
	ObjectsDeadLetters *sqs.Queue
	WorkerPolicy       *iam.Policy
	ReaderPolicy       *iam.Policy
	PublisherPolicy    *iam.Policy
	RedrivePolicy      *iam.Policy // nil unless asked for
	ScalerPolicy       *iam.Policy // nil unless asked for
	PodRole            *iam.Role   // nil unless asked for
	// Settings are the worker's environment.
	Settings pulumi.StringMap

	name   string
	args   Args
	parent pulumi.ResourceOption
}

// New makes a Cache.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Cache, error) {
	args, err := args.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("the prediction cache %q: %w", name, err)
	}
	c := &Cache{name: name, args: args}
	if err := ctx.RegisterComponentResource("predcache:index:Cache", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering the prediction cache: %w", err)
	}
	c.parent = pulumi.Parent(c)
	for _, make := range []func(*pulumi.Context) error{c.makeTable, c.makeScaling, c.makeQueues, c.makeObjects, c.makeSettings, c.makePolicies, c.makeAlarms, c.makeDashboard} {
		if err := make(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.RegisterResourceOutputs(c, c.Outputs()); err != nil {
		return nil, fmt.Errorf("registering the outputs: %w", err)
	}
	return c, nil
}

// Outputs are what a stack exports.
func (c *Cache) Outputs() pulumi.Map {
	out := pulumi.Map{
		"prediction_cache_table_name": c.Table.Name,
		"prediction_cache_table_arn":  c.Table.Arn,
		"queue_url":                   c.Queue.Url,
		"queue_arn":                   c.Queue.Arn,
		"dead_letter_queue_url":       c.DeadLetters.Url,
		"worker_policy_arn":           c.WorkerPolicy.Arn,
		"reader_policy_arn":           c.ReaderPolicy.Arn,
		"publisher_policy_arn":        c.PublisherPolicy.Arn,
		"worker_environment":          c.Settings,
	}
	if c.Rejects != nil {
		out["reject_queue_url"] = c.Rejects.Url
	}
	if c.ObjectsQueue != nil {
		out["objects_queue_url"], out["objects_queue_arn"] = c.ObjectsQueue.Url, c.ObjectsQueue.Arn
		out["objects_dead_letter_queue_url"] = c.ObjectsDeadLetters.Url
	}
	if c.RedrivePolicy != nil {
		out["redrive_policy_arn"] = c.RedrivePolicy.Arn
	}
	if c.ScalerPolicy != nil {
		out["scaler_policy_arn"] = c.ScalerPolicy.Arn
	}
	if c.PodRole != nil {
		out["worker_role_arn"] = c.PodRole.Arn
	}
	return out
}

func (c *Cache) makeTable(ctx *pulumi.Context) error {
	a := c.args
	table := &dynamodb.TableArgs{
		HashKey:                   pulumi.String(a.HashKey),
		Attributes:                dynamodb.TableAttributeArray{dynamodb.TableAttributeArgs{Name: pulumi.String(a.HashKey), Type: pulumi.String(a.HashKeyType)}},
		Ttl:                       dynamodb.TableTtlArgs{AttributeName: pulumi.String("expiresAt"), Enabled: pulumi.Bool(true)},
		DeletionProtectionEnabled: pulumi.Bool(a.DeletionProtection),
		PointInTimeRecovery:       dynamodb.TablePointInTimeRecoveryArgs{Enabled: pulumi.Bool(a.PointInTimeRecovery)},
		Tags:                      a.tags(),
	}
	if a.TableName != "" {
		table.Name = pulumi.String(a.TableName)
	}
	if a.Layout != LatestOnly {
		table.RangeKey = pulumi.String(a.SortKey)
		table.Attributes = append(table.Attributes.(dynamodb.TableAttributeArray), dynamodb.TableAttributeArgs{Name: pulumi.String(a.SortKey), Type: pulumi.String("N")})
	}
	if a.Layout == ExpirySorted {
		table.Ttl = dynamodb.TableTtlArgs{AttributeName: pulumi.String(a.SortKey), Enabled: pulumi.Bool(true)}
	}
	if a.KeyArn != "" {
		table.ServerSideEncryption = dynamodb.TableServerSideEncryptionArgs{Enabled: pulumi.Bool(true), KmsKeyArn: pulumi.String(a.KeyArn)}
	}
	opts := []pulumi.ResourceOption{c.parent}
	if a.Billing.Mode == Provisioned {
		table.BillingMode = pulumi.String("PROVISIONED")
		table.ReadCapacity, table.WriteCapacity = pulumi.Int(a.Billing.MinReadUnits), pulumi.Int(a.Billing.MinWriteUnits)
		// From then on autoscaling sets them.
		opts = append(opts, pulumi.IgnoreChanges([]string{"readCapacity", "writeCapacity"}))
	} else {
		table.BillingMode = pulumi.String("PAY_PER_REQUEST")
		if a.Billing.MaxReadUnits > 0 || a.Billing.MaxWriteUnits > 0 {
			table.OnDemandThroughput = dynamodb.TableOnDemandThroughputArgs{
				MaxReadRequestUnits: pulumi.Int(bound(a.Billing.MaxReadUnits)), MaxWriteRequestUnits: pulumi.Int(bound(a.Billing.MaxWriteUnits)),
			}
		}
	}
	opts = append(opts, a.adoption()...)
	var err error
	if c.Table, err = dynamodb.NewTable(ctx, c.name+"-table", table, opts...); err != nil {
		return fmt.Errorf("declaring the table: %w", err)
	}
	return nil
}

// adoption returns the options by which a table that exists becomes the stack's.
func (a Args) adoption() (opts []pulumi.ResourceOption) {
	if a.ImportTable {
		opts = append(opts, pulumi.Import(pulumi.ID(a.TableName)))
	}
	var aliases []pulumi.Alias
	for _, name := range a.TableAliases {
		if strings.HasPrefix(name, "urn:pulumi:") {
			aliases = append(aliases, pulumi.Alias{URN: pulumi.URN(name)})
		} else {
			aliases = append(aliases, pulumi.Alias{Name: pulumi.String(name), NoParent: pulumi.Bool(true)})
		}
	}
	if aliases != nil {
		opts = append(opts, pulumi.Aliases(aliases))
	}
	return opts
}

// bound returns a maximum as DynamoDB takes it: -1 for none.
func bound(units int) int {
	if units == 0 {
		return -1
	}
	return units
}

// makeScaling scales a provisioned table by its use.
func (c *Cache) makeScaling(ctx *pulumi.Context) error {
	b := c.args.Billing
	if b.Mode != Provisioned {
		return nil
	}
	for _, s := range []struct {
		name, dimension, metric string
		min, max                int
	}{
		{"read", "dynamodb:table:ReadCapacityUnits", "DynamoDBReadCapacityUtilization", b.MinReadUnits, b.MaxReadUnits},
		{"write", "dynamodb:table:WriteCapacityUnits", "DynamoDBWriteCapacityUtilization", b.MinWriteUnits, b.MaxWriteUnits},
	} {
		target, err := appautoscaling.NewTarget(ctx, c.name+"-"+s.name, &appautoscaling.TargetArgs{
			MinCapacity: pulumi.Int(s.min), MaxCapacity: pulumi.Int(s.max),
			ResourceId: pulumi.Sprintf("table/%s", c.Table.Name), ScalableDimension: pulumi.String(s.dimension), ServiceNamespace: pulumi.String("dynamodb"),
			Tags: c.args.tags(),
		}, c.parent)
		if err != nil {
			return fmt.Errorf("declaring the scaling of the table: %w", err)
		}
		if _, err := appautoscaling.NewPolicy(ctx, c.name+"-"+s.name, &appautoscaling.PolicyArgs{
			PolicyType: pulumi.String("TargetTrackingScaling"),
			ResourceId: target.ResourceId, ScalableDimension: target.ScalableDimension, ServiceNamespace: target.ServiceNamespace,
			TargetTrackingScalingPolicyConfiguration: appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs{
				TargetValue: pulumi.Float64(b.TargetUtilization),
				PredefinedMetricSpecification: appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs{
					PredefinedMetricType: pulumi.String(s.metric),
				},
			},
		}, c.parent); err != nil {
			return fmt.Errorf("declaring the scaling of the table: %w", err)
		}
	}
	return nil
}

// newQueue declares a queue of this name, with the policy that follows from its ARN.
func (c *Cache) newQueue(ctx *pulumi.Context, name string, policy func(arn string) (string, error), more func(*sqs.QueueArgs)) (*sqs.Queue, error) {
	args := &sqs.QueueArgs{MessageRetentionSeconds: pulumi.Int(c.args.Queue.RetentionDays * 24 * 60 * 60), Tags: c.args.tags()}
	if c.args.KeyArn != "" {
		args.KmsMasterKeyId = pulumi.String(c.args.KeyArn)
	} else {
		args.SqsManagedSseEnabled = pulumi.Bool(true)
	}
	more(args)
	queue, err := sqs.NewQueue(ctx, c.name+"-"+name, args, c.parent)
	if err != nil {
		return nil, fmt.Errorf("declaring the queue %s: %w", name, err)
	}
	if _, err := sqs.NewQueuePolicy(ctx, c.name+"-"+name, &sqs.QueuePolicyArgs{
		QueueUrl: queue.Url, Policy: queue.Arn.ApplyT(policy).(pulumi.StringOutput),
	}, c.parent); err != nil {
		return nil, fmt.Errorf("declaring the policy of the queue %s: %w", name, err)
	}
	return queue, nil
}

// tlsOnly is the policy of a queue that refuses plain HTTP ("Amazon SQS security best practices", Enforce encryption of data
// in transit). Whom the queue admits is up to the policies of the roles.
func tlsOnly(queueARN string) (string, error) {
	return policies.Join(policies.Part{Policy: "queue-tls", Names: map[string]string{"AnyQueueArn": queueARN}})
}

// redriven makes a queue one that the worker consumes, with a dead-letter queue. The visibility timeout is in seconds.
func (c *Cache) redriven(deadLetters *sqs.Queue, visibility int) func(*sqs.QueueArgs) {
	return func(a *sqs.QueueArgs) {
		a.VisibilityTimeoutSeconds = pulumi.Int(visibility)
		a.ReceiveWaitTimeSeconds = pulumi.Int(20)
		a.RedrivePolicy = pulumi.Sprintf(`{"deadLetterTargetArn":"%s","maxReceiveCount":%d}`, deadLetters.Arn, c.args.Queue.MaxReceives)
	}
}

// allowRedrive lets a queue, and no other, use a dead-letter queue.
func (c *Cache) allowRedrive(ctx *pulumi.Context, name string, deadLetters, source *sqs.Queue) error {
	if _, err := sqs.NewRedriveAllowPolicy(ctx, c.name+"-"+name, &sqs.RedriveAllowPolicyArgs{
		QueueUrl:           deadLetters.Url,
		RedriveAllowPolicy: pulumi.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":["%s"]}`, source.Arn),
	}, c.parent); err != nil {
		return fmt.Errorf("declaring who may use the queue %s: %w", name, err)
	}
	return nil
}

func (c *Cache) makeQueues(ctx *pulumi.Context) (err error) {
	// A dead letter keeps its first sent time, so it needs the longest retention there is.
	if c.DeadLetters, err = c.newQueue(ctx, "dead-letters", tlsOnly, func(a *sqs.QueueArgs) { a.MessageRetentionSeconds = pulumi.Int(14 * 24 * 60 * 60) }); err != nil {
		return err
	}
	if c.Queue, err = c.newQueue(ctx, "queue", tlsOnly, c.redriven(c.DeadLetters, c.args.Queue.VisibilitySeconds)); err != nil {
		return err
	}
	if err := c.allowRedrive(ctx, "dead-letters", c.DeadLetters, c.Queue); err != nil {
		return err
	}
	if !c.args.Queue.NoRejectQueue {
		c.Rejects, err = c.newQueue(ctx, "rejects", tlsOnly, func(a *sqs.QueueArgs) { a.VisibilityTimeoutSeconds = pulumi.Int(60) })
	}
	return err
}

func (c *Cache) makeSettings(*pulumi.Context) error {
	c.Settings = pulumi.StringMap{"WORKER_QUEUE_URL": c.Queue.Url, "WORKER_TABLE_NAME": c.Table.Name}
	if c.Rejects != nil {
		c.Settings["WORKER_REJECT_QUEUE_URL"] = c.Rejects.Url
	}
	if o := c.args.Objects; o != nil {
		c.Settings["WORKER_OBJECTS_QUEUE_URL"], c.Settings["WORKER_OBJECTS"] = c.ObjectsQueue.Url, pulumi.String(strings.Join(o.Prefixes, ","))
		if o.BucketOwner != "" {
			c.Settings["WORKER_OBJECTS_BUCKET_OWNER"] = pulumi.String(o.BucketOwner)
		}
	}
	for name, value := range c.args.WorkerSettings {
		c.Settings[name] = pulumi.String(value)
	}
	return nil
}

// policy declares an IAM policy that combines the named ones. The worker's has those of the objects too.
func (c *Cache) policy(ctx *pulumi.Context, name, description string, names ...string) (*iam.Policy, error) {
	arns := pulumi.StringMap{"QueueArn": c.Queue.Arn, "DeadLetterQueueArn": c.DeadLetters.Arn, "TableArn": c.Table.Arn, "KeyArn": pulumi.String(c.args.KeyArn)}
	if c.Rejects != nil {
		arns["RejectQueueArn"] = c.Rejects.Arn
	}
	if c.ObjectsQueue != nil {
		arns["ObjectsQueueArn"] = c.ObjectsQueue.Arn
	}
	withObjects := c.ObjectsQueue != nil && name == "worker"
	document := arns.ToStringMapOutput().ApplyT(func(arns map[string]string) (string, error) {
		var parts []policies.Part
		for _, policy := range names {
			parts = append(parts, policies.Part{Policy: policy, Names: arns})
		}
		if withObjects {
			parts = append(parts, c.args.Objects.parts(arns["ObjectsQueueArn"])...)
		}
		return policies.Join(parts...)
	}).(pulumi.StringOutput)
	p, err := iam.NewPolicy(ctx, c.name+"-"+name, &iam.PolicyArgs{Description: pulumi.String(description), Policy: document, Tags: c.args.tags()}, c.parent)
	if err != nil {
		return nil, fmt.Errorf("declaring the policy %s: %w", name, err)
	}
	return p, nil
}

func (c *Cache) makePolicies(ctx *pulumi.Context) (err error) {
	worker, reader, publisher := []string{"worker"}, []string{"reader"}, []string{"publisher"}
	if c.Rejects != nil {
		worker = append(worker, "worker-rejects")
	}
	if c.args.WorkerSettings["WORKER_ORDERING"] == "newest" {
		worker = append(worker, "worker-newest")
	}
	if c.args.WorkerSettings["WORKER_DELETES"] == "remove" {
		worker = append(worker, "worker-deletes")
	}
	if c.args.KeyArn != "" {
		worker, reader, publisher = append(worker, "worker-key"), append(reader, "reader-key"), append(publisher, "publisher-key")
	}
	if c.WorkerPolicy, err = c.policy(ctx, "worker", "What predcache's worker may do", worker...); err != nil {
		return err
	}
	if c.ReaderPolicy, err = c.policy(ctx, "reader", "Reads predictions", reader...); err != nil {
		return err
	}
	if c.PublisherPolicy, err = c.policy(ctx, "publisher", "Publishes predictions", publisher...); err != nil {
		return err
	}
	if c.args.Redrive {
		redrive := []string{"redrive-dead-letters"}
		if c.Rejects != nil {
			redrive = append(redrive, "redrive")
		}
		if c.args.KeyArn != "" {
			redrive = append(redrive, "publisher-key")
		}
		if c.RedrivePolicy, err = c.policy(ctx, "redrive", "Sends rejects and dead letters back to the queue", redrive...); err != nil {
			return err
		}
	}
	if c.args.Scaler {
		scaler := []string{"scaler"}
		if c.ObjectsQueue != nil {
			scaler = append(scaler, "scaler-objects")
		}
		if c.ScalerPolicy, err = c.policy(ctx, "scaler", "Lets KEDA ask how long the queues are", scaler...); err != nil {
			return err
		}
	}
	if c.args.PodIdentity {
		if c.PodRole, err = c.role(ctx, "pod", "pods.eks.amazonaws.com", c.WorkerPolicy, "sts:TagSession"); err != nil {
			return err
		}
	}
	return nil
}

// role declares a role with a policy that an AWS service may assume.
func (c *Cache) role(ctx *pulumi.Context, name, service string, p *iam.Policy, more ...string) (*iam.Role, error) {
	trust, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"Service": service}, "Action": append([]string{"sts:AssumeRole"}, more...),
	}}})
	if err != nil {
		return nil, fmt.Errorf("writing a role's trust: %w", err)
	}
	r, err := iam.NewRole(ctx, c.name+"-"+name, &iam.RoleArgs{AssumeRolePolicy: pulumi.String(trust), Tags: c.args.tags()}, c.parent)
	if err != nil {
		return nil, fmt.Errorf("declaring the role %s: %w", name, err)
	}
	if _, err := iam.NewRolePolicyAttachment(ctx, c.name+"-"+name, &iam.RolePolicyAttachmentArgs{Role: r.Name, PolicyArn: p.Arn}, c.parent); err != nil {
		return nil, fmt.Errorf("declaring the role %s: %w", name, err)
	}
	return r, nil
}

// environment is the worker's environment in a fixed order.
func environment(settings map[string]string) []variable {
	list := make([]variable, 0, len(settings))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		list = append(list, variable{name, settings[name]})
	}
	return list
}

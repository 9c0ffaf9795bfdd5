package resources

import (
	"strings"
	"unicode"
)

// pulumiTypes are the resource types by their tokens in Pulumi.
var pulumiTypes = map[string]string{
	"aws:appautoscaling/policy:Policy":                          "aws_appautoscaling_policy",
	"aws:appautoscaling/target:Target":                          "aws_appautoscaling_target",
	"aws:cloudwatch/dashboard:Dashboard":                        "aws_cloudwatch_dashboard",
	"aws:cloudwatch/logGroup:LogGroup":                          "aws_cloudwatch_log_group",
	"aws:cloudwatch/metricAlarm:MetricAlarm":                    "aws_cloudwatch_metric_alarm",
	"aws:dynamodb/table:Table":                                  "aws_dynamodb_table",
	"aws:ec2/securityGroup:SecurityGroup":                       "aws_security_group",
	"aws:ecs/cluster:Cluster":                                   "aws_ecs_cluster",
	"aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": "aws_ecs_cluster_capacity_providers",
	"aws:ecs/service:Service":                                   "aws_ecs_service",
	"aws:ecs/taskDefinition:TaskDefinition":                     "aws_ecs_task_definition",
	"aws:iam/policy:Policy":                                     "aws_iam_policy",
	"aws:iam/role:Role":                                         "aws_iam_role",
	"aws:iam/rolePolicy:RolePolicy":                             "aws_iam_role_policy",
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment":         "aws_iam_role_policy_attachment",
	"aws:sns/topic:Topic":                                       "aws_sns_topic",
	"aws:sqs/queue:Queue":                                       "aws_sqs_queue",
	"aws:sqs/queuePolicy:QueuePolicy":                           "aws_sqs_queue_policy",
	"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy":             "aws_sqs_queue_redrive_allow_policy",
	"aws:sqs/redrivePolicy:RedrivePolicy":                       "aws_sqs_queue_redrive_policy",
}

// PulumiType returns the resource type of a token, like aws:sqs/queue:Queue; "" if it is unknown.
func PulumiType(token string) string { return pulumiTypes[token] }

// pulumiNames are the properties that Pulumi names in another way than in camel case: in the plural, where there may be several
// blocks, and "name" where it is the resource's own.
var pulumiNames = map[string]string{
	"attribute": "attributes", "setting": "settings", "capacity_provider_strategy": "capacityProviderStrategies", "metric_query": "metricQueries", "alarm_name": "name",
}

// FromPulumi returns properties of a resource type under the names of Terraform.
func FromPulumi(kind string, in map[string]any) Props {
	return rename(in, func(name string) string {
		for ours, theirs := range pulumiNames {
			if theirs == name && (ours != "alarm_name" || kind == "aws_cloudwatch_metric_alarm") {
				return ours
			}
		}
		return snake(name)
	})
}

// ToPulumi is the reverse of FromPulumi.
func ToPulumi(in Props) map[string]any {
	return rename(in, func(name string) string {
		if theirs := pulumiNames[name]; theirs != "" {
			return theirs
		}
		return camel(name)
	})
}

// rename renames the properties in all objects. Tags are no properties, nor are the dimensions of an alarm, which are a map.
func rename(in map[string]any, name func(string) string) map[string]any {
	out := map[string]any{}
	for key, value := range in {
		_, isMap := value.(map[string]any)
		if isMap && (key == "tags" || key == "tagsAll" || key == "dimensions") {
			out[name(key)] = value
			continue
		}
		out[name(key)] = renamed(value, name)
	}
	return out
}

func renamed(value any, name func(string) string) any {
	switch value := value.(type) {
	case map[string]any:
		return rename(value, name)
	case []any:
		all := make([]any, 0, len(value))
		for _, v := range value {
			all = append(all, renamed(v, name))
		}
		return all
	default:
		return value
	}
}

func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func camel(name string) string {
	head, rest, _ := strings.Cut(name, "_")
	for part := range strings.SplitSeq(rest, "_") {
		if part != "" {
			head += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return head
}

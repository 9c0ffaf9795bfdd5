package resources

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// Account owns everything, as in the stand-ins.
const Account = "000000000000"

// A place makes ARNs of a region.
type place struct{ region string }

func (p place) arn(service, resource string) string {
	region := p.region
	if service == "iam" {
		region = ""
	}
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, region, Account, resource)
}

// An identity returns the id and the outputs that AWS would give to a resource.
type identity func(p place, in Props) (id string, out Props)

// identities are those of each resource type.
var identities = map[string]identity{
	"aws_dynamodb_table": func(p place, in Props) (string, Props) {
		return text(in, "name"), Props{"arn": p.arn("dynamodb", "table/"+text(in, "name"))}
	},
	"aws_sqs_queue": func(p place, in Props) (string, Props) {
		url := fmt.Sprintf("https://sqs.%s.amazonaws.com/%s/%s", p.region, Account, text(in, "name"))
		return url, Props{"arn": p.arn("sqs", text(in, "name")), "url": url}
	},
	"aws_sqs_queue_policy":               sameAs("queue_url"),
	"aws_sqs_queue_redrive_policy":       sameAs("queue_url"),
	"aws_sqs_queue_redrive_allow_policy": sameAs("queue_url"),
	"aws_iam_policy":                     byARN("iam", "policy/", "name"),
	"aws_iam_role": func(p place, in Props) (string, Props) {
		return text(in, "name"), Props{"arn": p.arn("iam", "role/"+text(in, "name")), "unique_id": unique("AROA", in)}
	},
	"aws_iam_role_policy": func(_ place, in Props) (string, Props) { return text(in, "role") + ":" + text(in, "name"), nil },
	"aws_iam_role_policy_attachment": func(_ place, in Props) (string, Props) {
		return text(in, "role") + "-" + text(in, "policy_arn"), nil
	},
	"aws_cloudwatch_log_group":           byName("logs", "log-group:", "name", "arn"),
	"aws_cloudwatch_metric_alarm":        byName("cloudwatch", "alarm:", "alarm_name", "arn"),
	"aws_cloudwatch_dashboard":           byName("cloudwatch", "dashboard/", "dashboard_name", "dashboard_arn"),
	"aws_ecs_cluster":                    byARN("ecs", "cluster/", "name"),
	"aws_ecs_cluster_capacity_providers": sameAs("cluster_name"),
	"aws_ecs_task_definition": func(p place, in Props) (string, Props) {
		arn := p.arn("ecs", "task-definition/"+text(in, "family"))
		return text(in, "family"), Props{"arn": arn + ":1", "arn_without_revision": arn, "revision": 1.0}
	},
	"aws_ecs_service": func(p place, in Props) (string, Props) {
		arn := p.arn("ecs", "service/"+text(in, "cluster")+"/"+text(in, "name"))
		return arn, Props{"arn": arn}
	},
	"aws_appautoscaling_target": func(p place, in Props) (string, Props) {
		return text(in, "resource_id"), Props{"arn": p.arn("application-autoscaling", "scalable-target/"+unique("", in))}
	},
	"aws_appautoscaling_policy": func(p place, in Props) (string, Props) {
		return text(in, "name"), Props{"arn": p.arn("autoscaling", "scalingPolicy:"+unique("", in)+":policyName/"+text(in, "name"))}
	},
	"aws_security_group": func(p place, in Props) (string, Props) {
		id := unique("sg-", Props{"name": in["name"]})
		return id, Props{"arn": p.arn("ec2", "security-group/"+id), "owner_id": Account}
	},
	"aws_vpc_security_group_egress_rule": func(p place, in Props) (string, Props) {
		id := unique("sgr-", in)
		return id, Props{"arn": p.arn("ec2", "security-group-rule/"+id), "security_group_rule_id": id}
	},
	"aws_sns_topic": byARN("sns", "", "name"),
}

func sameAs(property string) identity {
	return func(_ place, in Props) (string, Props) { return text(in, property), nil }
}

func byName(service, prefix, name, output string) identity {
	return func(p place, in Props) (string, Props) {
		return text(in, name), Props{output: p.arn(service, prefix+text(in, name))}
	}
}

func byARN(service, prefix, name string) identity {
	return func(p place, in Props) (string, Props) {
		arn := p.arn(service, prefix+text(in, name))
		return arn, Props{"arn": arn}
	}
}

// unique returns an id that is the same for the same inputs.
func unique(prefix string, in Props) string {
	return fmt.Sprintf("%s%x", prefix, sha256.Sum256(fmt.Append(nil, in)))[:len(prefix)+17]
}

// noted is a kind that no service is asked for: the state of the stack is all that there is of its resources.
type noted struct {
	identity identity
	place    place
}

func (n noted) Create(_ context.Context, in Props) (string, Props, error) {
	id, out := n.identity(n.place, in)
	return id, out, nil
}

func (noted) Read(_ context.Context, _ string, in Props) (Props, Props, error) { return in, nil, nil }
func (noted) Update(context.Context, string, Props) error                      { return nil }
func (noted) Delete(context.Context, string, Props) error                      { return nil }

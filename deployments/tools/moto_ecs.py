"""moto_ecs.py TEMPLATE < PARAMETERS makes the resources of the template by the services' own calls, against moto, once for each
set of parameters, and prints as JSON what ECS and the autoscaling then say there is. (moto's CloudFormation leaves out most of
their fields.) PARAMETERS is a JSON object of sets by name. A set that the template's own rules refuse is answered with why."""

import json
import os
import re
import sys

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="eu-west-1")

import boto3
from moto import mock_aws


NO_VALUE = object()


def holds(condition, names, template):
    """Whether a condition of the template or of a rule holds."""
    (function, args), = condition.items()
    if function == "Condition":
        return holds(template["Conditions"][args], names, template)
    if function == "Fn::And":
        return all(holds(a, names, template) for a in args)
    if function == "Fn::Or":
        return any(holds(a, names, template) for a in args)
    if function == "Fn::Not":
        return not holds(args[0], names, template)
    if function == "Fn::Equals":
        return resolve(args[0], names, template) == resolve(args[1], names, template)
    if function == "Fn::Contains":
        return resolve(args[1], names, template) in args[0]
    raise ValueError(f"unknown condition {function}")


def resolve(value, names, template):
    """Puts values in the place of Ref, Fn::Sub, Fn::Split, Fn::GetAtt, Fn::FindInMap and Fn::If."""
    if isinstance(value, list):
        return [v for v in (resolve(v, names, template) for v in value) if v is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return NO_VALUE if value["Ref"] == "AWS::NoValue" else names[value["Ref"]]
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]*)\}", lambda m: names[m.group(1)], value["Fn::Sub"])
    if "Fn::Split" in value:
        delimiter, text = value["Fn::Split"]
        return resolve(text, names, template).split(delimiter)
    if "Fn::Join" in value:
        delimiter, parts = value["Fn::Join"]
        return delimiter.join(resolve(parts, names, template))
    if "Fn::GetAtt" in value:
        return names[".".join(value["Fn::GetAtt"])]
    if "Fn::FindInMap" in value:
        where, first, second = (resolve(v, names, template) for v in value["Fn::FindInMap"])
        return template["Mappings"][where][first][second]
    if "Fn::If" in value:
        condition, yes, no = value["Fn::If"]
        return resolve(yes if holds(template["Conditions"][condition], names, template) else no, names, template)
    return {k: v for k, v in ((k, resolve(v, names, template)) for k, v in value.items()) if v is not NO_VALUE}


def refused(template, names):
    """Why CloudFormation would refuse these parameters."""
    why = []
    for name, p in template["Parameters"].items():
        value = names[name]
        if "AllowedValues" in p and value not in p["AllowedValues"] or not re.fullmatch(p.get("AllowedPattern", ".*"), str(value)):
            why.append(f"{name} is {value}")
    for rule in template.get("Rules", {}).values():
        if holds(rule["RuleCondition"], names, template):
            why += [a["AssertDescription"] for a in rule["Assertions"] if not holds(a["Assert"], names, template)]
    return why


def camel(value, as_is=("Options",)):
    """The names of fields as ECS's API has them, which CloudFormation starts with a capital."""
    if isinstance(value, list):
        return [camel(v) for v in value]
    if isinstance(value, dict):
        return {k[0].lower() + k[1:]: v if k in as_is else camel(v) for k, v in value.items()}
    return value


@mock_aws
def check(template, parameters):
    ec2, ecs, iam, logs = boto3.client("ec2"), boto3.client("ecs"), boto3.client("iam"), boto3.client("logs")
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName="worker", Description="worker", VpcId=subnet["VpcId"])["GroupId"]
    ecs.create_cluster(clusterName="shared", capacityProviders=["FARGATE", "FARGATE_SPOT"], settings=[{"name": "containerInsights", "value": "enabled"}])
    names = {name: p["Default"] for name, p in template["Parameters"].items() if "Default" in p} | {
        "Image": "ghcr.io/predcache/worker:v1.2.3", "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions", "QueueName": "predictions",
        "TableName": "predictions", "WorkerPolicyArn": "arn:aws:iam::123456789012:policy/worker",
        "ClusterName": "shared", "Subnets": [subnet["SubnetId"]], "SecurityGroups": [group],
        "AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012", "AWS::StackName": "predictions", "AWS::Partition": "aws", "Service.Name": "worker",
    } | parameters  # fmt: skip
    if missing := set(template["Parameters"]) - set(names):
        sys.exit(f"no value for the parameters {missing}")
    if why := refused(template, names):
        return {"refused": why}

    def of(name):
        return resolve(template["Resources"][name]["Properties"], names, template)

    for role in ("TaskRole", "ExecutionRole"):
        p = of(role)
        names[role + ".Arn"] = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(p["AssumeRolePolicyDocument"]))["Role"]["Arn"]
        for inline in p.get("Policies", []):
            iam.put_role_policy(RoleName=role, PolicyName=inline["PolicyName"], PolicyDocument=json.dumps(inline["PolicyDocument"]))
    logs.create_log_group(logGroupName=of("Logs")["LogGroupName"])
    logs.put_retention_policy(logGroupName=of("Logs")["LogGroupName"], retentionInDays=of("Logs")["RetentionInDays"])
    definition = camel(of("TaskDefinition"))
    definition["containerDefinitions"][0]["stopTimeout"] = int(definition["containerDefinitions"][0]["stopTimeout"])  # as CloudFormation does
    task = ecs.register_task_definition(**definition)["taskDefinition"]
    names["TaskDefinition"] = task["taskDefinitionArn"]
    service = ecs.create_service(serviceName="worker", **camel(of("Service")))["service"]
    scaling, target = boto3.client("application-autoscaling"), of("ScalableTarget")
    scaling.register_scalable_target(**target)
    names["ScalableTarget"] = "target"
    policy = of("Scaling")
    del policy["ScalingTargetId"]
    scaling.put_scaling_policy(**policy, **{k: target[k] for k in ("ResourceId", "ScalableDimension", "ServiceNamespace")})
    return {
        "task": ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"],
        "service": ecs.describe_services(cluster="shared", services=["worker"])["services"][0],
        "targets": scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"],
        "mix": of("Service")["CapacityProviderStrategy"],  # moto doesn't keep it
        "trust": iam.get_role(RoleName="TaskRole")["Role"]["AssumeRolePolicyDocument"],
        "taskPolicies": of("TaskRole")["ManagedPolicyArns"],
        "executionPolicies": of("ExecutionRole")["ManagedPolicyArns"],
        "secrets": [
            iam.get_role_policy(RoleName="ExecutionRole", PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName="ExecutionRole")["PolicyNames"]
        ],
        "policies": scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"],
    }  # fmt: skip


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as f:
        document = json.load(f)
    print(json.dumps({name: check(document, parameters) for name, parameters in json.load(sys.stdin).items()}, default=str))

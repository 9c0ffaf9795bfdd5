"""moto_ecs.py TEMPLATE makes the resources of the template by the services' own calls, against moto, once for each architecture,
and prints as JSON what ECS and the autoscaling then say there is. (moto's CloudFormation leaves out most of their fields.)"""

import json
import os
import re
import sys

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="eu-west-1")

import boto3
from moto import mock_aws


def resolve(value, names):
    """Puts values in the place of Ref, Fn::Sub and Fn::GetAtt."""
    if isinstance(value, list):
        return [resolve(v, names) for v in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return names[value["Ref"]]
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]*)\}", lambda m: names[m.group(1)], value["Fn::Sub"])
    if "Fn::GetAtt" in value:
        return names[".".join(value["Fn::GetAtt"])]
    return {k: resolve(v, names) for k, v in value.items()}


def camel(value, as_is=("Options",)):
    """The names of fields as ECS's API has them, which CloudFormation starts with a capital."""
    if isinstance(value, list):
        return [camel(v) for v in value]
    if isinstance(value, dict):
        return {k[0].lower() + k[1:]: v if k in as_is else camel(v) for k, v in value.items()}
    return value


@mock_aws
def check(template, architecture):
    ec2, ecs, iam, logs = boto3.client("ec2"), boto3.client("ecs"), boto3.client("iam"), boto3.client("logs")
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName="worker", Description="worker", VpcId=subnet["VpcId"])["GroupId"]
    ecs.create_cluster(clusterName="shared", capacityProviders=["FARGATE", "FARGATE_SPOT"], settings=[{"name": "containerInsights", "value": "enabled"}])
    names = {
        "Image": "ghcr.io/predcache/worker:v1.2.3", "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions", "QueueName": "predictions",
        "RejectQueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/rejects", "TableName": "predictions", "WorkerPolicyArn": "arn:aws:iam::123456789012:policy/worker",
        "ClusterName": "shared", "Subnets": [subnet["SubnetId"]], "SecurityGroups": [group], "Architecture": architecture,
        "AWS::Region": "eu-west-1", "AWS::StackName": "predictions", "AWS::Partition": "aws", "Service.Name": "worker",
    }  # fmt: skip
    if missing := set(template["Parameters"]) - set(names):
        sys.exit(f"no value for the parameters {missing}")

    def of(name):
        return resolve(template["Resources"][name]["Properties"], names)

    for role in ("TaskRole", "ExecutionRole"):
        p = of(role)
        names[role + ".Arn"] = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(p["AssumeRolePolicyDocument"]))["Role"]["Arn"]
    logs.create_log_group(logGroupName=of("Logs")["LogGroupName"])
    logs.put_retention_policy(logGroupName=of("Logs")["LogGroupName"], retentionInDays=of("Logs")["RetentionInDays"])
    task = ecs.register_task_definition(**camel(of("TaskDefinition")))["taskDefinition"]
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
        "policies": scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"],
    }  # fmt: skip


with open(sys.argv[1], encoding="utf-8") as f:
    document = json.load(f)
print(json.dumps({architecture: check(document, architecture) for architecture in ("ARM64", "X86_64")}, default=str))

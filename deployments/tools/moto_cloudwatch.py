"""moto_cloudwatch.py TEMPLATE < PARAMETERS makes the alarms and the dashboard of the template by CloudWatch's own calls, against
moto, once for each set of parameters, and prints as JSON what CloudWatch then says there is. PARAMETERS is a JSON object of sets by
name."""

import json
import sys

from moto_ecs import NO_VALUE, holds, refused, resolve  # sets the environment for boto3

import boto3
from moto import mock_aws


@mock_aws
def check(template, parameters):
    cloudwatch = boto3.client("cloudwatch")
    names = {name: p["Default"] for name, p in template["Parameters"].items() if "Default" in p} | {
        "AWS::Region": "eu-west-1", "AWS::StackName": "predictions", "AWS::NoValue": NO_VALUE,
    } | parameters  # fmt: skip
    names["TopicArns"] = names["TopicArns"] or [""]  # what CloudFormation makes of an empty list
    if why := refused(template, names):
        sys.exit(f"refused: {why}")
    dashboards = []
    for name, resource in template["Resources"].items():
        if "Condition" in resource and not holds(template["Conditions"][resource["Condition"]], names, template):
            continue
        properties = resolve(resource["Properties"], names, template)
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            properties["Threshold"] = float(properties["Threshold"])
            cloudwatch.put_metric_alarm(AlarmName=name, **properties)
        else:
            messages = cloudwatch.put_dashboard(**properties).get("DashboardValidationMessages")
            if messages:
                sys.exit(f"the dashboard: {messages}")
            dashboards.append(properties["DashboardName"])
    return {
        "Alarms": {a["AlarmName"]: a for a in cloudwatch.describe_alarms()["MetricAlarms"]},
        "Body": cloudwatch.get_dashboard(DashboardName=dashboards[0])["DashboardBody"],
    }


with open(sys.argv[1], encoding="utf-8") as f:
    document = json.load(f)
print(json.dumps({name: check(document, parameters) for name, parameters in json.load(sys.stdin).items()}, default=str))

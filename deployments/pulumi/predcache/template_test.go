package predcache

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write ../../ecs/service.template.json")

// The service as a CloudFormation template, for who has no Pulumi, and for tools that read one. It is made from what the
// component declares, so that there is one source.
const templateFile = "../../ecs/service.template.json"

func TestTemplateIsWhatTheComponentDeclares(t *testing.T) {
	want := template(t)
	if *update {
		if err := os.WriteFile(templateFile, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(templateFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("ecs/service.template.json is not what the component declares: go test ./predcache -run Template -update")
	}
}

func template(t *testing.T) []byte {
	t.Helper()
	resources := service(t, nil, ServiceArgs{
		Image: "${Image}", Region: "${AWS::Region}", ClusterName: "${ClusterName}", Subnets: []string{"SUBNETS"}, SecurityGroups: []string{"GROUPS"},
		Sidecars: []map[string]any{templateSidecar()},
	})
	of := func(name string) object {
		if resources[name] == nil {
			t.Fatalf("there is no %s", name)
		}
		return resources[name]
	}
	task, run := of("aws:ecs/taskDefinition:TaskDefinition worker"), of("aws:ecs/service:Service worker")
	var containers []any
	if err := json.Unmarshal([]byte(task["containerDefinitions"].(string)), &containers); err != nil {
		t.Fatal(err)
	}
	role := func(name string) object {
		var trust any
		if err := json.Unmarshal([]byte(of("aws:iam/role:Role " + name)["assumeRolePolicy"].(string)), &trust); err != nil {
			t.Fatal(err)
		}
		return resourceOf("IAM::Role", object{
			"AssumeRolePolicyDocument": trust, "ManagedPolicyArns": []any{of("aws:iam/rolePolicyAttachment:RolePolicyAttachment " + name)["policyArn"]},
		})
	}
	logs, target, policy := of("aws:cloudwatch/logGroup:LogGroup worker"), of("aws:appautoscaling/target:Target worker"), of("aws:appautoscaling/policy:Policy worker")
	network := run["networkConfiguration"].(object)
	public := "DISABLED"
	if network["assignPublicIp"] == true {
		public = "ENABLED"
	}
	t2 := object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              "predcache's worker on ECS Fargate. Made from deployments/pulumi/predcache; do not edit.",
		"Parameters": object{
			"Image":           parameter("String", "Image of the worker, by digest or by a tag that never moves"),
			"QueueUrl":        parameter("String", "URL of the queue to consume"),
			"QueueName":       parameter("String", "Name of that queue, whose length the service is scaled by"),
			"RejectQueueUrl":  parameter("String", "URL of the queue for predictions that can never be stored; empty: none"),
			"TableName":       parameter("String", "Name of the table to write"),
			"WorkerPolicyArn": parameter("String", "ARN of the policy made from deployments/pulumi/policies: worker.json, with a reject queue worker-rejects.json, for Ordering=newest worker-newest.json, for Deletes=remove worker-deletes.json, with ObjectsQueueUrl worker-objects.json and for each entry of Objects worker-objects-read.json, for queues or a table with a customer managed key worker-key.json, and for objects with one worker-objects-key.json"),
			"ClusterName":     parameter("String", "ECS cluster with Container Insights and the capacity providers FARGATE and FARGATE_SPOT"),
			"Subnets":         parameter("List<AWS::EC2::Subnet::Id>", "Subnets with a way to AWS and to the image's registry"),
			"SecurityGroups":  parameter("List<AWS::EC2::SecurityGroup::Id>", "Groups that let HTTPS out"),
			"Architecture": object{
				"Type": "String", "Description": "ARM64 or X86_64", "Default": task["runtimePlatform"].(object)["cpuArchitecture"], "AllowedValues": []string{"ARM64", "X86_64"},
			},
		},
		"Resources": object{
			"TaskRole": role("worker-task"), "ExecutionRole": role("worker-execution"),
			"Logs": resourceOf("Logs::LogGroup", object{"LogGroupName": logs["name"], "RetentionInDays": logs["retentionInDays"]}),
			"TaskDefinition": resourceOf("ECS::TaskDefinition", object{
				"Family": task["family"], "RequiresCompatibilities": task["requiresCompatibilities"], "NetworkMode": task["networkMode"],
				"Cpu": task["cpu"], "Memory": task["memory"],
				"RuntimePlatform": object{"CpuArchitecture": object{"Ref": "Architecture"}, "OperatingSystemFamily": "LINUX"},
				"TaskRoleArn":     task["taskRoleArn"], "ExecutionRoleArn": task["executionRoleArn"],
				"ContainerDefinitions": pascal(containers),
			}),
			"Service": resourceOf("ECS::Service", object{
				"Cluster": run["cluster"], "TaskDefinition": object{"Ref": "TaskDefinition"}, "DesiredCount": run["desiredCount"],
				"CapacityProviderStrategy": pascal(run["capacityProviderStrategies"]), "PlatformVersion": run["platformVersion"],
				"DeploymentConfiguration": object{
					"DeploymentCircuitBreaker": pascal(run["deploymentCircuitBreaker"]),
					"MinimumHealthyPercent":    run["deploymentMinimumHealthyPercent"], "MaximumPercent": run["deploymentMaximumPercent"],
				},
				"NetworkConfiguration": object{"AwsvpcConfiguration": object{
					"AssignPublicIp": public, "Subnets": object{"Ref": "Subnets"}, "SecurityGroups": object{"Ref": "SecurityGroups"},
				}},
				"EnableECSManagedTags": run["enableEcsManagedTags"], "PropagateTags": run["propagateTags"],
			}),
			"ScalableTarget": resourceOf("ApplicationAutoScaling::ScalableTarget", object{
				"MinCapacity": target["minCapacity"], "MaxCapacity": target["maxCapacity"], "ResourceId": "service/${ClusterName}/${Service.Name}",
				"ScalableDimension": target["scalableDimension"], "ServiceNamespace": target["serviceNamespace"],
			}),
			"Scaling": resourceOf("ApplicationAutoScaling::ScalingPolicy", object{
				"PolicyName": "backlog", "PolicyType": policy["policyType"], "ScalingTargetId": object{"Ref": "ScalableTarget"},
				"TargetTrackingScalingPolicyConfiguration": pascal(policy["targetTrackingScalingPolicyConfiguration"]),
			}),
		},
		"Outputs": object{"ServiceName": object{"Value": "${Service.Name}"}, "TaskDefinitionArn": object{"Value": object{"Ref": "TaskDefinition"}}, "LogGroupName": object{"Value": object{"Ref": "Logs"}}},
	}
	const queues = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
	names := strings.NewReplacer(
		queues+"predictions-queue", "${QueueUrl}", queues+"predictions-rejects", "${RejectQueueUrl}",
		"predictions-queue", "${QueueName}", "predictions-table", "${TableName}",
		"arn:aws:policy:::predictions-worker", "${WorkerPolicyArn}",
		"/predcache/test/worker", "/predcache/${AWS::StackName}/worker", "predcache-test-worker", "${AWS::StackName}",
		"arn:aws:iam::aws:policy/", "arn:${AWS::Partition}:iam::aws:policy/",
		"arn:aws:ecs:", "arn:${AWS::Partition}:ecs:", "123456789012", "${AWS::AccountId}",
		"arn:aws:role:::worker-task", "${TaskRole.Arn}", "arn:aws:role:::worker-execution", "${ExecutionRole.Arn}",
	)
	made := substitute(t2, names).(object)
	// The metric's dimension is the service's own name, which the component makes up and CloudFormation too.
	metrics := made["Resources"].(object)["Scaling"].(object)["Properties"].(object)["TargetTrackingScalingPolicyConfiguration"].(object)["CustomizedMetricSpecification"].(object)["Metrics"].([]any)
	dimensions := metrics[1].(object)["MetricStat"].(object)["Metric"].(object)["Dimensions"].([]any)
	dimensions[1].(object)["Value"] = object{"Fn::GetAtt": []string{"Service", "Name"}}
	// The log group's name is wanted before its first log.
	made["Resources"].(object)["TaskDefinition"].(object)["DependsOn"] = []string{"Logs"}
	parametrize(t, made)
	// One form of values for everything: what was built here has typed lists.
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	return []byte(compact(plain, "") + "\n")
}

func resourceOf(kind string, properties object) object {
	return object{"Type": "AWS::" + kind, "Properties": properties}
}

func parameter(kind, description string) object {
	return object{"Type": kind, "Description": description}
}

// pascal writes the names of fields as CloudFormation does, but for those of a log driver's options.
func pascal(v any) any {
	switch v := v.(type) {
	case object:
		m := object{}
		for name, value := range v {
			if name == "options" {
				m["Options"] = value
				continue
			}
			m[strings.ToUpper(name[:1])+name[1:]] = pascal(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = pascal(v[i])
		}
		return list
	}
	return v
}

// substitute puts parameters in the place of the mocks' values.
func substitute(v any, names *strings.Replacer) any {
	switch v := v.(type) {
	case object:
		m := object{}
		for name, value := range v {
			m[name] = substitute(value, names)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = substitute(v[i], names)
		}
		return list
	case string:
		s := names.Replace(v)
		if whole, ok := strings.CutPrefix(s, "${"); ok && strings.Index(whole, "}") == len(whole)-1 && !strings.Contains(whole, ".") {
			return object{"Ref": strings.TrimSuffix(whole, "}")}
		}
		if strings.Contains(s, "${") {
			return object{"Fn::Sub": s}
		}
		return s
	}
	return v
}

package predcache

import (
	"fmt"
	"strings"
	"time"
)

// secretSlots is how many secret variables the template's worker takes. CloudFormation has no maps among its parameters.
const secretSlots = 3

// sidecarConfig stands for the sidecar's configuration, as the component takes it.
const sidecarConfig = "arn:aws:ssm:eu-west-1:123456789012:parameter/sidecar"

// templateSidecar is the sidecar that the template's parameters describe.
func templateSidecar() map[string]any {
	return map[string]any{
		"name": "sidecar", "image": "${SidecarImage}",
		"secrets": []any{map[string]any{"name": "CONFIG", "valueFrom": sidecarConfig}},
	}
}

// A conditional adds parameters that may be empty, and conditions that they are not.
type conditional struct{ parameters, conditions object }

func (c conditional) add(name, description string, more object) {
	p := object{"Type": "String", "Default": "", "Description": description}
	for key, value := range more {
		p[key] = value
	}
	c.parameters[name] = p
	c.conditions["Has"+name] = object{"Fn::Not": []any{object{"Fn::Equals": []any{object{"Ref": name}, ""}}}}
}

// ifSet is a value that is there if the parameter is.
func ifSet(parameter string, value any) object {
	return object{"Fn::If": []any{"Has" + parameter, value, object{"Ref": "AWS::NoValue"}}}
}

// secretsAndSidecar gives the template a sidecar, secrets, and the execution role the permission to read just these.
func secretsAndSidecar(template object) {
	resources := template["Resources"].(object)
	c := conditional{template["Parameters"].(object), template["Conditions"].(object)}
	of := func(name string) object { return resources[name].(object)["Properties"].(object) }
	containers := of("TaskDefinition")["ContainerDefinitions"].([]any)
	worker, sidecar := containers[0].(object), containers[1].(object)

	arn := object{
		"AllowedPattern":        `^$|^arn:[a-z-]+:(ssm:[a-z0-9-]+:[0-9]{12}:parameter/.+|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^:]+)$`,
		"ConstraintDescription": "the ARN of a parameter of Systems Manager or of a secret of Secrets Manager",
	}
	var secrets, readable, any_ []any
	for i := 1; i <= secretSlots; i++ {
		name, from, key := fmt.Sprint("SecretName", i), fmt.Sprint("SecretArn", i), fmt.Sprint("SecretJsonKey", i)
		c.add(name, "Secret variable of the worker, like OTEL_EXPORTER_OTLP_HEADERS; empty: none", object{"AllowedPattern": "^([A-Za-z_][A-Za-z0-9_]*)?$"})
		c.add(from, "ARN of the parameter of Systems Manager or the secret of Secrets Manager that it has", arn)
		c.add(key, "Key of the secret's JSON; empty: the whole secret", nil)
		delete(c.conditions, "Has"+name)
		secrets = append(secrets, ifSet(from, object{"Name": object{"Ref": name}, "ValueFrom": object{"Fn::If": []any{
			"Has" + key, object{"Fn::Sub": fmt.Sprintf("${%s}:${%s}::", from, key)}, object{"Ref": from},
		}}}))
		readable, any_ = append(readable, ifSet(from, object{"Ref": from})), append(any_, object{"Condition": "Has" + from})
		template["Rules"].(object)[fmt.Sprint("Secret", i)] = object{
			"RuleCondition": object{"Fn::Not": []any{object{"Fn::Equals": []any{object{"Ref": from}, ""}}}},
			"Assertions": []any{object{
				"Assert":            object{"Fn::Not": []any{object{"Fn::Equals": []any{object{"Ref": name}, ""}}}},
				"AssertDescription": fmt.Sprintf("With %s, give %s", from, name),
			}},
		}
	}
	worker["Secrets"] = secrets

	c.add("SidecarImage", "Image of one more container, such as a collector; empty: none", nil)
	c.add("SidecarCommand", "Its arguments, with commas between them; empty: the image's", nil)
	c.add("SidecarConfigArn", "ARN of the parameter or secret that it has as variable CONFIG; empty: none", arn)
	c.parameters["SidecarMemory"] = object{"Type": "Number", "Description": "MiB of the task's Memory that are reserved for it", "Default": 256, "MinValue": 4}
	sidecar["Command"] = ifSet("SidecarCommand", object{"Fn::Split": []any{",", object{"Ref": "SidecarCommand"}}})
	sidecar["MemoryReservation"] = object{"Ref": "SidecarMemory"}
	sidecar["Secrets"] = ifSet("SidecarConfigArn", []any{object{"Name": "CONFIG", "ValueFrom": object{"Ref": "SidecarConfigArn"}}})
	containers[1] = ifSet("SidecarImage", sidecar)
	readable, any_ = append(readable, ifSet("SidecarConfigArn", object{"Ref": "SidecarConfigArn"})), append(any_, object{"Condition": "HasSidecarConfigArn"})

	c.add("TaskPolicyArn", "ARN of one more policy of the task's role, for what the sidecar calls; empty: none", nil)
	task := of("TaskRole")
	task["ManagedPolicyArns"] = append(task["ManagedPolicyArns"].([]any), ifSet("TaskPolicyArn", object{"Ref": "TaskPolicyArn"}))

	c.add("SecretKeyArn", "ARN of the customer key of KMS that the secrets are encrypted with; empty: AWS's own", nil)
	c.conditions["HasSecrets"] = object{"Fn::Or": any_}
	of("ExecutionRole")["Policies"] = []any{object{"Fn::If": []any{"HasSecrets", object{
		"PolicyName": "secrets", "PolicyDocument": object{"Version": "2012-10-17", "Statement": []any{
			object{"Effect": "Allow", "Action": []string{"secretsmanager:GetSecretValue", "ssm:GetParameters"}, "Resource": readable},
			ifSet("SecretKeyArn", object{"Effect": "Allow", "Action": []string{"kms:Decrypt"}, "Resource": object{"Ref": "SecretKeyArn"}}),
		}},
	}, object{"Ref": "AWS::NoValue"}}}}
}

// network lets the addresses of the tasks, and the mix of Fargate and Fargate Spot, be chosen.
func network(template object) {
	parameters, service := template["Parameters"].(object), template["Resources"].(object)["Service"].(object)["Properties"].(object)
	at := service["NetworkConfiguration"].(object)["AwsvpcConfiguration"].(object)
	parameters["AssignPublicIp"] = object{
		"Type": "String", "Description": "Public addresses, for subnets without a NAT gateway or endpoints", "Default": at["AssignPublicIp"], "AllowedValues": []string{"DISABLED", "ENABLED"},
	}
	at["AssignPublicIp"] = object{"Ref": "AssignPublicIp"}
	for i, name := range []string{"OnDemandWeight", "SpotWeight"} {
		provider := service["CapacityProviderStrategy"].([]any)[i].(object)
		parameters[name] = object{
			"Type": "Number", "Description": "Share of the tasks beyond OnDemandTasks, beside the other weight; 0: none", "Default": provider["Weight"], "MinValue": 0, "MaxValue": 1000,
		}
		provider["Weight"] = object{"Ref": name}
	}
}

// drain lets the drain timeout be chosen, with a stop timeout above it.
func drain(template object, container object) []any {
	stops, offered := object{}, []string{}
	for _, timeout := range []time.Duration{10 * time.Second, drainTimeout, 50 * time.Second, 80 * time.Second, maxStop - stopMargin} {
		text := fmt.Sprintf("%ds", int(timeout.Seconds()))
		offered = append(offered, text)
		stops[text] = object{"Stop": fmt.Sprint(int((timeout + stopMargin).Seconds()))}
	}
	template["Mappings"].(object)["Drain"] = stops
	template["Parameters"].(object)["DrainTimeout"] = object{
		"Type": "String", "Description": "WORKER_DRAIN_TIMEOUT; the task is killed ten seconds later", "Default": fmt.Sprintf("%ds", int(drainTimeout.Seconds())), "AllowedValues": offered,
	}
	container["StopTimeout"] = object{"Fn::FindInMap": []any{"Drain", object{"Ref": "DrainTimeout"}, "Stop"}}
	return []any{object{"Name": "WORKER_DRAIN_TIMEOUT", "Value": object{"Ref": "DrainTimeout"}}}
}

// compact writes JSON with an object or a list on one line where there is room, since CloudFormation takes 51,200 bytes.
func compact(v any, indent string) string {
	oneLine := line(v)
	if len(indent)+len(oneLine) <= 160 {
		return oneLine
	}
	inner := indent + " "
	var parts []string
	switch v := v.(type) {
	case object:
		for _, name := range sortedKeys(v) {
			parts = append(parts, inner+line(name)+": "+compact(v[name], inner))
		}
		return "{\n" + strings.Join(parts, ",\n") + "\n" + indent + "}"
	case []any:
		for _, value := range v {
			parts = append(parts, inner+compact(value, inner))
		}
		return "[\n" + strings.Join(parts, ",\n") + "\n" + indent + "]"
	}
	return oneLine
}

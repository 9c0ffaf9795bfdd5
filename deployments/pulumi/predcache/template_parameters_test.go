package predcache

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parametrize gives the template parameters for what a Service takes as arguments and a Cache as settings. The values that the
// component declared for them become the defaults.
func parametrize(t *testing.T, template object) {
	t.Helper()
	parameters, resources := template["Parameters"].(object), template["Resources"].(object)
	of := func(name string) object { return resources[name].(object)["Properties"].(object) }
	number := func(name, description string, standard any, least int) object {
		parameters[name] = object{"Type": "Number", "Description": description, "Default": standard, "MinValue": least}
		return object{"Ref": name}
	}
	service, target := of("Service"), of("ScalableTarget")
	target["MinCapacity"] = number("MinTasks", "Tasks that always run", target["MinCapacity"], 1)
	target["MaxCapacity"] = number("MaxTasks", "Maximum number of tasks", target["MaxCapacity"], 1)
	// With a count here, each update of the stack would undo the scaling ("AWS::ECS::Service", CloudFormation Template Reference).
	delete(service, "DesiredCount")
	onDemand := service["CapacityProviderStrategy"].([]any)[0].(object)
	onDemand["Base"] = number("OnDemandTasks", "Tasks that never run on Spot, before three quarters of the others do", onDemand["Base"], 0)
	scaling := of("Scaling")["TargetTrackingScalingPolicyConfiguration"].(object)
	scaling["TargetValue"] = number("MessagesPerTask", "Waiting messages for each task, above which tasks are added", scaling["TargetValue"], 1)
	logs := of("Logs")
	// Those of PutRetentionPolicy (Amazon CloudWatch Logs API Reference).
	parameters["LogDays"] = object{
		"Type": "Number", "Description": "Days for which logs are kept", "Default": logs["RetentionInDays"],
		"AllowedValues": []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653},
	}
	logs["RetentionInDays"] = object{"Ref": "LogDays"}

	sizes(template, of("TaskDefinition"))
	network(template)
	container := of("TaskDefinition")["ContainerDefinitions"].([]any)[0].(object)
	container["Environment"] = append(variables(t, template, container["Environment"].([]any)), drain(template, container)...)
	secretsAndSidecar(template)
}

// passedThrough are variables that are not the worker's own settings: of the OpenTelemetry SDK and of the Go runtime.
var passedThrough = []string{
	"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
	"OTEL_METRICS_EXPORTER", "OTEL_METRIC_EXPORT_INTERVAL",
	"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "GOGC", "GOMEMLIMIT", "GODEBUG",
}

// sizes lets Cpu and Memory be chosen, as Fargate offers them, and checks them before anything is created.
func sizes(template, task object) {
	parameters, rules, processors := template["Parameters"].(object), object{}, object{}
	var cpus, memories []string
	for _, s := range fargateSizes {
		cpu := strconv.Itoa(s.cpu)
		var offered []string
		for memory := s.least; memory <= s.most; memory += 512 {
			if checkSize(s.cpu, memory) == nil {
				offered = append(offered, strconv.Itoa(memory))
			}
		}
		cpus, memories = append(cpus, cpu), append(memories, offered...)
		processors[cpu] = object{"Processors": strconv.Itoa(max(1, s.cpu/1024))}
		rules["Cpu"+cpu] = object{
			"RuleCondition": object{"Fn::Equals": []any{object{"Ref": "Cpu"}, cpu}},
			"Assertions": []any{object{
				"Assert":            object{"Fn::Contains": []any{offered, object{"Ref": "Memory"}}},
				"AssertDescription": fmt.Sprintf("With %s CPU units, Fargate takes a memory of %s MiB", cpu, strings.Join(offered, ", ")),
			}},
		}
	}
	slices.SortFunc(memories, func(a, b string) int { x, _ := strconv.Atoi(a); y, _ := strconv.Atoi(b); return x - y })
	parameters["Cpu"] = object{"Type": "String", "Description": "CPU units; 1024 are one vCPU", "Default": task["Cpu"], "AllowedValues": cpus}
	parameters["Memory"] = object{"Type": "String", "Description": "Memory in MiB", "Default": task["Memory"], "AllowedValues": slices.Compact(memories)}
	task["Cpu"], task["Memory"] = object{"Ref": "Cpu"}, object{"Ref": "Memory"}
	template["Rules"], template["Mappings"] = rules, object{"Cpu": processors}
}

// variables are the container's: those that the component declares, and each setting that has a parameter with a value.
func variables(t *testing.T, template object, declared []any) []any {
	t.Helper()
	parameters, conditions := template["Parameters"].(object), object{}
	optional := func(parameter, name string) object {
		conditions["Has"+parameter] = object{"Fn::Not": []any{object{"Fn::Equals": []any{object{"Ref": parameter}, ""}}}}
		return object{"Fn::If": []any{"Has" + parameter, object{"Name": name, "Value": object{"Ref": parameter}}, object{"Ref": "AWS::NoValue"}}}
	}
	var list []any
	for _, v := range declared {
		switch name := v.(object)["Name"]; name {
		case "WORKER_REJECT_QUEUE_URL":
			parameters["RejectQueueUrl"].(object)["Default"] = ""
			v = optional("RejectQueueUrl", "WORKER_REJECT_QUEUE_URL")
		case "GOMAXPROCS":
			parameters["Gomaxprocs"] = object{"Type": "String", "Default": "", "Description": "GOMAXPROCS; empty: whole vCPUs of Cpu, at least 1", "AllowedPattern": "^[0-9]*$"}
			conditions["HasGomaxprocs"] = object{"Fn::Not": []any{object{"Fn::Equals": []any{object{"Ref": "Gomaxprocs"}, ""}}}}
			v.(object)["Value"] = object{"Fn::If": []any{"HasGomaxprocs", object{"Ref": "Gomaxprocs"}, object{"Fn::FindInMap": []any{"Cpu", object{"Ref": "Cpu"}, "Processors"}}}}
		}
		list = append(list, v)
	}
	var settings map[string]setting
	if err := json.Unmarshal(settingsList, &settings); err != nil {
		t.Fatal(err)
	}
	// The stop timeout and the health check depend on these.
	for _, fixed := range []string{"WORKER_QUEUE_URL", "WORKER_TABLE_NAME", "WORKER_REJECT_QUEUE_URL", "WORKER_DRAIN_TIMEOUT", "WORKER_HTTP_ADDR"} {
		delete(settings, fixed)
	}
	for _, name := range passedThrough {
		settings[name] = setting{Type: "string"}
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		parameter := parameterOf(name)
		if parameters[parameter] != nil {
			t.Fatalf("two parameters %s", parameter)
		}
		parameters[parameter] = settingParameter(name, settings[name])
		list = append(list, optional(parameter, name))
	}
	template["Conditions"] = conditions
	return list
}

// parameterOf names the parameter of a variable: MaxHeldBytes for WORKER_MAX_HELD_BYTES.
func parameterOf(variable string) (name string) {
	for word := range strings.SplitSeq(strings.TrimPrefix(variable, "WORKER_"), "_") {
		name += word[:1] + strings.ToLower(word[1:])
	}
	return name
}

func sortedKeys(o object) []string { return slices.Sorted(maps.Keys(o)) }

// line writes a value on one line, as people write JSON.
func line(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	switch v := v.(type) {
	case object:
		parts := make([]string, 0, len(v))
		for _, name := range sortedKeys(v) {
			parts = append(parts, line(name)+": "+line(v[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		parts := make([]string, 0, len(v))
		for _, value := range v {
			parts = append(parts, line(value))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func settingParameter(name string, s setting) object {
	p := object{"Type": "String", "Default": "", "Description": name + "; empty: the default"}
	switch s.Type {
	case "duration":
		p["AllowedPattern"], p["ConstraintDescription"] = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))*$`, "a duration like 500ms, 20s or 24h"
	case "integer":
		p["AllowedPattern"], p["ConstraintDescription"] = `^[0-9]*$`, "an integer"
	case "number":
		p["AllowedPattern"], p["ConstraintDescription"] = `^([0-9]+(\.[0-9]+)?)?$`, "a number"
	case "boolean":
		p["AllowedValues"] = []string{"", "true", "false"}
	}
	if s.Values != nil {
		p["AllowedValues"] = append([]string{""}, s.Values...)
	}
	return p
}

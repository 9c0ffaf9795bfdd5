package deployments

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/workertest/alarmtest"
)

const cloudwatchTemplate = "cloudwatch/cloudwatch.template.json"

func cloudwatchAlarms(t *testing.T) []alarmtest.Alarm {
	t.Helper()
	alarms, err := alarmtest.Load("cloudwatch/alarms.json")
	if err != nil {
		t.Fatal(err)
	}
	return alarms
}

// conditions are those of the template for what an entry needs.
var conditions = map[string]string{"rejects": "HasRejects", "objects": "HasObjects", "emf": "HasMetrics"}

// TestTemplateHasTheAlarms makes the CloudFormation template from the shared files. It is one of its own, since the service's
// would exceed the 51,200 bytes that CloudFormation takes in a request, and for who runs the workers elsewhere.
func TestTemplateHasTheAlarms(t *testing.T) {
	resources := object{}
	for _, a := range cloudwatchAlarms(t) {
		resources[camelCase(a.Name)] = conditional(t, a.Needs, object{"Type": "AWS::CloudWatch::Alarm", "Properties": alarmProperties(&a)})
	}
	resources["Board"] = object{"Type": "AWS::CloudWatch::Dashboard", "Condition": "WantsDashboard", "Properties": object{
		"DashboardName": object{"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}, "DashboardBody": dashboardBody(t),
	}}
	text := func(description, standard string) object {
		return object{"Type": "String", "Description": description, "Default": standard}
	}
	given := func(parameter string) object {
		return object{"Fn::Not": []any{object{"Fn::Equals": []any{object{"Ref": parameter}, ""}}}}
	}
	seconds := func(description string, standard int) object {
		return object{"Type": "Number", "Description": description, "Default": standard, "MinValue": 60}
	}
	want := object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              "predcache's CloudWatch alarms and dashboard. Made from alarms.json and dashboard.json; do not edit.",
		"Parameters": object{
			"QueueName":                  object{"Type": "String", "Description": "Name of the queue"},
			"DeadLetterQueueName":        object{"Type": "String", "Description": "Name of its dead-letter queue"},
			"TableName":                  object{"Type": "String", "Description": "Name of the table, for the dashboard"},
			"RejectQueueName":            text("Name of the reject queue; empty: there is none", ""),
			"ObjectsQueueName":           text("Name of the queue of batch outputs; empty: none are read", ""),
			"ObjectsDeadLetterQueueName": text("Name of its dead-letter queue; needed with it", ""),
			"TopicArns":                  object{"Type": "CommaDelimitedList", "Description": "SNS topics to notify; empty: none", "Default": ""},
			"MaxAgeSeconds":              seconds("Maximum age of the oldest message", 300),
			"ObjectsMaxAgeSeconds":       seconds("Maximum age of the oldest event or range of batch outputs", 3600),
			"Metrics": object{"Type": "String", "Description": "WORKER_METRICS of the workers: emf adds the alarms and widgets on their metrics", "Default": "none",
				"AllowedValues": []string{"none", "emf"}},
			"Dashboard": object{"Type": "String", "Description": "Make a dashboard", "Default": "true", "AllowedValues": []string{"true", "false"}},
		},
		"Rules": object{"ObjectsQueues": object{
			"RuleCondition": given("ObjectsQueueName"),
			"Assertions": []any{object{
				"Assert": given("ObjectsDeadLetterQueueName"), "AssertDescription": "With ObjectsQueueName, give ObjectsDeadLetterQueueName too",
			}},
		}},
		"Conditions": object{
			"HasRejects":     given("RejectQueueName"),
			"HasObjects":     object{"Fn::And": []any{given("ObjectsQueueName"), given("ObjectsDeadLetterQueueName")}},
			"HasMetrics":     object{"Fn::Equals": []any{object{"Ref": "Metrics"}, "emf"}},
			"WantsDashboard": object{"Fn::Equals": []any{object{"Ref": "Dashboard"}, "true"}},
			"HasTopics":      object{"Fn::Not": []any{object{"Fn::Equals": []any{object{"Fn::Join": []any{"", object{"Ref": "TopicArns"}}}, ""}}}},
		},
		"Resources": resources,
	}
	generated(t, cloudwatchTemplate, func([]byte) []byte { return []byte(compactJSON(plainJSON(t, want), 0) + "\n") })
}

// alarmProperties are an alarm's in CloudFormation.
func alarmProperties(a *alarmtest.Alarm) object {
	var queries []any
	for _, m := range a.Metrics {
		var dimensions []any
		for _, name := range slices.Sorted(maps.Keys(m.Dimensions)) {
			dimensions = append(dimensions, object{"Name": name, "Value": object{"Ref": strings.Trim(m.Dimensions[name], "${}")}})
		}
		queries = append(queries, object{"Id": m.ID, "ReturnData": a.Expression == "", "MetricStat": object{
			"Metric": object{"Namespace": m.Namespace, "MetricName": m.Name, "Dimensions": dimensions}, "Period": a.Period, "Stat": m.Stat,
		}})
	}
	if a.Expression != "" {
		queries = append(queries, object{"Id": "result", "Expression": a.Expression, "ReturnData": true})
	}
	var threshold any = a.Threshold
	if a.ThresholdFrom != "" {
		threshold = object{"Ref": strings.ToUpper(a.ThresholdFrom[:1]) + a.ThresholdFrom[1:]}
	}
	topics := object{"Fn::If": []any{"HasTopics", object{"Ref": "TopicArns"}, object{"Ref": "AWS::NoValue"}}}
	return object{
		"AlarmDescription": a.Description + " https://github.com/predcache/predcache/blob/main/docs/runbook.md#" + a.Runbook,
		"Metrics":          queries, "ComparisonOperator": a.Comparison, "Threshold": threshold,
		"EvaluationPeriods": a.EvaluationPeriods, "DatapointsToAlarm": a.DatapointsToAlarm, "TreatMissingData": a.TreatMissingData,
		"AlarmActions": topics, "OKActions": topics, "Tags": []any{object{"Key": "Severity", "Value": a.Severity}},
	}
}

func conditional(t *testing.T, needs []string, resource object) object {
	t.Helper()
	switch len(needs) {
	case 0:
	case 1:
		resource["Condition"] = conditions[needs[0]]
	default:
		t.Fatalf("an entry needs %v: combine their conditions", needs)
	}
	return resource
}

// dashboardBody joins the widgets, each with the comma that it needs wherever others are left out.
func dashboardBody(t *testing.T) object {
	t.Helper()
	text, err := os.ReadFile("cloudwatch/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		Needs  []string
		Widget any
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	parts, always := []any{`{"widgets":[`}, false
	for _, e := range entries {
		widget, err := json.Marshal(e.Widget)
		if err != nil {
			t.Fatal(err)
		}
		body := strings.ReplaceAll(string(widget), "${Region}", "${AWS::Region}")
		switch {
		case always:
			body = "," + body
		case len(e.Needs) > 0:
			body += "," // before the first that is always there
		}
		part := object{"Fn::Sub": body}
		if len(e.Needs) > 0 {
			part = object{"Fn::If": []any{conditions[e.Needs[0]], part, ""}}
		} else {
			always = true
		}
		parts = append(parts, part)
	}
	if !always {
		t.Fatal("a dashboard without a widget that is always there")
	}
	return object{"Fn::Join": []any{"", append(parts, "]}")}}
}

func camelCase(name string) (id string) {
	for word := range strings.SplitSeq(name, "-") {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

// plainJSON returns a value as a JSON decoder would.
func plainJSON(t *testing.T, v any) (plain any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	return plain
}

// compactJSON writes what fits into a line as a line, so that the template stays small and its changes can be read.
func compactJSON(v any, indent int) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	flat := strings.TrimSuffix(b.String(), "\n")
	var parts []string
	brackets := "{}"
	switch v := v.(type) {
	case object:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, fmt.Sprintf("%q: %s", name, compactJSON(v[name], indent+1)))
		}
	case []any:
		brackets = "[]"
		for _, e := range v {
			parts = append(parts, compactJSON(e, indent+1))
		}
	}
	if len(parts) == 0 || indent+len(flat) <= 140 {
		return flat
	}
	line := "\n" + strings.Repeat(" ", indent)
	return brackets[:1] + line + " " + strings.Join(parts, ","+line+" ") + line + brackets[1:]
}

func TestCloudWatchTemplatePassesCfnLint(t *testing.T) {
	command{}.must(t, tool(t, "cfn-lint"), cloudwatchTemplate)
	if file, err := os.Stat(cloudwatchTemplate); err != nil || file.Size() > 51_200 {
		t.Errorf("the template: %v, %d bytes, want at most 51,200", err, file.Size())
	}
}

// TestCloudWatchOnMoto makes the template's resources by CloudWatch's own calls, with few and with all parameters.
func TestCloudWatchOnMoto(t *testing.T) {
	few := object{"QueueName": "predictions", "DeadLetterQueueName": "dead", "TableName": "cache"}
	all := maps.Clone(few)
	maps.Copy(all, object{
		"RejectQueueName": "rejects", "ObjectsQueueName": "objects", "ObjectsDeadLetterQueueName": "objects-dead", "Metrics": "emf", "MaxAgeSeconds": 120,
		"TopicArns": []string{"arn:aws:sns:eu-west-1:123456789012:oncall"},
	})
	stdin, err := json.Marshal(map[string]object{"few": few, "all": all})
	if err != nil {
		t.Fatal(err)
	}
	text := command{stdin: string(stdin), limit: 2 * time.Minute}.must(t, "../.cache/deploy/python/bin/python", "tools/moto_cloudwatch.py", cloudwatchTemplate)
	var made map[string]struct {
		Alarms map[string]any
		Body   string
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(err)
	}
	shared := cloudwatchAlarms(t)
	if n, want := len(made["all"].Alarms), len(shared); n != want {
		t.Errorf("%d alarms, want %d", n, want)
	}
	same(t, "the alarms with few parameters", slices.Sorted(maps.Keys(made["few"].Alarms)), []string{"DeadLetters", "OldestMessage"})
	for _, a := range shared {
		got := made["all"].Alarms[camelCase(a.Name)]
		same(t, a.Name, []any{at(got, "EvaluationPeriods"), at(got, "DatapointsToAlarm"), at(got, "TreatMissingData"), at(got, "ComparisonOperator")},
			[]any{a.EvaluationPeriods, a.DatapointsToAlarm, a.TreatMissingData, a.Comparison})
		same(t, a.Name+", actions", at(got, "AlarmActions"), []string{"arn:aws:sns:eu-west-1:123456789012:oncall"})
	}
	same(t, "the age", at(made["all"].Alarms["OldestMessage"], "Threshold"), 120)
	same(t, "no action", at(made["few"].Alarms["OldestMessage"], "AlarmActions"), []string{})
	for name, widgets := range map[string]int{"few": 3, "all": strings.Count(string(readFile(t, "cloudwatch/dashboard.json")), `"widget"`)} {
		var body struct{ Widgets []any }
		if err := json.Unmarshal([]byte(made[name].Body), &body); err != nil || len(body.Widgets) != widgets {
			t.Errorf("%s: %v, %d widgets, want %d: %s", name, err, len(body.Widgets), widgets, made[name].Body)
		}
		if left := regexp.MustCompile(`\$\{`).FindString(made[name].Body); left != "" || !strings.Contains(made[name].Body, `"eu-west-1"`) {
			t.Errorf("%s: %s", name, made[name].Body)
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

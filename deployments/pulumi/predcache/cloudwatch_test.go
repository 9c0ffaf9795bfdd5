package predcache

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// alarm returns a declared alarm, or nil.
func alarm(resources map[string]object, name string) object {
	return resources["aws:cloudwatch/metricAlarm:MetricAlarm predictions-"+name]
}

func TestAlarms(t *testing.T) {
	const topic = "arn:aws:sns:eu-west-1:123456789012:oncall"
	resources, _ := cache(t, Args{
		Alarms: &Alarms{Topics: []string{topic}, MaxAgeSeconds: 120}, WorkerSettings: map[string]string{"WORKER_METRICS": "emf"},
		Objects: &Objects{Prefixes: []string{"scores"}, MaxAgeSeconds: 900},
	})
	var shared []sharedAlarm
	if err := json.Unmarshal(alarmsFile, &shared); err != nil {
		t.Fatal(err)
	}
	for _, want := range shared {
		got := alarm(resources, want.Name)
		if got == nil {
			t.Errorf("there is no alarm %s", want.Name)
			continue
		}
		same(t, want.Name+", actions", []any{got["alarmActions"], got["okActions"]}, [][]string{{topic}, {topic}})
		same(t, want.Name+", missing data", got["treatMissingData"], want.TreatMissingData)
		same(t, want.Name+", severity", got["tags"].(object)["Severity"], want.Severity)
		if text := got["alarmDescription"].(string); len(text) > 1024 || !strings.HasSuffix(text, "runbook.md#"+want.Runbook) {
			t.Errorf("%s says %q", want.Name, text)
		}
		returning := 0
		for _, q := range got["metricQueries"].([]any) {
			if q := q.(object); q["returnData"] == true {
				returning++
			}
		}
		if returning != 1 {
			t.Errorf("%s: %d queries return data", want.Name, returning)
		}
	}
	for name, want := range map[string]struct {
		threshold float64
		queries   []object
	}{
		"oldest-message": {120, []object{{"id": "age", "metric": object{
			"dimensions": object{"QueueName": "predictions-queue"}, "metricName": "ApproximateAgeOfOldestMessage", "namespace": "AWS/SQS", "period": 60, "stat": "Maximum",
		}, "returnData": true}}},
		"objects-dead-letters": {0, []object{{"id": "letters", "metric": object{
			"dimensions": object{"QueueName": "predictions-objects-dead-letters"}, "metricName": "ApproximateNumberOfMessagesVisible", "namespace": "AWS/SQS", "period": 60, "stat": "Maximum",
		}, "returnData": true}}},
		"nothing-written": {0, []object{
			{"id": "pending", "metric": object{"dimensions": object{"Queue": "predictions-queue"}, "metricName": "Pending", "namespace": "predcache", "period": 60, "stat": "Sum"}, "returnData": false},
			{"id": "written", "metric": object{"dimensions": object{"Queue": "predictions-queue"}, "metricName": "Written", "namespace": "predcache", "period": 60, "stat": "Sum"}, "returnData": false},
			{"expression": "IF(pending > 0 AND written == 0, 1, 0)", "id": "result", "returnData": true},
		}},
	} {
		same(t, name, alarm(resources, name)["metricQueries"], want.queries)
		same(t, name, alarm(resources, name)["threshold"], want.threshold)
	}
	same(t, "the objects' age", alarm(resources, "objects-oldest-message")["threshold"], 900)
}

// An alarm on what there isn't would stay silent for ever.
func TestAlarmsNeedWhatTheyRead(t *testing.T) {
	resources, _ := cache(t, Args{Alarms: &Alarms{}, Queue: Queue{NoRejectQueue: true}})
	var names []string
	for name := range resources {
		if _, alarm, found := strings.Cut(name, "MetricAlarm predictions-"); found {
			names = append(names, alarm)
		}
	}
	slices.Sort(names)
	same(t, "the alarms without a reject queue, objects and workers' metrics", names, []string{"dead-letters", "oldest-message"})
	same(t, "the age", alarm(resources, "oldest-message")["threshold"], 300)
	resources, _ = cache(t, Args{})
	if alarm(resources, "oldest-message") != nil {
		t.Error("there are alarms that nobody asked for")
	}
}

func TestDashboard(t *testing.T) {
	const dashboard = "aws:cloudwatch/dashboard:Dashboard predictions"
	for _, c := range []struct {
		args     Args
		has, not []string
	}{
		{Args{Dashboard: true, Queue: Queue{NoRejectQueue: true}}, []string{"Queue", "Table", "Dead letters"}, []string{"Reject queue", "Batch outputs", "Workers"}},
		{Args{
			Dashboard: true, WorkerSettings: map[string]string{"WORKER_METRICS": "emf"}, Objects: &Objects{Prefixes: []string{"scores"}},
		}, []string{"Queue", "Table", "Dead letters", "Reject queue", "Batch outputs", "Workers", "Predictions a minute"}, nil},
	} {
		resources, _ := cache(t, c.args)
		same(t, "the name", resources[dashboard]["dashboardName"], "predcache-test-predictions")
		text := resources[dashboard]["dashboardBody"].(string)
		if strings.Contains(text, "$") {
			t.Errorf("a placeholder is left: %s", text)
		}
		var body struct {
			Widgets []struct {
				Type       string
				Properties struct{ Title string }
			}
		}
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			t.Fatal(err)
		}
		var titles []string
		for _, w := range body.Widgets {
			titles = append(titles, w.Properties.Title)
		}
		for _, title := range c.has {
			if !slices.Contains(titles, title) {
				t.Errorf("the dashboard has no %q: %v", title, titles)
			}
		}
		for _, title := range c.not {
			if slices.Contains(titles, title) {
				t.Errorf("the dashboard has %q: %v", title, titles)
			}
		}
		if want := fmt.Sprintf("%q", "predictions-queue"); !strings.Contains(text, want) {
			t.Errorf("the dashboard does not name the queue: %s", text)
		}
	}
	if resources, _ := cache(t, Args{}); resources[dashboard] != nil {
		t.Error("there is a dashboard that nobody asked for")
	}
}

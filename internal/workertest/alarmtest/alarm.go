// Package alarmtest evaluates the CloudWatch alarms of deployments/cloudwatch in tests: on what workers write in the embedded
// metric format, and on what SQS says of its queues.
package alarmtest

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// An Alarm is an entry of alarms.json; deployments/cloudwatch/README.md explains the fields.
type Alarm struct {
	Name, Severity, Description, Runbook string
	Needs                                []string
	Metrics                              []Metric
	Expression, Comparison               string
	Threshold                            float64
	ThresholdFrom, TreatMissingData      string
	Period                               int // seconds
	EvaluationPeriods, DatapointsToAlarm int
}

// A Metric is one that an alarm reads.
type Metric struct {
	ID, Namespace, Name, Stat string
	Dimensions                map[string]string
}

// Load reads alarms.json.
func Load(path string) (alarms []Alarm, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the alarms: %w", err)
	}
	if err := json.Unmarshal(text, &alarms); err != nil {
		return nil, fmt.Errorf("reading the alarms: %w", err)
	}
	return alarms, nil
}

// A Minute is what CloudWatch gets in a minute: the values of each series, by "namespace/metric", and of a queue by
// "namespace/metric/queue".
type Minute map[string][]float64

// Worker adds a value of a worker's metric.
func (m Minute) Worker(metric string, values ...float64) {
	m["predcache/"+metric] = append(m["predcache/"+metric], values...)
}

// Queue sets the metrics of a queue, which is named by its placeholder in alarms.json. SQS has none for a queue that has long been
// empty.
func (m Minute) Queue(name string, visible, oldestSeconds float64) {
	m["AWS/SQS/ApproximateNumberOfMessagesVisible/${"+name+"}"] = []float64{visible}
	m["AWS/SQS/ApproximateAgeOfOldestMessage/${"+name+"}"] = []float64{oldestSeconds}
}

// Raised reports whether the alarm is raised at any of the minutes. A missing value is not breaching.
func (a *Alarm) Raised(minutes []Minute) (bool, error) {
	series := map[string]points{}
	for _, m := range a.Metrics {
		s := make(points, len(minutes))
		for i, minute := range minutes {
			key := m.Namespace + "/" + m.Name
			if m.Namespace == "AWS/SQS" {
				key += "/" + m.Dimensions["QueueName"]
			}
			s[i] = statistic(m.Stat, minute[key])
		}
		series[m.ID] = s
	}
	expression := a.Expression
	if expression == "" {
		expression = a.Metrics[0].ID
	}
	values, err := evaluate(expression, series, len(minutes))
	if err != nil {
		return false, fmt.Errorf("the alarm %s: %w", a.Name, err)
	}
	for end := a.EvaluationPeriods; end <= len(values); end++ {
		breaching := 0
		for _, v := range values[end-a.EvaluationPeriods : end] {
			if !math.IsNaN(v) && (a.Comparison == "GreaterThanThreshold" && v > a.Threshold || a.Comparison == "LessThanThreshold" && v < a.Threshold) {
				breaching++
			}
		}
		if breaching >= a.DatapointsToAlarm {
			return true, nil
		}
	}
	return false, nil
}

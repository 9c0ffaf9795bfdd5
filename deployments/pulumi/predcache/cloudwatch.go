package predcache

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// alarmsFile and dashboardFile are copies of deployments/cloudwatch, made by `make docs`: a module can't embed files outside of
// its folder. The Terraform module and the CloudFormation template read the same files. Their README explains the form.
//
//go:embed alarms.json
var alarmsFile []byte

//go:embed dashboard.json
var dashboardFile []byte

// runbook is where each alarm is explained.
const runbook = "https://github.com/predcache/predcache/blob/main/docs/runbook.md#"

// A sharedAlarm is an entry of alarms.json.
type sharedAlarm struct {
	Name, Severity, Description, Runbook string
	Needs                                []string
	Metrics                              []struct {
		ID, Namespace, Name, Stat string
		Dimensions                map[string]string
	}
	Expression        string
	Comparison        string
	Threshold         float64
	ThresholdFrom     string
	Period            int
	DatapointsToAlarm int
	EvaluationPeriods int
	TreatMissingData  string
}

// has returns what the stack has, by the names of "needs".
func (c *Cache) has() (list []string) {
	if c.Rejects != nil {
		list = append(list, "rejects")
	}
	if c.ObjectsQueue != nil {
		list = append(list, "objects")
	}
	if c.args.WorkerSettings["WORKER_METRICS"] == "emf" {
		list = append(list, "emf")
	}
	return list
}

func meets(has, needs []string) bool {
	return !slices.ContainsFunc(needs, func(need string) bool { return !slices.Contains(has, need) })
}

// names returns what the placeholders of the files stand for.
func (c *Cache) names() pulumi.StringMap {
	names := pulumi.StringMap{
		"QueueName": c.Queue.Name, "DeadLetterQueueName": c.DeadLetters.Name, "TableName": c.Table.Name,
		"Region": c.Queue.Arn.ApplyT(func(arn string) string { return strings.Split(arn, ":")[3] }).(pulumi.StringOutput),
	}
	if c.Rejects != nil {
		names["RejectQueueName"] = c.Rejects.Name
	}
	if c.ObjectsQueue != nil {
		names["ObjectsQueueName"], names["ObjectsDeadLetterQueueName"] = c.ObjectsQueue.Name, c.ObjectsDeadLetters.Name
	}
	return names
}

func (c *Cache) makeAlarms(ctx *pulumi.Context) error {
	if c.args.Alarms == nil {
		return nil
	}
	var alarms []sharedAlarm
	if err := json.Unmarshal(alarmsFile, &alarms); err != nil {
		return fmt.Errorf("reading the alarms: %w", err)
	}
	topics := pulumi.Array{}
	for _, topic := range slices.Sorted(slices.Values(c.args.Alarms.Topics)) {
		topics = append(topics, pulumi.String(topic))
	}
	for _, a := range alarms {
		if !meets(c.has(), a.Needs) {
			continue
		}
		if _, err := cloudwatch.NewMetricAlarm(ctx, c.name+"-"+a.Name, &cloudwatch.MetricAlarmArgs{
			AlarmDescription:   pulumi.String(a.Description + " " + runbook + a.Runbook),
			MetricQueries:      a.queries(c.names()),
			ComparisonOperator: pulumi.String(a.Comparison), Threshold: pulumi.Float64(c.threshold(a)),
			EvaluationPeriods: pulumi.Int(a.EvaluationPeriods), DatapointsToAlarm: pulumi.Int(a.DatapointsToAlarm),
			TreatMissingData: pulumi.String(a.TreatMissingData),
			AlarmActions:     topics, OkActions: topics, Tags: c.args.tagsWith("Severity", a.Severity),
		}, c.parent); err != nil {
			return fmt.Errorf("declaring the alarm %s: %w", a.Name, err)
		}
	}
	return nil
}

// placeholder matches the value of a dimension in the files.
var placeholder = regexp.MustCompile(`^\$\{(\w+)\}$`)

// queries returns the metrics of an alarm, and its expression if it has one, which alone returns data then.
func (a *sharedAlarm) queries(names pulumi.StringMap) (list cloudwatch.MetricAlarmMetricQueryArray) {
	for _, m := range a.Metrics {
		dimensions := pulumi.StringMap{}
		for name, value := range m.Dimensions {
			dimensions[name] = names[placeholder.FindStringSubmatch(value)[1]]
		}
		list = append(list, cloudwatch.MetricAlarmMetricQueryArgs{
			Id: pulumi.String(m.ID), ReturnData: pulumi.Bool(a.Expression == ""),
			Metric: cloudwatch.MetricAlarmMetricQueryMetricArgs{
				Namespace: pulumi.String(m.Namespace), MetricName: pulumi.String(m.Name), Dimensions: dimensions,
				Stat: pulumi.String(m.Stat), Period: pulumi.Int(a.Period),
			},
		})
	}
	if a.Expression != "" {
		list = append(list, cloudwatch.MetricAlarmMetricQueryArgs{
			Id: pulumi.String("result"), Expression: pulumi.String(a.Expression), ReturnData: pulumi.Bool(true),
		})
	}
	return list
}

// threshold returns the argument that sets an alarm's threshold, or the alarm's own.
func (c *Cache) threshold(a sharedAlarm) float64 {
	switch {
	case a.ThresholdFrom == "maxAgeSeconds":
		return float64(c.args.Alarms.MaxAgeSeconds)
	case a.ThresholdFrom == "objectsMaxAgeSeconds" && c.args.Objects != nil:
		return float64(c.args.Objects.MaxAgeSeconds)
	}
	return a.Threshold
}

// makeDashboard declares the dashboard. Its name has project and stack, since dashboards are shared by all regions of an
// account.
func (c *Cache) makeDashboard(ctx *pulumi.Context) error {
	if !c.args.Dashboard {
		return nil
	}
	has := c.has()
	body := c.names().ToStringMapOutput().ApplyT(func(names map[string]string) (string, error) {
		return dashboardBody(has, names)
	}).(pulumi.StringOutput)
	name := strings.ReplaceAll(fmt.Sprintf("%s-%s-%s", ctx.Project(), ctx.Stack(), c.name), ".", "-")
	if _, err := cloudwatch.NewDashboard(ctx, c.name, &cloudwatch.DashboardArgs{DashboardName: pulumi.String(name), DashboardBody: body}, c.parent); err != nil {
		return fmt.Errorf("declaring the dashboard: %w", err)
	}
	return nil
}

// dashboardBody returns the widgets for what a stack has, with its names.
func dashboardBody(has []string, names map[string]string) (string, error) {
	var entries []struct {
		Needs  []string
		Widget json.RawMessage
	}
	if err := json.Unmarshal(dashboardFile, &entries); err != nil {
		return "", fmt.Errorf("reading the dashboard: %w", err)
	}
	widgets := []json.RawMessage{}
	for _, e := range entries {
		if meets(has, e.Needs) {
			text := os.Expand(string(e.Widget), func(name string) string { return names[name] })
			widgets = append(widgets, json.RawMessage(text))
		}
	}
	body, err := json.Marshal(map[string]any{"widgets": widgets})
	if err != nil {
		return "", fmt.Errorf("writing the dashboard: %w", err)
	}
	return string(body), nil
}

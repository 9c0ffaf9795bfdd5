// Command grafana writes the dashboard of the worker, predcache.json. Import it into Grafana (Dashboards, New, Import), or
// provision it from the file.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// file is where the dashboard is committed.
const file = "predcache.json"

func main() {
	text, err := marshal()
	if err == nil {
		err = os.WriteFile(file, text, 0o644) //nolint:gosec // it is for everybody to read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func marshal() ([]byte, error) {
	board, err := build()
	if err != nil {
		return nil, fmt.Errorf("building the dashboard: %w", err)
	}
	for i := range board.Panels {
		if p := board.Panels[i].Panel; p != nil {
			p.Id = cog.ToPtr(uint32(i + 1))
		} else {
			board.Panels[i].RowPanel.Id = uint32(i + 1)
		}
	}
	text, err := json.MarshalIndent(board, "", "  ")
	return append(text, '\n'), err
}

// sel selects the workers that the variables name.
const sel = `job=~"$job", instance=~"$instance"`

// rate is a counter's rate, summed by labels.
func rate(metric, by string) string { return ratesel(metric, "", by) }

func ratesel(metric, more, by string) string {
	if more != "" {
		more = ", " + more
	}
	if by != "" {
		by = " by (" + by + ") "
	}
	return fmt.Sprintf("sum%s(rate(predcache_%s{%s%s}[$__rate_interval]))", by, metric, sel, more)
}

func quantile(q, metric, by string) string {
	le := "le"
	if by != "" {
		le += ", " + by
	}
	return fmt.Sprintf("histogram_quantile(%s, sum by (%s) (rate(predcache_%s_bucket{%s}[$__rate_interval])))", q, le, metric, sel)
}

func gauge(metric string) string { return fmt.Sprintf("sum(predcache_%s{%s})", metric, sel) }

// A query is one line, or set of lines, of a panel.
type query struct{ expr, legend string }

func targets[B interface {
	WithTarget(cog.Builder[variants.Dataquery]) B
}](panel B, queries []query) B {
	for i, q := range queries {
		panel = panel.WithTarget(prometheus.NewDataqueryBuilder().RefId(string(rune('A' + i))).Expr(q.expr).LegendFormat(q.legend).Range().EditorMode(prometheus.QueryEditorModeCode))
	}
	return panel
}

var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

const half, third, sixth = 12, 8, 4

// graph is a time series panel. The description says what to make of it.
func graph(title, description, unit string, width uint32, queries ...query) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().Title(title).Description(description).Unit(unit).Span(width).Height(8).Datasource(source).Min(0).
		LineWidth(2).FillOpacity(8).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	return targets(p, queries)
}

// stacked is a graph of parts of a whole.
func stacked(title, description, unit string, width uint32, queries ...query) *timeseries.PanelBuilder {
	return graph(title, description, unit, width, queries...).FillOpacity(60).LineWidth(1).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
}

// colours sets the colours of series by name, as on the worker's status page.
func colours(p *timeseries.PanelBuilder, by map[string]string) *timeseries.PanelBuilder {
	for _, name := range []string{"written", "duplicate", "superseded", "expired", "rejected", "failed"} {
		if colour := by[name]; colour != "" {
			p = p.OverrideByName(name, []dashboard.DynamicConfigValue{{Id: "color", Value: map[string]string{"mode": "fixed", "fixedColor": colour}}})
		}
	}
	return p
}

var outcomeColours = map[string]string{
	"written": "#3987e5", "deleted": "#9aa4b1", "duplicate": "#199e70", "superseded": "#d09a15", "expired": "#9085e9", "rejected": "#e0693a", "failed": "#f06a6a",
}

type step struct {
	from   float64
	colour string
}

// number returns a stat panel, whose colour changes at the steps.
func number(title, description, unit, expr string, steps ...step) *stat.PanelBuilder {
	thresholds := []dashboard.Threshold{{Color: "green"}}
	if len(steps) > 0 && steps[0].from == 0 {
		thresholds[0].Color, steps = steps[0].colour, steps[1:]
	}
	for _, s := range steps {
		thresholds = append(thresholds, dashboard.Threshold{Value: cog.ToPtr(s.from), Color: s.colour})
	}
	p := stat.NewPanelBuilder().Title(title).Description(description).Unit(unit).Span(sixth).Height(4).Datasource(source).
		GraphMode(common.BigValueGraphModeArea).ColorMode(common.BigValueColorModeValue).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(thresholds)).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
	return targets(p, []query{{expr, ""}})
}

// build returns the dashboard in schema 1, which every Grafana imports. Schema 2 needs Grafana 12.
//
//nolint:staticcheck // that is why the first is deprecated
func build() (dashboard.Dashboard, error) {
	variable := func(name, label, from string) *dashboard.QueryVariableBuilder {
		return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source).Query(dashboard.StringOrMap{String: cog.ToPtr(from)}).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).Multi(true).IncludeAll(true).AllValue(".+")
	}
	down := fmt.Sprintf(`max(predcache_table_state{state="down", %s}) == 1`, sel)
	b := dashboard.NewDashboardBuilder("predcache worker").Uid("predcache-worker").
		Description("The workers: queue, table, age of predictions, cost and failures. Generated by deployments/grafana: edit it there.").
		Tags([]string{"predcache", "sqs", "dynamodb"}).Time("now-1h", "now").Refresh("30s").Timezone("browser").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus")).
		WithVariable(variable("job", "Job", "label_values(predcache_build_info, job)")).
		WithVariable(variable("instance", "Worker", `label_values(predcache_build_info{job=~"$job"}, instance)`)).
		Annotation(dashboard.NewAnnotationQueryBuilder().Name("The table is down").Datasource(source).Enable(true).IconColor("red").Expr(down).Step("30s").TitleFormat("The table can't be written"))

	for _, row := range []func(*dashboard.DashboardBuilder) *dashboard.DashboardBuilder{
		nowRow, predictionsRow, queueRow, tableRow, objectsRow, callsRow, processRow, readers,
	} {
		b = row(b)
	}
	return b.Build()
}

//nolint:staticcheck // as in build
func nowRow(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return b.WithRow(dashboard.NewRowBuilder("Now")).
		WithPanel(number("Workers ready", "Workers whose /readyz succeeds. The others start, drain, or miss something that they need.", "none", gauge("ready"), step{0, "red"}, step{1, "green"})).
		WithPanel(number("Written", "Predictions written per second.", "cps", ratesel("predictions_total", `outcome="written"`, ""), step{0, "blue"})).
		WithPanel(number("Age, 99 %", "From when the queue accepted a message until its prediction was durable.", "s", quantile("0.99", "prediction_age_seconds", ""), step{0, "green"}, step{30, "orange"}, step{60, "red"})).
		WithPanel(number("Workers that can't write", "Workers whose table state is down. A worker that has written nothing since its start is probing, and is not counted.", "none", fmt.Sprintf(`sum(predcache_table_state{state="down", %s})`, sel), step{0, "green"}, step{1, "red"})).
		WithPanel(number("Units saved", "Share of write units that duplicates, stale and expired predictions would have cost.", "percentunit",
			fmt.Sprintf("%s / (%[1]s + %s)", rate("write_units_saved_total", ""), rate("write_units_total", "")), step{0, "blue"})).
		WithPanel(number("Rejected", "Share of predictions that can't be stored.", "percentunit", fmt.Sprintf("%s / %s", rate("rejects_total", ""), rate("predictions_total", "")), step{0, "green"}, step{.01, "orange"}, step{.05, "red"}))
}

//nolint:staticcheck // as in build
func predictionsRow(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return b.WithRow(dashboard.NewRowBuilder("Predictions")).
		WithPanel(colours(stacked("Outcomes", "Predictions by outcome. Only written ones cost write units.", "cps", half, query{rate("predictions_total", "outcome"), "{{outcome}}"}), outcomeColours)).
		WithPanel(graph("Age when durable", "From the queue's acceptance to durable. Without a backlog it is well under a second. The workers are behind while the median is over the limit.", "s", half,
			query{quantile("0.5", "prediction_age_seconds", ""), "median"}, query{quantile("0.95", "prediction_age_seconds", ""), "95 %"}, query{quantile("0.99", "prediction_age_seconds", ""), "99 %"},
			query{fmt.Sprintf("max(predcache_prediction_age_limit_seconds{%s})", sel), "limit"}).
			ScaleDistribution(common.NewScaleDistributionConfigBuilder().Type(common.ScaleDistributionLog).Log(10)).Min(.001).FillOpacity(0)).
		WithPanel(stacked("Rejects by reason", "The reject queue holds them, with reason, field and remedy.", "cps", half, query{rate("rejects_total", "reason") + " > 0", "{{reason}}"})).
		WithPanel(graph("Deduplication", "Predictions that needed no write of their own, since their key was pending or had been written.", "cps", half,
			query{rate("dedup_hits_total", "state"), "key {{state}}"}))
}

//nolint:staticcheck // as in build
func queueRow(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return b.WithRow(dashboard.NewRowBuilder("Queue")).
		WithPanel(graph("In the queue", "Approximate numbers, as SQS reports them once a minute. In flight: received by any worker, and not yet deleted.", "none", half,
			query{fmt.Sprintf(`max(predcache_queue_messages{state="waiting", %s})`, sel), "waiting"}, query{fmt.Sprintf(`max(predcache_queue_messages{state="in_flight", %s})`, sel), "in flight"})).
		WithPanel(graph("Workers behind", "Workers whose median age of what they write is above predcache_prediction_age_limit_seconds while messages wait.", "none", half,
			query{gauge("behind"), "behind"})).
		WithPanel(graph("Messages", "Received, and by disposition. Over time, received equals the sum of the others.", "cps", half,
			query{rate("messages_received_total", ""), "received"}, query{rate("messages_settled_total", "disposition"), "{{disposition}}"})).
		WithPanel(graph("Held", "Messages between their receive and their delete, and the limit. At the limit, the worker receives only as fast as it writes.", "none", half,
			query{gauge("held_messages"), "held"}, query{gauge("held_messages_limit"), "limit"})).
		WithPanel(graph("Messages a receive", "Average, of ten. Full receives add a poller, empty ones remove one.", "none", third,
			query{rate("receive_messages_sum", "") + " / " + rate("receive_messages_count", ""), "messages"}, query{gauge("pollers"), "pollers"})).
		WithPanel(graph("Held bytes", "Bytes held, or reserved for receives in flight.", "bytes", third, query{gauge("held_bytes"), "held"}, query{gauge("held_bytes_limit"), "limit"})).
		WithPanel(graph("Redeliveries and leases", "SQS redelivers a message whose lease is lost. Extensions are normal while the table is slow.", "cps", third,
			query{rate("messages_redelivered_total", ""), "redelivered"}, query{rate("visibility_extensions_total", ""), "leases extended"}, query{rate("leases_lost_total", ""), "leases lost"}, query{rate("settle_retries_total", "operation"), "retried: {{operation}}"})).
		WithPanel(graph("Near their retention", "Messages received in the last quarter of the queue's retention. SQS deletes older ones unread: add workers, or raise the retention.", "cps", half,
			query{rate("messages_near_retention_total", ""), "near their retention"})).
		WithPanel(graph("In-flight limit", "1: the queue has as many messages in flight as SQS allows while others wait. Receives are then empty, without an error.", "none", half,
			query{fmt.Sprintf("max(predcache_in_flight_limit_reached{%s})", sel), "limit reached"}).Max(1))
}

//nolint:staticcheck // as in build
func tableRow(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	state := func(s, text, colour string) dashboard.ValueMapping {
		return dashboard.ValueMapping{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: map[string]dashboard.ValueMappingResult{
			s: {Text: cog.ToPtr(text), Color: cog.ToPtr(colour)},
		}}}
	}
	timeline := targets(statetimeline.NewPanelBuilder().Title("The table, as each worker finds it").
		Description("Down: receiving is paused, messages are held, and one batch probes the table from time to time. Probing: the next write decides; a worker that has written nothing since its start is probing.").Span(24-sixth).Height(5).Datasource(source).
		Mappings([]dashboard.ValueMapping{state("0", "probing", "blue"), state("1", "up", "green"), state("2", "down", "red")}).FillOpacity(80),
		[]query{{fmt.Sprintf(`sum by (instance) (predcache_table_state{state="up", %s}) + 2 * sum by (instance) (predcache_table_state{state="down", %[1]s})`, sel), "{{instance}}"}})

	return b.WithRow(dashboard.NewRowBuilder("Table")).
		WithPanel(timeline).
		WithPanel(number("TTL", "1: the table's TTL is on. 0: expired predictions are not deleted, and the table grows.", "none", fmt.Sprintf("min(predcache_table_ttl_enabled{%s})", sel), step{0, "red"}, step{1, "green"}).Height(5)).
		WithPanel(stacked("Write units", "Used, and saved by cause. A write unit pays for one started KB.", "cps", third,
			query{rate("write_units_total", ""), "used"}, query{rate("write_units_saved_total", "cause"), "saved: {{cause}}"}, query{rate("write_units_saved_by_compression_total", ""), "saved: compression"})).
		WithPanel(graph("Items a call", "Average, of 25. Batches grow while all writers are busy. Few items per call with a low age are no problem.", "none", third,
			query{rate("batch_items_sum", "") + " / " + rate("batch_items_count", ""), "items"}).Max(25)).
		WithPanel(graph("Writers", "Calls in flight, the current limit, and the setting. Throttling lowers the current limit, success raises it.", "none", third,
			query{gauge("writes_in_flight"), "in flight"}, query{gauge("write_concurrency"), "allowed"}, query{gauge("write_concurrency_limit"), "limit"})).
		WithPanel(graph("Sent back and throttled", "Items returned as unprocessed, and calls that were throttled.", "cps", third,
			query{rate("unprocessed_items_total", ""), "items sent back"},
			query{ratesel("call_errors_total", `operation=~"BatchWriteItem|PutItem", code=~"ProvisionedThroughputExceededException|ThrottlingException|RequestLimitExceeded"`, "") + " or vector(0)", "calls throttled"})).
		WithPanel(graph("Removals", "Items removed because a delete hides them, and deletes whose items are being removed or wait for that.", "none", third,
			query{rate("removed_items_total", ""), "items removed a second"}, query{gauge("removing_deletes"), "deletes being removed"})).
		WithPanel(graph("Read units of removals", "Used by the queries that find what a delete hides.", "cps", third,
			query{rate("read_units_total", ""), "used"})).
		WithPanel(graph("Keys known", "Keys in the dedup window: pending and written.", "none", third,
			query{fmt.Sprintf("sum by (state) (predcache_dedup_keys{%s})", sel), "{{state}}"}, query{gauge("dedup_keys_limit"), "limit"})).
		WithPanel(graph("Dollars a million predictions", "Write units and SQS requests, at the prices in the workers' settings. Predictions that needed no write count too.", "currencyUSD", third,
			query{fmt.Sprintf(`1e6 * %s / (%s > 0)`, rate("cost_dollars_total", ""), rate("predictions_total", "")), "dollars"}))
}

//nolint:staticcheck // as in build
func objectsRow(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return b.WithRow(dashboard.NewRowBuilder("Batch outputs")).
		WithPanel(graph("Rows of objects", "Rows read from objects of S3. Their predictions count above, but not in the ages.", "cps", third, query{rate("object_rows_total", ""), "rows"})).
		WithPanel(graph("Left to read", "Bytes that are left of the objects and ranges being read. What waits in the objects queue is not counted.", "bytes", third, query{gauge("object_bytes_left"), "left"})).
		WithPanel(graph("Being read, and held", "Objects and ranges being read, and messages of the objects queue that are held.", "none", third,
			query{gauge("objects_reading"), "being read"}, query{gauge("object_messages_held"), "held"})).
		WithPanel(stacked("Objects, ranges and events", "By outcome. Rejected: as a whole, with the reason in the reject queue.", "cps", half, query{rate("objects_total", "outcome") + " > 0", "{{outcome}}"})).
		WithPanel(stacked("Messages of the objects queue", "By disposition. Released and backed off ones come back.", "cps", half, query{rate("object_messages_settled_total", "disposition") + " > 0", "{{disposition}}"}))
}

//nolint:staticcheck // as in build
func callsRow(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return b.WithRow(dashboard.NewRowBuilder("Calls of AWS")).
		WithPanel(graph("Calls", "By operation, failed attempts included.", "cps", third, query{rate("calls_total", "operation"), "{{operation}}"}, query{rate("sqs_empty_receives_total", ""), "empty receives"})).
		WithPanel(graph("Time of a call, 99 %", "A receive's includes its wait for messages.", "s", third, query{quantile("0.99", "call_duration_seconds", "operation"), "{{operation}}"})).
		WithPanel(graph("Failed calls", "By operation and the service's error code.", "cps", third, query{rate("call_errors_total", "operation, code"), "{{operation}}: {{code}}"}))
}

//nolint:staticcheck // as in build
func processRow(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	process := func(metric string) string {
		return fmt.Sprintf(`%s and on (job, instance) predcache_build_info{%s}`, metric, sel)
	}
	return b.WithRow(dashboard.NewRowBuilder("Process")).
		WithPanel(graph("CPU", "Cores in use by each worker.", "none", third, query{process("rate(process_cpu_seconds_total[$__rate_interval])"), "{{instance}}"})).
		WithPanel(graph("Memory", "Resident memory of each worker.", "bytes", third, query{process("process_resident_memory_bytes"), "{{instance}}"})).
		WithPanel(graph("Goroutines", "Of each worker. It follows the pollers and writers, and is constant otherwise.", "none", third, query{process("go_goroutines"), "{{instance}}"}))
}

// readers adds the row of services that read with package cache. Their jobs are not the workers', so it shows all.
//
//nolint:staticcheck // as in build
func readers(b *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	per := func(metric, by string) string {
		return fmt.Sprintf("sum by (%s) (rate(predcache_reader_%s[$__rate_interval]))", by, metric)
	}
	quantile := func(q, metric string) string {
		return fmt.Sprintf("histogram_quantile(%s, sum by (le, job) (rate(predcache_reader_%s_bucket[$__rate_interval])))", q, metric)
	}
	return b.WithRow(dashboard.NewRowBuilder("Readers")).
		WithPanel(stacked("Answers without a call", "What services answered without a call of their own. Stale: the table does not answer.", "cps", third, query{per("answers_total", "from"), "{{from}}"})).
		WithPanel(stacked("Reads of the table", "One for each id. Expired: only expired items were there.", "cps", third, query{per("reads_total", "result"), "{{result}}"})).
		WithPanel(graph("Read units", "That the reads cost, by service.", "cps", third, query{per("read_units_total", "job"), "{{job}}"})).
		WithPanel(graph("Age of what is read, median", "Since the event time, of predictions read from the table. It grows when the pipeline stops.", "s", third, query{quantile("0.5", "event_age_seconds"), "{{job}}"})).
		WithPanel(graph("Age in the front, 99 %", "Since its read was sent. At most the front's MaxAge.", "s", third, query{quantile("0.99", "front_age_seconds"), "{{job}}"})).
		WithPanel(graph("The front's memory", "Of all processes of a service.", "bytes", third, query{"sum by (job) (predcache_reader_front_bytes)", "{{job}}"}))
}

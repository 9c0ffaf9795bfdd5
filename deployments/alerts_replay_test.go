package deployments

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A replay stretches recorded stages of a few seconds over minutes and hours, for one worker or for many, and lets promtool run the
// rules, as they are deployed, on the result: Prometheus's own engine, with each range and each "for" in full length.
//
// A stage goes on as it was recorded. Counters grow at the rate that they had from the stage's first scrape to its last, so rates
// and quantiles are those of the real worker. Gauges repeat the scrapes in turn. What a counter grew by between two stages of one
// process stays a step between them.

// step is the interval of the scrapes that are made, and of the rules' evaluation.
const step = 30 * time.Second

// A span is a stage for some time. A nil stage is a worker that does not exist. With restart another process begins at the same
// address.
type span struct {
	stage   *stage
	lasts   time.Duration
	restart bool
}

// A replica is a worker of a fleet.
type replica struct {
	namespace, instance string
	spans               []span
}

func (r *replica) lasts() (total time.Duration) {
	for _, s := range r.spans {
		total += s.lasts
	}
	return total
}

// label adds the target's labels to a series.
func (r *replica) label(series string) string {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	return fmt.Sprintf(`%s{job="predcache", namespace=%q, instance=%q, %s}`, name, r.namespace, r.instance, labels)
}

// series returns the replica's series in promtool's notation, by name and labels: a value a step, "_" for none, and "stale" where a
// scrape finds the target or the series gone.
func (r *replica) series() map[string][]string {
	all, counts := map[string][]string{}, map[string]float64{} // counts is what each counter has reached
	var before *stage                                          // of the same process
	steps, restarts := 0, 0
	for _, s := range r.spans {
		if s.restart {
			before, restarts = nil, restarts+1
		}
		begin := steps
		steps += int(s.lasts / step)
		if s.stage != nil && len(s.stage.scrapes) > 0 {
			for _, key := range s.stage.keys() {
				values := append(all[key], slices.Repeat([]string{"_"}, begin-len(all[key]))...)
				if isCounter(key) {
					values = append(values, s.stage.counter(key, before, counts, steps-begin)...)
				} else {
					values = append(values, s.stage.gauge(key, restarts, steps-begin)...)
				}
				all[key] = values
			}
		}
		before = s.stage
	}
	for key, values := range all {
		values = append(values, slices.Repeat([]string{"_"}, steps-len(values))...)
		for i := 1; i < len(values); i++ {
			if values[i] == "_" && values[i-1] != "_" && values[i-1] != "stale" {
				values[i] = "stale"
			}
		}
		all[key] = values
	}
	return all
}

// counter returns a counter's values. It starts where the stage before has left it in counts, and grows at the recorded rate. A series
// that the first scrape does not have appears at the second step.
func (s *stage) counter(key string, before *stage, counts map[string]float64, steps int) []string {
	first, last, start := s.scrapes[0], s.scrapes[len(s.scrapes)-1], s.scrapes[0][key]
	if before != nil && len(before.scrapes) > 0 {
		start = counts[key] + max(0, start-before.scrapes[len(before.scrapes)-1][key])
	}
	grows := 0.0
	if s.lasted > 0 {
		grows = (last[key] - first[key]) * step.Seconds() / s.lasted.Seconds()
	}
	values := make([]string, steps)
	for i := range values {
		counts[key] = start + grows*float64(i)
		values[i] = number(counts[key])
	}
	if _, exported := first[key]; !exported && before == nil && steps > 0 {
		values[0] = "_"
	}
	return values
}

// gauge returns a gauge's values: those of the scrapes, in turn. A restart moves the start time of the process.
func (s *stage) gauge(key string, restarts, steps int) []string {
	values := make([]string, steps)
	for i := range values {
		value, exported := s.scrapes[i%len(s.scrapes)][key]
		if key == "process_start_time_seconds" {
			value += float64(restarts)
		}
		if values[i] = "_"; exported {
			values[i] = number(value)
		}
	}
	return values
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

// exports reports whether the stage has a series of a metric.
func (s *stage) exports(metric string) bool {
	return slices.ContainsFunc(s.keys(), func(key string) bool { return key == metric || strings.HasPrefix(key, metric+"{") })
}

// keys are the series of all scrapes: those of error codes come when the first error does.
func (s *stage) keys() []string {
	all := map[string]bool{}
	for _, scrape := range s.scrapes {
		for key := range scrape {
			all[key] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func isCounter(series string) bool {
	name, _, _ := strings.Cut(series, "{")
	for _, suffix := range []string{"_total", "_bucket", "_sum", "_count"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// A promtoolTest is one test of a file for promtool test rules. JSON is YAML, too.
type promtoolTest struct {
	Name     string           `json:"name"`
	Interval string           `json:"interval"`
	Series   []promtoolSeries `json:"input_series"`
	Exprs    []promtoolExpr   `json:"promql_expr_test"`
}

type promtoolSeries struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type promtoolExpr struct {
	Expr    string           `json:"expr"`
	At      string           `json:"eval_time"`
	Samples []promtoolSample `json:"exp_samples"`
}

type promtoolSample struct {
	Labels string  `json:"labels"`
	Value  float64 `json:"value"`
}

// replay makes the test of a scenario: which alerts fire in it at any time, and of which fleet, and that none does at its end. A fleet
// in another namespace is idle meanwhile.
func replay(s scenario, recorded stages) promtoolTest {
	test, total, fleet := promtoolTest{Name: s.name, Interval: step.String()}, time.Duration(0), s.fleet(recorded)
	for _, r := range fleet {
		total = max(total, r.lasts())
	}
	for _, r := range append(fleet, replica{"other", "z", []span{recorded.of("outage/start", total)}}) {
		for series, values := range r.series() {
			test.Series = append(test.Series, promtoolSeries{r.label(series), strings.Join(values, " ")})
		}
	}
	ever := promtoolExpr{
		Expr: fmt.Sprintf(`max by (alertname, namespace) (present_over_time(ALERTS{alertstate="firing"}[%ds]))`, int(total.Seconds())+1),
		At:   total.String(),
	}
	for _, alert := range s.fires {
		ever.Samples = append(ever.Samples, promtoolSample{fmt.Sprintf(`{alertname="Predcache%s", namespace="ml"}`, alert), 1})
	}
	test.Exprs = append(test.Exprs, ever)
	if s.ends {
		test.Exprs = append(test.Exprs, promtoolExpr{Expr: `ALERTS{alertstate="firing"}`, At: total.String()})
	}
	return test
}

// promtoolRun runs a test on the worker's rules.
func promtoolRun(t *testing.T, test promtoolTest) {
	t.Helper()
	rules, err := filepath.Abs("alerts/predcache.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"rule_files": []string{rules}, "evaluation_interval": step.String(), "tests": []promtoolTest{test}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tests.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, err := (command{}).run(t, tool(t, "promtool"), "test", "rules", file); err != nil {
		t.Errorf("exp: what the scenario says; got: what fires. %v\n%s%s", err, stdout, stderr)
	}
}

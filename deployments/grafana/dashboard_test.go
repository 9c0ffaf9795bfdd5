package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	metrics "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/cache/cacheprom"
	"github.com/predcache/predcache/internal/workertest/e2e"
)

var results = flag.String("results", "", "a file for what each query returned")

// TestCommitted holds the committed dashboard to what this program makes.
func TestCommitted(t *testing.T) {
	want, err := marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the program makes: go run .", file)
	}
}

func TestWellFormed(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard.Dashboard //nolint:staticcheck // as in build
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	ids, titles := map[uint32]bool{}, map[string]bool{}
	for _, p := range board.Panels {
		if p.Panel == nil {
			continue
		}
		if p.Panel.Id == nil || ids[*p.Panel.Id] || titles[*p.Panel.Title] {
			t.Errorf("%s: its id or title is not its own", *p.Panel.Title)
			continue
		}
		ids[*p.Panel.Id], titles[*p.Panel.Title] = true, true
		if p.Panel.Description == nil || !strings.HasSuffix(*p.Panel.Description, ".") {
			t.Errorf("%s: no sentence says what to make of it", *p.Panel.Title)
		}
		if g := p.Panel.GridPos; g == nil || g.X+g.W > 24 || g.W == 0 || g.H == 0 {
			t.Errorf("%s: its place is %+v", *p.Panel.Title, p.Panel.GridPos)
		}
	}
	if len(titles) < 20 {
		t.Errorf("%d panels", len(titles))
	}
}

// queries are the dashboard's, read from the committed file: by title, in order.
func queries(t *testing.T) (all []query) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Annotations struct{ List []struct{ Name, Expr string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all = append(all, query{target.Expr, p.Title + " / " + target.LegendFormat})
		}
	}
	for _, a := range board.Annotations.List {
		if a.Expr != "" {
			all = append(all, query{a.Expr, "annotation: " + a.Name})
		}
	}
	// And those that docs/telemetry.md shows.
	doc, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| ([^|`]+) \\| `(.*(?:predcache_).*)` \\|$").FindAllStringSubmatch(string(doc), -1) {
		if strings.Contains(m[2], "(") {
			all = append(all, query{window.ReplaceAllString(m[2], "[20s]"), "docs: " + m[1]})
		}
	}
	return all
}

// window is a range that is too long for a test.
var window = regexp.MustCompile(`\[[0-9]+[mh]\]`)

// fill puts values in the place of Grafana's variables.
var fill = strings.NewReplacer("$job", ".+", "$instance", ".+", "$__rate_interval", "5s", "${datasource}", "")

// TestEveryQueryReturnsData runs each query of the dashboard on a real Prometheus that scraped the real worker under load,
// throttled, and in an outage.
func TestEveryQueryReturnsData(t *testing.T) {
	program := prometheusProgram(t)
	s, err := e2e.StartWithObjects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	p := startPrometheus(t, program, s.HTTP, startReader(t, s))
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { s.Load(ctx, 800) })
	loading.Go(func() { s.LoadObjects(ctx, 100) })
	defer loading.Wait()
	defer stop()
	for _, act := range []struct {
		condition e2e.Condition
		lasts     time.Duration
	}{{e2e.Healthy, 15 * time.Second}, {e2e.Throttled, 8 * time.Second}, {e2e.Denied, 10 * time.Second}, {e2e.Healthy, 15 * time.Second}} {
		s.SetCondition(act.condition)
		time.Sleep(act.lasts)
	}
	end := time.Now()

	var lines []string
	for _, q := range queries(t) {
		series, err := p.rangeQuery(fill.Replace(q.expr), start, end)
		switch {
		case err != nil:
			t.Errorf("%s: %v", q.legend, err)
			continue
		case len(series) == 0:
			t.Errorf("%s: no data: %s", q.legend, q.expr)
			continue
		}
		samples, least, most := 0, math.Inf(1), math.Inf(-1)
		for _, s := range series {
			for _, v := range s {
				samples++
				least, most = min(least, v), max(most, v)
			}
		}
		if samples == 0 {
			t.Errorf("%s: nothing but NaN", q.legend)
		}
		lines = append(lines, fmt.Sprintf("%-62s %2d series %4d samples %12.4g to %-12.4g", q.legend, len(series), samples, least, most))
	}
	t.Logf("%d queries:\n%s", len(lines), strings.Join(lines, "\n"))
	if *results != "" {
		if err := os.WriteFile(*results, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Error(err)
		}
	}
	// The variables' queries, too.
	for _, label := range []string{"job", "instance"} {
		if values, err := p.labelValues(label); err != nil || len(values) == 0 {
			t.Errorf("label_values of %s: %v, %v", label, values, err)
		}
	}
	if t.Failed() {
		t.Logf("the worker logged:\n%s", s.Log())
	}
}

// prometheusProgram finds Debian's Prometheus.
func prometheusProgram(t *testing.T) string {
	for _, name := range []string{os.Getenv("PROMETHEUS"), "prometheus", "../../.cache/deploy/prometheus/usr/bin/prometheus"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return path
			}
		}
	}
	if os.Getenv("PREDCACHE_REQUIRE_PROMETHEUS") != "" {
		t.Fatal("there is no Prometheus")
	}
	t.Skip("there is no Prometheus: deployments/tools/install.sh promtool, or set PROMETHEUS")
	return ""
}

// A server is a running Prometheus.
type server struct{ url string }

// startReader starts a service that reads what the worker writes, through a front, and returns where its metrics are.
func startReader(t *testing.T, s *e2e.System) string {
	c, err := cache.NewFromClient(s.DynamoDB.Client(), e2e.Table, cache.WithFront(cache.Front{MaxAge: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	registry := metrics.NewRegistry()
	registry.MustRegister(cacheprom.NewCollector(c, metrics.Labels{"table": e2e.Table}))
	service := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for id := 0; ctx.Err() == nil; id++ {
			_, _ = c.Get(ctx, fmt.Sprint("digit/", id%50)) // an outage is part of the test
			time.Sleep(5 * time.Millisecond)
		}
	})
	t.Cleanup(func() {
		stop()
		reading.Wait()
		service.Close()
		c.Close()
	})
	return service.Listener.Addr().String()
}

func startPrometheus(t *testing.T, program, worker, reader string) *server {
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: predcache, static_configs: [{targets: [%q]}]}, {job_name: api, static_configs: [{targets: [%q]}]}]\n", worker, reader)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var output bytes.Buffer
	command := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Logf("Prometheus logged:\n%s", &output)
		}
	})
	s := &server{"http://" + address}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if answer, err := http.Get(s.url + "/-/ready"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return s
			}
		}
	}
	t.Fatalf("Prometheus doesn't start:\n%s", &output)
	return nil
}

func (s *server) get(path string, parameters url.Values, data any) error {
	answer, err := http.PostForm(s.url+path, parameters)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(answer.Body).Decode(&envelope); err != nil {
		return err
	}
	if envelope.Status != "success" {
		return errors.New(envelope.Error)
	}
	return json.Unmarshal(envelope.Data, data)
}

// rangeQuery returns the values of each series, without NaN.
func (s *server) rangeQuery(expr string, start, end time.Time) (series [][]float64, err error) {
	var data struct {
		Result []struct{ Values [][2]any }
	}
	unix := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	if err := s.get("/api/v1/query_range", url.Values{"query": {expr}, "start": {unix(start)}, "end": {unix(end)}, "step": {"1"}}, &data); err != nil {
		return nil, err
	}
	for _, r := range data.Result {
		var values []float64
		for _, v := range r.Values {
			f, err := strconv.ParseFloat(fmt.Sprint(v[1]), 64)
			if err != nil {
				return nil, err
			}
			if !math.IsNaN(f) {
				values = append(values, f)
			}
		}
		series = append(series, values)
	}
	return series, nil
}

func (s *server) labelValues(label string) (values []string, err error) {
	var data []map[string]string
	err = s.get("/api/v1/series", url.Values{"match[]": {"predcache_build_info"}}, &data)
	for _, series := range data {
		if v := series[label]; v != "" && !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values, err
}

package process

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain plays the worker where a test has started this binary as one.
func TestMain(m *testing.M) {
	switch role := os.Getenv("PROCESS_TEST_ROLE"); role {
	case "":
		os.Exit(m.Run())
	case "fails":
		fmt.Println("no queue")
		os.Exit(3)
	default:
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
		http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "predcache_held 7") })
		go func() { _ = http.ListenAndServe(os.Getenv("WORKER_HTTP_ADDR"), nil) }()
		fmt.Println("started", role)
		for range stop {
			if role == "stops" {
				return
			}
		}
	}
}

// start starts this binary in a role.
func start(t *testing.T, role string) *Process {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(Config{Path: path, Args: []string{"-test.run=^$"}, Settings: []string{"PROCESS_TEST_ROLE=" + role}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

func TestProcess(t *testing.T) {
	p := start(t, "stops")
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line, err := p.Log().Line(t.Context(), "started"); err != nil || line != "started stops" {
		t.Errorf("the log has %q, %v", line, err)
	}
	if m, err := p.Metrics(t.Context()); err != nil || m.Sum("predcache_held") != 7 {
		t.Errorf("metrics: %v, %v", m, err)
	}
	if now, peak := p.Resident(); now <= 0 || peak < now {
		t.Errorf("%d bytes resident, %d at the peak", now, peak)
	}
	if err := p.Stop(time.Minute); err != nil {
		t.Error(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal after the end: %v", err)
	}
}

func TestAProcessThatDoesNotEndIsKilled(t *testing.T) {
	p := start(t, "stays")
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(10 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "did not end within 10ms of SIGTERM") {
		t.Errorf("got %v", err)
	}
	select {
	case <-p.Exited():
	default:
		t.Error("it still runs")
	}
}

func TestAProcessThatFailsIsNotWaitedFor(t *testing.T) {
	p := start(t, "fails")
	if err := p.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "ended by itself: exit status 3") {
		t.Errorf("got %v", err)
	}
	if got := p.Log().Tail(1); got != "no queue" {
		t.Errorf("the log ends with %q", got)
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	for _, name := range []string{"AWS_PROFILE", "WORKER_TTL", "OTEL_TRACES_EXPORTER", "AWS_ENDPOINT_URL"} {
		t.Setenv(name, "from this machine")
	}
	env := Environment("WORKER_TTL=6h")
	for _, variable := range env {
		if strings.HasSuffix(variable, "from this machine") {
			t.Errorf("the worker gets %s", variable)
		}
	}
	if !slices.Contains(env, "AWS_CONFIG_FILE="+os.DevNull) || env[len(env)-1] != "WORKER_TTL=6h" {
		t.Errorf("got %q", env)
	}
}

func TestLogKeepsItsEnd(t *testing.T) {
	var log Log
	const line = "a line that is logged"
	for range 5 * maxLog / len(line) {
		fmt.Fprintln(&log, line)
	}
	if got := log.String(); len(got) > 2*maxLog || len(got) < maxLog-len(line) || !strings.HasPrefix(got, line) {
		t.Errorf("%d bytes: %.40q", len(got), got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Line(ctx, "another"); err == nil {
		t.Error("a line that is not there was found")
	}
}

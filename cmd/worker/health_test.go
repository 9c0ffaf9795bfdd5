package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/telemetry"
)

func TestHealthAsksTheWorkerOnThisHost(t *testing.T) {
	health := telemetry.NewHealth(slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", health.Live)
	mux.HandleFunc("GET /readyz", health.Ready)
	server := httptest.NewServer(mux)
	defer server.Close()
	t.Setenv("WORKER_HTTP_ADDR", ":"+server.URL[strings.LastIndexByte(server.URL, ':')+1:])
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	ask := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := dispatch(context.Background(), append([]string{"health"}, args...), nil, &out, io.Discard)
		return out.String(), err
	}

	if out, err := ask(); err != nil || out != "live\n" {
		t.Errorf("health: %q, %v", out, err)
	}
	if out, err := ask("--ready"); err == nil || !strings.Contains(err.Error(), "starting or draining") || out != "" {
		t.Errorf("before it works: %q, %v", out, err)
	}
	health.SetReady(true)
	if out, err := ask("--ready"); err != nil || out != "ready\n" {
		t.Errorf("once it works: %q, %v", out, err)
	}
	health.Report("the table", "", errors.New("access denied"))
	if _, err := ask("--ready"); err == nil || !strings.Contains(err.Error(), "not ready: the table: access denied (since ") {
		t.Errorf("in an outage: %v", err)
	}
	if out, err := ask("--ready", "--json"); !errors.Is(err, errReported) || !strings.Contains(out, `"reason":"access denied"`) {
		t.Errorf("in an outage, as JSON: %q, %v", out, err)
	}
	if out, err := ask(); err != nil || out != "live\n" {
		t.Errorf("an outage is no reason to restart: %q, %v", out, err)
	}
	server.Close()
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "does not answer at 127.0.0.1:") {
		t.Errorf("where no worker is: %v", err)
	}
	if out, err := ask("--json"); !errors.Is(err, errReported) || !strings.HasPrefix(out, `{"ok":false`) {
		t.Errorf("where no worker is, as JSON: %q, %v", out, err)
	}
}

func TestHealthDoesNotWaitForEver(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	t.Setenv("WORKER_HTTP_ADDR", server.Listener.Addr().String())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := dispatch(ctx, []string{"health"}, nil, io.Discard, io.Discard); err == nil {
		t.Error("a worker that doesn't answer is well")
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]string{
		":9090": "127.0.0.1:9090", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1", "localhost:1": "localhost:1",
	} {
		if got := loopback(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

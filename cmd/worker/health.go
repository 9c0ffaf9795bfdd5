package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/config"
)

const healthUsage = `Usage: worker health [--ready] [--json]

Asks the worker on this host, by WORKER_HTTP_ADDR, whether it is live: it isn't only when its pipeline is stuck, so that a
container health check that restarts on this never restarts for an outage of AWS. With --ready it asks whether it is ready,
and what isn't well since when. Exit status 0 if it is, 1 if it isn't or doesn't answer.`

// healthPatience is how long an answer may take: the usual container health check gives up after 5 s.
const healthPatience = 4 * time.Second

// runHealth asks a worker that runs beside it. It needs no other setting than the address.
func runHealth(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("health", flag.ContinueOnError)
	ready := fs.Bool("ready", false, "ask whether the worker is ready, not only live")
	asJSON := fs.Bool("json", false, "print the answer as JSON")
	if err := parse(fs, healthUsage, args, 0, stdout); err != nil {
		return err
	}
	cfg, _ := config.Load() // whatever else is wrong with the settings is no matter here
	if _, _, err := net.SplitHostPort(cfg.HTTPAddr); err != nil {
		return fmt.Errorf("WORKER_HTTP_ADDR is %q: give host:port or :port", cfg.HTTPAddr)
	}
	path := "/livez"
	if *ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(cfg.HTTPAddr)+path, nil)
	if err != nil {
		return fmt.Errorf("WORKER_HTTP_ADDR is %q: %w", cfg.HTTPAddr, err)
	}
	if *asJSON {
		req.Header.Set("Accept", "application/json")
	}
	// No proxy: the worker is on this host.
	client := http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return unreachable(stdout, *asJSON, fmt.Errorf("the worker does not answer at %s: %w", req.URL.Host, errors.Unwrap(err)))
	}
	defer resp.Body.Close()
	const most = 64 << 10
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return unreachable(stdout, *asJSON, fmt.Errorf("the worker's answer broke off: %w", err))
	}
	text := strings.TrimRight(string(body), "\n")
	if resp.StatusCode == http.StatusOK || *asJSON {
		fmt.Fprintln(stdout, text)
	}
	if resp.StatusCode != http.StatusOK {
		if *asJSON {
			return errSaid
		}
		return errors.New(text)
	}
	return nil
}

// errSaid is the error of a command whose output has told what is wrong.
var errSaid = errors.New("not well")

func unreachable(w io.Writer, asJSON bool, err error) error {
	if !asJSON {
		return err
	}
	answer := map[string]any{"ok": false, "problems": map[string]any{"worker": map[string]any{"reason": err.Error()}}}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return errSaid
}

// loopback is an address to listen on as one to call: where it names no host, or all of them, this one.
func loopback(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

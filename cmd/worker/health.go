package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/config"
)

func newHealthCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "health", GroupID: groupRun, Args: takes(0), ValidArgsFunction: cobra.NoFileCompletions,
		Short: "Check whether the worker on this host is live or ready",
		Long: `Check whether the worker on this host, at WORKER_HTTP_ADDR, is live. The exit status is 0 if it
is, and 1 if it is not or no worker answers.

A worker is live unless its pipeline is stuck. An outage of AWS does not change that, so a
container can be restarted when this check fails. With --ready, check whether the worker is ready,
and print what is wrong and since when.`,
		Example: `  # A container health check
  worker health

  # See why a worker is not ready
  worker health --ready`,
	}
	ready := cmd.Flags().Bool("ready", false, "check whether the worker is ready, not only live")
	asJSON := cmd.Flags().Bool("json", false, "print the answer as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return askHealth(cmd.Context(), cmd.OutOrStdout(), *ready, *asJSON)
	}
	return cmd
}

// healthTimeout is the maximum time for an answer: the usual container health check ends after 5 s.
const healthTimeout = 4 * time.Second

// askHealth queries the worker on this host. It needs only the setting of the address.
func askHealth(ctx context.Context, stdout io.Writer, ready, asJSON bool) error {
	cfg, _ := config.Load() // other settings do not matter here
	if _, _, err := net.SplitHostPort(cfg.HTTPAddr); err != nil {
		return fmt.Errorf("WORKER_HTTP_ADDR is %q: use host:port or :port", cfg.HTTPAddr)
	}
	path := "/livez"
	if ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(cfg.HTTPAddr)+path, nil)
	if err != nil {
		return fmt.Errorf("WORKER_HTTP_ADDR is %q: %w", cfg.HTTPAddr, err)
	}
	if asJSON {
		req.Header.Set("Accept", "application/json")
	}
	// No proxy: the worker is on this host.
	client := http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return unreachable(stdout, asJSON, fmt.Errorf("the worker does not answer at %s: %w", req.URL.Host, errors.Unwrap(err)))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return unreachable(stdout, asJSON, fmt.Errorf("the worker's answer broke off: %w", err))
	}
	text := strings.TrimRight(string(body), "\n")
	if resp.StatusCode == http.StatusOK || asJSON {
		fmt.Fprintln(stdout, text)
	}
	if resp.StatusCode != http.StatusOK {
		if asJSON {
			return errReported
		}
		return errors.New(text)
	}
	return nil
}

func unreachable(w io.Writer, asJSON bool, err error) error {
	if !asJSON {
		return err
	}
	answer := map[string]any{"ok": false, "problems": map[string]any{"worker": map[string]any{"reason": err.Error()}}}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return errReported
}

// loopback converts a listen address to one to connect to. Without a host, or with all of them, it is the loopback address.
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

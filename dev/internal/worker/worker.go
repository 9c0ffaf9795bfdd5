// Package worker builds and runs the real worker as a process of its own.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build builds the worker of the module in the folder root, and returns the binary's path.
func Build(ctx context.Context, root, into string) (string, error) {
	path := filepath.Join(into, "worker")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/worker") //nolint:gosec // a folder of our own
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/worker: %w\n%s", err, output)
	}
	return path, nil
}

// A Process is a running worker.
type Process struct {
	Address string // of its health checks and metrics
	Page    string // the address of its status page

	command *exec.Cmd
	log     tail
	exited  chan struct{} // closed once the process has ended; then err is set
	err     error
}

// Start runs the worker with these settings and none of this machine's own AWS_ and WORKER_ ones, so that it can't reach
// a real account. It is ready when Ready says so, and runs until Stop: the end of ctx doesn't
// end it. It logs to log.
func Start(ctx context.Context, path string, settings []string, log io.Writer) (*Process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(context.WithoutCancel(ctx), path, "run")
	p := &Process{Address: address, Page: admin, command: command, exited: make(chan struct{})}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AWS_") && !strings.HasPrefix(variable, "WORKER_") {
			p.command.Env = append(p.command.Env, variable)
		}
	}
	p.command.Env = append(p.command.Env, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"WORKER_HTTP_ADDR="+address, "WORKER_ADMIN_ADDR="+admin, "WORKER_LOG_FORMAT=text")
	p.command.Env = append(p.command.Env, settings...)
	output := io.MultiWriter(&p.log, log)
	p.command.Stdout, p.command.Stderr = output, output
	// A group of its own: Ctrl-C in a terminal goes to every process of the group, and the worker takes a second signal,
	// which Stop sends, as the order to end at once.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.exited)
	}()
	return p, nil
}

// freeAddress is a loopback address that is free now: the worker would choose a free port itself, but couldn't say which.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Ready waits until the worker says that it consumes.
func (p *Process) Ready(ctx context.Context) error {
	for {
		if _, err := p.get(ctx, "/readyz"); err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.Gone()
		case <-ctx.Done():
			return fmt.Errorf("the worker isn't ready: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Exited is closed when the process has ended, by Stop or by itself.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Gone is why a worker that should be running is not.
func (p *Process) Gone() error {
	if p.err == nil {
		return errors.New("the worker ended by itself, with exit status 0")
	}
	return fmt.Errorf("the worker ended by itself: %w", p.err)
}

// Metrics reads the worker's own metrics.
func (p *Process) Metrics(ctx context.Context) (Metrics, error) {
	text, err := p.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("read the worker's metrics: %w", err)
	}
	return ParseMetrics(text)
}

func (p *Process) get(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Address+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", path, answer.Status)
	}
	return string(body), err
}

// Stop sends SIGTERM and waits for a clean end. A worker that doesn't end within the grace period is killed.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the worker: %w", err)
	}
	select {
	case <-p.exited:
	case <-time.After(grace):
		_ = p.command.Process.Kill() // it may have just ended
		<-p.exited
		return fmt.Errorf("the worker did not end within %v of SIGTERM", grace)
	}
	if p.err != nil {
		return fmt.Errorf("the worker did not end cleanly on SIGTERM: %w", p.err)
	}
	return nil
}

// Log is the end of what the worker logged.
func (p *Process) Log() string { return p.log.String() }

// tail keeps the last bytes written to it.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, b...)
	if extra := len(t.bytes) - tailSize; extra > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.bytes)
	if len(t.bytes) == tailSize { // it begins within a line
		_, text, _ = strings.Cut(text, "\n")
	}
	return strings.TrimRight(text, "\n")
}

// Package process builds, starts, watches and stops the real worker as a process of its own. Every test, benchmark and demo
// that runs the binary does it by this package. It imports nothing but the standard library.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Environment returns this process's environment for a worker that must not reach a real account: without its AWS_, WORKER_
// and OTEL_ variables, without files of the home directory and the instance's role, and with credentials that no service
// accepts. The settings come last, so that each can replace a variable.
func Environment(settings ...string) []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AWS_") && !strings.HasPrefix(variable, "WORKER_") && !strings.HasPrefix(variable, "OTEL_") {
			env = append(env, variable)
		}
	}
	env = append(env, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
	return append(env, settings...)
}

// Run runs a command of the binary to its end, in a clean Environment, and returns its standard output. The error has its
// standard error.
func Run(ctx context.Context, path string, settings []string, stdin string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, path, args...) //nolint:gosec // the worker
	command.Env, command.Stdin = Environment(settings...), strings.NewReader(stdin)
	var out, errs strings.Builder
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("worker %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// Config says what to start.
type Config struct {
	// Path is the binary.
	Path string
	// Args are its arguments; nil means "run".
	Args []string
	// Settings are variables after those of Environment. WORKER_HTTP_ADDR and WORKER_ADMIN_ADDR are set to free loopback
	// addresses before them.
	Settings []string
	// Log, if not nil, gets the output too.
	Log io.Writer
	// Stdout, if not nil, gets the standard output, and nothing else does.
	Stdout io.Writer
}

// A Process is a running worker.
type Process struct {
	// HTTP is the address of its probes and metrics, Admin that of its status page.
	HTTP, Admin string

	command *exec.Cmd
	log     Log
	exited  chan struct{} // closed once the process has ended; then err is set
	err     error
}

// Start starts a worker. It runs until it is stopped or killed.
func Start(c Config) (*Process, error) {
	if c.Args == nil {
		c.Args = []string{"run"}
	}
	p := &Process{command: exec.CommandContext(context.Background(), c.Path, c.Args...), exited: make(chan struct{})} //nolint:gosec // the worker
	for _, address := range []*string{&p.HTTP, &p.Admin} {
		var err error
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	p.command.Env = Environment(append([]string{"WORKER_HTTP_ADDR=" + p.HTTP, "WORKER_ADMIN_ADDR=" + p.Admin}, c.Settings...)...)
	var output io.Writer = &p.log
	if c.Log != nil {
		output = io.MultiWriter(&p.log, c.Log)
	}
	p.command.Stdout, p.command.Stderr = output, output
	if c.Stdout != nil {
		p.command.Stdout = c.Stdout
	}
	// A group of its own: Ctrl-C in a terminal goes to every process of the group, and the worker takes a second signal,
	// which Stop sends, as the order to end at once.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting the worker: %w", err)
	}
	go func() { // ends with the process
		p.err = p.command.Wait()
		close(p.exited)
	}()
	return p, nil
}

// freeAddress returns a loopback address that is free now. The worker would choose a free port itself, but only its log
// would tell which.
func freeAddress() (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// Log is what the worker has logged.
func (p *Process) Log() *Log { return &p.log }

// Exited is closed when the process has ended, whatever the cause.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Gone says why a worker that should be running is not. It must be called after Exited is closed.
func (p *Process) Gone() error {
	if p.err == nil {
		return errors.New("the worker ended by itself, with exit status 0")
	}
	return fmt.Errorf("the worker ended by itself: %w", p.err)
}

// poll is the pause between two looks at another process: there is nothing to wait on.
const poll = 20 * time.Millisecond

// Until blocks until done returns true. It returns an error if the worker ends or ctx is done first.
func (p *Process) Until(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for !done() {
		select {
		case <-p.exited:
			return p.Gone()
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}

// Ready blocks until the worker consumes, that is until /readyz says so. It returns an error if the worker ends or ctx is
// done first.
func (p *Process) Ready(ctx context.Context) error {
	if err := p.Until(ctx, func() bool { _, err := p.Get(ctx, "/readyz"); return err == nil }); err != nil {
		return fmt.Errorf("waiting for the worker to be ready: %w", err)
	}
	return nil
}

// Get asks the worker's HTTP address for a path and returns the answer's body. The error names any status but 200.
func (p *Process) Get(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.HTTP+path, http.NoBody)
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

// Metrics reads the worker's metrics.
func (p *Process) Metrics(ctx context.Context) (Metrics, error) {
	text, err := p.Get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading the worker's metrics: %w", err)
	}
	return ParseMetrics(text)
}

// Signal sends a signal. A process that has ended gets none, and that is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to the worker: %w", s, err)
	}
	return nil
}

// Kill ends the worker as SIGKILL does, and returns when it has ended.
func (p *Process) Kill() error {
	err := p.Signal(syscall.SIGKILL)
	<-p.exited
	return err
}

// Stop sends SIGTERM and waits for the end, which must come within the grace period and with exit status 0. A worker that is
// late is killed.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		return cmp.Or(p.Kill(), fmt.Errorf("the worker did not end within %v of SIGTERM", grace))
	}
	if p.err != nil {
		return fmt.Errorf("the worker did not end cleanly on SIGTERM: %w", p.err)
	}
	return nil
}

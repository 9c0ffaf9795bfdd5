// Command worker keeps a cache of predictions in DynamoDB up to date: it consumes predictions from an SQS queue and writes them to a
// table. Each command is in a file of its name; root.go lists them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(exitStatus(dispatch(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr), os.Stderr))
}

// dispatch runs one command line.
func dispatch(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// exitStatus prints a command's error and returns the exit status: 2 for an invalid command line, 1 for any other error.
func exitStatus(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return 1
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "worker: %v\nRun `%s --help` for usage.\n", err, usage.command)
		return 2
	default:
		fmt.Fprintf(stderr, "worker: %v\n", err)
		return 1
	}
}

// errReported is the error of a command that has already printed what is wrong.
var errReported = errors.New("reported")

// A usageError reports an invalid command line.
type usageError struct{ command, problem string }

func (e usageError) Error() string { return e.problem }

func usageErrorf(cmd *cobra.Command, format string, args ...any) error {
	return usageError{cmd.CommandPath(), fmt.Sprintf(format, args...)}
}

// problems is an error that lists several problems, each on a line of its own.
type problems struct {
	what string
	err  error
}

func (p problems) Error() string {
	return p.what + ":\n  - " + strings.ReplaceAll(p.err.Error(), "\n", "\n  - ")
}
func (p problems) Unwrap() error { return p.err }

// Command worker keeps a prediction cache warm: it consumes predictions from an SQS queue and writes them into a DynamoDB
// table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// A command is one of the worker's subcommands.
type command struct {
	name, args, short string
	run               func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{
		{"run", "", "consume predictions from the queue and write them into the table", runWorker},
		{"check", "", "read the settings, the queue and the table, and say what is wrong with them", runCheck},
		{"config", "[--markdown]", "list every setting with its default and meaning", runConfig},
		{"publish", "[--pack] FILE|-", "send predictions, one JSON object a line, to the queue", runPublish},
		{"warm", "[flags] FILE…|-", "fill the table straight from files, without the queue", runWarm},
		{"get", "ID [--all] [--json]", "read an id from the table, as a service would see it", runGet},
		{"redrive", "[--reason R] [flags]", "list the reject queue, and send some of it back", runRedrive},
		{"health", "[--ready] [--json]", "ask the worker on this host whether it is live, or ready", runHealth},
		{"version", "", "print the version", runVersion},
	}
}

func main() {
	err := dispatch(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
	var usage usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errSaid):
		os.Exit(1)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "worker: %v\nRun `worker --help` for the commands.\n", err)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "worker: %v\n", err)
		os.Exit(1)
	}
}

// A usageError is a command line that can't be understood.
type usageError string

func (e usageError) Error() string { return string(e) }

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 2 && args[0] == "help" {
		args = []string{args[1], "--help"}
	}
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		help(stdout)
		if len(args) == 0 {
			return usageError("no command was given")
		}
		return nil
	}
	if args[0] == "--version" {
		args = []string{"version"}
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	return usageError(fmt.Sprintf("there is no command %q", args[0]))
}

func help(w io.Writer) {
	fmt.Fprint(w, `worker keeps a prediction cache warm: it consumes predictions from an SQS queue, removes
duplicates, and writes them into a DynamoDB table, from which services read them by id.

Usage:

  worker COMMAND [flags]

Commands:

`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-28s %s\n", strings.TrimSpace(c.name+" "+c.args), c.short)
	}
	fmt.Fprint(w, `
Settings come from the environment. run needs two of them:

  WORKER_QUEUE_URL    the queue to consume
  WORKER_TABLE_NAME   the table to write

`+"`worker config`"+` lists them all, and `+"`worker check`"+` tries them without consuming anything. Region, credentials
and endpoints are those of the AWS SDK: AWS_REGION, AWS_ENDPOINT_URL, the role of the task or pod.
`)
}

// anyNumber of arguments may be left by parse, for a command that counts them itself.
const anyNumber = -1

// parse reads a subcommand's flags and checks how many arguments are left.
func parse(fs *flag.FlagSet, usage string, args []string, want int, stdout io.Writer) error {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, strings.TrimSpace(usage))
		fs.SetOutput(stdout)
		flags := 0
		fs.VisitAll(func(*flag.Flag) { flags++ })
		if flags > 0 {
			fmt.Fprint(stdout, "\nFlags:\n\n")
			fs.PrintDefaults()
		}
		return err
	case err != nil:
		return usageError(fmt.Sprintf("%s: %v", fs.Name(), err))
	case want != anyNumber && fs.NArg() != want:
		line, _, _ := strings.Cut(strings.TrimSpace(usage), "\n")
		return usageError(fmt.Sprintf("%s was given %d arguments and takes %d. %s", fs.Name(), fs.NArg(), want, line))
	}
	return nil
}

// bullets puts each of several joined errors on a line of its own.
func bullets(err error) string {
	return "  - " + strings.ReplaceAll(err.Error(), "\n", "\n  - ")
}

// stamped is set by the release build.
var stamped = ""

// version is the release's, or what the Go toolchain knows of the build.
func version() string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func runVersion(_ context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("version", flag.ContinueOnError)
	if err := parse(fs, "Usage: worker version\n\nPrints the version.", args, 0, stdout); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "predcache worker %s\n", version())
	return err
}

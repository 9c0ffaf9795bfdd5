// Command worker keeps a prediction cache warm: it consumes predictions from an SQS queue and writes them into a DynamoDB
// table.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The help lists commands in the order in which they are added.
func init() { cobra.EnableCommandSorting = false }

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

// exitStatus prints a command's error, and returns the status to exit with: 2 for a command line that can't be understood, 1
// for any other error.
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

// errReported is the error of a command whose output has said what is wrong.
var errReported = errors.New("reported")

// A usageError is a command line that can't be understood.
type usageError struct{ command, problem string }

func (e usageError) Error() string { return e.problem }

func usageErrorf(cmd *cobra.Command, format string, args ...any) error {
	return usageError{cmd.CommandPath(), fmt.Sprintf(format, args...)}
}

const rootLong = `worker keeps a prediction cache warm. It consumes predictions from an SQS queue, removes
duplicates, and writes them into a DynamoDB table, from which services read them by id.

Settings are environment variables. "worker run" needs two of them:

  WORKER_QUEUE_URL    the queue to consume
  WORKER_TABLE_NAME   the table to write

"worker config" lists all settings. "worker check" tries them without consuming anything.
Region, credentials and endpoints are those of the AWS SDK: AWS_REGION, AWS_ENDPOINT_URL, the
role of the task or pod.`

// The groups of commands in the help.
const (
	groupRun  = "run"
	groupLook = "look"
	groupMove = "move"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "worker", Short: "Keep a prediction cache warm", Long: rootLong,
		SilenceUsage: true, SilenceErrors: true, DisableAutoGenTag: true,
		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
	}
	showVersion := root.Flags().Bool("version", false, "print the version")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *showVersion {
			return printVersion(cmd.OutOrStdout())
		}
		cmd.SetOut(cmd.ErrOrStderr())
		_ = cmd.Help() // a standard error that is closed has no reader either
		return usageErrorf(cmd, "no command was given")
	}
	root.SetFlagErrorFunc(explainFlag)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run the worker:"},
		&cobra.Group{ID: groupLook, Title: "Look at settings, queue and table:"},
		&cobra.Group{ID: groupMove, Title: "Move predictions:"},
	)
	root.AddCommand(
		newRunCmd(), newHealthCmd(),
		newCheckCmd(), newConfigCmd(), newGetCmd(),
		newPublishCmd(), newWarmCmd(), newRedriveCmd(),
		newVersionCmd(),
	)
	root.SetHelpCommand(newHelpCmd())
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	problem := fmt.Sprintf("unknown command %q", name)
	if similar := root.SuggestionsFor(name); len(similar) > 0 {
		problem += ". Did you mean " + strings.Join(similar, " or ") + "?"
	}
	return usageErrorf(root, "%s", problem)
}

// explainFlag turns an error of the flags into a usage error. A value such as -5 looks like a flag.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" && strings.Contains(cmd.Use, " ") { // it takes arguments
		return usageErrorf(cmd, "%v. Put -- before a value that begins with a dash: %s -- -%s", err, cmd.CommandPath(), unknown.GetSpecifiedShortnames())
	}
	return usageErrorf(cmd, "%v", err)
}

// takes returns a check that a command gets n arguments.
func takes(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		given := "none"
		if len(args) > 0 {
			given = fmt.Sprintf("%d (%s)", len(args), strings.Join(args, " "))
		}
		return usageErrorf(cmd, "%s takes %s, and was given %s", cmd.CommandPath(), counted(n, "argument"), given)
	}
}

func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Print the help of a command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about, _, err := cmd.Root().Find(args)
			if err != nil || about == cmd.Root() && len(args) > 0 {
				return unknownCommand(cmd.Root(), strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag() // it is listed too
			return about.Help()
		},
	}
}

func newVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: takes(0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return printVersion(cmd.OutOrStdout()) },
	}
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "predcache worker %s\n", version())
	return err
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

// problems are several things to be put right, each on a line.
type problems struct {
	what string
	err  error
}

func (p problems) Error() string {
	return p.what + ":\n  - " + strings.ReplaceAll(p.err.Error(), "\n", "\n  - ")
}
func (p problems) Unwrap() error { return p.err }

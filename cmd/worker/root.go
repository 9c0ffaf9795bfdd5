package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The help lists commands in the order in which they are added.
func init() { cobra.EnableCommandSorting = false }

const rootLong = `worker keeps a cache of predictions in DynamoDB up to date. It consumes predictions from an SQS
queue, removes duplicates, and writes them to a table, from which services read them by id.

Settings are environment variables. "worker run" requires two of them:

  WORKER_QUEUE_URL    the queue to consume
  WORKER_TABLE_NAME   the table to write

"worker config" lists all settings. "worker check" validates them without consuming messages.
Region, credentials and endpoints come from the AWS SDK's usual sources: AWS_REGION,
AWS_ENDPOINT_URL, the role of the task or pod.`

// The groups of commands in the help.
const (
	groupRun     = "run"
	groupInspect = "inspect"
	groupMove    = "move"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "worker", Short: "Keep a cache of predictions up to date", Long: rootLong,
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
		_ = cmd.Help() // it fails only if standard error is closed
		return usageErrorf(cmd, "no command was given")
	}
	root.SetFlagErrorFunc(explainFlag)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run the worker:"},
		&cobra.Group{ID: groupInspect, Title: "Inspect settings, queue and table:"},
		&cobra.Group{ID: groupMove, Title: "Move predictions:"},
	)
	root.AddCommand(
		newRunCmd(), newHealthCmd(),
		newCheckCmd(), newConfigCmd(), newGetCmd(),
		newPublishCmd(), newWarmCmd(), newEraseCmd(), newRedriveCmd(),
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

// explainFlag turns an error of the flags into a usage error. For an argument such as -5, it says how to pass it.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" && strings.Contains(cmd.Use, " ") { // it takes arguments
		return usageErrorf(cmd, "%v. Put -- before a value that begins with a dash: %s -- -%s", err, cmd.CommandPath(), unknown.GetSpecifiedShortnames())
	}
	return usageErrorf(cmd, "%v", err)
}

// takes checks that a command gets n arguments.
func takes(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		given := "none"
		if len(args) > 0 {
			given = fmt.Sprintf("%d (%s)", len(args), strings.Join(args, " "))
		}
		return usageErrorf(cmd, "%s takes %s, but got %s", cmd.CommandPath(), counted(n, "argument"), given)
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

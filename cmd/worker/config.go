package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/predcache/predcache/internal/config"
)

func newConfigCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", GroupID: groupInspect, Args: takes(0), ValidArgsFunction: cobra.NoFileCompletions,
		Short: "List every setting with its default and meaning",
		Long:  `List every setting with its default and meaning. Settings are environment variables.`,
		Example: `  # Read all settings
  worker config

  # Find the settings of the dedup window
  worker config | grep -A2 DEDUP`,
	}
	markdown := cmd.Flags().Bool("markdown", false, "print Markdown, as in docs/settings.md")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return printConfig(cmd.OutOrStdout(), *markdown) }
	return cmd
}

func printConfig(stdout io.Writer, markdown bool) error {
	if markdown {
		_, err := io.WriteString(stdout, config.Markdown())
		return err
	}
	group := ""
	for _, s := range config.Settings() {
		if s.Group != group {
			if group != "" {
				fmt.Fprintln(stdout)
			}
			group = s.Group
			fmt.Fprintf(stdout, "# %s\n", group)
		}
		value := s.Default
		if value == "" {
			value = "(empty)"
		}
		fmt.Fprintf(stdout, "%-28s %s\n", s.Name, value)
		for _, line := range wrap(s.Meaning, 92) {
			fmt.Fprintf(stdout, "    %s\n", line)
		}
	}
	return nil
}

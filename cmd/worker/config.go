package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/predcache/predcache/internal/config"
)

const configUsage = `Usage: worker config [--markdown]

Lists every setting with its default and meaning. Settings are environment variables.`

// runConfig lists the settings.
func runConfig(_ context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("config", flag.ContinueOnError)
	markdown := fs.Bool("markdown", false, "print Markdown, as in docs/settings.md")
	if err := parse(fs, configUsage, args, 0, stdout); err != nil {
		return err
	}
	if *markdown {
		_, err := io.WriteString(stdout, config.Markdown())
		return err
	}
	for _, s := range config.Settings() {
		value := s.Default
		if value == "" {
			value = "(empty)"
		}
		fmt.Fprintf(stdout, "%-28s %s\n", s.Name, value)
		for _, line := range wrap(s.Meaning, 96) {
			fmt.Fprintf(stdout, "    %s\n", line)
		}
	}
	return nil
}

// wrap breaks text into lines of at most width characters, at blanks.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

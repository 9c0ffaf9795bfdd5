package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// A Setting describes one setting for documentation.
type Setting struct {
	Group                  string // heading of the group that it belongs to
	Name, Default, Meaning string
}

// Settings lists every setting in the order of Config.
func Settings() []Setting {
	t := reflect.TypeFor[Config]()
	settings := make([]Setting, t.NumField())
	group := ""
	for i := range settings {
		f := t.Field(i)
		if g := f.Tag.Get("group"); g != "" {
			group = g
		}
		settings[i] = Setting{group, variable(f), f.Tag.Get("default"), f.Tag.Get("desc")}
	}
	return settings
}

// wordBoundary matches where envconfig's split_words splits a field's name: QueueURL is QUEUE_URL, AllowNoTTL is
// ALLOW_NO_TTL.
var wordBoundary = regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)

// variable returns the name that envconfig gives a field. envconfig can print it itself, but through text/template, which
// adds 5 MB to the binary: with it the linker can drop no exported method. A test compares the two.
func variable(f reflect.StructField) string {
	return Prefix + "_" + strings.ToUpper(wordBoundary.ReplaceAllString(f.Name, "${1}${3}_${2}${4}"))
}

// Markdown returns the tables of docs/settings.md, one for each group.
func Markdown() string {
	var b strings.Builder
	group := ""
	for _, s := range Settings() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n## %s\n\n| setting | default | meaning |\n|---|---|---|\n", group)
		}
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, value, s.Meaning)
	}
	return b.String()
}

// Unknown lists the WORKER_ variables that are not settings, since a misspelt setting would otherwise be ignored silently.
// It leaves out those that Kubernetes injects for a Service named worker.
func Unknown() []string {
	known := map[string]bool{}
	for _, s := range Settings() {
		known[s.Name] = true
	}
	var unknown []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, Prefix+"_") && !known[name] && !strings.HasPrefix(name, Prefix+"_SERVICE_") && !strings.HasPrefix(name, Prefix+"_PORT") {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

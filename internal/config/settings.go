package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/kelseyhightower/envconfig"
)

// A Setting is one setting as documentation wants it.
type Setting struct {
	Name, Default, Meaning string
}

// Settings lists every setting in the order of Config.
func Settings() []Setting {
	t := reflect.TypeFor[Config]()
	settings := make([]Setting, t.NumField())
	for i := range settings {
		f := t.Field(i)
		settings[i] = Setting{variable(f), f.Tag.Get("default"), f.Tag.Get("desc")}
	}
	return settings
}

// variable is the name that envconfig gives a field, found by asking it.
func variable(f reflect.StructField) string {
	one := reflect.New(reflect.StructOf([]reflect.StructField{f}))
	var b strings.Builder
	if err := envconfig.Usagef(Prefix, one.Interface(), &b, "{{range .}}{{usage_key .}}{{end}}"); err != nil {
		panic(err) // the format is a constant
	}
	return b.String()
}

// Markdown is the table of the settings as the README has it.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| setting | default | meaning |\n|---|---|---|\n")
	for _, s := range Settings() {
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, value, s.Meaning)
	}
	return b.String()
}

// Unknown lists the variables that start like a setting but are none: a setting with a typing error would otherwise be
// ignored in silence. Those that Kubernetes injects for a Service named worker are left out.
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

package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
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

// words are where envconfig's split_words parts a field's name: QueueURL is QUEUE_URL, AllowNoTTL is ALLOW_NO_TTL.
var words = regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)

// variable is the name that envconfig gives a field. It would tell by itself, but by text/template, which makes a program
// five megabytes longer: the linker can leave out no method then. A test asks it.
func variable(f reflect.StructField) string {
	return Prefix + "_" + strings.ToUpper(words.ReplaceAllString(f.Name, "${1}${3}_${2}${4}"))
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

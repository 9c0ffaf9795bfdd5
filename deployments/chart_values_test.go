package deployments

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A chartValue is a value of the chart as values.yaml documents it.
type chartValue struct {
	path, kind, standard, meaning string
}

// chartValues reads values.yaml: a comment that begins with "# --" documents the value below it.
func chartValues(t *testing.T) []chartValue {
	t.Helper()
	text, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var list []chartValue
	var walk func(prefix string, node *yaml.Node)
	walk = func(prefix string, node *yaml.Node) {
		for i := 0; i < len(node.Content); i += 2 {
			name, value := node.Content[i], node.Content[i+1]
			path := prefix + name.Value
			if _, meaning, found := strings.Cut(name.HeadComment, "# -- "); found {
				list = append(list, chartValue{path, kindOf(value), standard(t, value), strings.ReplaceAll(meaning, "\n# ", " ")})
			} else if value.Kind == yaml.MappingNode && len(value.Content) > 0 {
				walk(path+".", value)
			} else {
				t.Errorf("%s has no comment that begins with # --", path)
			}
		}
	}
	walk("", document.Content[0])
	return list
}

func kindOf(value *yaml.Node) string {
	switch value.Tag {
	case "!!map":
		return "object"
	case "!!seq":
		return "list"
	case "!!bool":
		return "bool"
	case "!!int", "!!null":
		return "int"
	}
	return "string"
}

// standard is the default in one line of JSON.
func standard(t *testing.T, value *yaml.Node) string {
	t.Helper()
	var v any
	if err := value.Decode(&v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The README's table is values.yaml.
func TestChartReadmeHasTheValues(t *testing.T) {
	var table bytes.Buffer
	table.WriteString("| Key | Type | Default | Description |\n|---|---|---|---|\n")
	for _, v := range chartValues(t) {
		fmt.Fprintf(&table, "| `%s` | %s | `%s` | %s |\n", v.path, v.kind, v.standard, strings.ReplaceAll(v.meaning, "|", `\|`))
	}
	generated(t, chart+"/README.md", func(old []byte) []byte {
		const begin, end = "<!-- values: make docs -->\n", "<!-- /values -->\n"
		before, rest, found := bytes.Cut(old, []byte(begin))
		_, after, closed := bytes.Cut(rest, []byte(end))
		if !found || !closed {
			t.Fatalf("the README has no place for the values between %sand %s", begin, end)
		}
		return []byte(string(before) + begin + "\n" + table.String() + "\n" + end + string(after))
	})
}

// The schema has the worker's settings, and every value with the description of values.yaml.
func TestChartSchemaHasTheValuesAndTheWorkersSettings(t *testing.T) {
	settings := chartSettings(t)
	documented := chartValues(t)
	generated(t, chart+"/values.schema.json", func(old []byte) []byte {
		var schema object
		if err := json.Unmarshal(old, &schema); err != nil {
			t.Fatal(err)
		}
		for _, v := range documented {
			value := any(schema)
			for name := range strings.SplitSeq(v.path, ".") {
				value = at(value, "properties", name)
			}
			fields, ok := value.(object)
			if !ok {
				t.Errorf("%s is not in the schema", v.path)
				continue
			}
			fields["description"] = v.meaning
		}
		at(schema, "properties", "worker", "properties", "settings").(object)["properties"] = settings
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(schema); err != nil {
			t.Fatal(err)
		}
		return text.Bytes()
	})
}

// optional are values that null removes.
var optional = []string{"global", "replicas", "terminationGracePeriodSeconds", "livenessProbe", "readinessProbe", "startupProbe", "podSecurityContext", "securityContext", "strategy.rollingUpdate", "strategy.rollingUpdate.maxSurge", "strategy.rollingUpdate.maxUnavailable"}

// Every value of the schema has a default, and only some can be removed: the templates rely on the others.
func TestChartValuesHaveDefaults(t *testing.T) {
	var values, schema object
	readYAML(t, chart+"/values.yaml", &values)
	readYAML(t, chart+"/values.schema.json", &schema)
	var compare func(path string, values, schema object)
	compare = func(path string, values, schema object) {
		properties, _ := schema["properties"].(object)
		for name, property := range properties {
			required, _ := schema["required"].([]any)
			if slices.Contains(required, any(name)) == slices.Contains(optional, path+name) {
				t.Errorf("%s%s is in the schema's list of required values, or should be", path, name)
			}
			value, found := values[name]
			if !found && path+name != "global" {
				t.Errorf("%s%s has no default in values.yaml", path, name)
			}
			if fields, ok := value.(object); ok && path+name != "worker.settings" {
				compare(path+name+".", fields, property.(object))
			}
		}
	}
	compare("", values, schema)
}

// ours are definitions of the schema that have no counterpart in Kubernetes, and variantsOf those that narrow one of another name.
var (
	ours       = []string{"Labels", "Annotations", "CIDR", "Quantity", "Resources", "Port", "Duration", "SecretName", "NodeFieldRequirement", "Relabeling"}
	variantsOf = map[string]string{"InitContainer": "Container", "ReadinessProbe": "Probe", "EnvFieldRef": "ObjectFieldSelector", "FileResourceRef": "ResourceFieldSelector"}
)

// The definitions in the schema allow no field that Kubernetes doesn't have.
func TestChartSchemaNarrowsKubernetes(t *testing.T) {
	files, err := filepath.Glob("../.cache/deploy/python/lib/python3*/site-packages/kubernetes_validate/kubernetes-json-schema/v1.34.0-local-strict/_definitions.json")
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v: run the tests by make deploy-check, which installs Kubernetes' schemas", files, err)
	}
	var kubernetes, schema object
	readYAML(t, files[0], &kubernetes)
	readYAML(t, chart+"/values.schema.json", &schema)
	fields := map[string]object{}
	for name, definition := range kubernetes["$defs"].(object) {
		if strings.HasPrefix(name, "io.k8s.api.core.v1.") || strings.HasPrefix(name, "io.k8s.api.networking.v1.") || strings.HasPrefix(name, "io.k8s.apimachinery.") {
			if properties, ok := at(definition, "properties").(object); ok {
				fields[name[strings.LastIndex(name, ".")+1:]] = properties
			}
		}
	}
	compared := 0
	for name, definition := range schema["definitions"].(object) {
		if slices.Contains(ours, name) {
			continue
		}
		kind := cmp.Or(variantsOf[name], name)
		if fields[kind] == nil {
			t.Errorf("Kubernetes has no %s", kind)
			continue
		}
		for field := range at(definition, "properties").(object) {
			compared++
			if fields[kind][field] == nil {
				t.Errorf("Kubernetes' %s has no field %s", kind, field)
			}
		}
		if at(definition, "additionalProperties") != false {
			t.Errorf("%s allows fields that Kubernetes doesn't have", name)
		}
	}
	if compared < 200 {
		t.Errorf("%d fields compared", compared)
	}
}

// Package emftest checks lines of CloudWatch's embedded metric format in tests.
package emftest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed emf.schema.json
var schemaText string

// maxLine is the length at which container runtimes split a line of output; half of a document is no metric. CloudWatch
// itself takes more ("Specification: Embedded metric format").
const maxLine = 16 << 10

// A Document is a line that has been checked.
type Document struct {
	Namespace string
	// Dimensions are the values by their names.
	Dimensions map[string]string
	// Metrics are the values by the names of the metrics.
	Metrics map[string][]float64
	// Fields are all members of the root but _aws.
	Fields map[string]any
	// Timestamp is in milliseconds.
	Timestamp int64
}

// Parse checks a line by the schema and by the rules that a schema can't say: each metric and dimension is a member of the
// root, with a value that it may have.
func Parse(line string) (*Document, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("the line has %d bytes; %d are possible", len(line), maxLine)
	}
	parts, err := schemas()
	if err != nil {
		return nil, err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		return nil, fmt.Errorf("no JSON: %w: %s", err, line)
	}
	if err := parts.document.Validate(value); err != nil {
		return nil, err
	}
	var root struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	d := &Document{Dimensions: map[string]string{}, Metrics: map[string][]float64{}, Fields: map[string]any{}}
	if err := json.Unmarshal([]byte(line), &root); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(line), &d.Fields); err != nil {
		return nil, err
	}
	delete(d.Fields, "_aws")
	d.Timestamp = root.AWS.Timestamp
	members := value.(map[string]any)
	for _, directive := range root.AWS.CloudWatchMetrics {
		d.Namespace = directive.Namespace
		for _, set := range directive.Dimensions {
			for _, name := range set {
				if err := parts.dimension.Validate(members[name]); err != nil {
					return nil, fmt.Errorf("the dimension %s: %w", name, err)
				}
				d.Dimensions[name], _ = d.Fields[name].(string)
			}
		}
		for _, m := range directive.Metrics {
			if err := parts.values.Validate(members[m.Name]); err != nil {
				return nil, fmt.Errorf("the metric %s: %w", m.Name, err)
			}
			switch v := d.Fields[m.Name].(type) {
			case float64:
				d.Metrics[m.Name] = []float64{v}
			case []any:
				for _, v := range v {
					d.Metrics[m.Name] = append(d.Metrics[m.Name], v.(float64))
				}
			}
		}
	}
	return d, nil
}

// A set is the schema of a whole document, and those of the members that it names.
type set struct{ document, dimension, values *jsonschema.Schema }

var schemas = sync.OnceValues(func() (s set, err error) {
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(schemaText))
	if err != nil {
		return s, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("emf.schema.json", text); err != nil {
		return s, err
	}
	for part, into := range map[string]**jsonschema.Schema{"": &s.document, "#/$defs/dimension": &s.dimension, "#/$defs/values": &s.values} {
		if *into, err = compiler.Compile("emf.schema.json" + part); err != nil {
			return s, err
		}
	}
	return s, nil
})

// Value returns the only value of a metric, or 0 if the document does not have it.
func (d *Document) Value(metric string) float64 {
	if values := d.Metrics[metric]; len(values) == 1 {
		return values[0]
	}
	return 0
}

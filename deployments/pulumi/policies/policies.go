// Package policies holds what each role may do, as IAM policies with placeholders.
package policies

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

//go:embed *.json
var files embed.FS

type document struct {
	Version   string
	Statement []map[string]any
}

// A Part is a policy by its file's name without .json, and the names in the place of its placeholders.
type Part struct {
	Policy string
	Names  map[string]string
}

// Document joins policies into one, with the same names in each.
func Document(names map[string]string, policies ...string) (string, error) {
	var parts []Part
	for _, policy := range policies {
		parts = append(parts, Part{policy, names})
	}
	return Join(parts...)
}

// Join joins policies into one. Where one is there several times, its statements' identifiers are numbered: they must be
// unique within a policy ("IAM JSON policy elements: Sid").
func Join(parts ...Part) (string, error) {
	all, seen := document{Version: "2012-10-17"}, map[string]int{}
	for _, part := range parts {
		d, err := part.read()
		if err != nil {
			return "", err
		}
		for _, s := range d.Statement {
			id := fmt.Sprint(s["Sid"])
			if seen[id]++; seen[id] > 1 {
				s["Sid"] = id + strconv.Itoa(seen[id])
			}
			all.Statement = append(all.Statement, s)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("writing a policy: %w", err)
	}
	return string(text), nil
}

// read reads the policy, with its names. Only ObjectsPrefix may be empty: that is a whole bucket.
func (p Part) read() (d document, err error) {
	text, err := files.ReadFile(p.Policy + ".json")
	if err != nil {
		return d, fmt.Errorf("reading a policy: %w", err)
	}
	missing := ""
	text = []byte(os.Expand(string(text), func(name string) string {
		value := p.Names[name]
		if value == "" && name != "ObjectsPrefix" {
			missing = name
		}
		return value
	}))
	if missing != "" {
		return d, fmt.Errorf("the policy %s needs %s", p.Policy, missing)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("reading the policy %s: %w", p.Policy, err)
	}
	return d, nil
}

// Package policies holds what each role may do, as IAM policies with placeholders.
package policies

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
)

//go:embed *.json
var files embed.FS

type document struct {
	Version   string
	Statement []any
}

// Document joins policies by their files' names without .json into one, with names in the place of the placeholders.
func Document(names map[string]string, policies ...string) (string, error) {
	all := document{Version: "2012-10-17"}
	for _, policy := range policies {
		text, err := files.ReadFile(policy + ".json")
		if err != nil {
			return "", fmt.Errorf("reading a policy: %w", err)
		}
		missing := ""
		text = []byte(os.Expand(string(text), func(name string) string {
			value := names[name]
			if value == "" {
				missing = name
			}
			return value
		}))
		if missing != "" {
			return "", fmt.Errorf("the policy %s needs %s", policy, missing)
		}
		var d document
		if err := json.Unmarshal(text, &d); err != nil {
			return "", fmt.Errorf("reading the policy %s: %w", policy, err)
		}
		all.Statement = append(all.Statement, d.Statement...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("writing a policy: %w", err)
	}
	return string(text), nil
}

// Package schemas has the arguments of the resources and data sources of Terraform's AWS provider, of those that the stacks use.
package schemas

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/predcache/predcache/deployments/testproviders/resources"
)

// The file is made by schemas.py from bindings of the real provider.
//
//go:embed schemas.json
var file []byte

// Schemas are those of the provider's configuration, and of resources and data sources by their types.
type Schemas struct {
	Provider  Block
	Resources map[string]Block
	Data      map[string]Block
}

// A Block has the arguments of a resource, of a data source, or of a block in one.
type Block struct {
	Attributes map[string]string // their types: string, number, bool, or a list, set or map of these, like "map(string)"
	Computed   map[string]string // those that can't be set
	Required   []string          // of Attributes and Blocks
	Blocks     map[string]Block
	Nesting    string // list, set or single
	Max        int    // how many blocks of this name there may be; any number where 0
}

// Load returns the schemas.
func Load() (all Schemas, err error) {
	if err := json.Unmarshal(file, &all); err != nil {
		return all, fmt.Errorf("reading schemas.json: %w", err)
	}
	return all, nil
}

// Own are the arguments that only Terraform knows, or that follow from others.
var Own = []string{"id", "region", "tags_all", "timeouts"}

// Inputs returns what is set of a resource, as package resources takes it, from the values that `tofu show -json` prints.
func (b Block) Inputs(values map[string]any) resources.Props {
	in := b.set(values)
	for _, name := range Own {
		delete(in, name)
	}
	return in
}

func (b Block) set(values map[string]any) resources.Props {
	in := resources.Props{}
	for name, value := range values {
		child, isBlock := b.Blocks[name]
		list, isList := value.([]any)
		_, isAttribute := b.Attributes[name]
		switch {
		case value == nil || isList && len(list) == 0:
		case isBlock && isList:
			all := []any{}
			for _, element := range list {
				all = append(all, child.set(element.(map[string]any)))
			}
			if in[name] = all; child.Max == 1 {
				in[name] = all[0]
			}
		case isBlock:
			in[name] = child.set(value.(map[string]any))
		case isAttribute:
			in[name] = value
		}
	}
	return in
}

// IsSet returns whether the order of an argument's values means nothing.
func (b Block) IsSet(argument string) bool {
	return b.Blocks[argument].Nesting == "set" || strings.HasPrefix(b.Attributes[argument], "set(")
}

// IsRequired returns whether an argument must be given.
func (b Block) IsRequired(argument string) bool { return slices.Contains(b.Required, argument) }

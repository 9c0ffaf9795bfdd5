package main

import (
	"fmt"
	"math/big"

	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/predcache/predcache/deployments/testproviders/resources"
	"github.com/predcache/predcache/deployments/testproviders/schemas"
)

// decode returns the arguments of a block that are set and known. A block that may be there once becomes an object.
func decode(b schemas.Block, v tftypes.Value) resources.Props {
	var fields map[string]tftypes.Value
	if v.IsNull() || !v.IsKnown() || v.As(&fields) != nil {
		return resources.Props{}
	}
	in := resources.Props{}
	for name, field := range fields {
		if field.IsNull() || !field.IsKnown() {
			continue
		}
		child, isBlock := b.Blocks[name]
		switch {
		case !isBlock:
			in[name] = plain(field)
		case child.Nesting == "single":
			in[name] = decode(child, field)
		default:
			var list []tftypes.Value
			if field.As(&list) != nil || len(list) == 0 {
				continue
			}
			all := []any{}
			for _, element := range list {
				all = append(all, decode(child, element))
			}
			if in[name] = all; child.Max == 1 {
				in[name] = all[0]
			}
		}
	}
	return in
}

// plain returns the value of an attribute.
func plain(v tftypes.Value) any {
	if v.IsNull() || !v.IsKnown() {
		return nil
	}
	switch {
	case v.Type().Is(tftypes.String):
		var s string
		_ = v.As(&s)
		return s
	case v.Type().Is(tftypes.Bool):
		var b bool
		_ = v.As(&b)
		return b
	case v.Type().Is(tftypes.Number):
		n := new(big.Float)
		_ = v.As(&n)
		f, _ := n.Float64()
		return f
	case v.Type().Is(tftypes.Map{}):
		var m map[string]tftypes.Value
		_ = v.As(&m)
		all := resources.Props{}
		for name, element := range m {
			all[name] = plain(element)
		}
		return all
	default:
		var list []tftypes.Value
		_ = v.As(&list)
		all := []any{}
		for _, element := range list {
			all = append(all, plain(element))
		}
		return all
	}
}

// encode is the reverse of decode for one value of a type; of blocks where the type is one of theirs.
func encode(t tftypes.Type, v any) (tftypes.Value, error) {
	if v == nil {
		return empty(t), nil
	}
	var element tftypes.Type
	switch t := t.(type) {
	case tftypes.List:
		element = t.ElementType
	case tftypes.Set:
		element = t.ElementType
	}
	switch v := v.(type) {
	case resources.Props:
		if element != nil { // a block that may be there once
			return encode(t, []any{v})
		}
		return encodeMap(t, v)
	case []any:
		all := []tftypes.Value{}
		for _, e := range v {
			one, err := encode(element, e)
			if err != nil {
				return one, err
			}
			all = append(all, one)
		}
		return tftypes.NewValue(t, all), nil
	case float64:
		return tftypes.NewValue(t, big.NewFloat(v)), nil
	case string, bool:
		return tftypes.NewValue(t, v), nil
	default:
		return tftypes.Value{}, fmt.Errorf("unknown value %T", v)
	}
}

func encodeMap(t tftypes.Type, v resources.Props) (tftypes.Value, error) {
	all := map[string]tftypes.Value{}
	switch t := t.(type) {
	case tftypes.Map:
		for name, e := range v {
			one, err := encode(t.ElementType, e)
			if err != nil {
				return one, err
			}
			all[name] = one
		}
	case tftypes.Object:
		for name, kind := range t.AttributeTypes {
			one, err := encode(kind, v[name])
			if err != nil {
				return one, fmt.Errorf("%s: %w", name, err)
			}
			all[name] = one
		}
	default:
		return tftypes.Value{}, fmt.Errorf("an object for %s", t)
	}
	return tftypes.NewValue(t, all), nil
}

// empty is a value that is not there: no blocks, or null.
func empty(t tftypes.Type) tftypes.Value {
	switch c := t.(type) {
	case tftypes.List:
		if c.ElementType.Is(tftypes.Object{}) {
			return tftypes.NewValue(t, []tftypes.Value{})
		}
	case tftypes.Set:
		if c.ElementType.Is(tftypes.Object{}) {
			return tftypes.NewValue(t, []tftypes.Value{})
		}
	}
	return tftypes.NewValue(t, nil)
}

// with returns an object with other fields: changes replace those that they have, and what is unknown after that is null.
func with(object tftypes.Value, changes resources.Props) (tftypes.Value, error) {
	t, isObject := object.Type().(tftypes.Object)
	if !isObject {
		return object, fmt.Errorf("not an object: %s", object.Type())
	}
	fields := map[string]tftypes.Value{}
	if !object.IsNull() {
		if err := object.As(&fields); err != nil {
			return object, fmt.Errorf("reading an object: %w", err)
		}
	}
	all := map[string]tftypes.Value{}
	for name, kind := range t.AttributeTypes {
		field, found := fields[name]
		if !found || !field.IsFullyKnown() {
			field = empty(kind)
		}
		if change, changed := changes[name]; changed {
			var err error
			if field, err = encode(kind, change); err != nil {
				return object, fmt.Errorf("%s: %w", name, err)
			}
		}
		all[name] = field
	}
	return tftypes.NewValue(t, all), nil
}

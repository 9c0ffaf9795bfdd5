package attribute

import (
	"errors"
	"slices"
	"strings"
)

const (
	maxNesting    = 32     // "Quotas in Amazon DynamoDB", nested attribute depth; an item's attribute is level 1
	maxNameLength = 65_535 // "Supported data types and naming rules in Amazon DynamoDB"
)

// ValidationError is a breach of a rule: the text of the service's ValidationException.
type ValidationError string

func (e ValidationError) Error() string { return string(e) }

// Normalize brings the numbers of an item into the form in which DynamoDB returns them, and checks the rules that hold for
// any item. The error is a ValidationError.
func (it Item) Normalize() error { return it.normalize(0) }

// Normalize is Item.Normalize for one value.
func (v *Value) Normalize() error { return v.normalize(0) }

// normalize returns the breach of the first name in order, so that it is the same in each run. depth counts the lists and
// maps around the item: 31 of them may hold a value, the innermost of 32 must be empty.
func (it Item) normalize(depth int) error {
	var first string
	var problem error
	for name, v := range it {
		err := checkName(name)
		if err == nil {
			err = v.normalize(depth)
		}
		if err != nil && (problem == nil || name < first) {
			first, problem = name, err
		}
	}
	return problem
}

func checkName(name string) error {
	switch {
	case name == "":
		return ValidationError("One or more parameter values were invalid: An attribute name may not be empty") // the service's own text is not known
	case len(name) > maxNameLength:
		return ValidationError("One or more parameter values were invalid: Attribute name is too large, must be less than 65536 bytes")
	}
	return nil
}

// normalize enforces "AttributeValue" (API reference).
func (v *Value) normalize(depth int) error {
	if depth >= maxNesting {
		return ValidationError("1 validation error detected: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
	}
	switch v.members() {
	case 0:
		return ValidationError("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case 1:
	default:
		return ValidationError("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	switch v.Type() {
	case "N":
		return normalNumber(v.N)
	case "NULL":
		if !*v.NULL {
			return ValidationError("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
	case "SS":
		return checkSet("string", v.SS)
	case "NS":
		for i := range v.NS {
			if err := normalNumber(&v.NS[i]); err != nil {
				return err
			}
		}
		return checkSet("number", v.NS)
	case "BS":
		var texts []string
		for _, b := range v.BS {
			texts = append(texts, string(b))
		}
		return checkSet("binary", texts)
	case "L":
		for _, e := range v.L {
			if err := e.normalize(depth + 1); err != nil {
				return err
			}
		}
	case "M":
		return v.M.normalize(depth + 1)
	}
	return nil
}

// members counts the members that are set.
func (v *Value) members() int {
	if v == nil {
		return 0
	}
	n := 0
	for _, set := range [...]bool{v.S != nil, v.N != nil, v.B != nil, v.BOOL != nil, v.NULL != nil, v.SS != nil, v.NS != nil, v.BS != nil, v.L != nil, v.M != nil} {
		if set {
			n++
		}
	}
	return n
}

// normalNumber replaces a number by its normal form. The common case, an integer in that form, costs nothing.
func normalNumber(s *string) error {
	if n := len(*s); n > 0 && n <= 38 && (*s)[0] >= '1' && (*s)[0] <= '9' && allDigits(*s) {
		return nil
	}
	n, err := parseNumber(*s)
	switch {
	case err == nil:
		*s = n.String()
	case errors.Is(err, errNotNumber) && *s != "":
		return errNotNumber + ValidationError(": "+*s)
	}
	return err
}

func checkSet(kind string, set []string) error {
	if len(set) == 0 {
		return ValidationError("One or more parameter values were invalid: An " + kind + " set  may not be empty")
	}
	distinct := slices.Clone(set)
	slices.Sort(distinct)
	switch {
	case len(slices.Compact(distinct)) == len(set):
		return nil
	case kind == "number":
		return ValidationError("Input collection contains duplicates")
	}
	return ValidationError("One or more parameter values were invalid: Input collection [" + strings.Join(set, ", ") + "] contains duplicates.")
}

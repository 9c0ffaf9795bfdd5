package deployments

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const terraformModule = "terraform"

// terraformDocs is what terraform-docs reads from the module.
type terraformDocs struct {
	Inputs  []struct{ Name, Type, Description string }
	Outputs []struct{ Name, Description string }
}

func readTerraformModule(t *testing.T) (docs terraformDocs) {
	t.Helper()
	stdout := command{}.must(t, tool(t, "terraform-docs"), "json", "--lockfile=false", "--output-file=", terraformModule)
	if err := json.Unmarshal([]byte(stdout), &docs); err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestTerraformReadmeIsUpToDate(t *testing.T) {
	stdout, stderr, err := command{}.run(t, tool(t, "terraform-docs"), "--output-check", terraformModule)
	if err != nil {
		t.Errorf("%v: run make docs\n%s%s", err, stdout, stderr)
	}
}

// inputs returns the module's inputs as paths: billing, billing.mode and so on.
func (d terraformDocs) inputs() (paths []string) {
	attribute := regexp.MustCompile(`(?m)^ *([a-z_]+) *= `)
	for _, in := range d.Inputs {
		paths = append(paths, in.Name)
		if strings.HasPrefix(in.Type, "object(") {
			for _, found := range attribute.FindAllStringSubmatch(in.Type, -1) {
				paths = append(paths, in.Name+"."+found[1])
			}
		}
	}
	return paths
}

// The Pulumi component and the module are one interface in two languages.
func TestTerraformHasThePulumiComponentsInputs(t *testing.T) {
	structs := pulumiStructs(t, "args.go", "objects.go", "service.go")
	want := slices.Concat(paths(structs, "Args", ""), []string{"service"}, paths(structs, "ServiceArgs", "service."))
	if len(want) < 50 {
		t.Fatalf("only %d arguments were found in the Pulumi component: %v", len(want), want)
	}
	// Where the two differ, and why.
	want = without(want, "import_table", "table_aliases") // import blocks and state mv
	want = append(want, "name")                           // Pulumi names resources by itself
	got := readTerraformModule(t).inputs()
	compareNames(t, "input", got, want)
}

func TestTerraformHasThePulumiStacksOutputs(t *testing.T) {
	var want []string
	inspect(t, "pulumi/predcache/program.go", func(n ast.Node) {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 2 {
			if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Export" {
				want = append(want, literals(call.Args[0])...)
			}
		}
	})
	inspect(t, "pulumi/predcache/cache.go", func(n ast.Node) {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "Outputs" {
			want = append(want, literals(f)...)
		}
	})
	if len(want) < 15 {
		t.Fatalf("only %d outputs were found in the Pulumi stack: %v", len(want), want)
	}
	var got []string
	for _, out := range readTerraformModule(t).Outputs {
		got = append(got, out.Name)
		if out.Description == "" {
			t.Errorf("the output %s has no description", out.Name)
		}
	}
	compareNames(t, "output", got, want)
}

func compareNames(t *testing.T, kind string, got, want []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("the module lacks the %s %s, which the Pulumi component has", kind, name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("the module has the %s %s, which the Pulumi component lacks", kind, name)
		}
	}
}

// pulumiStructs are the fields of the component's structs with a JSON name: that name, and the type's name without a pointer.
func pulumiStructs(t *testing.T, files ...string) map[string][][2]string {
	t.Helper()
	structs := map[string][][2]string{}
	for _, file := range files {
		inspect(t, "pulumi/predcache/"+file, func(n ast.Node) {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return
			}
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				return
			}
			for _, field := range s.Fields.List {
				if field.Tag == nil {
					continue
				}
				tag, err := strconv.Unquote(field.Tag.Value)
				if err != nil {
					t.Fatal(err)
				}
				kind := field.Type
				if pointer, ok := kind.(*ast.StarExpr); ok {
					kind = pointer.X
				}
				name, _ := kind.(*ast.Ident)
				if json := reflect.StructTag(tag).Get("json"); json != "" && name != nil {
					structs[spec.Name.Name] = append(structs[spec.Name.Name], [2]string{json, name.Name})
				} else if json != "" {
					structs[spec.Name.Name] = append(structs[spec.Name.Name], [2]string{json, ""})
				}
			}
		})
	}
	return structs
}

// paths are the names of a struct's fields, and of its structs' fields, in snake_case.
func paths(structs map[string][][2]string, name, prefix string) (list []string) {
	for _, field := range structs[name] {
		path := prefix + snake(field[0])
		list = append(list, path)
		if _, nested := structs[field[1]]; nested {
			list = append(list, paths(structs, field[1], path+".")...)
		}
	}
	return list
}

// snake writes a camelCase name in snake_case.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func without(list []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return slices.Contains(names, name) })
}

// literals are the strings in a piece of code.
func literals(n ast.Node) (list []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, _ := strconv.Unquote(literal.Value)
			list = append(list, text)
		}
		return true
	})
	return list
}

// inspect calls a function for every node of a file.
func inspect(t *testing.T, path string, f func(ast.Node)) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(path), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if n != nil {
			f(n)
		}
		return true
	})
}

package deployments

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid, Effect string
	Action      []string
	Resource    string
	Condition   map[string]any
}

// names are what the placeholders of the policies stand for, in tests.
var names = map[string]string{
	"QueueArn":           "arn:aws:sqs:us-east-1:123456789012:predictions",
	"RejectQueueArn":     "arn:aws:sqs:us-east-1:123456789012:rejects",
	"DeadLetterQueueArn": "arn:aws:sqs:us-east-1:123456789012:dead-letters",
	"TableArn":           "arn:aws:dynamodb:us-east-1:123456789012:table/predictions",
	"AnyQueueArn":        "arn:aws:sqs:us-east-1:123456789012:predictions",
	"ObjectsQueueArn":    "arn:aws:sqs:us-east-1:123456789012:objects",
	"BucketArn":          "arn:aws:s3:::batch-outputs",
	"BucketOwner":        "123456789012",
	"ObjectsPrefix":      "scores/",
	"ObjectsKeyArn":      "arn:aws:kms:us-east-1:123456789012:key/4321abcd-12ab-34cd-56ef-1234567890ab",
	"KeyArn":             "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
}

func policyText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("pulumi/policies/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return os.Expand(string(text), func(name string) string {
		value, found := names[name]
		if !found {
			t.Errorf("a policy has the unknown placeholder %s", name)
		}
		return value
	})
}

func readPolicy(t *testing.T, name string) (p policy) {
	t.Helper()
	if err := json.Unmarshal([]byte(policyText(t, name)), &p); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// actions are what policies allow altogether, but for those of a key, which AWS calls itself.
func actions(t *testing.T, policies ...string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, name := range policies {
		for _, s := range readPolicy(t, name).Statement {
			for _, a := range s.Action {
				all[a] = true
			}
		}
	}
	return all
}

func TestPoliciesPassParliament(t *testing.T) {
	files, err := filepath.Glob("pulumi/policies/*.json")
	if err != nil || len(files) < 16 {
		t.Fatalf("%d policies, %v", len(files), err)
	}
	readme, err := os.ReadFile("pulumi/policies/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := command{stdin: policyText(t, name)}.run(t, tool(t, "parliament"))
			if err != nil || strings.TrimSpace(stdout) != "" {
				t.Errorf("parliament: %v\n%s%s", err, stdout, stderr)
			}
			if !strings.Contains(string(readme), "`"+name+".json`") {
				t.Error("README.md doesn't name it")
			}
			for _, s := range readPolicy(t, name).Statement {
				if name == "queue-tls" { // the only one that forbids, so it is wide
					if s.Effect != "Deny" || !reflect.DeepEqual(s.Condition, map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}) {
						t.Errorf("%s: %s if %v", s.Sid, s.Effect, s.Condition)
					}
					continue
				}
				if s.Effect != "Allow" {
					t.Errorf("%s: effect %s", s.Sid, s.Effect)
				}
				for _, a := range s.Action {
					if strings.Contains(a, "*") || s.Resource == "*" && a != "cloudwatch:GetMetricData" {
						t.Errorf("%s: %s on %s is too wide", s.Sid, a, s.Resource)
					}
				}
			}
		})
	}
}

// operations are those of the SDK's clients, by the action that permits them.
func operations() map[string]string {
	all := map[string]string{}
	add := func(service string, client reflect.Type) {
		for i := range client.NumMethod() {
			name := client.Method(i).Name
			all[name] = service + ":" + name
			// SQS's batches need the action of the single call.
			if single, batch := strings.CutSuffix(name, "Batch"); batch && service == "sqs" {
				all[name] = "sqs:" + single
			}
		}
	}
	add("sqs", reflect.TypeFor[*sqs.Client]())
	add("dynamodb", reflect.TypeFor[*dynamodb.Client]())
	// S3's actions are not called as its operations are ("Required permissions for Amazon S3 API operations").
	all["GetObject"], all["ListObjectsV2"] = "s3:GetObject", "s3:ListBucket"
	delete(all, "Options")
	return all
}

// called are the actions that the code of a folder needs, each with a place where it is called: methods of the SDK's clients,
// called with a context and an input, and operations that are named in a string, as a call without the SDK does.
func called(t *testing.T, folder string) map[string]string {
	t.Helper()
	known, found := operations(), map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			// Fakes answer calls and make none.
			if d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test") && path != folder {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			name := ""
			switch n := n.(type) {
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) >= 2 {
					name = s.Sel.Name
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					text, _ := strconv.Unquote(n.Value)
					name = text[strings.LastIndex(text, ".")+1:]
				}
			}
			if action := known[name]; action != "" && found[action] == "" {
				found[action] = files.Position(n.Pos()).String()
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// China's services are called by another domain, and keys see the service by it ("kms:ViaService", AWS KMS Developer Guide).
func TestKeyPoliciesWorkInChina(t *testing.T) {
	files, err := filepath.Glob("pulumi/policies/*-key.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d policies, %v", len(files), err)
	}
	for _, file := range files {
		for _, s := range readPolicy(t, strings.TrimSuffix(filepath.Base(file), ".json")).Statement {
			services, _ := at(s.Condition, "StringLike", "kms:ViaService").([]any)
			if len(services) == 0 {
				t.Errorf("%s, %s: by any service", file, s.Sid)
			}
			for _, service := range services {
				if name, _, china := strings.Cut(service.(string), ".cn"); !china && !slices.Contains(services, any(name+".cn")) {
					t.Errorf("%s, %s: %s, and not in China", file, s.Sid, service)
				}
			}
		}
	}
}

func TestPoliciesAllowJustWhatTheCodeCalls(t *testing.T) {
	for _, c := range []struct {
		name     string
		folders  []string
		policies []string
	}{
		{"the worker and its commands", []string{"../cmd", "../internal"}, []string{"worker", "worker-rejects", "worker-newest", "worker-deletes", "worker-objects", "worker-objects-read", "erase", "redrive", "redrive-dead-letters"}},
		{"readers and publishers", []string{"../cache"}, []string{"reader", "publisher"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := map[string]string{}
			for _, folder := range c.folders {
				if _, err := os.Stat(folder); err != nil {
					t.Fatalf("%s: %v", folder, err)
				}
				for action, place := range called(t, folder) {
					calls[action] = place
				}
			}
			allowed := actions(t, c.policies...)
			// The worker's own commands read too: worker get, worker warm.
			optional := map[string]bool{}
			if slices.Contains(c.folders, "../cmd") {
				optional = actions(t, "reader", "publisher")
				optional["dynamodb:Scan"] = true // worker check compares the sort unit where it may
			}
			for action, place := range calls {
				t.Logf("%-32s called at %s", action, place)
				if !allowed[action] && !optional[action] {
					t.Errorf("%s is called at %s, and no policy of %v allows it", action, place, c.policies)
				}
			}
			delete(allowed, "s3:GetObjectVersion") // GetObject needs it for a version
			for action := range allowed {
				if calls[action] == "" {
					t.Errorf("%s is allowed by one of %v, and nothing calls it", action, c.policies)
				}
			}
		})
	}
}

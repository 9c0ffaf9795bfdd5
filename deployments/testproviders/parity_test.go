package testproviders

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/predcache/predcache/deployments/pulumi/predcache"
	"github.com/predcache/predcache/deployments/testproviders/schemas"
)

// A scenario has the inputs of both stacks, under the names of the Pulumi component.
type scenario struct{ name, cache, service string }

// Together they set every option: see TestScenariosSetEveryOption.
var scenarios = []scenario{
	{"versioned", `{}`, ``},
	{"expiry-sorted", `{"layout": "expiry-sorted", "tableName": "cache-4f2a", "deletionProtection": true, "pointInTimeRecovery": true, "tags": {"team": "ml"},
		"billing": {"mode": "on-demand", "maxWriteUnits": 2000}, "queue": {"visibilitySeconds": 120, "retentionDays": 4, "maxReceives": 100}}`, ``},
	{"latest-only", `{"layout": "latest-only", "hashKey": "id", "hashKeyType": "N", "queue": {"noRejectQueue": true}, "redrive": true, "scaler": true,
		"billing": {"mode": "provisioned", "minReadUnits": 5, "maxReadUnits": 50, "minWriteUnits": 10, "maxWriteUnits": 100, "targetUtilization": 60},
		"workerSettings": {"WORKER_ORDERING": "newest", "WORKER_DELETES": "remove"}}`, ``},
	{"everything", `{"sortKey": "at", "keyArn": "arn:aws:kms:eu-west-1:000000000000:key/1", "podIdentity": true, "redrive": true, "scaler": true,
		"objects": {"prefixes": ["scores/daily/", "scores/hourly", "forecasts"], "bucketOwner": "111111111111", "keyArns": ["arn:aws:kms:eu-west-1:000000000000:key/2"], "maxAgeSeconds": 600},
		"alarms": {"topics": ["arn:aws:sns:eu-west-1:000000000000:oncall", "arn:aws:sns:eu-west-1:000000000000:audit"], "maxAgeSeconds": 120}, "dashboard": true,
		"workerSettings": {"WORKER_TTL": "12h", "WORKER_METRICS": "emf"}}`,
		`{"image": "registry.example/predcache@sha256:1", "region": "eu-west-1", "vpcId": "vpc-1", "subnets": ["subnet-a", "subnet-b"]}`},
	{"service", `{"workerSettings": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "WORKER_DRAIN_TIMEOUT": "40s", "GOGC": "200"}}`,
		`{"image": "registry.example/predcache:1", "region": "eu-west-1", "subnets": ["subnet-a"], "securityGroups": ["sg-1"], "clusterName": "shared", "assignPublicIp": true,
		"architecture": "X86_64", "cpu": 2048, "memory": 4096, "minTasks": 2, "maxTasks": 20, "messagesPerTask": 1000, "onDemandTasks": 2, "spotShare": 40, "logDays": 7}`},
	{"sidecars", `{"workerSettings": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}}`,
		`{"image": "registry.example/predcache:1", "region": "eu-west-1", "vpcId": "vpc-1", "subnets": ["subnet-a"],
		"secrets": {"OTEL_EXPORTER_OTLP_HEADERS": "arn:aws:ssm:eu-west-1:000000000000:parameter/otlp", "OTEL_TOKEN": "arn:aws:secretsmanager:eu-west-1:000000000000:secret:otlp-1:token::"},
		"secretKeyArns": ["arn:aws:kms:eu-west-1:000000000000:key/3"], "taskPolicyArns": ["arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess", "arn:aws:iam::000000000000:policy/more"],
		"sidecars": [{"name": "collector", "image": "registry.example/collector:1", "memory": 256, "environment": [{"name": "LEVEL", "value": "info"}],
			"secrets": [{"name": "KEY", "valueFrom": "arn:aws:ssm:eu-west-1:000000000000:parameter/collector"}]}, {"name": "second", "image": "registry.example/second:1", "essential": true}]}`},
}

// The Pulumi component and the Terraform module make the same resources of the same inputs, with the same properties.
func TestBothStacksMakeTheSame(t *testing.T) {
	all, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	made := terraform(t, scenarios)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			tf := made[s.name]
			theirs, outputs := pulumi(t, s, tf.names())
			left, right := egress(tf.resources), egress(theirs)
			for _, key := range slices.Sorted(maps.Keys(union(left, right))) {
				a, b := left[key], right[key]
				if a == nil || b == nil {
					t.Errorf("%s: in Terraform %v, in Pulumi %v", key, a != nil, b != nil)
					continue
				}
				kind, _, _ := strings.Cut(key, " ")
				equal, differ := compare(all.Resources[kind], a, b)
				for _, d := range differ {
					t.Errorf("%s: %s", key, d)
				}
				t.Logf("%s: %s", key, strings.Join(equal, ", "))
			}
			if _, differ := compare(schemas.Block{}, tf.outputs, outputs); len(differ) > 0 {
				t.Errorf("outputs: %s", strings.Join(differ, "; "))
			}
		})
	}
}

// TestScenariosSetEveryOption has the comparison grow with the component. Adoption has its own tests.
func TestScenariosSetEveryOption(t *testing.T) {
	set := map[string]bool{"cache.importTable": true, "cache.tableAliases": true}
	for _, s := range scenarios {
		for prefix, options := range map[string]string{"cache": s.cache, "service": s.service} {
			var values any
			if options == "" {
				continue
			}
			if err := json.Unmarshal([]byte(options), &values); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			walk(prefix, values, func(path string) { set[path] = true })
		}
	}
	for _, path := range append(fields("cache", reflect.TypeFor[predcache.Args]()), fields("service", reflect.TypeFor[predcache.ServiceArgs]())...) {
		if !set[path] {
			t.Errorf("no scenario sets %s", path)
		}
	}
}

// walk calls visit for each field in objects.
func walk(prefix string, values any, visit func(path string)) {
	object, _ := values.(map[string]any)
	for name, value := range object {
		visit(prefix + "." + name)
		walk(prefix+"."+name, value, visit)
	}
}

// fields returns the paths of the fields of a struct, and of those in it.
func fields(prefix string, t reflect.Type) (paths []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		path := prefix + "." + t.Field(i).Tag.Get("json")
		paths = append(append(paths, path), fields(path, t.Field(i).Type)...)
	}
	return paths
}

func union[V any](a, b map[string]V) map[string]V {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// egress returns the resources of a stack with the rules of its security group in one form: Terraform has a resource for each
// rule and address family, Pulumi lists them in the group.
func egress(made map[string]map[string]any) map[string]map[string]any {
	made = maps.Clone(made)
	const group = "aws_security_group worker"
	rules := []any{}
	add := func(rule map[string]any, protocol string, cidr any) {
		rules = append(rules, map[string]any{"protocol": rule[protocol], "from": rule["from_port"], "to": rule["to_port"], "cidr": cidr})
	}
	for _, key := range slices.Sorted(maps.Keys(made)) {
		rule := made[key]
		if !strings.HasPrefix(key, "aws_vpc_security_group_egress_rule ") {
			continue
		}
		for _, family := range []string{"cidr_ipv4", "cidr_ipv6"} {
			if rule[family] != nil {
				add(rule, "ip_protocol", rule[family])
			}
		}
		delete(made, key)
	}
	listed, _ := made[group]["egress"].([]any)
	for _, rule := range listed {
		rule := rule.(map[string]any)
		for _, family := range []string{"cidr_blocks", "ipv6_cidr_blocks"} {
			for _, cidr := range rule[family].([]any) {
				add(rule, "protocol", cidr)
			}
		}
	}
	if made[group] != nil {
		made[group] = maps.Clone(made[group])
		made[group]["egress"] = rules
	}
	return made
}

// apart are the arguments that only one of the tools has for what both make. Each tool has its own way to make up names.
var apart = []string{"name_prefix", "force_new_deployment"}

// compare returns the properties that are equal, and how the others differ.
func compare(b schemas.Block, terraform, pulumi map[string]any) (equal, differ []string) {
	for _, name := range slices.Sorted(maps.Keys(union(terraform, pulumi))) {
		if slices.Contains(apart, name) {
			continue
		}
		left, right := plain(b, name, terraform[name]), plain(b, name, pulumi[name])
		if reflect.DeepEqual(left, right) {
			equal = append(equal, name)
		} else {
			differ = append(differ, fmt.Sprintf("%s is %s in Terraform, %s in Pulumi", name, text(left), text(right)))
		}
	}
	return equal, differ
}

func text(v any) string {
	out, _ := json.Marshal(v)
	return string(out)
}

// plain returns a property in one form: JSON parsed, lists sorted where their order means nothing.
func plain(b schemas.Block, name string, value any) any {
	switch v := value.(type) {
	case string:
		var document any
		if !strings.HasPrefix(v, "{") && !strings.HasPrefix(v, "[") || json.Unmarshal([]byte(v), &document) != nil {
			return v
		}
		return policy(document)
	case map[string]any:
		out := map[string]any{}
		for key, element := range v {
			if p := plain(b.Blocks[name], key, element); !zero(p) {
				out[key] = p
			}
		}
		return out
	case []any:
		out := []any{}
		for _, element := range v {
			out = append(out, plain(b, name, element))
		}
		if b.IsSet(name) {
			slices.SortFunc(out, func(a, b any) int { return strings.Compare(text(a), text(b)) })
		}
		return out
	}
	if zero(value) {
		return nil
	}
	return value
}

// zero returns whether a property is as if it were not given.
func zero(v any) bool {
	if list, isList := v.([]any); isList {
		return len(list) == 0
	}
	return v == nil
}

// policy returns a document without what means nothing in an IAM policy: the order of its statements and actions, and whether
// one action is in a list ("IAM JSON policy elements reference").
func policy(document any) any {
	d, isObject := document.(map[string]any)
	statements, isPolicy := d["Statement"].([]any)
	if !isObject || !isPolicy {
		return document
	}
	for _, s := range statements {
		statement := s.(map[string]any)
		for _, name := range []string{"Action", "Resource"} {
			if statement[name] == nil {
				continue
			}
			list, isList := statement[name].([]any)
			if !isList {
				list = []any{statement[name]}
			}
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(text(a), text(b)) })
			statement[name] = list
		}
	}
	slices.SortFunc(statements, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	return d
}

// verbatim are the inputs whose fields the stacks don't know.
var verbatim = []string{"workerSettings", "tags", "secrets", "sidecars"}

// variables returns the inputs of the Pulumi component under the names of the module.
func variables(t *testing.T, s scenario) map[string]any {
	t.Helper()
	in := map[string]any{"name": s.name}
	if err := json.Unmarshal([]byte(s.cache), &in); err != nil {
		t.Fatal(err)
	}
	if s.service != "" {
		in["service"] = json.RawMessage(s.service)
	}
	var again map[string]any
	if err := json.Unmarshal([]byte(text(in)), &again); err != nil {
		t.Fatal(err)
	}
	return snake(again).(map[string]any)
}

var upper = regexp.MustCompile(`[A-Z]`)

// snake returns values with the names of their fields in snake case.
func snake(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			name := upper.ReplaceAllStringFunc(key, func(letter string) string { return "_" + strings.ToLower(letter) })
			if out[name] = value; !slices.Contains(verbatim, key) {
				out[name] = snake(value)
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = snake(v[i])
		}
	}
	return v
}

func TestMain(m *testing.M) {
	os.Setenv("AWS_REGION", "eu-west-1")
	os.Exit(m.Run())
}

package testproviders

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	sdk "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/predcache/predcache/deployments/pulumi/predcache"
	"github.com/predcache/predcache/deployments/testproviders/resources"
)

// A recorder takes the place of Pulumi's engine and its provider. It gives resources the names that they have in Terraform, so
// that what refers to them is equal too.
type recorder struct {
	kinds map[string]resources.Kind
	names map[string]string // by type and role

	mu   sync.Mutex
	made map[string]map[string]any
}

func (r *recorder) NewResource(args sdk.MockResourceArgs) (string, resource.PropertyMap, error) {
	if strings.HasPrefix(args.TypeToken, "predcache:") || strings.HasPrefix(args.TypeToken, "pulumi:") {
		return args.Name, args.Inputs, nil
	}
	kind := resources.PulumiType(args.TypeToken)
	if r.kinds[kind] == nil {
		return "", nil, fmt.Errorf("unknown resource type %s", args.TypeToken)
	}
	key := kind + " " + role(kind, args.Name)
	in := resources.FromPulumi(kind, args.Inputs.Mappable())
	if name := r.names[key]; name != "" {
		in[nameOf(kind)] = name
	}
	id, out, err := r.kinds[kind].Create(context.Background(), in)
	if err != nil {
		return "", nil, err
	}
	r.mu.Lock()
	r.made[key] = in
	r.mu.Unlock()
	all := resource.NewPropertyMapFromMap(resources.ToPulumi(in))
	for name, value := range resource.NewPropertyMapFromMap(resources.ToPulumi(out)) {
		all[name] = value
	}
	return id, all, nil
}

func (r *recorder) Call(args sdk.MockCallArgs) (resource.PropertyMap, error) {
	answers := map[string]map[string]any{
		"aws:index/getPartition:getPartition":           {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"},
		"aws:index/getRegion:getRegion":                 {"id": "eu-west-1", "name": "eu-west-1", "description": "eu-west-1", "endpoint": "ec2.eu-west-1.amazonaws.com"},
		"aws:index/getCallerIdentity:getCallerIdentity": {"id": resources.Account, "accountId": resources.Account, "arn": "arn:aws:iam::" + resources.Account + ":root", "userId": resources.Account},
	}
	if answer := answers[args.Token]; answer != nil {
		return resource.NewPropertyMapFromMap(answer), nil
	}
	return nil, fmt.Errorf("unexpected call of %s", args.Token)
}

// nameOf returns the argument that names a resource.
func nameOf(kind string) string {
	switch kind {
	case "aws_cloudwatch_metric_alarm":
		return "alarm_name"
	case "aws_cloudwatch_dashboard":
		return "dashboard_name"
	case "aws_ecs_task_definition":
		return "family"
	}
	return "name"
}

// role returns the name that the Terraform module has for a resource of the component.
func role(kind, name string) string {
	component, role, _ := strings.Cut(name, "-")
	switch kind {
	case "aws_dynamodb_table":
		return "predictions"
	case "aws_sqs_queue", "aws_sqs_queue_policy":
		if role == "queue" {
			role = "predictions"
		}
		if kind == "aws_sqs_queue_policy" {
			return "this/" + role
		}
		return strings.ReplaceAll(role, "-", "_")
	case "aws_sqs_queue_redrive_allow_policy":
		return strings.ReplaceAll(role, "-", "_")
	case "aws_cloudwatch_metric_alarm":
		return "this/" + role
	case "aws_cloudwatch_dashboard":
		return "this"
	case "aws_appautoscaling_target", "aws_appautoscaling_policy":
		if component == "worker" {
			return "service"
		}
		return "table/" + role
	}
	if role == "" {
		return component
	}
	if n, isMore := strings.CutPrefix(role, "task-"); isMore {
		return strings.TrimSuffix("task_more/"+n, "/0")
	}
	return role
}

// names returns the names of a stack's resources, by their types and roles.
func (s stack) names() map[string]string {
	names := map[string]string{}
	for key, in := range s.resources {
		kind, _, _ := strings.Cut(key, " ")
		names[key], _ = in[nameOf(kind)].(string)
	}
	return names
}

// pulumi declares a scenario by the components, and returns what is declared, and the outputs.
func pulumi(t *testing.T, s scenario, names map[string]string) (made map[string]map[string]any, outputs map[string]any) {
	t.Helper()
	var args predcache.Args
	if err := json.Unmarshal([]byte(s.cache), &args); err != nil {
		t.Fatal(err)
	}
	kinds, err := resources.Kinds(t.Context(), "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{kinds: kinds, names: names, made: map[string]map[string]any{}}
	outputs = map[string]any{}
	export := func(name string, value sdk.Input) {
		sdk.ToOutput(value).ApplyT(func(v any) any {
			r.mu.Lock()
			defer r.mu.Unlock()
			outputs[name] = v
			return v
		})
	}
	if err := sdk.RunErr(func(ctx *sdk.Context) error {
		c, err := predcache.New(ctx, "predictions", args)
		if err != nil {
			return err
		}
		for name, value := range c.Outputs() {
			export(name, value)
		}
		if s.service == "" {
			return nil
		}
		var service predcache.ServiceArgs
		if err := json.Unmarshal([]byte(s.service), &service); err != nil {
			return err
		}
		w, err := predcache.NewService(ctx, "worker", c, service)
		if err != nil {
			return err
		}
		export("service_name", w.Service.Name)
		export("task_definition_arn", w.TaskDefinition.Arn)
		export("log_group_name", w.LogGroup.Name)
		return nil
	}, sdk.WithMocks("predcache", "test", r)); err != nil {
		t.Fatal(err)
	}
	return r.made, plainMap(outputs)
}

// plainMap returns values as JSON has them.
func plainMap(in map[string]any) (out map[string]any) {
	if err := json.Unmarshal([]byte(text(in)), &out); err != nil {
		panic(err)
	}
	return out
}

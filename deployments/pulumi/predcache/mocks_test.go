package predcache

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// recorder takes the place of Pulumi's engine: it notes what is declared and makes up what AWS would answer.
type recorder struct {
	mu        sync.Mutex
	resources map[string]object                             // by type and name, as in "aws:sqs/queue:Queue predictions-queue"
	requests  map[string]*pulumirpc.RegisterResourceRequest // likewise; not kept where nil
	partition string                                        // of the queues; aws unless set
}

type object = map[string]any

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resources[args.TypeToken+" "+args.Name] = args.Inputs.Mappable()
	if r.requests != nil {
		r.requests[args.TypeToken+" "+args.Name] = args.RegisterRPC
	}
	out := args.Inputs.Copy()
	if _, named := out["name"]; !named {
		out["name"] = resource.NewStringProperty(args.Name)
	}
	kind := args.TypeToken[strings.LastIndex(args.TypeToken, ":")+1:]
	out["arn"] = resource.NewStringProperty(fmt.Sprintf("arn:aws:%s:::%s", strings.ToLower(kind), args.Name))
	if kind == "Queue" {
		out["arn"] = resource.NewStringProperty(fmt.Sprintf("arn:%s:sqs:eu-west-1:123456789012:%s", cmp.Or(r.partition, "aws"), args.Name))
	}
	out["url"] = resource.NewStringProperty("https://sqs.eu-west-1.amazonaws.com/123456789012/" + args.Name)
	return args.Name, out, nil
}

func (*recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return nil, fmt.Errorf("unexpected call of %s", args.Token)
}

// declare runs a program and returns what it declares, without the providers and components.
func declare(t *testing.T, program func(*pulumi.Context) error) map[string]object {
	t.Helper()
	return declareIn(t, "aws", program)
}

// declareIn declares in a partition.
func declareIn(t *testing.T, partition string, program func(*pulumi.Context) error) map[string]object {
	t.Helper()
	r := &recorder{resources: map[string]object{}, partition: partition}
	if err := pulumi.RunErr(program, pulumi.WithMocks("predcache", "test", r)); err != nil {
		t.Fatal(err)
	}
	return r.resources
}

// cache declares a Cache and returns what it declares, and its outputs.
func cache(t *testing.T, args Args) (resources map[string]object, outputs object) {
	t.Helper()
	outputs = object{}
	var mu sync.Mutex
	resources = declare(t, func(ctx *pulumi.Context) error {
		c, err := New(ctx, "predictions", args)
		if err != nil {
			return err
		}
		for name, value := range c.Outputs() {
			pulumi.ToOutput(value).ApplyT(func(v any) any {
				mu.Lock()
				defer mu.Unlock()
				outputs[name] = v
				return v
			})
		}
		return nil
	})
	return resources, outputs
}

// service declares the default Cache and a Service of it.
func service(t *testing.T, settings map[string]string, args ServiceArgs) map[string]object {
	t.Helper()
	return declare(t, func(ctx *pulumi.Context) error {
		c, err := New(ctx, "predictions", Args{WorkerSettings: settings})
		if err != nil {
			return err
		}
		_, err = NewService(ctx, "worker", c, args)
		return err
	})
}

// refusal is why a Cache can't be declared.
func refusal(args Args) string {
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		_, err := New(ctx, "predictions", args)
		return err
	}, pulumi.WithMocks("predcache", "test", &recorder{resources: map[string]object{}}))
	if err == nil {
		return ""
	}
	return err.Error()
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("%s is %s, want %s", what, g, w)
	}
}

func types(resources map[string]object) []string {
	var all []string
	for name := range maps.Keys(resources) {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

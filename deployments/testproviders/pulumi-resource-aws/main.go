// Command pulumi-resource-aws takes the place of Pulumi's AWS provider in the tests, since the real one can't be downloaded where
// they run. Tables and queues are made at the endpoints that the environment names (package resources); the other resources
// exist only in the stack's state. It is for tests alone.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/predcache/predcache/deployments/testproviders/resources"
)

func main() {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	kinds, err := resources.Kinds(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	pulumirpc.RegisterResourceProviderServer(s, &provider{kinds: kinds})
	fmt.Println(l.Addr().(*net.TCPAddr).Port) // what the engine waits for
	log.Fatal(s.Serve(l))
}

type provider struct {
	pulumirpc.UnimplementedResourceProviderServer
	kinds map[string]resources.Kind
}

// of returns the kind of a resource by its URN, and its type.
func (p *provider) of(u string) (resources.Kind, string, error) {
	token := string(urn.URN(u).Type())
	name := resources.PulumiType(token)
	if k := p.kinds[name]; k != nil {
		return k, name, nil
	}
	return nil, "", fmt.Errorf("this provider, which is for tests, has no %s", token)
}

func (*provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "6.83.4"}, nil
}

func (*provider) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.GetNews()}, nil
}

func (*provider) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (*provider) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{AcceptSecrets: false, SupportsPreview: true, AcceptResources: false, AcceptOutputs: false}, nil
}

func (*provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func unmarshal(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, SkipNulls: true})
}

func marshal(m resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, SkipNulls: true})
}

// unnamed are the types whose resources have no name that the provider could make up.
var unnamed = []string{
	"aws_appautoscaling_target", "aws_cloudwatch_dashboard", "aws_ecs_cluster_capacity_providers", "aws_ecs_task_definition",
	"aws_iam_role_policy_attachment", "aws_sqs_queue_policy", "aws_sqs_queue_redrive_allow_policy", "aws_sqs_queue_redrive_policy",
}

// Check names resources that have no name, and keeps the name that it gave before.
func (p *provider) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := unmarshal(r.GetNews())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(r.GetOlds())
	if err != nil {
		return nil, err
	}
	_, kind, err := p.of(r.GetUrn())
	if err != nil {
		return nil, err
	}
	if !news.HasValue("name") && !slices.Contains(unnamed, kind) {
		if olds.HasValue("name") {
			news["name"] = olds["name"]
		} else {
			suffix := make([]byte, 4)
			rand.Read(suffix)
			news["name"] = resource.NewStringProperty(urn.URN(r.GetUrn()).Name() + "-" + hex.EncodeToString(suffix)[:7])
		}
	}
	inputs, err := marshal(news)
	return &pulumirpc.CheckResponse{Inputs: inputs}, err
}

// Diff compares inputs. Keys and names can't be changed in place.
func (p *provider) Diff(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := unmarshal(r.GetOldInputs())
	if err != nil {
		return nil, err
	}
	news, err := unmarshal(r.GetNews())
	if err != nil {
		return nil, err
	}
	d := olds.Diff(news)
	if d == nil {
		return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
	}
	answer := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_SOME}
	for _, key := range d.ChangedKeys() {
		answer.Diffs = append(answer.Diffs, string(key))
		switch key {
		case "name", "hashKey", "rangeKey":
			answer.Replaces = append(answer.Replaces, string(key))
		}
	}
	return answer, nil
}

func (p *provider) Create(ctx context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	k, kind, err := p.of(r.GetUrn())
	if err != nil {
		return nil, err
	}
	in, err := unmarshal(r.GetProperties())
	if err != nil {
		return nil, err
	}
	out := in.Copy()
	if r.GetPreview() {
		for _, key := range []resource.PropertyKey{"arn", "url"} {
			out[key] = resource.MakeComputed(resource.NewStringProperty(""))
		}
		properties, err := marshal(out)
		return &pulumirpc.CreateResponse{Properties: properties}, err
	}
	id, more, err := k.Create(ctx, resources.FromPulumi(kind, in.Mappable()))
	if err != nil {
		return nil, err
	}
	properties, err := marshal(merge(out, more))
	return &pulumirpc.CreateResponse{Id: id, Properties: properties}, err
}

func merge(m resource.PropertyMap, more resources.Props) resource.PropertyMap {
	for key, value := range resource.NewPropertyMapFromMap(resources.ToPulumi(more)) {
		m[key] = value
	}
	return m
}

func (p *provider) Read(ctx context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	k, kind, err := p.of(r.GetUrn())
	if err != nil {
		return nil, err
	}
	in, err := unmarshal(r.GetInputs())
	if err != nil {
		return nil, err
	}
	now, more, err := k.Read(ctx, r.GetId(), resources.FromPulumi(kind, in.Mappable()))
	if err != nil || now == nil {
		return &pulumirpc.ReadResponse{}, err
	}
	inputs := resource.NewPropertyMapFromMap(resources.ToPulumi(now))
	answer := &pulumirpc.ReadResponse{Id: r.GetId()}
	if answer.Inputs, err = marshal(inputs); err != nil {
		return nil, err
	}
	answer.Properties, err = marshal(merge(inputs.Copy(), more))
	return answer, err
}

func (p *provider) Update(ctx context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	k, kind, err := p.of(r.GetUrn())
	if err != nil {
		return nil, err
	}
	in, err := unmarshal(r.GetNews())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(r.GetOlds())
	if err != nil {
		return nil, err
	}
	out := in.Copy()
	for _, key := range []resource.PropertyKey{"arn", "url"} {
		if olds.HasValue(key) {
			out[key] = olds[key]
		}
	}
	if !r.GetPreview() {
		if err := k.Update(ctx, r.GetId(), resources.FromPulumi(kind, in.Mappable())); err != nil {
			return nil, err
		}
	}
	properties, err := marshal(out)
	return &pulumirpc.UpdateResponse{Properties: properties}, err
}

func (p *provider) Delete(ctx context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	k, kind, err := p.of(r.GetUrn())
	if err != nil {
		return nil, err
	}
	in, err := unmarshal(r.GetProperties())
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, k.Delete(ctx, r.GetId(), resources.FromPulumi(kind, in.Mappable()))
}

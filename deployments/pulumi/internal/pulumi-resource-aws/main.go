// Command pulumi-resource-aws takes the place of Pulumi's AWS provider in the tests, which can't have the real one where nothing
// can be downloaded from its vendor. It makes tables and queues by the AWS SDK, at whatever endpoint the environment names, and
// reads them back; what else is declared it only notes. It is for tests alone.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

func main() {
	conf, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	kinds := map[string]kind{
		"aws:dynamodb/table:Table":                          tables{dynamodb.NewFromConfig(conf)},
		"aws:sqs/queue:Queue":                               queues{sqs.NewFromConfig(conf)},
		"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy":     attribute{sqs.NewFromConfig(conf), "redriveAllowPolicy", "RedriveAllowPolicy"},
		"aws:sqs/queuePolicy:QueuePolicy":                   attribute{sqs.NewFromConfig(conf), "policy", "Policy"},
		"aws:iam/policy:Policy":                             noted{},
		"aws:iam/role:Role":                                 noted{},
		"aws:iam/rolePolicyAttachment:RolePolicyAttachment": noted{},
		"aws:cloudwatch/metricAlarm:MetricAlarm":            noted{},
		"aws:appautoscaling/target:Target":                  noted{},
		"aws:appautoscaling/policy:Policy":                  noted{},
	}
	s := grpc.NewServer()
	pulumirpc.RegisterResourceProviderServer(s, &provider{kinds: kinds})
	fmt.Println(l.Addr().(*net.TCPAddr).Port) // what the engine waits for
	log.Fatal(s.Serve(l))
}

// props are a resource's properties. Their values are strings, float64s, bools, and lists and maps of them.
type props = map[string]any

// A kind makes resources of one type.
type kind interface {
	create(ctx context.Context, in props) (id string, out props, err error)
	// read returns what there is, in the form of the inputs; nil where there is nothing.
	read(ctx context.Context, id string, in props) (now props, out props, err error)
	update(ctx context.Context, id string, in props) (out props, err error)
	remove(ctx context.Context, id string) error
}

type provider struct {
	pulumirpc.UnimplementedResourceProviderServer
	kinds map[string]kind
}

func (p *provider) of(u string) (kind, error) {
	t := string(urn.URN(u).Type())
	if k := p.kinds[t]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("this provider, which is for tests, has no %s", t)
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

// Check names what has no name, and keeps the name that it gave before.
func (p *provider) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, err := unmarshal(r.GetNews())
	if err != nil {
		return nil, err
	}
	olds, err := unmarshal(r.GetOlds())
	if err != nil {
		return nil, err
	}
	if !news.HasValue("name") {
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
	k, err := p.of(r.GetUrn())
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
	id, more, err := k.create(ctx, in.Mappable())
	if err != nil {
		return nil, err
	}
	properties, err := marshal(merge(out, more))
	return &pulumirpc.CreateResponse{Id: id, Properties: properties}, err
}

func merge(m resource.PropertyMap, more props) resource.PropertyMap {
	for key, value := range resource.NewPropertyMapFromMap(more) {
		m[key] = value
	}
	return m
}

func (p *provider) Read(ctx context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	k, err := p.of(r.GetUrn())
	if err != nil {
		return nil, err
	}
	in, err := unmarshal(r.GetInputs())
	if err != nil {
		return nil, err
	}
	now, more, err := k.read(ctx, r.GetId(), in.Mappable())
	if err != nil || now == nil {
		return &pulumirpc.ReadResponse{}, err
	}
	inputs := resource.NewPropertyMapFromMap(now)
	answer := &pulumirpc.ReadResponse{Id: r.GetId()}
	if answer.Inputs, err = marshal(inputs); err != nil {
		return nil, err
	}
	answer.Properties, err = marshal(merge(inputs.Copy(), more))
	return answer, err
}

func (p *provider) Update(ctx context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	k, err := p.of(r.GetUrn())
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
		more, err := k.update(ctx, r.GetId(), in.Mappable())
		if err != nil {
			return nil, err
		}
		out = merge(out, more)
	}
	properties, err := marshal(out)
	return &pulumirpc.UpdateResponse{Properties: properties}, err
}

func (p *provider) Delete(ctx context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	k, err := p.of(r.GetUrn())
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, k.remove(ctx, r.GetId())
}

// noted is a kind that no stand-in is asked for.
type noted struct{}

func (noted) create(_ context.Context, in props) (string, props, error) {
	name := text(in, "name")
	return name, props{"arn": "arn:aws:iam::000000000000:noted/" + name}, nil
}

func (noted) read(_ context.Context, id string, in props) (props, props, error) {
	return in, props{"arn": "arn:aws:iam::000000000000:noted/" + id}, nil
}
func (noted) update(context.Context, string, props) (props, error) { return nil, nil }
func (noted) remove(context.Context, string) error                 { return nil }

// text and number read a property, or its zero.
func text(in props, path ...string) string {
	s, _ := dig(in, path).(string)
	return s
}

func number(in props, path ...string) int64 {
	f, _ := dig(in, path).(float64)
	return int64(f)
}

func truth(in props, path ...string) bool {
	b, _ := dig(in, path).(bool)
	return b
}

func dig(v any, path []string) any {
	for _, name := range path {
		m, _ := v.(props)
		v = m[name]
	}
	return v
}

// tags are AWS's tags of a resource.
func tags(in props) map[string]string {
	all := map[string]string{}
	m, _ := in["tags"].(props)
	for name, value := range m {
		all[name], _ = value.(string)
	}
	return all
}

func fromTags(all map[string]string) props {
	m := props{}
	for name, value := range all {
		if !strings.HasPrefix(name, "aws:") {
			m[name] = value
		}
	}
	return m
}

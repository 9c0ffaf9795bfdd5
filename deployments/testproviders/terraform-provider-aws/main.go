// Command terraform-provider-aws takes the place of Terraform's AWS provider in the tests, since provider registries can't be
// reached where they run. Its resources have the arguments of the real provider (package schemas) and refuse others. Tables and
// queues are made at the endpoints that the environment names (package resources); the other resources exist only in the
// state. It is for tests alone.
package main

import (
	"context"
	"log"
	"maps"
	"os"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/predcache/predcache/deployments/testproviders/resources"
	"github.com/predcache/predcache/deployments/testproviders/schemas"
)

func main() {
	all, err := schemas.Load()
	if err != nil {
		log.Fatal(err)
	}
	if err := providerserver.Serve(context.Background(), func() provider.Provider { return &awsProvider{schemas: all} }, providerserver.ServeOpts{
		Address: "registry.opentofu.org/hashicorp/aws", ProtocolVersion: 5,
	}); err != nil {
		log.Fatal(err)
	}
}

// version is that of the real provider whose arguments these are.
const version = "6.62.0"

type awsProvider struct{ schemas schemas.Schemas }

// settings are what resources need of the provider's configuration.
type settings struct {
	kinds       map[string]resources.Kind
	region      string
	defaultTags resources.Props
}

func (p *awsProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "aws", version
}

func (p *awsProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{}, Blocks: map[string]schema.Block{}}
	for name, kind := range p.schemas.Provider.Attributes {
		resp.Schema.Attributes[name] = providerAttribute(kind)
	}
	for name, b := range p.schemas.Provider.Blocks {
		resp.Schema.Blocks[name] = providerBlock(b)
	}
}

func (p *awsProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	in := decode(p.schemas.Provider, req.Config.Raw)
	region, _ := in["region"].(string)
	if region == "" {
		region = os.Getenv("AWS_REGION")
	}
	if region == "" {
		resp.Diagnostics.AddError("Invalid provider configuration", "invalid AWS Region: give region, or set AWS_REGION")
		return
	}
	kinds, err := resources.Kinds(ctx, region)
	if err != nil {
		resp.Diagnostics.AddError("Invalid provider configuration", err.Error())
		return
	}
	s := &settings{kinds: kinds, region: region}
	if list, _ := in["default_tags"].([]any); len(list) == 1 {
		s.defaultTags, _ = list[0].(resources.Props)["tags"].(resources.Props)
	}
	resp.ResourceData, resp.DataSourceData = s, s
}

func (p *awsProvider) Resources(context.Context) (all []func() resource.Resource) {
	for _, name := range slices.Sorted(maps.Keys(p.schemas.Resources)) {
		all = append(all, func() resource.Resource { return &awsResource{name: name, block: p.schemas.Resources[name]} })
	}
	return all
}

func (p *awsProvider) DataSources(context.Context) (all []func() datasource.DataSource) {
	for _, name := range slices.Sorted(maps.Keys(p.schemas.Data)) {
		all = append(all, func() datasource.DataSource { return &awsData{name: name, block: p.schemas.Data[name]} })
	}
	return all
}

package main

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"

	"github.com/predcache/predcache/deployments/testproviders/resources"
	"github.com/predcache/predcache/deployments/testproviders/schemas"
)

// An awsData is a data source whose answers are the same everywhere.
type awsData struct {
	name     string
	block    schemas.Block
	settings *settings
}

var _ datasource.DataSourceWithConfigure = &awsData{}

func (d *awsData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = d.name
}

func (d *awsData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = dataSchema(d.block)
}

func (d *awsData) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	d.settings, _ = req.ProviderData.(*settings)
}

func (d *awsData) Read(_ context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	region := d.settings.region
	answers := map[string]resources.Props{
		"aws_caller_identity": {
			"id": resources.Account, "account_id": resources.Account, "user_id": resources.Account, "arn": "arn:aws:iam::" + resources.Account + ":root",
		},
		"aws_partition": {"id": "aws", "partition": "aws", "dns_suffix": "amazonaws.com", "reverse_dns_prefix": "com.amazonaws"},
		"aws_region":    {"id": region, "name": region, "region": region, "endpoint": "ec2." + region + ".amazonaws.com", "description": region},
	}
	raw, err := with(req.Config.Raw, answers[d.name])
	if err != nil {
		resp.Diagnostics.AddError("Reading "+d.name, err.Error())
		return
	}
	resp.State.Raw = raw
}

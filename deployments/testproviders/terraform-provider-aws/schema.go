package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	datasource "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	provider "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resource "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/numberplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/predcache/predcache/deployments/testproviders/schemas"
)

// replaces are the arguments of each resource that can't be changed in place ("ForceNew"), of those that the module sets.
var replaces = map[string][]string{
	"aws_appautoscaling_policy":          {"name", "resource_id", "scalable_dimension", "service_namespace"},
	"aws_appautoscaling_target":          {"resource_id", "scalable_dimension", "service_namespace"},
	"aws_cloudwatch_dashboard":           {"dashboard_name"},
	"aws_cloudwatch_log_group":           {"name", "name_prefix"},
	"aws_cloudwatch_metric_alarm":        {"alarm_name"},
	"aws_dynamodb_table":                 {"name", "hash_key", "range_key"},
	"aws_ecs_cluster":                    {"name"},
	"aws_ecs_cluster_capacity_providers": {"cluster_name"},
	"aws_ecs_service":                    {"name", "cluster"},
	"aws_ecs_task_definition": {"container_definitions", "cpu", "execution_role_arn", "family", "memory", "network_mode",
		"requires_compatibilities", "task_role_arn"},
	"aws_iam_policy":                     {"description", "name", "name_prefix", "path"},
	"aws_iam_role":                       {"name", "name_prefix", "path"},
	"aws_iam_role_policy":                {"name", "role"},
	"aws_iam_role_policy_attachment":     {"policy_arn", "role"},
	"aws_security_group":                 {"description", "name", "name_prefix", "vpc_id"},
	"aws_sns_topic":                      {"name", "name_prefix"},
	"aws_sqs_queue":                      {"name", "name_prefix", "fifo_queue"},
	"aws_sqs_queue_policy":               {"queue_url"},
	"aws_sqs_queue_redrive_allow_policy": {"queue_url"},
	"aws_sqs_queue_redrive_policy":       {"queue_url"},
	"aws_vpc_security_group_egress_rule": {"security_group_id"},
}

// filled are the optional arguments that the provider fills in where they are not given.
var filled = []string{"id", "name", "region", "tags_all"}

// resourceSchema returns the schema of a resource.
func resourceSchema(name string, b schemas.Block) resource.Schema {
	s := resource.Schema{Attributes: map[string]resource.Attribute{}, Blocks: map[string]resource.Block{}}
	for attribute, kind := range b.Attributes {
		required := b.IsRequired(attribute)
		s.Attributes[attribute] = resourceAttribute(kind, flags{
			required: required, optional: !required, computed: !required && slices.Contains(filled, attribute), replace: slices.Contains(replaces[name], attribute),
		})
	}
	for attribute, kind := range b.Computed {
		s.Attributes[attribute] = resourceAttribute(kind, flags{computed: true})
	}
	for child, c := range b.Blocks {
		s.Blocks[child] = resourceBlock(c, b.IsRequired(child))
	}
	return s
}

type flags struct{ required, optional, computed, replace bool }

// elements are the types of attributes that are not collections.
var elements = map[string]attr.Type{"string": types.StringType, "number": types.NumberType, "bool": types.BoolType}

// collection splits a type like list(string).
func collection(kind string) (outer string, element attr.Type) {
	for _, outer := range []string{"list", "set", "map"} {
		for name, element := range elements {
			if kind == outer+"("+name+")" {
				return outer, element
			}
		}
	}
	return kind, nil
}

func resourceAttribute(kind string, f flags) resource.Attribute {
	switch outer, element := collection(kind); outer {
	case "number":
		a := resource.NumberAttribute{Required: f.required, Optional: f.optional, Computed: f.computed}
		if f.computed {
			a.PlanModifiers = []planmodifier.Number{numberplanmodifier.UseStateForUnknown()}
		}
		return a
	case "bool":
		a := resource.BoolAttribute{Required: f.required, Optional: f.optional, Computed: f.computed}
		if f.replace {
			a.PlanModifiers = []planmodifier.Bool{boolplanmodifier.RequiresReplace()}
		}
		return a
	case "list":
		return resource.ListAttribute{ElementType: element, Required: f.required, Optional: f.optional, Computed: f.computed}
	case "set":
		return resource.SetAttribute{ElementType: element, Required: f.required, Optional: f.optional, Computed: f.computed}
	case "map":
		a := resource.MapAttribute{ElementType: element, Required: f.required, Optional: f.optional, Computed: f.computed}
		if f.computed {
			a.PlanModifiers = []planmodifier.Map{mapplanmodifier.UseStateForUnknown()}
		}
		return a
	default:
		a := resource.StringAttribute{Required: f.required, Optional: f.optional, Computed: f.computed}
		if f.computed {
			a.PlanModifiers = append(a.PlanModifiers, stringplanmodifier.UseStateForUnknown())
		}
		if f.replace {
			a.PlanModifiers = append(a.PlanModifiers, stringplanmodifier.RequiresReplace())
		}
		return a
	}
}

func resourceBlock(b schemas.Block, required bool) resource.Block {
	attributes, blocks := map[string]resource.Attribute{}, map[string]resource.Block{}
	for name, kind := range b.Attributes {
		needed := b.IsRequired(name)
		attributes[name] = resourceAttribute(kind, flags{required: needed, optional: !needed})
	}
	for name, child := range b.Blocks {
		blocks[name] = resourceBlock(child, b.IsRequired(name))
	}
	n := number{max: b.Max}
	if required {
		n.min = 1
	}
	object := resource.NestedBlockObject{Attributes: attributes, Blocks: blocks}
	switch b.Nesting {
	case "single":
		return resource.SingleNestedBlock{Attributes: attributes, Blocks: blocks}
	case "set":
		return resource.SetNestedBlock{NestedObject: object, Validators: []validator.Set{n}}
	default:
		return resource.ListNestedBlock{NestedObject: object, Validators: []validator.List{n}}
	}
}

// number refuses too few or too many blocks.
type number struct{ min, max int }

func (n number) Description(context.Context) string {
	return fmt.Sprintf("at least %d blocks, and at most %d unless that is 0", n.min, n.max)
}

func (n number) MarkdownDescription(ctx context.Context) string { return n.Description(ctx) }

func (n number) refuses(blocks int) bool { return blocks < n.min || n.max > 0 && blocks > n.max }

func (n number) ValidateList(ctx context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	if !req.ConfigValue.IsUnknown() && n.refuses(len(req.ConfigValue.Elements())) {
		resp.Diagnostics.AddAttributeError(req.Path, "Wrong number of blocks", n.Description(ctx))
	}
}

func (n number) ValidateSet(ctx context.Context, req validator.SetRequest, resp *validator.SetResponse) {
	if !req.ConfigValue.IsUnknown() && n.refuses(len(req.ConfigValue.Elements())) {
		resp.Diagnostics.AddAttributeError(req.Path, "Wrong number of blocks", n.Description(ctx))
	}
}

func providerAttribute(kind string) provider.Attribute {
	switch outer, element := collection(kind); outer {
	case "number":
		return provider.NumberAttribute{Optional: true}
	case "bool":
		return provider.BoolAttribute{Optional: true}
	case "list":
		return provider.ListAttribute{ElementType: element, Optional: true}
	case "set":
		return provider.SetAttribute{ElementType: element, Optional: true}
	case "map":
		return provider.MapAttribute{ElementType: element, Optional: true}
	default:
		return provider.StringAttribute{Optional: true}
	}
}

func providerBlock(b schemas.Block) provider.Block {
	object := provider.NestedBlockObject{Attributes: map[string]provider.Attribute{}, Blocks: map[string]provider.Block{}}
	for name, kind := range b.Attributes {
		object.Attributes[name] = providerAttribute(kind)
	}
	for name, child := range b.Blocks {
		object.Blocks[name] = providerBlock(child)
	}
	if b.Nesting == "set" {
		return provider.SetNestedBlock{NestedObject: object}
	}
	return provider.ListNestedBlock{NestedObject: object}
}

func dataSchema(b schemas.Block) datasource.Schema {
	s := datasource.Schema{Attributes: map[string]datasource.Attribute{}, Blocks: map[string]datasource.Block{}}
	for name, kind := range b.Attributes {
		required := b.IsRequired(name)
		s.Attributes[name] = dataAttribute(kind, flags{required: required, optional: !required, computed: !required})
	}
	for name, kind := range b.Computed {
		s.Attributes[name] = dataAttribute(kind, flags{computed: true})
	}
	return s
}

func dataAttribute(kind string, f flags) datasource.Attribute {
	switch outer, element := collection(kind); outer {
	case "number":
		return datasource.NumberAttribute{Required: f.required, Optional: f.optional, Computed: f.computed}
	case "bool":
		return datasource.BoolAttribute{Required: f.required, Optional: f.optional, Computed: f.computed}
	case "list":
		return datasource.ListAttribute{ElementType: element, Required: f.required, Optional: f.optional, Computed: f.computed}
	case "set":
		return datasource.SetAttribute{ElementType: element, Required: f.required, Optional: f.optional, Computed: f.computed}
	case "map":
		return datasource.MapAttribute{ElementType: element, Required: f.required, Optional: f.optional, Computed: f.computed}
	default:
		return datasource.StringAttribute{Required: f.required, Optional: f.optional, Computed: f.computed}
	}
}

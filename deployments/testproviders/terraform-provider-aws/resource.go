package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/predcache/predcache/deployments/testproviders/resources"
	"github.com/predcache/predcache/deployments/testproviders/schemas"
)

// An awsResource is a resource type, whose schema is in package schemas and whose kind in package resources.
type awsResource struct {
	name     string
	block    schemas.Block
	settings *settings
}

var (
	_ resource.ResourceWithConfigure   = &awsResource{}
	_ resource.ResourceWithImportState = &awsResource{}
	_ resource.ResourceWithModifyPlan  = &awsResource{}
)

func (r *awsResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = r.name
}

func (r *awsResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = resourceSchema(r.name, r.block)
}

func (r *awsResource) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	r.settings, _ = req.ProviderData.(*settings)
}

func (r *awsResource) kind() resources.Kind { return r.settings.kinds[r.name] }

// decode returns what a kind takes: not the arguments that only Terraform knows.
func (r *awsResource) decode(v tftypes.Value) resources.Props {
	in := decode(r.block, v)
	delete(in, "tags")
	if all, tagged := in["tags_all"]; tagged {
		in["tags"] = all
	}
	for _, name := range schemas.Own {
		delete(in, name)
	}
	for name := range r.block.Computed {
		delete(in, name)
	}
	return in
}

// ModifyPlan fills in the tags, which are those of the resource over the default ones, and the region.
func (r *awsResource) ModifyPlan(_ context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.settings == nil {
		return
	}
	var fields map[string]tftypes.Value
	if err := req.Plan.Raw.As(&fields); err != nil {
		resp.Diagnostics.AddError("Reading the plan", err.Error())
		return
	}
	if all, tagged := fields["tags_all"]; tagged && fields["tags"].IsFullyKnown() {
		merged := maps.Clone(r.settings.defaultTags)
		if merged == nil {
			merged = resources.Props{}
		}
		own, _ := plain(fields["tags"]).(resources.Props)
		maps.Copy(merged, own)
		fields["tags_all"], _ = encode(all.Type(), merged)
	}
	if region, is := fields["region"]; is && (region.IsNull() || !region.IsKnown()) {
		fields["region"] = tftypes.NewValue(tftypes.String, r.settings.region)
	}
	resp.Plan.Raw = tftypes.NewValue(req.Plan.Raw.Type(), fields)
}

func (r *awsResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	in, out := r.decode(req.Plan.Raw), resources.Props{}
	if _, named := r.block.Attributes["name"]; named && in["name"] == nil {
		suffix := make([]byte, 13)
		rand.Read(suffix)
		prefix, _ := in["name_prefix"].(string)
		in["name"] = prefix + hex.EncodeToString(suffix)
		out["name"] = in["name"]
	}
	id, more, err := r.kind().Create(ctx, in)
	if err != nil {
		resp.Diagnostics.AddError("Creating "+r.name, err.Error())
		return
	}
	out["id"] = id
	maps.Copy(out, more)
	r.set(&resp.State.Raw, req.Plan.Raw, out, &resp.Diagnostics)
}

// set sets a state to another state or a plan with changes.
func (r *awsResource) set(state *tftypes.Value, from tftypes.Value, changes resources.Props, problems *diag.Diagnostics) {
	own := resources.Props{}
	for name, value := range changes {
		_, isAttribute := r.block.Attributes[name]
		_, isComputed := r.block.Computed[name]
		if _, isBlock := r.block.Blocks[name]; isAttribute || isComputed || isBlock {
			own[name] = value
		}
	}
	raw, err := with(from, own)
	if err != nil {
		problems.AddError("Writing the state of "+r.name, err.Error())
		return
	}
	*state = raw
}

func (r *awsResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var id types.String
	if resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("id"), &id)...); resp.Diagnostics.HasError() {
		return
	}
	now, out, err := r.kind().Read(ctx, id.ValueString(), r.decode(req.State.Raw))
	if err != nil {
		resp.Diagnostics.AddError("Reading "+r.name, err.Error())
		return
	}
	if now == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	changes := maps.Clone(now)
	if found, tagged := now["tags"].(resources.Props); tagged {
		changes["tags_all"], changes["tags"] = now["tags"], r.ownTags(found, decode(r.block, req.State.Raw))
	}
	changes["region"] = r.settings.region
	maps.Copy(changes, out)
	r.set(&resp.State.Raw, req.State.Raw, changes, &resp.Diagnostics)
}

// ownTags returns the tags without the default ones that the resource doesn't have itself.
func (r *awsResource) ownTags(found, state resources.Props) any {
	own := maps.Clone(found)
	declared, _ := state["tags"].(resources.Props)
	for name, value := range r.settings.defaultTags {
		if _, too := declared[name]; !too && own[name] == value {
			delete(own, name)
		}
	}
	if len(own) == 0 && declared == nil {
		return nil
	}
	return own
}

func (r *awsResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var id types.String
	if resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("id"), &id)...); resp.Diagnostics.HasError() {
		return
	}
	if err := r.kind().Update(ctx, id.ValueString(), r.decode(req.Plan.Raw)); err != nil {
		resp.Diagnostics.AddError("Changing "+r.name, err.Error())
		return
	}
	r.set(&resp.State.Raw, req.Plan.Raw, nil, &resp.Diagnostics)
}

func (r *awsResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var id types.String
	if resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("id"), &id)...); resp.Diagnostics.HasError() {
		return
	}
	if err := r.kind().Delete(ctx, id.ValueString(), r.decode(req.State.Raw)); err != nil {
		resp.Diagnostics.AddError("Deleting "+r.name, err.Error())
	}
}

// ImportState takes what exists into the state by its id. Resources that exist in the state alone can't be imported.
func (r *awsResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	now, _, err := r.kind().Read(ctx, req.ID, resources.Props{})
	if err == nil && len(now) == 0 {
		err = fmt.Errorf("cannot import non-existent remote object %s", req.ID)
	}
	if err != nil {
		resp.Diagnostics.AddError("Importing "+r.name, err.Error())
		return
	}
	resource.ImportStatePassthroughID(ctx, path.Root("id"), req, resp)
}

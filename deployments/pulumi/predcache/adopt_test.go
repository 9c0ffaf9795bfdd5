package predcache

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// adopted returns what Pulumi's engine is asked about the table.
func adopted(t *testing.T, args Args) *pulumirpc.RegisterResourceRequest {
	t.Helper()
	r := &recorder{resources: map[string]object{}, requests: map[string]*pulumirpc.RegisterResourceRequest{}}
	if err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		_, err := New(ctx, "predictions", args)
		return err
	}, pulumi.WithMocks("predcache", "test", r)); err != nil {
		t.Fatal(err)
	}
	return r.requests[table]
}

// The engine adopts tables. Here is what it is asked.
func TestAdoption(t *testing.T) {
	original := Args{Layout: ExpirySorted, TableName: "cache-4f2a"}
	if got := adopted(t, original); got.GetImportId() != "" || len(got.GetAliases())+len(got.GetAliasURNs()) != 0 {
		t.Errorf("a new table is adopted: %v", got)
	}
	imported := original
	imported.ImportTable = true
	same(t, "the import", adopted(t, imported).GetImportId(), "cache-4f2a")

	const urn = "urn:pulumi:production::original::aws:dynamodb/table:Table::cache"
	aliased := original
	aliased.TableAliases = []string{"predictionCache", urn}
	request := adopted(t, aliased)
	same(t, "the import", request.GetImportId(), "")
	if list := request.GetAliases(); len(list) != 2 || list[0].GetSpec().GetName() != "predictionCache" || !list[0].GetSpec().GetNoParent() || list[1].GetUrn() != urn {
		t.Errorf("the aliases are %v, %v", list, request.GetAliasURNs())
	}
}

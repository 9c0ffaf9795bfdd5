//go:build long

package testproviders

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"

	"github.com/predcache/predcache/deployments/pulumi/predcache"
)

// A table that was restored under another name takes the place of the stack's, as docs/day-two.md says. The stack keeps its
// queues, and the first table is there until its protection is lifted.
func TestRestoredTable(t *testing.T) {
	const restored = "predictions-restored"
	s, e := newSite(t), newEngine(t)
	stack := e.stack(t, scenario{"restored", `{}`, ""}, predcache.Program)
	before := up(t, stack)
	first := before["prediction_cache_table_name"].(string)
	s.protect(t, first, true)
	s.restore(t, restored)

	if err := stack.SetConfig(t.Context(), "predcache:cache", auto.ConfigValue{Value: fmt.Sprintf(`{"tableName": %q, "importTable": true}`, restored)}); err != nil {
		t.Fatal(err)
	}
	change, err := stack.Up(t.Context())
	if err == nil || !strings.Contains(err.Error(), "deleting") {
		t.Fatalf("the protected table was deleted: %v\n%s", err, change.StdOut)
	}
	values, err := stack.Outputs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after := map[string]any{}
	for name, v := range values {
		after[name] = v.Value
	}
	if after["prediction_cache_table_name"] != restored || !strings.Contains(fmt.Sprint(after["worker_environment"]), restored) {
		t.Errorf("the table is %v, the worker's settings %v", after["prediction_cache_table_name"], after["worker_environment"])
	}
	if after["queue_url"] != before["queue_url"] {
		t.Errorf("the queue is another: %v", after["queue_url"])
	}
	for _, name := range []string{first, restored} {
		if _, err := s.dynamodb.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.runWorker(t, after, false)

	s.protect(t, first, false)
	if change, err = stack.Up(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, change.StdOut)
	}
	s.isGone(t, before)
	if _, err := stack.Preview(t.Context(), optpreview.ExpectNoChanges()); err != nil {
		t.Errorf("the next preview: %v", err)
	}
	if _, err := stack.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// restore makes what RestoreTableToPointInTime makes of a versioned table, and sets what that leaves out.
func (s *site) restore(t *testing.T, name string) {
	t.Helper()
	made, err := s.dynamodb.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("predictionId"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("timestamp"), AttributeType: types.ScalarAttributeTypeN},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("predictionId"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("timestamp"), KeyType: types.KeyTypeRange}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.dynamodb.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dynamodb.TagResource(t.Context(), &dynamodb.TagResourceInput{ResourceArn: made.TableDescription.TableArn, Tags: []types.Tag{
		{Key: aws.String("Environment"), Value: aws.String("Production")}, {Key: aws.String("Purpose"), Value: aws.String("CachePredictionOutputs")},
	}}); err != nil {
		t.Fatal(err)
	}
}

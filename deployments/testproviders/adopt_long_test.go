//go:build long

package testproviders

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	pulumidynamodb "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	sdk "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/predcache/predcache/deployments/pulumi/predcache"
)

// original is a program that declares the table of the original system by hand, at its top level.
func original(ctx *sdk.Context) error {
	table, err := pulumidynamodb.NewTable(ctx, "predictionCache", &pulumidynamodb.TableArgs{
		HashKey: sdk.String("predictionId"), RangeKey: sdk.String("timestamp"), BillingMode: sdk.String("PAY_PER_REQUEST"),
		Attributes: pulumidynamodb.TableAttributeArray{
			pulumidynamodb.TableAttributeArgs{Name: sdk.String("predictionId"), Type: sdk.String("S")},
			pulumidynamodb.TableAttributeArgs{Name: sdk.String("timestamp"), Type: sdk.String("N")},
		},
		Ttl:  pulumidynamodb.TableTtlArgs{AttributeName: sdk.String("timestamp"), Enabled: sdk.Bool(true)},
		Tags: sdk.StringMap{"Environment": sdk.String("Production"), "Purpose": sdk.String("CachePredictionOutputs")},
	})
	if err != nil {
		return err
	}
	ctx.Export("prediction_cache_table_name", table.Name)
	return nil
}

// cached brings up a stack of the original program, puts an item into its table and protects it, and returns its name.
func (s *site) cached(t *testing.T, stack auto.Stack) string {
	t.Helper()
	name := up(t, stack)["prediction_cache_table_name"].(string)
	if _, err := s.dynamodb.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: map[string]types.AttributeValue{
		"predictionId": &types.AttributeValueMemberS{Value: "kept"}, "timestamp": &types.AttributeValueMemberN{Value: "4102444800"},
	}}); err != nil {
		t.Fatal(err)
	}
	s.protect(t, name, true)
	return name
}

// protect does what `aws dynamodb update-table --deletion-protection-enabled` does, or the reverse.
func (s *site) protect(t *testing.T, name string, enabled bool) {
	t.Helper()
	if _, err := s.dynamodb.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: &name, DeletionProtectionEnabled: &enabled}); err != nil {
		t.Fatal(err)
	}
}

// holdsItem fails the test unless the table has the item of cached. A table that was replaced would be empty.
func (s *site) holdsItem(t *testing.T, table string) {
	t.Helper()
	got, err := s.dynamodb.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil || len(got.Items) != 1 {
		t.Errorf("the table has lost its item: %v, %v", err, got)
	}
}

var configSet = regexp.MustCompile(`pulumi config set predcache:cache '((?s).*?)'\n`)

// documentedConfig returns the nth value of predcache:cache in README.md's section about adoption, for a table.
func documentedConfig(t *testing.T, n int, table, alias string) string {
	t.Helper()
	found := configSet.FindAllStringSubmatch(strings.ReplaceAll(section(t, "../pulumi/README.md"), `"'"$TABLE"'"`, `"$TABLE"`), -1)
	if len(found) <= n {
		t.Fatalf("the section has %d configurations", len(found))
	}
	return strings.NewReplacer("$TABLE", table, "RESOURCE_NAME", alias).Replace(found[n][1])
}

// section returns a page's section about adoption.
func section(t *testing.T, page string) string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(content), "\n## Adopting an existing table\n")
	if !found {
		t.Fatalf("%s has no section about adoption", page)
	}
	text, _, _ := strings.Cut(after, "\n## ")
	return text
}

// The stack of the original program gets this one.
func TestPulumiAdoptsTheTableOfItsOwnStack(t *testing.T) {
	s, e := newSite(t), newEngine(t)
	before := e.stack(t, scenario{"production", "{}", ""}, original)
	table := s.cached(t, before)
	after := e.stack(t, scenario{"production", documentedConfig(t, 0, table, "predictionCache"), ""}, predcache.Program)
	if name := up(t, after)["prediction_cache_table_name"]; name != table {
		t.Errorf("the stack has the table %v, want %s", name, table)
	}
	s.holdsItem(t, table)
	unchanged(t, after)
	s.protect(t, table, false)
	destroy(t, after)
}

// A new stack takes the table over from the original one, which then forgets it.
func TestPulumiImportsTheTableOfAnotherStack(t *testing.T) {
	s, e := newSite(t), newEngine(t)
	before := e.stack(t, scenario{"before", "{}", ""}, original)
	table := s.cached(t, before)

	// With other keys the import is refused. What can be changed in place is in the preview.
	config := documentedConfig(t, 1, table, "")
	other := e.stack(t, scenario{"other", strings.Replace(config, "expiry-sorted", "latest-only", 1), ""}, predcache.Program)
	if _, err := other.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "may not be replaced") {
		t.Errorf("the import of a table with other keys: %v", err)
	}
	s.holdsItem(t, table)
	ttl := e.stack(t, scenario{"ttl", strings.Replace(config, "expiry-sorted", "versioned", 1), ""}, predcache.Program)
	if changes := previewed(t, ttl); changes["import"] != 1 || changes["update"] != 1 {
		t.Errorf("the preview of another TTL attribute: %v", changes)
	}

	after := e.stack(t, scenario{"after", config, ""}, predcache.Program)
	if changes := previewed(t, after); changes["import"] != 1 || changes["update"]+changes["replace"]+changes["delete"] != 0 {
		t.Errorf("the preview of the import: %v", changes)
	}
	up(t, after)
	s.holdsItem(t, table)
	unchanged(t, after)

	e.forget(t, before, "urn:pulumi:before::predcache::aws:dynamodb/table:Table::predictionCache")
	destroy(t, before)
	s.holdsItem(t, table)
	s.protect(t, table, false)
	destroy(t, after)
}

func previewed(t *testing.T, stack auto.Stack) map[apitype.OpType]int {
	t.Helper()
	preview, err := stack.Preview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("preview: %v", preview.ChangeSummary)
	return preview.ChangeSummary
}

// forget runs `pulumi state delete`, after which the stack's end doesn't delete a resource.
func (e engine) forget(t *testing.T, stack auto.Stack, urn string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "pulumi", "state", "delete", "--yes", "--stack", stack.Name(), urn)
	cmd.Dir, cmd.Env = stack.Workspace().WorkDir(), os.Environ()
	for name, value := range e.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

var hclBlock = regexp.MustCompile("(?s)```hcl\n(.*?)```")

// documentedModule returns the HCL of the module's section about adoption, for a table and the module here.
func documentedModule(t *testing.T, table string) string {
	t.Helper()
	found := hclBlock.FindStringSubmatch(section(t, "../terraform/README.md"))
	if found == nil {
		t.Fatal("the section has no HCL")
	}
	source := regexp.MustCompile(`"git::[^"]*"`).ReplaceAllString(found[1], `"./repository/deployments/terraform"`)
	return strings.ReplaceAll(source, "predictions-4f2a", table)
}

// The module takes the table over from the original Pulumi stack, which then forgets it.
func TestTerraformImportsTheTableOfThePulumiStack(t *testing.T) {
	s, e := newSite(t), newEngine(t)
	before := e.stack(t, scenario{"before", "{}", ""}, original)
	table := s.cached(t, before)
	adopt := documentedModule(t, table)
	x := newTofu(t, map[string]string{"main.tf": adopt})
	x.run(t, "init", "-no-color")

	// What would replace the table says so in the plan.
	x.write(t, map[string]string{"main.tf": strings.Replace(adopt, "expiry-sorted", "latest-only", 1)})
	if plan := x.planned(t); !strings.HasPrefix(plan, "Plan: 1 to import") || !strings.HasSuffix(plan, " 1 to destroy.") {
		t.Errorf("the plan for another layout is %s", plan)
	}

	x.write(t, map[string]string{"main.tf": adopt})
	if plan := x.planned(t); !strings.HasPrefix(plan, "Plan: 1 to import, ") || !strings.HasSuffix(plan, " 0 to change, 0 to destroy.") {
		t.Errorf("the plan is %s", plan)
	}
	x.run(t, "apply", "-no-color", "-auto-approve")
	s.holdsItem(t, table)
	x.isUnchanged(t)
	e.forget(t, before, "urn:pulumi:before::predcache::aws:dynamodb/table:Table::predictionCache")
	destroy(t, before)
	s.holdsItem(t, table)

	// The import block has done its work.
	block := regexp.MustCompile(`(?s)import \{.*?\n\}\n`)
	x.write(t, map[string]string{"main.tf": block.ReplaceAllString(adopt, "")})
	x.isUnchanged(t)

	// The table outlives the state, and the command imports it as the block does.
	x.run(t, "state", "rm", "module.predcache.aws_dynamodb_table.predictions")
	x.run(t, "import", "-no-color", "module.predcache.aws_dynamodb_table.predictions", table)
	s.holdsItem(t, table)
	x.isUnchanged(t)

	s.protect(t, table, false)
	x.run(t, "destroy", "-no-color", "-auto-approve")
}

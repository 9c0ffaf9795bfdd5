package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
)

// A cache moves to a table of another layout, sort unit or key as docs/day-two.md says: both tables are fed, the old one is
// exported, and the export is warmed into the new one.
func TestMoveTable(t *testing.T) {
	for _, b := range backend.All(t) {
		for name, move := range map[string]struct {
			from, to item.Kind
			settings map[string]string
			keys     []string // of the new table, where they have other names
		}{
			"expiry-sorted to versioned": {item.ExpirySorted, item.Versioned, nil, nil},
			"versioned to latest-only":   {item.Versioned, item.LatestOnly, map[string]string{"WORKER_ORDERING": "newest"}, nil},
			"seconds to milliseconds":    {item.Versioned, item.Versioned, map[string]string{"WORKER_SORT_UNIT": "ms"}, nil},
			"keys of other names":        {item.ExpirySorted, item.Versioned, nil, []string{"id", "at"}},
		} {
			if b.Name != "fake" && move.keys == nil {
				continue // one on stand-ins, which take long
			}
			t.Run(b.Name+"/"+name, func(t *testing.T) {
				at := time.Now().Add(-time.Minute).Unix()
				old := newWire(t, b, move.from, item.TypeS, false)
				if move.from != item.Versioned {
					t.Setenv("WORKER_ORDERING", "newest") // for deletes
				}
				t.Setenv("WORKER_DELETES", "hide")
				old.publish(t,
					fmt.Sprintf(`{"predictionId":"a","timestamp":%d.25,"ttlSeconds":7200,"prediction":{"score":0.10},"model":"m-1"}`, at),
					fmt.Sprintf(`{"predictionId":"b","timestamp":%d,"prediction":"first"}`, at),
					fmt.Sprintf(`{"predictionId":"gone","timestamp":%d,"prediction":1}`, at),
					fmt.Sprintf(`{"predictionId":"gone","timestamp":%d,"deleted":true}`, at+1))
				old.consume(t)
				export := old.export(t)
				read := []string{old.payload(t, "a"), old.payload(t, "b")}

				moved := newWire(t, b, move.to, item.TypeS, false)
				for variable, value := range move.settings {
					t.Setenv(variable, value)
				}
				if move.keys != nil {
					moved.createTable(t, move.keys[0], move.keys[1])
				}
				// What is published meanwhile goes to both, and is not replaced by what is older.
				moved.publish(t, fmt.Sprintf(`{"predictionId":"b","timestamp":%d,"prediction":"newer"}`, at+2))
				moved.consume(t)
				bucket := newBucket(t, b, map[string]string{
					"AWSDynamoDB/0123-abcd/data/part.json.gz":    string(packed["gzip"](export)),
					"AWSDynamoDB/0123-abcd/manifest-files.json":  "{}",
					"AWSDynamoDB/0123-abcd/_started":             "",
					"AWSDynamoDB/another/data/not-this.json.zst": "no export",
				})
				out, err := runCommand(t, "warm", "s3://"+bucket+"/AWSDynamoDB/0123-abcd/data/")
				if err != nil {
					t.Fatalf("%s, %v", out, err)
				}
				if got := moved.payload(t, "a"); got != read[0] || got != `{"score":0.10}` {
					t.Errorf("a is %s, and was %s", got, read[0])
				}
				if got := moved.payload(t, "b"); got != `"newer"` || read[1] != `"first"` {
					t.Errorf("b is %s, and was %s", got, read[1])
				}
				if out, err := runCommand(t, "get", "gone"); err == nil {
					t.Errorf("what was deleted is there again: %s", out)
				}
				out, err = runCommand(t, "get", "a", "--json")
				end := time.Unix(at+7200, 0).UTC().Format(time.RFC3339)
				if err != nil || !strings.Contains(out, `"m-1"`) || !strings.Contains(out, end) {
					t.Errorf("a has lost its attributes or its end %s: %s, %v", end, out, err)
				}
				if out, err := runCommand(t, "check"); err != nil {
					t.Errorf("worker check: %v\n%s", err, out)
				}
			})
		}
	}
}

// export returns what ExportTableToPointInTime would write of the table, in DynamoDB JSON.
func (w *wire) export(t *testing.T) string {
	t.Helper()
	got, err := w.DynamoDB.Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, it := range got.Items {
		typed := map[string]any{}
		for name, value := range it {
			switch v := value.(type) {
			case *types.AttributeValueMemberS:
				typed[name] = map[string]any{"S": v.Value}
			case *types.AttributeValueMemberN:
				typed[name] = map[string]any{"N": v.Value}
			case *types.AttributeValueMemberBOOL:
				typed[name] = map[string]any{"BOOL": v.Value}
			default:
				t.Fatalf("%s is a %T", name, v)
			}
		}
		text, err := json.Marshal(map[string]any{"Item": typed})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(text, '\n'))
	}
	if strings.Count(lines.String(), "\n") < 3 {
		t.Fatalf("the old table has only\n%s", lines.String())
	}
	return lines.String()
}

// createTable makes a versioned table whose keys have these names, and has the worker use it.
func (w *wire) createTable(t *testing.T, hash, sort string) {
	t.Helper()
	w.table += "-renamed"
	if err := os.Setenv("WORKER_TABLE_NAME", w.table); err != nil { // newWire restores it
		t.Fatal(err)
	}
	if _, err := w.DynamoDB.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &w.table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &hash, AttributeType: types.ScalarAttributeTypeS}, {AttributeName: &sort, AttributeType: types.ScalarAttributeTypeN},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.DynamoDB.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &w.table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
}

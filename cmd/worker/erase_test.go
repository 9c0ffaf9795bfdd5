package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
)

func TestErase(t *testing.T) {
	for _, b := range backend.All(t) {
		for _, kind := range []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly} {
			for _, hash := range []item.KeyType{item.TypeS, item.TypeN} {
				t.Run(fmt.Sprint(b.Name, "/", kind, "/", hash), func(t *testing.T) {
					w := newWire(t, b, kind, hash, false)
					t.Setenv("WORKER_ORDERING", "newest")
					quote := func(id string) string {
						if hash == item.TypeS {
							return quoted(id)
						}
						return id
					}
					now := time.Now()
					for i := range 30 {
						for _, id := range []string{"1", "2", "3"} {
							w.publish(t, fmt.Sprintf(`{"predictionId":%s,"timestamp":%d,"prediction":{"secret":%d}}`, quote(id), now.Unix()-int64(i), i))
						}
					}
					w.consume(t)
					t.Setenv("WORKER_QUEUE_URL", "")

					out, err := runCommand(t, "erase", "--dry-run", "1", "2")
					if err != nil || !strings.Contains(out, "would be removed") {
						t.Fatalf("%s, %v", out, err)
					}
					t.Log("\n" + out)
					if out, err := runCommand(t, "get", "1"); err != nil {
						t.Fatalf("after a dry run: %s, %v", out, err)
					}
					file := filepath.Join(t.TempDir(), "ids.txt")
					if err := os.WriteFile(file, []byte("1\r\n2\n"), 0o600); err != nil {
						t.Fatal(err)
					}
					out, err = runCommand(t, "erase", "--file", file, "--max-write-units", "500")
					if err != nil || !strings.Contains(out, "proved: the table has nothing else of these ids") {
						t.Fatalf("%s, %v", out, err)
					}
					t.Log("\n" + out)
					for _, id := range []string{"1", "2"} {
						if out, err := runCommand(t, "get", id); err == nil {
							t.Errorf("get %s: %s", id, out)
						}
						if out, err := runCommand(t, "get", "--all", id); err != nil || !strings.Contains(out, "1 items") {
							t.Errorf("get --all %s: %s, %v", id, out, err)
						}
					}
					if out, err := runCommand(t, "get", "3"); err != nil || !strings.Contains(out, `"secret"`) {
						t.Errorf("another id: %s, %v", out, err)
					}
					if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
						t.Errorf("files are left: %v", left)
					}
				})
			}
		}
	}
}

func TestErase_standardInput(t *testing.T) {
	b := backend.Fakes(t)
	newWire(t, b, item.Versioned, item.TypeS, false)
	if status, stdout, stderr := invoke(t, "a\nb\n", "erase", "-"); status != 0 || !strings.Contains(stdout, "2 of 2 ids erased") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if status, _, stderr := invoke(t, "\n", "erase", "-"); status != 1 || !strings.Contains(stderr, "there is no id to erase") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if status, _, stderr := invoke(t, "", "erase", "--file", "absent.txt"); status != 1 || !strings.Contains(stderr, "absent.txt") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// putForeign puts an item that no worker writes.
func (w *wire) putForeign(t *testing.T, id, sort string) {
	t.Helper()
	if _, err := w.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: map[string]types.AttributeValue{
		"predictionId": &types.AttributeValueMemberS{Value: id}, "timestamp": &types.AttributeValueMemberN{Value: sort},
	}}); err != nil {
		t.Fatal(err)
	}
}

// What can't be removed makes the command fail and is named.
func TestErase_left(t *testing.T) {
	b := backend.Fakes(t)
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	w.putForeign(t, "a", "-5.5")
	status, stdout, stderr := invoke(t, "", "erase", "a", "b")
	if status != 1 || !strings.Contains(stderr, "something is left of 1 id: a") || strings.Contains(stdout, "proved") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// In a layout whose tombstones compete with predictions, the command says what the workers need.
func TestErase_warns(t *testing.T) {
	b := backend.Fakes(t)
	newWire(t, b, item.LatestOnly, item.TypeS, false)
	if status, _, stderr := invoke(t, "", "erase", "a"); status != 0 || !strings.Contains(stderr, "warning: WORKER_ORDERING is last-write") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

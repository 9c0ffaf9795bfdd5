package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest/process"
)

// What Python's writers write, the real binary reads: the table has the same predictions, whatever the format.
func TestFormats(t *testing.T) {
	python := os.Getenv("PREDCACHE_FORMATS_PYTHON")
	if python == "" {
		t.Skip("it needs Python with pandas, pyarrow and polars: make test-formats")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), python, "testdata/formats/write.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var files []struct {
		File, Writer string
		Want         map[string]map[string]any // attributes by id; nil where the file must be refused
	}
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(text, &files)
	}
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "worker")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := backend.All(t)[0]
	for _, file := range files {
		t.Run(file.File, func(t *testing.T) {
			t.Log(file.Writer)
			for _, stdin := range []bool{false, true} {
				w := newWire(t, b, item.LatestOnly, item.TypeS, false)
				name, input := filepath.Join(dir, file.File), ""
				if stdin {
					text, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					name, input = "-", string(text)
				}
				settings := []string{"AWS_ENDPOINT_URL=" + b.DynamoDBEndpoint, "WORKER_TABLE_NAME=" + w.table}
				out, err := process.Run(t.Context(), binary, settings, input, "warm", name)
				items := b.FakeDynamoDB.Items(w.table)
				if file.Want == nil {
					if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "give NDJSON, JSON, CSV") || len(items) > 0 {
						t.Errorf("%s, %v; the table has %d items", out, err, len(items))
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]map[string]any{}
				for _, it := range items {
					got[it.Text("predictionId")] = storedValues(t, it)
				}
				if !reflect.DeepEqual(got, file.Want) {
					t.Errorf("the table has\n%v, want\n%v", indented(t, got), indented(t, file.Want))
				}
			}
		})
	}
}

// storedValues returns the payload and the attribute model of an item, as encoding/json reads them.
func storedValues(t *testing.T, it attribute.Item) map[string]any {
	t.Helper()
	var payload any
	if err := json.Unmarshal([]byte(it.Text("prediction")), &payload); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"prediction": payload}
	if model := it.Text("model"); model != "" {
		all["model"] = model
	}
	if it.Text("createdAt") != "1769860800" || it.Text("expiresAt") != "4000000000" {
		t.Errorf("the times are %s and %s", it.Text("createdAt"), it.Text("expiresAt"))
	}
	return all
}

func indented(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

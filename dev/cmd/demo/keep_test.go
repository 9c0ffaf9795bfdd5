package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/internal/workertest/process"
)

// A shell that has read the variables publishes and reads with the worker's commands, whatever it had set before.
func TestShellVariables(t *testing.T) {
	worker, err := process.Build{}.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, layout := range []expect.Layout{expect.Versioned, expect.ExpirySorted, expect.LatestOnly} {
		t.Run(string(layout), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			aws, err := localaws.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer aws.Close()
			if err := aws.Create(ctx, layout); err != nil {
				t.Fatal(err)
			}
			running, err := startWorker(worker, aws, false)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = running.Stop(30 * time.Second) }()

			file := filepath.Join(t.TempDir(), "dev.env")
			if err := os.WriteFile(file, []byte(shellVariables(aws)), 0o600); err != nil {
				t.Fatal(err)
			}
			shell := func(script string) (string, error) {
				c := exec.CommandContext(ctx, "bash", "-euc", `. "$1"; `+script, "bash", file, worker)
				c.Env = append(process.Environment(), "AWS_PROFILE=work", "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:1", "WORKER_TABLE_NAME=live")
				out, err := c.CombinedOutput()
				return string(out), err
			}
			if out, err := shell(`"$2" check`); err != nil {
				t.Fatalf("check: %v\n%s", err, out)
			}
			message := fmt.Sprintf(`{"predictionId":"mine/1","timestamp":%d,"prediction":{"label":7}}`, time.Now().Unix())
			if out, err := shell(`echo '` + message + `' | "$2" publish -`); err != nil {
				t.Fatalf("publish: %v\n%s", err, out)
			}
			var out string
			if err := running.Until(ctx, func() bool {
				out, err = shell(`"$2" get mine/1`)
				return err == nil
			}); err != nil || !strings.Contains(out, `"label":7`) {
				t.Fatalf("get: %v\n%s", err, out)
			}
			// What boto3 and the Python package read. boto3 doesn't read AWS_REGION.
			out, err = shell(`env`)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(out, "\n")
			for _, want := range []string{
				"AWS_ENDPOINT_URL=" + aws.Endpoint, "AWS_DEFAULT_REGION=" + localaws.Region, "AWS_REGION=" + localaws.Region,
				"AWS_ACCESS_KEY_ID=" + localaws.AccessKey, "AWS_SECRET_ACCESS_KEY=" + localaws.SecretKey,
				"PREDCACHE_TABLE_NAME=" + aws.Table, "PREDCACHE_QUEUE_URL=" + aws.Queue,
			} {
				if !slices.Contains(lines, want) {
					t.Errorf("there is no %s", want)
				}
			}
		})
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/internal/workertest/process"
)

// keep says how to use what runs, and shows what the worker does, until Ctrl-C.
func keep(ctx context.Context, s *screen, o options, aws *localaws.Server, running *process.Process) error {
	s.title("Running until Ctrl-C")
	s.line("  endpoint      %s", aws.Endpoint)
	s.line("  queue         %s", aws.Queue)
	s.line("  reject queue  %s", aws.RejectQueue)
	s.line("  table         %s", aws.Table)
	s.line("  status page   http://%s/", running.Admin)
	s.line("  metrics       http://%s/metrics", running.HTTP)
	if o.envFile != "" {
		if err := os.WriteFile(o.envFile, []byte(shellVariables(aws)), 0o600); err != nil {
			return err
		}
		defer func() { _ = os.Remove(o.envFile) }()
		s.line("  from another terminal, the variables for the worker's commands, boto3 and the AWS CLI: . %s", o.envFile)
		s.line("  then: go run ./cmd/worker check, or make pipeline to publish the example's predictions")
	}
	s.title("From Python, with boto3")
	s.line("%s", python(aws))
	s.title("What the worker does")

	shown := ""
	for {
		metrics, err := running.Metrics(ctx)
		if err == nil {
			if now := outcomesText(metrics); now != shown {
				s.line("  %s  %s", time.Now().Format(time.TimeOnly), now)
				shown = now
			}
		}
		select {
		case <-running.Exited():
			return running.Gone()
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func outcomesText(metrics process.Metrics) string {
	by := metrics.By("predcache_predictions_total", "outcome")
	var parts []string
	for _, o := range outcomes {
		if n := by[o.name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(n), o.name))
		}
	}
	return strings.Join(parts, ", ")
}

// shellVariables returns a script that makes the worker's commands, the Python package, boto3 and the AWS CLI use the services. boto3
// and the CLI read the region from AWS_DEFAULT_REGION only.
func shellVariables(aws *localaws.Server) string {
	var b strings.Builder
	b.WriteString("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL_SQS AWS_ENDPOINT_URL_DYNAMODB AWS_ENDPOINT_URL_S3 AWS_IGNORE_CONFIGURED_ENDPOINT_URLS\n")
	for _, variable := range append(workerSettings(aws), "AWS_DEFAULT_REGION="+localaws.Region,
		"PREDCACHE_QUEUE_URL="+aws.Queue, "PREDCACHE_REJECT_QUEUE_URL="+aws.RejectQueue, "PREDCACHE_TABLE_NAME="+aws.Table) {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return b.String()
}

// python is a first conversation: publish a prediction, read it back. It isn't indented, so that it can be pasted.
func python(aws *localaws.Server) string {
	read := `table.query(KeyConditionExpression=Key("predictionId").eq("mine/1"), ScanIndexForward=False)["Items"]`
	if aws.Layout == expect.LatestOnly {
		read = `table.get_item(Key={"predictionId": "mine/1"}).get("Item")`
	}
	return fmt.Sprintf(`import json, time, boto3
from boto3.dynamodb.conditions import Key
local = dict(endpoint_url=%q, region_name=%q,
             aws_access_key_id=%q, aws_secret_access_key=%q)
queue = boto3.resource("sqs", **local).Queue(%q)
table = boto3.resource("dynamodb", **local).Table(%q)

mine = {"predictionId": "mine/1", "timestamp": time.time(), "prediction": {"label": 7}}
queue.send_message(MessageBody=json.dumps(mine))
time.sleep(1)
print(%s)`, aws.Endpoint, localaws.Region, localaws.AccessKey, localaws.SecretKey, aws.Queue, aws.Table, read)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/internal/workertest/process"
)

const (
	batchRows = 20_000
	batchKey  = "scores/2026-11-25/part-0.ndjson"
)

// batchRow is a row of the file of a batch job: about 600 bytes, so that the file is larger than a range.
func batchRow(i int, at time.Time) string {
	return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":{"churn":0.%04d,"reasons":%q},"model":"churn-nightly"}`,
		batchID(i), at.UnixMilli(), i*7919%10_000, strings.Repeat(fmt.Sprintf("reason %d; ", i%97), 48))
}

func batchID(i int) string { return fmt.Sprintf("customer-%06d", i) }

// loadFile puts the file of a batch job into the bucket, waits until the worker has read it, and checks that the table has each of its
// rows, and that a service reads one.
func loadFile(ctx context.Context, s *screen, aws *localaws.Server, running *process.Process, timeout time.Duration) ([]check, error) {
	at := time.Now()
	var file strings.Builder
	for i := range batchRows {
		file.WriteString(batchRow(i, at) + "\n")
	}
	before, err := running.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	aws.Put(batchKey, file.String())
	if err := emptied(ctx, aws, aws.ObjectsQueue, timeout); err != nil {
		return nil, err
	}
	took := time.Since(at)
	after, err := running.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	grown := func(metric, label, value string) int {
		return after.By(metric, label)[value] - before.By(metric, label)[value]
	}
	s.title("Load a batch job's file from S3")
	s.line("  %-24s %s, %.1f MB", "put", "s3://"+localaws.Bucket+"/"+batchKey, float64(file.Len())/1e6)
	s.line("  %-24s %7s  that all workers would share", "split into ranges", count(grown("predcache_objects_total", "outcome", "range")))
	s.line("  %-24s %7s  in %s", "rows written", count(grown("predcache_predictions_total", "outcome", "written")), seconds(took))
	loaded := check{text: fmt.Sprintf("the table has each of the %s rows of the file, and a service reads one", count(batchRows))}
	loaded.differences, err = compareRows(ctx, aws, at)
	return []check{loaded}, err
}

// compareRows compares the table, and what a service reads, with the rows of the file.
func compareRows(ctx context.Context, aws *localaws.Server, at time.Time) (differences []string, err error) {
	items, err := aws.Items(ctx)
	if err != nil {
		return nil, err
	}
	payloads := map[string]string{}
	for _, item := range items {
		payloads[item["predictionId"]] = item["prediction"]
	}
	missing := 0
	for i := range batchRows {
		var row struct{ Prediction json.RawMessage }
		if err := json.Unmarshal([]byte(batchRow(i, at)), &row); err != nil {
			return nil, err
		}
		if payloads["S "+batchID(i)] != "S "+string(row.Prediction) {
			missing++
		}
	}
	if missing > 0 {
		differences = append(differences, fmt.Sprintf("%s of the file are missing in the table, or differ", plural(missing, "row")))
	}
	c, err := cache.New(aws.Config(), aws.Table)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_, err = c.Get(ctx, batchID(batchRows-1))
	if errors.Is(err, cache.ErrNotFound) {
		return append(differences, "a service finds nothing of "+batchID(batchRows-1)), nil
	}
	return differences, err
}

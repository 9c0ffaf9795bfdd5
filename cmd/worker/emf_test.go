package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/telemetry"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/workertest/emftest"
	"github.com/predcache/predcache/internal/workertest/process"
)

// TestEMFOverTheWire reads the standard output of the real binary: it is CloudWatch's format and nothing else, and what the
// lines count is what happened.
func TestEMFOverTheWire(t *testing.T) {
	queues, _ := atHome(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	path, err := process.Build{}.Binary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var stdout process.Log
	p, err := process.Start(process.Config{Path: path, Stdout: &stdout, Settings: append(ownSettings(), "WORKER_METRICS=emf")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	at := time.Now().UnixMilli()
	for _, id := range []string{"a", "b", "c", "a"} {
		queues.Send(workertest.QueueName, fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":1}`, id, at))
	}
	queues.Send(workertest.QueueName, "no prediction")
	if err := p.Until(ctx, func() bool { visible, inFlight, _ := queues.Counts(workertest.QueueName); return visible+inFlight == 0 }); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	stopWorker(t, p, 30*time.Second)

	sums, ages := map[string]float64{}, 0
	text := stdout.String()
	for line := range strings.SplitSeq(text, "\n") {
		d, err := emftest.Parse(line)
		if err != nil {
			t.Fatalf("standard output has the line %q: %v", line, err)
		}
		if d.Namespace != telemetry.EMFNamespace || d.Dimensions[telemetry.EMFDimension] != workertest.QueueName || d.Fields["Table"] != workertest.TableName {
			t.Errorf("a line of %q, %v, %v", d.Namespace, d.Dimensions, d.Fields["Table"])
		}
		if age := time.Since(time.UnixMilli(d.Timestamp)); age < 0 || age > 2*time.Minute {
			t.Errorf("a line is %v old", age)
		}
		for name := range d.Metrics {
			sums[name] += d.Value(name)
		}
		ages += len(d.Metrics["Age"])
	}
	for name, want := range map[string]float64{"Received": 5, "Written": 3, "Skipped": 1, "Rejected": 1, "Expired": 0, "FailedCalls": 0, "Throttled": 0} {
		if sums[name] != want {
			t.Errorf("%s is %v in all, want %v\n%s", name, sums[name], want, text)
		}
	}
	if sums["Calls"] < 4 || sums["Dollars"] <= 0 || ages != 3 {
		t.Errorf("%v calls, $%v, %d ages\n%s", sums["Calls"], sums["Dollars"], ages, text)
	}
	if log := p.Log().String(); strings.Contains(log, "_aws") || !strings.Contains(log, `"started"`) {
		t.Errorf("the log is\n%s", log)
	}
}

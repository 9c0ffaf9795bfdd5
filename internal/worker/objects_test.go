package worker_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// rows returns n rows of about 1 KB, whose ids begin with a prefix.
func rows(prefix string, n int) string {
	var b strings.Builder
	payload := strings.Repeat("x", 950)
	for i := range n {
		fmt.Fprintf(&b, "{\"predictionId\":\"%s%d\",\"prediction\":\"%s\"}\n", prefix, i, payload)
	}
	return b.String()
}

// wantObjectsDone checks that no message of the objects queue is left.
func wantObjectsDone(t *testing.T, f *workertest.Fakes) {
	t.Helper()
	if got := f.States(workertest.ObjectsName); len(got) != 1 || got[sqsfake.Deleted] == 0 {
		t.Errorf("messages of the objects queue by state: %v, want all deleted", got)
	}
}

func TestObjects(t *testing.T) {
	t.Run("are in the table soon", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			f.AddObjects()
			f.Config.ObjectsRangeBytes = 1 << 20
			r := f.Start()
			f.SQS.Send(workertest.ObjectsName, s3fake.TestEvent(workertest.BucketName))
			f.S3.Put(workertest.BucketName, "daily/large.jsonl", s3fake.Text(rows("l", 5000)))
			f.S3.Put(workertest.BucketName, "daily/small.jsonl", s3fake.Text(rows("s", 10)))
			f.S3.Put(workertest.BucketName, "daily/_SUCCESS", s3fake.Text("x"))
			f.S3.Put(workertest.BucketName, "weekly/other.jsonl", s3fake.Text(rows("o", 10)))
			time.Sleep(time.Minute)
			f.WantItems(5010)
			wantObjectsDone(t, f)
			if n := len(f.SQS.Messages(workertest.RejectName)); n != 1 {
				t.Errorf("%d rejects, want that of the object outside of the allow-list", n)
			}
			if status, text := r.Probe("/readyz"); status != 200 {
				t.Errorf("/readyz says %q", text)
			}
			_, text := r.Probe("/metrics")
			for _, want := range []string{
				`predcache_objects_total{outcome="split"} 1`, `predcache_objects_total{outcome="range"} 5`, `predcache_objects_total{outcome="read"} 1`,
				`predcache_objects_total{outcome="skipped"} 1`, `predcache_objects_total{outcome="ignored"} 1`, `predcache_objects_total{outcome="rejected"} 1`,
				`predcache_object_rows_total 5010`, `predcache_objects_reading 0`, `predcache_object_bytes_left 0`, `predcache_prediction_age_seconds_count 0`,
				`predcache_predictions_total{outcome="written"} 5010`, `predcache_calls_total{operation="GetObject"} `,
			} {
				if !strings.Contains(text, "\n"+want) {
					t.Errorf("the metrics have no %s", want)
				}
			}
			r.Stop()
		})
	})

	t.Run("do not delay streamed predictions", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			f.AddObjects()
			f.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: 200 * time.Millisecond} })
			r := f.Start()
			f.S3.Put(workertest.BucketName, "daily/large.jsonl", s3fake.Text(rows("l", 20000)))
			time.Sleep(10 * time.Second)
			before := f.DynamoDB.ItemCount(workertest.TableName)
			for i := range 100 {
				f.Send(workertest.Message(fmt.Sprint(i), time.Minute, `1`))
			}
			time.Sleep(2 * time.Second) // a write in flight, its own, and a delete's linger
			f.WantDeleted(100)
			if after := f.DynamoDB.ItemCount(workertest.TableName); after < before+300 {
				t.Errorf("%d items 2 s after %d: the objects wait behind the stream", after, before)
			}
			time.Sleep(10 * time.Minute)
			f.WantItems(20100)
			r.Stop()
		})
	})

	t.Run("deletes that can't be done yet do not block other objects", func(t *testing.T) {
		t.Setenv("WORKER_DELETES", "remove")
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			f.AddObjects()
			var denied atomic.Bool
			denied.Store(true)
			f.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
				if denied.Load() && c.Operation == "Query" {
					return awstest.Fault{Err: awstest.AccessDenied("Query")}
				}
				return awstest.Fault{}
			})
			r := f.Start()
			f.S3.Put(workertest.BucketName, "daily/live.jsonl", s3fake.Text(rows("gone", 500)))
			time.Sleep(time.Minute)
			var gone strings.Builder
			for i := range 500 {
				fmt.Fprintf(&gone, "{\"predictionId\":\"gone%d\",\"deleted\":true}\n", i)
			}
			for i := range 20 {
				f.S3.Put(workertest.BucketName, fmt.Sprintf("daily/gone%d.jsonl", i), s3fake.Text(gone.String()))
			}
			time.Sleep(5 * time.Minute)
			f.S3.Put(workertest.BucketName, "daily/others.jsonl", s3fake.Text(rows("other", 500)))
			time.Sleep(5 * time.Minute)
			others := 0
			for _, it := range f.DynamoDB.Items(workertest.TableName) {
				if strings.Contains(it.JSON(), `"other`) {
					others++
				}
			}
			if others != 500 {
				t.Errorf("%d of 500 rows of another object were written", others)
			}
			denied.Store(false)
			time.Sleep(3 * time.Hour)
			r.Stop()
			wantObjectsDone(t, f)
			for _, it := range f.DynamoDB.Items(workertest.TableName) {
				if strings.Contains(it.JSON(), `"gone`) && it.Text("prediction") != "" {
					t.Fatalf("the table still has %.100s", it.JSON())
				}
			}
		})
	})

	t.Run("SIGTERM leaves the rest to another worker", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			f.AddObjects()
			f.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault { return awstest.Fault{Delay: time.Second} })
			array := "[" + strings.TrimSuffix(strings.ReplaceAll(rows("a", 5000), "\n", ","), ",") + "]"
			f.S3.Put(workertest.BucketName, "daily/array.json", s3fake.Text(array))
			f.S3.Put(workertest.BucketName, "daily/lines.jsonl", s3fake.Text(rows("l", 5000)))
			for range 3 {
				r := f.Start()
				time.Sleep(10 * time.Second)
				r.Stop()
				if r.Left != 0 {
					t.Errorf("%d messages were held at the end", r.Left)
				}
				if got := f.States(workertest.ObjectsName); got[sqsfake.InFlight] != 0 {
					t.Errorf("after SIGTERM: %v", got)
				}
			}
			f.DynamoDB.SetFault(nil)
			r := f.Start()
			time.Sleep(10 * time.Minute)
			r.Stop()
			f.WantItems(10000)
			wantObjectsDone(t, f)
			written := 0
			for _, c := range f.DynamoDB.Calls("BatchWriteItem") {
				written += len(c.Entries)
			}
			if written != 10000 {
				t.Errorf("%d items were written, want each once", written)
			}
		})
	})

	t.Run("wait while the table is down", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			f.AddObjects()
			f.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
				if c.Operation == "BatchWriteItem" {
					return awstest.Fault{Err: awstest.ServiceUnavailable()}
				}
				return awstest.Fault{}
			})
			r := f.Start()
			for i := range 20 {
				f.S3.Put(workertest.BucketName, fmt.Sprintf("daily/%d.jsonl", i), s3fake.Text(rows(fmt.Sprintf("%d-", i), 50)))
			}
			time.Sleep(time.Hour)
			if _, text := r.Probe("/readyz"); !strings.Contains(text, "the writes of batch outputs") {
				t.Errorf("/readyz says %q", text)
			}
			f.DynamoDB.SetFault(nil)
			time.Sleep(10 * time.Minute)
			f.WantItems(1000)
			wantObjectsDone(t, f)
			for _, m := range f.SQS.Messages(workertest.ObjectsName) {
				if m.ReceiveCount > 1 {
					t.Errorf("a message was received %d times", m.ReceiveCount)
				}
			}
			r.Stop()
		})
	})

	t.Run("wait while they may not be read", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			f.AddObjects()
			f.S3.SetAccess(workertest.BucketName, s3fake.Access{NoGet: []string{""}})
			r := f.Start()
			for i := range 5 {
				f.S3.Put(workertest.BucketName, fmt.Sprintf("daily/%d.jsonl", i), s3fake.Text(rows(fmt.Sprintf("%d-", i), 50)))
			}
			time.Sleep(time.Hour)
			status, text := r.Probe("/readyz")
			if status != 200 || !strings.Contains(text, "warning: batch outputs") || !strings.Contains(text, "AccessDenied") {
				t.Errorf("/readyz says %q", text)
			}
			if n := len(f.SQS.Messages(workertest.RejectName)); n != 0 {
				t.Errorf("%d rejects", n)
			}
			f.S3.SetAccess(workertest.BucketName, s3fake.Access{})
			time.Sleep(2 * time.Minute)
			f.WantItems(250)
			wantObjectsDone(t, f)
			if status, text := r.Probe("/readyz"); status != 200 || strings.Contains(text, "warning") {
				t.Errorf("/readyz says %q", text)
			}
			r.Stop()
		})
	})

	t.Run("torn bodies and SlowDown", func(t *testing.T) {
		workertest.WithFakes(t, item.Versioned, func(f *workertest.Fakes) {
			f.AddObjects()
			f.Config.ObjectsRangeBytes = 1 << 20
			n := 0
			f.S3.SetFault(func(c *awstest.Call) awstest.Fault {
				switch n++; n % 3 {
				case 0:
					return awstest.Fault{Err: s3fake.SlowDown()}
				case 1:
					return awstest.Fault{Stream: awstest.TornAfter(300 << 10)}
				}
				return awstest.Fault{Stream: awstest.StalledAfter(200<<10, time.Hour)}
			})
			r := f.Start()
			f.S3.Put(workertest.BucketName, "daily/large.jsonl", s3fake.Text(rows("l", 5000)))
			time.Sleep(10 * time.Minute)
			f.WantItems(5000)
			wantObjectsDone(t, f)
			r.Stop()
		})
	})
}

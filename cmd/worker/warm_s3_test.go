package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// newBucket makes a bucket with objects, and a directory of its own for the states of runs.
func newBucket(t *testing.T, b backend.Services, objects map[string]string) (name string) {
	t.Helper()
	t.Setenv("AWS_ENDPOINT_URL_S3", b.S3Endpoint)
	t.Chdir(t.TempDir())
	name = fmt.Sprintf("warm-%x-%d", os.Getpid(), buckets.Add(1))
	where := &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(awstest.Region)}
	if _, err := b.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: where}); err != nil {
		t.Fatal(err)
	}
	for key, text := range objects {
		if _, err := b.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: aws.String(key), Body: bytes.NewReader([]byte(text))}); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

var buckets atomic.Int64

func TestWarm_objects(t *testing.T) {
	parquet, err := os.ReadFile("../../internal/records/testdata/parquet/pandas.parquet")
	if err != nil {
		t.Fatal(err)
	}
	var long strings.Builder // several blocks
	for i := range 3000 {
		fmt.Fprintf(&long, "{\"predictionId\":\"long-%d\",\"prediction\":%q}\n", i, strings.Repeat("x", 1000))
	}
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			w := newWire(t, b, item.LatestOnly, item.TypeS, false)
			bucket := newBucket(t, b, map[string]string{
				"out/part-0.gz":       string(packed["gzip"](`{"predictionId":"n","prediction":1}` + "\n" + `{"predictionId":"tie","prediction":"first"}`)),
				"out/part-1.csv":      "predictionId,prediction\nc,0.50\n",
				"out/part-2":          long.String(),
				"out/part-3.parquet":  string(parquet),
				"out/part-4.json":     `[{"predictionId":"tie","timestamp":1769860800.5,"expiresAt":4000000000,"prediction":"later"}]`,
				"out/":                "", // a folder, as the console makes it
				"out/_SUCCESS":        "",
				"out/_metadata":       "PAR1",
				"out/manifest-1.json": "{}",
				"other":               `{"predictionId":"other","prediction":1}`,
				"later_1/part-0":      `{"predictionId":"later","prediction":1}`,
			})
			// The first bodies end early. The calls of one block are made four times at most.
			var calls atomic.Int32
			if b.FakeS3 != nil {
				b.FakeS3.SetFault(func(c *awstest.Call) awstest.Fault {
					return awstest.Fault{TearAnswer: c.Operation == "GetObject" && calls.Add(1) <= 3}
				})
			}
			url := "s3://" + bucket + "/out/"
			out, err := runCommand(t, "warm", url)
			if err != nil || !strings.Contains(out, "5 files or objects; 4 objects are skipped by size or name") || !strings.Contains(out, "3,008 predictions of "+url) {
				t.Fatalf("%s, %v", out, err)
			}
			for id, want := range map[string]string{"n": "1", "c": "0.50", "long-2999": `"` + strings.Repeat("x", 1000) + `"`} {
				if got := w.payload(t, id); got != want {
					t.Errorf("%s is %s, want %s", id, got, want)
				}
			}
			if _, err := runCommand(t, "get", "other"); err == nil {
				t.Error("an object outside of the prefix was read")
			}
			out, err = runCommand(t, "warm", "--dry-run", "s3://"+bucket+"/other")
			if err != nil || !strings.Contains(out, "1 predictions of ") {
				t.Errorf("%s, %v", out, err)
			}
			out, err = runCommand(t, "warm", "--dry-run", "s3://"+bucket+"/later")
			if err != nil || !strings.Contains(out, "1 predictions of ") {
				t.Errorf("a prefix that ends within a name: %s, %v", out, err)
			}
			for _, test := range []struct{ arg, want string }{
				{"s3://" + bucket + "/none/", "has no objects with predictions"},
				{"s3://", "is not the URL of a bucket"},
				{"s3://" + bucket + "-none/", "NoSuchBucket"},
			} {
				if out, err := runCommand(t, "warm", test.arg); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: %s, %v; want %s", test.arg, out, err, test.want)
				}
			}
			if _, err := runCommand(t, "warm", url, "file"); err == nil || !strings.Contains(err.Error(), "not both") {
				t.Errorf("objects and files: %v", err)
			}
		})
	}
}

// A run over objects that is interrupted goes on in the object where it was, and refuses one that has been replaced.
func TestWarm_objects_resume(t *testing.T) {
	b := backend.All(t)[0]
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	objects := map[string]string{}
	const n, each = 6, 1000
	for i := range n {
		var text strings.Builder
		for j := range each {
			fmt.Fprintf(&text, "{\"predictionId\":\"%d-%d\",\"prediction\":%d}\n", i, j, j)
		}
		objects[fmt.Sprint("part-", i)] = text.String()
	}
	bucket := newBucket(t, b, objects)
	url := "s3://" + bucket + "/part"
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var calls atomic.Int32
	b.FakeDynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
		if c.Operation != "BatchWriteItem" || calls.Add(1) < n*each/25/2 {
			return awstest.Fault{}
		}
		interrupt()
		return awstest.Fault{Err: awstest.ServiceUnavailable()}
	})
	t.Setenv("WORKER_DRAIN_TIMEOUT", "2s")
	t.Setenv("WORKER_RECEIVE_WAIT", "1s")
	var out workertest.LogBuffer
	err := dispatch(ctx, []string{"warm", url}, nil, &out, &out)
	b.FakeDynamoDB.SetFault(nil)
	state, readErr := os.ReadFile(bucket + "-part.warm")
	if err == nil || readErr != nil || !strings.Contains(out.String(), "s3://"+bucket+"/part-") || !strings.Contains(out.String(), " is durable up to row ") {
		t.Fatalf("%s, %v, %v", out.String(), err, readErr)
	}
	again, err := runCommand(t, "warm", url)
	if err != nil || !strings.Contains(again, "continuing in s3://"+bucket+"/part-") {
		t.Fatalf("%s, %v", again, err)
	}
	if items := len(b.FakeDynamoDB.Items(w.table)); items != n*each {
		t.Errorf("the table has %d items, want %d", items, n*each)
	}
	for i := range n {
		b.FakeS3.Put(bucket, fmt.Sprint("part-", i), s3fake.Text(`{"predictionId":"new","prediction":1}`))
	}
	if err := os.WriteFile(bucket+"-part.warm", state, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := runCommand(t, "warm", url); err == nil || !strings.Contains(err.Error(), "no longer the file") {
		t.Errorf("%s, %v", out, err)
	}
}

// What can't be read of S3 is one clear error.
func TestWarm_objects_errors(t *testing.T) {
	b := backend.All(t)[0]
	newWire(t, b, item.Versioned, item.TypeS, false)
	bucket := newBucket(t, b, map[string]string{"a": `{"predictionId":"a","prediction":1}`, "b.zip": "PK\x03\x04"})
	for _, test := range []struct {
		name   string
		access s3fake.Access
		fault  func(c *awstest.Call) awstest.Fault
		arg    string
		want   string
	}{
		{"no permission to list", s3fake.Access{NoList: true}, nil, "a", "s3:ListBucket"},
		{"no permission to read", s3fake.Access{NoGet: []string{""}}, nil, "a", "s3:GetObject"},
		{"replaced after the listing", s3fake.Access{}, func(c *awstest.Call) awstest.Fault {
			if c.Operation == "ListObjectsV2" {
				return awstest.Fault{After: func() { b.FakeS3.Put(bucket, "a", s3fake.Text("{}")) }}
			}
			return awstest.Fault{}
		}, "a", "it has been replaced since it was listed"},
		{"a format that is not read", s3fake.Access{}, nil, "b.zip", "/b.zip is a zip archive"},
		{"bodies that always end early", s3fake.Access{}, func(c *awstest.Call) awstest.Fault {
			return awstest.Fault{TearAnswer: c.Operation == "GetObject"}
		}, "a", "GetObject"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.FakeS3.SetAccess(bucket, test.access)
			b.FakeS3.SetFault(test.fault)
			out, err := runCommand(t, "warm", "s3://"+bucket+"/"+test.arg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %v; want %s", out, err, test.want)
			}
		})
	}
}

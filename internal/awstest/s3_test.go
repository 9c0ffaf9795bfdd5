package awstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/s3fake"
)

// numbered is a content of n lines of 16 bytes.
func numbered(n int64) s3fake.Content {
	return s3fake.Blocks(n, 16, 1, func(i int64, b []byte) { copy(b, fmt.Sprintf("line %010d\n", i)) })
}

func TestGeneratedContent(t *testing.T) {
	const lines = 50
	content := numbered(lines)
	var whole strings.Builder
	for i := range lines {
		fmt.Fprintf(&whole, "line %010d\n", i)
	}
	for at := range whole.Len() + 1 {
		for _, n := range []int{1, 15, 16, 17, 40, 1000} {
			p := make([]byte, n)
			read, err := content.ReadAt(p, int64(at))
			want := whole.String()[at:min(at+n, whole.Len())]
			if string(p[:read]) != want || errors.Is(err, io.EOF) != (at+n > whole.Len()) {
				t.Fatalf("%d bytes at %d: got %q, %v, want %q", n, at, p[:read], err, want)
			}
		}
	}
	other := s3fake.Blocks(lines, 16, 2, nil)
	if content.ETag() == other.ETag() || !strings.HasSuffix(content.ETag(), "-1") {
		t.Errorf("ETags %s and %s", content.ETag(), other.ETag())
	}
}

// TestALargeObject reads ranges of an object of 5 GB, of which nothing is kept.
func TestALargeObject(t *testing.T) {
	objects := s3fake.New()
	objects.CreateBucket("scores", s3fake.Bucket{})
	o := objects.Put("scores", "big", numbered(5<<30/16))
	client := objects.Client()
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("scores"), Key: aws.String("big"), Range: aws.String("bytes=5368709088-"),
		IfMatch: &o.ETag})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out.Body)
	if want := "line 0335544318\nline 0335544319\n"; err != nil || string(text) != want || *out.ContentRange != "bytes 5368709088-5368709119/5368709120" {
		t.Fatalf("got %q of %s, %v, want %q", text, *out.ContentRange, err, want)
	}
	// A body that is not read to its end costs only what was read.
	whole, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("scores"), Key: aws.String("big")})
	if err != nil || *whole.ContentLength != 5<<30 {
		t.Fatal(whole, err)
	}
	if first, err := io.ReadAll(io.LimitReader(whole.Body, 16)); err != nil || string(first) != "line 0000000000\n" {
		t.Fatalf("got %q, %v", first, err)
	}
	whole.Body.Close()
	if _, err := whole.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed body can be read")
	}
}

// readWith reads an object of ten lines under a fault, and returns how much came.
func readWith(ctx context.Context, t *testing.T, client *s3.Client, objects *s3fake.Service, f awstest.Fault) (text []byte, err error) {
	t.Helper()
	objects.SetFault(func(*awstest.Call) awstest.Fault { return f })
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("scores"), Key: aws.String("k")})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func TestBodiesThatFail(t *testing.T) {
	check := func(t *testing.T, client *s3.Client, objects *s3fake.Service) {
		for _, test := range []struct {
			fault awstest.Fault
			came  int
		}{{awstest.Fault{TearAnswer: true}, 80}, {awstest.Fault{Stream: awstest.TornAfter(33)}, 33}, {awstest.Fault{Stream: awstest.TornAfter(0)}, 0}} {
			text, err := readWith(t.Context(), t, client, objects, test.fault)
			if !errors.Is(err, io.ErrUnexpectedEOF) || len(text) != test.came {
				t.Errorf("got %d bytes and %v, want %d and an unexpected EOF", len(text), err, test.came)
			}
		}
		if text, err := readWith(t.Context(), t, client, objects, awstest.Fault{Stream: awstest.StalledAfter(10, time.Millisecond)}); err != nil || len(text) != 160 {
			t.Errorf("after a pause: got %d bytes and %v, want 160", len(text), err)
		}
		_, err := readWith(t.Context(), t, client, objects, awstest.Fault{Err: s3fake.SlowDown()})
		if err == nil || !strings.Contains(err.Error(), "SlowDown") {
			t.Errorf("got %v, want SlowDown", err)
		}
	}
	newObjects := func() *s3fake.Service {
		objects := s3fake.New()
		objects.CreateBucket("scores", s3fake.Bucket{})
		objects.Put("scores", "k", numbered(10))
		return objects
	}
	t.Run("in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			objects := newObjects()
			check(t, objects.Client(), objects)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			text, err := readWith(ctx, t, objects.Client(), objects, awstest.Fault{Stream: awstest.StalledAfter(10, 0)})
			if !errors.Is(err, context.DeadlineExceeded) || !bytes.Equal(text, []byte("line 00000")) {
				t.Errorf("of a body that stops: got %q, %v", text, err)
			}
		})
	})
	t.Run("over HTTP", func(t *testing.T) {
		objects := newObjects()
		server := httptest.NewServer(objects)
		t.Cleanup(server.Close)
		t.Cleanup(objects.Close)
		check(t, s3.NewFromConfig(awstest.Config(server.Client().Transport), func(o *s3.Options) {
			o.BaseEndpoint, o.UsePathStyle, o.Retryer = &server.URL, true, aws.NopRetryer{}
		}), objects)
	})
}

func TestEventForms(t *testing.T) {
	objects := s3fake.New()
	objects.CreateBucket("scores", s3fake.Bucket{Owner: "111122223333", Versioned: true})
	var bodies []string
	for _, form := range []s3fake.Form{s3fake.Direct, s3fake.SNS, s3fake.EventBridge} {
		objects.SetNotification("scores", s3fake.Notification{Form: form, Prefix: "out/", Suffix: ".ndjson", Send: func(body string) { bodies = append(bodies, body) }})
		objects.Put("scores", "other/a b.ndjson", s3fake.Text("x"))
		objects.Put("scores", "out/a b.csv", s3fake.Text("x"))
		objects.Put("scores", "out/a b.ndjson", s3fake.Text("x"))
	}
	if len(bodies) != 3 {
		t.Fatalf("%d events, want one for each form: %s", len(bodies), bodies)
	}
	var sns struct{ Type, Message string }
	if err := json.Unmarshal([]byte(bodies[1]), &sns); err != nil || sns.Type != "Notification" {
		t.Fatal(sns, err)
	}
	for _, body := range []string{bodies[0], sns.Message} {
		if !strings.Contains(body, `"key":"out/a+b.ndjson"`) || !strings.Contains(body, `"versionId":"`) {
			t.Errorf("got %s", body)
		}
	}
	if b := bodies[2]; !strings.Contains(b, `"key":"out/a b.ndjson"`) || !strings.Contains(b, `"account":"111122223333"`) || !strings.Contains(b, `"version-id":"`) {
		t.Errorf("got %s", b)
	}
}

func TestAStrangeRequestOfS3(t *testing.T) {
	objects := s3fake.New()
	objects.CreateBucket("scores", s3fake.Bucket{})
	for _, target := range []string{"/scores/k?partNumber=1", "/scores/k?tagging", "/scores?list-type=1", "/scores?uploads"} {
		rec := httptest.NewRecorder()
		objects.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, target, nil))
		if rec.Code != 501 {
			t.Errorf("%s: got %d %s, want 501", target, rec.Code, rec.Body)
		}
	}
}

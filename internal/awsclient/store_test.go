package awsclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/objects"
)

func newStore(t *testing.T, fake *s3fake.Service, owner string) *Store {
	t.Helper()
	clients, err := New(t.Context(), Config{QueueURL: "https://sqs.eu-west-1.amazonaws.com/000000000000/q", Connections: 1, Transport: awstest.Transport(fake), Clock: &Clock{}})
	if err != nil {
		t.Fatal(err)
	}
	return NewStore(clients, owner)
}

func TestStore(t *testing.T) {
	t.Setenv("AWS_REGION", awstest.Region)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	fake := s3fake.New()
	fake.CreateBucket("scores", s3fake.Bucket{})
	fake.CreateBucket("versions", s3fake.Bucket{Versioned: true})
	fake.CreateBucket("theirs", s3fake.Bucket{Owner: "999999999999"})
	fake.CreateBucket("far", s3fake.Bucket{Region: "us-east-1"})
	o := fake.Put("scores", "a b+c/é.jsonl", s3fake.Text("0123456789"))
	old := fake.Put("versions", "a", s3fake.Text("old"))
	fake.Put("versions", "a", s3fake.Text("newer"))
	fake.Put("theirs", "a", s3fake.Text("x"))
	fake.Put("far", "a", s3fake.Text("x"))
	fake.Put("scores", "archived", s3fake.Text("x"))
	fake.Change("scores", "archived", func(o *s3fake.Object) { o.StorageClass = "GLACIER" })
	fake.Put("scores", "empty", s3fake.Text(""))
	store := newStore(t, fake, awstest.Account)
	name := objects.Object{Bucket: "scores", Key: o.Key}
	for _, tt := range []struct {
		from, to int64
		etag     string
		want     string
	}{
		{0, 0, "", "0123456789"}, {0, 4, "", "0123"}, {3, 5, o.ETag, "34"}, {7, 0, o.ETag, "789"}, {7, 100, o.ETag, "789"},
	} {
		r := objects.Request{Object: name, From: tt.from, To: tt.to}
		r.ETag = tt.etag
		c, err := store.Get(t.Context(), r)
		if err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		text, err := io.ReadAll(c.Body)
		if string(text) != tt.want || err != nil || c.Size != 10 || c.ETag != o.ETag || !c.Modified.Equal(o.LastModified) {
			t.Errorf("%+v: %q, %v, %+v", tt, text, err, c)
		}
	}
	c, err := store.Get(t.Context(), objects.Request{Object: objects.Object{Bucket: "versions", Key: "a", VersionID: old.VersionID, ETag: "of no account"}, To: 1})
	if err != nil || c.Size != 3 {
		t.Errorf("a version: %+v, %v", c, err)
	}
	if c, err := store.Get(t.Context(), objects.Request{Object: objects.Object{Bucket: "scores", Key: "empty"}}); err != nil || c.Size != 0 {
		t.Errorf("an empty object: %+v, %v", c, err)
	}

	fake.CreateBucket("denied", s3fake.Bucket{Access: s3fake.Access{NoGet: []string{""}}})
	fake.CreateBucket("unlisted", s3fake.Bucket{Access: s3fake.Access{NoList: true}})
	for _, tt := range []struct {
		what   string
		object objects.Object
		from   int64
		kind   error
		text   string
	}{
		{"missing", objects.Object{Bucket: "scores", Key: "x"}, 0, objects.ErrUnreadable, "does not exist"},
		{"missing, and not listed", objects.Object{Bucket: "unlisted", Key: "x"}, 0, objects.ErrForbidden, "AccessDenied"},
		{"denied", objects.Object{Bucket: "denied", Key: "x"}, 0, objects.ErrForbidden, "AccessDenied"},
		{"no version", objects.Object{Bucket: "versions", Key: "a", VersionID: strings.Repeat("0", 32)}, 0, objects.ErrUnreadable, "version"},
		{"another account's", objects.Object{Bucket: "theirs", Key: "a"}, 0, objects.ErrForbidden, "AccessDenied"},
		{"another region's", objects.Object{Bucket: "far", Key: "a"}, 0, objects.ErrBucket, "region"},
		{"no bucket", objects.Object{Bucket: "missing", Key: "a"}, 0, objects.ErrBucket, "does not exist"},
		{"archived", objects.Object{Bucket: "scores", Key: "archived"}, 0, objects.ErrUnreadable, "archived"},
		{"changed", objects.Object{Bucket: "scores", Key: o.Key, ETag: "another"}, 0, objects.ErrChanged, "ETag"},
		{"past its end", name, 10, objects.ErrUnreadable, "shorter"},
	} {
		_, err := store.Get(t.Context(), objects.Request{Object: tt.object, From: tt.from})
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.kind)
		}
	}

	for _, e := range []*awstest.Error{s3fake.SlowDown(), s3fake.InternalError(), {Status: http.StatusForbidden, Type: "RequestTimeTooSkewed", Message: "x"}, {Status: http.StatusForbidden, Type: "ExpiredToken", Message: "x"}} {
		fake.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Err: e} })
		_, err := store.Get(t.Context(), objects.Request{Object: name})
		for _, final := range []error{objects.ErrChanged, objects.ErrForbidden, objects.ErrUnreadable, objects.ErrBucket} {
			if err == nil || errors.Is(err, final) {
				t.Errorf("%s: %v, which is not tried again", e.Type, err)
			}
		}
		if Code(err) != e.Type {
			t.Errorf("%s counts as %s", e.Type, Code(err))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Get(ctx, objects.Request{Object: name}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

package objects

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	plainEvent  = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":"2026-02-01T12:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0","bucket":{"name":"scores","arn":"arn:aws:s3:::scores"},"object":{"key":"daily/2026-02-01/part+%C3%A9+1%2B2.jsonl","size":1048576,"eTag":"d41d8cd98f00b204e9800998ecf8427e","versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}}]}`
	bridgeEvent = `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","account":"111122223333","time":"2026-02-01T12:00:00Z","region":"eu-west-1","resources":["arn:aws:s3:::scores"],"detail":{"version":"0","bucket":{"name":"scores"},"object":{"key":"daily/2026-02-01/part é 1+2.jsonl","size":1048576,"etag":"d41d8cd98f00b204e9800998ecf8427e","version-id":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"},"request-id":"C3D13FE58DE4C810","requester":"123456789012","reason":"PutObject"}}`
	testEvent   = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-02-01T12:00:00.000Z","Bucket":"scores","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR"}`
)

// bySNS wraps a message as SNS does.
func bySNS(body string) string {
	text, _ := json.Marshal(body)
	return fmt.Sprintf(`{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:eu-west-1:123456789012:scores","Subject":"Amazon S3 Notification","Message":%s,"Timestamp":"2026-02-01T12:00:00.000Z"}`, text)
}

func TestParse(t *testing.T) {
	want := Object{Bucket: "scores", Key: "daily/2026-02-01/part é 1+2.jsonl", VersionID: "096fKKXTRTtl3on89fVO.nfljtsv6qko", ETag: "d41d8cd98f00b204e9800998ecf8427e", Size: 1 << 20}
	for name, body := range map[string]string{
		"plain": plainEvent, "SNS": bySNS(plainEvent), "EventBridge": bridgeEvent, "EventBridge by SNS": bySNS(bridgeEvent), "SNS twice": bySNS(bySNS(plainEvent)),
	} {
		t.Run(name, func(t *testing.T) {
			n, why := parse(body)
			if why != nil || len(n.created) != 1 || n.created[0].why != nil || n.created[0].Object != want || n.ignored != 0 || n.test || n.part != nil {
				t.Fatalf("%+v, %v, want one object %+v", n, why, want)
			}
			// What is rejected of a message can be sent again as a message.
			again, why := parse(n.created[0].raw)
			if why != nil || len(again.created) != 1 || again.created[0].Object != want {
				t.Errorf("its own message: %+v, %v", again, why)
			}
		})
	}
	t.Run("several events in one message", func(t *testing.T) {
		first := strings.TrimSuffix(plainEvent, "]}")
		removed := strings.Replace(strings.TrimPrefix(first, `{"Records":[`), "ObjectCreated:Put", "ObjectRemoved:Delete", 1)
		copied := strings.NewReplacer("ObjectCreated:Put", "ObjectCreated:Copy", "part+", "other+").Replace(strings.TrimPrefix(first, `{"Records":[`))
		n, why := parse(first + "," + removed + `,{"s3":7},` + copied + "]}")
		if why != nil || len(n.created) != 3 || n.ignored != 1 {
			t.Fatalf("%+v, %v, want two objects, a broken event and an ignored one", n, why)
		}
		if n.created[0].Object != want || n.created[1].why == nil || n.created[2].Key != "daily/2026-02-01/other é 1+2.jsonl" {
			t.Errorf("%+v", n.created)
		}
	})
	t.Run("test event", func(t *testing.T) {
		for _, body := range []string{testEvent, bySNS(testEvent)} {
			if n, why := parse(body); why != nil || !n.test || len(n.created) != 0 {
				t.Errorf("%+v, %v", n, why)
			}
		}
	})
	t.Run("ignored", func(t *testing.T) {
		for name, body := range map[string]string{
			"removed":           strings.Replace(plainEvent, "ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", 1),
			"tagged":            strings.Replace(bridgeEvent, "Object Created", "Object Tags Added", 1),
			"another service's": strings.Replace(bridgeEvent, "aws.s3", "aws.ecr", 1),
			"another source":    strings.Replace(plainEvent, "aws:s3", "aws:ses", 1),
		} {
			if n, why := parse(body); why != nil || n.ignored != 1 || len(n.created) != 0 {
				t.Errorf("%s: %+v, %v", name, n, why)
			}
		}
	})
	t.Run("compatible services", func(t *testing.T) {
		body := strings.NewReplacer("aws:s3", "minio:s3", "ObjectCreated:Put", "s3:ObjectCreated:Put").Replace(plainEvent)
		if n, why := parse(body); why != nil || len(n.created) != 1 || n.created[0].Object != want {
			t.Errorf("%+v, %v", n, why)
		}
	})
}

func TestParseRejects(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"no JSON":           {"hello", "not an event of S3"},
		"a prediction":      {`{"predictionId":"a","prediction":1}`, "WORKER_QUEUE_URL"},
		"an array":          {`[1]`, "not an event of S3"},
		"no events":         {`{"Records":[]}`, "none of Records"},
		"a confirmation":    {`{"Type":"SubscriptionConfirmation","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"","SubscribeURL":"https://x"}`, "subscribe"},
		"too many layers":   {bySNS(bySNS(bySNS(bySNS(plainEvent)))), "too many envelopes"},
		"too many events":   {`{"Records":[` + strings.Repeat("1,", maxEvents) + "1]}", "split the message"},
		"a part by SNS":     {bySNS((&part{Object: Object{Bucket: "b", Key: "k", ETag: "e", Size: 9}, Modified: 1, End: 9}).message()), "only workers"},
		"a later part":      {`{"predcache.range":2,"bucket":"b","key":"k","etag":"e","size":9,"lastModified":1,"end":9}`, "this version"},
		"a part past it":    {`{"predcache.range":1,"bucket":"b","key":"k","etag":"e","size":9,"lastModified":1,"end":10}`, "belong together"},
		"an empty part":     {`{"predcache.range":1,"bucket":"b","key":"k","etag":"e","size":9,"lastModified":1,"start":9,"end":9}`, "belong together"},
		"a part of any":     {`{"predcache.range":1,"bucket":"b","key":"k","size":9,"lastModified":1,"end":9}`, "belong together"},
		"a broken detail":   {strings.Replace(bridgeEvent, `"detail":{`, `"detail":[{`, 1), "not an event"},
		"a detail of words": {`{"detail-type":"Object Created","source":"aws.s3","detail":"x"}`, "EventBridge event message structure"},
	} {
		if n, why := parse(tt.body); why == nil || !strings.Contains(why.Error(), tt.want) {
			t.Errorf("%s: %+v, %v, want one about %q", name, n, why, tt.want)
		}
	}
	for name, change := range map[string][2]string{
		"no bucket":        {`"name":"scores"`, `"name":""`},
		"no key":           {"daily/2026-02-01/part+%C3%A9+1%2B2.jsonl", ""},
		"a broken key":     {"part+%C3%A9", "part+%C"},
		"no UTF-8":         {"part+%C3%A9", "part+%C3"},
		"a long key":       {"part+%C3%A9", strings.Repeat("k", 1024)},
		"a version's line": {"096fKKXTRTtl3on89fVO.nfljtsv6qko", `a\nb`},
		"a tag's quote":    {"d41d8cd98f00b204e9800998ecf8427e", `\"`},
		"a negative size":  {"1048576", "-2"},
	} {
		body := strings.Replace(plainEvent, change[0], change[1], 1)
		if n, why := parse(body); why != nil || len(n.created) != 1 || n.created[0].why == nil {
			t.Errorf("%s: %+v, %v, want one rejected object", name, n, why)
		}
	}
}

func TestPermitted(t *testing.T) {
	allowed := []Prefix{{"scores", "daily/"}, {"all", ""}}
	for _, tt := range []struct {
		bucket, key string
		want        bool
	}{
		{"scores", "daily/a.jsonl", true}, {"scores", "daily", false}, {"scores", "weekly/a.jsonl", false}, {"scores", "../daily/a", false},
		{"all", "a", true}, {"al", "a", false}, {"allx", "a", false}, {"", "a", false},
	} {
		if _, ok := permitted(allowed, &Object{Bucket: tt.bucket, Key: tt.key}); ok != tt.want {
			t.Errorf("%s/%s: %v", tt.bucket, tt.key, ok)
		}
	}
	within := Prefix{"scores", "_exports/"} // a whole bucket, and a folder of it that would be skipped
	if p, ok := permitted([]Prefix{{"scores", ""}, within, {"scores", "_"}}, &Object{Bucket: "scores", Key: "_exports/a.jsonl"}); !ok || p != within {
		t.Errorf("of several entries, %v counts", p)
	}
}

func TestSkips(t *testing.T) {
	for key, want := range map[string]bool{
		"daily/part-0.jsonl": false, "daily/_SUCCESS": true, "daily/.part-0.crc": true, "daily/_temporary/0/part-0.jsonl": true,
		"daily/_delta_log/00000.json": true, "daily/_day=1/part-0.jsonl": false, "daily/manifest-7.json": true, "daily/manifest.json": false,
		"daily/part-0.jsonl.checksum": true, "daily/sub/": true, "daily/.hidden/a.jsonl": true, "daily/a_b.c": false,
	} {
		o := Object{Bucket: "b", Key: key, Size: 1}
		if got := o.skips("daily/"); got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
	if o := (Object{Key: "_exports/a.jsonl", Size: 1}); o.skips("_exports/") {
		t.Error("a name that the allow-list gives is skipped")
	}
	// The prefix may end within a name.
	for key, want := range map[string]bool{
		"scores.jsonl": false, "scores_2026/a.jsonl": false, "scores_2026/_temporary/a.jsonl": true, "scores/_SUCCESS": true, "scores": false,
	} {
		if o := (Object{Key: key, Size: 1}); o.skips("scores") != want {
			t.Errorf("%s below scores: %v", key, !want)
		}
	}
	if o := (Object{Key: "a.jsonl"}); !o.skips("") {
		t.Error("an empty object is read")
	}
}

func TestSplit(t *testing.T) {
	for _, size := range []int64{1, 8<<20 - 1, 8 << 20, 8<<20 + 1, 5 << 30, 50 << 40} {
		parts := split(&Object{Bucket: "b", Key: "k", ETag: "e", Size: size}, 1, 8<<20)
		if len(parts) > maxParts {
			t.Errorf("%d bytes make %d parts", size, len(parts))
		}
		var at int64
		for _, p := range parts {
			n, why := parse(p.message())
			p.Mark = partVersion
			if why != nil || n.part == nil || *n.part != p {
				t.Fatalf("%+v is read as %+v, %v", p, n.part, why)
			}
			if p.Start != at || p.End <= at {
				t.Fatalf("%d bytes: a part from %d after %d", size, p.Start, at)
			}
			at = p.End
		}
		if at != size {
			t.Errorf("%d bytes: the parts end at %d", size, at)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, body := range []string{plainEvent, bridgeEvent, testEvent, bySNS(plainEvent), bySNS(bySNS(bridgeEvent)),
		(&part{Object: Object{Bucket: "b", Key: "k", ETag: "e", Size: 9}, Modified: 1, Start: 3, End: 9}).message()} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		n, why := parse(body)
		if why != nil && (len(n.created) > 0 || n.part != nil || n.test || n.ignored > 0) {
			t.Fatalf("rejected (%v), and read: %+v", why, n)
		}
		if why == nil && len(n.created) == 0 && n.part == nil && !n.test && n.ignored == 0 {
			t.Fatal("neither read nor rejected")
		}
		for _, c := range n.created {
			if c.why == nil && c.check() != nil {
				t.Errorf("an object that no request can name: %+v", c.Object)
			}
			again, why := parse(c.raw)
			if why != nil || len(again.created) != 1 || again.created[0].Object != c.Object || (again.created[0].why == nil) != (c.why == nil) {
				t.Errorf("%q is not the event of %+v: %+v, %v", c.raw, c, again, why)
			}
		}
		if p := n.part; p != nil {
			if why := p.check(); why != nil || p.Start < 0 || p.End > p.Size {
				t.Errorf("a part that can't be read: %+v, %v", p, why)
			}
			again, why := parse(p.message())
			if why != nil || *again.part != *p {
				t.Errorf("%+v is read as %+v, %v", p, again.part, why)
			}
		}
		if !slices.ContainsFunc(n.created, func(c created) bool { return c.why == nil }) {
			return
		}
		if again, why := parse(bySNS(body)); why == nil && len(again.created) != len(n.created) {
			t.Errorf("by SNS it has %d objects, not %d", len(again.created), len(n.created))
		}
	})
}

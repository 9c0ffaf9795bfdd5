package cache_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
)

// wrapped is a client that heeds no options, as somebody's wrapper may: its answers are read by the SDK.
type wrapped struct{ *dynamodb.Client }

func (w wrapped) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return w.Client.GetItem(ctx, in)
}

func (w wrapped) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return w.Client.BatchGetItem(ctx, in)
}

func (w wrapped) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return w.Client.Query(ctx, in)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// sound tells whether an item, or a map in one, is as DynamoDB sends it: each value an object of one member.
func sound(attributes map[string]any) bool {
	for _, v := range attributes {
		if !soundValue(v) {
			return false
		}
	}
	return true
}

func soundValue(v any) bool {
	typed, _ := v.(map[string]any)
	for kind, v := range typed {
		switch v := v.(type) {
		case string:
			return len(typed) == 1 && (kind == "S" || kind == "N" || kind == "B")
		case bool:
			return len(typed) == 1 && (kind == "BOOL" || kind == "NULL" && v)
		case []any:
			for _, element := range v {
				if _, isText := element.(string); kind == "L" && !soundValue(element) || kind != "L" && !isText {
					return false
				}
			}
			return len(typed) == 1 && (kind == "L" || kind == "SS" || kind == "NS" || kind == "BS")
		case map[string]any:
			return len(typed) == 1 && kind == "M" && sound(v)
		}
	}
	return false
}

// What we read of an answer is what the SDK reads of it.
func FuzzAnswers(f *testing.F) {
	for _, item := range []string{
		benchItem(1),
		`{}`,
		`{"predictionId":{"S":"\u00e9\ud83d\ude00\"\\\n"},"timestamp":{"N":"1"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"1.5"},"prediction":{"S":"[1, 2]"}}`,
		`{"predictionId":{"S":"a"},"expiresAt":{"N":"1"},"createdAt":{"N":"1"},"prediction":{"S":"0"}}`, // expired
		`{"predictionId":{"S":"a"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"1"},"prediction":{"S":"{"}}`,
		`{"predictionId":{"S":"a"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"1"},"encoding":{"S":"zstd"},"prediction":{"B":"KLUv/QQACQAAWzFdz2nf5A=="}}`,
		`{"predictionId":{"S":"a"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"1"},"encoding":{"S":"map"},"prediction":{"M":{"b":{"L":[{"N":"1.50"},{"NULL":true},{"M":{}}]},"a":{"M":{"x":{"S":""}}}}},"t":{"BOOL":true},"f":{"BOOL":false}}`,
		`{"predictionId":{"S":"a"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"1"},"prediction":{"S":"0"},"s":{"SS":["x","y"]},"n":{"NS":["1"]},"b":{"BS":["AQ=="]},"c":{"B":"AQ=="}}`,
		`{"predictionId":{"B":"AQ=="},"expiresAt":{"N":"99999999999"}}`,
	} {
		f.Add(item)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var item map[string]any
		if json.Unmarshal([]byte(text), &item) != nil || !sound(item) {
			return
		}
		body, err := json.Marshal(map[string]any{"Item": item, "ConsumedCapacity": map[string]any{"CapacityUnits": 1}})
		if err != nil {
			t.Fatal(err)
		}
		client := dynamodb.NewFromConfig(awstest.Config(canned(body)))
		read := func(client cache.DynamoDB) string {
			p, err := cache.New(client, "predictions", cache.WithLayout(cache.LatestOnly())).Get(t.Context(), "a")
			if err != nil {
				readable, _, _ := strings.Cut(err.Error(), "deserialization failed")
				return readable
			}
			text, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if ours, theirs := read(client), read(wrapped{client}); ours != theirs {
			t.Errorf("%s\n    is read as %s\nby the SDK as %s", body, ours, theirs)
		}
	})
}

func TestTheRestOfAnAnswerIsTheSDKs(t *testing.T) {
	now := time.Now()
	item := func(n int64) string {
		return fmt.Sprintf(`{"predictionId":{"S":"a"},"timestamp":{"N":"%d"},"expiresAt":{"N":"%d"},"createdAt":{"N":"%[1]d"},"prediction":{"S":"%[3]d"}}`,
			now.Unix()-n, now.Add(time.Hour).Unix(), n)
	}
	answers := []string{
		`{"Count":1,"Items":[` + item(1) + `]}`, // what History first asks for: the unit of the sort key
		`{"Items":[` + item(1) + `,` + item(2) + `],"Count":2,"LastEvaluatedKey":{"predictionId":{"S":"a"},"timestamp":{"N":"7"}},"ScannedCount":2}`,
		`{"ScannedCount":1,"Items":[` + item(3) + `]}`,
	}
	var asked []string
	client := dynamodb.NewFromConfig(awstest.Config(roundTrip(func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, string(body))
		req.Body = nil
		return canned(answers[min(len(asked), len(answers))-1]).RoundTrip(req)
	})))
	found := ""
	for p, err := range cache.New(client, "predictions", cache.WithLayout(cache.Versioned())).History(t.Context(), "a", now.Add(-time.Hour), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		found += string(p.Payload)
	}
	if found != "123" {
		t.Errorf("found %s, want 123", found)
	}
	if len(asked) != 3 || !strings.Contains(asked[2], `"timestamp":{"N":"7"}`) {
		t.Errorf("asked %q", asked)
	}
}

func TestAnAnswerThatWasChangedOnItsWayIsRefused(t *testing.T) {
	answer := canned(`{"Item":` + benchItem(1) + `}`)
	client := dynamodb.NewFromConfig(awstest.Config(roundTrip(func(req *http.Request) (*http.Response, error) {
		resp, err := answer.RoundTrip(req)
		resp.Header.Set("X-Amz-Crc32", "1")
		return resp, err
	})), func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
	if p, err := cache.New(client, "predictions", cache.WithLayout(cache.LatestOnly())).Get(t.Context(), "user-1"); err == nil {
		t.Errorf("read %v", p)
	}
}

package cache_test

import (
	"encoding/json"
	"errors"
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

// readAll says what each kind of call reads.
func readAll(t *testing.T, open func(layout cache.Layout) *cache.Cache) string {
	var all strings.Builder
	add := func(p *cache.Prediction, err error) {
		if err != nil {
			readable, _, _ := strings.Cut(err.Error(), "deserialization failed") // the SDK says how in its own words
			readable = strings.ReplaceAll(readable, "https response error StatusCode: 200, RequestID: , ", "")
			all.WriteString(readable + "; ")
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(append(text, ';', ' '))
	}
	latest := open(cache.LatestOnly())
	add(latest.Get(t.Context(), "a"))
	many, err := latest.GetMany(t.Context(), []string{"a", "b"})
	for _, p := range many {
		add(p, nil)
	}
	add(nil, err)
	versioned := open(cache.Versioned())
	add(versioned.Get(t.Context(), "a"))
	for p, err := range versioned.History(t.Context(), "a", time.Time{}, time.Time{}) {
		add(p, err)
	}
	return all.String()
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
		`{"predictionId":{"S":"a"},"timestamp":{"N":"5.75"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"5.5"},"deleted":{"BOOL":true}}`,
		`{"predictionId":{"S":"a"},"timestamp":{"N":"5"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"5"},"prediction":{"S":"0"},"deleted":{"BOOL":false}}`,
	} {
		f.Add(item)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var item map[string]any
		if json.Unmarshal([]byte(text), &item) != nil || !sound(item) {
			return
		}
		client := dynamodb.NewFromConfig(awstest.Config(roundTrip(func(req *http.Request) (*http.Response, error) {
			_, operation, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
			body, err := json.Marshal(map[string]any{
				"GetItem":      map[string]any{"Item": item, "ConsumedCapacity": map[string]any{"CapacityUnits": 1}},
				"Query":        map[string]any{"Count": 2, "Items": []any{item, item}, "ScannedCount": 2},
				"BatchGetItem": map[string]any{"Responses": map[string]any{"predictions": []any{item, item}}, "UnprocessedKeys": map[string]any{}},
			}[operation])
			if err != nil {
				t.Error(err)
			}
			return canned(body).RoundTrip(req)
		})))
		ours := readAll(t, func(l cache.Layout) *cache.Cache { return open(client, "predictions", cache.WithLayout(l)) })
		theirs := readAll(t, func(l cache.Layout) *cache.Cache { return openClient(client, "predictions", cache.WithLayout(l)) })
		if ours != theirs {
			t.Errorf("%s\n    is read as %s\nby the SDK as %s", text, ours, theirs)
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
	for p, err := range open(client, "predictions", cache.WithLayout(cache.Versioned())).History(t.Context(), "a", now.Add(-time.Hour), time.Time{}) {
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
	if p, err := open(client, "predictions", cache.WithLayout(cache.LatestOnly())).Get(t.Context(), "user-1"); err == nil {
		t.Errorf("read %v", p)
	}
}

// answering is a client that gets one answer after the other.
func answering(answers ...string) *dynamodb.Client {
	return dynamodb.NewFromConfig(awstest.Config(roundTrip(func(req *http.Request) (*http.Response, error) {
		if len(answers) == 0 {
			return nil, errors.New("asked once too often")
		}
		answer := answers[0]
		answers = answers[1:]
		return canned(answer).RoundTrip(req)
	})), func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
}

func TestNothingIsLeftOfAnotherAnswer(t *testing.T) {
	t.Run("in an empty one", func(t *testing.T) {
		client := answering(`{"Items":[],"LastEvaluatedKey":{"predictionId":{"S":"another"},"timestamp":{"N":"7"}}}`, `{}`)
		_, err := open(client, "predictions", cache.WithLayout(cache.ExpirySorted())).Get(t.Context(), "a")
		if !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("in what was read before", func(t *testing.T) {
		attributes := func(name string) string {
			return fmt.Sprintf(`{"Item":{"predictionId":{"S":"%s"},"expiresAt":{"N":"99999999999"},"createdAt":{"N":"1"},"prediction":{"S":"\"%[1]s\""},"%[1]s":{"S":"%[1]s"}}}`, name)
		}
		answers := []string{attributes("first")}
		for range 10 {
			answers = append(answers, attributes("other"))
		}
		c := open(answering(answers...), "predictions", cache.WithLayout(cache.LatestOnly()))
		first, err := c.Get(t.Context(), "first")
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, err := c.Get(t.Context(), "other"); err != nil {
				t.Fatal(err)
			}
		}
		if first.ID != "first" || string(first.Payload) != `"first"` || len(first.Attributes) != 1 || string(first.Attributes["first"]) != `"first"` {
			t.Errorf("it became %+v", first)
		}
	})
}

func TestATornAnswerTeachesNothing(t *testing.T) {
	now := time.Now()
	whole := fmt.Sprintf(`{"Items":[{"timestamp":{"N":"%d"},"predictionId":{"S":"a"},"expiresAt":{"N":"%d"},"createdAt":{"N":"%[1]d"},"prediction":{"S":"1"}}]}`, now.Unix(), now.Add(time.Hour).Unix())
	torn := fmt.Sprintf(`{"Items":[{"predictionId":{"S":"a"},"expiresAt":{"N":"%d"},"createdAt":{"N":"%d"},"prediction":{"S":"1"},"timestamp":{"N":"179`, now.Add(time.Hour).Unix(), now.Unix())
	asked := ""
	answers := []string{torn, whole, whole}
	client := dynamodb.NewFromConfig(awstest.Config(roundTrip(func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		asked, req.Body = string(body), nil
		answer := answers[0]
		answers = answers[1:]
		return canned(answer).RoundTrip(req)
	})))
	c := open(client, "predictions", cache.WithLayout(cache.Versioned()))
	if p, err := c.Get(t.Context(), "a"); err == nil {
		t.Fatalf("read %v", p)
	}
	for _, err := range c.History(t.Context(), "a", now.Add(-time.Hour), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := fmt.Sprintf(`":lo":{"N":"%d"}`, now.Add(-time.Hour).Unix()); !strings.Contains(asked, want) {
		t.Errorf("asked %s, want %s in it", asked, want)
	}
}

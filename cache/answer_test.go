package cache_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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

// readAll says what each kind of call reads.
func readAll(t *testing.T, client cache.DynamoDB) string {
	var all strings.Builder
	add := func(p *cache.Prediction, err error) {
		if err != nil {
			readable, _, _ := strings.Cut(err.Error(), "deserialization failed")
			all.WriteString(readable + "; ")
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(append(text, ';', ' '))
	}
	latest := cache.New(client, "predictions", cache.WithLayout(cache.LatestOnly()))
	add(latest.Get(t.Context(), "a"))
	many, err := latest.GetMany(t.Context(), []string{"a", "b"})
	for _, p := range many {
		add(p, nil)
	}
	add(nil, err)
	for p, err := range cache.New(client, "predictions", cache.WithLayout(cache.Versioned())).History(t.Context(), "a", time.Time{}, time.Time{}) {
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
		if ours, theirs := readAll(t, client), readAll(t, wrapped{client}); ours != theirs {
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
		client := answering(`{"Items":[],"LastEvaluatedKey":{"predictionId":{"S":"another"}}}`, "")
		_, err := cache.New(client, "predictions", cache.WithLayout(cache.ExpirySorted())).Get(t.Context(), "a")
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
		c := cache.New(answering(answers...), "predictions", cache.WithLayout(cache.LatestOnly()))
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
	c := cache.New(client, "predictions", cache.WithLayout(cache.Versioned()))
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

// twice makes each call twice, with the options of one, and takes the answer that comes first.
type twice struct{ *dynamodb.Client }

func (w twice) GetItem(ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	answers := make(chan func() (*dynamodb.GetItemOutput, error), 2)
	for range 2 {
		go func() {
			out, err := w.Client.GetItem(ctx, in, append(options, options...)...)
			answers <- func() (*dynamodb.GetItemOutput, error) { return out, err }
		}()
	}
	return (<-answers)()
}

func TestAClientMayHedge(t *testing.T) {
	c := cache.New(twice{dynamodb.NewFromConfig(awstest.Config(canned(`{"Item":` + benchItem(1) + `}`)))}, "predictions", cache.WithLayout(cache.LatestOnly()))
	for range 500 {
		if _, err := c.Get(t.Context(), "user-1"); err != nil {
			t.Fatal(err)
		}
	}
}

// outputs is a client that changes what GetItem returns.
type outputs struct {
	*dynamodb.Client
	change func(call func() (*dynamodb.GetItemOutput, error)) (*dynamodb.GetItemOutput, error)
}

func (c outputs) GetItem(ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return c.change(func() (*dynamodb.GetItemOutput, error) { return c.Client.GetItem(ctx, in, options...) })
}

// Whatever a client does that wraps another, what is there is found.
func TestAClientMayChangeWhatItReturns(t *testing.T) {
	client := dynamodb.NewFromConfig(awstest.Config(canned(`{"Item":` + benchItem(1) + `}`)))
	sdks, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("predictions"), Key: map[string]types.AttributeValue{"predictionId": text("user-1")}})
	if err != nil {
		t.Fatal(err)
	}
	var kept *dynamodb.GetItemOutput
	for name, change := range map[string]func(call func() (*dynamodb.GetItemOutput, error)) (*dynamodb.GetItemOutput, error){
		"a copy": func(call func() (*dynamodb.GetItemOutput, error)) (*dynamodb.GetItemOutput, error) {
			out, err := call()
			other := *out
			return &other, err
		},
		"a copy of what it knows": func(call func() (*dynamodb.GetItemOutput, error)) (*dynamodb.GetItemOutput, error) {
			out, err := call()
			other := &dynamodb.GetItemOutput{Item: map[string]types.AttributeValue{}}
			for name, v := range out.Item {
				switch v.(type) {
				case *types.AttributeValueMemberS, *types.AttributeValueMemberN, *types.AttributeValueMemberBOOL:
					other.Item[name] = v
				}
			}
			return other, err
		},
		"a copy of texts": func(call func() (*dynamodb.GetItemOutput, error)) (*dynamodb.GetItemOutput, error) {
			out, err := call()
			other := &dynamodb.GetItemOutput{Item: map[string]types.AttributeValue{}}
			for name, v := range out.Item {
				switch v.(type) {
				case *types.AttributeValueMemberS, *types.AttributeValueMemberN:
					other.Item[name] = v
				}
			}
			return other, err
		},
		"what it has kept of an earlier call": func(call func() (*dynamodb.GetItemOutput, error)) (_ *dynamodb.GetItemOutput, err error) {
			if kept == nil {
				kept, err = call()
			}
			return kept, err
		},
		"what it has kept of the SDK": func(func() (*dynamodb.GetItemOutput, error)) (*dynamodb.GetItemOutput, error) { return sdks, nil },
	} {
		c := cache.New(outputs{client, change}, "predictions", cache.WithLayout(cache.LatestOnly()))
		for range 2 {
			if p, err := c.Get(t.Context(), "user-1"); err != nil || p.ID != "user-1" {
				t.Errorf("%s: %v, %v", name, p, err)
			}
		}
	}
}

func TestWhatWasKeptIsNotReturnedOnceItHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := dynamodb.NewFromConfig(awstest.Config(canned(`{"Item":` + benchItem(1) + `}`))) // lives for an hour
		var kept *dynamodb.GetItemOutput
		c := cache.New(outputs{client, func(call func() (*dynamodb.GetItemOutput, error)) (_ *dynamodb.GetItemOutput, err error) {
			if kept == nil {
				kept, err = call()
			}
			return kept, err
		}}, "predictions", cache.WithLayout(cache.LatestOnly()))
		if _, err := c.Get(t.Context(), "user-1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if p, err := c.Get(t.Context(), "user-1"); err == nil {
			t.Errorf("read %v", p)
		}
	})
}

// A copy that has lost what was read, and is given to another call, is an error: no miss.
func TestALostAnswerIsNoMiss(t *testing.T) {
	client := dynamodb.NewFromConfig(awstest.Config(canned(`{"Item":` + benchItem(1) + `}`)))
	var kept *dynamodb.GetItemOutput
	c := cache.New(outputs{client, func(call func() (*dynamodb.GetItemOutput, error)) (*dynamodb.GetItemOutput, error) {
		if kept == nil {
			out, err := call()
			if err != nil {
				return nil, err
			}
			kept = &dynamodb.GetItemOutput{Item: maps.Clone(out.Item)}
			delete(kept.Item, "")
		}
		return kept, nil
	}}, "predictions", cache.WithLayout(cache.LatestOnly()))
	for range 2 {
		if p, err := c.Get(t.Context(), "user-1"); err == nil || errors.Is(err, cache.ErrNotFound) {
			t.Errorf("read %v, %v", p, err)
		}
	}
}

func TestOtherOptionsReadAnotherCallsAnswerAgain(t *testing.T) {
	client := dynamodb.NewFromConfig(awstest.Config(canned(`{"Item":` + benchItem(1) + `}`)))
	var kept *dynamodb.GetItemOutput
	n := 0
	c := cache.New(outputs{client, func(call func() (*dynamodb.GetItemOutput, error)) (_ *dynamodb.GetItemOutput, err error) {
		if n++; n <= 2 && kept != nil {
			return kept, nil
		}
		kept, err = call()
		return kept, err
	}}, "predictions", cache.WithLayout(cache.LatestOnly()))
	if _, err := c.Get(t.Context(), "user-1"); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Get(t.Context(), "user-1", cache.Where("model", "another")); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("read %v, %v", p, err)
	}
	if n != 3 {
		t.Errorf("%d calls, want one more for the SDK to read", n)
	}
}

// An attempt after one that was read brings something else: what it brings counts, and nothing else.
func TestTheLastAttemptCounts(t *testing.T) {
	answers := []string{
		`{"Responses":{"predictions":[` + benchItem(1) + `]},"UnprocessedKeys":{"predictions":{"Keys":[{"predictionId":{"S":"user-2"}}]}}}`,
		`{"Responses":{"predictions":[` + benchItem(1) + `,` + benchItem(2) + `]},"UnprocessedKeys":{}}`,
	}
	client := dynamodb.NewFromConfig(awstest.Config(roundTrip(func(req *http.Request) (*http.Response, error) {
		answer := answers[0]
		answers = answers[1:]
		return canned(answer).RoundTrip(req)
	})), func(o *dynamodb.Options) {
		o.Retryer = retry.AddWithMaxBackoffDelay(retry.NewStandard(), time.Nanosecond)
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			attempts := 0
			return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("fail", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				out, metadata, err := next.HandleDeserialize(ctx, in)
				if attempts++; attempts == 1 {
					return out, metadata, &smithy.GenericAPIError{Code: "RequestTimeoutException"}
				}
				return out, metadata, err
			}), middleware.Before)
		})
	})
	found, err := cache.New(client, "predictions", cache.WithLayout(cache.LatestOnly())).GetMany(t.Context(), []string{"user-1", "user-2"})
	if err != nil || found[0] == nil || found[1] == nil {
		t.Errorf("found %v, %v", found, err)
	}
}

// foreign is a protocol that we don't know: it has its JSON in base64.
type foreign struct{ smithyhttp.ClientProtocol }

func (foreign) ID() smithy.ShapeID { return smithy.ShapeID{Namespace: "somebody", Name: "base64"} }

func (f foreign) DeserializeResponse(ctx context.Context, schema *smithy.OperationSchema, known *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable) error {
	resp.Body = io.NopCloser(base64.NewDecoder(base64.StdEncoding, resp.Body))
	return f.ClientProtocol.DeserializeResponse(ctx, schema, known, resp, out)
}

func TestAnotherProtocolIsTheSDKsToRead(t *testing.T) {
	answer := base64.StdEncoding.EncodeToString([]byte(`{"Item":` + benchItem(1) + `}`))
	client := dynamodb.NewFromConfig(awstest.Config(canned(answer)), func(o *dynamodb.Options) { o.Protocol = foreign{o.Protocol} })
	if p, err := cache.New(client, "predictions", cache.WithLayout(cache.LatestOnly())).Get(t.Context(), "user-1"); err != nil || p.ID != "user-1" {
		t.Errorf("%v, %v", p, err)
	}
}

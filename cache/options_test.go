package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

func TestBadOptions(t *testing.T) {
	cfg := awstest.Config(canned(`{}`))
	for want, option := range map[string]cache.Option{
		"Front.MaxBytes is 1: take 1048576 (1 MiB) to 1099511627776 (1 TiB)":                                 cache.WithFront(cache.Front{MaxBytes: 1}),
		"Front.MaxAge is -1s: take 1ms to 168h0m0s":                                                          cache.WithFront(cache.Front{MaxAge: -time.Second}),
		"Front.MaxAge is 200h0m0s: take 1ms to 168h0m0s":                                                     cache.WithFront(cache.Front{MaxAge: 200 * time.Hour}),
		"Front.NegativeAge is 1m0s: take 1ns to MaxAge (10s)":                                                cache.WithFront(cache.Front{NegativeAge: time.Minute}),
		"Front.StaleAge is 1s: take MaxAge (10s) or more, or 0 for the prediction's own life":                cache.WithFront(cache.Front{StaleAge: time.Second}),
		"Front.Wait is 2m0s: take 1ms to 1m":                                                                 cache.WithFront(cache.Front{Wait: 2 * time.Minute}),
		"Concurrency is 0: take 1 to 1000":                                                                   cache.Concurrency(0),
		"ComputedAge is 0s: take 1ms to 168h0m0s":                                                            cache.ComputedAge(0),
		"EarlyCompute is -1s: take 0s to 1h":                                                                 cache.EarlyCompute(-time.Second),
		"EarlyCompute is for GetOrCompute, which needs WithPublisher too":                                    cache.EarlyCompute(0),
		"ReadTimeout is 0s: take 10ms to 5m":                                                                 cache.ReadTimeout(0),
		"AttemptTimeout is 2m0s: take 10ms to 1m":                                                            cache.AttemptTimeout(2 * time.Minute),
		"WithPublisher: the publisher is nil":                                                                cache.WithPublisher(nil),
		"WithLayout: HashKey and TTLAttribute must be set: start from Versioned, ExpirySorted or LatestOnly": cache.WithLayout(cache.Layout{}),
		"an option is nil":                         nil,
		`Where(""): the attribute's name is empty`: cache.Where("", 1),
		"Only: an attribute's name is empty":       cache.Only("prediction", ""),
		`Where("a"): a value of type struct {}: take a string, a boolean or a number`: cache.Where("a", struct{}{}),
	} {
		if _, err := cache.New(cfg, "predictions", option); err == nil || err.Error() != "cache: "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := cache.New(cfg, ""); err == nil {
		t.Error("a table without a name")
	}
	anonymous := cfg.Copy()
	anonymous.Credentials = nil
	if _, err := cache.New(anonymous, "predictions"); err == nil || !strings.Contains(err.Error(), "cfg has no credentials") {
		t.Errorf("got %v, want that cfg has no credentials", err)
	}
	if _, err := cache.NewFromClient(nil, "predictions"); err == nil {
		t.Error("no client")
	}
	if _, err := cache.NewFromClient(dynamodb.NewFromConfig(cfg), "predictions", cache.AttemptTimeout(time.Second)); err == nil {
		t.Error("a timeout that nobody heeds")
	}
	_, err := cache.New(cfg, "predictions", cache.Concurrency(-1), cache.WithFront(cache.Front{MaxBytes: 5, Wait: -1}))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want what is wrong with each of three", err)
	}
	c := must(cache.New(cfg, "predictions", cache.WithLayout(cache.LatestOnly())))
	if _, err := c.Get(t.Context(), "a", cache.WithFront(cache.Front{})); err == nil || !strings.Contains(err.Error(), "WithFront is an option for New") {
		t.Errorf("got %v", err)
	}
	if _, err := c.GetMany(t.Context(), []string{"a"}, cache.Concurrency(0)); err == nil {
		t.Error("no error")
	}
	for _, err := range c.History(t.Context(), "a", time.Time{}, time.Time{}, cache.Where("a", nil)) {
		if err == nil {
			t.Error("no error")
		}
	}
}

func TestBadPublisherConfig(t *testing.T) {
	const queue = "http://127.0.0.1:9324/000000000000/predictions"
	client := sqsfake.New().Client()
	for want, cfg := range map[string]cache.PublisherConfig{
		"PublisherConfig.Linger is -1s: take 1ns to 1m":              {Linger: -time.Second},
		"PublisherConfig.Buffer is -1: take 2097152 (2 MiB) or more": {Buffer: -1},
		"PublisherConfig.Calls is -1: take 1 to 1000":                {Calls: -1},
		"PublisherConfig.Attempts is 101: take 1 to 100":             {Attempts: 101},
		"PublisherConfig.Timeout is 1ms: take 10ms to 5m":            {Timeout: time.Millisecond},
		"PublisherConfig.MaxFuture is -1m0s: take more than 0s":      {MaxFuture: -time.Minute},
	} {
		if _, err := cache.NewPublisher(client, queue, cfg); err == nil || err.Error() != "cache: "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, url := range []string{"", "nonsense", "predictions.fifo", "arn:aws:sqs:eu-central-1:123456789012:predictions", "https://sqs.eu-central-1.amazonaws.com/", "ftp://host/queue"} {
		if _, err := cache.NewPublisher(client, url, cache.PublisherConfig{}); err == nil || !strings.Contains(err.Error(), "is not the URL of a queue") {
			t.Errorf("%s: got %v", url, err)
		}
	}
	if _, err := cache.NewPublisher(nil, queue, cache.PublisherConfig{}); err == nil || err.Error() != "cache: the client is nil" {
		t.Errorf("got %v", err)
	}
}

func TestNilArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "latest-only")
		l := newLine(t, "predictions", cache.PublisherConfig{})
		c := open(s.client, s.table, cache.WithPublisher(l.Publisher))
		if _, err := c.GetOrCompute(t.Context(), "a", nil); err == nil || err.Error() != "compute is nil" {
			t.Errorf("got %v", err)
		}
		if _, err := c.Get(t.Context(), "a", nil); err == nil || err.Error() != "an option is nil" {
			t.Errorf("got %v", err)
		}
		for _, err := range []error{l.Publish(t.Context(), nil), l.TryPublish(nil)} {
			if err == nil || err.Error() != "the prediction to publish is nil" {
				t.Errorf("got %v", err)
			}
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// What predcache itself writes is not among Attributes, where Where looks: without an error each read would be a miss.
func TestWhereOfOwnAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, layout := range []string{"versioned", "expiry-sorted", "latest-only"} {
			s, db := fake(t, layout)
			for _, name := range []string{"predictionId", "timestamp", "expiresAt", "createdAt", "prediction", "encoding", "deleted"} {
				if layout == "expiry-sorted" && name == "expiresAt" {
					continue // an attribute like others
				}
				_, err := s.cache.Get(t.Context(), "a", cache.Where(name, 1))
				_, many := s.cache.GetMany(t.Context(), []string{"a"}, cache.Where(name, 1))
				for _, err := range []error{err, many} {
					if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Where(%q)", name)) {
						t.Errorf("%s: %s: got %v", layout, name, err)
					}
				}
			}
			if n := reads(db); n > 0 {
				t.Errorf("%s: %d reads", layout, n)
			}
		}
	})
}

// silent is a client that returns nothing at all, as a mock may.
type silent struct{ cache.DynamoDB }

func (silent) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return nil, nil
}

func (silent) BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return nil, nil
}

func (silent) Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return nil, nil
}

func (silent) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	return nil, nil
}

func TestAClientThatReturnsNothing(t *testing.T) {
	for _, layout := range []cache.Layout{cache.LatestOnly(), cache.Versioned()} {
		c := openClient(silent{}, "predictions", cache.WithLayout(layout))
		if _, err := c.Get(t.Context(), "a"); err == nil || errors.Is(err, cache.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if _, err := c.GetMany(t.Context(), []string{"a", "b"}); err == nil {
			t.Error("no error")
		}
	}
	if _, err := openClient(silent{}, "predictions").Get(t.Context(), "a"); err == nil {
		t.Error("no error")
	}
}

// mock answers from a map, as a service's own test does.
type mock struct {
	cache.DynamoDB
	items map[string]map[string]types.AttributeValue
}

func (m mock) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{Item: m.items[in.Key["predictionId"].(*types.AttributeValueMemberS).Value]}, nil
}

func TestAMock(t *testing.T) {
	c := openClient(mock{items: map[string]map[string]types.AttributeValue{"a": {
		"predictionId": text("a"), "createdAt": number(1), "expiresAt": number(time.Now().Add(time.Hour).Unix()), "prediction": text("7"),
	}}}, "predictions", cache.WithLayout(cache.LatestOnly()), cache.WithFront(cache.Front{}))
	defer c.Close()
	for range 2 {
		if p, err := c.Get(t.Context(), "a"); err != nil || string(p.Payload) != "7" {
			t.Errorf("got %v, %v", p, err)
		}
		if p, err := c.Get(t.Context(), "b"); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("got %v, %v", p, err)
		}
	}
}

// retrying is a wrapper that makes each call again, with what was asked of it, when it fails.
type retrying struct{ cache.DynamoDB }

func (r retrying) Query(ctx context.Context, in *dynamodb.QueryInput, options ...func(*dynamodb.Options)) (out *dynamodb.QueryOutput, err error) {
	for range 10 {
		if out, err = r.DynamoDB.Query(ctx, in, options...); err == nil {
			break
		}
	}
	return out, err
}

func TestAWrapperThatRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := fake(t, "versioned")
		s.put(t, s.message("a", time.Now(), time.Hour, "1", ""))
		db.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "Query" && c.N <= 8 {
				return awstest.Fault{Drop: true}
			}
			return awstest.Fault{}
		})
		s.cache = openClient(retrying{s.client}, s.table)
		s.want(t, "a", "1")
	})
}

func TestItemsOfSomebodyElse(t *testing.T) {
	overTheWire(t, func(t *testing.T, s *store) {
		id := s.id(1)
		key := text(id)
		if s.hash == "N" {
			key = number(id)
		}
		attributes := map[string]types.AttributeValue{"predictionId": key, "expiresAt": number(time.Now().Add(time.Hour).Unix()), "result": text("x")}
		if s.kind != "latest-only" {
			attributes["timestamp"] = number(time.Now().Add(2 * time.Hour).Unix())
		}
		s.putItem(t, attributes)
		var bad *cache.ItemError
		if p, err := s.cache.Get(t.Context(), id); !errors.As(err, &bad) || bad.ID != id ||
			!strings.Contains(err.Error(), "not written by predcache") || !strings.Contains(err.Error(), "SkipForeign") {
			t.Errorf("got %v, %v", p, err)
		}
		if many, err := s.cache.GetMany(t.Context(), []string{s.id(2), id}); !errors.As(err, &bad) || bad.ID != id || many[1] != nil {
			t.Errorf("got %v, %v", many, err)
		}
		s.want(t, id, "", cache.SkipForeign())
		if many, err := s.cache.GetMany(t.Context(), []string{id}, cache.SkipForeign()); err != nil || many[0] != nil {
			t.Errorf("got %v, %v", many, err)
		}
		if s.kind == "latest-only" {
			return
		}
		s.put(t, s.message(id, time.Now(), time.Hour, "1", ""))
		s.want(t, id, "1", cache.SkipForeign()) // behind it
		fresh := *s
		fresh.cache = open(s.client, s.table) // which does not know the table's sort unit yet
		if got := fresh.history(t, id, time.Time{}, time.Time{}, cache.SkipForeign()); got != "1" {
			t.Errorf("the history is %s", got)
		}
		n := 0
		for p, err := range open(s.client, s.table).History(t.Context(), id, time.Time{}, time.Time{}) {
			if n++; (err != nil) == (p != nil) || err != nil && !errors.As(err, &bad) {
				t.Errorf("got %v, %v", p, err)
			}
		}
		if n != 2 {
			t.Errorf("the history has %d parts, want the prediction and the error", n)
		}
	})
}

func TestTTLIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := dynamodbfake.New().Client()
		in := dynamodbfake.Keys("predictionId:S", "timestamp:N")
		in.TableName, in.BillingMode = aws.String("predictions"), types.BillingModePayPerRequest
		if _, err := client.CreateTable(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
		c := open(client, "predictions")
		if _, err := c.Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "TTL of the table \"predictions\" is off") {
			t.Errorf("got %v", err)
		}
		if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: aws.String("predictions"),
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), "a"); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("got %v once it is on", err)
		}
	})
}

func TestHistoryThatEndsBeforeItStarts(t *testing.T) {
	overTheWire(t, func(t *testing.T, s *store) {
		now := time.Now()
		s.put(t, s.message(s.id(1), now.Add(-time.Minute), time.Hour, "1", ""))
		for p, err := range s.cache.History(t.Context(), s.id(1), now, now.Add(-time.Hour)) {
			t.Errorf("got %v, %v", p, err)
		}
	})
}

func TestErrorsNameTheID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "versioned N")
		if _, err := s.cache.Get(t.Context(), "user-7"); err == nil || !strings.Contains(err.Error(), `"user-7"`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestGetManyEndsWithItsContext(t *testing.T) {
	for name, options := range map[string][]cache.Option{"no front": nil, "front": {cache.WithFront(cache.Front{})}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, db := fake(t, "versioned")
				s.cache = open(s.client, s.table, append(options, cache.Concurrency(16))...)
				var ids []string
				for i := range 2000 {
					ids = append(ids, s.id(i))
				}
				db.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: 10 * time.Millisecond} })
				if _, err := s.cache.Layout(t.Context()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
				defer cancel()
				_, err := s.cache.GetMany(ctx, ids)
				if !errors.Is(err, context.DeadlineExceeded) || len(err.Error()) > 300 || !strings.Contains(err.Error(), " of 2000 ids were not read") {
					t.Errorf("got an error of %d bytes: %.300v", len(err.Error()), err)
				}
				s.cache.Close()
				time.Sleep(time.Second) // until the fake has ended what it was asked
				if n := db.CallCount("Query"); n > 13*16 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

func TestWhatTheWorkerWouldRejectIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := fake(t, "versioned")
		l := newLine(t, "predictions", cache.PublisherConfig{})
		s.cache = open(s.client, s.table, cache.WithPublisher(l.Publisher))
		good := func() *cache.Prediction { return &cache.Prediction{ID: "a", Payload: []byte("1")} }
		for what, change := range map[string]func(p *cache.Prediction){
			"createdAt":  func(p *cache.Prediction) { p.Attributes = map[string]json.RawMessage{"createdAt": []byte("1")} },
			"2049 bytes": func(p *cache.Prediction) { p.ID = strings.Repeat("x", 2049) },
			"UTF-8":      func(p *cache.Prediction) { p.ID = "a\xff" },
			"future":     func(p *cache.Prediction) { p.EventTime = time.Now().Add(time.Hour) },
			"past":       func(p *cache.Prediction) { p.EventTime = time.Unix(29497679, 0) }, // minutes
			"409600":     func(p *cache.Prediction) { p.Payload = []byte(fmt.Sprintf("%q", strings.Repeat("x", 500<<10))) },
		} {
			p := good()
			change(p)
			if err := l.Publish(t.Context(), p); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: got %v", what, err)
			}
			if err := l.TryPublish(p); err == nil || !strings.Contains(err.Error(), what) || len(err.Error()) > 300 {
				t.Errorf("%s: got %v", what, err)
			}
			if len(p.ID) > 2000 || what == "UTF-8" {
				continue // which GetOrCompute refuses before it reads
			}
			computed, failed := 0, len(l.failures)
			for range 3 {
				p.ID = what
				if got, err := s.cache.GetOrCompute(t.Context(), what, func(context.Context) (*cache.Prediction, error) { computed++; return p, nil }); err != nil || got.ID != what {
					t.Errorf("%s: got %v, %v", what, got, err)
				}
			}
			if computed != 1 || len(l.failures) != failed+1 {
				t.Errorf("%s: computed %d times, %d failures", what, computed, len(l.failures)-failed)
			}
		}
		if err := l.Close(t.Context()); err != nil || len(l.bodies()) != 0 {
			t.Errorf("published %v, %v", l.bodies(), err)
		}
	})
	// No bubble: the compressor's channels are shared.
	zstd := newLine(t, "predictions", cache.PublisherConfig{Zstd: true})
	if err := zstd.Publish(t.Context(), &cache.Prediction{ID: "a", Payload: []byte(fmt.Sprintf("%q", strings.Repeat("x", 500<<10)))}); err != nil {
		t.Errorf("got %v", err)
	}
	if err := zstd.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTryPublishDuringFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "predictions", cache.PublisherConfig{Linger: time.Millisecond})
		l.queues.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: time.Second} })
		l.publish(t, 1)
		flushed := make(chan time.Time)
		go func() {
			if err := l.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			flushed <- time.Now()
		}()
		start := time.Now()
		for i := range 50 { // for 5 s
			synctest.Wait()
			if err := l.TryPublish(&cache.Prediction{ID: fmt.Sprint(i), Payload: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			select {
			case at := <-flushed:
				if at.Sub(start) > 1100*time.Millisecond {
					t.Errorf("it took %v, for what was published meanwhile", at.Sub(start))
				}
			default:
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

package cache

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/awsjson"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
)

// New makes a Cache of a table's name or ARN. It reads with signed requests of its own, which take a fraction of the CPU of the
// SDK's client and behave as it does: region, credentials and their refresh, endpoint (AWS_ENDPOINT_URL, FIPS, dual stack,
// account ids), HTTP client and retryer are those that dynamodb.NewFromConfig(cfg) would have, and errors are of the SDK's
// types. Three things differ. Each attempt has a timeout: see AttemptTimeout. cfg.APIOptions, the SDK's middleware, are
// not run: a service that needs them takes NewFromClient. And the clock is corrected by the service's Date before it refuses a
// signature, also where expiry is compared.
//
// Where cfg has no HTTP client of its own, as many idle connections are kept as GetMany uses.
//
// New calls nothing: the first read asks the table for its layout, unless WithLayout gives it. The options are the defaults of
// every call. An error names each option that is wrong, or says that cfg has no credentials.
func New(cfg aws.Config, table string, options ...Option) (*Cache, error) {
	c, err := newCache(table, options)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg)
	o := client.Options()
	if o.Credentials == nil {
		return nil, errors.New("cache: cfg has no credentials: make it with config.LoadDefaultConfig, or set cfg.Credentials")
	}
	timeout := c.setup.attemptTimeout
	if timeout == 0 {
		timeout = defaultAttemptTimeout
	}
	var transport http.RoundTripper
	switch own := o.HTTPClient.(type) {
	case *awshttp.BuildableClient:
		t := own.GetTransport()
		t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, c.defaults.concurrency)
		t.MaxIdleConns = max(t.MaxIdleConns, c.defaults.concurrency)
		transport, timeout = t, shorter(timeout, own.GetTimeout())
		c.disconnect = t.CloseIdleConnections // GetTransport returns a copy, which is this Cache's alone
	case *http.Client:
		if transport = own.Transport; transport == nil {
			transport = http.DefaultTransport
		}
		timeout = shorter(timeout, own.Timeout)
	default:
		transport = roundTripper(own.Do)
	}
	clock := &awsjson.Clock{}
	o.HTTPClient = &http.Client{Transport: clock.Watch(transport)}
	service := awsjson.DynamoDB(o, table, clock)
	s := &signedSource{clientSource: clientSource{client, table}, time: clock, retries: retries{retryer: o.Retryer, clock: clock, timeout: timeout}}
	s.table = string(jsonscan.AppendQuoted(nil, table))
	for op := range operations {
		s.operations[op] = service.Operation(op.String())
	}
	c.source = s
	return c, nil
}

// shorter returns the shorter of two timeouts, of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if b > 0 && b < a {
		return b
	}
	return a
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A signedSource reads with requests of its own. The rare DescribeTable and DescribeTimeToLive are the SDK client's.
type signedSource struct {
	clientSource
	table      string // its name as JSON
	operations [operations]*awsjson.Operation
	retries    retries
	time       *awsjson.Clock
}

func (s *signedSource) clock() time.Duration { return s.time.Offset() }

func (s *signedSource) call(ctx context.Context, r *request) (a answer, err error) {
	op := s.operations[r.operation]
	err = s.retries.do(ctx, r.attempt, func(ctx context.Context) error {
		c := op.Begin()
		defer op.End(c)
		switch r.operation {
		case getItem:
			c.Request = s.appendGetItem(c.Request, r)
		case batchGetItem:
			c.Request = s.appendBatchGetItem(c.Request, r)
		default:
			c.Request = s.appendQuery(c.Request, r)
		}
		page := pages.Get().(*page)
		defer pages.Put(page)
		a = answer{results: make([]result, 0, len(r.keys))}
		return op.Send(ctx, c, func(w *jsonscan.Walker) { page.read(w, r, &a) })
	})
	if err != nil {
		return answer{}, err
	}
	return a, nil
}

func (s *signedSource) appendGetItem(b []byte, r *request) []byte {
	b = append(append(b, `{"TableName":`...), s.table...)
	b = appendKey(append(b, `,"Key":`...), r.layout, r.keys[0], nil)
	b = appendReading(b, r)
	return append(b, `,"ReturnConsumedCapacity":"TOTAL"}`...)
}

func (s *signedSource) appendBatchGetItem(b []byte, r *request) []byte {
	b = append(append(b, `{"RequestItems":{`...), s.table...)
	b = append(b, `:{"Keys":[`...)
	for i, key := range r.keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendKey(b, r.layout, key, nil)
	}
	b = appendReading(append(b, ']'), r)
	return append(b, `}},"ReturnConsumedCapacity":"TOTAL"}`...)
}

func (s *signedSource) appendQuery(b []byte, r *request) []byte {
	b = append(append(b, `{"TableName":`...), s.table...)
	b = jsonscan.AppendQuoted(append(b, `,"KeyConditionExpression":`...), r.condition)
	if r.filter != "" {
		b = jsonscan.AppendQuoted(append(b, `,"FilterExpression":`...), r.filter)
	}
	b = append(b, `,"ExpressionAttributeValues":{`...)
	for i, v := range r.values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(append(jsonscan.AppendQuoted(b, v.alias), ':'), v.kind, v.text)
	}
	b = strconv.AppendBool(append(b, `},"ScanIndexForward":`...), r.forward)
	if r.limit > 0 {
		b = strconv.AppendInt(append(b, `,"Limit":`...), int64(r.limit), 10)
	}
	if r.after != nil {
		b = appendKey(append(b, `,"ExclusiveStartKey":`...), r.layout, r.after.ID, r.after)
	}
	b = appendReading(b, r)
	return append(b, `,"ReturnConsumedCapacity":"TOTAL"}`...)
}

// appendReading appends what all reads have.
func appendReading(b []byte, r *request) []byte {
	if r.options.consistent {
		b = append(b, `,"ConsistentRead":true`...)
	}
	if r.projection != "" {
		b = jsonscan.AppendQuoted(append(b, `,"ProjectionExpression":`...), r.projection)
	}
	if len(r.names) == 0 {
		return b
	}
	b = append(b, `,"ExpressionAttributeNames":{`...)
	for i, n := range r.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsonscan.AppendQuoted(append(jsonscan.AppendQuoted(b, n.alias), ':'), n.attribute)
	}
	return append(b, '}')
}

// appendKey appends a primary key: the hash key, and the sort key of full where that is given.
func appendKey(b []byte, l *item.Layout, id string, full *item.Key) []byte {
	b = append(jsonscan.AppendQuoted(append(b, '{'), l.HashKey), ':')
	b = appendValue(b, string(l.HashType), id)
	if full != nil {
		b = append(jsonscan.AppendQuoted(append(b, ','), l.SortKey), ':')
		b = append(full.AppendSort(append(b, `{"N":"`...)), `"}`...)
	}
	return append(b, '}')
}

func appendValue(b []byte, kind, text string) []byte {
	b = append(append(append(b, `{"`...), kind...), `":`...)
	if kind == "BOOL" {
		return append(append(b, text...), '}')
	}
	return append(jsonscan.AppendQuoted(b, text), '}')
}

// A page is the memory that an answer's items are read with.
type page struct{ items awsitem.Reader }

var pages = sync.Pool{New: func() any { return new(page) }}

// read reads an answer. What it keeps of it is copied.
func (p *page) read(w *jsonscan.Walker, r *request, a *answer) {
	scanned, count := 0, 0
	var room [16]item.Field // enough for most items
	one := func() {
		if r.done(a) {
			return // the walker skips it
		}
		p.items.Reset()
		if fields := p.items.AppendItem(room[:0], w); !w.Failed() {
			r.item(a, fields)
		}
	}
	w.Object(func(name string) {
		switch name {
		case "Item":
			one()
		case "Items":
			w.Array(one)
		case "Responses": // of the one table, whatever it is called in the answer
			w.Object(func(string) { w.Array(one) })
		case "UnprocessedKeys":
			w.Object(func(string) {
				w.Object(func(name string) {
					if name == "Keys" {
						w.Array(func() { a.left = append(a.left, p.hashKey(w, r.layout)) })
					}
				})
			})
		case "LastEvaluatedKey":
			p.items.Reset()
			fields := p.items.AppendItem(room[:0], w)
			if len(fields) == 0 || w.Failed() {
				return
			}
			next, err := r.layout.DecodeKey(fields)
			if err != nil {
				w.Fail("a LastEvaluatedKey that is no key of the table")
				return
			}
			next.ID = r.keys[0] // which it is; its text is the page's
			a.next = &next
		case "ScannedCount":
			scanned = number(w)
		case "Count":
			count = number(w)
		case "ConsumedCapacity":
			if r.operation == batchGetItem {
				w.Array(func() { a.units += capacity(w) })
			} else {
				a.units = capacity(w)
			}
		}
	})
	a.filtered = scanned - count
}

// hashKey returns a copy of a key's hash key.
func (p *page) hashKey(w *jsonscan.Walker, l *item.Layout) string {
	p.items.Reset()
	return strings.Clone(item.Find(p.items.AppendItem(nil, w), l.HashKey).Text)
}

func number(w *jsonscan.Walker) int {
	n, err := strconv.Atoi(w.Skip())
	if err != nil && !w.Failed() {
		w.Fail("a count that is no number")
	}
	return n
}

// capacity reads the units of a ConsumedCapacity.
func capacity(w *jsonscan.Walker) (units float64) {
	w.Object(func(name string) {
		if name == "CapacityUnits" {
			units, _ = strconv.ParseFloat(w.Skip(), 64) // it is only counted
		}
	})
	return units
}

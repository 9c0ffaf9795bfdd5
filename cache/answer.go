package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
)

// An itemReader reads the items that a call brings.
//
// The SDK makes a map of attribute values of each item, which costs more than the rest of a call. So the reader puts a protocol of
// its own before the client's: it reads the items where they are, and leaves everything else to the client's.
type itemReader struct {
	cache   *Cache
	layout  *item.Layout
	options *options
	one     bool // the first that is found will do

	mu sync.Mutex
	// What was read for each of the SDK's outputs, until it is taken: a client that wraps another may make a call twice and
	// return one answer, or one that it has kept.
	read []answer
}

type answer struct {
	output  any
	results []result
}

// A result has a live prediction, or what is wrong with an item.
type result struct {
	*Prediction
	err error
}

func (c *Cache) reader(l *item.Layout, o *options) *itemReader {
	return &itemReader{cache: c, layout: l, options: o}
}

// option is given to each call.
func (r *itemReader) option(o *dynamodb.Options) {
	if o.Protocol == nil || o.Protocol.ID() != awsJSON {
		return // somebody's own: what it reads are items in the output
	}
	if p, ok := o.Protocol.(*protocol); ok && p.itemReader == r {
		return
	}
	o.Protocol = &protocol{o.Protocol, r}
}

// awsJSON is DynamoDB's protocol ("AWS JSON 1.0 protocol", Smithy).
var awsJSON = smithy.ShapeID{Namespace: "aws.protocols", Name: "awsJson1_0"}

// take returns what was read of an answer: here, or by the SDK, whose output then has the items.
func (r *itemReader) take(output any, items ...map[string]types.AttributeValue) []result {
	r.mu.Lock()
	defer r.mu.Unlock()
	read := r.read
	r.read = nil
	for i := range read {
		if read[i].output == output {
			return read[i].results
		}
	}
	var results []result
	for _, attributes := range items {
		if len(attributes) > 0 {
			results = r.add(results, awsitem.Fields(attributes))
		}
	}
	return results
}

// add reads an item, unless it isn't needed any more.
func (r *itemReader) add(results []result, fields []item.Field) []result {
	if r.one && len(results) > 0 {
		return results
	}
	if p, err := r.cache.decode(r.layout, fields, time.Now().Unix(), r.options); p != nil || err != nil {
		results = append(results, result{p, err})
	}
	return results
}

// A protocol is the client's, with the items of good answers read before it.
type protocol struct {
	smithyhttp.ClientProtocol
	*itemReader
}

// pages are what answers are read by.
var pages = sync.Pool{New: func() any { return new(page) }}

type page struct {
	body   bytes.Buffer
	rest   []byte
	fields awsitem.Reader
}

// maxKept is the largest answer whose memory is used again: BatchGetItem brings up to 16 MB.
const maxKept = 1 << 20

// DeserializeResponse implements smithyhttp.ClientProtocol.
func (p *protocol) DeserializeResponse(ctx context.Context, schema *smithy.OperationSchema, known *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable) error {
	if resp.StatusCode != http.StatusOK {
		return p.ClientProtocol.DeserializeResponse(ctx, schema, known, resp, out)
	}
	page := pages.Get().(*page)
	defer func() {
		if page.body.Cap() <= maxKept {
			pages.Put(page)
		}
	}()
	err := page.receive(resp)
	var results []result
	if err == nil {
		results, err = p.readItems(page)
	}
	resp.Body = io.NopCloser(bytes.NewReader(page.rest))
	if err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	p.mu.Lock()
	p.read = append(p.read, answer{out, results})
	p.mu.Unlock()
	return p.ClientProtocol.DeserializeResponse(ctx, schema, known, resp, out)
}

// receive takes in a body.
func (p *page) receive(resp *smithyhttp.Response) error {
	p.body.Reset()
	p.rest = p.rest[:0]
	_, err := p.body.ReadFrom(resp.Body)
	// Closing it compares the checksum. The SDK only logs a wrong one; and one that isn't there is wrong to it.
	if wrong := resp.Body.Close(); resp.Header.Get("X-Amz-Crc32") != "" {
		err = errors.Join(err, wrong)
	}
	return err
}

// readItems reads the items of a body. What is beside them becomes the rest.
func (r *itemReader) readItems(p *page) (results []result, err error) {
	body := p.body.Bytes()
	if len(body) == 0 {
		return nil, nil // nor does the SDK mind
	}
	w := jsonscan.Walk(unsafe.String(unsafe.SliceData(body), len(body)))
	one := func() {
		if r.one && len(results) > 0 {
			return // the walker skips it
		}
		p.fields.Reset()
		if fields := p.fields.Item(&w); len(fields) > 0 && !w.Failed() {
			results = r.add(results, fields)
		}
	}
	p.rest = append(p.rest, '{')
	w.Object(func(name string) {
		switch name {
		case "Item":
			one()
		case "Items":
			w.Array(one)
		case "Responses": // of the one table, whatever it is called in the answer
			w.Object(func(string) { w.Array(one) })
		default:
			if len(p.rest) > 1 {
				p.rest = append(p.rest, ',')
			}
			p.rest = append(append(jsonscan.AppendQuoted(p.rest, name), ':'), w.Skip()...)
		}
	})
	p.rest = append(p.rest, '}')
	return results, w.Err()
}

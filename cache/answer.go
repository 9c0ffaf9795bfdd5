package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
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
// its own before the client's: it reads the items where they are, and leaves everything else to the client's. What it has read
// travels in the SDK's output, in the place of the items, whatever a client does that wraps another: call twice, keep, copy.
type itemReader struct {
	cache    *Cache
	layout   *item.Layout
	options  *options
	one      bool        // the first that is found will do
	stripped atomic.Bool // an answer had items, which the SDK did not see
}

// A result has a live prediction, or what is wrong with an item.
type result struct {
	*Prediction
	err error
}

// carried is in the one item that stands in an output for all that were read, as the attribute without a name, which no item in a
// table can have. The other attribute says so where an output was copied without it.
type carried struct {
	types.AttributeValue
	by      *itemReader
	results []result
}

const placeholder = "(read by package cache)"

func (c *carried) item() map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"": c, placeholder: &types.AttributeValueMemberBOOL{Value: true}}
}

func (c *Cache) reader(l *item.Layout, o *options) *itemReader {
	return &itemReader{cache: c, layout: l, options: o}
}

// call makes a call, and returns what was read of the items that it brought. It makes the call once more, for the SDK to read, if
// what was read is lost or was read for another call with other options: the client must have given us another one's answer.
func (r *itemReader) call(do func(...func(*dynamodb.Options)) ([]map[string]types.AttributeValue, error)) ([]result, error) {
	r.stripped.Store(false) // of the page before
	items, err := do(r.option)
	if err != nil {
		return nil, err
	}
	results, ok := r.take(items)
	if ok {
		return results, nil
	}
	r.stripped.Store(false)
	if items, err = do(); err != nil {
		return nil, err
	}
	if results, ok = r.take(items); !ok {
		return nil, errors.New("the client returned the answer of another call")
	}
	return results, nil
}

// take returns what was read of items, here or by the SDK.
func (r *itemReader) take(items []map[string]types.AttributeValue) (results []result, ok bool) {
	lost := r.stripped.Load()
	for _, attributes := range items {
		if len(attributes) == 0 {
			continue
		}
		lost = false
		c, read := attributes[""].(*carried)
		_, stands := attributes[placeholder]
		switch {
		case read && (c.by == r || r.agrees(c)):
			results = append(results, c.results...)
		case read || stands:
			return nil, false
		case !r.enough(results):
			results = r.add(results, awsitem.Fields(attributes))
		}
	}
	return results, !lost
}

// agrees tells whether it would read now what another has read.
func (r *itemReader) agrees(c *carried) bool {
	now := time.Now()
	for _, read := range c.results {
		if read.err == nil && !read.ExpiresAt.After(now) {
			return false
		}
	}
	return r.cache == c.by.cache && r.layout == c.by.layout && r.options == c.by.options && r.one == c.by.one
}

// enough tells whether no further item is needed.
func (r *itemReader) enough(results []result) bool { return r.one && len(results) > 0 }

// add reads an item.
func (r *itemReader) add(results []result, fields []item.Field) []result {
	if p, err := r.cache.decode(r.layout, fields, r.options); p != nil || err != nil {
		results = append(results, result{p, err})
	}
	return results
}

// option is given to each call.
func (r *itemReader) option(o *dynamodb.Options) {
	if o.Protocol == nil || o.Protocol.ID() != awsJSON {
		return // somebody's own: the SDK reads
	}
	if _, ours := o.Protocol.(*protocol); !ours {
		o.Protocol = &protocol{o.Protocol, r}
	}
}

// awsJSON is DynamoDB's protocol ("AWS JSON 1.0 protocol", Smithy).
var awsJSON = smithy.ShapeID{Namespace: "aws.protocols", Name: "awsJson1_0"}

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
		resp.Body = http.NoBody // nobody may read the page any more
		if page.body.Cap() <= maxKept {
			pages.Put(page)
		}
	}()
	err := page.receive(resp)
	var c *carried
	if err == nil {
		c, err = p.readItems(page)
	}
	if err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	resp.Body = io.NopCloser(bytes.NewReader(page.rest))
	if err := p.ClientProtocol.DeserializeResponse(ctx, schema, known, resp, out); err != nil || c == nil {
		return err
	}
	p.stripped.Store(true)
	instead := c.item()
	switch out := out.(type) {
	case *dynamodb.GetItemOutput:
		out.Item = instead
	case *dynamodb.QueryOutput:
		out.Items = []map[string]types.AttributeValue{instead}
	case *dynamodb.BatchGetItemOutput:
		out.Responses = map[string][]map[string]types.AttributeValue{p.cache.table: {instead}}
	}
	return nil
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

// readItems reads the items of a body, if there are any. What is beside them becomes the rest.
func (r *itemReader) readItems(p *page) (c *carried, err error) {
	body := p.body.Bytes()
	if len(body) == 0 {
		return nil, nil // nor does the SDK mind
	}
	w := jsonscan.Walk(unsafe.String(unsafe.SliceData(body), len(body)))
	one := func() {
		if c != nil && r.enough(c.results) {
			return // the walker skips it
		}
		p.fields.Reset()
		fields := p.fields.Item(&w)
		if len(fields) == 0 || w.Failed() {
			return
		}
		if c == nil {
			c = &carried{by: r}
		}
		c.results = r.add(c.results, fields)
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
	return c, w.Err()
}

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

// An answer is what a call brings: the live predictions among its items, and what was wrong with others.
//
// The SDK makes a map of attribute values of each item, which costs more than the rest of a call. So an answer takes the place
// of the client's protocol: it reads the items where they are, and leaves to the protocol everything else.
type answer struct {
	smithyhttp.ClientProtocol
	cache   *Cache
	layout  *item.Layout
	options *options
	found   []found
}

// found has a prediction or an error.
type found struct {
	*Prediction
	err error
}

func (c *Cache) answer(l *item.Layout, o *options) *answer {
	return &answer{cache: c, layout: l, options: o}
}

// option is given to each call.
func (a *answer) option(o *dynamodb.Options) {
	a.found = a.found[:0]
	if o.Protocol != nil {
		a.ClientProtocol, o.Protocol = o.Protocol, a
	}
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
func (a *answer) DeserializeResponse(ctx context.Context, schema *smithy.OperationSchema, known *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable) error {
	a.found = a.found[:0] // of an attempt that failed
	if resp.StatusCode == http.StatusOK {
		p := pages.Get().(*page)
		defer func() {
			if p.body.Cap() <= maxKept {
				pages.Put(p)
			}
		}()
		p.body.Reset()
		_, err := p.body.ReadFrom(resp.Body)
		// At its end the SDK has compared the checksum. What it finds it only logs; and it finds a wrong one where there is none.
		if wrong := resp.Body.Close(); resp.Header.Get("X-Amz-Crc32") != "" {
			err = errors.Join(err, wrong)
		}
		if err == nil && p.body.Len() > 0 {
			err = a.read(p)
		}
		if err != nil {
			return &smithy.DeserializationError{Err: err}
		}
		resp.Body = io.NopCloser(bytes.NewReader(p.rest))
	}
	return a.ClientProtocol.DeserializeResponse(ctx, schema, known, resp, out)
}

// read reads the items of an answer. What is beside them becomes the rest.
func (a *answer) read(p *page) error {
	body := p.body.Bytes()
	w := jsonscan.Walk(unsafe.String(unsafe.SliceData(body), len(body)))
	one := func() {
		p.fields.Reset()
		if fields := p.fields.Item(&w); len(fields) > 0 {
			a.add(fields)
		}
	}
	p.rest = append(p.rest[:0], '{')
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
	return w.Err()
}

// take adds items that the SDK has read: it does where the client is no *dynamodb.Client and heeds no option.
func (a *answer) take(items ...map[string]types.AttributeValue) {
	for _, attributes := range items {
		if len(attributes) > 0 {
			a.add(awsitem.Fields(attributes))
		}
	}
}

func (a *answer) add(fields []item.Field) {
	if p, err := a.cache.decode(a.layout, fields, time.Now().Unix(), a.options); p != nil || err != nil {
		a.found = append(a.found, found{p, err})
	}
}

package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// A Prediction is one cached result, as it was read or as it is to be published. One that was read may be shared with other
// callers: it must not be changed.
type Prediction struct {
	ID string
	// EventTime is what the prediction is of, in UTC, to the nanosecond. The zero time, published, is the time of publishing.
	EventTime time.Time
	// ExpiresAt is the end of its life, in whole seconds. The zero time, published, leaves it to the worker's WORKER_TTL.
	ExpiresAt time.Time
	// Payload is the result, any JSON value; nil where Only left it out.
	Payload json.RawMessage
	// Attributes are the others, such as the model, each as JSON text whose numbers have every digit.
	Attributes map[string]json.RawMessage

	created prediction.Time // the event time at full precision
	sort    int64
}

// NewPrediction makes a prediction to publish: payload is marshaled, unless it is a json.RawMessage.
func NewPrediction(id string, payload any) (*Prediction, error) {
	text, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("encoding the prediction %q: %w", id, err)
	}
	return &Prediction{ID: id, Payload: text}, nil
}

// Decode reads the payload into v, as json.Unmarshal does.
func (p *Prediction) Decode(v any) error {
	if err := json.Unmarshal(p.Payload, v); err != nil {
		return fmt.Errorf("decoding the prediction %q: %w", p.ID, err)
	}
	return nil
}

// fields are what an item is read by.
var fields = sync.Pool{New: func() any { return new([]item.Field) }}

// decode reads an item. It returns nil for one that has expired or isn't what the call asked for.
func (c *Cache) decode(l *item.Layout, attributes map[string]types.AttributeValue, now int64, o *options) (*Prediction, error) {
	scratch := fields.Get().(*[]item.Field)
	defer fields.Put(scratch)
	*scratch = awsitem.AppendFields((*scratch)[:0], attributes)
	s, err := l.Decode(*scratch, o.withPayload())
	if err != nil {
		return nil, c.itemError(l, attributes, err)
	}
	if s.Expires <= now {
		return nil, nil
	}
	p := &Prediction{
		ID: s.Key.ID, EventTime: s.CreatedAt.Clock(), ExpiresAt: time.Unix(s.Expires, 0).UTC(), Payload: s.Payload,
		created: s.CreatedAt, sort: s.Key.Sort,
	}
	if len(s.Others) > 0 {
		p.Attributes = make(map[string]json.RawMessage, len(s.Others))
	}
	var texts []byte // of all attributes
	for i := range s.Others {
		f := &s.Others[i]
		start := len(texts)
		if texts, err = f.Value.AppendJSON(texts); err != nil {
			return nil, c.itemError(l, attributes, fmt.Errorf("the attribute %q %w", f.Name, err))
		}
		p.Attributes[f.Name] = texts[start:len(texts):len(texts)]
	}
	for i := range o.where {
		if w := &o.where[i]; !sameValue(p.Attributes[w.name], w.text) {
			return nil, nil
		}
	}
	if l.Kind == item.Versioned && c.perSecond.Load() == 0 {
		c.perSecond.Store(unitOf(&s))
	}
	return p, nil
}

// sameValue compares two scalars: numbers by their value, whatever their notation.
func sameValue(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, y := jsonscan.Value{Text: string(a)}, jsonscan.Value{Text: string(b)}
	return x.Kind() == jsonscan.Number && y.Kind() == jsonscan.Number && jsonscan.ParseDecimal(x.Text) == jsonscan.ParseDecimal(y.Text)
}

// itemError names an item by what its key attributes hold, readable or not.
func (c *Cache) itemError(l *item.Layout, attributes map[string]types.AttributeValue, err error) error {
	text := func(name string) string {
		v := awsitem.Value(attributes[name])
		if v.Type == "B" {
			return strconv.Quote(v.Text)
		}
		return v.Text
	}
	e := &ItemError{Table: c.table, ID: text(l.HashKey), Err: err}
	if l.SortKey != "" {
		e.SortKey = text(l.SortKey)
	}
	return e
}

func quoted(s string) []byte { return jsonscan.AppendQuoted(nil, s) }

// unitOf is how many sort units a second has in an item of the versioned layout: its event time is there in seconds too.
func unitOf(s *item.Stored) uint64 {
	if s.Key.Sort == s.CreatedAt.In(1) {
		return 1
	}
	return 1000
}

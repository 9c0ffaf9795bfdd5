package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unsafe"

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
	// Stale says that the front returned it past its MaxAge, because the table does not answer. It is still within its life.
	Stale bool

	created prediction.Time // the event time at full precision
	partial bool            // Only left the payload out
	// deleted marks a tombstone: a version of the id like any other, which hides the predictions that are not newer. No caller
	// of the package gets one.
	deleted bool
}

// older reports whether p is nil or an older version than q. At one event time a tombstone is newer than a prediction.
func older(p, q *Prediction) bool {
	if p == nil {
		return true
	}
	order := p.created.Compare(q.created)
	return order < 0 || order == 0 && q.deleted && !p.deleted
}

// shown returns p, or nil if it is a tombstone.
func (p *Prediction) shown() *Prediction {
	if p == nil || p.deleted {
		return nil
	}
	return p
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
	if p.partial {
		return fmt.Errorf("decoding the prediction %q: its payload was not read: name %q in Only", p.ID, item.AttrPayload)
	}
	if err := json.Unmarshal(p.Payload, v); err != nil {
		return fmt.Errorf("decoding the prediction %q: %w", p.ID, err)
	}
	return nil
}

// decode reads an item, of which it keeps no memory. It returns nil for one that a reader must not see, and whether that is
// because it has expired at now, in epoch seconds. unit is the whole part of the sort key.
func (c *Cache) decode(l *item.Layout, fields []item.Field, o *options, now int64) (_ *Prediction, unit int64, expired bool, _ error) {
	if o.skipForeign && item.Find(fields, item.AttrCreatedAt).Type == "" {
		return nil, 0, false, nil
	}
	s, err := l.Decode(fields, o.withPayload())
	if err != nil {
		return nil, 0, false, c.itemError(l, fields, err)
	}
	if l.Kind == item.Versioned && c.perSecond.Load() == 0 {
		c.perSecond.Store(unitOf(&s))
	}
	if visible, expired := visible(&s, now); !visible {
		return nil, 0, expired, nil
	}
	p := &Prediction{
		EventTime: s.CreatedAt.Clock(), ExpiresAt: time.Unix(s.Expires, 0).UTC(), Payload: s.Payload,
		created: s.CreatedAt, partial: !o.withPayload(), deleted: s.Deleted,
	}
	if s.Deleted {
		p.ID = strings.Clone(s.Key.ID)
		return p, s.Key.Sort, false, nil
	}
	if p.ID, p.Attributes, err = texts(s.Key.ID, l.Others(fields)); err != nil {
		return nil, 0, false, c.itemError(l, fields, err)
	}
	if !o.match(p) {
		return nil, 0, false, nil
	}
	return p, s.Key.Sort, false, nil
}

// visible decides whether readers may see an item. It is the one place that hides items: expired ones.
func visible(s *item.Stored, now int64) (visible, expired bool) {
	expired = s.Expires <= now
	return !expired, expired
}

// match tells whether a prediction is what the Where options ask for.
func (o *options) match(p *Prediction) bool {
	for i := range o.where {
		if w := &o.where[i]; !sameValue(p.Attributes[w.name], w.text) {
			return false
		}
	}
	return true
}

// texts copies an id, and an item's other attributes as JSON texts. They share one piece of memory.
func texts(id string, others []item.Field) (string, map[string]json.RawMessage, error) {
	if len(others) == 0 {
		return strings.Clone(id), nil, nil
	}
	size := len(id)
	for i := range others {
		size += len(others[i].Name) + len(others[i].Value.Text) + len(`""`)
	}
	all := make(map[string]json.RawMessage, len(others))
	memory := append(make([]byte, 0, size), id...)
	text := func(start int) string { return unsafe.String(unsafe.SliceData(memory[start:]), len(memory)-start) }
	id = text(0)
	for i := range others {
		f := &others[i]
		start := len(memory)
		memory = append(memory, f.Name...)
		name := text(start)
		start = len(memory)
		var err error
		if memory, err = f.Value.AppendJSON(memory); err != nil {
			return id, nil, fmt.Errorf("the attribute %q %w", f.Name, err)
		}
		all[name] = memory[start:len(memory):len(memory)]
	}
	return id, all, nil
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
func (c *Cache) itemError(l *item.Layout, fields []item.Field, err error) error {
	text := func(name string) string {
		v := item.Find(fields, name)
		if v.Type == "B" {
			return strconv.Quote(v.Text)
		}
		return strings.Clone(v.Text)
	}
	switch {
	case item.Find(fields, item.AttrCreatedAt).Type == "":
		err = fmt.Errorf("it was not written by predcache: %w: the option SkipForeign takes such items for misses", err)
	case c.setup.layout != nil && item.Find(fields, l.TTLAttribute).Type == "":
		err = fmt.Errorf("%w: check that WithLayout names the table's TTL attribute", err)
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

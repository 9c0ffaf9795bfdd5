package cache

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
)

// An Option changes how a Cache reads, as a default given to New or in one call.
type Option func(*options)

type options struct {
	consistent  bool
	uniform     bool
	oldestFirst bool
	where       []condition
	only        []string
	limited     bool // only is meant, even if it is empty
	concurrency int

	layout    *Layout    // for New
	publisher *Publisher // for New
}

func (o *options) apply(given []Option) {
	for _, option := range given {
		option(o)
	}
}

type condition struct {
	name  string
	value types.AttributeValue
	text  json.RawMessage // of the value, to compare
}

// Consistent makes reads strongly consistent: they see every write that has ended, and cost twice as much ("Read
// consistency in DynamoDB").
func Consistent() Option { return func(o *options) { o.consistent = true } }

// UniformLife says that all predictions of an id live equally long. In the expiry-sorted layout the newest is then the one
// that expires last, and one item is read instead of all that are live. Other layouts don't need it.
func UniformLife() Option { return func(o *options) { o.uniform = true } }

// OldestFirst is for History, whose order is newest first otherwise.
func OldestFirst() Option { return func(o *options) { o.oldestFirst = true } }

// Where takes only predictions whose attribute has this value, a string, a boolean, an integer, a float64 or a json.Number:
// Get returns the newest of them. It panics for a value of another type. What it leaves out is read and paid for all the same.
func Where(attribute string, value any) Option {
	c := condition{name: attribute}
	switch v := value.(type) {
	case string:
		c.value, c.text = &types.AttributeValueMemberS{Value: v}, quoted(v)
	case bool:
		c.value, c.text = &types.AttributeValueMemberBOOL{Value: v}, strconv.AppendBool(nil, v)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, json.Number:
		text, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("cache.Where: %v", err))
		}
		c.value, c.text = &types.AttributeValueMemberN{Value: string(text)}, text
	default:
		panic(fmt.Sprintf("cache.Where: a value of type %T", value))
	}
	return func(o *options) { o.where = append(o.where[:len(o.where):len(o.where)], c) }
}

// Only leaves out all attributes but these; "prediction" is the payload. Less is sent, but not less paid for. Only() leaves
// the id and the times.
func Only(attributes ...string) Option {
	return func(o *options) { o.only, o.limited = attributes, true }
}

// defaultConcurrency is how many calls of one GetMany are under way at once.
const defaultConcurrency = 16

// Concurrency is how many calls GetMany has under way at once, 16 otherwise.
func Concurrency(calls int) Option { return func(o *options) { o.concurrency = max(calls, 1) } }

// WithLayout tells New the table's layout, for services that may not call DescribeTable and DescribeTimeToLive.
func WithLayout(l Layout) Option { return func(o *options) { o.layout = &l } }

// WithPublisher tells New where GetOrCompute publishes.
func WithPublisher(p *Publisher) Option { return func(o *options) { o.publisher = p } }

// withPayload tells whether the payload is read.
func (o *options) withPayload() bool {
	if !o.limited {
		return true
	}
	for _, name := range o.only {
		if name == item.AttrPayload {
			return true
		}
	}
	return false
}

// A Layout says which attributes the table's keys and its TTL are. Start from Versioned, ExpirySorted or LatestOnly where
// names differ from those of the design.
type Layout struct {
	HashKey      string // of the id
	Numeric      bool   // the hash key is a number (N), not a string
	SortKey      string // empty where there is only the newest prediction of each id
	TTLAttribute string // the sort key itself in the expiry-sorted layout
}

// Versioned is the layout of a table with predictionId and timestamp as its key and TTL by expiresAt.
func Versioned() Layout {
	return Layout{HashKey: "predictionId", SortKey: "timestamp", TTLAttribute: "expiresAt"}
}

// ExpirySorted is the layout of a table with predictionId and timestamp as its key and TTL by timestamp.
func ExpirySorted() Layout {
	return Layout{HashKey: "predictionId", SortKey: "timestamp", TTLAttribute: "timestamp"}
}

// LatestOnly is the layout of a table with predictionId as its key and TTL by expiresAt.
func LatestOnly() Layout { return Layout{HashKey: "predictionId", TTLAttribute: "expiresAt"} }

func (l Layout) table() item.Table {
	t := item.Table{HashKey: l.HashKey, HashType: item.TypeS, SortKey: l.SortKey, TTLAttribute: l.TTLAttribute}
	if l.Numeric {
		t.HashType = item.TypeN
	}
	if l.SortKey != "" {
		t.SortType = item.TypeN
	}
	return t
}

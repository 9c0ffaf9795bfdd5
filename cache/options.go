package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/predcache/predcache/internal/item"
)

// An Option changes how a Cache reads, as a default given to New or in one call. Options for New alone say so.
type Option func(*options)

type options struct {
	consistent  bool
	uniform     bool
	oldestFirst bool
	skipForeign bool
	where       []condition
	only        []string
	limited     bool // only is meant, even if it is empty
	concurrency int

	own   bool   // the call has options that change what it reads: the front must not answer it
	setup *setup // where options for New go; nil in a call
	errs  []error
}

func (o *options) apply(given []Option) {
	for _, option := range given {
		if option == nil {
			o.fail("an option is nil")
			continue
		}
		option(o)
	}
}

func (o *options) fail(format string, args ...any) {
	o.errs = append(o.errs, fmt.Errorf(format, args...))
}

// setup is what New alone can be told.
type setup struct {
	layout         *Layout
	publisher      *Publisher
	front          *Front
	hedge          bool
	computedAge    time.Duration
	early          bool
	earlyLag       time.Duration // 0: measured
	readTimeout    time.Duration
	attemptTimeout time.Duration // 0: the default
}

const (
	defaultConcurrency = 100
	maxConcurrency     = 1000
	defaultReadTimeout = 10 * time.Second
	defaultComputedAge = 30 * time.Second
	maxAge             = 7 * 24 * time.Hour
)

// complete checks the settings and fills in defaults. What is wrong goes to o.
func (s *setup) complete(o *options) {
	if s.front != nil {
		s.front.complete(o)
	}
	if s.computedAge == 0 {
		s.computedAge = defaultComputedAge
		if s.front != nil {
			s.computedAge = max(s.computedAge, s.front.MaxAge)
		}
	}
	if s.early && s.publisher == nil {
		o.fail("EarlyCompute is for GetOrCompute, which needs WithPublisher too")
	}
}

// newOption is an option for New.
func newOption(name string, set func(o *options, s *setup)) Option {
	return func(o *options) {
		if o.setup == nil {
			o.fail("%s is an option for New, not for one call", name)
			return
		}
		set(o, o.setup)
	}
}

// A condition is one Where.
type condition struct {
	name string
	kind string          // the value's DynamoDB type: S, N or BOOL
	raw  string          // the value, as DynamoDB has it
	text json.RawMessage // the value as JSON, to compare
}

// Consistent makes reads strongly consistent: they see every write that has ended, and cost twice as much ("Read
// consistency in DynamoDB"). In one call it bypasses the front, which it brings up to date.
func Consistent() Option { return func(o *options) { o.consistent, o.own = true, true } }

// UniformLife says that all predictions of an id live equally long. In the expiry-sorted layout the newest is then the one
// that expires last, and one item is read instead of all that are live. Other layouts don't need it.
func UniformLife() Option { return func(o *options) { o.uniform = true } }

// OldestFirst is for History, whose order is newest first otherwise.
func OldestFirst() Option { return func(o *options) { o.oldestFirst = true } }

// SkipForeign takes items that predcache did not write for misses, such as those of a table that was in use before: they
// have no createdAt. Without it they are an *ItemError, and GetOrCompute never replaces them.
func SkipForeign() Option { return func(o *options) { o.skipForeign, o.own = true, true } }

// Where takes only predictions whose attribute has this value, a string, a boolean, an integer, a float64 or a json.Number:
// Get returns the newest of them. A value of another type is an error of New, or of the call. What it leaves out is read and
// paid for all the same.
func Where(attribute string, value any) Option {
	c := condition{name: attribute}
	var err error
	switch v := value.(type) {
	case string:
		c.kind, c.raw, c.text = "S", v, quoted(v)
	case bool:
		c.kind, c.raw = "BOOL", strconv.FormatBool(v)
		c.text = json.RawMessage(c.raw)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, json.Number:
		c.text, err = json.Marshal(v)
		c.kind, c.raw = "N", string(c.text)
	default:
		err = fmt.Errorf("a value of type %T: take a string, a boolean or a number", value)
	}
	if attribute == "" {
		err = errors.New("the attribute's name is empty")
	}
	return func(o *options) {
		if err != nil {
			o.fail("Where(%q): %w", attribute, err)
			return
		}
		o.where, o.own = append(o.where[:len(o.where):len(o.where)], c), true
	}
}

// Only leaves out all attributes but these; "prediction" is the payload. Less is sent, but not less paid for. Only() leaves
// the id and the times.
func Only(attributes ...string) Option {
	return func(o *options) {
		if slices.Contains(attributes, "") {
			o.fail("Only: an attribute's name is empty")
		}
		o.only, o.limited, o.own = attributes, true, true
	}
}

// Concurrency is how many calls one GetMany has under way at once, from 1 to 1000 and 100 by default.
func Concurrency(calls int) Option {
	return func(o *options) {
		if calls < 1 || calls > maxConcurrency {
			o.fail("Concurrency is %d: take 1 to %d", calls, maxConcurrency)
			return
		}
		o.concurrency = calls
	}
}

// WithLayout gives New the table's layout, for services that may not call DescribeTable and DescribeTimeToLive. It must be the
// table's: DynamoDB refuses reads by another key, but ExpirySorted for a versioned table makes every read a miss.
func WithLayout(l Layout) Option {
	return newOption("WithLayout", func(o *options, s *setup) {
		if l.HashKey == "" || l.TTLAttribute == "" {
			o.fail("WithLayout: HashKey and TTLAttribute must be set: start from Versioned, ExpirySorted or LatestOnly")
		}
		s.layout = &l
	})
}

// WithPublisher gives New the Publisher that GetOrCompute publishes to.
func WithPublisher(p *Publisher) Option {
	return newOption("WithPublisher", func(o *options, s *setup) {
		if p == nil {
			o.fail("WithPublisher: the publisher is nil")
		}
		s.publisher = p
	})
}

// WithFront has New put a bounded memory in front of the table. The Cache must then be closed.
func WithFront(f Front) Option {
	return newOption("WithFront", func(_ *options, s *setup) { s.front = &f })
}

// WithHedging has New send a read a second time when it takes over 1.5 times the recent 95th percentile, and use the answer
// that arrives first. At most 5 % of calls are made twice, so a table that is slow as a whole does not get twice the load.
// Hedged calls cost read units too.
func WithHedging() Option {
	return newOption("WithHedging", func(_ *options, s *setup) { s.hedge = true })
}

// ComputedAge tells New how long this process remembers a prediction that GetOrCompute has computed. It bridges the time until
// the worker has written it: a read that misses it is ignored, one that finds a newer version is not. The range is 1 ms to 7
// days. The default is 30 s, or the front's MaxAge if that is longer. At most 16 MiB are remembered; the oldest leave first.
func ComputedAge(d time.Duration) Option {
	return newOption("ComputedAge", func(o *options, s *setup) {
		if d < time.Millisecond || d > maxAge {
			o.fail("ComputedAge is %v: take 1ms to %v", d, maxAge)
			return
		}
		s.computedAge = d
	})
}

// EarlyCompute has GetOrCompute compute a prediction again in the background before it expires, so that its readers do not
// meet a miss. Each process does so at a random time, after one more read, so that of many processes one or two compute
// (probabilistic early expiration: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB
// 2015). d is the time from the start of a computation until the table has its result: the computation, and about a second
// for the worker. The range is 0 to 1 h; 0 means that this process measures it. A prediction is computed again about
// 6 d × ln(processes) before it expires, and never in the first half of its life. The option is for New.
func EarlyCompute(d time.Duration) Option {
	return newOption("EarlyCompute", func(o *options, s *setup) {
		if d < 0 || d > time.Hour {
			o.fail("EarlyCompute is %v: take 0s to 1h", d)
			return
		}
		s.early, s.earlyLag = true, d
	})
}

// ReadTimeout bounds a read that callers share, with its retries: 10 ms to 5 min, 10 s by default. A caller's own context can
// end its wait earlier. The option is for New.
func ReadTimeout(d time.Duration) Option {
	return newOption("ReadTimeout", func(o *options, s *setup) {
		if d < 10*time.Millisecond || d > 5*time.Minute {
			o.fail("ReadTimeout is %v: take 10ms to 5m", d)
			return
		}
		s.readTimeout = d
	})
}

// AttemptTimeout bounds each attempt of a call: 10 ms to 1 min, 3 s by default, or the Timeout of cfg's HTTP client if that is
// shorter. The retryer decides whether an attempt that takes longer is repeated. The option is for New.
func AttemptTimeout(d time.Duration) Option {
	return newOption("AttemptTimeout", func(o *options, s *setup) {
		if d < 10*time.Millisecond || d > time.Minute {
			o.fail("AttemptTimeout is %v: take 10ms to 1m", d)
			return
		}
		s.attemptTimeout = d
	})
}

// withPayload tells whether the payload is read.
func (o *options) withPayload() bool { return !o.limited || slices.Contains(o.only, item.AttrPayload) }

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

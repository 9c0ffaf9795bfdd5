package cache

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A contract checks a message as the worker does, by the worker's own code and with its default settings, so that what it
// would reject is an error before it is sent.
type contract struct {
	decoder  *prediction.Decoder
	encoding item.Encoding
	layout   *item.Layout // of the table, as far as a Publisher knows it
	decoded  sync.Pool    // of *prediction.Decoded
}

func newContract(cfg PublisherConfig) *contract {
	k := &contract{
		decoder: prediction.NewDecoder(prediction.Config{
			Fields:     prediction.Fields{ID: fieldID, Timestamp: fieldTimestamp, Payload: fieldPayload, TTLSeconds: fieldTTL, ExpiresAt: fieldExpiresAt, Deleted: fieldDeleted},
			Attributes: prediction.Attributes{All: true}, TTL: 24 * time.Hour, MaxFuture: cfg.MaxFuture,
			MinEventTime: prediction.FromTime(cfg.MinEventTime), MaxDecodedBytes: 8 << 20,
		}),
		encoding: item.JSON,
		decoded:  sync.Pool{New: func() any { return new(prediction.Decoded) }},
	}
	if cfg.Zstd {
		k.encoding = item.Zstd
	}
	table := Versioned()
	table.Numeric = cfg.NumericIDs
	l, err := item.NewLayout(table.table(), item.Options{PerSecond: 1, Encoding: k.encoding})
	if err != nil {
		panic(err) // it is a layout of ours
	}
	k.layout = l
	return k
}

// check says why the worker would reject a message with one prediction. l is the table's layout, or nil for the Publisher's.
func (k *contract) check(text string, l *item.Layout) error {
	switch {
	case l == nil:
		l = k.layout
	case l.Encoding != k.encoding:
		other := *l
		other.Encoding = k.encoding
		l = &other
	}
	d := k.decoded.Get().(*prediction.Decoded)
	defer k.decoded.Put(d)
	now := time.Now()
	k.decoder.Decode(d, prediction.Message{Body: text, Sent: now.UnixMilli()}, now)
	if len(d.Rejected) > 0 {
		return rejected(d.Rejected[0].Why)
	}
	if len(d.Predictions) != 1 {
		return errors.New("it is not one prediction")
	}
	if _, why := l.New(&d.Predictions[0]); why != nil {
		return rejected(why)
	}
	return nil
}

func rejected(why *prediction.Reject) error { return fmt.Errorf("the worker would reject it: %w", why) }

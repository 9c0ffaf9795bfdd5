// Package expect works out from the published messages what the table and the reject queue must hold in the end.
//
// It is a second reading of the message contract, made to be obvious rather than fast, and shares no code with the
// worker: that is what makes the demo a check. It knows the default settings, and of the contract what the recorded
// messages use.
package expect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
)

// A Layout is one of the worker's three table layouts.
type Layout string

// The layouts.
const (
	Versioned    Layout = "versioned"
	ExpirySorted Layout = "expiry-sorted"
	LatestOnly   Layout = "latest-only"
)

// The worker's defaults.
const (
	life      = 24 * time.Hour
	maxFuture = 5 * time.Minute
	grace     = time.Minute // what has expired for longer isn't written any more
	maxID     = 2048
)

// reserved are the names of the attributes that the worker sets, beside those that are fields of a message.
var reserved = []string{"createdAt", "encoding"}

// An Item is an item's attributes as text: "S abc", "N 1.5", "BOOL true". Numbers are in lowest terms.
type Item map[string]string

// A Key is the text of the item's primary key.
type Key struct{ ID, Sort string }

// A Reject is what must be in the reject queue.
type Reject struct{ Body, Reason string }

// An Outcome is what must come of the published messages.
type Outcome struct {
	Predictions int            // all of them; an unreadable message counts as one
	Live        int            // those that are written, or a duplicate of one, or superseded by a newer one
	Versions    int            // the live ones without repeats: more than Items where some have the same key
	Expired     int            // those that were too old to be written
	Items       map[Key]Item   // what the table holds
	Rejects     map[Reject]int // what the reject queue holds, and how many times
}

// Of works out the outcome of messages that the worker consumes about now.
func Of(messages []recording.Message, layout Layout, now time.Time) (*Outcome, error) {
	o := &Outcome{Items: map[Key]Item{}, Rejects: map[Reject]int{}}
	newest := map[Key]*big.Rat{}
	seen := map[string]bool{}
	for _, m := range messages {
		for _, text := range Split(m.Body) {
			o.Predictions++
			p, reason := read(text, now)
			switch {
			case reason != "":
				o.Rejects[Reject{text, reason}]++
				continue
			case p.expires < now.Add(-grace).Unix():
				o.Expired++
				continue
			}
			o.Live++
			if version := fmt.Sprint(p.id, p.time, string(p.payload)); !seen[version] {
				seen[version] = true
				o.Versions++
			}
			key, item, err := p.item(layout)
			if err != nil {
				return nil, fmt.Errorf("the prediction %s: %w", text, err)
			}
			// Messages are in the order they were sent, and of two predictions of the same time the one sent later wins.
			if t := newest[key]; t == nil || p.time.Cmp(t) >= 0 {
				newest[key], o.Items[key] = p.time, item
			}
		}
	}
	return o, nil
}

// Split returns the predictions of a body: the lines of NDJSON, or all of it.
func Split(body string) []string {
	first, _, many := strings.Cut(body, "\n")
	if many && json.Valid([]byte(first)) {
		return strings.Split(body, "\n")
	}
	return []string{body}
}

type prediction struct {
	id      string
	time    *big.Rat // epoch seconds
	expires int64
	payload json.RawMessage
	others  map[string]json.RawMessage
}

// notANumber is what Python's json.dumps writes for NaN and the infinities, and JSON does not have.
var notANumber = regexp.MustCompile(`NaN|-?Infinity`)

// read reads one prediction, or says in the worker's word why it must be rejected.
func read(text string, now time.Time) (p prediction, reason string) {
	var whole any
	if json.Unmarshal([]byte(text), &whole) != nil {
		if json.Valid(notANumber.ReplaceAll([]byte(text), []byte("0"))) {
			return p, "number"
		}
		return p, "syntax"
	}
	if json.Unmarshal([]byte(text), &p.others) != nil {
		return p, "field_type" // JSON, but no object
	}
	id, found := p.take("predictionId")
	if !found {
		return p, "missing_field"
	}
	if json.Unmarshal(id, &p.id) != nil || p.id == "" || len(p.id) > maxID {
		return p, "key"
	}
	if p.payload, found = p.take("prediction"); !found {
		return p, "missing_field"
	}
	at, _ := p.take("timestamp")
	if p.time, found = new(big.Rat).SetString(string(at)); !found {
		return p, "field_type"
	}
	if seconds(p.time) > now.Add(maxFuture).Unix() {
		return p, "future"
	}
	end := new(big.Rat).SetInt64(int64(life / time.Second))
	if ttl, found := p.take("ttlSeconds"); found {
		if _, ok := end.SetString(string(ttl)); !ok {
			return p, "field_type"
		}
	}
	p.expires = seconds(end.Add(end, p.time))
	for _, name := range reserved {
		if _, found := p.others[name]; found {
			return p, "reserved_name"
		}
	}
	return p, ""
}

func (p *prediction) take(name string) (json.RawMessage, bool) {
	value, found := p.others[name]
	delete(p.others, name)
	return value, found
}

// item is what the table holds for the prediction.
func (p *prediction) item(layout Layout) (Key, Item, error) {
	var payload bytes.Buffer
	if err := json.Compact(&payload, p.payload); err != nil {
		return Key{}, nil, err
	}
	item := Item{
		"predictionId": "S " + p.id,
		"timestamp":    fmt.Sprint("N ", seconds(p.time)),
		"expiresAt":    fmt.Sprint("N ", p.expires),
		"createdAt":    "N " + p.time.RatString(),
		"prediction":   "S " + payload.String(),
	}
	if layout == ExpirySorted {
		item["timestamp"] = item["expiresAt"] // one attribute is both
		delete(item, "expiresAt")
	}
	for name, value := range p.others {
		text, err := native(value)
		if err != nil {
			return Key{}, nil, fmt.Errorf("%s: %w", name, err)
		}
		item[name] = text
	}
	return item.Key(layout), item, nil
}

// Key is the item's primary key.
func (i Item) Key(layout Layout) Key {
	if layout == LatestOnly {
		return Key{ID: i["predictionId"]}
	}
	return Key{i["predictionId"], i["timestamp"]}
}

// native is the text of a field that is kept as an attribute.
func native(value json.RawMessage) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return "S " + v, nil
	case json.Number:
		return Number(v.String()), nil
	case bool:
		return fmt.Sprint("BOOL ", v), nil
	}
	return "", errors.New("only strings, numbers and booleans are known here")
}

// Number is the text of a number, whatever form it came in.
func Number(text string) string {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return "N? " + text
	}
	return "N " + r.RatString()
}

// seconds rounds a time down.
func seconds(t *big.Rat) int64 {
	return new(big.Int).Div(t.Num(), t.Denom()).Int64()
}

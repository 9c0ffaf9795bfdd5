// Package contract tests the vectors and schemas of the contract against the worker's and the reader's code.
package contract

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

var update = flag.Bool("update", false, "write what the code makes of the inputs into the vectors: read the difference before it is committed")

// A vector is a message with its expected results. README.md explains the members.
type vector struct {
	Name     string   `json:"name"`
	Settings settings `json:"settings,omitzero"`
	Now      string   `json:"now,omitempty"`
	Message  message  `json:"message"`

	Items   []json.RawMessage `json:"items,omitempty"`
	Sizes   []int             `json:"sizes,omitempty"`
	Reads   []read            `json:"reads,omitempty"`
	Rejects []reject          `json:"rejects,omitempty"`
}

type settings struct {
	Layout      item.Kind     `json:"layout,omitempty"`
	HashKeyType item.KeyType  `json:"hashKeyType,omitempty"`
	SortUnit    string        `json:"sortUnit,omitempty"`
	Encoding    item.Encoding `json:"payloadEncoding,omitempty"`
	Ordering    string        `json:"ordering,omitempty"`
	TTL         int           `json:"ttlSeconds,omitempty"`
	Deletes     string        `json:"deletes,omitempty"`
	Tombstones  int           `json:"tombstoneTTLSeconds,omitempty"`
	Indexes     []index       `json:"indexes,omitempty"`
}

type index struct {
	Attribute string       `json:"attribute"`
	Type      item.KeyType `json:"type"`
}

type message struct {
	Body            string `json:"body,omitempty"`
	Parts           []part `json:"parts,omitempty"` // of a long body
	ContentEncoding string `json:"contentEncoding,omitempty"`
	SentTimestamp   int64  `json:"sentTimestamp,omitempty"`
}

type part struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

func (m message) body() string {
	b := m.Body
	for _, p := range m.Parts {
		b += strings.Repeat(p.Text, max(p.Times, 1))
	}
	return b
}

// A read is an item as a reader returns it.
type read struct {
	PredictionID string                     `json:"predictionId"`
	CreatedAt    string                     `json:"createdAt"` // seconds, exactly
	ExpiresAt    int64                      `json:"expiresAt"`
	Deleted      bool                       `json:"deleted,omitempty"` // a tombstone, which has no payload
	Prediction   json.RawMessage            `json:"prediction,omitempty"`
	Attributes   map[string]json.RawMessage `json:"attributes,omitempty"`
}

type reject struct {
	Reason prediction.Reason `json:"reason"`
	Field  string            `json:"field,omitempty"`
	Whole  bool              `json:"whole,omitempty"` // the message as a whole
}

// The default clock and sent time of a vector.
const (
	defaultNow  = "2026-01-31T12:00:00Z"
	defaultSent = 1769860799500
)

func (s settings) layout(t *testing.T) *item.Layout {
	t.Helper()
	table := item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt", Indexes: map[string]item.IndexKey{}}
	if s.HashKeyType != "" {
		table.HashType = s.HashKeyType
	}
	for _, i := range s.Indexes {
		table.Indexes[i.Attribute] = item.IndexKey{Type: i.Type, MaxBytes: item.MaxHashBytes}
	}
	switch s.Layout {
	case item.ExpirySorted:
		table.TTLAttribute = "timestamp"
	case item.LatestOnly:
		table.SortKey = ""
	case item.Versioned, "":
	default:
		t.Fatalf("no layout %q", s.Layout)
	}
	o := item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: s.Ordering == "newest"}
	if s.SortUnit == "ms" {
		o.PerSecond = 1000
	}
	if s.Encoding != "" {
		o.Encoding = s.Encoding
	}
	l, err := item.NewLayout(table, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run computes a vector's results with the code of the worker and the reader.
func (v *vector) run(t *testing.T) (out vector) {
	t.Helper()
	out = vector{Name: v.Name, Settings: v.Settings, Now: v.Now, Message: v.Message}
	now, err := time.Parse(time.RFC3339, orElse(v.Now, defaultNow))
	if err != nil {
		t.Fatal(err)
	}
	ttl := 24 * time.Hour
	if v.Settings.TTL > 0 {
		ttl = time.Duration(v.Settings.TTL) * time.Second
	}
	tombstones := max(ttl, 14*24*time.Hour)
	if v.Settings.Tombstones > 0 {
		tombstones = time.Duration(v.Settings.Tombstones) * time.Second
	}
	d := prediction.NewDecoder(prediction.Config{
		Fields:     prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction", TTLSeconds: "ttlSeconds", ExpiresAt: "expiresAt", Deleted: "deleted"},
		Attributes: prediction.Attributes{All: true}, TTL: ttl, TombstoneTTL: tombstones, RejectDeletes: v.Settings.Deletes == "off", MaxFuture: 5 * time.Minute, MinEventTime: prediction.Time{Sec: 946684800}, MaxDecodedBytes: 8 << 20,
	})
	sent := v.Message.SentTimestamp
	if sent == 0 {
		sent = defaultSent
	}
	var decoded prediction.Decoded
	d.Decode(&decoded, prediction.Message{Body: v.Message.body(), ContentEncoding: v.Message.ContentEncoding, Sent: sent}, now)
	for _, r := range decoded.Rejected {
		out.Rejects = append(out.Rejects, reject{r.Why.Reason, r.Why.Field, r.Whole})
	}
	l := v.Settings.layout(t)
	for i := range decoded.Predictions {
		it, why := l.New(&decoded.Predictions[i])
		if why != nil {
			out.Rejects = append(out.Rejects, reject{why.Reason, why.Field, false})
			continue
		}
		text := it.AppendJSON(nil)
		out.Sizes = append(out.Sizes, it.Size)
		if len(v.Message.Parts) > 0 { // too long to be written out
			continue
		}
		out.Items = append(out.Items, text)
		out.Reads = append(out.Reads, readBack(t, l, text))
	}
	return out
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// readBack reads an item as the reader does.
func readBack(t *testing.T, l *item.Layout, text []byte) read {
	t.Helper()
	stored := fields(t, text)
	s, err := l.Decode(stored, true)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	r := read{PredictionID: s.Key.ID, CreatedAt: string(s.CreatedAt.AppendSeconds(nil)), ExpiresAt: s.Expires, Deleted: s.Deleted, Prediction: s.Payload}
	for _, f := range l.Others(stored) {
		if r.Attributes == nil {
			r.Attributes = map[string]json.RawMessage{}
		}
		if r.Attributes[f.Name], err = f.Value.AppendJSON(nil); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// fields reads DynamoDB's JSON.
func fields(t *testing.T, text []byte) (all []item.Field) {
	t.Helper()
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(text, &attributes); err != nil {
		t.Fatal(err)
	}
	for name, value := range attributes {
		all = append(all, item.Field{Name: name, Value: typed(t, value)})
	}
	return all
}

func typed(t *testing.T, text []byte) item.Value {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || len(members) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	for kind, content := range members {
		v := item.Value{Type: kind}
		var err error
		switch kind {
		case "S", "N":
			err = json.Unmarshal(content, &v.Text)
		case "B":
			var b []byte
			err = json.Unmarshal(content, &b)
			v.Text = string(b)
		case "M":
			v.In = fields(t, content)
		case "L":
			var list []json.RawMessage
			err = json.Unmarshal(content, &list)
			for _, e := range list {
				v.In = append(v.In, item.Field{Value: typed(t, e)})
			}
		default:
			v.Text = string(content)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	return item.Value{}
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	schemas := jsonschema.NewCompiler()
	messages, err := schemas.Compile("message.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	items, err := schemas.Compile("item.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[prediction.Reason]bool{}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var vectors, made []vector
			if err := json.Unmarshal(text, &vectors); err != nil {
				t.Fatal(err)
			}
			for _, v := range vectors {
				t.Run(v.Name, func(t *testing.T) {
					got := v.run(t)
					made = append(made, got)
					for _, r := range got.Rejects {
						reasons[r.Reason] = true
					}
					if *update {
						return
					}
					compare(t, v, got)
					checkSchemas(t, messages, items, v)
				})
			}
			if *update {
				write(t, name, made)
			}
		})
	}
	notOfMessages := []prediction.Reason{prediction.ReasonTable, prediction.ReasonInternal, prediction.ReasonObject}
	for _, reason := range prediction.Reasons {
		if !reasons[reason] && !slices.Contains(notOfMessages, reason) {
			t.Errorf("no vector is rejected as %s", reason)
		}
	}
}

func write(t *testing.T, name string, vectors []vector) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(vectors); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// compare compares values. Compressed bytes may differ between compressors, so compare checks their text, in reads.
func compare(t *testing.T, want, got vector) {
	t.Helper()
	if !slices.Equal(want.Rejects, got.Rejects) || len(want.Items) != len(got.Items) || len(want.Sizes) != len(got.Sizes) || len(want.Reads) != len(got.Reads) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for i := range want.Items {
		w, g := instance(t, want.Items[i]).(map[string]any), instance(t, got.Items[i]).(map[string]any)
		if compressed(w) && compressed(g) {
			if back := readBack(t, want.Settings.layout(t), want.Items[i]); !sameRead(t, back, got.Reads[i]) {
				t.Errorf("item %d reads %+v, want %+v", i, back, got.Reads[i])
			}
			delete(w, "prediction")
			delete(g, "prediction")
		} else if want.Sizes[i] != got.Sizes[i] {
			t.Errorf("item %d has %d bytes, want %d", i, got.Sizes[i], want.Sizes[i])
		}
		if !reflect.DeepEqual(w, g) {
			t.Errorf("item %d is %s, want %s", i, got.Items[i], want.Items[i])
		}
		if !sameRead(t, want.Reads[i], got.Reads[i]) {
			t.Errorf("item %d reads %+v, want %+v", i, got.Reads[i], want.Reads[i])
		}
	}
	if len(want.Items) == 0 && !slices.Equal(want.Sizes, got.Sizes) {
		t.Errorf("the sizes are %v, want %v", got.Sizes, want.Sizes)
	}
}

func compressed(it map[string]any) bool {
	payload, ok := it["prediction"].(map[string]any)
	return ok && payload["B"] != nil
}

func sameRead(t *testing.T, a, b read) bool {
	t.Helper()
	text := func(r read) any {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return instance(t, b)
	}
	return reflect.DeepEqual(text(a), text(b))
}

func instance(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return v
}

// checkSchemas checks the schemas against a vector.
func checkSchemas(t *testing.T, messages, items *jsonschema.Schema, v vector) {
	t.Helper()
	checkMessage(t, messages, v)
	for _, it := range v.Items {
		if err := items.Validate(instance(t, it)); err != nil {
			t.Errorf("the item schema refuses %s: %v", it, err)
		}
	}
}

// bySchema are the reasons that a schema can detect.
var bySchema = []prediction.Reason{prediction.ReasonMissingField, prediction.ReasonFieldType, prediction.ReasonReservedName}

// checkMessage checks that the schema accepts what the worker accepts, and refuses what a schema can detect.
func checkMessage(t *testing.T, schema *jsonschema.Schema, v vector) {
	t.Helper()
	if v.Message.ContentEncoding != "" || len(v.Message.Parts) > 0 {
		return
	}
	texts := []string{strings.TrimPrefix(v.Message.body(), "\ufeff")}
	if strings.Count(strings.TrimSpace(texts[0]), "\n") > 0 { // objects one a line
		texts = strings.Split(strings.TrimSpace(texts[0]), "\n")
	}
	var refused error
	for _, text := range texts {
		if len(texts) > 1 && strings.TrimSpace(text) == "" {
			continue
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			refused = err
		}
	}
	visible := false // the content of an SNS envelope is text to a schema
	for _, r := range v.Rejects {
		visible = visible || slices.Contains(bySchema, r.Reason) && !strings.Contains(v.Message.Body, "TopicArn")
	}
	switch {
	case len(v.Rejects) == 0 && refused != nil:
		t.Errorf("the message schema refuses it: %v", refused)
	case visible && refused == nil:
		t.Errorf("the message schema takes it, though it is rejected: %v", v.Rejects)
	}
}

// The items of the read vectors are valid, and each has a key of its own. Package cache and the Python package run the reads.
func TestReadVectors(t *testing.T) {
	files, err := filepath.Glob("reads/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	items, err := jsonschema.NewCompiler().Compile("item.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []struct {
			Name     string            `json:"name"`
			Settings settings          `json:"settings"`
			Items    []json.RawMessage `json:"items"`
			Reads    []json.RawMessage `json:"reads"`
		}
		if err := json.Unmarshal(text, &vectors); err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			t.Run(filepath.Base(name)+"/"+v.Name, func(t *testing.T) {
				if len(v.Reads) == 0 {
					t.Error("it reads nothing")
				}
				keys := map[string]bool{}
				for _, it := range v.Items {
					if err := items.Validate(instance(t, it)); err != nil && !strings.HasPrefix(v.Name, "deleted is false") {
						t.Errorf("the item schema refuses %s: %v", it, err)
					}
					stored := fields(t, it)
					key := item.Find(stored, "predictionId").Text
					if v.Settings.Layout != item.LatestOnly {
						key += " " + item.Find(stored, "timestamp").Text
					}
					if keys[key] {
						t.Errorf("two items have the key %s", key)
					}
					keys[key] = true
				}
			})
		}
	}
}

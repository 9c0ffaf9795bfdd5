package item_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// fieldsOf converts DynamoDB's JSON to fields for Decode.
func fieldsOf(v jsonscan.Value) ([]item.Field, error) {
	if v.Kind() != jsonscan.Object {
		return nil, errors.New("no object")
	}
	var fields []item.Field
	for _, m := range slices.Collect(jsonscan.Members(v)) {
		name, err := jsonscan.Unquote(m.Name)
		if err != nil {
			return nil, err
		}
		value, err := valueOf(m.Value)
		if err != nil {
			return nil, err
		}
		fields = append(fields, item.Field{Name: name, Value: value})
	}
	return fields, nil
}

func valueOf(v jsonscan.Value) (item.Value, error) {
	if v.Kind() != jsonscan.Object {
		return item.Value{}, errors.New("no typed value")
	}
	members := slices.Collect(jsonscan.Members(v))
	if len(members) != 1 {
		return item.Value{}, errors.New("no typed value")
	}
	out, content := item.Value{Type: members[0].Name}, members[0].Value
	text := func() (string, error) {
		if content.Kind() != jsonscan.String {
			return "", errors.New("no string")
		}
		return jsonscan.Unquote(content.Text[1 : len(content.Text)-1])
	}
	var err error
	switch out.Type {
	case "S", "N":
		out.Text, err = text()
	case "B":
		var s string
		if s, err = text(); err == nil {
			var b []byte
			b, err = base64.StdEncoding.DecodeString(s)
			out.Text = string(b)
		}
	case "BOOL":
		if content.Kind() != jsonscan.Bool {
			return out, errors.New("no boolean")
		}
		out.Text = content.Text
	case "NULL":
	case "M":
		out.In, err = fieldsOf(content)
	case "L":
		if content.Kind() != jsonscan.Array {
			return out, errors.New("no list")
		}
		for _, element := range slices.Collect(jsonscan.Elements(content)) {
			one, err := valueOf(element)
			if err != nil {
				return out, err
			}
			out.In = append(out.In, item.Field{Value: one})
		}
	default:
		err = errors.New("unknown type")
	}
	return out, err
}

// checkDecoded checks that an item decodes to its prediction and has the computed size.
func checkDecoded(t testing.TB, l *item.Layout, it *item.Item, p *prediction.Prediction) {
	t.Helper()
	v, err := jsonscan.Parse(string(it.AppendJSON(nil)))
	if err != nil {
		t.Fatal(err)
	}
	fields, err := fieldsOf(v)
	if err != nil {
		t.Fatal(err)
	}
	if size := item.StoredSize(fields); size != it.Size {
		t.Errorf("the stored size is %d, computed %d", size, it.Size)
	}
	s, err := l.Decode(fields, true)
	if err != nil {
		t.Fatalf("%v of %s", err, v.Text)
	}
	others := l.Others(fields)
	if s.Key != it.Key || s.CreatedAt != it.Version.Event || s.Expires != it.Expires || len(others) != len(p.Attributes) {
		t.Errorf("got %+v of %+v", s, it)
	}
	if got, want := jsonValue(t, string(s.Payload)), jsonValue(t, p.Payload.Text); !sameJSON(got, want) {
		t.Errorf("the payload is %s, was %s", s.Payload, p.Payload.Text)
	}
	for _, a := range p.Attributes {
		for _, f := range others {
			if f.Name != a.Name {
				continue
			}
			text, err := f.Value.AppendJSON(nil)
			if err != nil || !sameJSON(jsonValue(t, string(text)), jsonValue(t, a.Value.Text)) {
				t.Errorf("the attribute %q is %s (%v), was %s", a.Name, text, err, a.Value.Text)
			}
		}
	}
}

func jsonValue(t testing.TB, text string) jsonscan.Value {
	t.Helper()
	v, err := jsonscan.Parse(text)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// sameJSON compares values: numbers by value, objects in any order.
func sameJSON(a, b jsonscan.Value) bool {
	if a.Kind() != b.Kind() {
		return false
	}
	switch a.Kind() {
	case jsonscan.Number:
		return jsonscan.ParseDecimal(a.Text) == jsonscan.ParseDecimal(b.Text)
	case jsonscan.String:
		x, errX := jsonscan.Unquote(a.Text[1 : len(a.Text)-1])
		y, errY := jsonscan.Unquote(b.Text[1 : len(b.Text)-1])
		return x == y && errors.Is(errX, errY)
	case jsonscan.Array:
		x, y := slices.Collect(jsonscan.Elements(a)), slices.Collect(jsonscan.Elements(b))
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameJSON(x[i], y[i]) {
				return false
			}
		}
		return true
	case jsonscan.Object:
		return sameMembers(slices.Collect(jsonscan.Members(a)), slices.Collect(jsonscan.Members(b)))
	}
	return a.Text == b.Text
}

// sameMembers compares members by name. Duplicates of a name, possible in a payload stored as text, must have the same order.
func sameMembers(x, y []jsonscan.Member) bool {
	group := func(members []jsonscan.Member) map[string][]jsonscan.Value {
		all := map[string][]jsonscan.Value{}
		for _, m := range members {
			name, err := jsonscan.Unquote(m.Name)
			if err != nil {
				name = m.Name
			}
			all[name] = append(all[name], m.Value)
		}
		return all
	}
	if len(x) != len(y) {
		return false
	}
	want := group(y)
	for name, values := range group(x) {
		if len(values) != len(want[name]) {
			return false
		}
		for i := range values {
			if !sameJSON(values[i], want[name][i]) {
				return false
			}
		}
	}
	return true
}

func decodeLayouts(t testing.TB) (layouts []*item.Layout) {
	numeric := versioned
	numeric.HashType = item.TypeN
	for _, table := range []item.Table{versioned, expirySorted, latestOnly, numeric} {
		for _, encoding := range encodings {
			layouts = append(layouts, layout(t, table, encoding))
		}
	}
	ordered, err := item.NewLayout(latestOnly, item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: true})
	if err != nil {
		t.Fatal(err)
	}
	return append(layouts, ordered)
}

// FuzzRoundTrip decodes every item that can be encoded.
func FuzzRoundTrip(f *testing.F) {
	for _, body := range []string{
		`{"predictionId":"a","prediction":1}`, `{"predictionId":7.50e1,"prediction":{"a":[1,null,true,"x"]},"b":{"c":[[]]}}`,
		`{"predictionId":"\"\u0000é","timestamp":1.000000000000000001,"ttlSeconds":1,"prediction":"\ud83d\ude00 \" \\","\u0001":-1.5e-7}`,
		`{"predictionId":"a","prediction":{"b":-1.50e-3,"a":"` + strings.Repeat("long ", 500) + `"},"encoding2":"map","tags":[ "a" , {"b" : 1} ]}`,
		`{"predictionId":"a","prediction":{"a":1,"a":2}}` + "\n" + `{"predictionId":"b","prediction":2}`,
	} {
		for which := range byte(13) {
			f.Add(body, which)
		}
	}
	layouts := decodeLayouts(f)
	f.Fuzz(func(t *testing.T, body string, which byte) {
		l := layouts[int(which)%len(layouts)]
		var d prediction.Decoded
		decoder.Decode(&d, prediction.Message{Body: body, Sent: 1769860800_000}, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
		for i := range d.Predictions {
			if it, why := l.New(&d.Predictions[i]); why == nil {
				checkDecoded(t, l, it, &d.Predictions[i])
			}
		}
	})
}

// FuzzDecode decodes arbitrary items: the result has a payload that is valid JSON, or is an error without content.
func FuzzDecode(f *testing.F) {
	layouts := decodeLayouts(f)
	for which, l := range layouts {
		for _, body := range []string{`{"predictionId":"a","prediction":{"a":[1,null,true,"x"]},"b":{"c":[[]]}}`, `{"predictionId":12,"prediction":1}`} {
			p := decoded(f, body)
			if it, why := l.New(p); why == nil {
				f.Add(string(it.AppendJSON(nil)), byte(which))
			}
		}
	}
	for _, text := range []string{
		`{"predictionId":{"S":"a"},"timestamp":{"N":"1e30"},"expiresAt":{"N":"1"},"createdAt":{"N":"1"},"prediction":{"S":"{"}}`,
		`{"predictionId":{"S":"a"},"timestamp":{"N":"1"},"expiresAt":{"N":"1e11"},"createdAt":{"N":"1e-18"},"encoding":{"S":"zstd"},"prediction":{"B":"KLUv/QQAAQAAeA=="}}`,
		`{"predictionId":{"S":"a"},"timestamp":{"N":"1"},"expiresAt":{"N":"1"},"createdAt":{"N":"1"},"encoding":{"S":"map"},"prediction":{"L":[{"M":{"":{"NULL":true}}},{"N":"x"}]}}`,
	} {
		for which := range byte(13) {
			f.Add(text, which)
		}
	}
	f.Fuzz(func(t *testing.T, text string, which byte) {
		v, err := jsonscan.Parse(text)
		if err != nil {
			return
		}
		fields, err := fieldsOf(v)
		if err != nil {
			return
		}
		_ = item.StoredSize(fields)
		for _, f := range fields {
			if out, err := f.Value.AppendJSON(nil); err == nil {
				jsonValue(t, string(out))
			}
		}
		s, err := layouts[int(which)%len(layouts)].Decode(fields, true)
		if err != nil {
			return
		}
		jsonValue(t, string(s.Payload))
		if s.Key.ID == "" || s.Expires < 0 || s.CreatedAt.Sec < 0 {
			t.Errorf("read %+v of %s", s, text)
		}
	})
}

package awstest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/awstest/attribute"
)

type embedded struct{ Name string }

type request struct {
	embedded
	Count    *int
	Limit    int64
	On       *bool
	List     []string
	Nested   []struct{ Id string }
	Map      map[string]string
	Pointers map[string]*embedded
	Bytes    []byte
	Item     attribute.Item
}

// TestDecode checks what is read against encoding/json.
func TestDecode(t *testing.T) {
	for _, text := range []string{
		`{}`,
		` { "Name" : "a" , "Count" : -7, "Limit":9007199254740993, "On":false } `,
		`{"Name":null,"Count":null,"List":null,"Map":null,"Item":null}`,
		`{"List":[],"Nested":[{"Id":"1"},{},{"Id":"2"}],"Map":{},"Pointers":{"a":{"Name":"x"},"b":null}}`,
		`{"List":["a","b","c","d","e","f","g","h","i","j","k"],"Map":{"a":"b"},"Bytes":"AQI="}`,
		`{"Name":"é 漢 😀 \u00e9 \ud83d\ude00 \"\\\/\b\f\n\r\t"}`,
		`{"Item":{"s":{"S":"a\nb"},"n":{"N":"1.5"},"b":{"B":"AQI="},"t":{"BOOL":true},"0":{"NULL":true},"e":{},"two":{"S":"a","N":"1"},"null":null,
			"ss":{"SS":["a"]},"ns":{"NS":["1"]},"bs":{"BS":["AQ=="]},"l":{"L":[{"S":"x"},{"L":[]},{"M":{}}]},"m":{"M":{"x":{"M":{"y":{"N":"1"}}}}}}}`,
	} {
		var got, want request
		if err := decode([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``: "no {", `{`: "no", `[]`: "no {", `{"Name":"a"`: "no ,", `{} x`: "goes on", `{"Name":1}`: `no "`, `{"Name":"a}`: "without its end",
		`{"Other":1}`: `unknown parameter "Other"`, `{"name":"a"}`: `unknown parameter "name"`, `{"Nested":[{"ID":"1"}]}`: `unknown parameter "ID"`,
		`{"Count":1.5}`: "no ,", `{"Count":"1"}`: "whole number", `{"On":1}`: "no false", `{"Bytes":"%"}`: "base64",
		`{"Name":"\x"}`: "unknown escape", `{"Name":"\u12"}`: "escape", "{\"Name\":\"\n\"}": "control character", "{\"Name\":\"\xff\"}": "UTF-8",
		`{"Item":{"k":{"X":"a"}}}`: `unknown type of attribute "X"`, `{"Item":{"k":{"s":"a"}}}`: "unknown type", `{"Item":{"k":"a"}}`: "no {",
		`{"List":["a",]}`: `no "`, `{"Name":"a",}`: `no "`,
	} {
		var in request
		if err := decode([]byte(text), &in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{`"\ud800"`: "\uffff", `"\udc00\ud800"`: "\uffff\uffff", `"\ud800\u0041"`: "\uffffA"} {
		var in request
		if err := decode([]byte(`{"Name":`+text+`}`), &in); err != nil || in.Name != want {
			t.Errorf("%s: got %q, %v", text, in.Name, err)
		}
	}
}

package jsonscan

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestWalker(t *testing.T) {
	w := Walk(` { "a" : [ {"x":"1\"","y":[[]]} , {"x":null}, 7 ] , "skipped" : {"a":[1,{}]} , "b\u0061" : true, "c":null,"d":[],"e":{} } `)
	var seen []string
	w.Object(func(name string) {
		switch name {
		case "a":
			w.Array(func() {
				if len(seen) == 2 {
					return // leaves the 7 to be skipped
				}
				w.Object(func(name string) {
					if name == "x" {
						seen = append(seen, w.String())
					}
				})
			})
		case "ba":
			seen = append(seen, fmt.Sprint(w.Bool()))
		case "c":
			seen = append(seen, fmt.Sprint(w.Bool()))
		case "d":
			w.Array(func() { t.Error("an element of an empty array") })
		case "e":
			w.Object(func(string) { t.Error("a member of an empty object") })
		}
	})
	if err := w.Err(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(seen, " "); got != `1\"  true false` {
		t.Errorf("read %q", got)
	}
}

func TestWalkerErrors(t *testing.T) {
	for text, what := range map[string]string{
		``: "not an object", `[`: "not an object", `{`: "no name", `{"a"`: "no colon", `{"a":`: "unexpected end", `{"a":1`: "no comma",
		`{"a":1,}`: "no name", `{"a":1}}`: "after the value", `{"a":tru}`: "not a JSON value", `nul`: "not a JSON value", `{"b":[1,]}`: "not a JSON value",
		`{"b":[1`: "no comma", `{"b":{}}`: "not an array", `{"s":1}`: "not a string", `{"t":1}`: "not a boolean", `{"t":"x"}`: "not a boolean",
	} {
		w := Walk(text)
		w.Object(func(name string) {
			switch name {
			case "b":
				w.Array(func() { w.Skip() })
			case "s":
				_ = w.String()
			case "t":
				w.Bool()
			}
		})
		if err := w.Err(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v, want %q", text, err, what)
		}
	}
}

func TestWalkerAppendString(t *testing.T) {
	for _, body := range []string{
		``, `plain`, `\"\\\/\b\f\n\r\t`, `a\u00e9\u20ac\ud83d\ude00z`, `\ud800`, `\ud800x`, `\udc00\ud800`, `\ud800\ud800\udc00`, `\\\"\\`, `é\"é`,
		`0123456`, `01234567`, `012345678`, `0123456\"`, `01234567\"`, `012345\u00e9789012345678`, `\n\n\n\n\n\n\n\n\n\n`,
	} {
		var want string
		if err := json.Unmarshal([]byte(`"`+body+`"`), &want); err != nil {
			t.Fatal(err)
		}
		w := Walk(`"` + body + `"`)
		if got := string(w.AppendString([]byte("x"))); got != "x"+want || w.Err() != nil {
			t.Errorf("%s: %q, want %q", body, got, "x"+want)
		}
	}
}

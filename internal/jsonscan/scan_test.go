package jsonscan_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/jsonscan"
)

// texts are valid and invalid JSON, for tables and as seeds of the fuzz tests.
var texts = []string{
	`{}`, `[]`, `""`, `0`, `-0`, `true`, `false`, `null`, ` { } `, "\t[\r\n]\n", `{"a":1}`, `{ "a" : [ 1 , 2 ] , "b" : { "c" : null } }`,
	`[[],[[]],{"a":{}}]`, `{"":""}`, `{"a":1,"a":2}`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u00e9\uD83D\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`,
	`"é😀"`, "\"\u2028\x7f\"", `1e5`, `1E+05`, `-1.50e-007`, `12345678901234567890.000000000000000001`, `1e400`, `0.0`, `-0e0`,
	// Invalid.
	``, ` `, `{`, `}`, `[`, `]`, `"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "\"\x00\"", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{a:1}`,
	`{1:1}`, `[1,]`, `[,]`, `[1 2]`, `[1}`, `{"a":1]`, `tru`, `truex`, `True`, `nul`, `nan`, `-`, `+1`, `01`, `-01`, `1.`, `.5`, `1.e5`, `1e`, `1e+`, `0x10`, `1_000`,
	`{} {}`, `1 2`, `'a'`, "\ufeff{}", `{"a":1}//`, "\u00a0{}", "[1,\v2]",
}

func TestParse(t *testing.T) {
	accepted := 0
	for _, text := range texts {
		v, err := jsonscan.Parse(text)
		if (err == nil) != json.Valid([]byte(text)) {
			t.Errorf("Parse(%q): error %v, but json.Valid returns %v", text, err, err != nil)
		}
		if err != nil {
			continue
		}
		accepted++
		if v.Text != strings.Trim(text, " \t\r\n") {
			t.Errorf("Parse(%q).Text = %q", text, v.Text)
		}
	}
	if accepted < 20 || accepted > len(texts)-20 {
		t.Errorf("the table has %d valid texts of %d", accepted, len(texts))
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"\"\xff\"", "invalid UTF-8 at byte 0"},
		{``, "unexpected end at byte 0"},
		{`[1,`, "unexpected end at byte 3"},
		{`[secret]`, "not a JSON value at byte 1"},
		{`[trueish]`, "no comma or closing bracket after an array's element at byte 5"},
		{`{"a":1 "b":2}`, "no comma or closing brace after an object's member at byte 7"},
		{`{"a":1,}`, "no name where an object's member starts at byte 7"},
		{`{"a" 1}`, "no colon after a name at byte 5"},
		{`"secret`, "a string without its closing quote at byte 7"},
		{`"secret\`, "a string without its closing quote at byte 8"},
		{"\"a\tb\"", "a control character in a string at byte 2"},
		{`"\secret"`, "an unknown escape at byte 2"},
		{`"\u00zz"`, "a broken \\u escape at byte 2"},
		{`1.`, "a number without digits after its point at byte 2"},
		{`1e+`, "a number without digits in its exponent at byte 3"},
		{`01`, "text after the value at byte 1"},
		{`{} {}`, "text after the value at byte 3"},
		{strings.Repeat("[", jsonscan.MaxDepth+1), "nested too deep at byte 10000"},
	} {
		_, err := jsonscan.Parse(test.text)
		var syntax *jsonscan.SyntaxError
		if !errors.As(err, &syntax) || err.Error() != test.want {
			t.Errorf("Parse(%.20q): %v, want %s", test.text, err, test.want)
		}
	}
}

func TestMaxDepth(t *testing.T) {
	nest := func(depth int) string {
		return strings.Repeat(`{"a":[`, depth/2) + strings.Repeat(`]}`, depth/2)
	}
	for _, test := range []struct {
		depth int
		ok    bool
	}{{jsonscan.MaxDepth, true}, {jsonscan.MaxDepth + 2, false}} {
		text := nest(test.depth)
		if json.Valid([]byte(text)) != test.ok {
			t.Fatalf("encoding/json's limit is not %d", jsonscan.MaxDepth)
		}
		if _, err := jsonscan.Parse(text); (err == nil) != test.ok {
			t.Errorf("Parse at depth %d: %v", test.depth, err)
		}
		if _, _, _, err := jsonscan.ParseMembers(nil, text, 1000); (err == nil) != test.ok {
			t.Errorf("ParseMembers at depth %d: %v", test.depth, err)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for _, test := range []struct {
		text, value string
		end         int
	}{
		{`{"a":1}{"b":2}`, `{"a":1}`, 7},
		{"  [1]\n[2]", `[1]`, 5},
		{`"a"b`, `"a"`, 3},
		{`12 34`, `12`, 2},
	} {
		v, end, err := jsonscan.ParsePrefix(test.text)
		if v.Text != test.value || end != test.end || err != nil {
			t.Errorf("ParsePrefix(%q) = %q, %d, %v, want %q, %d", test.text, v.Text, end, err, test.value, test.end)
		}
	}
}

func TestKind(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "an object", `[]`: "an array", `""`: "a string", `-1`: "a number", `7`: "a number", `true`: "a boolean", `false`: "a boolean", `null`: "null",
	} {
		if v, err := jsonscan.Parse(text); err != nil || v.Kind().String() != want {
			t.Errorf("%s is %v (%v), want %s", text, v.Kind(), err, want)
		}
	}
	if kind := (jsonscan.Value{}).Kind(); kind != 0 || kind.String() != "nothing" {
		t.Errorf("no value is %v", kind)
	}
}

func TestMembersAndElements(t *testing.T) {
	object, err := jsonscan.Parse(` { "b" : [ 1 , 2 ] ,"a":{},"\u0061" :	"x y" } `)
	if err != nil {
		t.Fatal(err)
	}
	want := []jsonscan.Member{
		{Name: `b`, Value: jsonscan.Value{Text: `[ 1 , 2 ]`, Spaces: 4}},
		{Name: `a`, Value: jsonscan.Value{Text: `{}`}},
		{Name: `\u0061`, Value: jsonscan.Value{Text: `"x y"`}},
	}
	if got := slices.Collect(jsonscan.Members(object)); !slices.Equal(got, want) {
		t.Errorf("Members: %+v", got)
	}
	elements := slices.Collect(jsonscan.Elements(want[0].Value))
	if !slices.Equal(elements, []jsonscan.Value{{Text: "1"}, {Text: "2"}}) {
		t.Errorf("Elements: %+v", elements)
	}
	if object.Spaces != 11 {
		t.Errorf("%d spaces between the object's tokens, want 11", object.Spaces)
	}
}

func TestParseMembers(t *testing.T) {
	t.Run("appends", func(t *testing.T) {
		members, _, _, err := jsonscan.ParseMembers([]jsonscan.Member{{Name: "a"}}, `{"b":2}`, 2)
		if len(members) != 2 || err != nil {
			t.Errorf("%+v, %v", members, err)
		}
	})
	t.Run("refuses more members than allowed", func(t *testing.T) {
		for _, text := range []string{`{"a":1,"b":2,"c":3}`, `{"a":1,"b":2,"c":`} {
			if _, _, _, err := jsonscan.ParseMembers(nil, text, 2); err == nil || strings.HasSuffix(text, "}") && !errors.Is(err, jsonscan.ErrMembers) {
				t.Errorf("%s: %v", text, err)
			}
		}
		if members, _, _, err := jsonscan.ParseMembers(nil, `{"a":1,"b":2}`, 2); len(members) != 2 || err != nil {
			t.Errorf("%+v, %v", members, err)
		}
	})
}

func TestIterators(t *testing.T) {
	for _, text := range []string{`1`, `"a"`, `null`, `[]`, `{}`, ` [ ] `, `{ }`} {
		v, err := jsonscan.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for m := range jsonscan.Members(v) {
			t.Errorf("%s has a member %+v", text, m)
		}
		for e := range jsonscan.Elements(v) {
			t.Errorf("%s has an element %+v", text, e)
		}
	}
}

func TestParseMembersAllocations(t *testing.T) {
	text := `{"predictionId":"user-1","timestamp":1769860800.25,"prediction":{"label":"caf\u00e9","scores":[0.1,0.2]}}`
	members := make([]jsonscan.Member, 0, 8)
	allocs := testing.AllocsPerRun(100, func() {
		var err error
		if members, _, _, err = jsonscan.ParseMembers(members[:0], text, 1000); err != nil || len(members) != 3 {
			t.Fatal(members, err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

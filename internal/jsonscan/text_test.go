package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/jsonscan"
)

func TestUnquote(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{``, ``},
		{`plain é 😀`, `plain é 😀`},
		{`\"\\\/\b\f\n\r\t`, "\"\\/\b\f\n\r\t"},
		{`caf\u00e9 and caf\u00E9`, "café and café"},
		{`\ud83d\ude00!`, "😀!"},
		{`\ufffd`, "\ufffd"},
		{`\u0000`, "\x00"},
		{`a\\u0041`, `a\u0041`},
	} {
		if got, err := jsonscan.Unquote(test.body); got != test.want || err != nil {
			t.Errorf("Unquote(%s) = %q, %v, want %q", test.body, got, err, test.want)
		}
	}
}

func TestUnquoteLoneSurrogate(t *testing.T) {
	for _, body := range []string{`\ud83d`, `\ude00`, `\ude00\ud83d`, `\ud83d\ud83d\ude00`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, `ok \ud83d\\ude00`} {
		if got, err := jsonscan.Unquote(body); !errors.Is(err, jsonscan.ErrSurrogate) {
			t.Errorf("Unquote(%s) = %q, %v", body, got, err)
		}
	}
}

func TestAppendQuoted(t *testing.T) {
	var all strings.Builder
	for c := range rune(0x300) {
		all.WriteRune(c)
	}
	for _, s := range []string{"", `plain`, "\"\\\b\f\n\r\t\x00\x1f\x7f", "é😀\u2028\ufffd", all.String()} {
		quoted := jsonscan.AppendQuoted([]byte("before "), s)
		var back string
		if err := json.Unmarshal(bytes.TrimPrefix(quoted, []byte("before ")), &back); err != nil || back != s {
			t.Errorf("AppendQuoted(%q) = %s, which encoding/json reads as %q, %v", s, quoted, back, err)
		}
	}
}

func TestAppendCompact(t *testing.T) {
	for _, test := range []struct{ text, compact, quoted string }{
		{`{"a":1}`, `{"a":1}`, `{\"a\":1}`},
		{" {\n\t\"a b\" : [ 1 , 2.50 , null ] \r\n} ", `{"a b":[1,2.50,null]}`, `{\"a b\":[1,2.50,null]}`},
		{`[ "x\"y" , "\\" , "\n\u00e9" ]`, `["x\"y","\\","\n\u00e9"]`, `[\"x\\\"y\",\"\\\\\",\"\\n\\u00e9\"]`},
		{`"  "`, `"  "`, `\"  \"`},
		{`""`, `""`, `\"\"`},
		{` 7 `, `7`, `7`},
	} {
		v, err := jsonscan.Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(jsonscan.AppendCompact([]byte("before "), v)); got != "before "+test.compact {
			t.Errorf("AppendCompact(%s) = %s", test.text, got)
		}
		quoted := string(jsonscan.AppendCompactQuoted([]byte("before "), v))
		if quoted != "before "+test.quoted {
			t.Errorf("AppendCompactQuoted(%s) = %s", test.text, quoted)
		}
		if overhead := len(test.quoted) - len(test.compact); jsonscan.QuotedOverhead(v) != overhead {
			t.Errorf("QuotedOverhead(%s) = %d, want %d", test.text, jsonscan.QuotedOverhead(v), overhead)
		}
	}
}

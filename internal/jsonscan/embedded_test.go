package jsonscan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/jsonscan"
)

// FuzzAppendJSON holds AppendJSON to AppendString and Parse: the same text, the same place after it, the same verdict.
func FuzzAppendJSON(f *testing.F) {
	for _, text := range []string{
		`{"label":"class-1","features":[{"name":"f0","weight":0.25},{"name":"f1","weight":-1.5e-7}],"ok":true,"no":false,"none":null}`,
		` [ 1 , [ ] , { } , "a" ] `, "{\n\t\"a\" : [\r\n1]\n}", `""`, `"\"\\\/\b\f\n\r\té"`, `"a/b"`, `0`, `-0.0`, `01`, `1.`, `[1,]`, `{"a":1,}`, `{"a"}`, `{,}`, `[}`, `{]`,
		`{"a":1}}`, `[`, `{"a":`, `"`, `"\`, `"\x"`, `tru`, `nul`, ``, ` `, "\"a\nb\"", `é`, `"é 世界 😀"`, `{"é":"` + strings.Repeat("x", 100) + `"}`, strings.Repeat("[", 70) + strings.Repeat("]", 70),
	} {
		quoted, err := json.Marshal(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(quoted)+`,"more":"of the answer"`, "")
		f.Add(strings.ReplaceAll(string(quoted), `/`, `\/`)+`}`, "before")
		f.Add(string(quoted[:len(quoted)-1]), "before")
		f.Add(strings.Replace(string(quoted), `\"`, `\u0022`, 1), "")
		f.Add(strings.Replace(string(quoted), `\\`, `\\\`, 1), "")
	}
	f.Fuzz(func(t *testing.T, text, before string) {
		one, two := jsonscan.Walk(text), jsonscan.Walk(text)
		got, valid := one.AppendJSON([]byte(before))
		want := two.AppendString([]byte(before))
		if one.Failed() != two.Failed() {
			t.Fatalf("%q: failed: %v, AppendString: %v", text, one.Failed(), two.Failed())
		}
		if one.Failed() {
			if valid {
				t.Fatalf("%q: valid, though it failed", text)
			}
			return
		}
		if string(got) != string(want) {
			t.Fatalf("%q: %q, AppendString: %q", text, got, want)
		}
		if _, err := jsonscan.Parse(string(want[len(before):])); (err == nil) != valid {
			t.Fatalf("%q: valid: %v, Parse: %v", text, valid, err)
		}
		if a, b := one.Skip(), two.Skip(); a != b { // they stopped at the same place
			t.Fatalf("%q: then %q, after AppendString %q", text, a, b)
		}
	})
}

// The text ends, part by part, where the room for it does.
func TestAppendJSON_long(t *testing.T) {
	for length := 16<<10 - 128; length < 16<<10+256; length++ {
		for _, end := range []string{`"]`, `",{"name":-1.5e+20,"b\\n":true},[  ]]`, `", 12345678901234567890, "a", false   ]`} {
			text := `["` + strings.Repeat("x", length) + end
			quoted, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			w := jsonscan.Walk(string(quoted) + strings.Repeat(" ", 1<<10)) // an answer goes on
			if got, valid := w.AppendJSON(nil); string(got) != text || !valid || w.Err() != nil {
				t.Fatalf("%d bytes and %s: valid: %v, %v, %q", length, end, valid, w.Err(), got)
			}
		}
	}
}

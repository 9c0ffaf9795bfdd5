package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/jsonscan"
)

// FuzzParse compares the scanner with encoding/json on every text that is valid UTF-8.
func FuzzParse(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Add("\"\xff\"")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := jsonscan.Parse(text)
		if valid := utf8.ValidString(text) && json.Valid([]byte(text)); (err == nil) != valid {
			t.Fatalf("error %v, but valid is %v", err, valid)
		}
		checkParseElements(t, text)
		checkWalk(t, text)
		members, object, end, membersErr := jsonscan.ParseMembers(nil, text, 1000)
		if err != nil {
			var syntax *jsonscan.SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(text) {
				t.Fatalf("error %v in %d bytes", err, len(text))
			}
			return
		}
		checkTexts(t, v)
		if isObject := v.Kind() == jsonscan.Object; isObject != (membersErr == nil) {
			t.Fatalf("Parse found %v, ParseMembers returned %v", v.Kind(), membersErr)
		}
		switch v.Kind() {
		case jsonscan.Object:
			if object != v || strings.TrimSpace(text[end:]) != "" {
				t.Fatalf("ParseMembers: %+v to %d, Parse: %+v", object, end, v)
			}
			checkMembers(t, v, members)
		case jsonscan.Array:
			checkElements(t, v)
		case jsonscan.String:
			checkUnquote(t, v.Text)
		case jsonscan.Number:
			checkDecimal(t, v.Text)
		case jsonscan.Bool, jsonscan.Null:
		}
	})
}

// FuzzParseLoosely checks that NaN and infinities are read like null.
func FuzzParseLoosely(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	for _, text := range []string{`[NaN,-Infinity,inf]`, `{"a":{"b":[1,+INF]},"c":nan}`, `NaN1`, `-nano`, `{"a":infinityy}`, `[NaN`, `["NaN",null,nul]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, end, looseErr := jsonscan.ParseLoosely(text)
		replaced, found, added := text, 0, 0
		for {
			_, _, err := jsonscan.ParsePrefix(replaced)
			var syntax *jsonscan.SyntaxError
			if !errors.Is(err, jsonscan.ErrNotFinite) || !errors.As(err, &syntax) {
				break
			}
			word := notFinite.FindString(replaced[syntax.Offset:])
			replaced = replaced[:syntax.Offset] + "null" + replaced[syntax.Offset+len(word):]
			found++
			added += len(word) - len("null")
		}
		want, wantEnd, err := jsonscan.ParsePrefix(replaced)
		if (err == nil) != (looseErr == nil) || err == nil && (end != wantEnd+added || v.Spaces != want.Spaces) {
			t.Fatalf("%s: %+v to %d, %v; as %s: %+v to %d, %v", text, v, end, looseErr, replaced, want, wantEnd, err)
		}
		members, object, membersEnd, flawed, looseErr := jsonscan.ParseMembersLoosely(nil, text, 1000)
		wantMembers, _, _, err := jsonscan.ParseMembers(nil, replaced, 1000)
		if (err == nil) != (looseErr == nil) || len(members) != len(wantMembers) {
			t.Fatalf("%s: %d members, %v; as %s: %d, %v", text, len(members), looseErr, replaced, len(wantMembers), err)
		}
		if err != nil {
			return
		}
		if object != v || membersEnd != end || flawed >= len(members) || flawed >= 0 != (found > 0) {
			t.Fatalf("%s: %+v to %d, member %d; as %s", text, object, membersEnd, flawed, replaced)
		}
		if flawed >= 0 && !notFinite.MatchString(members[flawed].Value.Text) {
			t.Fatalf("%s: the flawed member is %+v", text, members[flawed])
		}
	})
}

var notFinite = regexp.MustCompile(`(?i)[+-]?(nan|infinity|inf)`)

func checkTexts(t *testing.T, v jsonscan.Value) {
	t.Helper()
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(v.Text)); err != nil {
		t.Fatal(err)
	}
	compact := jsonscan.AppendCompact(nil, v)
	if !bytes.Equal(compact, want.Bytes()) {
		t.Fatalf("compacted: %s, encoding/json: %s", compact, want.Bytes())
	}
	if len(compact) != len(v.Text)-v.Spaces {
		t.Fatalf("%d bytes with %d spaces, but %d compacted", len(v.Text), v.Spaces, len(compact))
	}
	quoted := jsonscan.AppendCompactQuoted(nil, v)
	if len(quoted) != len(compact)+jsonscan.QuotedOverhead(v) {
		t.Fatalf("%d bytes compacted, %d quoted, but QuotedOverhead is %d", len(compact), len(quoted), jsonscan.QuotedOverhead(v))
	}
	back, err := jsonscan.Unquote(string(quoted))
	if err != nil || back != string(compact) {
		t.Fatalf("quoted %s, which reads as %s, %v", quoted, back, err)
	}
	checkUnquote(t, `"`+string(quoted)+`"`)
	if requoted := jsonscan.AppendQuoted(nil, back); string(requoted) != `"`+string(quoted)+`"` {
		t.Fatalf("quoted %s in place, %s from its text", quoted, requoted)
	}
}

// checkParseElements compares ParseElements with ParsePrefix, which reads the array as one value.
func checkParseElements(t *testing.T, text string) {
	t.Helper()
	var elements []jsonscan.Value
	end, err := jsonscan.ParseElements(text, func(rest string) (int, error) {
		v, end, err := jsonscan.ParsePrefix(rest)
		elements = append(elements, v)
		return end, err
	})
	array, arrayEnd, wantErr := jsonscan.ParsePrefix(text)
	if wantErr == nil && array.Kind() != jsonscan.Array {
		if err == nil {
			t.Fatalf("ParseElements accepted %v", array.Kind())
		}
		return
	}
	if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "[") || len(text) > jsonscan.MaxDepth { // the depth counts per element
		return
	}
	switch {
	case err == nil && wantErr == nil:
		if end != arrayEnd || !slices.Equal(elements, slices.Collect(jsonscan.Elements(array))) {
			t.Fatalf("ParseElements: %+v to %d, Elements: %+v to %d", elements, end, slices.Collect(jsonscan.Elements(array)), arrayEnd)
		}
	case err == nil || wantErr == nil || err.Error() != wantErr.Error():
		t.Fatalf("ParseElements: error %v, ParsePrefix: %v", err, wantErr)
	}
}

// checkWalk compares a Walker with encoding/json and with the other functions.
func checkWalk(t *testing.T, text string) {
	t.Helper()
	w := jsonscan.Walk(text)
	skipped := w.Skip()
	if (w.Err() == nil) != json.Valid([]byte(text)) {
		t.Fatalf("error %v of a Walker, but valid is %v", w.Err(), w.Err() != nil)
	}
	if w.Err() != nil {
		return
	}
	v, _, _ := jsonscan.ParsePrefix(text)
	if v.Text != skipped {
		t.Fatalf("skipped %q of %q", skipped, v.Text)
	}
	w = jsonscan.Walk(text)
	i := 0
	switch v.Kind() {
	case jsonscan.Object:
		members := slices.Collect(jsonscan.Members(v))
		w.Object(func(name string) {
			want := members[i].Name
			if unquoted, err := jsonscan.Unquote(want); err == nil {
				want = unquoted
			}
			if value := w.Skip(); name != want || value != members[i].Value.Text {
				t.Fatalf("member %q with %q, want %+v", name, value, members[i])
			}
			i++
		})
		if i != len(members) {
			t.Fatalf("%d members of %d", i, len(members))
		}
	case jsonscan.Array:
		elements := slices.Collect(jsonscan.Elements(v))
		w.Array(func() {
			if value := w.Skip(); value != elements[i].Text {
				t.Fatalf("element %q, want %q", value, elements[i].Text)
			}
			i++
		})
		if i != len(elements) {
			t.Fatalf("%d elements of %d", i, len(elements))
		}
	case jsonscan.String:
		if inside := w.String(); `"`+inside+`"` != v.Text {
			t.Fatalf("string %q of %q", inside, v.Text)
		}
	default:
		return
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

func checkMembers(t *testing.T, v jsonscan.Value, parsed []jsonscan.Member) {
	t.Helper()
	members := slices.Collect(jsonscan.Members(v))
	if len(members) != len(parsed) {
		t.Fatalf("Members: %+v, ParseMembers: %+v", members, parsed)
	}
	tokens := json.NewDecoder(strings.NewReader(v.Text))
	_, _ = tokens.Token() // the opening brace
	for i, m := range members {
		if m != parsed[i] {
			t.Fatalf("Members: %+v, ParseMembers: %+v", m, parsed[i])
		}
		checkUnquote(t, `"`+m.Name+`"`)
		var want json.RawMessage
		name, err := tokens.Token()
		if unquoted, broken := jsonscan.Unquote(m.Name); err != nil || broken == nil && unquoted != name {
			t.Fatalf("member %d is named %q, encoding/json %v, %v", i, unquoted, name, err)
		}
		if err := tokens.Decode(&want); err != nil || m.Value.Text != string(want) {
			t.Fatalf("member %d is %s, encoding/json %s, %v", i, m.Value.Text, want, err)
		}
		checkTexts(t, m.Value)
	}
	if tokens.More() {
		t.Fatal("encoding/json has more members")
	}
}

func checkElements(t *testing.T, v jsonscan.Value) {
	t.Helper()
	elements := slices.Collect(jsonscan.Elements(v))
	var want []json.RawMessage
	if err := json.Unmarshal([]byte(v.Text), &want); err != nil || len(want) != len(elements) {
		t.Fatalf("%d elements, encoding/json %d, %v", len(elements), len(want), err)
	}
	for i, e := range elements {
		if e.Text != string(want[i]) {
			t.Fatalf("element %d is %s, encoding/json %s", i, e.Text, want[i])
		}
		checkTexts(t, e)
	}
}

// checkUnquote compares Unquote with encoding/json, which replaces a lone surrogate by U+FFFD.
func checkUnquote(t *testing.T, token string) {
	t.Helper()
	var want string
	if err := json.Unmarshal([]byte(token), &want); err != nil {
		t.Fatal(err)
	}
	w := jsonscan.Walk(token)
	if walked := string(w.AppendString([]byte("before "))); walked != "before "+want || w.Err() != nil {
		t.Fatalf("AppendString(%s) = %q, %v, encoding/json %q", token, walked, w.Err(), want)
	}
	got, err := jsonscan.Unquote(token[1 : len(token)-1])
	switch {
	case err == nil && got != want:
		t.Fatalf("Unquote(%s) = %q, encoding/json %q", token, got, want)
	case err != nil && (!errors.Is(err, jsonscan.ErrSurrogate) || !strings.Contains(want, "\ufffd")):
		t.Fatalf("Unquote(%s): %v, encoding/json %q", token, err, want)
	}
}

// FuzzDecimal compares decimals with math/big.
func FuzzDecimal(f *testing.F) {
	for _, text := range []string{"0", "-0.00", "10", "1.50", "-12e3", "0.001E-7", "123456789012345678901234567890.5", "1e130", "9e999999999999", "0E90060000000000000000"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := jsonscan.Parse(text)
		if err != nil || v.Kind() != jsonscan.Number {
			t.Skip()
		}
		checkDecimal(t, v.Text)
	})
}

func checkDecimal(t *testing.T, text string) {
	t.Helper()
	d := jsonscan.ParseDecimal(text)
	if strings.Trim(d.Digits, "0123456789") != "" || strings.HasPrefix(d.Digits, "0") || strings.HasSuffix(d.Digits, "0") {
		t.Fatalf("digits %q", d.Digits)
	}
	if d.Digits == "" {
		mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
		if d != (jsonscan.Decimal{}) || strings.ContainsAny(mantissa, "123456789") {
			t.Fatalf("%s is %+v", text, d)
		}
		return
	}
	if m := d.Magnitude(); m > 500 || m < -500 || len(text) > 1000 {
		return // math/big would take too long
	}
	want, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("math/big cannot parse %s", text)
	}
	plain := string(d.Append(nil))
	got, ok := new(big.Rat).SetString(plain)
	if !ok || got.Cmp(want) != 0 || strings.ContainsAny(plain, "eE+") {
		t.Fatalf("%s in plain notation is %s", text, plain)
	}
	if again := jsonscan.ParseDecimal(plain); again != d {
		t.Fatalf("%+v, read back from %s as %+v", d, plain, again)
	}
	// 10^magnitude <= |d| < 10^(magnitude+1)
	unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(d.Magnitude(), -d.Magnitude()))), nil))
	if d.Magnitude() < 0 {
		unit.Inv(unit)
	}
	if ratio := want.Abs(want).Quo(want, unit); ratio.Cmp(big.NewRat(1, 1)) < 0 || ratio.Cmp(big.NewRat(10, 1)) >= 0 {
		t.Fatalf("%s has magnitude %d", text, d.Magnitude())
	}
}

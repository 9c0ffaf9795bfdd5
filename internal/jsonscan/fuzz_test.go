package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/predcache/predcache/internal/jsonscan"
)

// FuzzParse holds the scanner against encoding/json, which it must agree with on each text that is valid UTF-8.
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
		members, object, end, membersErr := jsonscan.ParseMembers(nil, text)
		if err != nil {
			var syntax *jsonscan.SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(text) {
				t.Fatalf("error %v in %d bytes", err, len(text))
			}
			return
		}
		checkTexts(t, v)
		if isObject := v.Kind() == jsonscan.Object; isObject != (membersErr == nil) {
			t.Fatalf("%v, but ParseMembers says %v", v.Kind(), membersErr)
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

func checkTexts(t *testing.T, v jsonscan.Value) {
	t.Helper()
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(v.Text)); err != nil {
		t.Fatal(err)
	}
	compact := jsonscan.AppendCompact(nil, v)
	if !bytes.Equal(compact, want.Bytes()) {
		t.Fatalf("compacted: %s, by encoding/json: %s", compact, want.Bytes())
	}
	if len(compact) != len(v.Text)-v.Spaces {
		t.Fatalf("%d bytes with %d spaces, but %d compacted", len(v.Text), v.Spaces, len(compact))
	}
	quoted := jsonscan.AppendCompactQuoted(nil, v)
	if len(quoted) != len(compact)+jsonscan.QuotedOverhead(v) {
		t.Fatalf("%d bytes compacted, %d quoted, of which QuotedOverhead says %d", len(compact), len(quoted), jsonscan.QuotedOverhead(v))
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

func checkMembers(t *testing.T, v jsonscan.Value, parsed []jsonscan.Member) {
	t.Helper()
	members := jsonscan.Members(nil, v)
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
			t.Fatalf("member %d is named %q, by encoding/json %v, %v", i, unquoted, name, err)
		}
		if err := tokens.Decode(&want); err != nil || m.Value.Text != string(want) {
			t.Fatalf("member %d is %s, by encoding/json %s, %v", i, m.Value.Text, want, err)
		}
		checkTexts(t, m.Value)
	}
	if tokens.More() {
		t.Fatal("encoding/json has more members")
	}
}

func checkElements(t *testing.T, v jsonscan.Value) {
	t.Helper()
	elements := jsonscan.Elements(nil, v)
	var want []json.RawMessage
	if err := json.Unmarshal([]byte(v.Text), &want); err != nil || len(want) != len(elements) {
		t.Fatalf("%d elements, by encoding/json %d, %v", len(elements), len(want), err)
	}
	for i, e := range elements {
		if e.Text != string(want[i]) {
			t.Fatalf("element %d is %s, by encoding/json %s", i, e.Text, want[i])
		}
		checkTexts(t, e)
	}
}

// checkUnquote holds Unquote against encoding/json, which puts U+FFFD in the place of a lone surrogate.
func checkUnquote(t *testing.T, token string) {
	t.Helper()
	var want string
	if err := json.Unmarshal([]byte(token), &want); err != nil {
		t.Fatal(err)
	}
	got, err := jsonscan.Unquote(token[1 : len(token)-1])
	switch {
	case err == nil && got != want:
		t.Fatalf("Unquote(%s) = %q, by encoding/json %q", token, got, want)
	case err != nil && (!errors.Is(err, jsonscan.ErrSurrogate) || !strings.Contains(want, "\ufffd")):
		t.Fatalf("Unquote(%s): %v, by encoding/json %q", token, err, want)
	}
}

// FuzzDecimal holds decimals against math/big.
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
		return // math/big would take for ever
	}
	want, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("math/big does not read %s", text)
	}
	plain := string(d.Append(nil))
	got, ok := new(big.Rat).SetString(plain)
	if !ok || got.Cmp(want) != 0 || strings.ContainsAny(plain, "eE+") {
		t.Fatalf("%s in plain is %s", text, plain)
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

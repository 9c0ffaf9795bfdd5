package jsonscan

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote returns the value of a valid JSON string, given the text between its quotes. Without escapes that is the text
// itself. It returns ErrSurrogate for a lone surrogate: replacing it would make different names and ids equal.
func Unquote(body string) (string, error) {
	i := strings.IndexByte(body, '\\')
	if i < 0 {
		return body, nil
	}
	out := make([]byte, 0, len(body))
	for i >= 0 {
		out = append(out, body[:i]...)
		r, n := unescape(body[i:])
		if r < 0 {
			return "", ErrSurrogate
		}
		out = utf8.AppendRune(out, r)
		body = body[i+n:]
		i = strings.IndexByte(body, '\\')
	}
	return string(append(out, body...)), nil
}

// unescape reads the escape at the start of s and returns its value and length. r is -1 for a lone surrogate.
func unescape(s string) (r rune, n int) {
	switch c := s[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r := hex4(s[2:6])
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if r = utf16.DecodeRune(r, hex4(s[8:12])); r != utf8.RuneError {
				return r, 12
			}
		}
		return -1, 6
	default:
		return rune(c), 2
	}
}

// AppendCompact appends the text of v without the white space between its tokens.
func AppendCompact(dst []byte, v Value) []byte {
	if v.Spaces == 0 {
		return append(dst, v.Text...)
	}
	s := v.Text
	for i := 0; i < len(s); {
		end := i
		for end < len(s) && s[end] > ' ' && s[end] != '"' {
			end++
		}
		if end < len(s) && s[end] == '"' {
			end = stringEnd(s, end)
		}
		dst = append(dst, s[i:end]...)
		i = skipSpace(s, end)
	}
	return dst
}

// AppendCompactQuoted appends the text of v without white space between its tokens, escaped for use inside a JSON string.
func AppendCompactQuoted(dst []byte, v Value) []byte {
	s := v.Text
	if v.Spaces == 0 {
		return appendEscaped(dst, s) // valid JSON has nothing else to escape
	}
	for i := 0; i < len(s); {
		end := i
		for end < len(s) && s[end] > ' ' && s[end] != '"' {
			end++
		}
		dst = append(dst, s[i:end]...) // tokens that are not strings need no escapes
		if end < len(s) && s[end] == '"' {
			i, end = end, stringEnd(s, end)
			dst = appendEscaped(dst, s[i:end])
		}
		i = skipSpace(s, end)
	}
	return dst
}

// QuotedOverhead returns the number of bytes that AppendCompactQuoted adds to the compacted text: one for each quote and
// backslash.
func QuotedOverhead(v Value) int { return strings.Count(v.Text, `"`) + strings.Count(v.Text, `\`) }

// stringEnd returns the index past the closing quote of the valid string that opens at i.
func stringEnd(s string, i int) int {
	end, _ := (&scanner{s: s}).str(i)
	return end
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends s as a JSON string. s must be valid UTF-8.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		if plain[s[i]] {
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

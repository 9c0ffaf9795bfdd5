package recording

import (
	"strings"
	"testing"
	"time"
)

func TestShift(t *testing.T) {
	now := time.Unix(2_000_000_000, 900_000_000)
	const last = 1_795_550_701.258 // moves to 2,000,000,000: by 204,449,298 s
	tests := []struct{ name, body, want string }{
		{"keeps the fraction's digits", `{"timestamp":1795550700.2100}`, `{"timestamp":1999999998.2100}`},
		{"with spaces, and an end of life", `{"timestamp": 1795550700, "expiresAt" : 1795554300}`, `{"timestamp": 1999999998, "expiresAt" : 2000003598}`},
		{"each line of many", "{\"timestamp\":1795550700}\n{\"timestamp\":1795550701}", "{\"timestamp\":1999999998}\n{\"timestamp\":1999999999}"},
		{"JSON inside a string", `"{\"timestamp\":1795550700}"`, `"{\"timestamp\":1999999998}"`},
		{"cut off", `{"timestamp":1795550700,"predi`, `{"timestamp":1999999998,"predi`},
		{"a text is no time", `{"timestamp":"yesterday"}`, `{"timestamp":"yesterday"}`},
		{"nor is another field", `{"createdAt":1795550700,"ttlSeconds":3600}`, `{"createdAt":1795550700,"ttlSeconds":3600}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, by := Shift([]Message{{last - 1, test.body}, {last, "{}"}}, now)
			if by != 204_449_298*time.Second {
				t.Errorf("moved by %v", by)
			}
			if got[0].Body != test.want {
				t.Errorf("got  %s\nwant %s", got[0].Body, test.want)
			}
			if sent := got[1].SentAt; sent > 2_000_000_000 || sent <= 1_999_999_999 {
				t.Errorf("the last message is sent at %f, in the future or over a second ago", sent)
			}
		})
	}
}

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader("{\"sentAt\":1.5,\"body\":\"{\\\"a\\\":1\"}\n{\"sentAt\":2,\"body\":\"\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != (Message{1.5, `{"a":1`}) || got[1] != (Message{2, ""}) {
		t.Errorf("got %+v", got)
	}
	for name, text := range map[string]string{"empty": "", "not JSON": "{\n"} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

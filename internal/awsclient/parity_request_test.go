package awsclient

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/predcache/predcache/internal/item"
)

func TestParityRequests(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"plain":             {},
		"FIPS":              {"AWS_USE_FIPS_ENDPOINT": "true"},
		"dual stack":        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"another partition": {"AWS_REGION": "cn-north-1"},
		"own endpoint":      {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/under/path/"},
		"endpoint each":     {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_DYNAMODB": "https://[::1]:2/"},
		"account":           {"AWS_ACCOUNT_ID": "123456789012"},
		"account off":       {"AWS_ACCOUNT_ID": "123456789012", "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled"},
		"session":           {"AWS_SESSION_TOKEN": "token/+="},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range env {
				t.Setenv(name, value)
			}
			settings(t)
			synctest.Test(t, func(t *testing.T) { // both sign at the same time
				latest, versioned := layouts(t)
				for _, l := range []*item.Layout{latest, versioned} {
					seen := &recorder{}
					b := newBothIn(t, seen, l)
					for operation, call := range b.operations(t, l) {
						seen.requests = nil
						for way := range ways {
							if _, err := call(t.Context(), way); err != nil {
								t.Fatalf("%s by %s: %v", operation, ways[way], err)
							}
						}
						sameRequest(t, operation, seen.requests[0], seen.requests[1])
					}
				}
			})
		})
	}
}

func sameRequest(t *testing.T, operation string, sdk, direct recorded) {
	t.Helper()
	if sdk.Method != direct.Method || sdk.URL.String() != direct.URL.String() || sdk.Host != direct.Host && sdk.Host != "" {
		t.Errorf("%s: %s %s (%s) by the SDK, %s %s (%s) directly", operation, sdk.Method, sdk.URL, sdk.Host, direct.Method, direct.URL, direct.Host)
	}
	headers := func(r recorded) http.Header {
		h := maps.Clone(r.Header)
		for _, name := range []string{"Authorization", "User-Agent", "Content-Length", "Amz-Sdk-Request"} { // see below; a name; net/http's; the attempt's number
			h.Del(name)
		}
		return h
	}
	if s, d := headers(sdk), headers(direct); !reflect.DeepEqual(s, d) {
		t.Errorf("%s: headers\n%v by the SDK\n%v directly", operation, s, d)
	}
	if s, d := decode(t, sdk.text), decode(t, direct.text); !reflect.DeepEqual(s, d) {
		t.Errorf("%s: body\n%s by the SDK\n%s directly", operation, sdk.text, direct.text)
	}
	if sdk.ContentLength != int64(len(sdk.text)) || direct.ContentLength != int64(len(direct.text)) {
		t.Errorf("%s: a length of %d by the SDK, %d directly", operation, sdk.ContentLength, direct.ContentLength)
	}
	// Their bodies are written in different orders, so their signatures differ: each must be right by itself.
	for way, r := range []recorded{sdk, direct} {
		if got, want := r.Header.Get("Authorization"), authorization(r); got != want {
			t.Errorf("%s by %s: signed as %s, want %s", operation, ways[way], got, want)
		}
	}
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// authorization signs a request anew, by "Create a signed AWS API request" of the IAM User Guide, over the headers that it says
// it signed.
func authorization(r recorded) string {
	auth := r.Header.Get("Authorization")
	between := func(after, before string) string {
		_, rest, _ := strings.Cut(auth, after)
		value, _, _ := strings.Cut(rest, before)
		return value
	}
	signed := strings.Split(between("SignedHeaders=", ","), ";")
	credential := between("Credential=", ",")
	scope := strings.SplitN(credential, "/", 2)[1]
	parts := strings.Split(scope, "/") // date, region, service, aws4_request

	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.URL.Host
		case "content-length":
			value = fmt.Sprint(len(r.text))
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.TrimSpace(value))
	}
	digest := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(signed, ";"), digest(r.text))
	toSign := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + digest(canonical.String())
	key := []byte("AWS4secret")
	for _, part := range append(parts, toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=%s, Signature=%x", credential, strings.Join(signed, ";"), key)
}

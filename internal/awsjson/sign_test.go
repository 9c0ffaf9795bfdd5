package awsjson

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TestSign compares each signature with that of the SDK's signer. One signer signs all, so that what it keeps of one day,
// region or secret is not used for another.
func TestSign(t *testing.T) {
	headers := map[string]http.Header{
		"DynamoDB": {"Content-Type": {"application/x-amz-json-1.0"}, "Accept-Encoding": {"identity"}, "User-Agent": {"a  b"}, "X-Amz-Target": {"DynamoDB_20120810.GetItem"}},
		"SQS":      {"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Query-Mode": {"true"}, "X-Amz-Target": {"AmazonSQS.ReceiveMessage"}},
	}
	at := time.Date(2026, 11, 25, 23, 59, 59, 0, time.FixedZone("", -7200))
	for name, header := range headers {
		s := newSigner(header)
		c := &Call{header: header.Clone()}
		for _, creds := range []aws.Credentials{
			{AccessKeyID: "AKID", SecretAccessKey: "secret"},
			{AccessKeyID: "AKID", SecretAccessKey: "another", SessionToken: "to/ken=="},
			{AccessKeyID: "AKID2", SecretAccessKey: "secret"},
		} {
			for _, host := range []string{"dynamodb.eu-west-1.amazonaws.com", "127.0.0.1:4567", "[::1]:8000"} {
				for _, now := range []time.Time{at, at.Add(time.Second), at.Add(25 * time.Hour)} {
					for _, region := range []string{"eu-west-1", "eu-west-10", "us-east-1"} {
						for _, body := range []string{`{}`, strings.Repeat("x", 100_000)} {
							c.Request = []byte(body)
							delete(c.header, "X-Amz-Security-Token")
							e := &endpoint{url: url.URL{Scheme: "https", Host: host, Path: "/"}, region: region, signing: "dynamodb"}
							if !s.signs(e) {
								t.Fatalf("%s: not signed", host)
							}
							s.sign(c, creds, e, now)
							req := &http.Request{Method: http.MethodPost, URL: &e.url, Host: host, Header: header.Clone(), ContentLength: int64(len(body))}
							sum := sha256.Sum256(c.Request)
							if err := v4.NewSigner().SignHTTP(context.Background(), creds, req, hex.EncodeToString(sum[:]), "dynamodb", region, now); err != nil {
								t.Fatal(err)
							}
							for _, h := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
								if got, want := c.header.Get(h), req.Header.Get(h); got != want {
									t.Fatalf("%s, %s, %s, %v: %s is %q, the SDK's %q", name, host, region, now, h, got, want)
								}
							}
						}
					}
				}
			}
		}
	}
}

func TestSignIsTheSDKsElsewhere(t *testing.T) {
	s := newSigner(http.Header{})
	for _, u := range []string{"https://a/prefix/", "https://a:443/", "http://a:80/", "https://a/?b=c"} {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		if s.signs(&endpoint{url: *parsed}) {
			t.Errorf("%s is signed here", u)
		}
	}
	if s.signs(&endpoint{url: url.URL{Host: "a", Path: "/"}, header: http.Header{"X-Own": {"1"}}}) {
		t.Error("headers of the endpoint are not signed")
	}
}

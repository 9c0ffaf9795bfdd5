package awsclient

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// lastCheck does what net/http does with a request's body of known length: it sends that many bytes, and then discards
// the rest, which must be empty. By then the answer may have arrived, and the SDK has closed the body.
type lastCheck struct {
	t     *testing.T
	calls int
}

func (c *lastCheck) RoundTrip(req *http.Request) (*http.Response, error) {
	c.calls++
	if _, err := io.CopyN(io.Discard, req.Body, req.ContentLength); err != nil {
		c.t.Errorf("sending the body: %v", err)
	}
	if err := req.Body.Close(); err != nil {
		c.t.Errorf("closing the body: %v", err)
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		c.t.Errorf("the last check of the body failed with %v: net/http would now drop the connection under the answer", err)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: req}, nil
}

func TestPlainBodies(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "")
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	check := &lastCheck{t: t}
	clients, err := New(context.Background(), Config{Transport: check, Clock: &Clock{}})
	if err != nil {
		t.Fatal(err)
	}
	url := "https://sqs.eu-west-1.amazonaws.com/1/q"
	if _, err := clients.SQS.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &url}); err != nil {
		t.Error(err)
	}
	if check.calls != 1 {
		t.Errorf("%d attempts, want 1: the stages own the retries", check.calls)
	}
}

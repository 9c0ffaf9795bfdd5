package awsclient

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/writer"
)

var update = flag.Bool("update", false, "write the table of docs/runbook.md")

// TestErrorsTable holds docs/runbook.md to the explanations.
func TestErrorsTable(t *testing.T) {
	const file, begin, end = "../../docs/runbook.md", "TestErrorsTable -update -->\n", "<!-- end -->"
	var b strings.Builder
	b.WriteString("\n| code | meaning | remedy |\n|---|---|---|\n")
	for _, e := range explanations {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.Join(e.codes, "`, `"), e.meaning, e.remedy)
	}
	b.WriteString("\n")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("the page has no place for the table")
	}
	want := before + begin + b.String() + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(page) != want {
		t.Error("docs/runbook.md is not what the code says: make docs")
	}
}

func TestExplanations(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range explanations {
		if e.meaning == "" || e.remedy == "" || e.write == writer.NoResult {
			t.Errorf("%v: an explanation has a meaning, a remedy, and a result of a write", e.codes)
		}
		for _, code := range e.codes {
			if seen[code] || normal(code) != code {
				t.Errorf("%s is there twice, or in no normal form", code)
			}
			seen[code] = true
		}
	}
	// Those of queues that are created or purged are no concern of the worker.
	others := map[string]bool{"QueueNameExists": true, "PurgeQueueInProgress": true}
	for id := range sqs.TypeRegistry.Entries {
		_, name, _ := strings.Cut(id, "#")
		if _, ok := sqs.TypeRegistry.DeserializableError(id); ok && !others[name] && !seen[normal(name)] {
			t.Errorf("SQS's %s has no explanation", name)
		}
	}
	// The errors of BatchWriteItem, PutItem and DescribeTable in the Amazon DynamoDB API Reference, but for a failed
	// condition, which is no error.
	for _, name := range []string{"InternalServerError", "ItemCollectionSizeLimitExceededException", "ProvisionedThroughputExceededException",
		"ReplicatedWriteConflictException", "RequestLimitExceeded", "ResourceNotFoundException", "ThrottlingException", "TransactionConflictException", "ValidationException"} {
		if !seen[normal(name)] {
			t.Errorf("DynamoDB's %s has no explanation", name)
		}
	}
}

func TestRemedy(t *testing.T) {
	said := &answer{}
	_, versioned := layouts(t)
	b := newBoth(t, said, versioned)
	for _, c := range []struct {
		answer    answer
		want      string // in the error
		permanent bool
	}{
		{answer{403, nil, `{"__type":"AccessDeniedException","message":"no identity-based policy allows the sqs:ReceiveMessage action"}`}, "the queue can't be used: the role may not make this call: allow it in the policy of the role that calls", true},
		{answer{400, map[string]string{"X-Amzn-Query-Error": "KMS.AccessDeniedException;Sender"}, `{"__type":"com.amazonaws.sqs#KmsAccessDenied","message":"x"}`}, "allow kms:Decrypt", true},
		{answer{400, map[string]string{"X-Amzn-Query-Error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"x"}`}, "the queue does not exist in this account and region: create it, or correct its URL (ReceiveMessage: AWS.SimpleQueueService.NonExistentQueue: x)", true},
		{answer{403, nil, `{"__type":"ExpiredTokenException","message":"x"}`}, "the credentials have expired: renew them", true},
		{answer{403, nil, `{"__type":"InvalidClientTokenId","message":"x"}`}, "AWS does not know the access key", true},
		{answer{400, nil, `{"__type":"OverLimit","message":"x"}`}, "120,000 messages of the queue are in flight", false},
		{answer{503, nil, `{"__type":"ServiceUnavailable","message":"x"}`}, "AWS has a fault", false},
		{answer{502, map[string]string{"Content-Type": "text/html; charset=utf-8"}, `<html>`}, "the endpoint answers in HTML, as no AWS service does", false},
		{answer{429, nil, ``}, "the service throttles calls", false},
		{answer{400, nil, `{"__type":"NobodyKnows","message":"x"}`}, "the queue can't be used (ReceiveMessage: NobodyKnows: x)", false},
	} {
		*said = c.answer
		for way := range ways {
			_, err := b.queues[way].Receive(t.Context(), 1, 0)
			if got := Remedy("ReceiveMessage", "the queue", err); !strings.Contains(got.Error(), c.want) {
				t.Errorf("%s: got %q, want %q", ways[way], got, c.want)
			}
			// While running: the telemetry asks the error for its remedy.
			if remedy := err.(interface{ Remedy() string }).Remedy(); (remedy == "") != strings.HasPrefix(c.want, "the queue can't be used (") {
				t.Errorf("%s: the remedy is %q", c.want, remedy)
			}
			if Permanent(err) != c.permanent {
				t.Errorf("%s: permanent is %v", c.want, !c.permanent)
			}
		}
	}
}

// TestCredentials has no credentials, for one reason or another. The error keeps the cause, by our own requests and by the
// SDK's.
func TestCredentials(t *testing.T) {
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>`+
			`<Message>No OpenIDConnect provider found in your account</Message></Error><RequestId>4fd1</RequestId></ErrorResponse>`)
	}))
	defer sts.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	role := map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}
	for _, c := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"none", map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, []string{"no AWS credentials were found: give the task or pod a role"}},
		{"no metadata service", map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, []string{"no AWS credentials were found", "connection refused"}},
		{"no token file", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"}, []string{"a file with a token can't be read", "(unable to read file at /nowhere/token"}},
		{"STS refuses", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ENDPOINT_URL_STS": sts.URL}, []string{"STS gives no credentials for the role: check the role's trust policy",
			"(STS AssumeRoleWithWebIdentity: InvalidIdentityToken: No OpenIDConnect provider found in your account)"}},
		{"STS is down", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, []string{"the service that gives credentials does not answer",
			"(STS AssumeRoleWithWebIdentity: dial tcp 127.0.0.1:1: connect: connection refused)"}},
		{"the container's endpoint is down", map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x"}, []string{"the service that gives credentials does not answer", "connection refused)"}},
		{"no container token", map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere/token"}, []string{"a file with a token can't be read", "/nowhere/token"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings(t)
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
				t.Setenv(name, "")
			}
			t.Setenv("HOME", t.TempDir())
			for _, env := range []map[string]string{role, c.env} {
				for name, value := range env {
					t.Setenv(name, value)
				}
			}
			clients, err := New(t.Context(), Config{Clock: &Clock{}})
			if err != nil {
				t.Fatal(err)
			}
			const url = "https://sqs.eu-west-1.amazonaws.com/1/q"
			_, received := NewQueue(clients, url).Receive(t.Context(), 1, 0)
			_, described := clients.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url)})
			for way, err := range []error{Remedy("GetQueueAttributes", "the queue", described), Remedy("ReceiveMessage", "the queue", received)} {
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: got %q, want %q", ways[way], err, want)
					}
				}
				if strings.Contains(err.Error(), "RequestID") {
					t.Errorf("%s: %q is new each time", ways[way], err)
				}
			}
			if text := received.Error(); !strings.HasPrefix(text, "ReceiveMessage: get credentials: ") || strings.Contains(text, "failed to refresh") {
				t.Errorf("while running: %q", text)
			}
		})
	}
}

// TestSDKLog has the SDK warn about a shared file, of which it takes the later of two values.
func TestSDKLog(t *testing.T) {
	settings(t)
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("[default]\nregion = eu-west-1\n[profile default]\nregion = eu-west-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	if _, err := New(context.Background(), Config{Clock: &Clock{}, Log: log}); err != nil {
		t.Fatal(err)
	}
	sdkLogger(log).Logf("WARN", "a %s", "warning")
	sdkLogger(log).Logf("DEBUG", "a detail")
	if text := out.String(); !strings.Contains(text, `"level":"INFO","msg":"AWS SDK","reason":"a warning"`) || strings.Contains(text, "a detail") {
		t.Errorf("logged %s", text)
	}
	sdkLogger(nil).Logf("WARN", "nowhere")
}

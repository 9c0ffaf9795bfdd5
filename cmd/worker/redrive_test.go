package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
)

// sendRejects sends one message a reason to a queue, as the worker rejects them.
func sendRejects(t *testing.T, client *sqs.Client, queue string, reasons ...string) {
	t.Helper()
	for _, reason := range reasons {
		text := func(value string) types.MessageAttributeValue {
			return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
		if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &reason, MessageAttributes: map[string]types.MessageAttributeValue{
			"predcache.reason": text(reason), "predcache.field": text("predictionId"), "predcache.detail": text("is wrong: correct it"),
		}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedrive(t *testing.T) {
	b := backend.All(t)[0]
	for _, test := range []struct {
		args   string // FROM stands for the URL of another queue, QUEUE for that of the queue
		env    map[string]string
		status int
		stdout string
		stderr string
		sent   int
	}{
		{args: "", stdout: "is wrong: correct it\n\nSend some back with --reason REASON, or everything with --all.\n", sent: 0},
		{args: "--reason key,missing_field --rate 7", stdout: "\n3 of 3 were sent back.\n", sent: 3},
		{args: "--all --dry-run", stdout: "\n3 of 3 would be sent back.\n", sent: 0},
		{args: "--reason kee", status: 1, stdout: "\n0 of 3 were sent back.\n", stderr: "worker: no message has the reason kee; the reasons in the queue are key (1), missing_field (2)\n", sent: 0},
		{args: "--all --from FROM", stdout: "1 of 1 were sent back.\n", sent: 1},
		{args: "--from QUEUE", status: 1, stderr: "that is the queue itself: give the reject queue or the dead-letter queue"},
		{args: "--all", env: map[string]string{"WORKER_REJECT_QUEUE_URL": ""}, status: 1, stderr: "WORKER_REJECT_QUEUE_URL is not set: set it, or give --from"},
		{args: "--all", env: map[string]string{"WORKER_QUEUE_URL": ""}, status: 1, stderr: "the settings are not valid:\n  - WORKER_QUEUE_URL is not set"},
	} {
		t.Run(test.args, func(t *testing.T) {
			w := newWire(t, b, item.Versioned, item.TypeS, false)
			sendRejects(t, b.SQS, w.rejects, "key", "missing_field", "missing_field")
			other := b.CreateQueue(t, nil)
			sendRejects(t, b.SQS, other, "key")
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			args := strings.Fields(strings.NewReplacer("FROM", other, "QUEUE", w.queue).Replace(test.args))
			status, stdout, stderr := invoke(t, "", append([]string{"redrive"}, args...)...)
			if status != test.status || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) || test.stderr == "" && stderr != "" {
				t.Errorf("status %d\n%s\n%s\nwant %d, %q and %q", status, stdout, stderr, test.status, test.stdout, test.stderr)
			}
			if visible, _, _ := b.FakeSQS.Counts(w.queue[strings.LastIndexByte(w.queue, '/')+1:]); visible != test.sent {
				t.Errorf("%d messages are in the queue, want %d", visible, test.sent)
			}
		})
	}
}

func TestRedrive_denied(t *testing.T) {
	b := backend.All(t)[0]
	newWire(t, b, item.Versioned, item.TypeS, false)
	var calls atomic.Int32
	b.FakeSQS.SetFault(func(c *awstest.Call) awstest.Fault {
		calls.Add(1)
		return awstest.Fault{Err: awstest.AccessDenied(c.Operation)}
	})
	const want = "the queue to take messages from can't be used: the role may not make this call: allow it in the policy of the role that calls"
	if status, stdout, stderr := invoke(t, "", "redrive", "--all"); status != 1 || stdout != "" || !strings.Contains(stderr, want) {
		t.Errorf("status %d, %q, %q, want %q", status, stdout, stderr, want)
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls were made, want 1: trying again does not help", calls.Load())
	}
}

// A worker that runs meanwhile rejects at once what comes back: once sent 286 times in 30 s.
func TestRedrive_while_a_worker_runs(t *testing.T) {
	b := backend.All(t)[0]
	w := newWire(t, b, item.Versioned, item.TypeS, false)
	t.Setenv("WORKER_HTTP_ADDR", "127.0.0.1:0")
	t.Setenv("WORKER_ADMIN_ADDR", "")
	sendRejects(t, b.SQS, w.rejects, "syntax", "syntax")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- dispatch(ctx, []string{"run"}, nil, io.Discard, io.Discard) }()
	limited, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := dispatch(limited, []string{"redrive", "--all"}, nil, &out, &out); err != nil || !strings.Contains(out.String(), "\n2 of 2 were sent back.\n") {
		t.Errorf("%s, %v", out.String(), err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	left := 0
	for _, url := range []string{w.queue, w.rejects} {
		visible, _, _ := b.FakeSQS.Counts(url[strings.LastIndexByte(url, '/')+1:])
		left += visible
	}
	if left != 2 {
		t.Errorf("%d messages are left, want 2", left)
	}
}

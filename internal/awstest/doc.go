// Package awstest holds fakes of SQS and DynamoDB that enforce the services' rules and refuse what the services refuse, so
// that a test through the real AWS SDK fails where production would.
//
// Both fakes speak AWS JSON 1.0 as the SDK's clients do: served by net/http (each is an http.Handler), or with no network
// at all, by [Transport], so that a whole client works inside a testing/synctest bubble:
//
//	synctest.Test(t, func(t *testing.T) {
//		queue := awstest.NewSQS()
//		client := queue.Client()
//		url := queue.CreateQueue("predictions", nil)
//		queue.SetFault(func(c *awstest.Call) awstest.Fault {
//			if c.Operation == "DeleteMessageBatch" && c.N == 1 {
//				return awstest.Fault{LoseAnswer: true}
//			}
//			return awstest.Fault{}
//		})
//		client.SendMessage(t.Context(), …)
//	})
//
// Time is the time package's, so the bubble's. Nothing is random: identifiers are counted, and faults are what the caller's
// function says. Rules are documented where they are enforced, with the title of the AWS page they come from; the
// conformance suite states each as a test and runs it on the fakes and on independent stand-ins.
package awstest

// Package awstest holds what the fakes of AWS services have in common: the protocol, faults, the log of calls, and a
// transport without a network. Package sqsfake fakes SQS, package dynamodbfake DynamoDB, and package s3fake S3. They enforce
// the service's rules and refuse what it refuses, so that a test through the real AWS SDK fails where production would.
//
// A fake speaks AWS JSON 1.0 (s3fake: S3's REST and XML) as the SDK's clients do. It is an http.Handler, so net/http can serve it; [Transport]
// carries requests to it without a network, so that a whole client works inside a testing/synctest bubble:
//
//	synctest.Test(t, func(t *testing.T) {
//		queues := sqsfake.New()
//		client := queues.Client()
//		url := queues.CreateQueue("predictions", nil)
//		queues.SetFault(func(c *awstest.Call) awstest.Fault {
//			if c.Operation == "DeleteMessageBatch" && c.N == 1 {
//				return awstest.Fault{LoseAnswer: true}
//			}
//			return awstest.Fault{}
//		})
//		client.SendMessage(t.Context(), …)
//	})
//
// Time is the time package's, so the bubble's. Nothing is random: identifiers are counted, and faults are what the
// caller's function returns. Requests and answers are structs with the service's field names; a parameter that the fake
// does not know is an error, never ignored. A rule is documented where it is enforced, with the title of
// its AWS page. The conformance suite states each rule as a test and runs it on the fakes and on independent stand-ins.
package awstest

package sqsfake

import (
	"maps"
	"slices"

	"github.com/predcache/predcache/internal/awstest"
)

// InternalError is SQS's answer with status 500.
func InternalError() *awstest.Error {
	return &awstest.Error{Status: 500, Type: awstest.Coral + "InternalFailure", Query: "InternalFailure;Receiver",
		Message: "The request processing has failed because of an unknown error, exception or failure."}
}

// RequestThrottled is SQS's throttling answer ("Amazon SQS error codes"); a FIFO queue's quota is its usual cause.
func RequestThrottled() *awstest.Error {
	return &awstest.Error{Status: 403, Type: namespace + "RequestThrottled", Query: "RequestThrottled;Sender", Message: "Request is throttled."}
}

// KMSAccessDenied is SQS's answer to a receive or a send on a queue whose KMS key the caller may not use ("Amazon SQS Key
// management").
func KMSAccessDenied() *awstest.Error {
	return &awstest.Error{Type: namespace + "KmsAccessDenied", Query: "KMS.AccessDeniedException;Sender",
		Message: "User: arn:aws:sts::000000000000:assumed-role/worker/test is not authorized to perform: kms:Decrypt on this resource because no identity-based policy allows the kms:Decrypt action"}
}

const namespace = "com.amazonaws.sqs#"

// refusal is an error of the SQS API's own. query is its code in the older protocol, which the SDK prefers.
func refusal(code, query, message string) *awstest.Error {
	return &awstest.Error{Type: namespace + code, Query: query + ";Sender", Message: message}
}

// older is an error whose code in the older protocol has the usual prefix.
func older(code, message string) *awstest.Error {
	return refusal(code, "AWS.SimpleQueueService."+code, message)
}

func invalidParameter(message string) *awstest.Error {
	return &awstest.Error{Type: awstest.Coral + "InvalidParameterValueException", Query: "InvalidParameterValue;Sender", Message: message}
}

// invalidValue is the usual form of an invalidParameter.
func invalidValue(value, parameter, reason string) *awstest.Error {
	return invalidParameter("Value " + value + " for parameter " + parameter + " is invalid. Reason: " + reason)
}

func missingParameter(name string) *awstest.Error {
	return &awstest.Error{Type: awstest.Coral + "MissingRequiredParameterException", Query: "MissingParameter;Sender",
		Message: "The request must contain the parameter " + name + "."}
}

func queueDoesNotExist() *awstest.Error {
	return refusal("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package dynamodbfake

import (
	"strconv"

	"github.com/predcache/predcache/internal/awstest"
)

const namespace = "com.amazonaws.dynamodb.v20120810#"

// ThrottlingReason says what is throttled ("Throttling diagnosis"): Reason is ResourceType+OperationType+LimitType, e.g.
// TableWriteKeyRangeThroughputExceeded, and Resource the ARN of the table or index.
type ThrottlingReason struct {
	Reason   string `json:"reason"`
	Resource string `json:"resource"`
}

// ProvisionedThroughputExceeded is DynamoDB's answer when a table's or partition's capacity is spent ("Error handling with
// DynamoDB"); the SDK retries it.
func ProvisionedThroughputExceeded(reasons ...ThrottlingReason) *awstest.Error {
	return throttled("ProvisionedThroughputExceededException", "ThrottlingReasons", reasons,
		"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.")
}

// Throttling is DynamoDB's answer when an on-demand table is throttled; the SDK retries it.
func Throttling(reasons ...ThrottlingReason) *awstest.Error {
	return throttled("ThrottlingException", "throttlingReasons", reasons,
		"Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.")
}

// throttled is a throttling error. The SDK's model spells the member for the reasons differently in the two that have it.
func throttled(code, member string, reasons []ThrottlingReason, message string) *awstest.Error {
	e := &awstest.Error{Type: namespace + code, Message: message}
	if len(reasons) > 0 {
		e.Members = map[string]any{member: reasons}
	}
	return e
}

// InternalServerError is DynamoDB's answer with status 500; whether the write took place is unknown.
func InternalServerError() *awstest.Error {
	return &awstest.Error{Status: 500, Type: namespace + "InternalServerError", Message: "The request processing has failed because of an unknown error, exception or failure."}
}

// Validation is DynamoDB's refusal of a request, with the text given.
func Validation(message string) *awstest.Error {
	return &awstest.Error{Type: "com.amazon.coral.validate#ValidationException", Message: message}
}

// invalid is the refusal of a parameter's value.
func invalid(message string) *awstest.Error {
	return Validation("One or more parameter values were invalid: " + message)
}

// constraint is the refusal of a request by its model.
func constraint(value, member, must string) *awstest.Error {
	return Validation("1 validation error detected: Value " + value + " at '" + member + "' failed to satisfy constraint: Member must " + must)
}

func resourceNotFound(message string) *awstest.Error {
	return &awstest.Error{Type: namespace + "ResourceNotFoundException", Message: message}
}

func resourceInUse(message string) *awstest.Error {
	return &awstest.Error{Type: namespace + "ResourceInUseException", Message: message}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

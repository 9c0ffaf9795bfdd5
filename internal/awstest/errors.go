package awstest

import "strings"

// Error is an error answer of a service.
type Error struct {
	// Status is the HTTP status; 0 means 400.
	Status int
	// Type is the answer's __type, with its namespace, whose last part is the code that the SDK reports.
	Type string
	// Query is the code that the service's older protocol had, which SQS sends in x-amzn-query-error and the SDK prefers;
	// empty means the header is not sent.
	Query   string
	Message string
	// Reasons are the throttling reasons of DynamoDB's throttling errors.
	Reasons []ThrottlingReason
	// Members is further JSON members for the body, starting with a comma, e.g. `,"Item":{…}`.
	Members string
	// Raw, if not empty, is sent as the body instead, e.g. a load balancer's HTML page.
	Raw string
}

// ThrottlingReason says what is throttled, as in DynamoDB's "Throttling diagnosis" guide: Reason is ResourceType+OperationType+
// LimitType, e.g. TableWriteKeyRangeThroughputExceeded, and Resource the ARN of the table or index.
type ThrottlingReason struct {
	Reason, Resource string
}

// Code is the error code without its namespace.
func (e *Error) Code() string {
	if i := strings.LastIndexByte(e.Type, '#'); i >= 0 {
		return e.Type[i+1:]
	}
	return e.Type
}

func (e *Error) Error() string { return e.Code() + ": " + e.Message }

func (e *Error) status() int {
	if e.Status == 0 {
		return 400
	}
	return e.Status
}

func (e *Error) body() []byte {
	if e.Raw != "" {
		return []byte(e.Raw)
	}
	b := append([]byte(`{"__type":`), appendJSONString(nil, e.Type)...)
	b = append(append(b, `,"message":`...), appendJSONString(nil, e.Message)...)
	if len(e.Reasons) > 0 {
		// The SDK's model spells the member differently in the two errors that have it.
		member := "throttlingReasons"
		if e.Code() == "ProvisionedThroughputExceededException" {
			member = "ThrottlingReasons"
		}
		b = append(append(append(b, `,"`...), member...), `":[`...)
		for i, r := range e.Reasons {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(append(b, `{"reason":`...), r.Reason)
			b = append(appendJSONString(append(b, `,"resource":`...), r.Resource), '}')
		}
		b = append(b, ']')
	}
	return append(append(b, e.Members...), '}')
}

const (
	dynamoDBNamespace = "com.amazonaws.dynamodb.v20120810#"
	sqsNamespace      = "com.amazonaws.sqs#"
	coralService      = "com.amazon.coral.service#"
)

// ProvisionedThroughputExceeded is DynamoDB's answer when a table's or partition's capacity is spent ("Error handling with
// DynamoDB"); the SDK retries it.
func ProvisionedThroughputExceeded(reasons ...ThrottlingReason) *Error {
	return &Error{Type: dynamoDBNamespace + "ProvisionedThroughputExceededException", Reasons: reasons,
		Message: "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."}
}

// Throttling is DynamoDB's answer when an on-demand table is throttled; the SDK retries it.
func Throttling(reasons ...ThrottlingReason) *Error {
	return &Error{Type: dynamoDBNamespace + "ThrottlingException", Reasons: reasons,
		Message: "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly."}
}

// RequestLimitExceeded is DynamoDB's answer when the account's quota is spent.
func RequestLimitExceeded() *Error {
	return &Error{Type: dynamoDBNamespace + "RequestLimitExceeded",
		Message: "Throughput exceeds the current throughput limit for your account. Please contact AWS Support at https://aws.amazon.com/support to request a limit increase"}
}

// InternalServerError is DynamoDB's answer of status 500; whether the write took place is unknown.
func InternalServerError() *Error {
	return &Error{Status: 500, Type: dynamoDBNamespace + "InternalServerError", Message: "The request processing has failed because of an unknown error, exception or failure."}
}

// InternalError is SQS's answer of status 500.
func InternalError() *Error {
	return &Error{Status: 500, Type: coralService + "InternalFailure", Query: "InternalFailure;Receiver",
		Message: "The request processing has failed because of an unknown error, exception or failure."}
}

// ServiceUnavailable is either service's answer of status 503.
func ServiceUnavailable() *Error {
	return &Error{Status: 503, Type: coralService + "ServiceUnavailableException", Query: "ServiceUnavailable;Receiver",
		Message: "The request has failed due to a temporary failure of the server."}
}

// AccessDenied is either service's answer where IAM does not allow the call.
func AccessDenied(operation string) *Error {
	return &Error{Type: coralService + "AccessDeniedException", Query: "AccessDenied;Sender",
		Message: "User: arn:aws:sts::000000000000:assumed-role/worker/test is not authorized to perform: " + operation + " because no identity-based policy allows the action"}
}

// ExpiredToken is either service's answer to credentials whose time is over.
func ExpiredToken() *Error {
	return &Error{Type: coralService + "ExpiredTokenException", Query: "ExpiredToken;Sender", Message: "The security token included in the request is expired"}
}

// RequestThrottled is SQS's throttling answer ("Amazon SQS error codes"); a FIFO queue's quota is its usual cause.
func RequestThrottled() *Error {
	return &Error{Status: 403, Type: sqsNamespace + "RequestThrottled", Query: "RequestThrottled;Sender", Message: "Request is throttled."}
}

// Validation is DynamoDB's refusal of a request, with the text given.
func Validation(message string) *Error {
	return &Error{Type: "com.amazon.coral.validate#ValidationException", Message: message}
}

func serialization(message string) *Error {
	return &Error{Type: coralService + "SerializationException", Message: message}
}

func resourceNotFound(message string) *Error {
	return &Error{Type: dynamoDBNamespace + "ResourceNotFoundException", Message: message}
}

// sqsError is an error of the SQS API's own, whose older code has the prefix that the SDK's model gives it.
func sqsError(code, query, message string) *Error {
	return &Error{Type: sqsNamespace + code, Query: query + ";Sender", Message: message}
}

func invalidParameter(message string) *Error {
	return &Error{Type: coralService + "InvalidParameterValueException", Query: "InvalidParameterValue;Sender", Message: message}
}

func missingParameter(name string) *Error {
	return &Error{Type: coralService + "MissingRequiredParameterException", Query: "MissingParameter;Sender",
		Message: "The request must contain the parameter " + name + "."}
}

func queueDoesNotExist() *Error {
	return sqsError("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

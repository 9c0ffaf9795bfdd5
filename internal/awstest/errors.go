package awstest

import (
	"encoding/json"
	"maps"
	"strings"
)

// Error is an error answer of a service.
type Error struct {
	// Status is the HTTP status; 0 means 400.
	Status int
	// Type is the answer's __type with its namespace. Its last part is the code that the SDK reports.
	Type string
	// Query is the code of the service's older protocol. SQS sends it in x-amzn-query-error and the SDK prefers it; the
	// header is left out if Query is empty.
	Query   string
	Message string
	// Members are further members of the body.
	Members map[string]any
	// Raw, if not empty, is sent as the body instead, e.g. a load balancer's HTML page.
	Raw string
}

// NoAnswer stands for an answer that nobody gets: the connection is closed. Its code in the log is "(lost)".
var NoAnswer = &Error{Type: "(lost)"}

// Coral is the namespace of the errors that all services have in common.
const Coral = "com.amazon.coral.service#"

// Code is the error code without its namespace.
func (e *Error) Code() string { return e.Type[strings.LastIndexByte(e.Type, '#')+1:] }

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
	members := map[string]any{"__type": e.Type, "message": e.Message}
	maps.Copy(members, e.Members)
	b, err := json.Marshal(members)
	if err != nil {
		panic(err) // members are plain values
	}
	return b
}

// ServiceUnavailable is a service's answer with status 503.
func ServiceUnavailable() *Error {
	return &Error{Status: 503, Type: Coral + "ServiceUnavailableException", Query: "ServiceUnavailable;Receiver",
		Message: "The request has failed due to a temporary failure of the server."}
}

// AccessDenied is a service's answer where IAM does not allow the call.
func AccessDenied(operation string) *Error {
	return &Error{Type: Coral + "AccessDeniedException", Query: "AccessDenied;Sender",
		Message: "User: arn:aws:sts::000000000000:assumed-role/worker/test is not authorized to perform: " + operation + " because no identity-based policy allows the action"}
}

package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/predcache/predcache/internal/writer"
)

// Code is a short name of what went wrong, for counting: the service's error code, or "timeout", "canceled", "network".
// It is empty where nothing did.
func Code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	default:
		return "network"
	}
}

// brief is an error without the SDK's frame around it, which has a request id in it and so is new each time.
func brief(operation string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return &callError{operation, fmt.Sprintf("%s: %s", api.ErrorCode(), api.ErrorMessage()), err}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return &callError{operation, op.Error(), err}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &callError{operation, "no answer in time", err}
	}
	return &callError{operation, err.Error(), err}
}

type callError struct {
	operation, what string
	err             error
}

func (e *callError) Error() string { return e.operation + ": " + e.what }
func (e *callError) Unwrap() error { return e.err }

// resultOf returns what the error of a call says about each of its items.
func resultOf(operation string, err error, items int) writer.Result {
	r := writer.Result{Kind: kindOf(err), Err: brief(operation, err)}
	if r.Kind == writer.Suspect && items == 1 {
		r.Kind = writer.Invalid
	}
	return r
}

func kindOf(err error) writer.Kind {
	switch Code(err) {
	case "ValidationException", "ItemCollectionSizeLimitExceededException", "SerializationException":
		return writer.Suspect
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "LimitExceededException":
		if onlyKeys(err) {
			return writer.HotKey
		}
		return writer.Throttled
	case "TransactionConflictException", "ReplicatedWriteConflictException":
		return writer.HotKey // somebody else is writing the key; it backs off by itself
	case "AccessDeniedException", "ResourceNotFoundException", "UnrecognizedClientException", "MissingAuthenticationTokenException",
		"IncompleteSignatureException", "InvalidSignatureException", "ExpiredTokenException":
		return writer.Refused
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		switch response.HTTPStatusCode() {
		case http.StatusRequestEntityTooLarge:
			return writer.Suspect
		case http.StatusTooManyRequests:
			return writer.Throttled
		}
	}
	return writer.Failed
}

// onlyKeys reports whether only partitions throttled a call, by the service's reasons ("Diagnosing throttling issues":
// ResourceType+OperationType+LimitType). The table can then take other keys.
func onlyKeys(err error) bool {
	var (
		reasons     []types.ThrottlingReason
		provisioned *types.ProvisionedThroughputExceededException
		limit       *types.RequestLimitExceeded
		throttling  *types.ThrottlingException
	)
	switch {
	case errors.As(err, &provisioned):
		reasons = provisioned.ThrottlingReasons
	case errors.As(err, &limit):
		reasons = limit.ThrottlingReasons
	case errors.As(err, &throttling):
		reasons = throttling.ThrottlingReasons
	}
	for i := range reasons {
		if !strings.HasSuffix(aws.ToString(reasons[i].Reason), "KeyRangeThroughputExceeded") {
			return false
		}
	}
	return len(reasons) > 0
}

// Remedy says in one line what is wrong with a call that somebody at a terminal waits for, and what to change.
func Remedy(operation, what string, err error) error {
	code := Code(err)
	var hint string
	switch {
	case answeredIn(err) != "":
		return fmt.Errorf("%s can't be used: the endpoint answers in %s, as no AWS service does; it is a proxy or another service: check AWS_ENDPOINT_URL and HTTPS_PROXY (%w)", what, answeredIn(err), brief(operation, err))
	case code == "AWS.SimpleQueueService.NonExistentQueue" || code == "QueueDoesNotExist":
		return fmt.Errorf("%s does not exist in this account and region: create it, or correct its URL (%w)", what, brief(operation, err))
	case code == "ResourceNotFoundException":
		return fmt.Errorf("%s does not exist in this account and region: create it, or correct its name (%w)", what, brief(operation, err))
	case strings.HasPrefix(code, "AccessDenied"):
		hint = "allow it in the policy of the role that calls"
	case code == "InvalidClientTokenId" || code == "UnrecognizedClientException" || code == "SignatureDoesNotMatch" || code == "InvalidSignatureException":
		hint = "the credentials are not valid for this account: correct them"
	case strings.Contains(code, "ExpiredToken"):
		hint = "the credentials have expired: renew them"
	case strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "get credentials"):
		return errors.New("no AWS credentials were found: give the task or pod a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case code == "network" || code == "timeout":
		hint = "check the network, AWS_REGION and AWS_ENDPOINT_URL"
	default:
		return fmt.Errorf("%s: %w", what, brief(operation, err))
	}
	return fmt.Errorf("%s can't be used: %s (%w)", what, hint, brief(operation, err))
}

// answeredIn names the format of an answer that is not JSON: HTML or XML.
func answeredIn(err error) string {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil || response.Response.Response == nil {
		return ""
	}
	kind, _, _ := strings.Cut(response.Response.Header.Get("Content-Type"), ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); {
	case strings.HasSuffix(kind, "html"):
		return "HTML"
	case strings.HasSuffix(kind, "xml"):
		return "XML"
	}
	return ""
}

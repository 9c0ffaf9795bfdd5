package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/predcache/predcache/internal/awsjson"
)

// byCode finds explanations. It is never changed.
var byCode = func() map[string]*explanation {
	m := map[string]*explanation{}
	for i := range explanations {
		for _, code := range explanations[i].codes {
			m[code] = &explanations[i]
		}
	}
	return m
}()

// Code returns a short name for an error: the service's error code, or "timeout", "canceled", "network". It is empty for
// no error.
func Code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	case errors.Is(err, context.DeadlineExceeded):
		return codeTimeout
	case errors.Is(err, context.Canceled):
		return codeCanceled
	default:
		return codeNetwork
	}
}

// normal returns a code without the differences between protocols: SQS answers "QueueDoesNotExist" in JSON and
// "AWS.SimpleQueueService.NonExistentQueue" in query mode, "KmsAccessDenied" and "KMS.AccessDeniedException".
func normal(code string) string {
	code = strings.TrimPrefix(code, "AWS.SimpleQueueService.")
	if rest, found := strings.CutPrefix(code, "KMS."); found {
		code = "Kms" + rest
	}
	return strings.TrimSuffix(code, "Exception")
}

// explain returns the explanation of an error, or nil if it has none.
func explain(err error) *explanation {
	if cause := credentialsCause(err); cause != nil {
		return byCode[credentialsCode+kindOfCause(cause)]
	}
	if answeredIn(err) != "" {
		return byCode[codeNotAWS]
	}
	code := Code(err)
	if e := byCode[normal(code)]; e != nil && code != codeUnknown {
		return e
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		switch response.HTTPStatusCode() {
		case http.StatusRequestEntityTooLarge:
			return byCode[codeTooLarge]
		case http.StatusTooManyRequests:
			return byCode[codeTooMany]
		}
	}
	return byCode[code]
}

// Permanent reports whether an immediate retry is useless, because somebody has to act first.
func Permanent(err error) bool {
	e := explain(err)
	return e != nil && e.permanent
}

// Remedy returns an error for the user who waits for the call: what is unusable, what that means, what to do, and the cause.
func Remedy(operation, what string, err error) error {
	cause := brief(operation, err)
	e := explain(err)
	switch {
	case e == nil:
		return fmt.Errorf("%s can't be used (%w)", what, cause)
	case credentialsCause(err) != nil: // whatever is called
		return fmt.Errorf("%s: %s (%w)", e.meaning, e.remedy, briefCause(err))
	case e == byCode[codeNotAWS]:
		return fmt.Errorf("%s can't be used: %s: %s (%w)", what, strings.Replace(e.meaning, codeNotAWS, answeredIn(err), 1), e.remedy, cause)
	}
	if said, found := strings.CutPrefix(e.meaning, "it "); found {
		return fmt.Errorf("%s %s: %s (%w)", what, said, e.remedy, cause)
	}
	return fmt.Errorf("%s can't be used: %s: %s (%w)", what, e.meaning, e.remedy, cause)
}

// A callError is an error without the SDK's wrapper, whose request id makes every text unique.
type callError struct {
	operation, what string
	err             error
}

func (e *callError) Error() string { return e.operation + ": " + e.what }
func (e *callError) Unwrap() error { return e.err }

// Remedy returns what to do about the error, or "" if that is unknown. Package telemetry shows it beside the reason.
func (e *callError) Remedy() string {
	if known := explain(e.err); known != nil {
		return known.remedy
	}
	return ""
}

// brief returns a short form of a call's error.
func brief(operation string, err error) error {
	if cause := briefCause(err); cause != nil {
		return &callError{operation, "get credentials: " + cause.Error(), err}
	}
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
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		return &callError{operation, send.Err.Error(), err}
	}
	var outer *smithy.OperationError
	if errors.As(err, &outer) {
		return &callError{operation, outer.Err.Error(), err}
	}
	return &callError{operation, err.Error(), err}
}

// credentialsCause returns why a call got no credentials, or nil if it failed for another reason.
func credentialsCause(err error) error {
	var ours *awsjson.CredentialsError
	if errors.As(err, &ours) {
		return ours.Err
	}
	// The SDK's clients wrap it in an error without a type.
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.HasPrefix(e.Error(), "get credentials: ") {
			return errors.Unwrap(e)
		}
	}
	return nil
}

// kindOfCause classifies why a call got no credentials.
func kindOfCause(cause error) string {
	var api smithy.APIError
	text := cause.Error()
	switch {
	case errors.As(cause, &api):
		return "STS"
	case strings.Contains(text, "no EC2 IMDS role found"), strings.Contains(text, "static credentials are empty"):
		return "none" // the last source of the SDK's chain: no other one is configured
	case strings.Contains(text, "unable to read file"), strings.Contains(text, "failed to read authorization token"):
		return "file"
	}
	var send *smithyhttp.RequestSendError
	if errors.As(cause, &send) || errors.Is(cause, context.DeadlineExceeded) {
		return "network"
	}
	return "other"
}

// briefCause returns a short form of why a call got no credentials, or nil if it failed for another reason.
func briefCause(err error) error {
	cause := credentialsCause(err)
	if cause == nil {
		return nil
	}
	var call *smithy.OperationError
	if errors.As(cause, &call) {
		return brief(call.ServiceID+" "+call.OperationName, call.Err)
	}
	for strings.HasPrefix(cause.Error(), "failed to ") && errors.Unwrap(cause) != nil {
		cause = errors.Unwrap(cause)
	}
	var send *smithyhttp.RequestSendError
	if errors.As(cause, &send) {
		return send.Err
	}
	return cause
}

// answeredIn returns the format of an answer that is not JSON: HTML or XML.
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

package awsclient

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/writer"
)

// resultOf returns the result of each item of a failed call.
func resultOf(operation string, err error, items int) writer.Result {
	r := writer.Result{Kind: kindOf(err), Err: brief(operation, err)}
	if r.Kind == writer.Suspect && items == 1 {
		r.Kind = writer.Invalid
	}
	return r
}

func kindOf(err error) writer.Kind {
	e := explain(err)
	switch {
	case e == nil:
		return writer.Failed
	case e.write == writer.Throttled && onlyKeys(err):
		return writer.HotKey
	default:
		return e.write
	}
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

package awsclient

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/writer"
)

func TestThrottlingReasons(t *testing.T) {
	const (
		keys    = "TableWriteKeyRangeThroughputExceeded"
		index   = "IndexWriteKeyRangeThroughputExceeded"
		table   = "TableWriteMaxOnDemandThroughputExceeded"
		account = "TableWriteAccountLimitExceeded"
	)
	reasons := func(names ...string) (rs []types.ThrottlingReason) {
		for i := range names {
			rs = append(rs, types.ThrottlingReason{Reason: &names[i]})
		}
		return rs
	}
	for name, c := range map[string]struct {
		err  error
		want writer.Kind
	}{
		"a partition":             {&types.ThrottlingException{ThrottlingReasons: reasons(keys)}, writer.HotKey},
		"partitions":              {&types.ProvisionedThroughputExceededException{ThrottlingReasons: reasons(keys, index)}, writer.HotKey},
		"a partition, by account": {&types.RequestLimitExceeded{ThrottlingReasons: reasons(index)}, writer.HotKey},
		"the table":               {&types.ThrottlingException{ThrottlingReasons: reasons(table)}, writer.Throttled},
		"the table too":           {&types.ProvisionedThroughputExceededException{ThrottlingReasons: reasons(keys, table)}, writer.Throttled},
		"the account":             {&types.RequestLimitExceeded{ThrottlingReasons: reasons(account)}, writer.Throttled},
		"no reason":               {&types.ProvisionedThroughputExceededException{}, writer.Throttled},
	} {
		if got := kindOf(c.err); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

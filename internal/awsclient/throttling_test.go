package awsclient

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/writer"
)

func TestThrottlingOfKeysAloneIsToldFromThatOfTheTable(t *testing.T) {
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
		want error
	}{
		"a partition":             {&types.ThrottlingException{ThrottlingReasons: reasons(keys)}, writer.ErrHotKeys},
		"partitions":              {&types.ProvisionedThroughputExceededException{ThrottlingReasons: reasons(keys, index)}, writer.ErrHotKeys},
		"a partition, by account": {&types.RequestLimitExceeded{ThrottlingReasons: reasons(index)}, writer.ErrHotKeys},
		"the table":               {&types.ThrottlingException{ThrottlingReasons: reasons(table)}, writer.ErrThrottled},
		"the table too":           {&types.ProvisionedThroughputExceededException{ThrottlingReasons: reasons(keys, table)}, writer.ErrThrottled},
		"the account":             {&types.RequestLimitExceeded{ThrottlingReasons: reasons(account)}, writer.ErrThrottled},
		"no reason":               {&types.ProvisionedThroughputExceededException{}, writer.ErrThrottled},
	} {
		if got := classify(c.err); !errors.Is(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

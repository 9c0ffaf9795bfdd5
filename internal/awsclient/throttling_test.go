package awsclient

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

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

func TestTheClockFollowsTheServicesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		ahead := func(d time.Duration, id string) http.Header {
			h := http.Header{"Date": {time.Now().Add(d).UTC().Format(http.TimeFormat)}}
			if id != "" {
				h.Set("X-Amzn-Requestid", id)
			}
			return h
		}
		c.see(ahead(48*time.Hour, ""))
		if c.Offset() != 0 {
			t.Errorf("a proxy's answer moved the clock by %v", c.Offset())
		}
		c.see(ahead(2*time.Hour, "1"))
		if c.Offset() != 2*time.Hour {
			t.Errorf("a service that is 2h ahead moved the clock by %v", c.Offset())
		}
		c.see(ahead(3*time.Second, "2"))
		if c.Offset() != 0 {
			t.Errorf("3s, which may be the way, moved the clock by %v", c.Offset())
		}
	})
}

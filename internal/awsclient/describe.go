package awsclient

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/item"
)

// QueueInfo has the attributes of a queue that the worker uses.
type QueueInfo struct {
	Visibility      time.Duration
	MaxMessageBytes int
	Retention       time.Duration
	FIFO            bool
	RedriveTarget   string // ARN of the dead-letter queue, or ""
	MaxReceives     int    // receives after which a message moves there
	Messages        int    // approximate number of visible messages
	InFlight        int    // approximate number of messages in flight
	// KMSKey is the customer managed key that encrypts the queue: an id, an ARN or an alias. Callers need permissions on it.
	KMSKey string
}

// DescribeQueue reads a queue's attributes.
func DescribeQueue(ctx context.Context, clients *Clients, what, url string) (*QueueInfo, error) {
	if err := clients.checkRegion(what, url); err != nil {
		return nil, err
	}
	out, err := clients.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	}, func(o *sqs.Options) { o.Retryer = patient() })
	if err != nil {
		return nil, Remedy("GetQueueAttributes", what, err)
	}
	number := func(name types.QueueAttributeName) int {
		n, _ := strconv.Atoi(out.Attributes[string(name)]) // a stand-in may leave some out
		return n
	}
	info := &QueueInfo{
		Visibility:      time.Duration(number(types.QueueAttributeNameVisibilityTimeout)) * time.Second,
		MaxMessageBytes: number(types.QueueAttributeNameMaximumMessageSize),
		Retention:       time.Duration(number(types.QueueAttributeNameMessageRetentionPeriod)) * time.Second,
		FIFO:            out.Attributes[string(types.QueueAttributeNameFifoQueue)] == "true",
		Messages:        number(types.QueueAttributeNameApproximateNumberOfMessages),
		InFlight:        number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
	}
	info.RedriveTarget, info.MaxReceives = redrivePolicy(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)])
	// The key policy of SQS's own key lets everybody in the account use it ("Amazon SQS Key management").
	if key := out.Attributes[string(types.QueueAttributeNameKmsMasterKeyId)]; key != "alias/aws/sqs" {
		info.KMSKey = key
	}
	return info, nil
}

// TableInfo has the parts of a table's description that the worker uses.
type TableInfo struct {
	item.Table
	ID       string // changes if the table is deleted and created again; "" if a stand-in has none
	Status   string
	OnDemand bool
	Items    int64 // approximate, updated about every six hours
	Bytes    int64 // approximate, updated about every six hours
	// WriteUnits is how many write units a second the table takes now; 0 is unknown.
	WriteUnits int64
}

// DescribeTable reads a table's keys, indexes and TTL.
func DescribeTable(ctx context.Context, clients *Clients, name string) (*TableInfo, error) {
	what := fmt.Sprintf("the table %q", name)
	patiently := func(o *dynamodb.Options) { o.Retryer = patient() }
	out, err := clients.DynamoDB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name}, patiently)
	if err != nil {
		return nil, Remedy("DescribeTable", what, err)
	}
	ttl, err := clients.DynamoDB.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name}, patiently)
	if err != nil {
		return nil, Remedy("DescribeTimeToLive", "the TTL setting of "+what, err)
	}
	d := out.Table
	info := &TableInfo{
		Table: awsitem.Table(d, ttl.TimeToLiveDescription), ID: aws.ToString(d.TableId), Status: string(d.TableStatus),
		OnDemand: d.BillingModeSummary != nil && d.BillingModeSummary.BillingMode == dynamodbtypes.BillingModePayPerRequest,
		Items:    aws.ToInt64(d.ItemCount), Bytes: aws.ToInt64(d.TableSizeBytes),
	}
	info.WriteUnits = writeUnits(d, info.OnDemand)
	return info, nil
}

// writeUnits returns the write units a second that a table takes now: the provisioned ones or, on demand, the warm
// throughput, up to the maximum if one is set ("Understanding DynamoDB warm throughput").
func writeUnits(d *dynamodbtypes.TableDescription, onDemand bool) int64 {
	if !onDemand {
		if d.ProvisionedThroughput == nil {
			return 0
		}
		return aws.ToInt64(d.ProvisionedThroughput.WriteCapacityUnits)
	}
	if d.WarmThroughput == nil {
		return 0
	}
	units := aws.ToInt64(d.WarmThroughput.WriteUnitsPerSecond)
	if d.OnDemandThroughput != nil {
		if limit := aws.ToInt64(d.OnDemandThroughput.MaxWriteRequestUnits); limit > 0 {
			units = min(units, limit)
		}
	}
	return units
}

// patient is the retryer of the Describe calls, which have no other retries.
func patient() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 4, 2*time.Second })
}

func redrivePolicy(text string) (target string, maxReceives int) {
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
		// A number, or a string with one: the API takes both and returns the form that it was given.
		MaxReceives json.RawMessage `json:"maxReceiveCount"`
	}
	if text == "" || json.Unmarshal([]byte(text), &policy) != nil {
		return "", 0
	}
	maxReceives, _ = strconv.Atoi(strings.Trim(string(policy.MaxReceives), `"`))
	return policy.Target, maxReceives
}

package erase

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/cond"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// A found is an item of an id in the table.
type found struct {
	key     item.Key
	keyed   bool            // the worker can name its key
	event   prediction.Time // zero if the item has none
	deleted bool            // it is a tombstone
	foreign bool            // the worker can't have written it
	size    int
}

// look reads all items of an id, consistently, and passes them to visit.
func (r *Run) look(ctx context.Context, key string, visit func(f found)) error {
	var hash types.AttributeValue = &types.AttributeValueMemberS{Value: key}
	if r.layout.HashType == item.TypeN {
		hash = &types.AttributeValueMemberN{Value: key}
	}
	in := &dynamodb.QueryInput{
		TableName: &r.o.Config.TableName, ConsistentRead: aws.Bool(true), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		KeyConditionExpression: aws.String("#h = :h"), ExpressionAttributeNames: map[string]string{"#h": r.layout.HashKey},
		ExpressionAttributeValues: map[string]types.AttributeValue{":h": hash},
	}
	for {
		page, err := r.page(ctx, in)
		if err != nil {
			return err
		}
		if c := page.ConsumedCapacity; c != nil {
			r.counts.read(aws.ToFloat64(c.CapacityUnits))
		}
		for _, attributes := range page.Items {
			visit(r.found(attributes))
		}
		if len(page.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}

// page reads a page. It repeats a call that may succeed later, with growing pauses, until ctx is done.
func (r *Run) page(ctx context.Context, in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	const first, longest = 100 * time.Millisecond, 10 * time.Second
	for pause := first; ; pause = min(2*pause, longest) {
		attempt, cancel := context.WithTimeout(ctx, r.o.Config.CallTimeout)
		page, err := r.o.Clients.DynamoDB.Query(attempt, in)
		cancel()
		switch {
		case err == nil:
			return page, nil
		case ctx.Err() != nil:
			return nil, ErrInterrupted
		case awsclient.Permanent(err):
			return nil, awsclient.Remedy("Query", "the table", err)
		}
		r.notify("an id's items can't be read, retrying: %s", awsclient.Code(err))
		if !cond.Sleep(ctx, pause/2+rand.N(pause/2)) {
			return nil, ErrInterrupted
		}
	}
}

func (r *Run) found(attributes map[string]types.AttributeValue) found {
	fields := awsitem.Fields(attributes)
	f := found{size: item.StoredSize(fields)}
	var err error
	f.key, err = r.layout.DecodeKey(fields)
	f.keyed = err == nil
	if created := item.Find(fields, item.AttrCreatedAt); created.Type == "N" {
		if event, err := prediction.ParseSeconds(created.Text); err == nil {
			f.event = event
		}
	}
	deleted := item.Find(fields, item.AttrDeleted)
	f.deleted = deleted.Type == "BOOL" && deleted.Text == "true"
	f.foreign = !f.deleted && (f.event == (prediction.Time{}) || item.Find(fields, item.AttrPayload).Type == "")
	return f
}

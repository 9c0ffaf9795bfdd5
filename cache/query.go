package cache

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
)

// A query reads the items of an id, page by page, newest sort key first. What has expired at now, or isn't asked for, is left
// out by the service already where that is cheap to say; decode decides.
type query struct {
	*itemReader
	id string
	in dynamodb.QueryInput
}

func (c *Cache) query(l *item.Layout, id string, o *options) *query {
	q := &query{itemReader: c.reader(l, o), id: id}
	in := &q.in
	in.TableName = &c.table
	in.ScanIndexForward = aws.Bool(false)
	if o.consistent {
		in.ConsistentRead = &o.consistent
	}
	in.ProjectionExpression, in.ExpressionAttributeNames = projection(l, o)
	q.name("#h", l.HashKey)
	in.ExpressionAttributeValues = map[string]types.AttributeValue{":h": keyValue(l, id), ":now": number(time.Now().Unix())}
	condition := "#h = :h"
	var filters []string
	if l.Kind == item.ExpirySorted {
		q.name("#s", l.SortKey)
		condition += " AND #s > :now"
	} else {
		// Not "#t > :now": an item without a readable expiry must be seen, to be reported.
		q.name("#t", l.TTLAttribute)
		filters = append(filters, "NOT #t <= :now")
	}
	for i := range o.where {
		n := strconv.Itoa(i)
		q.name("#w"+n, o.where[i].name)
		in.ExpressionAttributeValues[":w"+n] = o.where[i].value
		filters = append(filters, "#w"+n+" = :w"+n)
	}
	in.KeyConditionExpression = &condition
	if len(filters) > 0 {
		in.FilterExpression = aws.String(strings.Join(filters, " AND "))
	}
	return q
}

func (q *query) name(alias, name string) {
	if q.in.ExpressionAttributeNames == nil {
		q.in.ExpressionAttributeNames = map[string]string{}
	}
	q.in.ExpressionAttributeNames[alias] = name
}

// limit sets how many items the next page reads; 0 is what fits into 1 MB.
func (q *query) limit(n int32) {
	q.in.Limit = nil
	if n > 0 {
		q.in.Limit = &n
	}
}

// between takes only sort keys from lo to hi, in the versioned layout.
func (q *query) between(l *item.Layout, lo, hi int64) {
	q.name("#s", l.SortKey)
	q.in.KeyConditionExpression = aws.String("#h = :h AND #s BETWEEN :lo AND :hi")
	q.in.ExpressionAttributeValues[":lo"], q.in.ExpressionAttributeValues[":hi"] = number(lo), number(hi)
}

// next reads a page, and tells whether there are more.
func (q *query) next(ctx context.Context) (results []result, more bool, err error) {
	var out *dynamodb.QueryOutput
	results, err = q.call(func(with ...func(*dynamodb.Options)) (_ []map[string]types.AttributeValue, err error) {
		if out, err = q.cache.client.Query(ctx, &q.in, with...); err != nil {
			return nil, err
		}
		return out.Items, nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("reading %q: %w", q.id, err)
	}
	q.in.ExclusiveStartKey = out.LastEvaluatedKey
	return results, len(out.LastEvaluatedKey) > 0, nil
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// projection names the attributes to be read, where that isn't all: those asked for, and those without which an item can't
// be decoded or compared.
func projection(l *item.Layout, o *options) (*string, map[string]string) {
	if !o.limited {
		return nil, nil
	}
	wanted := []string{l.HashKey, l.TTLAttribute, item.AttrCreatedAt}
	if l.SortKey != "" && l.SortKey != l.TTLAttribute {
		wanted = append(wanted, l.SortKey)
	}
	if o.withPayload() {
		wanted = append(wanted, item.AttrEncoding)
	}
	wanted = append(wanted, o.only...)
	for i := range o.where {
		wanted = append(wanted, o.where[i].name)
	}
	names := map[string]string{}
	aliases := make([]string, 0, len(wanted))
	seen := map[string]bool{}
	for _, name := range wanted {
		if !seen[name] {
			seen[name] = true
			alias := "#p" + strconv.Itoa(len(aliases))
			names[alias] = name
			aliases = append(aliases, alias)
		}
	}
	return aws.String(strings.Join(aliases, ",")), names
}

package localaws

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
)

// Items reads the whole table.
func (s *Server) Items(ctx context.Context) ([]expect.Item, error) {
	var items []expect.Item
	pages := dynamodb.NewScanPaginator(s.dynamodb, &dynamodb.ScanInput{TableName: &s.Table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("scan the table: %w", err)
		}
		for _, attributes := range page.Items {
			items = append(items, text(attributes))
		}
	}
	return items, nil
}

// Newest reads the predictions of an id that are alive, the newest first, as a service would.
func (s *Server) Newest(ctx context.Context, id string) ([]expect.Item, error) {
	key := map[string]types.AttributeValue{"predictionId": &types.AttributeValueMemberS{Value: id}}
	now := &types.AttributeValueMemberN{Value: strconv.FormatInt(time.Now().Unix(), 10)}
	if s.Layout == expect.LatestOnly {
		got, err := s.dynamodb.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.Table, Key: key})
		if err != nil {
			return nil, fmt.Errorf("get %s: %w", id, err)
		}
		if got.Item == nil {
			return nil, nil
		}
		return []expect.Item{text(got.Item)}, nil
	}
	query := &dynamodb.QueryInput{
		TableName:                 &s.Table,
		ScanIndexForward:          aws.Bool(false),
		KeyConditionExpression:    aws.String("predictionId = :id"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":id": key["predictionId"], ":now": now},
		ExpressionAttributeNames:  map[string]string{"#ttl": s.TTLAttribute()}, // "timestamp" is a reserved word
	}
	// DynamoDB deletes expired items up to days late, so every read leaves them out itself.
	if s.Layout == expect.ExpirySorted {
		query.KeyConditionExpression = aws.String("predictionId = :id AND #ttl > :now")
	} else {
		query.FilterExpression = aws.String("#ttl > :now")
	}
	got, err := s.dynamodb.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", id, err)
	}
	var items []expect.Item
	for _, attributes := range got.Items {
		items = append(items, text(attributes))
	}
	return items, nil
}

func text(attributes map[string]types.AttributeValue) expect.Item {
	item := expect.Item{}
	for name, value := range attributes {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			item[name] = "S " + v.Value
		case *types.AttributeValueMemberN:
			item[name] = expect.Number(v.Value)
		case *types.AttributeValueMemberBOOL:
			item[name] = fmt.Sprint("BOOL ", v.Value)
		default:
			item[name] = fmt.Sprintf("%T %v", value, value)
		}
	}
	return item
}

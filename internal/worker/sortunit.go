package worker

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// CheckSortUnit compares WORKER_SORT_UNIT with an item of the table, if it has one. Sort keys in seconds are below all those in
// milliseconds, so a table with both gives its readers old predictions. The table itself does not say which it has. It returns an
// error of the service where the item can't be read: the worker needs no dynamodb:Scan for anything else.
func (r *Resources) CheckSortUnit(ctx context.Context, cfg *config.Config, clients *awsclient.Clients) (problem, unread error) {
	if r.Layout == nil || r.Layout.Kind != item.Versioned {
		return nil, nil
	}
	out, err := clients.DynamoDB.Scan(ctx, &dynamodb.ScanInput{TableName: &cfg.TableName, Limit: aws.Int32(1)})
	if err != nil || len(out.Items) == 0 {
		return nil, err //nolint:wrapcheck // its code is asked for
	}
	stored, err := r.Layout.Decode(awsitem.Fields(out.Items[0]), true)
	if err != nil {
		return nil, nil //nolint:nilerr // an item of somebody else's, which readers skip
	}
	unit := "s"
	if stored.Key.Sort != stored.CreatedAt.In(1) {
		unit = "ms"
	}
	if unit != cfg.SortUnit {
		return fmt.Errorf("WORKER_SORT_UNIT is %s, but the table has items whose sort key is in %s: set it to %[2]s, or use a new table", cfg.SortUnit, unit), nil
	}
	return nil, nil
}

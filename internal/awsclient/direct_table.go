package awsclient

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	smithyendpoints "github.com/aws/smithy-go/endpoints"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
)

// A DirectTable is one DynamoDB table by our own requests: the writer's table.
type DirectTable struct {
	*Table
	prefix string // of the request's body
	write  *operation
	put    *operation
}

// NewDirectTable is NewTable with writes by our own requests, by the settings of the SDK's client.
func NewDirectTable(t *Table) *DirectTable {
	o := t.clients.DynamoDB.Options()
	s := &service{
		id: dynamodb.ServiceID, target: "DynamoDB_20120810", signing: "dynamodb", region: o.Region,
		header: http.Header{
			"Content-Type":    {"application/x-amz-json-1.0"},
			"Accept-Encoding": {"identity"}, // as the SDK does: the checksum is of the compressed bytes
			"User-Agent":      {userAgent},
		},
		transport: roundTripperOf(o.HTTPClient), creds: o.Credentials, clock: t.clients.Clock, signer: v4.NewSigner(),
		protocol: o.Protocol, types: dynamodb.TypeRegistry,
		resolve: func(ctx context.Context, account string) (smithyendpoints.Endpoint, error) {
			p := dynamodb.EndpointParameters{
				Region: aws.String(o.Region), Endpoint: o.BaseEndpoint,
				UseDualStack:          aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
				UseFIPS:               aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
				AccountIdEndpointMode: aws.String(string(o.AccountIDEndpointMode)),
				ResourceArnList:       []string{t.name}, // the SDK names tables so: an ARN may lead to another account
			}
			switch {
			case o.AccountIDEndpointMode == aws.AccountIDEndpointModeDisabled:
			case account != "":
				p.AccountId = &account
			case o.AccountIDEndpointMode == aws.AccountIDEndpointModeRequired:
				return smithyendpoints.Endpoint{}, errors.New("the endpoint needs an account id, but the credentials have none")
			}
			return o.EndpointResolverV2.ResolveEndpoint(ctx, p)
		},
	}
	prefix := append(jsonscan.AppendQuoted([]byte(`{"RequestItems":{`), t.name), `:[`...)
	return &DirectTable{t, string(prefix), s.operation("BatchWriteItem"), s.operation("PutItem")}
}

// BatchWrite implements writer.Table.
func (t *DirectTable) BatchWrite(ctx context.Context, items []*item.Item) (unprocessed []int, err error) {
	c := t.write.begin()
	defer t.write.end(c)
	b := append(c.request, t.prefix...)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"PutRequest":{"Item":`...)
		b = append(it.AppendJSON(b), `}}`...)
	}
	c.request = append(b, `]},"ReturnConsumedCapacity":"TOTAL"}`...)

	var back map[string][]types.WriteRequest
	var units float64
	err = t.write.observed(ctx, t.clients, c, func(w *jsonscan.Walker) {
		w.Object(func(name string) {
			switch name {
			case "UnprocessedItems":
				w.Object(func(string) {
					if back == nil {
						back = map[string][]types.WriteRequest{}
					}
					w.Array(func() { back[t.name] = append(back[t.name], t.readKey(w)) })
				})
			case "ConsumedCapacity":
				w.Array(func() { units += readUnits(w) })
			}
		})
	})
	if err != nil {
		return nil, classify(err)
	}
	unprocessed, err = t.match(items, back)
	t.count(units, items, unprocessed)
	return unprocessed, err
}

// readKey reads the key of an item that came back: the rest of it is not needed.
func (t *DirectTable) readKey(w *jsonscan.Walker) (r types.WriteRequest) {
	w.Object(func(name string) {
		if name != "PutRequest" {
			return
		}
		r.PutRequest = &types.PutRequest{Item: map[string]types.AttributeValue{}}
		w.Object(func(name string) {
			if name != "Item" {
				return
			}
			w.Object(func(name string) {
				if name != t.layout.HashKey && name != t.layout.SortKey {
					return
				}
				w.Object(func(kind string) {
					switch kind {
					case "S":
						r.PutRequest.Item[name] = &types.AttributeValueMemberS{Value: readString(w)}
					case "N":
						r.PutRequest.Item[name] = &types.AttributeValueMemberN{Value: readString(w)}
					}
				})
			})
		})
	})
	return r
}

func readUnits(w *jsonscan.Walker) (units float64) {
	w.Object(func(name string) {
		if name == "CapacityUnits" {
			text := w.Skip()
			var err error
			if units, err = strconv.ParseFloat(text, 64); err != nil && text != "null" {
				w.Fail("a capacity that is not a number")
			}
		}
	})
	return units
}

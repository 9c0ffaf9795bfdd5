package awsjson

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
)

// userAgent names the caller, as the SDK's own does at greater length.
const userAgent = "aws-sdk-go-v2/" + aws.SDKVersion + " lib/predcache"

// SQS returns the service that an SDK client with these options calls. See Options.Clock for the clock.
func SQS(o sqs.Options, clock *Clock) *Service {
	return NewService(Options{
		ID: sqs.ServiceID, Target: "AmazonSQS", Signing: "sqs", Region: o.Region,
		Header: http.Header{
			"Content-Type":      {"application/x-amz-json-1.0"},
			"X-Amzn-Query-Mode": {"true"}, // error codes keep the names that they had before the JSON protocol
			"User-Agent":        {userAgent},
		},
		Client: o.HTTPClient, Credentials: o.Credentials, Clock: clock, Protocol: o.Protocol, Types: sqs.TypeRegistry,
		Large: make(chan struct{}, 1), // ten messages of 1 MiB are 10 MiB of text, twice while they are read
		Endpoint: func(ctx context.Context, _ string) (smithyendpoints.Endpoint, error) {
			return o.EndpointResolverV2.ResolveEndpoint(ctx, sqs.EndpointParameters{
				Region: aws.String(o.Region), Endpoint: o.BaseEndpoint,
				UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
				UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
			})
		},
	})
}

// DynamoDB returns the service that an SDK client with these options calls for a table. The table is a name or an ARN;
// an ARN may lead to the endpoint of another account. See Options.Clock for the clock.
func DynamoDB(o dynamodb.Options, table string, clock *Clock) *Service {
	return NewService(Options{
		ID: dynamodb.ServiceID, Target: "DynamoDB_20120810", Signing: "dynamodb", Region: o.Region,
		Header: http.Header{
			"Content-Type":    {"application/x-amz-json-1.0"},
			"Accept-Encoding": {"identity"}, // as the SDK does: the checksum is that of the compressed bytes
			"User-Agent":      {userAgent},
		},
		Client: o.HTTPClient, Credentials: o.Credentials, Clock: clock, Protocol: o.Protocol, Types: dynamodb.TypeRegistry,
		Endpoint: func(ctx context.Context, account string) (smithyendpoints.Endpoint, error) {
			p := dynamodb.EndpointParameters{
				Region: aws.String(o.Region), Endpoint: o.BaseEndpoint,
				UseDualStack:          aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
				UseFIPS:               aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
				AccountIdEndpointMode: aws.String(string(o.AccountIDEndpointMode)),
				ResourceArnList:       []string{table}, // the SDK's name for the tables of a request
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
	})
}

// Package resources makes the resources of the stacks for the test providers, which stand in for those of Pulumi and Terraform:
// tables and queues by the AWS SDK, at the endpoints that the environment names. It only notes the other resources, and those
// of a service without an endpoint, so nothing here reaches AWS.
//
// Resource types and properties have the names of the Terraform provider, and a block that may be there once is an object.
package resources

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Props are a resource's properties. Their values are strings, float64s, bools, and lists and maps of them.
type Props = map[string]any

// A Kind makes resources of one type.
type Kind interface {
	// Create makes a resource from its inputs. Out is what the service adds to them, like an ARN.
	Create(ctx context.Context, in Props) (id string, out Props, err error)
	// Read returns what there is, as inputs. It returns all that it knows where in has no properties, as for an import, and
	// otherwise those that the service has or in has. Both are nil if the resource does not exist.
	Read(ctx context.Context, id string, in Props) (now, out Props, err error)
	// Update changes a resource to its inputs.
	Update(ctx context.Context, id string, in Props) error
	Delete(ctx context.Context, id string, in Props) error
}

// Kinds returns the kinds by their resource types. Region is that of the provider's configuration; the environment's if empty.
func Kinds(ctx context.Context, region string) (map[string]Kind, error) {
	conf, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("configuring the AWS SDK: %w", err)
	}
	kinds := map[string]Kind{}
	for kind := range identities {
		kinds[kind] = noted{identity: identities[kind], place: place{conf.Region}}
	}
	if hasEndpoint("DYNAMODB") {
		kinds["aws_dynamodb_table"] = tables{dynamodb.NewFromConfig(conf)}
	}
	if hasEndpoint("SQS") {
		client := sqs.NewFromConfig(conf)
		kinds["aws_sqs_queue"] = queues{client}
		kinds["aws_sqs_queue_policy"] = attribute{client, "policy", "Policy"}
		kinds["aws_sqs_queue_redrive_policy"] = attribute{client, "redrive_policy", "RedrivePolicy"}
		kinds["aws_sqs_queue_redrive_allow_policy"] = attribute{client, "redrive_allow_policy", "RedriveAllowPolicy"}
	}
	return kinds, nil
}

func hasEndpoint(service string) bool {
	return os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_"+service) != ""
}

// text, number and truth read a property, or its zero.
func text(in Props, path ...string) string {
	s, _ := dig(in, path).(string)
	return s
}

func number(in Props, path ...string) int64 {
	f, _ := dig(in, path).(float64)
	return int64(f)
}

func truth(in Props, path ...string) bool {
	b, _ := dig(in, path).(bool)
	return b
}

func dig(v any, path []string) any {
	for _, name := range path {
		m, _ := v.(Props)
		v = m[name]
	}
	return v
}

// tags are AWS's tags of a resource.
func tags(in Props) map[string]string {
	all := map[string]string{}
	m, _ := in["tags"].(Props)
	for name, value := range m {
		all[name], _ = value.(string)
	}
	return all
}

func fromTags(all map[string]string) Props {
	m := Props{}
	for name, value := range all {
		if !strings.HasPrefix(name, "aws:") {
			m[name] = value
		}
	}
	return m
}

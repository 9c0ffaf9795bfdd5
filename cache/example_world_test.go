package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

const exampleQueueURL = "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions"

// exampleTable is the AWS configuration by which a versioned table with a few predictions is reached.
func exampleTable() aws.Config {
	ctx, table := context.Background(), aws.String("predictions")
	client := dynamodbfake.New().Client()
	in := dynamodbfake.Keys("predictionId:S", "timestamp:N")
	in.TableName, in.BillingMode = table, types.BillingModePayPerRequest
	if _, err := client.CreateTable(ctx, &in); err != nil {
		panic(err)
	}
	if _, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)}}); err != nil {
		panic(err)
	}
	now := time.Now().Unix()
	for _, p := range []struct {
		id      string
		age     int64
		payload string
		version int
	}{
		{"digits/1078", 7200, `{"label":6,"score":0.51}`, 1},
		{"digits/1078", 60, `{"label":0,"score":0.97}`, 2},
		{"digits/1079", 60, `{"label":7,"score":0.94}`, 2},
	} {
		if _, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: map[string]types.AttributeValue{
			"predictionId": text(p.id), "timestamp": number(now - p.age), "createdAt": number(fmt.Sprint(now-p.age, ".5")), "expiresAt": number(now + 3600),
			"prediction": text(p.payload), "modelVersion": number(p.version),
		}}); err != nil {
			panic(err)
		}
	}
	return configOf(client)
}

func exampleQueue() *sqs.Client {
	queues := sqsfake.New()
	queues.CreateQueue("predictions", nil)
	return queues.Client()
}

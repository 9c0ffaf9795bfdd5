package cache_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/predcache/predcache/cache"
)

// open makes a Cache whose options are right, which reads with requests of its own by the settings of an SDK client.
func open(client *dynamodb.Client, table string, options ...cache.Option) *cache.Cache {
	return must(cache.New(configOf(client), table, options...))
}

// openClient makes a Cache that reads with a client.
func openClient(client cache.DynamoDB, table string, options ...cache.Option) *cache.Cache {
	return must(cache.NewFromClient(client, table, options...))
}

func must[T any](c T, err error) T {
	if err != nil {
		panic(err)
	}
	return c
}

func configOf(client *dynamodb.Client) aws.Config {
	o := client.Options()
	return aws.Config{Region: o.Region, Credentials: o.Credentials, HTTPClient: o.HTTPClient, BaseEndpoint: o.BaseEndpoint,
		RetryMaxAttempts: o.RetryMaxAttempts}
}

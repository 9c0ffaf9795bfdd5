package cache_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awstest"
)

func BenchmarkProfMany(b *testing.B) {
	var hundred []string
	var ids []string
	for i := range 100 {
		hundred, ids = append(hundred, benchItem(i)), append(ids, fmt.Sprint("user-", i))
	}
	client := dynamodb.NewFromConfig(awstest.Config(canned(`{"Responses":{"predictions":[` + strings.Join(hundred, ",") + `]},"UnprocessedKeys":{}}`)))
	c := open(client, "predictions", cache.WithLayout(cache.LatestOnly()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.GetMany(b.Context(), ids); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProfVersioned(b *testing.B) {
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprint("user-", i))
	}
	client := dynamodb.NewFromConfig(awstest.Config(canned(`{"Items":[` + benchItem(1) + `],"Count":1,"ScannedCount":1}`)))
	c := open(client, "predictions", cache.WithLayout(cache.Versioned()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.GetMany(b.Context(), ids); err != nil {
			b.Fatal(err)
		}
	}
}

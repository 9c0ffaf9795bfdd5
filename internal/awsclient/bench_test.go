package awsclient

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/writer"
)

// BenchmarkCall is the worker's part of a call, without the network: ten messages of 1 KB received, ten deleted, 25 items of 1 KB
// written, by the SDK's client and by our own request.
func BenchmarkCall(b *testing.B) {
	latest, _ := layouts(b)
	said := &answer{}
	both := newBoth(b, said, latest)
	calls := both.operations(b, latest)
	batch, results := items(b, latest, 25), make([]writer.Result, 25)
	calls["BatchWriteItem"] = func(ctx context.Context, way int) (any, error) {
		clear(results)
		both.tables[way].Write(ctx, batch, results)
		return nil, writer.CallError(results)
	}

	body := `{"predictionId":"p","prediction":[` + strings.Repeat(`{"name":"f1","weight":-0.1234},`, 30) + `0]}`
	messages := make([]string, 10)
	for i := range messages {
		messages[i] = fmt.Sprintf(`{"MessageId":"%036d","ReceiptHandle":"%0340d","Body":%s,"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1790000000000"}}`,
			i, i, jsonscan.AppendQuoted(nil, body))
	}
	for operation, text := range map[string]string{
		"ReceiveMessage":     `{"Messages":[` + strings.Join(messages, ",") + `]}`,
		"DeleteMessageBatch": `{"Successful":[{"Id":"0"},{"Id":"1"},{"Id":"2"}],"Failed":[]}`,
		"BatchWriteItem":     `{"UnprocessedItems":{},"ConsumedCapacity":[{"TableName":"predictions","CapacityUnits":25.0}]}`,
	} {
		for way, name := range ways {
			b.Run(operation+"/"+name, func(b *testing.B) {
				*said = answer{status: 200, body: text}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := calls[operation](context.Background(), way); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

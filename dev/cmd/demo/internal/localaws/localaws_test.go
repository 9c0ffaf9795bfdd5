package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
)

func TestServices(t *testing.T) {
	ctx := t.Context()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(ctx, expect.Versioned); err != nil {
		t.Fatal(err)
	}

	messages := make([]recording.Message, 23)
	for i := range messages {
		messages[i].Body = "{}"
	}
	if err := s.Publish(ctx, messages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &s.Queue, MaxNumberOfMessages: 3}); err != nil {
		t.Fatal(err)
	}
	if ready, inFlight, err := s.Depth(ctx, s.Queue); ready != 20 || inFlight != 3 || err != nil {
		t.Errorf("%d ready, %d in flight, %v", ready, inFlight, err)
	}

	_, err = s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &s.RejectQueue, MessageBody: aws.String("broken"), MessageAttributes: map[string]types.MessageAttributeValue{
		"predcache.reason": {DataType: aws.String("String"), StringValue: aws.String("syntax")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Rejects(ctx); len(got) != 1 || got[0] != (Reject{Body: "broken", Reason: "syntax"}) || err != nil {
		t.Errorf("rejects: %+v, %v", got, err)
	}

	// Three items of an id, of which the newest has expired.
	for timestamp, expiresAt := range map[string]string{"17.0": "9999999999", "18": "9999999999", "19": "1"} {
		item := map[string]dynamodbtypes.AttributeValue{
			"predictionId": &dynamodbtypes.AttributeValueMemberS{Value: "a"},
			"timestamp":    &dynamodbtypes.AttributeValueMemberN{Value: timestamp},
			"expiresAt":    &dynamodbtypes.AttributeValueMemberN{Value: expiresAt},
		}
		if _, err := s.dynamodb.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.Table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Items(ctx); len(got) != 3 || err != nil {
		t.Errorf("the table holds %v, %v", got, err)
	}
	got, err := s.Newest(ctx, "a")
	if err != nil || len(got) != 2 || got[0]["timestamp"] != "N 18" || got[1]["timestamp"] != "N 17" || got[1]["predictionId"] != "S a" {
		t.Errorf("newest: %v, %v", got, err)
	}
}

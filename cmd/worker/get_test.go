package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
)

func TestGet(t *testing.T) {
	b := backend.All(t)[0]
	now := time.Now().Unix()
	number := func(n any) types.AttributeValue { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	for _, test := range []struct {
		name   string
		hash   item.KeyType
		args   []string
		status int
		want   []string // in the output
		stderr string
	}{
		{"a value that looks like a flag", item.TypeS, []string{"-5"}, 2, nil, "Put -- before a value that begins with a dash: worker get -- -5"},
		{"an id that begins with a dash", item.TypeS, []string{"--", "-5"}, 0, []string{"prediction   {\"n\":2}\n", "event time ", "expires ", "model        \"m\"\n", "(versioned), consistently: 1 call, 1 read unit, "}, ""},
		{"JSON", item.TypeS, []string{"--json", "--", "-5"}, 0, []string{`{"predictionId":"-5","eventTime":"`, `"prediction":{"n":2},"attributes":{"model":"m"},"read":{"table":"`, `"layout":"versioned","calls":1,"readUnits":1,`}, ""},
		{"every item", item.TypeS, []string{"--all", "--", "-5"}, 0, []string{"EVENT TIME ", " expired 1h", "3 items, ", " write units\n", `can't be read: the attribute "createdAt" is missing`}, ""},
		{"every item as JSON", item.TypeS, []string{"--all", "--json", "--", "-5"}, 0, []string{`"sortKey":`, `"expired":true`, `"writeUnits":1`, `"problem":"the attribute \"createdAt\" is missing"`}, ""},
		{"a deleted id", item.TypeS, []string{"gone"}, 1, nil, `no live prediction of "gone"`},
		{"every item of a deleted id", item.TypeS, []string{"gone", "--all"}, 0, []string{"deleted: it hides what is not newer\n", "{\"n\":3}\n", "2 items, "}, ""},
		{"every item of a deleted id as JSON", item.TypeS, []string{"gone", "--all", "--json"}, 0, []string{`.75,"expired":false,"deleted":true,`, `"expired":false,"bytes":`}, ""},
		{"a number", item.TypeN, []string{"--", "-5"}, 0, []string{"prediction   {\"n\":2}\n"}, ""},
		{"every item of a number", item.TypeN, []string{"--all", "--", "-5.0"}, 0, []string{"3 items, "}, ""},
		{"nothing", item.TypeS, []string{"nobody"}, 1, nil, "worker get --all lists what has expired or is deleted too"},
		{"nothing at all", item.TypeS, []string{"nobody", "--all"}, 1, nil, `the table has no item of "nobody"`},
		{"text for a number", item.TypeN, []string{"user-7"}, 1, nil, `"user-7"`},
		{"text for a number, every item", item.TypeN, []string{"user-7", "--all"}, 1, nil, `the id "user-7"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(t, b, item.Versioned, test.hash, false)
			t.Setenv("WORKER_QUEUE_URL", "") // it is not needed
			key := text("-5")
			if test.hash == item.TypeN {
				key = number(-5)
			}
			put := func(at, expires int64, payload string) {
				in := map[string]types.AttributeValue{"predictionId": key, "timestamp": number(at), "expiresAt": number(expires), "createdAt": number(at), "prediction": text(payload), "model": text("m")}
				if payload == "" {
					delete(in, "createdAt")
				}
				if _, err := b.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: in}); err != nil {
					t.Fatal(err)
				}
			}
			put(now-5, now+3600, `{"n":2}`)
			put(now-7300, now-3700, `{"n":1}`)
			put(1, now+3600, "")
			if test.hash == item.TypeS {
				key = text("gone")
				put(now-5, now+3600, `{"n":3}`)
				tombstone := map[string]types.AttributeValue{"predictionId": key, "timestamp": number(fmt.Sprintf("%d.75", now-4)), "expiresAt": number(now + 3600),
					"createdAt": number(fmt.Sprintf("%d.5", now-4)), "deleted": &types.AttributeValueMemberBOOL{Value: true}}
				if _, err := b.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: tombstone}); err != nil {
					t.Fatal(err)
				}
			}
			status, stdout, stderr := invoke(t, "", append([]string{"get"}, test.args...)...)
			if status != test.status || !strings.Contains(stderr, test.stderr) || (stdout != "") != (test.status == 0) {
				t.Errorf("status %d, %q, want %d, %q", status, stderr, test.status, test.stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("prints\n%s\nwant %q", stdout, want)
				}
			}
		})
	}
}

// Only writers of deletes need WORKER_ORDERING=newest. Who reads may have the other settings of the workers alone.
func TestGetWithDeletes(t *testing.T) {
	newWire(t, backend.All(t)[0], item.LatestOnly, item.TypeS, false)
	t.Setenv("WORKER_DELETES", "hide")
	t.Setenv("WORKER_ORDERING", "last-write")
	if _, _, stderr := invoke(t, "", "get", "nobody"); !strings.Contains(stderr, `no live prediction of "nobody"`) {
		t.Errorf("prints %q", stderr)
	}
}

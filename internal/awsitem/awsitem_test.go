package awsitem

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
)

func TestValue(t *testing.T) {
	for want, value := range map[string]types.AttributeValue{
		`"a\"b"`:    &types.AttributeValueMemberS{Value: `a"b`},
		`-1.50`:     &types.AttributeValueMemberN{Value: "-1.50"},
		`"+/8="`:    &types.AttributeValueMemberB{Value: []byte{0xfb, 0xff}},
		`true`:      &types.AttributeValueMemberBOOL{Value: true},
		`false`:     &types.AttributeValueMemberBOOL{},
		`null`:      &types.AttributeValueMemberNULL{Value: true},
		`["a","b"]`: &types.AttributeValueMemberSS{Value: []string{"a", "b"}},
		`[1,2]`:     &types.AttributeValueMemberNS{Value: []string{"1", "2"}},
		`["AQ=="]`:  &types.AttributeValueMemberBS{Value: [][]byte{{1}}},
		`{"a":[1,{}]}`: &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"a": &types.AttributeValueMemberL{Value: []types.AttributeValue{
			&types.AttributeValueMemberN{Value: "1"}, &types.AttributeValueMemberM{}}}}},
	} {
		v := Value(value)
		if got, err := v.AppendJSON(nil); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	unknown := Value(&types.UnknownUnionMember{Tag: "X"})
	if got, err := unknown.AppendJSON(nil); err == nil {
		t.Errorf("an unknown type became %s", got)
	}
}

func TestTable(t *testing.T) {
	attribute := func(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: kind}
	}
	key := func(name string, role types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: role}
	}
	got := Table(&types.TableDescription{
		AttributeDefinitions: []types.AttributeDefinition{attribute("id", "S"), attribute("at", "N"), attribute("model", "S")},
		KeySchema:            []types.KeySchemaElement{key("id", "HASH"), key("at", "RANGE")},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndexDescription{
			{KeySchema: []types.KeySchemaElement{key("model", "HASH"), key("at", "RANGE")}}, {KeySchema: []types.KeySchemaElement{key("at", "HASH")}}},
		LocalSecondaryIndexes: []types.LocalSecondaryIndexDescription{{KeySchema: []types.KeySchemaElement{key("id", "HASH"), key("model", "RANGE")}}},
	}, &types.TimeToLiveDescription{AttributeName: aws.String("ends"), TimeToLiveStatus: types.TimeToLiveStatusEnabling})
	if got.HashKey != "id" || got.HashType != item.TypeS || got.SortKey != "at" || got.SortType != item.TypeN || got.TTLAttribute != "ends" {
		t.Errorf("got %+v", got)
	}
	// An attribute that is a sort key in one index and a hash key in another has the shorter limit.
	if len(got.Indexes) != 2 || got.Indexes["at"] != (item.IndexKey{Type: "N", MaxBytes: item.MaxSortBytes}) || got.Indexes["model"] != (item.IndexKey{Type: "S", MaxBytes: item.MaxSortBytes}) {
		t.Errorf("the indexes are %+v", got.Indexes)
	}
	off := Table(&types.TableDescription{}, &types.TimeToLiveDescription{AttributeName: aws.String("ends"), TimeToLiveStatus: types.TimeToLiveStatusDisabled})
	if off.TTLAttribute != "" {
		t.Errorf("TTL that is off is by %q", off.TTLAttribute)
	}
}

func TestReader_depth(t *testing.T) {
	for depth, sound := range map[int]bool{32: true, 10_000_000: false} {
		w := jsonscan.Walk(`{"a":` + strings.Repeat(`{"L":[`, depth) + strings.Repeat(`]}`, depth) + `}`)
		var r Reader
		r.AppendItem(nil, &w)
		if err := w.Err(); (err == nil) != sound {
			t.Errorf("%d levels: %v", depth, err)
		}
	}
}

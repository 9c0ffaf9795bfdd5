package awsclient

import (
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/jsonscan"
)

// attributeValues turns an item's DynamoDB JSON, which has its one source in package item, into the SDK's form.
func attributeValues(text []byte) (map[string]types.AttributeValue, error) {
	v, err := jsonscan.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("encoding an item: %w", err)
	}
	return attributeMap(v)
}

func attributeMap(object jsonscan.Value) (map[string]types.AttributeValue, error) {
	members := slices.Collect(jsonscan.Members(object))
	m := make(map[string]types.AttributeValue, len(members))
	for _, member := range members {
		name, err := jsonscan.Unquote(member.Name)
		if err != nil {
			return nil, fmt.Errorf("encoding an attribute's name: %w", err)
		}
		if m[name], err = attributeValue(member.Value); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func attributeValue(typed jsonscan.Value) (types.AttributeValue, error) {
	member := slices.Collect(jsonscan.Members(typed))[0]
	text := func() (string, error) {
		s := member.Value.Text
		return jsonscan.Unquote(s[1 : len(s)-1])
	}
	switch member.Name {
	case "S":
		s, err := text()
		return &types.AttributeValueMemberS{Value: s}, err
	case "N":
		s, err := text()
		return &types.AttributeValueMemberN{Value: s}, err
	case "B":
		s, err := text()
		if err != nil {
			return nil, err
		}
		b, err := base64.StdEncoding.DecodeString(s)
		return &types.AttributeValueMemberB{Value: b}, err
	case "BOOL":
		return &types.AttributeValueMemberBOOL{Value: member.Value.Text == "true"}, nil
	case "NULL":
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case "M":
		m, err := attributeMap(member.Value)
		return &types.AttributeValueMemberM{Value: m}, err
	case "L":
		var list []types.AttributeValue
		for _, element := range slices.Collect(jsonscan.Elements(member.Value)) {
			v, err := attributeValue(element)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return &types.AttributeValueMemberL{Value: list}, nil
	}
	return nil, fmt.Errorf("an attribute of the unknown type %q", member.Name)
}

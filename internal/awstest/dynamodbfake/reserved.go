package dynamodbfake

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed reserved.txt
var reservedText string

// reserved are the words of "Reserved words in DynamoDB", in order. An expression may name them only by an alias.
var reserved = strings.Fields(reservedText)

func isReserved(word string) bool {
	_, found := slices.BinarySearch(reserved, strings.ToUpper(word))
	return found
}

package item_test

import (
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/item"
)

func TestNewLayout(t *testing.T) {
	noTTL := versioned
	noTTL.TTLAttribute = ""
	for _, test := range []struct {
		name    string
		table   item.Table
		options item.Options
		kind    item.Kind
		ttl     string
	}{
		{"id and time", versioned, item.Options{PerSecond: 1000}, item.Versioned, "expiresAt"},
		{"id and expiry", expirySorted, item.Options{PerSecond: 1}, item.ExpirySorted, "timestamp"},
		{"only id", latestOnly, item.Options{PerSecond: 1000}, item.LatestOnly, "expiresAt"},
		{"other names", item.Table{HashKey: "id", HashType: item.TypeN, SortKey: "at", SortType: item.TypeN, TTLAttribute: "ttl"}, item.Options{PerSecond: 1}, item.Versioned, "ttl"},
		{"only id, TTL in timestamp", item.Table{HashKey: "id", HashType: item.TypeS, TTLAttribute: "timestamp"}, item.Options{PerSecond: 1}, item.LatestOnly, "timestamp"},
		{"TTL off, allowed", noTTL, item.Options{PerSecond: 1, AllowNoTTL: true}, item.Versioned, "expiresAt"},
	} {
		l, err := item.NewLayout(test.table, test.options)
		if err != nil || l.Kind != test.kind || l.TTLAttribute != test.ttl || l.HashKey != test.table.HashKey || l.SortKey != test.table.SortKey {
			t.Errorf("%s: %+v, %v", test.name, l, err)
		}
	}
}

func TestNewLayoutErrors(t *testing.T) {
	with := func(table item.Table, change func(*item.Table)) item.Table {
		change(&table)
		return table
	}
	seconds := item.Options{PerSecond: 1, Encoding: item.JSON}
	for _, test := range []struct {
		name    string
		table   item.Table
		options item.Options
		want    []string
	}{
		{"binary partition key", with(latestOnly, func(t *item.Table) { t.HashType = item.TypeB }), seconds,
			[]string{`the hash key "predictionId" is of type B: a prediction's id is a string or a number, so use a table whose hash key is S or N`}},
		{"string sort key", with(versioned, func(t *item.Table) { t.SortType = item.TypeS }), seconds,
			[]string{`the sort key "timestamp" is of type S: it holds a time since the epoch, so use a table whose sort key is N`}},
		{"expiry in milliseconds", expirySorted, item.Options{PerSecond: 1000, Encoding: item.JSON},
			[]string{`the sort key "timestamp" is the TTL attribute, which DynamoDB reads as seconds: set WORKER_SORT_UNIT=s`}},
		{"TTL off", with(versioned, func(t *item.Table) { t.TTLAttribute = "" }), seconds,
			[]string{`TTL is off, so the table would grow for ever: switch it on (attribute "expiresAt" for a new table), or set WORKER_ALLOW_NO_TTL=true`}},
		{"partition key named prediction", with(latestOnly, func(t *item.Table) { t.HashKey = "prediction" }), seconds,
			[]string{`the attribute "prediction" would hold two things: rename the table's key or its TTL attribute`}},
		{"sort key named createdAt", with(versioned, func(t *item.Table) { t.SortKey = "createdAt" }), seconds,
			[]string{`the attribute "createdAt" would hold two things: rename the table's key or its TTL attribute`}},
		{"TTL attribute named encoding", with(latestOnly, func(t *item.Table) { t.TTLAttribute = "encoding" }), seconds,
			[]string{`the attribute "encoding" would hold two things: rename the table's key or its TTL attribute`}},
		{"TTL attribute is the partition key", with(latestOnly, func(t *item.Table) { t.TTLAttribute = "predictionId" }), seconds,
			[]string{`the attribute "predictionId" would hold two things: rename the table's key or its TTL attribute`}},
		{"latest-only with an id named timestamp", with(latestOnly, func(t *item.Table) { t.HashKey = "timestamp" }), seconds,
			[]string{`the attribute "timestamp" would hold two things: rename the table's key or its TTL attribute`}},
		{"sort key named expiresAt, TTL off", with(versioned, func(t *item.Table) { t.SortKey, t.TTLAttribute = "expiresAt", "" }), item.Options{PerSecond: 1, AllowNoTTL: true},
			[]string{`the attribute "expiresAt" would hold two things: rename the table's key or its TTL attribute`}},
		{"index with another type", with(versioned, func(t *item.Table) {
			t.Indexes = map[string]item.IndexKey{"createdAt": {Type: item.TypeS}, "encoding": {Type: item.TypeS}, "predictionId": {Type: item.TypeS}, "model": {Type: item.TypeB}}
		}), seconds, []string{`an index declares the attribute "createdAt" as S, but the worker writes it as N: use another attribute in that index`}},
		{"index on the payload as a number", with(versioned, func(t *item.Table) { t.Indexes = map[string]item.IndexKey{"prediction": {Type: item.TypeN}} }), seconds,
			[]string{`an index declares the attribute "prediction" as N, but the worker writes it as S: use another attribute in that index`}},
		{"index on a payload that may be compressed", with(versioned, func(t *item.Table) { t.Indexes = map[string]item.IndexKey{"prediction": {Type: item.TypeS}} }),
			item.Options{PerSecond: 1, Encoding: item.Zstd},
			[]string{`an index has the attribute "prediction" in its key, but under WORKER_PAYLOAD_ENCODING=zstd it is S or B by its length: use another attribute in that index, or another encoding`}},
		{"several errors", item.Table{HashKey: "a", HashType: item.TypeB, SortKey: "b", SortType: item.TypeB}, seconds, []string{
			`TTL is off, so the table would grow for ever: switch it on (attribute "expiresAt" for a new table), or set WORKER_ALLOW_NO_TTL=true`,
			`the hash key "a" is of type B: a prediction's id is a string or a number, so use a table whose hash key is S or N`,
			`the sort key "b" is of type B: it holds a time since the epoch, so use a table whose sort key is N`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := item.NewLayout(test.table, test.options)
			if l != nil || err == nil || err.Error() != strings.Join(test.want, "\n") {
				t.Errorf("%+v, refused: %v\nwant: %s", l, err, strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestPayloadIndexUnderMap(t *testing.T) {
	table := versioned
	table.Indexes = map[string]item.IndexKey{"prediction": {Type: item.TypeN, MaxBytes: item.MaxHashBytes}}
	l := layout(t, table, item.Map)
	made(t, l, `{"predictionId":"a","prediction":1}`)
	if _, why := l.New(decoded(t, `{"predictionId":"a","prediction":"1"}`)); why == nil {
		t.Error("a string went into an index of numbers")
	}
}

package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

// The changes of the table while workers run.
const (
	deleteTable  = "delete the table"
	createTable  = "create the table"
	switchTTLOff = "switch TTL off"
	switchTTLOn  = "switch TTL on"
	addIndex     = "add an index"           // whose key all items have, or don't have
	addBadIndex  = "add an index of type N" // on an attribute that is a string in some items
)

const (
	// ttlInterval is more than must be between two changes of a table's TTL ("UpdateTimeToLive").
	ttlInterval = time.Hour + time.Minute
	// noticeTable is how long a worker may take to notice that it has another table, which it reads each minute.
	noticeTable = time.Minute + 5*time.Second
)

// tableChanges plans changes of the table.
func (p *plan) tableChanges(r *rand.Rand) {
	span := int64(p.messages[len(p.messages)-1].at) + 1
	pair := func(first, second string, least time.Duration) (from, to time.Duration) {
		from = time.Duration(r.Int64N(span))
		to = from + least + time.Duration(r.Int64N(int64(90*time.Second)))
		p.events = append(p.events, event{from, first}, event{to, second})
		return from, to
	}
	switch r.IntN(4) {
	case 0, 1:
		deleted, created := pair(deleteTable, createTable, time.Nanosecond)
		p.sendAgain(r, deleted, created)
	case 2:
		pair(switchTTLOff, switchTTLOn, ttlInterval)
	case 3:
		p.events = append(p.events, event{time.Duration(r.Int64N(span)), []string{addIndex, addBadIndex}[r.IntN(2)]})
	}
	for range 5 { // items that the table refuses, whatever was done to it
		at := time.Duration(r.Int64N(span))
		p.addPacked(r, at, p.gen.next().refused(at), p.gen.next().good(p.gen.id(), at))
	}
}

// sendAgain plans to send the messages from before the deletion of the table again, for the new one.
func (p *plan) sendAgain(r *rand.Rand, deleted, created time.Duration) {
	for _, m := range slices.Clone(p.messages) {
		if m.at < deleted && !m.anyBad() && r.IntN(3) == 0 {
			p.addPacked(r, created+time.Duration(r.Int64N(int64(3*time.Minute))), m.parts...)
		}
	}
}

// changeTable applies an event and reports whether it was a change of the table. Replicas that could not start because of
// the table start when they can.
func (s *simulation) changeTable(what string) bool {
	client, name := s.tables.Client(), aws.String(workertest.TableName)
	ttl := "expiresAt"
	if s.layout == item.ExpirySorted {
		ttl = "timestamp"
	}
	var err error
	switch what {
	case deleteTable:
		s.oracle.tableDeleted()
		_, err = client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: name})
		s.unusable = true
	case createTable:
		workertest.CreateTable(s.t, client, workertest.TableName, s.layout, "S")
		s.oracle.tableCreated()
		s.unusable = false
	case switchTTLOff, switchTTLOn:
		s.unusable = what == switchTTLOff
		_, err = client.UpdateTimeToLive(context.Background(), &dynamodb.UpdateTimeToLiveInput{
			TableName:               name,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &ttl, Enabled: aws.Bool(what == switchTTLOn)},
		})
	case addIndex:
		err = s.createIndex(client, "model", types.ScalarAttributeTypeS)
	case addBadIndex:
		s.oracle.indexAdded()
		err = s.createIndex(client, "note", types.ScalarAttributeTypeN)
	default:
		return false
	}
	if err != nil {
		panic(err)
	}
	s.oracle.count(what)
	for ; s.waiting > 0 && !s.unusable; s.waiting-- {
		s.launch()
	}
	return true
}

func (s *simulation) createIndex(client *dynamodb.Client, attribute string, kind types.ScalarAttributeType) error {
	_, err := client.UpdateTable(context.Background(), &dynamodb.UpdateTableInput{
		TableName:            aws.String(workertest.TableName),
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &attribute, AttributeType: kind}},
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{
			IndexName:  aws.String("by-" + attribute),
			KeySchema:  []types.KeySchemaElement{{AttributeName: &attribute, KeyType: types.KeyTypeHash}},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}}},
	})
	return err //nolint:wrapcheck // the caller panics
}

// tableDeleted records that all items are gone: no worker may assume that they are in the next table.
func (o *oracle) tableDeleted() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.table++
	o.lost, o.top = o.top, map[string]int64{}
	for _, v := range o.views {
		v.acked, v.ackedMark = map[string]ack{}, map[int]ack{}
	}
}

func (o *oracle) tableCreated() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.created = time.Now()
}

// indexAdded records that from now on the table refuses items whose note is a string.
func (o *oracle) indexAdded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noted = true
}

// lostWithTable reports whether a prediction was safe in the table that was deleted, and its message was received before the
// worker could know that it has another table. It requires that o.mu is held.
func (o *oracle) lostWithTable(p *part, received time.Time) bool {
	newest, found := o.lost[p.key(o.s.plan)]
	return found && newest >= p.version() && (o.created.IsZero() || received.Sub(o.created) < noticeTable)
}

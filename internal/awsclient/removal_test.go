package awsclient

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/removal"
	"github.com/predcache/predcache/internal/writer"
)

// removalTables are the tables that removal uses, for a layout.
type removalTables struct {
	*testing.T
	db        *dynamodb.Client
	name      string
	layout    *item.Layout
	table     writer.Table
	versions  *VersionTable
	mu        sync.Mutex // guards units, which concurrent calls count
	units     float64
	unitsRead float64
}

func newRemovalTables(t *testing.T, b backend.Services, ttl string, o item.Options) *removalTables {
	t.Helper()
	l, err := item.NewLayout(item.Table{HashKey: "id", HashType: item.TypeS, SortKey: "at", SortType: item.TypeN, TTLAttribute: ttl}, o)
	if err != nil {
		t.Fatal(err)
	}
	name := b.CreateTable(t, dynamodbfake.Keys("id:S", "at:N"), ttl)
	r := &removalTables{T: t, db: b.DynamoDB, name: name, layout: l}
	clients := &Clients{DynamoDB: b.DynamoDB}
	count := func(units float64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.units += units
	}
	r.table = writer.WithRemovals(NewTable(clients, name, l, count), NewDeleteTable(clients, name, l, count))
	r.versions = NewVersionTable(clients, name, l, func(units float64) { r.unitsRead += units })
	return r
}

// write writes items, as many per call as the table takes, and returns the kinds of their results.
func (r *removalTables) write(items ...*item.Item) (kinds []writer.Kind) {
	r.Helper()
	for len(items) > 0 {
		n := min(r.table.MaxItems(), len(items))
		results := make([]writer.Result, n)
		r.table.Write(r.Context(), items[:n], results)
		for _, result := range results {
			if result.Err != nil {
				r.Fatal(result.Err)
			}
			kinds = append(kinds, result.Kind)
		}
		items = items[n:]
	}
	return kinds
}

// all reads all pages.
func (r *removalTables) all(tombstone item.Key) (found []removal.Found, pages, size int) {
	r.Helper()
	var after *item.Key
	for {
		page, err := r.versions.Page(r.Context(), tombstone, after)
		if err != nil {
			r.Fatal(err)
		}
		found, pages, size = append(found, page.Found...), pages+1, max(size, page.Size)
		if after = page.Next; after == nil {
			return found, pages, size
		}
	}
}

func (r *removalTables) make(text string) *item.Item {
	return decoded(r.T, r.layout, text, time.Now().UnixMilli(), 0)
}

// What a delete hides is found, page by page, and removed: the older sort units by BatchWriteItem, beside other items, and the rest by
// DeleteItem on condition.
func TestRemovals(t *testing.T) {
	for _, b := range backend.All(t) {
		for name, c := range map[string]struct {
			ttl string
			o   item.Options
		}{
			"versioned":          {"ttl", item.Options{PerSecond: 1, Encoding: item.JSON}},
			"versioned, ordered": {"ttl", item.Options{PerSecond: 1000, Encoding: item.JSON, Ordered: true}},
			"expiry-sorted":      {"at", item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: true}},
		} {
			t.Run(b.Name+"/"+name, func(t *testing.T) {
				r := newRemovalTables(t, b, c.ttl, c.o)
				begin := time.Now().Unix() - 1000
				const older = 2*removal.PageItems + 3
				var items []*item.Item
				for i := range older {
					items = append(items, r.make(fmt.Sprintf(`{"id":"a","at":%d.25,"p":%q}`, begin+int64(i), strings.Repeat("x", 1500))))
				}
				gone := r.make(fmt.Sprintf(`{"id":"a","at":%d.5,"deleted":true}`, begin+older))
				within := r.make(fmt.Sprintf(`{"id":"a","at":%d.4,"p":"same unit, older"}`, begin+older))
				newer := r.make(fmt.Sprintf(`{"id":"a","at":%d.75,"p":"newer"}`, begin+older+1))
				other := r.make(fmt.Sprintf(`{"id":"b","at":%d,"p":"other"}`, begin))
				r.write(append(items, within, newer, other, gone)...)

				found, pages, size := r.all(gone.Key)
				hidden := 0
				var removals []*item.Item
				for _, f := range found {
					if f.Event.Compare(gone.Version.Event) <= 0 {
						hidden++
						removals = append(removals, r.layout.NewRemoval(f.Key, f.Event, gone.Version, size))
					}
				}
				if hidden != older+1 || pages != 3 || size < 100 || size > 10_000 || r.unitsRead == 0 {
					t.Fatalf("%d found, %d of them hidden, in %d pages, about %d bytes each, %v read units", len(found), hidden, pages, size, r.unitsRead)
				}
				r.units = 0
				for i, kind := range r.write(append(removals, r.make(fmt.Sprintf(`{"id":"c","at":%d,"p":1}`, begin)))...) {
					if kind != writer.Written {
						t.Errorf("item %d: %v", i, kind)
					}
				}
				if r.units < 2*older { // of 1.5 KB each
					t.Errorf("%v write units were counted", r.units)
				}
				left, _, _ := r.all(gone.Key)
				for _, f := range left {
					if f.Event.Compare(gone.Version.Event) <= 0 {
						t.Errorf("%+v is still there", f)
					}
				}
				if again := r.write(removals[0]); again[0] != writer.Written {
					t.Errorf("removing what is gone: %v", again)
				}
			})
		}
	}
}

// A removal with a condition leaves what is newer, in the item of its own sort unit.
func TestRemovals_leave_what_is_newer(t *testing.T) {
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			r := newRemovalTables(t, b, "ttl", item.Options{PerSecond: 1, Encoding: item.JSON})
			second := time.Now().Unix() - 1000
			newer := r.make(fmt.Sprintf(`{"id":"a","at":%d.75,"p":"newer"}`, second))
			gone := r.make(fmt.Sprintf(`{"id":"a","at":%d.5,"deleted":true}`, second))
			r.write(newer, gone)
			removed := r.layout.NewRemoval(newer.Key, gone.Version.Event, gone.Version, 100)
			if removed.Removal != item.IfNotNewer {
				t.Fatalf("the removal in the delete's own sort unit is %v", removed.Removal)
			}
			if kinds := r.write(removed); kinds[0] != writer.Superseded {
				t.Errorf("the removal is %v", kinds[0])
			}
			if found, _, _ := r.all(item.Key{ID: "a", Sort: second + 1}); len(found) != 1 || found[0].Event != newer.Version.Event {
				t.Errorf("the table has %+v", found)
			}
		})
	}
}

// Others may keep items of their own in the table, with a createdAt too. Those are not found, and so not removed.
func TestRemovals_leave_foreign_items(t *testing.T) {
	for _, b := range backend.All(t) {
		for layout, ttl := range map[string]string{"versioned": "ttl", "expiry-sorted": "at"} {
			t.Run(b.Name+"/"+layout, func(t *testing.T) {
				r := newRemovalTables(t, b, ttl, item.Options{PerSecond: 1, Encoding: item.JSON, Ordered: true})
				num := func(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
				for _, sort := range []string{"5", "1700000000"} {
					foreign := map[string]types.AttributeValue{
						"id": &types.AttributeValueMemberS{Value: "a"}, "at": num(sort), "createdAt": num("1700000000"), "note": num("1"),
					}
					if _, err := r.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &r.name, Item: foreign}); err != nil {
						t.Fatal(err)
					}
				}
				older := r.make(fmt.Sprintf(`{"id":"a","at":%d,"p":1}`, time.Now().Unix()-10))
				gone := r.make(fmt.Sprintf(`{"id":"a","at":%d,"deleted":true}`, time.Now().Unix()))
				r.write(older, gone)
				if found, _, _ := r.all(gone.Key); len(found) != 1 || found[0].Key != older.Key {
					t.Errorf("found %+v, want only %+v", found, older.Key)
				}
			})
		}
	}
}

// NewRemoval is unconditional only where nothing newer can have the key.
func TestNewRemoval(t *testing.T) {
	at := func(sec int64, atto uint64) prediction.Time { return prediction.Time{Sec: sec, Atto: atto} }
	layout := func(ttl string, o item.Options) *item.Layout {
		l, err := item.NewLayout(item.Table{HashKey: "id", HashType: item.TypeS, SortKey: "at", SortType: item.TypeN, TTLAttribute: ttl}, o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	seconds, ms := layout("ttl", item.Options{PerSecond: 1}), layout("ttl", item.Options{PerSecond: 1000})
	deleted := prediction.Version{Event: at(1000, 500), Deleted: true}
	for _, c := range []struct {
		name  string
		l     *item.Layout
		sort  int64
		event prediction.Time
		want  item.Removal
	}{
		{"an older unit", seconds, 999, at(999, 999), item.Unconditional},
		{"the same unit", seconds, 1000, at(1000, 400), item.IfNotNewer},
		{"an older millisecond", ms, 999_999, at(999, 999_000_000_000_000_000), item.Unconditional},
		{"a key in seconds in a table of milliseconds", ms, 999, at(999, 0), item.IfNotNewer},
		{"ordered", layout("ttl", item.Options{PerSecond: 1, Ordered: true}), 999, at(999, 0), item.IfNotNewer},
		{"expiry-sorted", layout("at", item.Options{PerSecond: 1, Ordered: true}), 999, at(999, 0), item.IfNotNewer},
	} {
		if got := c.l.NewRemoval(item.Key{ID: "a", Sort: c.sort}, c.event, deleted, 1).Removal; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

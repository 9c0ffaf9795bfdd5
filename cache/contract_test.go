package cache_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/item"
)

// A readVector is a table and what readers find in it. contract/README.md explains the members.
type readVector struct {
	Name     string
	Settings struct{ Layout, HashKeyType string }
	Items    []map[string]map[string]any
	Reads    []struct {
		Get                      string
		GetMany                  []string
		History                  string
		From, To                 string
		OldestFirst, UniformLife bool
		Where                    map[string]string
		Only                     []string
		Finds                    json.RawMessage
	}
}

// TestReadVectors runs the read vectors of the contract, by both sources, with a front and without.
func TestReadVectors(t *testing.T) {
	files, err := filepath.Glob("../contract/reads/*.json")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []readVector
		if err := json.Unmarshal(text, &vectors); err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			t.Run(v.Settings.Layout+"/"+v.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { v.run(t) })
			})
		}
	}
}

func (v *readVector) run(t *testing.T) {
	time.Sleep(time.Until(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)))
	s := &store{kind: item.Kind(v.Settings.Layout), hash: item.KeyType(cmp.Or(v.Settings.HashKeyType, "S")), unit: 1}
	s.fake(t)
	for _, it := range v.Items {
		s.putItem(t, attributesOf(t, it))
	}
	for name, c := range map[string]*cache.Cache{
		"signed": s.cache, "client": openClient(s.client, s.table), "front": open(s.client, s.table, cache.WithFront(cache.Front{})),
	} {
		defer c.Close()
		for _, r := range v.Reads {
			options := []cache.Option{}
			for attribute, value := range r.Where {
				options = append(options, cache.Where(attribute, value))
			}
			if r.Only != nil {
				options = append(options, cache.Only(r.Only...))
			}
			if r.UniformLife {
				options = append(options, cache.UniformLife())
			}
			if r.OldestFirst {
				options = append(options, cache.OldestFirst())
			}
			found := func(p *cache.Prediction) any { return v.place(t, p, r.Only != nil) }
			var got any
			switch {
			case r.Get != "":
				p, err := c.Get(t.Context(), r.Get, options...)
				if err != nil && !errors.Is(err, cache.ErrNotFound) {
					t.Fatalf("%s: get %s: %v", name, r.Get, err)
				}
				got = found(p)
			case r.GetMany != nil:
				many, err := c.GetMany(t.Context(), r.GetMany, options...)
				if err != nil {
					t.Fatalf("%s: getMany: %v", name, err)
				}
				list := []any{}
				for _, p := range many {
					list = append(list, found(p))
				}
				got = list
			default:
				list := []any{}
				for p, err := range c.History(t.Context(), r.History, instant(t, r.From), instant(t, r.To), options...) {
					if err != nil {
						t.Fatalf("%s: history: %v", name, err)
					}
					list = append(list, found(p))
				}
				got = list
			}
			if text, err := json.Marshal(got); err != nil || string(text) != strings.ReplaceAll(string(r.Finds), " ", "") {
				t.Errorf("%s: %+v: got %s, %v", name, r, text, err)
			}
		}
	}
}

// place returns the place of a prediction among the items. Each payload is its place.
func (v *readVector) place(t *testing.T, p *cache.Prediction, partial bool) any {
	t.Helper()
	switch {
	case p == nil:
		return nil
	case !partial:
		n, err := strconv.Atoi(string(p.Payload))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for n, it := range v.Items {
		at := instant(t, it["createdAt"]["N"].(string))
		if it["deleted"]["BOOL"] != true && fmt.Sprint(idOf(it)) == p.ID && at.Equal(p.EventTime) {
			return n
		}
	}
	t.Fatalf("%s of %v is not an item", p.ID, p.EventTime)
	return nil
}

func idOf(it map[string]map[string]any) any {
	for _, id := range it["predictionId"] {
		return id
	}
	return nil
}

// instant reads seconds with up to nine decimals that matter. An empty text is the zero time.
func instant(t *testing.T, seconds string) time.Time {
	t.Helper()
	if seconds == "" {
		return time.Time{}
	}
	whole, fraction, _ := strings.Cut(seconds, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	nanos, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(sec, nanos)
}

// attributesOf reads an item in DynamoDB's JSON, of the types that the vectors have.
func attributesOf(t *testing.T, it map[string]map[string]any) map[string]types.AttributeValue {
	t.Helper()
	out := map[string]types.AttributeValue{}
	for name, value := range it {
		for kind, v := range value {
			switch v := v.(type) {
			case bool:
				out[name] = &types.AttributeValueMemberBOOL{Value: v}
			case string:
				out[name] = &types.AttributeValueMemberS{Value: v}
				if kind == "N" {
					out[name] = &types.AttributeValueMemberN{Value: v}
				}
			default:
				t.Fatalf("%s has the type %s", name, kind)
			}
		}
	}
	return out
}

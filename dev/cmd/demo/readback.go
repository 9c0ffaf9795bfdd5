package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/dev/cmd/demo/internal/expect"
	"github.com/predcache/predcache/dev/cmd/demo/internal/localaws"
	"github.com/predcache/predcache/dev/cmd/demo/internal/recording"
)

// readBackIDs is how many predictions are read back.
const readBackIDs = 3

// A digit is the payload of the recorded predictions.
type digit struct {
	Label         int                `json:"label"`
	Probabilities map[string]float64 `json:"probabilities"`
}

// readBack shows what a service would read, for ids of which a newer prediction says something else than an older one.
func readBack(ctx context.Context, s *screen, aws *localaws.Server, messages []recording.Message) error {
	how := "by Query, newest first"
	if aws.Layout == expect.LatestOnly {
		how = "by GetItem"
	}
	s.title("Read back %s: where the models disagree", how)
	for _, id := range disagreements(messages) {
		items, err := aws.Newest(ctx, id)
		if err != nil {
			return err
		}
		for i, item := range items {
			if i > 0 {
				id = ""
			}
			s.line("  %-12s  %s", id, itemText(item, aws.TTLAttribute(), time.Now()))
		}
	}
	return nil
}

// disagreements are the first ids that were predicted with different labels.
func disagreements(messages []recording.Message) []string {
	var ids []string
	labels := map[string]int{}
	for _, m := range messages {
		for _, text := range expect.Split(m.Body) {
			var p struct {
				ID         string `json:"predictionId"`
				Prediction *digit `json:"prediction"`
			}
			if json.Unmarshal([]byte(text), &p) != nil || p.ID == "" || p.Prediction == nil {
				continue // one of the broken ones
			}
			label, seen := labels[p.ID]
			labels[p.ID] = p.Prediction.Label
			if seen && label != p.Prediction.Label {
				if ids = append(ids, p.ID); len(ids) == readBackIDs {
					return ids
				}
			}
		}
	}
	return ids
}

func itemText(item expect.Item, ttlAttribute string, now time.Time) string {
	value := func(name string) string {
		_, text, _ := strings.Cut(item[name], " ")
		return text
	}
	var d digit
	if err := json.Unmarshal([]byte(value("prediction")), &d); err != nil {
		return value("prediction")
	}
	return fmt.Sprintf("%s  a %d (%2.0f %%)  by %-18s expires in %s", epoch(value("createdAt")).Format("15:04:05.000"),
		d.Label, 100*d.Probabilities[strconv.Itoa(d.Label)], value("model")+" "+value("modelVersion"), days(epoch(value(ttlAttribute)).Sub(now)))
}

// epoch is the time of a number of seconds in lowest terms.
func epoch(number string) time.Time {
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return time.Time{}
	}
	nanos := new(big.Int).Div(new(big.Int).Mul(r.Num(), big.NewInt(1e9)), r.Denom())
	return time.Unix(0, nanos.Int64()).UTC()
}

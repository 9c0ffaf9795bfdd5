package item_test

import (
	"slices"
	"testing"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

// FuzzItem builds items of arbitrary predictions. The table must store what is not rejected unchanged.
func FuzzItem(f *testing.F) {
	for _, body := range []string{
		`{"predictionId":"a","prediction":1}`, `{"predictionId":7.50e1,"prediction":{"a":[1,null,true,"x"]},"b":{"c":[[]]}}`,
		`{"predictionId":"\"\u0000é","timestamp":1.000000000000000001,"ttlSeconds":1,"prediction":"\ud83d\ude00 \" \\","\u0001":-1.5e-7,"":1}`,
		`{"predictionId":"a","prediction":[1e126,"\ud83d"],"model":"m","score":1e-131,"createdAt":1}`,
		`{"predictionId":"a","prediction" : [ 1 , 2 ],"model":1,"score":"x","tags":[ "a" , {"b" : 1} ]}`,
	} {
		for layout := range byte(12) {
			f.Add(body, layout)
		}
	}
	indexed := versioned
	indexed.HashType = item.TypeN
	indexed.Indexes = map[string]item.IndexKey{"model": {Type: item.TypeS, MaxBytes: item.MaxSortBytes}, "score": {Type: item.TypeN, MaxBytes: item.MaxHashBytes}}
	var layouts []*item.Layout
	for _, table := range []item.Table{versioned, expirySorted, latestOnly, indexed} {
		for _, encoding := range encodings {
			layouts = append(layouts, layout(f, table, encoding))
		}
	}
	f.Fuzz(func(t *testing.T, body string, which byte) {
		l := layouts[int(which)%len(layouts)]
		var d prediction.Decoded
		decoder.Decode(&d, prediction.Message{Body: body, Sent: 1769860800_000}, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
		for i := range d.Predictions {
			p := &d.Predictions[i]
			it, why := l.New(p)
			if why != nil {
				if it != nil || !slices.Contains(prediction.Reasons, why.Reason) || why.Detail == "" {
					t.Fatalf("rejected with %+v", why)
				}
				continue
			}
			checkEncoded(t, it, p, l.Encoding)
		}
	})
}

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest/s3fake"
)

// Load sends about perSecond predictions a second, in waves, until ctx is done. About one in six repeats an earlier one, one
// in twelve is an older version, and one in 150 can't be stored.
func (s *System) Load(ctx context.Context, perSecond float64) {
	const tick = 50 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	start, n, owed := time.Now(), 0, 0.0
	type made struct {
		id int
		at time.Time
	}
	var lately []string
	var versions [512]made
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		t := time.Since(start).Seconds()
		owed += perSecond * tick.Seconds() * (1 + .22*math.Sin(t/9) + .1*math.Sin(t/2.3) + .08*rand.NormFloat64())
		var bodies []string
		for ; owed >= 1; owed-- {
			var body string
			switch p := rand.Float64(); {
			case p < .165 && len(lately) > 0:
				body = lately[rand.IntN(len(lately))]
			case p < .172:
				body = broken[rand.IntN(len(broken))]
			default:
				v := made{n, time.Now()}
				if old := versions[rand.IntN(len(versions))]; p > .92 && old.id > 0 {
					v = made{old.id, old.at.Truncate(time.Second)} // the same key, a little older
				}
				n++
				versions[n%len(versions)] = v
				body = prediction(v.id, v.at)
			}
			bodies = append(bodies, body)
			if len(lately) < 2000 {
				lately = append(lately, body)
			} else {
				lately[rand.IntN(len(lately))] = body
			}
		}
		s.SQS.Send(Queue, bodies...)
	}
}

// LoadObjects puts an object of so many rows into the bucket every second, until ctx is done.
func (s *System) LoadObjects(ctx context.Context, rows int) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var text strings.Builder
		for i := range rows {
			text.WriteString(prediction(1e9+n*rows+i, time.Now()) + "\n")
		}
		s.S3.Put(Bucket, fmt.Sprintf("part-%d.jsonl", n), s3fake.Text(text.String()))
	}
}

// broken are mistakes that publishers make.
var broken = []string{
	`{"timestamp":1700000000,"prediction":{"label":7}}`,
	`{"predictionId":"","prediction":{"label":7}}`,
	`{"predictionId":"digit/1","timestamp":"yesterday","prediction":{"label":7}}`,
	`{"predictionId":"digit/2","prediction":{"label":7}`,
	`{"predictionId":"digit/3","timestamp":32503680000,"prediction":{"label":7}}`,
}

func prediction(id int, at time.Time) string {
	scores := map[string]float64{}
	for label := range 10 {
		scores[fmt.Sprint(label)] = math.Round(rand.Float64()*1e4) / 1e4
	}
	body, err := json.Marshal(map[string]any{
		"predictionId": fmt.Sprintf("digit/%d", id), "timestamp": at.UnixMilli(), "model": "digits-svc", "modelVersion": "3.2.1",
		"prediction": map[string]any{"label": rand.IntN(10), "scores": scores, "explanation": strings.Repeat("x", rand.IntN(900))},
	})
	if err != nil {
		panic(err) // plain values
	}
	return string(body)
}

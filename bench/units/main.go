// Command units prints the cost of each payload encoding in write units per prediction, for the recorded predictions of
// the example pipeline and for a ranking of 50 entries.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
)

func main() {
	log.SetFlags(0)
	file := flag.String("digits", "examples/pipeline/messages.ndjson", "the recorded messages")
	flag.Parse()
	digits, err := recorded(*file)
	if err != nil {
		log.Fatal(err)
	}
	rankings := make([]string, 1000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range rankings {
		rankings[i] = fmt.Sprintf(`{"predictionId":"user-%06d","timestamp":1790000000,"prediction":%s,"model":"rank"}`, i, ranking(r))
	}
	fmt.Println("| payloads | encoding | bytes an item | units a prediction | of json |")
	fmt.Println("|---|---|---|---|---|")
	for _, set := range []struct {
		name   string
		bodies []string
	}{{"digits", digits}, {"rankings of 50, 2.4 KB", rankings}} {
		base := 0.0
		for _, encoding := range []item.Encoding{item.JSON, item.Map, item.Zstd} {
			bytes, units, err := measure(set.bodies, encoding)
			if err != nil {
				log.Fatal(err)
			}
			if encoding == item.JSON {
				base = units
			}
			fmt.Printf("| %s | %s | %.0f | %.3f | %.2f |\n", set.name, encoding, bytes, units, units/base)
		}
	}
}

// recorded returns the bodies of the recorded messages.
func recorded(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var bodies []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m struct{ Body string }
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, err
		}
		bodies = append(bodies, m.Body)
	}
	return bodies, lines.Err()
}

// ranking returns 50 entries of id, score and rank.
func ranking(r *rand.Rand) string {
	entries := make([]string, 50)
	score := 1.0
	for i := range entries {
		score -= r.Float64() / 60
		entries[i] = fmt.Sprintf(`{"id":"item-%06d","score":%.6f,"rank":%d}`, r.IntN(1_000_000), score, i+1)
	}
	return "[" + strings.Join(entries, ",") + "]"
}

// measure returns the mean size and the mean write units of the predictions that can be stored.
func measure(bodies []string, encoding item.Encoding) (bytes, units float64, err error) {
	l, err := item.NewLayout(
		item.Table{HashKey: "predictionId", HashType: item.TypeS, SortKey: "timestamp", SortType: item.TypeN, TTLAttribute: "expiresAt"},
		item.Options{PerSecond: 1, Encoding: encoding})
	if err != nil {
		return 0, 0, err
	}
	d := prediction.NewDecoder(prediction.Config{
		Fields:     prediction.Fields{ID: "predictionId", Timestamp: "timestamp", Payload: "prediction"},
		Attributes: prediction.Attributes{All: true}, TTL: 24 * time.Hour, MaxDecodedBytes: 1 << 20,
	})
	var decoded prediction.Decoded
	n := 0
	for _, body := range bodies {
		d.Decode(&decoded, prediction.Message{Body: body}, time.Unix(1<<33, 0))
		for i := range decoded.Predictions {
			it, why := l.New(&decoded.Predictions[i])
			if why != nil {
				continue // some of the recorded ones are broken on purpose
			}
			n++
			bytes += float64(it.Size)
			units += float64(it.Units())
		}
	}
	return bytes / float64(n), units / float64(n), nil
}

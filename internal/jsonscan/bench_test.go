package jsonscan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/jsonscan"
)

// prediction is a message body of 1 KB with short strings and numbers.
var prediction = func() string {
	var b strings.Builder
	b.WriteString(`{"predictionId":"user-000012345","timestamp":1790000000,"prediction":{"label":"class-7","scores":{`)
	for i := range 10 {
		fmt.Fprintf(&b, `%s"class-%d":0.%06d`, strings.Repeat(",", min(i, 1)), i, i*98_765)
	}
	b.WriteString(`},"features":[`)
	for i := range 18 {
		fmt.Fprintf(&b, `%s{"name":"f%02d","weight":-0.%04d}`, strings.Repeat(",", min(i, 1)), i, i*543)
	}
	b.WriteString(`]},"model":"churn","modelVersion":"2026.11.3"}`)
	return b.String()
}()

func BenchmarkScan(b *testing.B) {
	value, err := jsonscan.Parse(prediction)
	if err != nil {
		b.Fatal(err)
	}
	quoted := string(jsonscan.AppendQuoted(nil, prediction))
	embedded := quoted + `}}]}}` // the end of an answer
	dst := make([]byte, 0, 2*len(quoted))
	var members []jsonscan.Member
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"members", func() { members, _, _, _ = jsonscan.ParseMembers(members[:0], prediction, 1000) }},
		{"quoted-string", func() { w := jsonscan.Walk(quoted); dst = w.AppendString(dst[:0]) }},
		{"embedded", func() { w := jsonscan.Walk(embedded); dst, _ = w.AppendJSON(dst[:0]) }},
		{"compact-quoted", func() { dst = jsonscan.AppendCompactQuoted(dst[:0], value) }},
		{"long-string", func() { _, _ = jsonscan.Parse(longString) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(prediction)))
			b.ReportAllocs()
			for b.Loop() {
				c.run()
			}
		})
	}
}

var longString = `"` + strings.Repeat("plain text of some length, ", 40) + `"`

package item_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/item"
)

func BenchmarkItem(b *testing.B) {
	body := `{"predictionId":"user-12345678","timestamp":1769860799.123,"model":"fraud","modelVersion":"2026-01-30","prediction":{"label":"genuine","scores":[` +
		strings.Repeat("0.12345678,", 80) + `0.5]}}`
	p := decoded(b, body)
	for _, encoding := range encodings {
		l := layout(b, versioned, encoding)
		b.Run(fmt.Sprintf("New/%s-1KB", encoding), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, why := l.New(p); why != nil {
					b.Fatal(why)
				}
			}
		})
		b.Run(fmt.Sprintf("AppendJSON/%s-1KB", encoding), func(b *testing.B) {
			it, why := l.New(p)
			if why != nil {
				b.Fatal(why)
			}
			encoded := make([]byte, 0, it.MaxJSONSize())
			b.ReportAllocs()
			for b.Loop() {
				encoded = it.AppendJSON(encoded[:0])
			}
		})
	}
	b.Run("MaxJSONSize/json-1KB", func(b *testing.B) {
		it, _ := layout(b, versioned, item.JSON).New(p)
		for b.Loop() {
			_ = it.MaxJSONSize()
		}
	})
}

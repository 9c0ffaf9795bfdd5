package prediction

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	prediction := `{"predictionId":"user-12345678","timestamp":1769860799.123,"model":"fraud","modelVersion":"2026-01-30","prediction":{"label":"genuine","scores":[` +
		strings.Repeat("0.12345678,", 80) + `0.5]}}`
	var packed strings.Builder
	for i := range 50 {
		packed.WriteString(strings.Replace(prediction, "12345678", fmt.Sprint(10_000_000+i), 1) + "\n")
	}
	for _, bench := range []struct {
		name    string
		message Message
	}{
		{"object-1KB", Message{Body: prediction, Sent: sent}},
		{"SNS-1KB", Message{Body: inSNS(prediction, ""), Sent: sent}},
		{"lines-50x1KB", Message{Body: packed.String(), Sent: sent}},
		{"zstd-50x1KB", Message{Body: zstandard(packed.String()), ContentEncoding: "zstd", Sent: sent}},
		{"rejected", Message{Body: `{"predictionId":"a","timestamp":1769860799}`, Sent: sent}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			decoder := NewDecoder(config())
			var d Decoded
			b.SetBytes(int64(len(bench.message.Body)))
			b.ReportAllocs()
			for b.Loop() {
				decoder.Decode(&d, bench.message, now)
			}
		})
	}
}

// Package bombs makes messages that try to take more memory than they should: each stands for a mistake of a publisher, or for an
// attack, that a queue can deliver.
package bombs

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A Message is a body with its message attributes.
type Message struct {
	Body       string
	Attributes map[string]string // of type String
}

// A Bomb is one kind of message.
type Bomb struct {
	Name string
	// Make returns the i-th message.
	Make func(i int) Message
	// Count is how many messages are needed for the worker to hold as much of them as it may.
	Count int
	// Good is how many good predictions each message has.
	Good int
}

// maxMessage is what SQS carries ("Amazon SQS message quotas"), less some bytes for what a test adds.
const maxMessage = 1<<20 - 1<<10

// All returns the bombs. Good predictions have an event time a minute before now.
func All(now time.Time) []Bomb {
	at := now.Unix() - 60
	good := func(id, rest string) string {
		return fmt.Sprintf(`{"predictionId":%q,"timestamp":%d,"prediction":1%s}`, id, at, rest)
	}
	plain := func(body string) Message { return Message{Body: body} }
	return []Bomb{
		{Name: "numbers in an array, with a large attribute", Count: 60, Make: func(int) Message {
			return Message{Body: "[" + strings.Repeat("0,", 3999) + "0]", Attributes: map[string]string{"trace": strings.Repeat("x", 256<<10)}}
		}},
		{Name: "bare vectors", Count: 3000, Make: func(i int) Message { return plain(vector(768, uint64(i))) }},
		{Name: "gzip of millions of numbers", Count: 200, Make: func(int) Message { return compressed("gzip", "["+strings.Repeat("0,", 4_000_000)+"0]") }},
		{Name: "a prediction with a list of millions", Count: 200, Make: func(i int) Message {
			return compressed("gzip", good(fmt.Sprint(i), `,"list":[`+strings.Repeat("0,", 4_000_000)+"0]"))
		}},
		{Name: "a zstd bomb", Count: 200, Make: func(int) Message { return compressed("zstd", strings.Repeat(" ", 64<<20)) }},
		{Name: "an SNS envelope around a bomb", Count: 200, Make: func(int) Message {
			body := compressed("gzip", "["+strings.Repeat("0,", 4_000_000)+"0]").Body
			return plain(`{"Type":"Notification","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"` + body + `","MessageAttributes":{"\u0043ontent-Encoding":{"Type":"String","Value":"gzip"}}}`)
		}},
		{Name: "parts that SQS can't carry", Count: 200, Good: 2, Make: func(i int) Message {
			return compressed("gzip", good(fmt.Sprint("n", i), "")+"\n{\"predictionId\":\"b\",\"prediction\":\"a\x01b\"}\n"+good(fmt.Sprint("m", i), ""))
		}},
		{Name: "large payloads", Count: 200, Good: 3, Make: func(i int) Message {
			return plain(strings.Join([]string{payload("large", i, 0, at, 330_000), payload("large", i, 1, at, 330_000), payload("large", i, 2, at, 330_000)}, "\n"))
		}},
		{Name: "payloads of quotes", Count: 200, Good: 5, Make: func(i int) Message {
			var lines []string
			for j := range 5 {
				lines = append(lines, fmt.Sprintf(`{"predictionId":"quotes/%d/%d","timestamp":%d,"prediction":[%s""]}`, i, j, at, strings.Repeat(`"",`, 60_000)))
			}
			return plain(strings.Join(lines, "\n"))
		}},
		{Name: "SNS envelopes", Count: 200, Good: 1, Make: func(i int) Message {
			inner := strings.ReplaceAll(strings.ReplaceAll(payload("sns", i, 0, at, 300_000), `\`, `\\`), `"`, `\"`)
			return plain(`{"Type":"Notification","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"` + inner + `"}`)
		}},
		{Name: "tiny predictions", Count: 200, Good: 14_500, Make: func(i int) Message {
			var b strings.Builder
			for j := range 14_500 {
				fmt.Fprintf(&b, `{"predictionId":"tiny/%d/%d","timestamp":%d,"prediction":1}`+"\n", i, j, at)
			}
			return plain(b.String())
		}},
		{Name: "hundreds of attributes", Count: 300, Good: 60, Make: func(i int) Message {
			var b strings.Builder
			for j := range 60 {
				var rest strings.Builder
				for k := range 400 {
					fmt.Fprintf(&rest, `,"f%03d":%d.25`, k, j)
				}
				b.WriteString(good(fmt.Sprintf("wide/%d/%d", i, j), rest.String()) + "\n")
			}
			return plain(b.String())
		}},
		{Name: "an object of tiny members", Count: 100, Make: func(int) Message {
			var b strings.Builder
			b.WriteString(`{"predictionId":"a","prediction":1`)
			for i := 0; b.Len() < maxMessage-20; i++ {
				fmt.Fprintf(&b, `,"%x":0`, i)
			}
			return plain(b.String() + "}")
		}},
		{Name: "deep nesting", Count: 100, Make: func(int) Message {
			return plain(`{"predictionId":"a","prediction":1,"deep":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}")
		}},
		{Name: "a name of a megabyte", Count: 100, Make: func(int) Message {
			return plain(`{"predictionId":"a","prediction":1,"` + strings.Repeat("n", maxMessage-100) + `":1}`)
		}},
		{Name: "no JSON", Count: 200, Make: func(i int) Message { return plain(strings.Repeat(fmt.Sprint("not JSON ", i, " "), 80_000)) }},
	}
}

func vector(n int, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for i := range n {
		b.WriteByte("[,"[min(i, 1)])
		fmt.Fprintf(&b, "%.6f", r.Float64())
	}
	return b.String() + "]"
}

// payload is a prediction with a payload of about so many bytes.
func payload(kind string, i, j int, at int64, size int) string {
	return fmt.Sprintf(`{"predictionId":"%s/%d/%d","timestamp":%d,"prediction":%q}`, kind, i, j, at, strings.Repeat("payload ", size/8))
}

// compressed returns a message of a compressed body.
func compressed(encoding, text string) Message {
	var out bytes.Buffer
	switch encoding {
	case "gzip":
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(text)); err != nil {
			panic(err)
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
	case "zstd":
		w, err := zstd.NewWriter(nil)
		if err != nil {
			panic(err)
		}
		out.Write(w.EncodeAll([]byte(text), nil))
	}
	return Message{Body: base64.StdEncoding.EncodeToString(out.Bytes()), Attributes: map[string]string{"Content-Encoding": encoding}}
}

package prediction

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/klauspost/compress/zstd"
)

// Each text has "secret" wherever a message can have a value. No reject may repeat it.
func TestRejects(t *testing.T) {
	prediction := func(fields string) string { return `{"predictionId":"secret","prediction":"secret",` + fields + `}` }
	for _, test := range []struct{ name, body, want string }{
		{"no id", `{"prediction":"secret"}`, "missing_field: predictionId is missing: it names what was predicted, a string or a number"},
		{"a null id", `{"predictionId":null,"prediction":"secret"}`, "missing_field: predictionId is missing: it names what was predicted, a string or a number"},
		{"an id of a wrong type", `{"predictionId":["secret"],"prediction":1}`, "field_type: predictionId is an array: send a string or a number"},
		{"an id with half a surrogate pair", `{"predictionId":"secret\ud83d","prediction":1}`, "key: predictionId holds half of a UTF-16 surrogate pair: an id is valid Unicode"},
		{"no payload", `{"predictionId":"secret"}`, "missing_field: prediction is missing: it holds the result, any JSON value"},
		{"a field that is there twice", prediction(`"timestamp":1,"timestamp":2`), "duplicate_name: timestamp occurs twice: send it once"},
		{"an attribute that is there twice", prediction(`"model":"secret","mod\u0065l":"secret"`), "duplicate_name: model occurs twice: send it once"},
		{"a name with half a surrogate pair", prediction(`"secret\ud83d":1`), "field_value: the name of a field holds half of a UTF-16 surrogate pair"},
		{"a time that is no time", prediction(`"timestamp":"secret"`),
			"field_type: timestamp is neither a number nor an RFC 3339 time with its zone, like 2026-01-31T12:00:00.5Z: send Unix seconds, ms, us or ns, or RFC 3339"},
		{"a time of a wrong type", prediction(`"timestamp":{"secret":1}`),
			"field_type: timestamp is neither a number nor an RFC 3339 time with its zone, like 2026-01-31T12:00:00.5Z: send Unix seconds, ms, us or ns, or RFC 3339"},
		{"a time before 1970", prediction(`"timestamp":-1`), "field_value: timestamp is before 1970: send Unix seconds, ms, us or ns, or RFC 3339"},
		{"a time too fine", prediction(`"timestamp":1e-19`), "field_value: timestamp has more than 18 decimals of a second: send Unix seconds, ms, us or ns, or RFC 3339"},
		{"a time after 9999", prediction(`"timestamp":1e300`), "field_value: timestamp is after the year 9999: send Unix seconds, ms, us or ns, or RFC 3339"},
		{"a time just over 5 minutes ahead", prediction(`"timestamp":"2026-01-31T12:05:00.000000000000000001Z"`),
			"future: timestamp is over 5m0s in the future: send the time of the event, or allow more with WORKER_MAX_FUTURE"},
		{"a time without its zone", prediction(`"timestamp":"2026-01-31 12:00:00"`),
			"field_type: timestamp is a time without its zone, so its instant is unknown: append Z if it is UTC, or its offset, like +01:00"},
		{"a life that is no number", prediction(`"ttlSeconds":"60s"`), "field_type: ttlSeconds is a string: send a number of seconds"},
		{"a life that is a boolean", prediction(`"ttlSeconds":true`), "field_type: ttlSeconds is a boolean: send a number of seconds"},
		{"a life of nothing, in a string", prediction(`"ttlSeconds":"0"`), "field_value: ttlSeconds is out of range: send a number of seconds above 0"},
		{"a life of nothing", prediction(`"ttlSeconds":0`), "field_value: ttlSeconds is out of range: send a number of seconds above 0"},
		{"a negative life", prediction(`"ttlSeconds":-1`), "field_value: ttlSeconds is out of range: send a number of seconds above 0"},
		{"a life too long", prediction(`"ttlSeconds":1e300`), "field_value: ttlSeconds is out of range: send a number of seconds above 0"},
		{"a life that ends after 9999", prediction(`"timestamp":10,"ttlSeconds":253402300790`), "field_value: ttlSeconds makes it expire after the year 9999: send a shorter lifetime"},
		{"a life and an end", prediction(`"ttlSeconds":60,"expiresAt":1769860800`), "field_value: expiresAt is set together with ttlSeconds: send one of them"},
		{"an end that is no time", prediction(`"expiresAt":"secret"`),
			"field_type: expiresAt is neither a number nor an RFC 3339 time with its zone, like 2026-01-31T12:00:00.5Z: send Unix seconds, ms, us or ns, or RFC 3339"},
		{"NaN", `{"prediction":{"secret":[NaN]},"predictionId":-Infinity}`,
			"number: prediction holds NaN or an infinity, which JSON does not have: send null. Python's json.dumps(allow_nan=False) finds them"},
		{"an infinity in an escaped name", prediction(`"mod\u0065l":-Infinity`),
			"number: model holds NaN or an infinity, which JSON does not have: send null. Python's json.dumps(allow_nan=False) finds them"},
		{"an id under another name", `{"prediction_ID":"secret","prediction":"secret"}`,
			`missing_field: predictionId is missing: it names what was predicted, a string or a number. Is it "prediction_ID"? Then rename that field, or set WORKER_FIELD_ID`},
		{"a payload under another name", `{"predictionId":"secret","Prediction":"secret"}`,
			`missing_field: prediction is missing: it holds the result, any JSON value. Is it "Prediction"? Then rename that field, or set WORKER_FIELD_PREDICTION`},
		{"an element that is no object", `["secret"]`, "field_type: an element of the array is a string: each must be an object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decode(config(), Message{Body: test.body})
			if len(d.Rejected) != 1 || len(d.Predictions) != 0 || d.Rejected[0].Whole {
				t.Fatalf("found %q, rejected %q", ids(d), reasons(d))
			}
			checkReject(t, d.Rejected[0].Why, test.want)
			if raw := strings.Trim(test.body, "[]"); d.Rejected[0].Raw != raw {
				t.Errorf("raw %s", d.Rejected[0].Raw)
			}
		})
	}
}

// A reject is kept beside the message, so it does not grow with it.
func TestRejectsAreSmall(t *testing.T) {
	name := strings.Repeat(`\u00e9`, 50_000)
	d := decode(config(), Message{Body: `{"predictionId":"a","prediction":1,"` + name + `":1,"` + name + `":2}`})
	if len(d.Rejected) != 1 || d.Rejected[0].Why.Field != strings.Repeat("é", maxField/2)+"…" {
		t.Errorf("rejected %.100q", fmt.Sprint(reasons(d)))
	}
	if allocated := testing.AllocsPerRun(10, func() { decode(config(), Message{Body: "[" + strings.Repeat("{},", 1000) + "{}]"}) }); allocated > 200 {
		t.Errorf("%v allocations for 1001 rejected parts, of which %d are kept", allocated, MaxRejectedParts)
	}
}

func checkReject(t *testing.T, why *Reject, want string) {
	t.Helper()
	if why.Error() != want {
		t.Errorf("rejected: %s\n    want: %s", why, want)
	}
	if strings.Contains(why.Error(), "secret") {
		t.Error("the reject repeats the message")
	}
}

func TestRejectsWholeBody(t *testing.T) {
	secret := good("secret")
	zstdOf16MiBWindow := func() string {
		var out strings.Builder
		encoder := base64.NewEncoder(base64.StdEncoding, &out)
		w, err := zstd.NewWriter(encoder, zstd.WithWindowSize(16<<20))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // in pieces, so that the header can't give the length in the window's place
			if _, err := w.Write([]byte(strings.Repeat(" ", 9<<20))); err != nil || w.Flush() != nil {
				t.Fatal(err)
			}
		}
		if w.Close() != nil || encoder.Close() != nil {
			t.Fatal("not closed")
		}
		return out.String()
	}
	const longest = 1 << 20
	confirmation := func(kind string) string {
		return `{"Type":"` + kind + `","MessageId":"secret","Token":"secret","TopicArn":"secret","Message":"secret","SubscribeURL":"https://secret"}`
	}
	const unconfirmed = "envelope: Type says that SNS waits for a subscription to be confirmed, and sends nothing before: let the queue's owner subscribe it, which needs no confirmation, or open the message's SubscribeURL"
	const pointer = "envelope: the message is a pointer of the Amazon SQS Extended Client Library to a payload in S3, which the worker does not read: send the payload in the message, which may have 1 MiB, compressed with Content-Encoding if it is longer"
	const s3Event = "envelope: the message is an event of S3, not a prediction: let the bucket send its events to the queue of WORKER_OBJECTS_QUEUE_URL, and the worker reads the objects"
	tooLong := "too_large: the message takes more than 1048576 bytes once decoded: split it, or allow more with WORKER_MAX_DECODED_BYTES"
	noZstd := "encoding: the message does not decompress as zstd, as its Content-Encoding says"
	noGzip := "encoding: the message does not decompress as gzip, as its Content-Encoding says"
	for _, test := range []struct{ name, body, encoding, want string }{
		{"nothing", "", "", "syntax: the message is empty: send a JSON object, an array of objects, or one object per line"},
		{"white space", " \n ", "", "syntax: the message is empty: send a JSON object, an array of objects, or one object per line"},
		{"no JSON", "secret", "", "syntax: the message is not JSON: not an object at byte 0"},
		{"a string", `"secret"`, "", "field_type: the message is a string: send a JSON object, an array of objects, or one object per line"},
		{"an empty string", `""`, "", "field_type: the message is a string: send a JSON object, an array of objects, or one object per line"},
		{"an object in a string", `"{\"predictionId\":\"secret\"}"`, "", "field_type: the message is a string that holds JSON: it was encoded twice, so send the text within"},
		{"gzip that does not say so", gzipped(secret), "", "encoding: the message is base64 of gzip, but does not say so: send the message attribute Content-Encoding with the value gzip"},
		{"zstd that does not say so", zstandard(secret), "", "encoding: the message is base64 of zstd, but does not say so: send the message attribute Content-Encoding with the value zstd"},
		{"an event of S3", `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","s3":{"bucket":{"name":"secret"}}}]}`, "", s3Event},
		{"S3's test event", `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"secret"}`, "", s3Event},
		{"S3's test event in SNS", inSNS(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"secret"}`, ""), "", s3Event},
		{"an event of S3 from EventBridge", `{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"secret"}}}`, "", s3Event},
		{"null", `null`, "", "field_type: the message is null: send a JSON object, an array of objects, or one object per line"},
		{"a broken object", `{"predictionId":"secret","prediction":}`, "", "syntax: the message is not JSON: not a JSON value at byte 38"},
		{"NaN in a broken object over several lines", "{\"predictionId\":NaN,\n\"prediction\":}", "", "syntax: the message is not JSON: not a JSON value at byte 34"},
		{"NaN alone", "NaN", "", "syntax: the message is not JSON: not an object at byte 0"},
		{"NaN in a broken array", "[" + secret + ",{\"secret\":NaN},{]", "", "syntax: the message is not JSON: no name where an object's member starts at byte 68"},
		{"a broken object over several lines", "{\n  \"predictionId\": \"secret\",\n  \"prediction\": [\n    {\"predictionId\":\"x\",\"prediction\":1}\n    {}\n  ]\n}", "",
			"syntax: the message is not JSON: no comma or closing bracket after an array's element at byte 92"},
		{"a broken array", "[" + secret + ",\n" + secret, "", "syntax: the message is not JSON: no comma or closing bracket after an array's element at byte 103"},
		{"objects in one line", secret + secret, "", "syntax: text after the JSON object at byte 50: put several predictions into an array, or one per line"},
		{"objects over several lines", "{\"secret\":\n1}\n{\"secret\":\n1}", "", "syntax: text after the JSON object at byte 13: put several predictions into an array, or one per line"},
		{"arrays one a line", "[" + secret + "]\n[" + secret + "]", "", "syntax: the message is not JSON: text after the value at byte 53"},
		{"invalid UTF-8", "{\"predictionId\":\"secret\xff\"}", "", "syntax: the message is not valid UTF-8"},
		{"nested too deep", strings.Repeat("[", 10002) + strings.Repeat("]", 10002), "", "syntax: the message is not JSON: nested too deep at byte 10001"},
		{"too long", strings.Repeat(" ", longest) + "{", "", tooLong},
		{"too many elements", "[0" + strings.Repeat(",0", 100_000) + "]", "", "too_large: the message has more than 100000 parts: split it"},
		{"too many lines", "{}" + strings.Repeat("\n0", 100_000), "", "too_large: the message has more than 100000 parts: split it"},

		{"an unknown encoding", secret, "br, secret", "encoding: Content-Encoding is unknown: send gzip or zstd, in base64, or leave it out"},
		{"gzip without base64", "{secret}", "gzip", "encoding: the message is not base64, though its Content-Encoding is gzip: encode the compressed bytes"},
		{"base64 of another alphabet", strings.NewReplacer("+", "-", "/", "_").Replace(gzipped(secret)), "gzip",
			"encoding: the message is not base64, though its Content-Encoding is gzip: encode the compressed bytes"},
		{"base64 cut off", gzipped(secret)[:33], "gzip", noGzip},
		{"gzip cut off", gzipped(secret)[:32], "gzip", noGzip},
		{"gzip with something after it", joined(gzipped(secret), "c2VjcmV0"), "gzip", noGzip},
		{"zstd said to be gzip", zstandard(secret), "gzip", noGzip},
		{"gzip said to be zstd", gzipped(secret), "zstd", noZstd},
		{"zstd cut off", zstandard(secret)[:32], "zstd", noZstd},
		{"no compressed bytes", "", "gzip", noGzip},
		{"a gzip bomb", gzipped(strings.Repeat(" ", 4*longest)), "gzip", tooLong},
		{"a zstd bomb", zstandard(strings.Repeat(" ", 4*longest)), "zstd", tooLong},
		{"one byte too much once decompressed", gzipped(secret + strings.Repeat(" ", longest-len(secret)+1)), "gzip", tooLong},
		{"a zstd window that would take 16 MiB", zstdOf16MiBWindow(), "zstd", noZstd},
		{"compressed bytes that are not UTF-8", zstandard("{\"secret\":\"\xff\"}"), "zstd", "syntax: the decompressed message is not valid UTF-8"},

		{"SNS whose message is no string", `{"Type":"Notification","TopicArn":"secret","Message":{"secret":1}}`, "", "envelope: Message is an object: SNS delivers a string"},
		{"SNS with half a surrogate pair", `{"Type":"Notification","TopicArn":"secret","Message":"secret\ud83d"}`, "", "envelope: Message holds half of a UTF-16 surrogate pair"},
		{"SNS around nothing", inSNS("", ""), "", "syntax: the message is empty: send a JSON object, an array of objects, or one object per line"},
		{"SNS around broken base64", inSNS(secret, gzipAttribute), "", "encoding: the message is not base64, though its Content-Encoding is gzip: encode the compressed bytes"},
		{"SNS around a bomb", inSNS(gzipped(strings.Repeat(" ", 4*longest)), gzipAttribute), "", tooLong},
		{"EventBridge around a string", inEventBridge(`"secret"`), "", "field_type: the message is a string: send a JSON object, an array of objects, or one object per line"},
		{"SNS that waits for a confirmation", confirmation("SubscriptionConfirmation"), "", unconfirmed},
		{"SNS after an unsubscription", confirmation("UnsubscribeConfirmation"), "", unconfirmed},
		{"a pointer of the Extended Client", `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"secret","s3Key":"secret"}]`, "", pointer},
		{"a pointer of the older Extended Client", ` [ "com.amazon.sqs.javamessaging.MessageS3Pointer" , {"s3BucketName":"secret","s3Key":"secret"}]`, "", pointer},
		{"a pointer of the Extended Client for SNS", inSNS(`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"secret","s3Key":"secret"}]`, ""), "", pointer},
		{"SNS four times", inSNS(inSNS(inSNS(inSNS(secret, ""), ""), ""), ""), "", "envelope: Message is inside too many envelopes: unwrap them before the queue"},
		{"EventBridge four times", inEventBridge(inEventBridge(inEventBridge(inEventBridge(secret)))), "", "envelope: detail is inside too many envelopes: unwrap them before the queue"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decode(config(), Message{Body: test.body, ContentEncoding: test.encoding})
			if len(d.Rejected) != 1 || len(d.Predictions) != 0 || !d.Rejected[0].Whole || d.Rejected[0].Raw != test.body {
				t.Fatalf("found %.200q, rejected %.200q", ids(d), fmt.Sprint(reasons(d)))
			}
			checkReject(t, d.Rejected[0].Why, test.want)
		})
	}
}

func TestMaxDecodedBytes(t *testing.T) {
	body := good("a") + strings.Repeat(" ", 1<<20-len(good("a"))-PredictionBytes)
	for _, m := range []Message{{Body: body}, {Body: gzipped(body), ContentEncoding: "gzip"}, {Body: zstandard(body), ContentEncoding: "zstd"}} {
		if d := decode(config(), m); len(d.Predictions) != 1 {
			t.Errorf("%s: rejected %.200q", m.ContentEncoding, fmt.Sprint(reasons(d)))
		}
	}
}

func TestDecompressionBomb(t *testing.T) {
	bomb := gzipped(strings.Repeat(" ", 16<<20))
	decode(config(), Message{Body: bomb, ContentEncoding: "gzip"}) // makes the decompressor
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decode(config(), Message{Body: bomb, ContentEncoding: "gzip"})
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 6<<20 {
		t.Errorf("%d bytes for a limit of %d", allocated, config().MaxDecodedBytes)
	}
}

func TestDecompressorReuse(t *testing.T) {
	for range 3 {
		for encoding, pack := range map[string]func(string) string{"gzip": gzipped, "zstd": func(s string) string { return zstandard(s) }} {
			if d := decode(config(), Message{Body: pack(good("a"))[:32], ContentEncoding: encoding}); len(d.Rejected) != 1 {
				t.Fatalf("%s: found %q", encoding, ids(d))
			}
			if d := decode(config(), Message{Body: pack(good("a")), ContentEncoding: encoding}); len(d.Predictions) != 1 {
				t.Fatalf("%s: rejected %q", encoding, reasons(d))
			}
		}
	}
}

func TestReasons(t *testing.T) {
	seen := map[Reason]bool{}
	for _, r := range Reasons {
		if seen[r] || r == "" || strings.ToLower(string(r)) != string(r) {
			t.Errorf("reason %q", r)
		}
		seen[r] = true
	}
	for o := range NumOutcomes {
		if o.String() == "" {
			t.Errorf("outcome %d has no name", o)
		}
	}
}

// A Reject of one part can stand for a whole message, whose decoded text is then free.
func TestReject_keeps_no_text_of_message(t *testing.T) {
	body := `[{"predictionId":"a","prediction":1,"model":1,"model":2}]`
	d := decode(config(), Message{Body: body})
	if len(d.Rejected) != 1 || d.Rejected[0].Why.Field != "model" {
		t.Fatalf("rejected %q", reasons(d))
	}
	text, field := unsafe.StringData(body), unsafe.StringData(d.Rejected[0].Why.Field)
	if offset := uintptr(unsafe.Pointer(field)) - uintptr(unsafe.Pointer(text)); offset < uintptr(len(body)) {
		t.Errorf("the field is byte %d of the message's text", offset)
	}
}

// Anybody may set the attribute predcache.sentTimestamp. With 1, a prediction without an event time had expired in 1970, and its
// message was deleted as done.
func TestSentTime_before_any_clock_is_rejected(t *testing.T) {
	cfg := config()
	cfg.MinEventTime = Time{Sec: 946684800}
	d := decode(cfg, Message{Body: good("a"), Sent: 1})
	if len(d.Predictions) != 0 || len(d.Rejected) != 1 || d.Rejected[0].Why.Reason != ReasonPast {
		t.Errorf("found %q, rejected %q", ids(d), reasons(d))
	}
}

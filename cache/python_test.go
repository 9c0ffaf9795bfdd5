package cache_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/backend"
	"github.com/predcache/predcache/internal/item"
)

// python finds an interpreter with boto3, and with zstandard if wanted; dev/standins/install.sh makes one.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	for _, name := range []string{"../.cache/standins/reader/bin/python", "python3"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if path, err = filepath.Abs(path); err == nil && exec.CommandContext(t.Context(), path, "-c", "import "+strings.Join(modules, ", ")).Run() == nil {
			return path
		}
	}
	if os.Getenv("PREDCACHE_REQUIRE_STANDINS") == "1" {
		t.Fatalf("no Python with %v: run dev/standins/install.sh", modules)
	}
	t.Skipf("no Python with %v", modules)
	return ""
}

// guide is the Python of docs/reading.md.
func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/reading.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, block := range regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		code.WriteString(block[1] + "\n")
	}
	return code.String()
}

// runPython runs the guide's code and then main, with the backend as its AWS, and returns what it prints.
func runPython(t *testing.T, interpreter string, b backend.Services, main string, args ...string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "main.py")
	if err := os.WriteFile(script, []byte(guide(t)+"\nimport sys\nimport boto3\n"+main), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), interpreter, append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_CONFIG_FILE="+os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_ENDPOINT_URL_DYNAMODB="+b.DynamoDBEndpoint, "AWS_ENDPOINT_URL_SQS="+b.SQSEndpoint, "NO_PROXY=127.0.0.1")
	out, err := cmd.Output()
	if err != nil {
		detail := ""
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it as it is
			detail = string(exit.Stderr)
		}
		t.Fatalf("%v\n%s", err, detail)
	}
	return string(out)
}

func TestTheGuidesPythonReadsWhatTheWorkerWrote(t *testing.T) {
	interpreter := python(t, "boto3", "zstandard")
	overTheWire(t, func(t *testing.T, s *store) {
		if s.hash == item.TypeN || s.unit != 1 {
			t.Skip("the guide's code is for the design's own names")
		}
		now := time.Now()
		long := fmt.Sprintf(`{"digits":0.12345678901234567890,"words":%q}`, strings.Repeat("no man is an island ", 200))
		var ids []string
		for i, encoding := range []item.Encoding{item.JSON, item.Map, item.Zstd} {
			id := s.id(i)
			ids = append(ids, id)
			s.encode(t, encoding)
			s.put(t, s.message(id, now.Add(-3*time.Hour), 8*time.Hour, `"an older one that lives longer"`, ""), s.message(id, now.Add(-time.Hour), 2*time.Hour, long, ""))
			if s.kind != item.LatestOnly {
				s.put(t, s.message(id, now.Add(-time.Hour/2), time.Minute, `"over"`, ""))
			}
		}
		s.put(t, s.message("over", now.Add(-time.Hour), time.Minute, `"over"`, ""))
		get := map[item.Kind]string{item.Versioned: "get_versioned", item.ExpirySorted: "get_expiry_sorted", item.LatestOnly: "get_latest_only"}[s.kind]
		out := runPython(t, interpreter, s.backend, `
table = boto3.resource("dynamodb").Table(sys.argv[1])
for prediction_id in sys.argv[2:]:
    item = `+get+`(table, prediction_id)
    result = None if item is None else payload(item)
    print(json.dumps(None if result is None else {"digits": str(result["digits"]), "words": result["words"]}))
`, append([]string{s.table}, append(ids, "over", "nobody")...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 5 || lines[3] != "null" || lines[4] != "null" {
			t.Fatalf("got %.300s", out)
		}
		for i, line := range lines[:3] {
			var got struct{ Digits, Words string }
			if err := json.Unmarshal([]byte(line), &got); err != nil || got.Digits != "0.12345678901234567890" && got.Digits != "0.1234567890123456789" || len(got.Words) != 4000 {
				t.Errorf("%d: %.100s, %v", i, line, err)
			}
		}
	})
}

func TestTheGuidesPythonReadsTheContractsVectors(t *testing.T) {
	interpreter := python(t, "boto3", "zstandard")
	files, err := filepath.Glob("../contract/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	out := runPython(t, interpreter, backend.Services{}, `
import base64
from boto3.dynamodb.types import TypeDeserializer

read = 0
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        vectors = json.load(file, parse_float=Decimal)
    for vector in vectors:
        for item, want in zip(vector.get("items", []), vector.get("reads", [])):
            for value in item.values():
                if "N" in value:  # as DynamoDB returns it
                    value["N"] = str(Decimal(value["N"]).normalize())
                if "B" in value:
                    value["B"] = base64.b64decode(value["B"])
            got = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
            if payload(got) != want["prediction"] or str(got["predictionId"]) not in (want["predictionId"], str(Decimal(want["predictionId"]).normalize()) if "N" in item["predictionId"] else "") or got["createdAt"] != Decimal(want["createdAt"]):
                sys.exit(f"{name}: {vector['name']}: read {payload(got)!r}, want {want}")
            read += 1
print(read)
`, files...)
	if n, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || n < 50 {
		t.Errorf("read %s items, %v", out, err)
	}
}

func TestTheGuidesPythonPublishes(t *testing.T) {
	interpreter := python(t, "boto3")
	for _, b := range backend.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			if b.FakeSQS != nil { // an entry in three fails the first time
				b.FakeSQS.SetFault(func(c *awstest.Call) awstest.Fault {
					return awstest.Fault{FailEntry: func(i int, _ awstest.Entry) *awstest.EntryError {
						if c.Operation == "SendMessageBatch" && c.N < 4 && i%3 == 0 {
							return &awstest.EntryError{Code: "InternalError"}
						}
						return nil
					}}
				})
			}
			queue := b.CreateQueue(t, nil)
			runPython(t, interpreter, b, `
queue = boto3.resource("sqs").Queue(sys.argv[1])
publish(queue, [{"predictionId": f"user-{i}", "prediction": {"n": i}, "model": "m"} for i in range(25)])
`, queue)
			if b.FakeSQS != nil {
				b.FakeSQS.SetFault(nil)
			}
			ids := map[string]bool{}
			for len(ids) < 25 {
				out, err := b.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
				if err != nil || len(out.Messages) == 0 {
					t.Fatalf("%d of 25, %v", len(ids), err)
				}
				for _, m := range out.Messages {
					var p struct {
						PredictionID string
						Timestamp    float64
					}
					if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &p); err != nil || time.Since(time.UnixMilli(int64(1000*p.Timestamp))).Abs() > time.Minute {
						t.Fatalf("%s: %v", *m.Body, err)
					}
					ids[p.PredictionID] = true
				}
			}
		})
	}
}

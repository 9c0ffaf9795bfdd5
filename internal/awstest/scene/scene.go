// Package scene is an afternoon at a worker, for tests that look at it from outside: fakes of SQS and DynamoDB that listen
// on loopback, the real worker as a process of its own, a load like a pipeline's, and trouble on demand.
package scene

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
)

// A Scene is running services and a running worker.
type Scene struct {
	SQS      *sqsfake.Service
	DynamoDB *dynamodbfake.Service
	HTTP     string // the address of the worker's metrics
	Admin    string // the address of its status page

	servers []*http.Server
	worker  *exec.Cmd
	trouble atomic.Int32
}

// Trouble is what is wrong with the table.
type Trouble int32

// The troubles.
const (
	None      Trouble = iota
	Throttled         // it takes a third of what it is asked to
	Denied            // it answers AccessDeniedException
)

// The queues and the table.
const (
	Queue   = "predictions"
	Rejects = "predictions-rejects"
	Table   = "predictions"
)

// Build builds the worker of this module into a folder.
func Build(ctx context.Context, into string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	path := filepath.Join(into, "worker")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/worker")
	build.Dir = filepath.Join(filepath.Dir(file), "..", "..", "..")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/worker: %w\n%s", err, output)
	}
	return path, nil
}

// Start starts the services, and the worker of the path with settings of its own. It logs to log.
func Start(path string, log io.Writer, settings ...string) (*Scene, error) {
	s := &Scene{SQS: sqsfake.New(), DynamoDB: dynamodbfake.New()}
	s.SQS.SetRecording(false)
	s.DynamoDB.SetRecording(false)
	s.SQS.CreateQueue(Queue, map[string]string{"VisibilityTimeout": "60"})
	s.SQS.CreateQueue(Rejects, nil)
	if err := s.createTable(); err != nil {
		return nil, err
	}
	s.SQS.SetFault(func(*awstest.Call) awstest.Fault { return awstest.Fault{Delay: latency(2, 5)} })
	s.DynamoDB.SetFault(s.fault)
	queues, err := s.serve(s.SQS)
	if err != nil {
		return nil, err
	}
	tables, err := s.serve(s.DynamoDB)
	if err != nil {
		return nil, err
	}
	if s.HTTP, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.Admin, err = freeAddress(); err != nil {
		return nil, err
	}
	s.worker = exec.Command(path, "run")
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AWS_") && !strings.HasPrefix(variable, "WORKER_") && !strings.HasPrefix(variable, "OTEL_") {
			s.worker.Env = append(s.worker.Env, variable)
		}
	}
	s.worker.Env = append(append(s.worker.Env,
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_ENDPOINT_URL_SQS="+queues, "AWS_ENDPOINT_URL_DYNAMODB="+tables,
		"WORKER_QUEUE_URL="+queues+"/000000000000/"+Queue, "WORKER_REJECT_QUEUE_URL="+queues+"/000000000000/"+Rejects,
		"WORKER_TABLE_NAME="+Table, "WORKER_HTTP_ADDR="+s.HTTP, "WORKER_ADMIN_ADDR="+s.Admin, "WORKER_RECEIVE_WAIT=2s",
	), settings...)
	s.worker.Stdout, s.worker.Stderr = log, log
	s.worker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.worker.Start(); err != nil {
		return nil, fmt.Errorf("starting the worker: %w", err)
	}
	return s, nil
}

func (s *Scene) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // it ends with Close
	return "http://" + l.Addr().String(), nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *Scene) createTable() error {
	client, ctx := s.DynamoDB.Client(), context.Background()
	if _, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String(Table), BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("predictionId"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("timestamp"), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("predictionId"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("timestamp"), AttributeType: types.ScalarAttributeTypeN},
		},
	}); err != nil {
		return fmt.Errorf("creating the table: %w", err)
	}
	_, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(Table), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)},
	})
	return err
}

// Stop ends the worker as an orchestrator does, and then the services.
func (s *Scene) Stop() error {
	_ = s.worker.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(30*time.Second, func() { _ = s.worker.Process.Kill() })
	defer timer.Stop()
	err := s.worker.Wait()
	s.SQS.Close()
	s.DynamoDB.Close()
	for _, server := range s.servers {
		_ = server.Close()
	}
	return err
}

// Ready waits until the worker consumes.
func (s *Scene) Ready(ctx context.Context) error {
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+"/readyz", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

// SetTrouble sets what is wrong with the table from now on.
func (s *Scene) SetTrouble(t Trouble) { s.trouble.Store(int32(t)) }

// latency is how long a call takes: mostly near the least, sometimes much longer, as services do.
func latency(least, typical float64) time.Duration {
	ms := least + rand.ExpFloat64()*(typical-least)
	return time.Duration(min(ms, 40*typical) * float64(time.Millisecond))
}

func (s *Scene) fault(c *awstest.Call) awstest.Fault {
	f := awstest.Fault{Delay: latency(5, 11)}
	if c.Operation != "BatchWriteItem" {
		return f
	}
	switch Trouble(s.trouble.Load()) {
	case Denied:
		f.Err = awstest.AccessDenied("BatchWriteItem")
	case Throttled:
		if rand.Float64() < .4 {
			f.Err = dynamodbfake.ProvisionedThroughputExceeded()
		} else {
			f.Unprocessed = func(int, awstest.Entry) bool { return rand.Float64() < .6 }
		}
	case None:
		if rand.Float64() < .02 {
			f.Unprocessed = func(int, awstest.Entry) bool { return rand.Float64() < .1 }
		}
	}
	return f
}

// Load sends about so many predictions a second until ctx is done, in waves. About one in six repeats an earlier one, one in
// twelve is a stale version, and one in 150 can't be stored.
func (s *Scene) Load(ctx context.Context, perSecond float64) {
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

// broken is what publishers get wrong.
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

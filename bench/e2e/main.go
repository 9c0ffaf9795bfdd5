// Command e2e measures the worker against the loop in bench/afternoon: both as processes of their own, on the same fakes in a
// third, by the same workloads, in pairs that take turns. It prints medians and the ratios of the two.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/workertest/process"
)

// The prices of us-east-1, in dollars a million: write request units (on demand) and SQS requests (standard queue).
const (
	unitPrice    = 0.625
	requestPrice = 0.40
)

func workloads(n int) []workload {
	return []workload{
		{Name: "distinct", Messages: n},
		{Name: "repeats", Messages: n, Repeats: 0.3},
		{Name: "zipf", Messages: n, Zipf: true, LatestOnly: true},
		{Name: "unprocessed", Messages: n, Unprocessed: 0.05},
		{Name: "packed", Messages: n / 10, Pack: 40},
		{Name: "bill", Messages: n / 2, Ranking: true, Repeats: 0.3, Zstd: true},
	}
}

// options are the flags of what to measure.
type options struct {
	messages, rounds int
	only, programs   string
	soak             time.Duration
	rate             float64
	seconds          int
	latency          string
	warm, objects    int
	formats          string
}

func main() {
	log.SetFlags(0)
	var o options
	flag.IntVar(&o.messages, "messages", 40_000, "messages of a run")
	flag.IntVar(&o.rounds, "rounds", 5, "paired runs of a workload")
	flag.StringVar(&o.only, "only", "", "comma-separated workloads, else all; with -rate, else distinct")
	flag.StringVar(&o.programs, "programs", "loop,worker", "what to run")
	flag.DurationVar(&o.soak, "soak", 0, "run the worker for this long at -rate, and print its use of resources every minute")
	flag.Float64Var(&o.rate, "rate", 0, "send this many messages a second, and measure their ages")
	flag.IntVar(&o.seconds, "seconds", 15, "length of a run at a rate")
	flag.StringVar(&o.latency, "added-latency", "", "WORKER_MAX_ADDED_LATENCY of the worker")
	flag.IntVar(&o.warm, "warm", 0, "measure only `worker warm`, with files of this many rows")
	flag.IntVar(&o.objects, "objects", 0, "measure only objects of S3 of this many rows; with -rate, beside streamed messages")
	flag.StringVar(&o.formats, "formats", "ndjson,json,csv,gzip,zstd,parquet", "formats of the files")
	var (
		dir     = flag.String("bin", "bin", "where the programs are: worker, afternoon")
		env     = flag.String("env", "", "further settings of the worker, A=1,B=2")
		profile = flag.String("profile", "", "write a CPU profile of each run of the worker to this file")
		worker  = flag.String("worker", "worker", "the worker's name in the folder of programs")
	)
	flag.Parse()
	if flag.Arg(0) == "fake" {
		if err := serveFake(); err != nil {
			log.Fatal(err)
		}
		return
	}
	b, err := startFake(*dir, *worker, *env, *profile)
	if err != nil {
		log.Fatal(err)
	}
	defer b.stop()
	if err := b.measure(o); err != nil {
		log.Fatal(err)
	}
}

// measure runs the workloads that the options select, and prints their table, or runs the soak test.
func (b *bench) measure(o options) error {
	if o.soak > 0 {
		if o.rate == 0 {
			return errors.New("-soak needs -rate, in messages a second")
		}
		return b.soak(workload{Name: "soak", Messages: 30_000, Rate: o.rate, Soak: o.soak, Unprocessed: 0.01})
	}
	if o.warm > 0 {
		return b.warm(o.warm, strings.Split(o.formats, ","), o.rounds)
	}
	if o.objects > 0 {
		return b.objects(o.objects, strings.Split(o.formats, ","), o.rounds, o.rate)
	}
	all := workloads(o.messages)
	if o.rate > 0 {
		if o.only == "" {
			o.only = "distinct"
		}
		for i := range all {
			all[i].Messages, all[i].Rate = int(o.rate*float64(o.seconds)), o.rate
		}
	}
	var rows []row
	for _, w := range all {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+w.Name+",") {
			continue
		}
		w.AddedLatency = o.latency
		measured, err := b.pairs(w, strings.Split(o.programs, ","), o.rounds)
		if err != nil {
			return err
		}
		rows = append(rows, measured...)
	}
	printTable(os.Stdout, rows)
	return nil
}

// pairs runs the programs in turn on one workload, and returns a row of medians for each.
func (b *bench) pairs(w workload, programs []string, rounds int) ([]row, error) {
	results := map[string][]result{}
	for range rounds {
		for _, program := range programs {
			if program == "loop" && w.Pack > 0 {
				continue // the loop reads one prediction a message: packing is compared with its distinct keys
			}
			r, err := b.run(program, w)
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", program, w.Name, err)
			}
			results[program] = append(results[program], r)
			fmt.Fprintf(os.Stderr, "%-12s %-7s %6.1f us  %6.0f/s\n", w.Name, program, r.cpu, r.throughput)
		}
	}
	var rows []row
	for _, program := range programs {
		if len(results[program]) > 0 {
			rows = append(rows, row{w.Name, program, median(results[program])})
		}
	}
	return rows, nil
}

// A bench runs programs against the fake.
type bench struct {
	fake        *exec.Cmd
	end         io.Closer
	url         string
	dir, worker string
	profile     string
	env         []string
}

func startFake(dir, worker, env, profile string) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "fake")
	cmd.Env = append(os.Environ(), "GOGC=400") // collect rarely: the fake must not disturb the measurement
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, err
	}
	b := &bench{fake: cmd, end: stdin, url: "http://" + strings.TrimSpace(address), dir: dir, worker: worker, profile: profile}
	if env != "" {
		b.env = strings.Split(env, ",")
	}
	return b, nil
}

func (b *bench) stop() {
	b.end.Close()
	b.fake.Wait()
}

// call calls an operation of the fake.
func (b *bench) call(operation string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, b.url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-Amz-Target", "Bench."+operation)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(out)
}

// A result is one run of one program.
type result struct {
	cpu        float64 // microseconds a prediction
	throughput float64 // predictions a second
	resident   float64 // peak, in MiB
	requests   float64 // of SQS, a message
	units      float64 // a prediction
	dollars    float64 // a million predictions
	items      float64 // a BatchWriteItem
	p50, p99   float64 // milliseconds from sent to durable, at a rate
	lost       float64 // predictions that are not stored, and no newer version either
	stale      float64 // keys whose stored version is not the newest
}

// start loads a workload and starts a program. It returns when the program receives: the workload can then be opened. The
// caller kills the program.
func (b *bench) start(program string, w workload, s *stats) (*process.Process, error) {
	if err := b.call("Load", w, s); err != nil {
		return nil, err
	}
	c := process.Config{Path: b.dir + "/" + b.worker, Log: newTail(program)}
	if program == "loop" {
		c.Path, c.Args = b.dir+"/afternoon", []string{}
	}
	c.Settings = append([]string{
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIDBENCH", "AWS_ENDPOINT_URL=" + b.url,
		"QUEUE_URL=" + b.url + "/000000000000/predictions", "TABLE_NAME=predictions",
		"WORKER_QUEUE_URL=" + b.url + "/000000000000/predictions", "WORKER_TABLE_NAME=predictions", "WORKER_LOG_LEVEL=warn",
	}, b.env...)
	if b.profile == "" {
		c.Settings = append(c.Settings, "WORKER_ADMIN_ADDR=")
	}
	if w.Zstd {
		c.Settings = append(c.Settings, "WORKER_PAYLOAD_ENCODING=zstd")
	}
	if w.AddedLatency != "" {
		c.Settings = append(c.Settings, "WORKER_MAX_ADDED_LATENCY="+w.AddedLatency)
	}
	p, err := process.Start(c)
	if err != nil {
		return nil, err
	}
	if err := b.await(s, func() bool { return s.Receives > 0 }, 20*time.Second); err != nil {
		p.Kill()
		return nil, fmt.Errorf("it doesn't receive: %w", err)
	}
	return p, nil
}

// run measures one program on one workload.
func (b *bench) run(program string, w workload) (result, error) {
	var s stats
	p, err := b.start(program, w, &s)
	if err != nil {
		return result{}, err
	}
	defer p.Kill()
	before := s
	cpu := p.CPUTime()
	if err := b.call("Open", w, &s); err != nil {
		return result{}, err
	}
	if b.profile != "" && program == "worker" {
		defer b.saveProfile(p.Admin)()
	}
	quiet := time.Now()
	deleted := 0
	done := func() bool {
		if s.Deleted != deleted || s.Ready > 0 {
			deleted, quiet = s.Deleted, time.Now()
		}
		// The loop leaves some messages undeleted for ever: then it is done when it has received each once.
		return s.Deleted == s.Messages || s.Received == s.Messages && time.Since(quiet) > 2*time.Second
	}
	limit := 2 * time.Minute
	if w.Rate > 0 {
		limit += time.Duration(float64(w.Messages) / w.Rate * float64(time.Second))
	}
	if err := b.await(&s, done, limit); err != nil {
		return result{}, err
	}
	spent := p.CPUTime() - cpu
	_, peak := p.Resident()
	if err := b.call("Results", nil, &s); err != nil {
		return result{}, err
	}
	predictions := float64(s.Predictions)
	chunks := float64(s.RequestChunks - before.RequestChunks)
	return result{
		cpu:        spent.Seconds() * 1e6 / predictions,
		throughput: float64(s.Items+s.Predictions-s.Items) / s.LastWrite.Sub(s.Opened).Seconds(),
		resident:   float64(peak) / (1 << 20),
		requests:   float64(s.Receives+s.DeleteCalls) / float64(s.Messages),
		units:      s.Units / predictions,
		items:      float64(s.Items+s.Unprocessed) / float64(max(s.Writes, 1)),
		dollars:    (s.Units*unitPrice + chunks*requestPrice) / predictions,
		p50:        s.AgeP50 * 1000, p99: s.AgeP99 * 1000,
		lost:  float64(s.Expected - s.Durable),
		stale: float64(s.Stale),
	}, nil
}

// saveProfile profiles the worker's CPU for six seconds, and then its heap. The function it returns waits for both.
func (b *bench) saveProfile(admin string) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, p := range []struct{ path, file string }{{"profile?seconds=6", b.profile}, {"heap", b.profile + ".heap"}} {
			if err := save("http://"+admin+"/debug/pprof/"+p.path, p.file); err != nil {
				log.Print(err)
			}
		}
	}()
	return func() { <-done }
}

func save(url, file string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// await polls the fake's stats into s until done returns true, or fails after limit.
func (b *bench) await(s *stats, done func() bool, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if err := b.call("Stats", nil, s); err != nil {
			return err
		}
		if done() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not done in %v: %+v", limit, *s)
		}
	}
}

// tail prints the first lines of a program's standard error.
type tail struct {
	program string
	left    int
}

func newTail(program string) *tail { return &tail{program, 3} }

func (t *tail) Write(p []byte) (int, error) {
	if t.left > 0 {
		t.left--
		fmt.Fprintf(os.Stderr, "  %s: %s", t.program, p)
	}
	return len(p), nil
}

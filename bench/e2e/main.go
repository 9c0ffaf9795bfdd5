// Command e2e measures the worker against the loop in bench/afternoon: both as processes of their own, on the same fakes in a
// third, by the same workloads, in pairs that take turns. It prints medians and the ratios of the two.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
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

func main() {
	log.SetFlags(0)
	var (
		messages = flag.Int("messages", 40_000, "messages of a run")
		rounds   = flag.Int("rounds", 5, "paired runs of a workload")
		only     = flag.String("only", "", "comma-separated workloads, else all")
		programs = flag.String("programs", "loop,worker", "what to run")
		dir      = flag.String("bin", "bin", "where the programs are: worker, afternoon")
		soak     = flag.Duration("soak", 0, "have the worker work for so long at -rate, and print each minute what it takes")
		rate     = flag.Float64("rate", 0, "measure ages and requests at this many messages a second, and nothing else")
		seconds  = flag.Int("seconds", 15, "length of a run at a rate")
		latency  = flag.String("added-latency", "", "WORKER_MAX_ADDED_LATENCY of the worker")
		env      = flag.String("env", "", "further settings of the worker, A=1,B=2")
		profile  = flag.String("profile", "", "write a CPU profile of each run of the worker to this file")
		worker   = flag.String("worker", "worker", "the worker's name in the folder of programs")
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
	if *soak > 0 {
		if *rate == 0 {
			log.Fatal("-soak needs -rate, in messages a second")
		}
		if err := b.soak(workload{Name: "soak", Messages: 30_000, Rate: *rate, Soak: *soak, Unprocessed: 0.01}); err != nil {
			log.Fatal(err)
		}
		return
	}
	all := workloads(*messages)
	if *rate > 0 {
		all = []workload{{Name: fmt.Sprintf("%g a second", *rate), Messages: int(*rate * float64(*seconds)), Rate: *rate, AddedLatency: *latency}}
	}
	var rows []row
	for _, w := range all {
		if *only != "" && !strings.Contains(","+*only+",", ","+w.Name+",") {
			continue
		}
		results := map[string][]result{}
		for range *rounds {
			for _, program := range strings.Split(*programs, ",") {
				if program == "loop" && w.Pack > 0 {
					continue // it knows one prediction a message: its distinct keys are what packing is compared with
				}
				r, err := b.run(program, w)
				if err != nil {
					log.Fatalf("%s on %s: %v", program, w.Name, err)
				}
				results[program] = append(results[program], r)
				fmt.Fprintf(os.Stderr, "%-12s %-7s %6.1f us  %6.0f/s\n", w.Name, program, r.cpu, r.throughput)
			}
		}
		for _, program := range strings.Split(*programs, ",") {
			if len(results[program]) == 0 {
				continue
			}
			rows = append(rows, row{w.Name, program, median(results[program])})
		}
	}
	printTable(os.Stdout, rows)
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
	cmd.Env = append(os.Environ(), "GOGC=400") // it shall disturb little
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

// call asks the fake something.
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
	resident   float64 // MiB, at the most
	requests   float64 // of SQS, a message
	units      float64 // a prediction
	dollars    float64 // a million predictions
	items      float64 // a BatchWriteItem
	p50, p99   float64 // milliseconds from sent to durable, at a rate
	lost       float64 // predictions of which neither they nor a newer version are stored
	stale      float64 // keys whose newest version is not what is stored
}

// start starts a program for a workload, which is ready to be opened once the program receives. The caller kills it.
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
		return nil, fmt.Errorf("it does not start: %w", err)
	}
	return p, nil
}

// run has a program work through a workload.
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
		// The loop leaves messages undeleted for ever: it has had them all once then.
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

// saveProfile profiles the worker's CPU for six seconds, and then its heap; the function that it returns waits for the end.
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

// await asks the fake until done.
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

// tail prints the first lines of what a program says on its standard error.
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

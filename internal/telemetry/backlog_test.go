package telemetry

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

// A backlogWorld is a worker for a while, second by second.
type backlogWorld struct {
	*Metrics
	log  strings.Builder
	stop context.CancelFunc
}

func newBacklogWorld(t *testing.T, latency time.Duration) *backlogWorld {
	w := &backlogWorld{}
	w.Metrics = NewMetrics(Options{
		Now: time.Now, Health: NewHealth(slog.New(slog.NewTextHandler(&w.log, nil))),
		Limits: Limits{Pollers: 8, Age: BehindAge(latency)},
	})
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() { _ = w.WatchBehind(ctx) }()
	return w
}

// during lets a time pass in which perSecond predictions of an age are written a second, and waiting messages are in the queue. A
// negative number of them is not known.
func (w *backlogWorld) during(d time.Duration, perSecond int, age time.Duration, waiting int) {
	for begin := time.Now(); time.Since(begin) < d; time.Sleep(time.Second) {
		for range perSecond {
			w.Outcome(prediction.Written, 1, time.Now().Add(-age).UnixMilli())
		}
		if waiting >= 0 {
			w.Backlog(waiting, 100)
		}
	}
	synctest.Wait()
}

func TestBehind(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for name, test := range map[string]struct {
		latency time.Duration
		run     func(w *backlogWorld)
		want    bool
	}{
		"a worker that keeps up":              {0, func(w *backlogWorld) { w.during(time.Minute, 100, time.Second, 70) }, false},
		"a long queue that moves":             {0, func(w *backlogWorld) { w.during(time.Minute, 100, 20*time.Second, 40_000) }, false},
		"old predictions from a long queue":   {0, func(w *backlogWorld) { w.during(11*time.Second, 100, 3*time.Minute, 2_200_000) }, true},
		"old predictions of an unknown queue": {0, func(w *backlogWorld) { w.during(time.Minute, 100, 3*time.Minute, -1) }, true},
		"rejects that were sent back":         {0, func(w *backlogWorld) { w.during(time.Minute, 100, week, 60) }, false},
		"a few that were redelivered": {0, func(w *backlogWorld) {
			for range 30 {
				w.during(time.Second, 90, time.Second, 500)
				w.during(time.Second, 10, time.Hour, 500)
			}
		}, false},
		"an idle worker":                     {0, func(w *backlogWorld) { w.during(time.Hour, 0, 0, 0) }, false},
		"within ten times the added latency": {20 * time.Second, func(w *backlogWorld) { w.during(time.Minute, 100, 150*time.Second, 5000) }, false},
		"beyond ten times the added latency": {20 * time.Second, func(w *backlogWorld) { w.during(2*time.Minute, 100, 301*time.Second, 5000) }, true},
		"nearly caught up": {0, func(w *backlogWorld) {
			w.during(time.Minute, 100, 3*time.Minute, 5000)
			w.during(2*time.Minute, 100, 40*time.Second, 4000)
		}, true},
		"caught up by age": {0, func(w *backlogWorld) {
			w.during(time.Minute, 100, 3*time.Minute, 5000)
			w.during(2*time.Minute, 100, 10*time.Second, 1000)
		}, false},
		"back to the age between": {0, func(w *backlogWorld) {
			w.during(time.Minute, 100, 3*time.Minute, 5000)
			w.during(2*time.Minute, 100, 10*time.Second, 1000)
			w.during(2*time.Minute, 100, 40*time.Second, 4000)
		}, false},
		"caught up by the queue": {0, func(w *backlogWorld) {
			w.during(time.Minute, 100, 3*time.Minute, 5000)
			w.during(15*time.Second, 100, 3*time.Minute, 12)
		}, false},
		"an outage while behind": {0, func(w *backlogWorld) {
			w.during(time.Minute, 100, 3*time.Minute, 5000)
			w.during(5*time.Minute, 0, 0, 9000)
		}, true},
		"an outage before": {0, func(w *backlogWorld) { w.during(10*time.Minute, 0, 0, 9000) }, false},
		"nothing to write, of an unknown queue": {0, func(w *backlogWorld) {
			w.during(time.Minute, 100, 3*time.Minute, -1)
			w.during(2*time.Minute, 0, 0, -1)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBacklogWorld(t, test.latency)
				defer w.stop()
				time.Sleep(500 * time.Millisecond) // never at a tick
				test.run(w)
				v := w.Values(time.Now())
				conditions, _ := w.health.Conditions()
				if v.Behind != test.want || (len(conditions) == 1) != test.want {
					t.Fatalf("behind: %v; conditions: %v", v.Behind, conditions)
				}
				if test.want && (conditions[0].Part != PartBacklog || !conditions[0].Warning || !strings.HasPrefix(conditions[0].Remedy, behindRemedy)) {
					t.Errorf("%+v", conditions[0])
				}
			})
		})
	}
}

// The beginning and the end of a backlog are one line of the log each.
func TestBehindIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBacklogWorld(t, 0)
		defer w.stop()
		time.Sleep(500 * time.Millisecond)
		w.during(50*time.Second, 100, 3*time.Minute, 2_200_000)
		w.during(2*time.Minute, 100, time.Second, 10)
		lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "are older than 3m") || !strings.Contains(lines[0], "2200000 messages wait in the queue") || !strings.Contains(lines[1], "recovered") {
			t.Errorf("logged %q", lines)
		}
	})
}

// Trends of the queue, from the approximate numbers that SQS gives.
func TestBacklogTrend(t *testing.T) {
	line := func(from, perSecond, fluctuation float64) func(time.Duration) int {
		noise := rand.New(rand.NewPCG(1, 2))
		return func(at time.Duration) int {
			return max(0, int(from+perSecond*at.Seconds()+fluctuation*noise.NormFloat64()))
		}
	}
	const unknown = math.MaxFloat64
	for name, test := range map[string]struct {
		every, lasts time.Duration
		waiting      func(time.Duration) int
		want, within float64       // of Change
		left         time.Duration // 0: it does not catch up
	}{
		"one number":               {time.Minute, 0, line(1000, 0, 0), unknown, 0, 0},
		"less than a minute":       {10 * time.Second, 50 * time.Second, line(1000, -10, 0), unknown, 0, 0},
		"shrinking":                {10 * time.Second, 3 * time.Minute, line(100_000, -200, 0), -200, 1, 320 * time.Second},
		"shrinking, read rarely":   {time.Minute, time.Minute, line(100_000, -200, 0), -200, 1, 440 * time.Second},
		"shrinking, and noisy":     {10 * time.Second, 5 * time.Minute, line(100_000, -200, 2000), -200, 30, 200 * time.Second},
		"growing":                  {10 * time.Second, 3 * time.Minute, line(100_000, 350, 1000), 350, 30, 0},
		"neither, and noisy":       {10 * time.Second, 5 * time.Minute, line(100_000, 0, 3000), 0, 0, 0},
		"hardly shrinking":         {10 * time.Second, 5 * time.Minute, line(2_000_000, -2, 0), -2, .1, 0},
		"empty":                    {10 * time.Second, 5 * time.Minute, line(0, 0, 0), 0, 0, 0},
		"a burst, then it shrinks": {10 * time.Second, 20 * time.Minute, line(1_000_000, -500, 0), -500, 1, 800 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := NewMetrics(Options{Now: time.Now})
				for at := time.Duration(0); ; at += test.every {
					m.Backlog(test.waiting(at), 7)
					if at == test.lasts {
						break
					}
					time.Sleep(test.every)
				}
				b := m.Values(time.Now()).Backlog
				if known := !math.IsNaN(b.Change); known != (test.want != unknown) || known && math.Abs(b.Change-test.want) > test.within {
					t.Errorf("it changes by %v a second, want %v", b.Change, test.want)
				}
				left, catchesUp := b.CatchUp()
				if catchesUp != (test.left > 0) || catchesUp && math.Abs((left-test.left).Seconds()) > .2*test.left.Seconds() {
					t.Errorf("caught up in %v (%v), want %v", left, catchesUp, test.left)
				}
				time.Sleep(backlogLasts + time.Second)
				if b := m.Values(time.Now()).Backlog; b != nil {
					t.Errorf("an old number is shown as current: %+v", b)
				}
			})
		})
	}
}

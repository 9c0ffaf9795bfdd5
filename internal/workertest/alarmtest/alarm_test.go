package alarmtest

import (
	"maps"
	"math"
	"slices"
	"testing"
)

func load(t *testing.T) []Alarm {
	t.Helper()
	alarms, err := Load("../../../deployments/cloudwatch/alarms.json")
	if err != nil {
		t.Fatal(err)
	}
	return alarms
}

// line adds a line of a worker, with what differs from an idle one's.
func line(m Minute, differs map[string]float64) {
	all := map[string]float64{
		"Received": 0, "Written": 0, "Skipped": 0, "Expired": 0, "Rejected": 0, "Calls": 3, "FailedCalls": 0, "Throttled": 0, "Dollars": 0,
		"Pending": 0, "HeldPercent": 0.1, "TableDown": 0, "Ready": 1, "Attention": 0,
	}
	for metric, v := range differs {
		all[metric] = v
	}
	for metric, v := range all {
		if !math.IsNaN(v) {
			m.Worker(metric, v)
		}
	}
}

type differs = map[string]float64

// fleet returns an hour of minutes, made one by one.
func fleet(fill func(i int, m Minute)) []Minute {
	minutes := make60()
	for i := range minutes {
		fill(i, minutes[i])
	}
	return minutes
}

func make60() []Minute {
	minutes := make([]Minute, 60)
	for i := range minutes {
		minutes[i] = Minute{}
	}
	return minutes
}

func ages(m Minute, seconds float64) {
	for range 100 {
		m.Worker("Age", seconds)
	}
}

// busy is the line of a worker at a thousand predictions a second.
var busy = differs{"Received": 60_000, "Written": 58_000, "Skipped": 2_000, "Calls": 14_000, "Dollars": 0.04, "Pending": 40, "HeldPercent": 12}

// outage is one of a worker that finds the table down: it receives nothing, and tries a batch twice a minute.
var outage = differs{"TableDown": 1, "Ready": 0, "Calls": 2, "FailedCalls": 2, "Pending": 300, "HeldPercent": 40}

func with(line, more differs) differs {
	out := differs{}
	for _, d := range []differs{line, more} {
		for k, v := range d {
			out[k] = v
		}
	}
	return out
}

// TestAlarms tells which alarms are raised by an hour of what the workers write and SQS says: none where all is well,
// however a fleet comes and goes.
func TestAlarms(t *testing.T) {
	silent := map[string]bool{}
	for _, a := range load(t) {
		silent[a.Name] = true
	}
	for name, c := range map[string]struct {
		minutes []Minute
		want    []string
	}{
		"an idle fleet": {fleet(func(_ int, m Minute) {
			line(m, nil)
			line(m, nil)
		}), nil},
		"a busy fleet": {fleet(func(_ int, m Minute) {
			m.Queue("QueueName", 500, 1)
			ages(m, 0.2)
			line(m, busy)
			line(m, busy)
		}), nil},
		"a trickle": {fleet(func(i int, m Minute) {
			m.Queue("QueueName", 0, 0)
			if i%3 == 0 {
				line(m, differs{"Received": 1, "Written": 1})
				ages(m, 0.5)
			} else {
				line(m, differs{"Pending": float64(i % 2)})
			}
		}), nil},
		"no worker and nothing to do": {fleet(func(int, Minute) {}), nil},
		"from zero": {fleet(func(i int, m Minute) {
			if i < 30 {
				return
			}
			m.Queue("QueueName", 100, 60)
			switch {
			case i >= 35:
				line(m, busy)
				ages(m, 0.2)
			case i >= 34: // starting
				line(m, differs{"Ready": 0, "Calls": 3})
			}
		}), nil},
		"to zero": {fleet(func(i int, m Minute) {
			switch {
			case i < 30:
				line(m, busy)
				ages(m, 0.2)
			case i == 30: // the last line has no state
				nan := math.NaN()
				line(m, with(busy, differs{"TableDown": nan, "Ready": nan, "HeldPercent": nan, "Pending": nan, "Attention": nan}))
			}
		}), nil},
		"a rollout of ten workers": {fleet(func(i int, m Minute) {
			m.Queue("QueueName", 500, 2)
			ages(m, 0.3)
			for worker := range 10 {
				if i == 20+worker {
					line(m, differs{"Ready": 0})
				} else {
					line(m, busy)
				}
			}
		}), nil},
		"no workers": {fleet(func(i int, m Minute) {
			m.Queue("QueueName", 100+float64(i), float64(60*i))
		}), []string{"no-workers", "oldest-message"}},
		"workers killed, the backlog grows": {fleet(func(i int, m Minute) {
			if i < 20 {
				line(m, busy)
				ages(m, 0.2)
				return
			}
			m.Queue("QueueName", 1000*float64(i), float64(60*(i-20)))
		}), []string{"no-workers", "oldest-message"}},
		"the table is down": {fleet(func(i int, m Minute) {
			if i < 20 {
				line(m, busy)
				ages(m, 0.2)
				return
			}
			m.Queue("QueueName", 60_000*float64(i-19), float64(60*(i-20)))
			for range 3 {
				line(m, outage)
			}
		}), []string{"calls-fail", "not-ready", "nothing-written", "oldest-message", "table-down"}},
		"the table is down, and CloudWatch misses a line now and then": {fleet(func(i int, m Minute) {
			m.Queue("QueueName", 60_000, 60)
			if i%7 != 0 {
				line(m, outage)
			}
		}), []string{"calls-fail", "nothing-written", "not-ready", "table-down"}},
		"an outage of three minutes": {fleet(func(i int, m Minute) {
			m.Queue("QueueName", 1000, 100)
			if i >= 20 && i < 23 {
				line(m, outage)
				return
			}
			line(m, busy)
			ages(m, 0.2)
		}), nil},
		"one bad worker of ten": {fleet(func(_ int, m Minute) {
			m.Queue("QueueName", 500, 1)
			ages(m, 0.2)
			for range 9 {
				line(m, busy)
			}
			line(m, outage)
		}), []string{"not-ready"}},
		"the table throttles": {fleet(func(i int, m Minute) {
			m.Queue("QueueName", 500*float64(i), 100)
			ages(m, 30)
			line(m, with(busy, differs{"Written": 20_000, "Throttled": 9_000, "HeldPercent": 95}))
		}), []string{"held-full", "throttled"}},
		"too few workers": {fleet(func(i int, m Minute) {
			m.Queue("QueueName", 10_000*float64(i), 60*float64(i))
			ages(m, 60*float64(i))
			line(m, busy)
		}), []string{"behind", "oldest-message"}},
		"a night's backlog expires": {fleet(func(_ int, m Minute) {
			m.Queue("QueueName", 100_000, 200)
			ages(m, 50)
			line(m, with(busy, differs{"Expired": 10_000}))
		}), []string{"expired"}},
		"TTL is off": {fleet(func(_ int, m Minute) { line(m, differs{"Attention": 1}) }), []string{"attention"}},
		"credentials for writes alone are refused": {fleet(func(_ int, m Minute) {
			line(m, with(busy, differs{"Calls": 1000, "FailedCalls": 100}))
			ages(m, 0.2)
		}), []string{"calls-fail"}},
		"bad messages": {fleet(func(i int, m Minute) {
			line(m, with(busy, differs{"Rejected": 10}))
			ages(m, 0.2)
			m.Queue("RejectQueueName", float64(10*i), 10)
			m.Queue("DeadLetterQueueName", 0, 0)
		}), []string{"rejects"}},
		"dead letters": {fleet(func(_ int, m Minute) {
			line(m, nil)
			m.Queue("DeadLetterQueueName", 3, 10)
			m.Queue("ObjectsDeadLetterQueueName", 1, 10)
		}), []string{"dead-letters", "objects-dead-letters"}},
		"batch outputs wait": {fleet(func(i int, m Minute) {
			line(m, nil)
			m.Queue("ObjectsQueueName", 100, 60*float64(i)+1000)
		}), []string{"objects-oldest-message"}},
	} {
		t.Run(name, func(t *testing.T) {
			var raised []string
			for _, a := range load(t) {
				fires, err := a.Raised(c.minutes)
				if err != nil {
					t.Fatal(err)
				}
				if fires {
					raised = append(raised, a.Name)
					delete(silent, a.Name)
				}
			}
			slices.Sort(raised)
			slices.Sort(c.want)
			if !slices.Equal(raised, c.want) {
				t.Errorf("the alarms %v are raised, want %v", raised, c.want)
			}
		})
	}
	if len(silent) > 0 {
		t.Errorf("nothing raises %v", slices.Sorted(maps.Keys(silent)))
	}
}

// TestAlarmsAreTaken holds the alarms to the rules of PutMetricAlarm.
func TestAlarmsAreTaken(t *testing.T) {
	names := map[string]bool{}
	for _, a := range load(t) {
		if names[a.Name] {
			t.Errorf("two alarms %s", a.Name)
		}
		names[a.Name] = true
		if a.TreatMissingData != "notBreaching" {
			t.Errorf("%s is raised by a fleet that is scaled to zero", a.Name)
		}
		// "PutMetricAlarm": an alarm watches at most a day, ten metrics and as many expressions.
		if a.Period*a.EvaluationPeriods > 86_400 || a.DatapointsToAlarm > a.EvaluationPeriods || a.DatapointsToAlarm < 1 || len(a.Metrics) > 10 {
			t.Errorf("%s: %d of %d periods of %d s, %d metrics", a.Name, a.DatapointsToAlarm, a.EvaluationPeriods, a.Period, len(a.Metrics))
		}
		if (len(a.Metrics) > 1) != (a.Expression != "") {
			t.Errorf("%s has %d metrics and the expression %q", a.Name, len(a.Metrics), a.Expression)
		}
		if a.Severity != "critical" && a.Severity != "warning" {
			t.Errorf("%s has the severity %q", a.Name, a.Severity)
		}
	}
}

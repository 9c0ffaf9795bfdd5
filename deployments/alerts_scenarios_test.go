package deployments

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A scenario is a fleet in the namespace ml over some hours, and the alerts that fire in it. Beside it stands a fleet that is idle,
// in another namespace, of which no alert speaks.
type scenario struct {
	name  string
	fires []string // without the prefix Predcache, sorted
	fleet func(s stages) []replica
	ends  bool // the trouble is over in time for every alert to end
}

// stages are what was recorded, by "life/stage".
type stages map[string]*stage

// of is a stage for some time.
func (s stages) of(name string, lasts time.Duration) span {
	if s[name] == nil {
		panic(name + " was not recorded")
	}
	return span{stage: s[name], lasts: lasts}
}

// anew is of for a process that begins: its counters are at 0, under the old address.
func (s stages) anew(name string, lasts time.Duration) span {
	begins := s.of(name, lasts)
	begins.restart = true
	return begins
}

// gone is a time without the worker.
func gone(lasts time.Duration) span { return span{lasts: lasts} }

// one is a fleet of one worker, ten one of ten.
func one(spans ...span) []replica { return []replica{{namespace: "ml", instance: "a", spans: spans}} }

func ten(spans func(i int) []span) (fleet []replica) {
	for i := range 10 {
		fleet = append(fleet, replica{namespace: "ml", instance: fmt.Sprint("10.0.0.", i, ":9090"), spans: spans(i)})
	}
	return fleet
}

// healthy are the scenarios in which nothing needs to be done.
var healthy = []scenario{
	{name: "idle since its start", fleet: func(s stages) []replica {
		return one(s.of("outage/start", 3*time.Hour))
	}},
	{name: "at work, then idle", fleet: func(s stages) []replica {
		return one(s.of("outage/start", time.Minute), s.of("outage/work", time.Hour), s.of("outage/idle", 2*time.Hour))
	}},
	{name: "a fleet of ten that starts", fleet: func(s stages) []replica {
		return ten(func(i int) []span {
			return []span{gone(time.Duration(i) * time.Minute), s.of("outage/start", time.Minute), s.of("outage/work", time.Hour)}
		})
	}},
	{name: "a rollout of ten workers, one a minute", fleet: func(s stages) []replica {
		old := ten(func(i int) []span {
			return []span{s.of("outage/work", time.Duration(20+i)*time.Minute), s.of("outage/drain", step), gone(40 * time.Minute)}
		})
		fresh := ten(func(i int) []span {
			return []span{gone(time.Duration(20+i) * time.Minute), s.of("queue down/start", time.Minute), s.of("queue down/work", 40*time.Minute)}
		})
		for i := range fresh {
			fresh[i].instance = "new-" + fresh[i].instance
		}
		return slices.Concat(old, fresh)
	}},
	{name: "scaled from ten workers to two", fleet: func(s stages) []replica {
		return ten(func(i int) []span {
			if i < 2 {
				return []span{s.of("outage/work", 2*time.Hour)}
			}
			return []span{s.of("outage/work", time.Hour), s.of("outage/drain", step), gone(time.Hour)}
		})
	}},
	{name: "each worker restarts once, and its counters begin at 0", fleet: func(s stages) []replica {
		return ten(func(i int) []span {
			return []span{s.of("outage/work", time.Duration(30+5*i)*time.Minute), s.anew("outage/start", time.Minute), s.of("outage/work", time.Hour)}
		})
	}},
	{name: "a table that takes 0.4 s a call, and the workers keep up", fleet: func(s stages) []replica {
		return one(s.of("slow table/start", time.Minute), s.of("slow table/keeps up", 2*time.Hour))
	}},
	{name: "two minutes without the table", fleet: func(s stages) []replica {
		return one(s.of("outage/work", 30*time.Minute), s.of("outage/outage", 2*time.Minute), s.of("outage/recovered", time.Hour))
	}},
	{name: "a backlog that is written within three minutes", fleet: func(s stages) []replica {
		return one(s.of("backlog/start", time.Minute), s.of("backlog/backlog", 3*time.Minute), s.of("backlog/recovered", time.Hour))
	}},
}

// troubles are the others.
var troubles = []scenario{
	{name: "the table refuses every write", fires: []string{"CallsFail", "NotReady", "TableDown"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("outage/work", 30*time.Minute), s.of("outage/outage", time.Hour), s.of("outage/recovered", time.Hour))
	}},
	{name: "the table does not answer", fires: []string{"CallsFail", "NotReady", "TableDown"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("outage/work", 30*time.Minute), s.anew("no answer/outage", time.Hour), s.anew("outage/work", time.Hour))
	}},
	{name: "one worker of ten can't write the table", fires: []string{"NotReady"}, fleet: func(s stages) []replica {
		return ten(func(i int) []span {
			if i == 0 {
				return []span{s.of("outage/work", 30*time.Minute), s.of("outage/outage", time.Hour)}
			}
			return []span{s.of("outage/work", 90*time.Minute)}
		})
	}},
	{name: "the table takes about a third", fires: []string{"CallsFail", "Throttled"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("throttled/start", time.Minute), s.of("throttled/partly", time.Hour), s.of("throttled/recovered", time.Hour))
	}},
	{name: "the table takes nothing, for lack of capacity", fires: []string{"CallsFail", "NotReady", "TableDown", "Throttled"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("throttled/start", time.Minute), s.of("throttled/entirely", time.Hour), s.of("throttled/recovered", time.Hour))
	}},
	{name: "a sixth of the messages can't be stored", fires: []string{"Rejects"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("poison/start", time.Minute), s.of("poison/poison", time.Hour), s.of("poison/recovered", time.Hour))
	}},
	{name: "messages can't be stored, and the reject queue refuses them", fires: []string{"CallsFail", "NotReady", "Rejects"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("poison/start", time.Minute), s.of("poison/reject queue down", time.Hour), s.of("poison/recovered", time.Hour))
	}},
	{name: "a backlog of half an hour", fires: []string{"AgeOverObjective", "Behind"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("backlog/start", time.Minute), s.of("backlog/backlog", time.Hour), s.of("backlog/recovered", time.Hour))
	}},
	{name: "a backlog that is nearly as old as the queue keeps messages", fires: []string{"AgeOverObjective", "Behind", "NearRetention"}, fleet: func(s stages) []replica {
		return one(s.of("backlog/start", time.Minute), s.of("backlog/near retention", time.Hour))
	}},
	{name: "a slow table, and the queue grows", fires: []string{"AgeOverObjective", "Behind"}, fleet: func(s stages) []replica {
		return one(s.of("slow table/keeps up", time.Hour), s.of("slow table/behind", time.Hour))
	}},
	{name: "deletes may not remove what they hide", fires: []string{"CallsFail", "NotReady", "RemovalsStuck"}, fleet: func(s stages) []replica {
		return one(s.of("deletes/start", time.Minute), s.of("deletes/removals denied", time.Hour))
	}},
	{name: "S3 throttles the reads of batch outputs", fires: []string{"CallsFail", "NotReady"}, fleet: func(s stages) []replica {
		return one(s.of("objects/work", 30*time.Minute), s.of("objects/S3 throttles", time.Hour))
	}},
	{name: "the queue refuses every receive", fires: []string{"CallsFail", "NotReady", "QueueDown"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("queue down/work", 30*time.Minute), s.of("queue down/down", time.Hour), s.of("queue down/recovered", time.Hour))
	}},
	{name: "a worker of ten is killed every five minutes", fires: []string{"Restarting"}, fleet: func(s stages) []replica {
		return ten(func(i int) []span {
			if i > 0 {
				return []span{s.of("outage/work", 2*time.Hour)}
			}
			spans := []span{s.of("outage/work", 20*time.Minute)}
			for range 20 {
				spans = append(spans, s.anew("outage/start", time.Minute), s.of("outage/work", 4*time.Minute))
			}
			return spans
		})
	}},
	{name: "no worker is left", fires: []string{"NoWorkers"}, fleet: func(s stages) []replica {
		return ten(func(int) []span {
			return []span{s.of("outage/work", time.Hour), s.of("outage/drain", step), gone(2 * time.Hour)}
		})
	}},
	{name: "scaled to zero; the chart leaves the alert out under `keda.scaleToZero`", fires: []string{"NoWorkers"}, ends: true, fleet: func(s stages) []replica {
		return one(s.of("outage/work", time.Hour), s.of("outage/drain", step), gone(time.Hour),
			s.anew("outage/start", time.Minute), s.of("outage/work", time.Hour))
	}},
}

// TestAlertsByTrouble runs the real worker through each kind of trouble, and the rules on what it exported, stretched over hours.
func TestAlertsByTrouble(t *testing.T) {
	t.Parallel()
	recorded := stages(recordLives(t))
	for name := range alertedMetrics(t) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(recorded)), func(s *stage) bool { return s.exports(name) }) {
			t.Errorf("no worker that was recorded exports %s: its alerts are silent for nothing", name)
		}
	}
	for _, s := range slices.Concat(healthy, troubles) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			promtoolRun(t, replay(s, recorded))
		})
	}
	t.Logf("alerts by trouble:\n%s", alertsTable())
}

const (
	tableBegin = "<!-- generated by: go -C deployments test -run AlertsByTroubleAreDocumented -update . -->\n\n"
	tableEnd   = "\n<!-- end -->\n"
)

// TestAlertsByTroubleAreDocumented keeps the runbook's table what TestAlertsByTrouble proves.
func TestAlertsByTroubleAreDocumented(t *testing.T) {
	text, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), tableBegin)
	table, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatal("the runbook has no table of alerts by trouble")
	}
	if table == alertsTable() {
		return
	}
	if !*update {
		t.Fatal("the runbook's table of alerts by trouble is out of date: make docs")
	}
	if err := os.WriteFile(runbook, []byte(before+tableBegin+alertsTable()+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

const runbook = "../docs/runbook.md"

// alertsTable is the table of the runbook.
func alertsTable() string {
	var b strings.Builder
	b.WriteString("| what happens | alerts |\n|---|---|\n")
	for _, s := range slices.Concat(healthy, troubles) {
		alerts := "none"
		if len(s.fires) > 0 {
			links := make([]string, len(s.fires))
			for i, alert := range s.fires {
				links[i] = fmt.Sprintf("[%s](#predcache%s)", alert, strings.ToLower(alert))
			}
			alerts = strings.Join(links, ", ")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", s.name, alerts)
	}
	return b.String()
}

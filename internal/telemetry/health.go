package telemetry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Part is a dependency or a stage of the worker that can fail.
type Part string

// The parts. Each of the calls of SQS can fail while the others work.
const (
	PartTable   Part = "the table"
	PartRejects Part = "the reject queue"
	// PartSingleRejects are messages that the reject queue refuses while it takes others.
	PartSingleRejects Part = "the rejection of single messages"
	PartExpired       Part = "the share of expired predictions"
	// PartBacklog is a warning while the worker is behind its queue: see WatchBehind.
	PartBacklog    Part = "the queue's backlog"
	PartReceive    Part = Part(ReceiveMessage)
	PartDelete     Part = Part(DeleteMessageBatch)
	PartVisibility Part = Part(ChangeMessageVisibilityBatch)
	// The calls that remove what a delete hides. The table can be written without them.
	PartQuery      Part = Part(Query)
	PartDeleteItem Part = Part(DeleteItem)
)

// Health keeps the conditions of the parts. A failing part makes the worker not ready; a warning does not. Only a stuck pipeline
// makes it not live, since restarting the fleet ends no outage.
type Health struct {
	log *slog.Logger

	mu      sync.Mutex
	failing map[Part]*condition
	suspect map[Part]int // failed calls in a row
	ready   bool
	active  time.Time // when a call last ended
}

// A Condition describes a failing part: the reason and the remedy.
type Condition struct {
	Part   Part   `json:"part"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
	// Action is the first part of Remedy: what to do, without what the worker does meanwhile.
	Action string    `json:"-"`
	Since  time.Time `json:"since"`
	// Warning is true if the worker stays ready: it works, but an operator should look.
	Warning bool `json:"warning,omitempty"`
}

// A condition is a Condition and the state of its reports.
type condition struct {
	Condition
	count  int // reports
	logged time.Time
	until  time.Time // when the condition ends without another report; zero: never
}

// stuck is how long no call may end before the pipeline counts as stuck. An idle worker's receives end every 20 s or earlier, a held
// batch is tried every 30 s, and each call has a timeout.
const stuck = 2 * time.Minute

// remind is how often a lasting condition is logged again.
const remind = time.Minute

// NewHealth returns a Health that is live and not ready. A nil log discards.
func NewHealth(log *slog.Logger) *Health {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Health{log: log, failing: map[Part]*condition{}, suspect: map[Part]int{}, active: time.Now()}
}

// SetReady sets whether the worker is working. It is not while it starts and while it drains.
func (h *Health) SetReady(ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = ready
}

// Active records that the pipeline is not stuck, although no call has ended.
func (h *Health) Active() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active = time.Now()
}

// failuresInARow is the number of consecutive failed calls that make a condition: one lost connection makes none.
const failuresInARow = 3

// silence is how long a condition lasts if no call of its part ends. Its calls may no longer be needed, such as the
// extension of a lease whose message was deleted.
const silence = 2 * time.Minute

// retried describes what the worker does about failing calls.
const retried = "the call is retried until it succeeds"

// called records how a call ended. It reports several consecutive failures as a condition of the part, unless part is "".
func (h *Health) called(part Part, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active = time.Now()
	if part == "" {
		return
	}
	if err == nil {
		delete(h.suspect, part)
	} else if h.suspect[part]++; h.suspect[part] < failuresInARow {
		return
	}
	h.report(part, retried, err, false)
	if c := h.failing[part]; c != nil {
		c.until = time.Now().Add(silence)
	}
}

// Report sets the condition of a part, or ends it if err is nil. The remedy is what the error itself says to do, by a method
// Remedy, and what the worker does meanwhile. Report logs the beginning, the end, and once a minute that the
// condition lasts, with the number of reports.
func (h *Health) Report(part Part, meanwhile string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report(part, meanwhile, err, false)
}

const (
	// undeliverableFor is how long a message that can't be rejected keeps its condition: the longest time until it is
	// received again.
	undeliverableFor    = time.Hour
	undeliverableRemedy = "such messages stay on their queue, invisible for up to an hour between receives"
)

// warn sets a condition with a warning, which ends after a time without another one.
func (h *Health) warn(part Part, meanwhile string, err error, lasts time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	h.report(part, meanwhile, err, true)
	h.failing[part].until = time.Now().Add(lasts)
}

// maxReason bounds the text of an error in bytes: a service's answer may be long.
const maxReason = 1000

// report requires that h.mu is held.
func (h *Health) report(part Part, meanwhile string, err error, warning bool) {
	c, now := h.failing[part], time.Now()
	if err == nil {
		if c != nil {
			delete(h.failing, part)
			h.log.Info("recovered", "part", part, "after", now.Sub(c.Since).Round(time.Second).String(), "failures", c.count)
		}
		return
	}
	action := actionOf(err)
	remedy := action
	if meanwhile != "" {
		remedy += "; " + meanwhile
	}
	reason := truncate(strings.ToValidUTF8(err.Error(), "?"), maxReason)
	if c == nil {
		h.failing[part] = &condition{Condition: Condition{part, reason, remedy, action, now, warning}, count: 1, logged: now}
		if warning {
			h.log.Warn("needs attention", "part", part, "reason", reason, "remedy", remedy)
		} else {
			h.log.Warn("failing", "part", part, "reason", reason, "remedy", remedy)
		}
		return
	}
	c.Reason, c.Remedy, c.Action = reason, remedy, action
	c.count++
	if now.Sub(c.logged) >= remind {
		c.logged = now
		since := c.Since.UTC().Format(time.RFC3339)
		if warning {
			h.log.Warn("still needs attention", "part", part, "reason", reason, "remedy", remedy, "since", since, "failures", c.count)
		} else {
			h.log.Warn("still failing", "part", part, "reason", reason, "remedy", remedy, "since", since, "failures", c.count)
		}
	}
}

// actionOf returns what an error itself says to do.
func actionOf(err error) string {
	var known interface{ Remedy() string }
	if errors.As(err, &known) && known.Remedy() != "" {
		return known.Remedy()
	}
	return "correct the reason"
}

// forget ends expired conditions. It requires that h.mu is held.
func (h *Health) forget() {
	for part, c := range h.failing {
		if !c.until.IsZero() && time.Now().After(c.until) {
			delete(h.failing, part)
			delete(h.suspect, part)
		}
	}
}

// Conditions returns the conditions, oldest first, and whether the worker is working: not starting, not draining.
func (h *Health) Conditions() (conditions []Condition, working bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	for _, c := range h.failing {
		conditions = append(conditions, c.Condition)
	}
	slices.SortFunc(conditions, func(a, b Condition) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Part, b.Part)) })
	return conditions, h.ready
}

// IsReady reports whether /readyz answers 200.
func (h *Health) IsReady() bool {
	conditions, working := h.Conditions()
	return working && !slices.ContainsFunc(conditions, isProblem)
}

func isProblem(c Condition) bool { return !c.Warning }

// Live implements /livez.
func (h *Health) Live(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	idle := time.Since(h.active)
	h.mu.Unlock()
	var problems []Condition
	if idle > stuck {
		problems = append(problems, Condition{
			Part: "pipeline", Reason: fmt.Sprintf("stuck: no call has ended for %v", idle.Round(time.Second)), Since: time.Now().Add(-idle),
		})
	}
	answer(w, r, "live", problems)
}

// Ready implements /readyz.
func (h *Health) Ready(w http.ResponseWriter, r *http.Request) {
	problems, working := h.Conditions()
	if !working {
		problems = append(problems, Condition{Part: "worker", Reason: "starting or draining", Since: time.Now()})
	}
	answer(w, r, "ready", problems)
}

// answer writes the conditions as JSON if the client accepts it, else as text. Warnings don't change the status.
func answer(w http.ResponseWriter, r *http.Request, well string, conditions []Condition) {
	status := http.StatusOK
	failing := slices.ContainsFunc(conditions, isProblem)
	if failing {
		status = http.StatusServiceUnavailable
	}
	slices.SortFunc(conditions, func(a, b Condition) int {
		return cmp.Or(cmp.Compare(truth(a.Warning), truth(b.Warning)), cmp.Compare(a.Part, b.Part))
	})
	if strings.Contains(r.Header.Get("Accept"), "json") {
		problems, warnings := map[Part]Condition{}, map[Part]Condition{}
		for _, c := range conditions {
			if c.Warning {
				warnings[c.Part] = c
			} else {
				problems[c.Part] = c
			}
		}
		body := map[string]any{"ok": !failing, "problems": problems}
		if len(warnings) > 0 {
			body["warnings"] = warnings
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		// An error means that the client has gone.
		_ = json.NewEncoder(w).Encode(body)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if !failing {
		fmt.Fprintln(w, well)
	}
	for _, c := range conditions {
		what := "not " + well
		if c.Warning {
			what = "warning"
		}
		fmt.Fprintf(w, "%s: %s: %s (since %s)\n", what, c.Part, c.Reason, c.Since.UTC().Format(time.RFC3339))
	}
}

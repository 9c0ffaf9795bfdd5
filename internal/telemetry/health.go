package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Health knows what isn't well. A condition that fails makes the worker not ready; only a pipeline that is stuck makes it
// not live, since to restart the fleet mends no outage.
type Health struct {
	log *slog.Logger

	mu      sync.Mutex
	failing map[string]*condition
	suspect map[string]int // calls in a row that failed, of operations that may yet work the next time
	ready   bool
	active  time.Time // when a call last ended
}

type condition struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	count  int       // reports of it
	logged time.Time
	// until, unless zero, is when the condition counts as over, if nothing is heard of it.
	until time.Time
}

// Stuck is for how long no call may end before the pipeline counts as stuck: an idle worker's receives end every 20 s, a
// held batch is tried every 30 s, and each call has a timeout.
const stuck = 2 * time.Minute

// remind is how often a condition that goes on is logged again.
const remind = time.Minute

// NewHealth makes a Health that is live and not ready.
func NewHealth(log *slog.Logger) *Health {
	return &Health{log: log, failing: map[string]*condition{}, suspect: map[string]int{}, active: time.Now()}
}

// SetReady says whether the worker is at work at all: it is not while it starts and while it drains.
func (h *Health) SetReady(ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = ready
}

// Active notes that a call has ended.
func (h *Health) Active() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active = time.Now()
}

// failuresInARow is how many calls of an operation must fail before that is a condition: one lost connection is none.
const failuresInARow = 3

// silence is for how long nothing need be heard of a failing operation until that counts as over: what it was for may have
// become needless, such as the extension of a lease whose message was deleted.
const silence = 2 * time.Minute

// Called says how a call of an operation ended. Several in a row that fail are reported.
func (h *Health) Called(operation, remedy string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.suspect, operation)
	} else if h.suspect[operation]++; h.suspect[operation] < failuresInARow {
		return
	}
	h.report(operation, remedy, err)
	if c := h.failing[operation]; c != nil {
		c.until = time.Now().Add(silence)
	}
}

// Report says how a part of the worker is: nil is well. It logs when that changes, and once a minute while it doesn't
// get better, with the number of reports.
func (h *Health) Report(part, remedy string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report(part, remedy, err)
}

// forget drops the conditions of which nothing was heard for too long. h.mu is held.
func (h *Health) forget() {
	for part, c := range h.failing {
		if !c.until.IsZero() && time.Now().After(c.until) {
			delete(h.failing, part)
			delete(h.suspect, part)
		}
	}
}

// report requires that h.mu be held.
func (h *Health) report(part, remedy string, err error) {
	c, now := h.failing[part], time.Now()
	switch {
	case err == nil && c == nil:
	case err == nil:
		delete(h.failing, part)
		h.log.Info(part+" works again", "after", now.Sub(c.Since).Round(time.Second).String(), "failures", c.count)
	case c == nil:
		h.failing[part] = &condition{Reason: err.Error(), Since: now, count: 1, logged: now}
		h.log.Warn(part+" fails", "reason", err.Error(), "remedy", remedy)
	default:
		c.Reason = err.Error()
		c.count++
		if now.Sub(c.logged) >= remind {
			c.logged = now
			h.log.Warn(part+" still fails", "reason", c.Reason, "remedy", remedy, "since", c.Since.UTC().Format(time.RFC3339), "failures", c.count)
		}
	}
}

// Live implements /livez.
func (h *Health) Live(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	idle := time.Since(h.active)
	h.mu.Unlock()
	problems := map[string]*condition{}
	if idle > stuck {
		problems["pipeline"] = &condition{Reason: fmt.Sprintf("stuck: no call has ended for %v", idle.Round(time.Second)), Since: time.Now().Add(-idle)}
	}
	answer(w, r, "live", problems)
}

// Ready implements /readyz.
func (h *Health) Ready(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.forget()
	problems := map[string]*condition{}
	for part, c := range h.failing {
		copied := *c
		problems[part] = &copied
	}
	if !h.ready {
		problems["worker"] = &condition{Reason: "starting or draining", Since: time.Now()}
	}
	h.mu.Unlock()
	answer(w, r, "ready", problems)
}

// answer says what isn't well and since when: in JSON to who accepts that, else in words.
func answer(w http.ResponseWriter, r *http.Request, well string, problems map[string]*condition) {
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusServiceUnavailable
	}
	if strings.Contains(r.Header.Get("Accept"), "json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		// An error here is the client's going away.
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": len(problems) == 0, "problems": problems})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if len(problems) == 0 {
		fmt.Fprintln(w, well)
		return
	}
	parts := make([]string, 0, len(problems))
	for part := range problems {
		parts = append(parts, part)
	}
	slices.Sort(parts)
	for _, part := range parts {
		c := problems[part]
		fmt.Fprintf(w, "not %s: %s: %s (since %s)\n", well, part, c.Reason, c.Since.UTC().Format(time.RFC3339))
	}
}

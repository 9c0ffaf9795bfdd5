package telemetry

import (
	"cmp"
	"slices"
	"time"
)

// A Condition is something that fails now.
type Condition struct {
	Part   string    `json:"part"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Conditions are what fails now, the oldest first, and whether the worker is at work: not starting, not draining.
func (h *Health) Conditions() (failing []Condition, working bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	for part, c := range h.failing {
		failing = append(failing, Condition{part, c.Reason, c.Since})
	}
	slices.SortFunc(failing, func(a, b Condition) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Part, b.Part)) })
	return failing, h.ready
}

// IsReady tells what /readyz does.
func (h *Health) IsReady() bool {
	failing, working := h.Conditions()
	return working && len(failing) == 0
}

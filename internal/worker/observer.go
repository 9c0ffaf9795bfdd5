package worker

import (
	"time"

	"github.com/predcache/predcache/internal/telemetry"
)

// An Observer receives the reports of the stages. It counts them, and keeps the health conditions that an operator should see.
type Observer struct {
	*telemetry.Metrics
	Health *telemetry.Health
}

// Call implements awsclient.Observer.
func (o Observer) Call(operation, code string, d time.Duration) {
	o.Metrics.Call(operation, code, d)
	o.Health.Active()
}

// Trouble implements consumer.Observer.
func (o Observer) Trouble(operation string, err error) {
	o.Health.Called(operation, "it is tried again by itself; see the reason", err)
}

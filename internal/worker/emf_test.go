package worker

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/telemetry"
)

// blocked takes nothing until it is closed, like a pipe that nobody reads.
type blocked chan struct{}

func (b blocked) Write(p []byte) (int, error) {
	<-b
	return len(p), nil
}

// TestBlockedOutputDelaysNoExit: a log driver that hangs must not hold a worker that drains.
func TestBlockedOutputDelaysNoExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := make(blocked)
		o := Options{Config: &config.Config{Metrics: config.MetricsEMF}, Log: slog.New(slog.DiscardHandler), Stdout: out}
		stop := writeEMF(t.Context(), o, telemetry.NewMetrics(telemetry.Options{Now: time.Now}))
		time.Sleep(10 * time.Minute)
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping takes %v", took)
		}
		close(out)
	})
}

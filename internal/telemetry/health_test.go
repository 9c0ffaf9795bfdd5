package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/predcache/predcache/internal/prediction"
)

func TestOneFailedCallIsNoCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := NewHealth(slog.New(slog.NewTextHandler(&log, nil)))
		h.SetReady(true)
		ready := func() string {
			w := httptest.NewRecorder()
			h.Ready(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			return w.Body.String()
		}
		lost := errors.New("connection reset")
		for range 100 {
			h.called(PartDelete, lost)
			h.called(PartDelete, lost)
			h.called(PartDelete, nil)
		}
		if text := ready(); text != "ready\n" || log.Len() > 0 {
			t.Errorf("after two failures in a row: %s, log %s", text, log.String())
		}
		for range 1000 {
			h.called(PartDelete, lost)
		}
		if text := ready(); !strings.Contains(text, "not ready: DeleteMessageBatch: connection reset (since ") {
			t.Errorf("after a thousand failures in a row: %s", text)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines were logged, want one: %s", n, log.String())
		}
		h.called(PartDelete, nil)
		if text := ready(); text != "ready\n" {
			t.Errorf("once it works: %s", text)
		}
	})
}

// An extension that failed and was then not needed any more left the worker not ready for ever.
func TestHealth_unused_operation_has_no_condition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth(slog.New(slog.DiscardHandler))
		h.SetReady(true)
		for range 5 {
			h.called(PartVisibility, errors.New("timeout"))
		}
		h.Report(PartTable, "", errors.New("denied"))
		if failing, _ := h.Conditions(); len(failing) != 2 {
			t.Errorf("%v fail, want two", failing)
		}
		time.Sleep(3 * time.Minute)
		if failing, _ := h.Conditions(); len(failing) != 1 || failing[0].Part != PartTable {
			t.Errorf("%v fail, want the table", failing)
		}
	})
}

type remediable string

func (e remediable) Error() string  { return "AccessDenied" }
func (e remediable) Remedy() string { return string(e) }

func TestRemedies(t *testing.T) {
	for _, c := range []struct {
		name      string
		err       error
		meanwhile string
		want      string
	}{
		{"unknown", errors.New("odd"), "", "correct the reason"},
		{"unknown, with what happens meanwhile", errors.New("odd"), "it is retried", "correct the reason; it is retried"},
		{"known to the error", fmt.Errorf("delete: %w", remediable("allow it")), "it is retried", "allow it; it is retried"},
		{"an error that knows none", remediable(""), "", "correct the reason"},
	} {
		h := NewHealth(nil)
		h.Report(PartDelete, c.meanwhile, c.err)
		if failing, _ := h.Conditions(); len(failing) != 1 || failing[0].Remedy != c.want {
			t.Errorf("%s: %+v, want the remedy %q", c.name, failing, c.want)
		}
	}
}

// One message that can't be rejected made the worker not ready for an hour, although it went on with all others.
func TestWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := NewHealth(slog.New(slog.NewTextHandler(&log, nil)))
		m := NewMetrics(Options{Now: time.Now, Health: h})
		h.SetReady(true)
		ask := func(accept string) (int, string) {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/readyz", nil)
			r.Header.Set("Accept", accept)
			h.Ready(w, r)
			return w.Code, w.Body.String()
		}
		m.Undeliverable(errors.New("InvalidMessageContents"))
		const warning = "warning: the rejection of single messages: InvalidMessageContents (since 2000-01-01T00:00:00Z)\n"
		if code, text := ask(""); code != http.StatusOK || text != "ready\n"+warning || !h.IsReady() {
			t.Errorf("/readyz: %d %q", code, text)
		}
		if code, text := ask("application/json"); code != http.StatusOK || !strings.Contains(text, `"ok":true,"problems":{},"warnings":{"the rejection of single messages":{`) {
			t.Errorf("/readyz: %d %s", code, text)
		}
		h.Report(PartTable, "", errors.New("denied"))
		if code, text := ask(""); code != http.StatusServiceUnavailable || text != "not ready: the table: denied (since 2000-01-01T00:00:00Z)\n"+warning || h.IsReady() {
			t.Errorf("/readyz: %d %q", code, text)
		}
		h.Report(PartTable, "", nil)
		time.Sleep(undeliverableFor + time.Second)
		if _, text := ask(""); text != "ready\n" {
			t.Errorf("an hour later: %q", text)
		}
		if got := log.String(); !strings.Contains(got, `msg="needs attention" part="the rejection of single messages" reason=InvalidMessageContents remedy=`) {
			t.Errorf("logged %s", got)
		}
	})
}

func TestWatchExpired(t *testing.T) {
	for _, test := range []struct {
		name             string
		expired, written int // every 5 s
		want             string
	}{
		{"a normal share", 5, 95, ""},
		{"an unusual share", 6, 94, "72 of 1200 predictions in the last minute had expired before they were written"},
		{"one of a quiet queue", 1, 0, "12 of 12 predictions in the last minute had expired before they were written"},
		{"nothing", 0, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				m := NewMetrics(Options{Now: time.Now, Health: NewHealth(slog.New(slog.NewTextHandler(&log, nil)))})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go m.WatchExpired(ctx)
				time.Sleep(2 * time.Second) // between the ticks
				for range 10 * 60 / 5 {
					time.Sleep(5 * time.Second)
					for range test.expired {
						m.Outcome(prediction.Expired, 1, 0)
					}
					for range test.written {
						m.Outcome(prediction.Written, 1, 0)
					}
				}
				time.Sleep(time.Second)
				stop()
				synctest.Wait()
				conditions, _ := m.Health().Conditions()
				if test.want == "" {
					if len(conditions) > 0 || log.Len() > 0 {
						t.Errorf("%v, logged %s", conditions, log.String())
					}
					return
				}
				if len(conditions) != 1 || conditions[0].Part != PartExpired || !conditions[0].Warning || conditions[0].Reason != test.want {
					t.Fatalf("%+v, logged %s", conditions, log.String())
				}
				if n := strings.Count(log.String(), "needs attention"); n < 8 || n > 11 {
					t.Errorf("logged %d times in 10 minutes, want once a minute", n)
				}
				time.Sleep(4 * time.Minute)
				if conditions, _ := m.Health().Conditions(); len(conditions) > 0 {
					t.Errorf("4 minutes later: %v", conditions)
				}
			})
		})
	}
}

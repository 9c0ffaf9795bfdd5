package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
func TestAnOperationThatIsNoLongerCalledIsNoCondition(t *testing.T) {
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

package page

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/predcache/predcache/internal/workertest/e2e"
)

// load is for how long there is load before it is looked at.
const load = 12 * time.Second

// TestPage looks at the page of a real worker, as people do: at rest, under load, while the table throttles and while it can't be
// written, and after the worker's end; by keyboard. TestStates looks at the other states.
func TestPage(t *testing.T) {
	browser(t)
	s, err := e2e.Start(t.Context(), "WORKER_TTL=6h", "WORKER_MAX_HELD_MESSAGES=4000")
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			s.Stop()
		}
		if t.Failed() {
			t.Logf("the worker logged:\n%s", s.Log())
		}
	}()
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWindow(t)
	w.open(s.Admin)
	text := func(id string) string { return w.eval("document.getElementById('" + id + "').innerText") }

	// At rest.
	w.until("the worker is idle", `document.getElementById('state').dataset.state === 'idle' && document.getElementById('state-title').innerText.startsWith('Idle')`)
	w.until("the backlog is known", `document.getElementById('waiting').innerText === '0'`)
	w.readable("at rest")
	if bad := w.eval(names); bad != "[]" {
		t.Errorf("a screen reader finds: %s", bad)
	}
	w.accessible("at rest")

	// Under load.
	ctx, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	var loading sync.WaitGroup
	loading.Go(func() { s.Load(ctx, 1100) })
	defer loading.Wait()
	defer stopLoad()
	w.until("it works", `document.getElementById('state').dataset.state === 'writing' && /^Writing [\d,]+ predictions a second$/.test(document.getElementById('state-title').innerText)`)
	time.Sleep(load)
	w.until("there are rejects", `document.querySelectorAll('#rejects tr').length >= 4`)
	w.until("they have an example", `document.getElementById('rejects').innerText.includes('predictionId is missing: it names what was predicted')`)
	host, err := os.Hostname()
	if err != nil || !strings.Contains(text("who"), host) || !strings.Contains(text("who"), "versioned") || !strings.Contains(w.eval("document.title"), host) {
		t.Errorf("%s (%v): the page says %q and %q", host, err, text("who"), w.eval("document.title"))
	}
	for _, id := range []string{"received", "written", "held", "waiting", "needless", "age50", "age95", "age99", "fill", "batch-rate", "saved", "unit-rate", "uptime"} {
		if got := text(id); got == "–" || got == "" {
			t.Errorf("%s is not known under load", id)
		}
	}
	if got := text("announce"); !strings.HasPrefix(got, "At work. ") {
		t.Errorf("a screen reader is told %q", got)
	}
	w.readable("under load")
	w.fits("under load")
	w.accessible("under load")
	w.keyboard()

	// While the table throttles.
	s.SetCondition(e2e.Throttled)
	w.until("it says that the table slows it down", `document.getElementById('state').dataset.state === 'throttled' && document.getElementById('state-text').innerText.includes('sent back')`)
	s.SetCondition(e2e.Healthy)

	// In an outage.
	s.SetCondition(e2e.Denied)
	w.until("it says why nothing is written", `document.getElementById('state').dataset.state === 'outage' && document.getElementById('state-reason').innerText.includes('AccessDeniedException')`)
	w.until("the intake is closed", `document.getElementById('received').innerText === 'closed' && document.getElementById('table-state').innerText === 'down'`)
	w.until("the charts show it", `+document.querySelector('#chart-throughput .down')?.getAttribute('width') > 5`)
	time.Sleep(load / 4)
	w.until("the table is down at this moment", `document.getElementById('table-state').innerText === 'down'`)
	w.readable("in an outage")
	w.fits("in an outage")
	w.accessible("in an outage")
	if remedy := text("state-remedy"); !strings.Contains(remedy, "allow it in the policy of the role") {
		t.Errorf("the remedy is %q", remedy)
	}
	if title := w.eval("document.title"); !strings.Contains(title, "can't be written") {
		t.Errorf("the tab is called %q", title)
	}
	s.SetCondition(e2e.Healthy)
	w.until("it has recovered", `document.getElementById('state').dataset.state !== 'outage' && document.getElementById('table-state').innerText === 'up'`)
	w.silent()

	// Paused, the page stands still; the worker gone, it says so.
	w.do(chromedp.Click("#pause"))
	before := text("uptime")
	time.Sleep(2500 * time.Millisecond)
	if after := text("uptime"); after != before || !strings.HasPrefix(text("live-text"), "paused at") {
		t.Errorf("paused, the page went on from %q to %q and says %q", before, after, text("live-text"))
	}
	w.do(chromedp.Click("#pause"))
	w.until("it goes on", `document.getElementById('live-text').innerText === 'live'`)
	stopLoad()
	loading.Wait()
	if err := s.Stop(); err != nil {
		t.Errorf("the worker's end: %v", err)
	}
	stopped = true
	w.until("the page says that the worker is gone", `document.getElementById('live-text').innerText.startsWith('no connection since')`)
}

// keyboard goes through the page without a mouse.
func (w *window) keyboard() {
	t := w.t
	t.Helper()
	w.do(chromedp.Evaluate("document.activeElement.blur(); scrollTo(0, 0)", nil))
	var stops []string
	for range 40 {
		w.do(chromedp.KeyEvent("\t"))
		at := w.eval("document.activeElement.id || document.activeElement.closest('figure')?.id || document.activeElement.innerText || document.activeElement.tagName")
		stops = append(stops, at)
		if at == "BODY" {
			break
		}
	}
	order := strings.Join(stops, " ")
	for _, want := range []string{"Skip to the figures pause theme", "chart-throughput", "chart-age", "status.json"} {
		if !strings.Contains(order, want) {
			t.Errorf("the keyboard does not come to %q: %s", want, order)
		}
	}
	w.do(chromedp.Focus("#chart-age .plot"), chromedp.KeyEvent("\ue012"))
	w.do(chromedp.Evaluate(`document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }))`, nil))
	if said := w.eval("document.getElementById('announce').innerText"); !strings.Contains(said, "Age when durable at ") || !strings.Contains(said, "median ") {
		t.Errorf("an arrow key on a chart says %q", said)
	}
	if w.eval("document.getElementById('tip').hidden") != "false" || w.eval("document.querySelectorAll('.plot .cross').length") != "7" {
		t.Error("an arrow key on a chart shows nothing")
	}
	w.do(chromedp.Evaluate(`document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))`, nil))
	if w.eval("document.getElementById('tip').hidden") != "true" {
		t.Error("Escape does not take the values away")
	}
	w.do(chromedp.Evaluate(`document.querySelector('#chart-age details').open = true`, nil))
	w.until("the chart is there as a table", `document.querySelectorAll('#chart-age tbody tr').length > 0`)
	w.do(chromedp.Evaluate(`document.querySelector('#chart-age details').open = false`, nil))
	w.do(chromedp.Evaluate(`document.getElementById('settings-box').open = true`, nil))
	if n := w.eval(`document.querySelectorAll('#settings tr[data-set=true]').length`); n == "0" {
		t.Error("no setting is shown as changed")
	}
	w.do(chromedp.Evaluate(`document.getElementById('settings-box').open = false`, nil))
}

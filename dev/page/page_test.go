package page

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/predcache/predcache/internal/workertest/e2e"
)

var (
	pictures = flag.String("pictures", "", "a folder to put the pictures in; docs/images has the committed ones")
	load     = flag.Duration("load", 20*time.Second, "for how long there is load before it is looked at; the pictures were taken after 2m")
)

// browser finds Debian's Chromium, or what is on the PATH.
func browser(t *testing.T) string {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	if os.Getenv("PREDCACHE_REQUIRE_CHROMIUM") != "" {
		t.Fatal("there is no Chromium")
	}
	t.Skip("there is no Chromium: install Debian's package chromium, or set CHROMIUM")
	return ""
}

// A window is a page in the browser, and all that it complained of.
type window struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

func newWindow(t *testing.T, address string) *window {
	allocator, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-prefers-reduced-motion", false),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), // nothing from outside, whatever asks
	)...)
	t.Cleanup(stop)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, *load+3*time.Minute)
	t.Cleanup(stop)
	w := &window{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
				w.complaints = append(w.complaints, e.Entry.Text)
			}
		case *cdpruntime.EventExceptionThrown:
			w.complaints = append(w.complaints, e.ExceptionDetails.Error())
		}
	})
	w.size(1240, 1000, false)
	w.do(log.Enable(), chromedp.Navigate("http://"+address+"/"))
	return w
}

func (w *window) do(actions ...chromedp.Action) {
	w.t.Helper()
	if err := chromedp.Run(w.ctx, actions...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *window) size(width, height int64, phone bool) {
	w.t.Helper()
	scale := 1.5
	if phone {
		scale = 1.25
	}
	w.do(emulation.SetDeviceMetricsOverride(width, height, scale, phone))
}

func (w *window) scheme(name string) {
	w.t.Helper()
	w.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}))
}

// eval returns what an expression is.
func (w *window) eval(expression string) string {
	w.t.Helper()
	var value any
	w.do(chromedp.Evaluate(expression, &value))
	return fmt.Sprint(value)
}

// until waits for an expression to be true.
func (w *window) until(what, expression string) {
	w.t.Helper()
	if err := chromedp.Run(w.ctx, chromedp.Poll("!!("+expression+")", nil, chromedp.WithPollingTimeout(60*time.Second))); err != nil {
		w.t.Fatalf("waiting until %s: %v; the page says %q", what, err, w.eval("document.querySelector('#state').innerText"))
	}
}

func (w *window) silent() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.complaints {
		w.t.Errorf("the browser complains: %s", c)
	}
}

// picture looks at the whole page, checks that it isn't empty or cut off, and keeps it where that is asked for.
func (w *window) picture(name string) {
	w.t.Helper()
	if over := w.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth"); over != "0" {
		w.t.Errorf("%s: the page is wider than its window by %s pixels", name, over)
	}
	var whole []byte
	w.do(chromedp.Evaluate("document.activeElement.blur(); scrollTo(0, 0)", nil), chromedp.FullScreenshot(&whole, 100))
	w.keep(name, whole)
}

// top looks at what is in the window.
func (w *window) top(name string) {
	w.t.Helper()
	var part []byte
	w.do(chromedp.Evaluate("document.activeElement.blur(); scrollTo(0, 0)", nil), chromedp.CaptureScreenshot(&part))
	w.keep(name, part)
}

func (w *window) keep(name string, picture []byte) {
	w.t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil || len(picture) < 40_000 {
		w.t.Fatalf("%s: the picture has %d bytes (%v)", name, len(picture), err)
	}
	if *pictures == "" {
		return
	}
	if err := os.MkdirAll(*pictures, 0o755); err != nil {
		w.t.Fatal(err)
	}
	var smaller bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&smaller, flat(decoded)); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*pictures, name+".png"), smaller.Bytes(), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// flat puts a picture into 256 colours, which makes its file small: the page has few.
func flat(m image.Image) image.Image {
	b := m.Bounds()
	seen := map[color.RGBA]int{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			seen[rgba(m.At(x, y))]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(seen), func(a, b color.RGBA) int { return seen[b] - seen[a] })
	var palette color.Palette
	for _, c := range colours {
		if len(palette) < 256 && !slices.ContainsFunc(palette, func(p color.Color) bool { return near(c, p.(color.RGBA)) }) {
			palette = append(palette, c)
		}
	}
	nearest := map[color.RGBA]uint8{}
	out := image.NewPaletted(b, palette)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := rgba(m.At(x, y))
			i, known := nearest[c]
			if !known {
				i = uint8(palette.Index(c))
				nearest[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	return out
}

// near tells whether nobody would see the difference.
func near(a, b color.RGBA) bool {
	d := func(x, y uint8) int { return max(int(x), int(y)) - min(int(x), int(y)) }
	return d(a.R, b.R)+d(a.G, b.G)+d(a.B, b.B) < 10
}

func rgba(c color.Color) color.RGBA {
	r, g, b, _ := c.RGBA()
	return color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255}
}

// readable checks the colours of what is written against what is behind it: 4.5 to 1, as WCAG asks.
func (w *window) readable(name string) {
	w.t.Helper()
	if bad := w.eval(contrast); bad != "[]" {
		w.t.Errorf("%s: too little contrast: %s", name, bad)
	}
}

const contrast = `(() => {
  const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const lum = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((n, v, i) => n + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > .9) return c; } return [255, 255, 255, 1]; };
  const bad = new Set();
  for (const e of document.querySelectorAll('main *, header *, footer *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || e.closest('.hidden')) continue;
    const fg = e instanceof SVGElement ? getComputedStyle(e).fill : getComputedStyle(e).color;
    const a = lum(rgb(fg)), b = lum(behind(e instanceof SVGElement ? e.closest('div') : e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.add((e.id || e.className.baseVal || e.className || e.tagName) + ' ' + e.textContent.slice(0, 20) + ' ' + ratio.toFixed(2));
  }
  return JSON.stringify([...bad]);
})()`

// names is what a screen reader finds without a name, and ids that are there twice.
const names = `(() => {
  const bad = [];
  for (const e of document.querySelectorAll('button, a[href], summary, [tabindex="0"]'))
    if (e.checkVisibility() && !(e.innerText.trim() || e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') || '').split(' ').some(id => document.getElementById(id)?.textContent.trim()))) bad.push(e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll('[aria-labelledby]'))
    for (const id of e.getAttribute('aria-labelledby').split(' ')) if (!document.getElementById(id)) bad.push('no ' + id);
  const seen = new Set();
  for (const e of document.querySelectorAll('[id]')) { if (seen.has(e.id)) bad.push('twice ' + e.id); seen.add(e.id); }
  for (const t of document.querySelectorAll('table')) if (!t.tHead?.rows[0]?.cells.length) bad.push('a table without headers');
  let level = 0;
  for (const h of document.querySelectorAll('h1, h2, h3')) { const l = +h.tagName[1]; if (l > level + 1) bad.push('heading ' + h.textContent); level = l; }
  if (!document.documentElement.lang || document.querySelectorAll('main').length !== 1 || document.querySelectorAll('h1').length !== 1) bad.push('landmarks');
  return JSON.stringify(bad);
})()`

// accessible runs axe-core, a checker of what people with disabilities need, where AXE names its axe.min.js (from the npm
// package axe-core).
func (w *window) accessible(name string) {
	w.t.Helper()
	if os.Getenv("AXE") == "" {
		return
	}
	script, err := os.ReadFile(os.Getenv("AXE"))
	if err != nil {
		w.t.Fatal(err)
	}
	var bad string
	w.do(chromedp.Evaluate(string(script), nil), chromedp.Evaluate(
		`axe.run({ resultTypes: ['violations'] }).then(r => r.violations.map(v => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map(n => n.target).join(', ')).join('\n'))`,
		&bad, func(p *cdpruntime.EvaluateParams) *cdpruntime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if bad != "" {
		w.t.Errorf("%s: axe finds\n%s", name, bad)
	}
}

// TestPage looks at the page as people do: at rest, under load, while the table throttles and while it can't be written, and
// after the worker's end; in light and dark, on a phone, by keyboard.
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
	w := newWindow(t, s.Admin)
	text := func(id string) string { return w.eval("document.getElementById('" + id + "').innerText") }

	// At rest.
	w.until("the worker is idle", `document.getElementById('state').dataset.state === 'idle' && document.getElementById('state-title').innerText.startsWith('Idle')`)
	w.until("the backlog is known", `document.getElementById('waiting').innerText === '0'`)
	w.readable("at rest")
	if bad := w.eval(names); bad != "[]" {
		t.Errorf("a screen reader finds: %s", bad)
	}
	w.accessible("at rest")
	w.picture("status-rest")

	// Under load.
	ctx, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	var loading sync.WaitGroup
	loading.Go(func() { s.Load(ctx, 1100) })
	defer loading.Wait()
	defer stopLoad()
	w.until("it works", `document.getElementById('state').dataset.state === 'good' && /^Writing [\d,]+ predictions a second$/.test(document.getElementById('state-title').innerText)`)
	time.Sleep(*load)
	w.until("there are rejects", `document.querySelectorAll('#rejects tr').length >= 4`)
	for _, id := range []string{"received", "written", "held", "waiting", "needless", "age50", "age95", "age99", "fill", "batch-rate", "saved", "unit-rate", "uptime"} {
		if got := text(id); got == "–" || got == "" {
			t.Errorf("%s is not known under load", id)
		}
	}
	if got := text("announce"); !strings.HasPrefix(got, "At work. ") {
		t.Errorf("a screen reader is told %q", got)
	}
	w.readable("under load")
	w.accessible("under load")
	w.picture("status-load")
	w.size(1240, 752, false)
	w.top("status")
	w.size(1240, 1000, false)
	w.scheme("dark")
	w.readable("under load, dark")
	w.picture("status-load-dark")
	w.scheme("light")
	w.size(390, 844, true)
	w.picture("status-phone")
	w.size(1240, 1000, false)
	w.keyboard()

	// While the table throttles.
	s.SetCondition(e2e.Throttled)
	w.until("it says that the table slows it down", `document.getElementById('state').dataset.state === 'warning' && document.getElementById('state-text').innerText.includes('sent back')`)
	s.SetCondition(e2e.Healthy)

	// In an outage.
	s.SetCondition(e2e.Denied)
	w.until("it says why nothing is written", `document.getElementById('state').dataset.state === 'critical' && document.getElementById('state-reason').innerText.includes('AccessDeniedException')`)
	w.until("the intake is closed", `document.getElementById('received').innerText === 'closed' && document.getElementById('table-state').innerText === 'down'`)
	w.until("the charts show it", `+document.querySelector('#chart-throughput .down')?.getAttribute('width') > 5`)
	time.Sleep(*load / 4)
	w.until("the table is down at this moment", `document.getElementById('table-state').innerText === 'down'`)
	w.readable("in an outage")
	w.accessible("in an outage")
	if title := w.eval("document.title"); !strings.Contains(title, "can't be written") {
		t.Errorf("the tab is called %q", title)
	}
	w.picture("status-outage")
	w.scheme("dark")
	w.readable("in an outage, dark")
	w.scheme("light")
	s.SetCondition(e2e.Healthy)
	w.until("it has recovered", `document.getElementById('state').dataset.state !== 'critical' && document.getElementById('table-state').innerText === 'up'`)
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
	if w.eval("document.getElementById('tip').hidden") != "false" || w.eval("document.querySelectorAll('.plot .cross').length") != "6" {
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

package page

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
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

func newWindow(t *testing.T) *window {
	allocator, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-prefers-reduced-motion", false),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), // nothing from outside, whatever asks
	)...)
	t.Cleanup(stop)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, 10*time.Minute)
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
	w.do(log.Enable())
	return w
}

// open shows the page at an address.
func (w *window) open(address string) {
	w.t.Helper()
	w.size(1280, 900, false)
	w.scheme("light")
	w.do(chromedp.Navigate("http://" + address + "/"))
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
	w.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}, // bars are at their place at once
	}))
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
	if err := chromedp.Run(w.ctx, chromedp.Poll("!!("+expression+")", nil, chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		w.silent()
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

// whole keeps a picture of the whole page.
func (w *window) whole(name string) {
	w.t.Helper()
	var whole []byte
	w.do(chromedp.Evaluate("document.activeElement.blur(); scrollTo(0, 0)", nil), chromedp.FullScreenshot(&whole, 100))
	w.keep(name, whole)
}

// top keeps a picture of what is in the window.
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

// details opens or closes the settings.
func details(open bool) chromedp.Action {
	return chromedp.Evaluate(fmt.Sprintf(`document.getElementById('settings-box').open = %v`, open), nil)
}

// fits checks that no text leaves its card or the window, and that no name breaks inside a word.
func (w *window) fits(name string) {
	w.t.Helper()
	if over := w.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth"); over != "0" {
		w.t.Errorf("%s: the page is wider than its window by %s pixels", name, over)
	}
	if bad := w.eval(misfits); bad != "[]" {
		w.t.Errorf("%s: it does not fit: %s", name, bad)
	}
}

const misfits = `(() => {
  const bad = new Set(), words = new Set();
  const say = (e, what) => bad.add(what + ': ' + (e.id || e.className || e.tagName) + ' ' + e.textContent.slice(0, 30));
  for (const e of document.querySelectorAll('main *, header *, footer *')) {
    if (!(e instanceof HTMLElement) || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || e.closest('.hidden')) continue;
    const box = e.getBoundingClientRect(), card = e.closest('.card, .tile, .node, .state, .chart');
    if (box.right > document.documentElement.clientWidth + 1) say(e, 'outside of the window');
    if (card && box.right > card.getBoundingClientRect().right + 1) say(e, 'outside of its card');
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow === 'hidden') say(e, 'cut off');
  }
  for (const e of document.querySelectorAll('.settings code, #who dd, .node .name, .calls th, .example code')) {
    for (const n of e.childNodes) {
      if (n.nodeType !== 3 || /\s/.test(n.textContent.trim())) continue;
      const range = document.createRange();
      range.selectNodeContents(n);
      if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1) say(e, 'breaks inside ' + n.textContent);
    }
  }
  return JSON.stringify([...bad]);
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

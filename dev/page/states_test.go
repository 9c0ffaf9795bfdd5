package page

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// widths are those of a laptop's, a tablet's and a phone's screen.
var widths = []struct {
	name          string
	width, height int64
	phone         bool
}{
	{"1280", 1280, 900, false},
	{"768", 768, 1024, false},
	{"390", 390, 844, true},
}

var (
	pictures = flag.String("pictures", "", "a folder for the pictures; docs/images has the committed ones")
	every    = flag.Bool("every", false, "with -pictures: take each state at each width, in light and dark, as a whole")
)

// committed are the pictures in docs/images, by state, width and scheme.
var committed = map[string]string{
	"writing-1280-light": "status", "idle-1280-light": "status-idle", "behind-catching-up-1280-light": "status-behind",
	"behind-growing-1280-light": "status-growing", "outage-1280-light": "status-outage", "rejecting-1280-light": "status-rejecting",
	"writing-1280-dark": "status-dark", "throttled-768-dark": "status-tablet", "behind-catching-up-390-light": "status-phone",
}

// A scene is a recording of internal/statuspage's TestScenes, and what the page must say about it.
type scene struct{ Name, State, Level, Title, Text, Reason, Remedy string }

// record runs the scenes in the worker's module, whose dependencies this one doesn't have.
func record(t *testing.T) (folder string, scenes []scene) {
	t.Helper()
	folder = t.TempDir()
	run := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "^TestScenes$", "./internal/statuspage", "-record", folder)
	run.Dir = filepath.Join("..", "..")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal(read(t, folder, "scenes.json"), &scenes); err != nil || len(scenes) == 0 {
		t.Fatalf("no scenes: %v", err)
	}
	return folder, scenes
}

func read(t *testing.T, folder, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// serve returns the address of a page that shows a recording, as if it went on: its snapshot comes each second.
func serve(t *testing.T, folder, name string) string {
	t.Helper()
	document, policy, events := read(t, folder, "page.html"), read(t, folder, "policy"), read(t, folder, name+".events")
	facts, snapshot, found := bytes.Cut(events, []byte("event: snapshot"))
	if !found {
		t.Fatalf("%s has no snapshot", name)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "text/html; charset=utf-8")
		answer.Header().Set("Content-Security-Policy", string(policy))
		_, _ = answer.Write(document)
	})
	mux.HandleFunc("GET /events", func(answer http.ResponseWriter, request *http.Request) {
		answer.Header().Set("Content-Type", "text/event-stream")
		_, err := answer.Write(facts)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for err == nil {
			if _, err = fmt.Fprintf(answer, "event: snapshot%s", snapshot); err == nil {
				err = http.NewResponseController(answer).Flush()
			}
			select {
			case <-ticker.C:
			case <-request.Context().Done():
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// TestStates looks at the page in each state, at three widths, in light and dark.
func TestStates(t *testing.T) {
	browser(t)
	folder, scenes := record(t)
	w := newWindow(t)
	for _, s := range scenes {
		t.Run(s.Name, func(t *testing.T) {
			w.t = t
			w.open(serve(t, folder, s.Name))
			w.until("the state is shown", fmt.Sprintf(`document.getElementById('state').dataset.state === %q`, s.State))
			if level := w.eval(`document.getElementById('state').dataset.level`); level != s.Level {
				t.Errorf("the level is %q, not %q", level, s.Level)
			}
			for id, want := range map[string]string{"state-title": s.Title, "state-text": s.Text, "state-reason": s.Reason, "state-remedy": s.Remedy, "who": "predcache-6f7c9d8b5-x2lbp"} {
				if got := w.eval(fmt.Sprintf(`document.getElementById(%q).innerText`, id)); !strings.Contains(got, want) || want == "" && got != "" {
					t.Errorf("%s is %q, not %q", id, got, want)
				}
			}
			if s.Level == "warning" || s.Level == "critical" {
				if title := w.eval("document.title"); !strings.Contains(title, s.Title) {
					t.Errorf("the tab is called %q", title)
				}
			}
			for _, size := range widths {
				w.size(size.width, size.height, size.phone)
				for _, scheme := range []string{"light", "dark"} {
					name := s.Name + "-" + size.name + "-" + scheme
					w.scheme(scheme)
					w.keepPictures(name)
					w.do(details(true))
					w.readable(name)
					w.fits(name)
					w.accessible(name)
					w.do(details(false))
				}
			}
			w.silent()
			w.do(chromedp.Navigate("about:blank")) // before the server closes its connections
		})
	}
}

// keepPictures keeps those that are asked for.
func (w *window) keepPictures(name string) {
	w.t.Helper()
	switch short := committed[name]; {
	case *pictures == "":
	case *every:
		w.whole(name)
	case short != "":
		w.top(short)
	}
}

package statuspage

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
)

// maxViewers is the maximum number of open pages.
const maxViewers = 32

// Handler serves the page, /status.json, /events and pprof, for the operators of the worker. Over loopback it answers only
// requests for localhost or an IP address.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", servePage)
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("GET /status.json", p.json)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return sameMachine(mux)
}

// sameMachine refuses requests over loopback for another host name. It prevents DNS rebinding: a web site could resolve its name
// to 127.0.0.1, and its script in a visitor's browser could read this address.
func sameMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if ok && local.IP.IsLoopback() {
			host, _, err := net.SplitHostPort(r.Host)
			if err != nil {
				host = r.Host
			}
			if host != "localhost" && !strings.HasSuffix(host, ".localhost") && net.ParseIP(strings.Trim(host, "[]")) == nil {
				http.Error(w, "call this address by its number or as localhost", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// send sends an event to each viewer. It disconnects one that can't keep up, whose page reconnects. It requires that p.mu is
// held.
func (p *Page) send(event []byte) {
	for viewer := range p.viewers {
		select {
		case viewer <- event:
		default:
			close(viewer)
			delete(p.viewers, viewer)
		}
	}
}

// marshal encodes a server-sent event.
func marshal(name string, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // can't happen: type number replaces the values that JSON lacks
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, text)
}

// events serves /events: first the facts and the charts' points, then a snapshot each second.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	viewer := make(chan []byte, 4)
	p.mu.Lock()
	if len(p.viewers) >= maxViewers {
		p.mu.Unlock()
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	first := marshal("facts", struct {
		Facts
		Step   int64            `json:"step"`
		Window int64            `json:"window"`
		Points map[string][]any `json:"points"`
	}{p.facts, step.Milliseconds(), window.Milliseconds(), columns(p.points)})
	if p.latest != nil {
		first = append(first, marshal("snapshot", p.latest)...)
	}
	p.viewers[viewer] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.viewers, viewer)
	}()

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	flush := http.NewResponseController(w)
	write := func(event []byte) bool {
		_, err := w.Write(event)
		return err == nil && flush.Flush() == nil
	}
	if !write(append([]byte("retry: 2000\n\n"), first...)) {
		return
	}
	for {
		select {
		case event, open := <-viewer:
			if !open || !write(event) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// json serves /status.json: the newest snapshot, and the facts.
func (p *Page) json(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	latest, facts := p.latest, p.facts
	p.mu.Unlock()
	if latest == nil {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	// An error means that the client has gone.
	_ = out.Encode(struct {
		*Snapshot
		Facts Facts `json:"facts"`
	}{latest, facts})
}

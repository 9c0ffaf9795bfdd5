package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Status follows the metrics and shows them: as a page, as events for the page, and as JSON.
type Status struct {
	metrics *Metrics
	health  *Health
	started time.Time

	mu      sync.Mutex
	facts   Facts
	backlog func(context.Context) (waiting, inFlight int, err error)
	known   *Backlog
	asked   time.Time
	samples []*sample // one a second, the newest last, of the last minute
	points  []Point   // one a step, the newest last
	working bool      // it has been at work
	latest  *Figures
	viewers map[chan []byte]bool
}

// Facts are what doesn't change while the worker runs.
type Facts struct {
	Version  string    `json:"version"`
	Queue    string    `json:"queue"`
	Rejects  string    `json:"rejects"`
	Table    string    `json:"table"`
	Layout   string    `json:"layout"`
	Region   string    `json:"region"`
	Settings []Setting `json:"settings"`
	Limits   Limits    `json:"-"`
}

// A Setting is one in force.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Meaning string `json:"meaning"`
}

// maxViewers bounds the pages that are open at once.
const maxViewers = 32

// NewStatus makes a Status; Run lets it follow.
func NewStatus(m *Metrics, h *Health, facts Facts) *Status {
	return &Status{metrics: m, health: h, started: time.Now(), facts: facts, viewers: map[chan []byte]bool{}}
}

// Found adds what the worker found out at its start. backlog asks how much the queue holds: it is called while somebody
// looks at the page, every ten seconds at the most.
func (s *Status) Found(layout string, backlog func(context.Context) (waiting, inFlight int, err error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts.Layout, s.backlog = layout, backlog
	// Pages that are open already are told to come again for the facts.
	for viewer := range s.viewers {
		close(viewer)
		delete(s.viewers, viewer)
	}
}

// Run takes a sample each second until ctx is done.
func (s *Status) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		s.tick(time.Now())
		if ask := s.dueBacklog(time.Now()); ask != nil {
			asking.Go(func() { s.ask(ctx, ask) })
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// backlogEvery is how often the queue is asked while somebody looks. A call costs as much as a receive.
const backlogEvery = 10 * time.Second

func (s *Status) dueBacklog(now time.Time) func(context.Context) (int, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog == nil || len(s.viewers) == 0 || now.Sub(s.asked) < backlogEvery {
		return nil
	}
	s.asked = now
	return s.backlog
}

func (s *Status) ask(ctx context.Context, ask func(context.Context) (int, int, error)) {
	ctx, cancel := context.WithTimeout(ctx, backlogEvery/2)
	defer cancel()
	waiting, inFlight, err := ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = nil // an old figure would look like a new one
	if err == nil {
		s.known = &Backlog{waiting, inFlight, time.Now().UnixMilli()}
	}
}

// tick takes a sample, works out the figures, and sends them to who looks.
func (s *Status) tick(at time.Time) {
	now := s.metrics.sample(at)
	failing, working := s.health.Conditions()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, now)
	if keep := int(time.Minute/time.Second) + 1; len(s.samples) > keep {
		s.samples = append(s.samples[:0], s.samples[len(s.samples)-keep:]...)
	}
	s.working = s.working || working
	f := s.figures(now, s.before(10*time.Second), s.before(time.Minute))
	f.Failing, f.Backlog = failing, s.known
	s.say(f, now, s.before(time.Minute), working)
	s.latest = f
	event := struct {
		*Figures
		Point *Point `json:"point,omitempty"`
	}{Figures: f}
	if from := s.before(step); len(s.points) == 0 || at.UnixMilli()-s.points[len(s.points)-1].Time >= (step-step/10).Milliseconds() {
		p := point(now, from)
		s.points = append(s.points, p)
		if most := int(window/step) + 1; len(s.points) > most {
			s.points = append(s.points[:0], s.points[len(s.points)-most:]...)
		}
		event.Point = &p
	}
	if len(s.viewers) > 0 {
		s.send(marshal("figures", event))
	}
}

// before returns the newest sample that is at least so old, or the oldest. s.mu is held.
func (s *Status) before(d time.Duration) *sample {
	now := s.samples[len(s.samples)-1].at
	for i := len(s.samples) - 1; i >= 0; i-- {
		if now.Sub(s.samples[i].at) >= d-50*time.Millisecond {
			return s.samples[i]
		}
	}
	return s.samples[0]
}

// send hands an event to each viewer. One that can't keep up is let go: its page comes again by itself. s.mu is held.
func (s *Status) send(event []byte) {
	for viewer := range s.viewers {
		select {
		case viewer <- event:
		default:
			close(viewer)
			delete(s.viewers, viewer)
		}
	}
}

// marshal makes a server-sent event.
func marshal(name string, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers that JSON can't hold are null, and all else is plain
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, text)
}

// Events implements /events: first the facts and the charts' points, then the figures each second.
func (s *Status) Events(w http.ResponseWriter, r *http.Request) {
	viewer := make(chan []byte, 4)
	s.mu.Lock()
	if len(s.viewers) >= maxViewers {
		s.mu.Unlock()
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	first := marshal("facts", struct {
		Facts
		Step   int64            `json:"step"`
		Window int64            `json:"window"`
		Points map[string][]any `json:"points"`
	}{s.facts, step.Milliseconds(), window.Milliseconds(), columns(s.points)})
	if s.latest != nil {
		first = append(first, marshal("figures", s.latest)...)
	}
	s.viewers[viewer] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.viewers, viewer)
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

// JSON implements /status.json: the newest figures.
func (s *Status) JSON(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	f := s.latest
	s.mu.Unlock()
	if f == nil {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	// An error here is the client's going away.
	_ = out.Encode(f)
}

// appendRounded writes a number with four significant digits, or whole where it is large.
func appendRounded(b []byte, f float64) []byte {
	if f >= 1000 || f <= -1000 {
		return strconv.AppendFloat(b, f, 'f', 0, 64)
	}
	text := strconv.FormatFloat(f, 'g', 4, 64)
	short, _ := strconv.ParseFloat(text, 64) // it was just formatted
	return strconv.AppendFloat(b, short, 'f', -1, 64)
}

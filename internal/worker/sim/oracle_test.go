package sim

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/writer"
)

// An invariant is a property that must hold in every run. The numbers are those of docs/guarantees.md.
type invariant string

const (
	safeDelete  invariant = "1, deleted only when safe"
	keyOrder    invariant = "3, one write of a key at a time, in order"
	neighbours  invariant = "4, neighbours of a bad prediction are written"
	noReceives  invariant = "5, a receive count rises only with a cause"
	prompt      invariant = "5, a reject queue that is down delays only rejects"
	bounded     invariant = "6, memory is bounded"
	drainsClean invariant = "7, a drain hides nothing and ends in time"
	unlogged    invariant = "8, the log has nothing of a message"

	// Beyond the numbered ones.
	stored      invariant = "an item is what its prediction says"
	newestLeft  invariant = "the newest version is left"
	hidden      invariant = "what a delete hides is never returned"
	removalLast invariant = "a delete's message goes after its removal"
	removalDue  invariant = "an item is removed only after the tombstone that hides it"
	newerStays  invariant = "nothing newer than a delete is lost"
	explained   invariant = "a reject says why"
	needless    invariant = "what is known to be written or rejected is not sent again"
	hotLoop     invariant = "no call is repeated without a pause"
	stuck       invariant = "everything ends"
)

// An oracle checks the invariants. The fakes call it for each call before its effect, and for each effect before its answer.
type oracle struct {
	s *simulation

	mu         sync.Mutex // taken after a fake's own
	violations []string
	broken     map[invariant]string // the first violation of each invariant, and of "" the first of all
	struck     map[string]int       // faults and events, by kind
	calls      int
	trace      trace

	// What was sent.
	parts   map[int]*part            // by mark
	byKey   map[string][]*part       // the good ones
	tied    map[string]map[int64]int // by key and event time: a mark, or -1 if several share it
	bodies  map[string]*message
	sentBad int // messages with a bad part

	// What became of it.
	messages   map[string]*message // by SQS's id, once received
	top        map[string]int64    // by key: the newest version that was ever written
	sentAt     map[int]time.Time   // by mark: when it was first sent
	rejected   map[int]int         // by mark: how often the reject queue has taken it
	deliveries map[int]int         // by mark: how often it was received
	received   map[string][]string // by message id: who received it and when
	excused    map[string]int      // by message id: receives that a fault or the platform caused
	holder     map[string]*replica // by message id: who received it last and has the answer
	views      map[*replica]*view

	// The table was deleted and created again.
	table   int              // how often
	created time.Time        // the last time
	lost    map[string]int64 // top of the table that was deleted
	noted   bool             // an index refuses notes that are strings

	deletesOracle

	objects objectState

	late   bool // effects may come after their call was given up
	strict bool // each receive beyond the first needs an excuse
}

// A view is the oracle's knowledge of a replica.
type view struct {
	doomed, killed bool
	delivered      map[string]bool      // message ids that it was ever sent
	out            map[string]bool      // message ids that it must be holding
	since          map[string]time.Time // by message id: when it was first received, since its last release
	underWay       map[string]*call     // by key: its write
	acked          map[string]ack       // by key: the newest version that it knows to be written
	ackedMark      map[int]ack          // what it knows to be written, with the sent time that the item has
	downSince      map[*fault]time.Time // when an outage first struck it
	deep           map[*fault]int       // receives long after that
	throttled      map[*fault]int       // calls in the first 40 s of throttling
	removals       removalView
	second         int64 // the second that failures counts the faults of
	failures       int
}

func newOracle(s *simulation) *oracle {
	o := &oracle{
		s: s, broken: map[invariant]string{}, struck: map[string]int{}, parts: map[int]*part{}, byKey: map[string][]*part{}, tied: map[string]map[int64]int{},
		bodies: map[string]*message{}, messages: map[string]*message{}, top: map[string]int64{}, rejected: map[int]int{}, sentAt: map[int]time.Time{}, deliveries: map[int]int{},
		received: map[string][]string{}, excused: map[string]int{}, holder: map[string]*replica{}, views: map[*replica]*view{},
		strict: s.visibility >= 20*time.Second, objects: newObjectState(), deletesOracle: newDeletesOracle(),
	}
	for _, f := range s.faults {
		o.late = o.late || f.kind == "late"
		o.strict = o.strict && f.class != classVisible
	}
	return o
}

// view requires that o.mu is held.
func (o *oracle) view(r *replica) *view {
	v := o.views[r]
	if v == nil {
		v = &view{
			delivered: map[string]bool{}, out: map[string]bool{}, underWay: map[string]*call{}, acked: map[string]ack{},
			ackedMark: map[int]ack{}, since: map[string]time.Time{}, downSince: map[*fault]time.Time{}, throttled: map[*fault]int{}, deep: map[*fault]int{},
			removals: newRemovalView(),
		}
		o.views[r] = v
	}
	return v
}

func (o *oracle) violate(broken invariant, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.violated(broken, format, args...)
}

// violated requires that o.mu is held. It keeps only a few violations: the first one is usually the cause
// of the others.
func (o *oracle) violated(broken invariant, format string, args ...any) {
	const most = 5
	o.trace.ended = true
	first := o.broken[broken] == ""
	if !first && len(o.violations) >= most {
		return
	}
	text := fmt.Sprintf("invariant %s: %s (after %v)", broken, brief(fmt.Sprintf(format, args...)), o.elapsed())
	if first {
		o.broken[broken], o.broken[""] = text, cmp.Or(o.broken[""], text)
	}
	if len(o.violations) < most {
		o.violations = append(o.violations, text)
	}
}

// brief truncates a text to a few lines.
func brief(text string) string {
	const most = 400
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

// short is the beginning of a message id, as the trace prints it.
func short(id string) string { return id[:min(len(id), 8)] }

func (o *oracle) count(kind string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.struck[kind]++
	o.traced("%s", kind)
}

func (o *oracle) callNumber() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	return o.calls
}

// random returns a number in [0, 1) that the seed and n decide.
func (o *oracle) random(n uint64) float64 {
	x := o.s.seed*0x9e3779b97f4a7c15 ^ n*0xbf58476d1ce4e5b9
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

func (o *oracle) elapsed() time.Duration { return time.Since(o.s.start) }

// now returns the services' time, in seconds since the epoch.
func (o *oracle) now() int64 { return time.Now().Add(o.s.skew).Unix() }

// sent records a message before it is sent.
func (o *oracle) sent(m *message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bodies[m.body] = m
	if m.anyBad() {
		o.sentBad++
	}
	for _, p := range m.parts {
		if o.parts[p.mark] == nil {
			o.parts[p.mark], o.sentAt[p.mark] = p, time.Now()
		}
		if p.bad {
			continue
		}
		o.known(p)
		key := p.key(o.s.plan)
		o.byKey[key] = append(o.byKey[key], p)
		at := o.tied[key]
		if at == nil {
			at = map[int64]int{}
			o.tied[key] = at
		}
		if mark, found := at[p.event]; found && mark != p.mark {
			at[p.event] = -1
		} else {
			at[p.event] = p.mark
		}
	}
}

// fault is the fakes' hook: it checks a call's request and decides its fault.
func (o *oracle) fault(c *awstest.Call) awstest.Fault {
	call, _ := c.Context().Value(callKey{}).(*call)
	class := classOf(c)
	if call == nil || class == "" {
		return awstest.Fault{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tracedCall(call, c)
	call.objects = c.Resource == objectsQueue
	v := o.view(call.replica)
	switch class {
	case classWrite, classRemove:
		o.writeAsked(v, call, c)
	case classQuery:
		call.pass = o.seq
	case classDelete:
		o.deleteAsked(v, call, c)
	case classVisible:
		o.visibilityAsked(v, call, c)
	case classRead:
		o.readAsked(call, c)
	case classRange:
		o.rangesAsked(call, c)
	}
	f := o.choose(v, class, call, c)
	switch class {
	case classWrite, classRemove:
		f.After = func() { o.writeTookEffect(call, c) }
	case classQuery:
		f.After = func() { o.queried(call) }
	case classReceive:
		redeliver := f.Redeliver
		f.Redeliver = func(e awstest.Entry) bool { return o.delivered(call, e, redeliver != nil && redeliver(e)) }
	case classReject, classRange:
		refuse := f.FailEntry
		f.After = func() {
			for i, e := range c.Entries {
				switch {
				case refuse != nil && refuse(i, e) != nil:
				case class == classRange:
					o.rangeAccepted(e.Body)
				default:
					o.inRejectQueue(call, e.Body)
				}
			}
		}
	}
	return f
}

// choose picks the fault that strikes a call. It requires that o.mu is held.
func (o *oracle) choose(v *view, class class, call *call, c *awstest.Call) awstest.Fault {
	var chosen *fault
	for i, f := range o.s.faults {
		if !f.strikes(class) || !f.at(o.elapsed()) || chosen != nil && chosen.outage() {
			continue
		}
		if f.outage() || chosen == nil && o.random(uint64(i)<<40^uint64(c.N)<<8^uint64(len(class))) < f.chance {
			chosen = f
		}
	}
	for _, e := range c.Entries {
		if id := e.Item.Text("predictionId"); class == classWrite && (chosen == nil || !chosen.outage()) && strings.HasPrefix(id, refusedID) {
			o.struck["write: an item refused"]++
			return awstest.Fault{Err: dynamodbfake.Validation("One or more parameter values were invalid: " + id)}
		}
	}
	if chosen == nil {
		return awstest.Fault{}
	}
	f, strikes := o.strike(chosen, c)
	if !strikes {
		return awstest.Fault{}
	}
	o.struck[string(class)+": "+chosen.kind]++
	o.traced("%s call %d is struck: %s", call.replica.name, c.N, chosen.kind)
	o.struckAgain(v, call, c)
	call.struck = true
	call.spoiled = f.LoseAnswer || f.TearAnswer || f.HangAnswer || f.ErrAfter != nil
	if chosen.outage() {
		o.down(v, chosen, call)
	}
	return f
}

// maxThrottled is how many calls a replica may make in the first 40 s of throttling that lets nothing through.
const maxThrottled = 300

// down records that an outage strikes a replica, and checks that the replica slows down. It requires that o.mu is held.
func (o *oracle) down(v *view, f *fault, call *call) {
	if v.downSince[f].IsZero() {
		v.downSince[f] = time.Now()
	}
	if f.kind != "throttle" || time.Since(v.downSince[f]) > 40*time.Second {
		return
	}
	most := o.callsOf(maxThrottled)
	if v.throttled[f]++; v.throttled[f] == most {
		o.violated(hotLoop, "%s made %d calls in %v of nothing but throttling", call.replica.name, most, time.Since(v.downSince[f]))
	}
}

// callsOf returns the maximum number of calls for a number of batches: a conditional write is a call per item.
func (o *oracle) callsOf(batches int) int {
	if o.s.ordering == config.OrderingNewest {
		return batches * writer.CallsPerBatch
	}
	return batches
}

// struckAgain detects a replica that repeats failing calls without a pause. It requires that o.mu is held.
func (o *oracle) struckAgain(v *view, call *call, c *awstest.Call) {
	if now := time.Now().Unix(); now != v.second {
		v.second, v.failures = now, 0
	}
	most := o.callsOf(150) // 40 batches of a backlog may each fail for the first few times in it
	if v.failures++; v.failures == most {
		o.violated(hotLoop, "%s had %d faults in one second, the last of them in %s", call.replica.name, most, c.Operation)
	}
}

// markOf returns the first mark in a text, or -1.
func markOf(text string) int {
	if marks := marksOf(text); len(marks) > 0 {
		return marks[0]
	}
	return -1
}

func marksOf(text string) (marks []int) {
	for {
		_, rest, found := strings.Cut(text, "#")
		digits, after, closed := strings.Cut(rest, "#")
		if !found || !closed {
			return marks
		}
		if n, err := strconv.Atoi(digits); err == nil && n < math.MaxInt32 {
			marks = append(marks, n)
			text = after
		} else {
			text = rest
		}
	}
}

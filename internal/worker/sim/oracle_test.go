package sim

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
	"github.com/predcache/predcache/internal/writer"
)

// simWrite is one item of a write that took effect.
type simWrite struct {
	part *simPart
	key  string
}

// A simOracle watches the fakes and knows what must never be. It learns of each call before it takes effect and of each
// effect before it is answered. Numbers in its comments are the invariants of the design.
type simOracle struct {
	s *simulation

	mu         sync.Mutex // taken after a fake's own
	violations []string
	struck     map[string]int // faults and events, by kind
	calls      int

	parts    map[int]*simPart
	tied     map[string]map[int64]int // by key and event time: a mark, or -1 where several share it
	byKey    map[string][]*simPart    // the good ones
	bodies   map[string]*simMessage
	messages map[string]*simMessage // by SQS's id
	sentBad  int                    // messages with a bad part

	top      map[string]int64    // by key, the newest event time that was ever written
	rejected map[int]bool        // by mark: it is in the reject queue
	received map[string][]string // by message, who received it and when
	excused  map[string]int      // receives that an injected fault or the platform caused
	holder   map[string]*simReplica
	replicas map[*simReplica]*simReplicaView
	late     bool // an effect may come after its call was given up
	strict   bool // receives may be burned by what excuses them alone
}

// simReplicaView is what the oracle knows of a replica.
type simReplicaView struct {
	doomed    bool
	delivered map[string]bool // ever
	out       map[string]bool // it must be holding these
	underWay  map[string]*simCall
	acked     map[string]int64 // by key: the newest event time that it knows to be written
	ackedMark map[int]bool
	downSince map[*simFault]time.Time
	deep      map[*simFault]int
	second    int64 // in which so many faults struck
	failures  int
	killed    bool
}

func newSimOracle(s *simulation) *simOracle {
	o := &simOracle{
		s: s, struck: map[string]int{}, parts: map[int]*simPart{}, tied: map[string]map[int64]int{}, bodies: map[string]*simMessage{}, byKey: map[string][]*simPart{},
		messages: map[string]*simMessage{}, top: map[string]int64{}, rejected: map[int]bool{}, received: map[string][]string{},
		excused: map[string]int{}, holder: map[string]*simReplica{}, replicas: map[*simReplica]*simReplicaView{},
		strict: s.visibility >= 20*time.Second,
	}
	for _, f := range s.faults {
		o.late = o.late || f.kind == "late"
		o.strict = o.strict && f.class != classVisible
	}
	return o
}

func (o *simOracle) violate(what, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.violated(what, format, args...)
}

// violated requires that o.mu be held.
func (o *simOracle) violated(what, format string, args ...any) {
	if len(o.violations) < 20 {
		o.violations = append(o.violations, fmt.Sprintf("%s: %s (after %v)", what, fmt.Sprintf(format, args...), time.Since(o.s.start)))
	}
}

func (o *simOracle) count(kind string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.struck[kind]++
}

func (o *simOracle) callNumber() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	return o.calls
}

// random is a number from 0 to 1 that the seed and n decide.
func (o *simOracle) random(n uint64) float64 {
	x := o.s.seed*0x9e3779b97f4a7c15 ^ n*0xbf58476d1ce4e5b9
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

// view requires that o.mu be held.
func (o *simOracle) view(r *simReplica) *simReplicaView {
	v := o.replicas[r]
	if v == nil {
		v = &simReplicaView{
			delivered: map[string]bool{}, out: map[string]bool{}, underWay: map[string]*simCall{}, acked: map[string]int64{},
			ackedMark: map[int]bool{}, downSince: map[*simFault]time.Time{}, deep: map[*simFault]int{},
		}
		o.replicas[r] = v
	}
	return v
}

// now is the services' time, in seconds since the epoch.
func (o *simOracle) now() int64 { return time.Now().Add(o.s.skew).Unix() }

func (o *simOracle) sent(m *simMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bodies[m.body] = m
	if m.anyBad() {
		o.sentBad++
	}
	for _, p := range m.parts {
		o.parts[p.mark] = p
		if p.bad {
			continue
		}
		o.byKey[p.key(o.s.layout)] = append(o.byKey[p.key(o.s.layout)], p)
		at := o.tied[p.key(o.s.layout)]
		if at == nil {
			at = map[int64]int{}
			o.tied[p.key(o.s.layout)] = at
		}
		if mark, found := at[p.event]; found && mark != p.mark {
			at[p.event] = -1
		} else {
			at[p.event] = p.mark
		}
	}
}

func classOf(c *awstest.Call) string {
	switch c.Operation {
	case "BatchWriteItem", "PutItem", "UpdateItem":
		return classWrite
	case "ReceiveMessage":
		return classReceive
	case "DeleteMessageBatch", "DeleteMessage":
		return classDelete
	case "ChangeMessageVisibilityBatch", "ChangeMessageVisibility":
		return classVisible
	case "SendMessageBatch":
		return classReject
	}
	return ""
}

// fault is the fakes' hook: it checks what a call asks for, and decides what goes wrong with it.
func (o *simOracle) fault(c *awstest.Call) awstest.Fault {
	call, _ := c.Context().Value(simCallKey{}).(*simCall)
	class := classOf(c)
	if call == nil || class == "" {
		return awstest.Fault{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if *simTrace {
		fmt.Fprintf(os.Stderr, "%v %s %s", time.Since(o.s.start), call.replica.name, c.Operation)
		for _, e := range c.Entries {
			fmt.Fprintf(os.Stderr, " [%.8s %d %s %d]", e.MessageID, e.Visibility, e.Item.Text("predictionId"), markOf(e.Item.Text(item.AttrPayload)))
		}
		fmt.Fprintln(os.Stderr)
	}
	v := o.view(call.replica)
	switch class {
	case classWrite:
		o.writeAsked(v, call, c)
	case classDelete:
		o.deleteAsked(v, call, c)
	case classVisible:
		for _, e := range c.Entries {
			if e.Visibility == 0 {
				delete(v.out, e.MessageID)
				o.released(v, call, e.MessageID)
			}
		}
	}
	f := o.choose(v, class, call, c)
	switch class {
	case classWrite:
		f.After = func() { o.writeTookEffect(call, c) }
	case classReceive:
		redeliver := f.Redeliver
		f.Redeliver = func(e awstest.Entry) bool { return o.delivered(call, e, redeliver != nil && redeliver(e)) }
	case classReject:
		refuse := f.FailEntry
		f.After = func() {
			for i, e := range c.Entries {
				if refuse == nil || refuse(i, e) == nil {
					o.inRejectQueue(e.Body)
				}
			}
		}
	}
	return f
}

// choose requires that o.mu be held.
func (o *simOracle) choose(v *simReplicaView, class string, call *simCall, c *awstest.Call) awstest.Fault {
	elapsed := time.Since(o.s.start)
	var chosen *simFault
	for i, f := range o.s.faults {
		if f.class != class || elapsed < f.from || elapsed >= f.to || chosen != nil && chosen.outage() {
			continue
		}
		if f.outage() || chosen == nil && o.random(uint64(i)<<40^uint64(c.N)<<8^uint64(len(class))) < f.chance {
			chosen = f
		}
	}
	for _, e := range c.Entries {
		if class == classWrite && (chosen == nil || !chosen.outage()) && strings.HasPrefix(e.Item.Text("predictionId"), simSecret+"-refused") {
			o.struck["write: an item refused"]++
			return awstest.Fault{Err: awstest.Validation("One or more parameter values were invalid: " + e.Item.Text("predictionId"))}
		}
	}
	if chosen != nil {
		if f, strikes := o.make(chosen, c); strikes {
			o.struck[class+": "+chosen.kind]++
			call.struck = true
			o.struckAgain(v, call, c)
			call.spoiled = f.LoseAnswer || f.TearAnswer || f.HangAnswer || f.ErrAfter != nil
			if chosen.outage() && v.downSince[chosen].IsZero() {
				v.downSince[chosen] = time.Now()
			}
			return f
		}
	}
	return awstest.Fault{}
}

// struckAgain notices a replica that repeats what fails without a pause. It requires that o.mu be held.
func (o *simOracle) struckAgain(v *simReplicaView, call *simCall, c *awstest.Call) {
	if now := time.Now().Unix(); now != v.second {
		v.second, v.failures = now, 0
	}
	most := 150 // 40 batches of a backlog may each fail for the first few times in it
	if o.s.ordering == config.OrderingNewest {
		most *= writer.PutsAtOnce // a batch is as many calls
	}
	if v.failures++; v.failures == most {
		o.violated("hot loop", "%s had %d faults in one second, the last of them in %s", call.replica.name, most, c.Operation)
	}
}

// make turns a planned fault into one of this call.
func (o *simOracle) make(f *simFault, c *awstest.Call) (awstest.Fault, bool) {
	n := uint64(c.N) << 16
	sqs := f.class != classWrite
	switch f.kind {
	case "throttle":
		if sqs {
			return awstest.Fault{Err: awstest.RequestThrottled()}, true
		}
		return awstest.Fault{Err: awstest.ProvisionedThroughputExceeded()}, true
	case "throttle keys":
		for _, e := range c.Entries {
			if e.Item.Text("predictionId") == o.s.hot {
				return awstest.Fault{Err: awstest.Throttling(awstest.ThrottlingReason{
					Reason: "TableWriteKeyRangeThroughputExceeded", Resource: "arn:aws:dynamodb:eu-west-1:000000000000:table/" + workertest.TableName,
				})}, true
			}
		}
		return awstest.Fault{}, false
	case "unprocessed":
		spared := int(o.random(n) * float64(len(c.Entries)))
		return awstest.Fault{Unprocessed: func(i int, _ awstest.Entry) bool { return i != spared && o.random(n+uint64(i)+1) < 0.5 }}, len(c.Entries) > 1
	case "unprocessed all":
		return awstest.Fault{Unprocessed: awstest.UnprocessedFrom(0)}, true
	case "partial":
		return awstest.Fault{FailEntry: func(i int, _ awstest.Entry) *awstest.EntryError {
			if o.random(n+uint64(i)) < 0.5 {
				return &awstest.EntryError{Code: "InternalError", Message: "We encountered an internal error. Please try again."}
			}
			return nil
		}}, true
	case "error":
		switch {
		case o.random(n) < 0.3:
			return awstest.Fault{Err: awstest.ServiceUnavailable()}, true
		case sqs:
			return awstest.Fault{Err: awstest.InternalError()}, true
		}
		return awstest.Fault{Err: awstest.InternalServerError()}, true
	case "error after":
		return awstest.Fault{ErrAfter: awstest.InternalServerError()}, true
	case "denied":
		return awstest.Fault{Err: awstest.AccessDenied(c.Operation)}, true
	case "drop":
		return awstest.Fault{Drop: true}, true
	case "hang":
		return awstest.Fault{Hang: true}, true
	case "lose":
		return awstest.Fault{LoseAnswer: true}, true
	case "tear":
		return awstest.Fault{TearAnswer: true}, true
	case "hang answer":
		return awstest.Fault{HangAnswer: true}, true
	case "delay":
		d := time.Duration(o.random(n) * 0.8 * float64(o.s.callTimeout))
		return awstest.Fault{Delay: d / 2, AnswerDelay: d / 2}, true
	case "late":
		return awstest.Fault{Delay: o.s.callTimeout + 2*time.Second}, true
	case "redeliver":
		return awstest.Fault{Redeliver: func(awstest.Entry) bool { return true }}, true
	}
	panic("no fault of the kind " + f.kind)
}

// writeAsked checks 3: one worker never has two writes of a key under way. It requires that o.mu be held.
func (o *simOracle) writeAsked(v *simReplicaView, call *simCall, c *awstest.Call) {
	if call.ended {
		return
	}
	for _, e := range c.Entries {
		key := o.tableKey(e.Item)
		if other := v.underWay[key]; other != nil && other != call {
			o.violated("invariant 3", "%s has two writes of %s under way", call.replica.name, key)
		}
		v.underWay[key] = call
		call.keys = append(call.keys, key)
		p := o.parts[markOf(e.Item.Text(item.AttrPayload))]
		if p != nil && !p.bad && v.ackedMark[p.mark] && o.tied[key][p.event] == p.mark {
			o.violated("cost", "%s writes #%d# of %s again, which it knows to be written", call.replica.name, p.mark, key)
		}
	}
}

func (o *simOracle) tableKey(it awstest.Item) string {
	if o.s.layout == item.LatestOnly {
		return it.Text("predictionId")
	}
	return it.Text("predictionId") + "/" + it.Text("timestamp")
}

func (o *simOracle) writeTookEffect(call *simCall, c *awstest.Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.view(call.replica)
	for i := range c.Entries {
		e := &c.Entries[i]
		if !e.Applied() {
			continue
		}
		p := o.parts[markOf(e.Item.Text(item.AttrPayload))]
		key := o.tableKey(e.Item)
		if p == nil || p.bad || key != p.key(o.s.layout) {
			o.violated("item", "%s wrote %s", call.replica.name, e.Item.JSON())
			continue
		}
		ttl := "expiresAt"
		if o.s.layout == item.ExpirySorted {
			ttl = "timestamp"
		}
		if got := e.Item.Text(ttl); got != strconv.FormatInt(p.expires, 10) {
			o.violated("item", "#%d# expires at %s, want %d", p.mark, got, p.expires)
		}
		if newest, found := v.acked[key]; found && p.event < newest && !o.late {
			o.violated("invariant 3", "%s replaced a newer version of %s that it had written by #%d#", call.replica.name, key, p.mark)
		}
		if newest, found := o.top[key]; !found || p.event > newest {
			o.top[key] = p.event
		}
		call.writes = append(call.writes, simWrite{p, key})
	}
}

// deleteAsked checks 1 and 2: nothing is deleted that is not safe. It requires that o.mu be held.
func (o *simOracle) deleteAsked(v *simReplicaView, call *simCall, c *awstest.Call) {
	for _, e := range c.Entries {
		delete(v.out, e.MessageID)
		m := o.messages[e.MessageID]
		if m == nil {
			o.violated("invariant 1", "%s deletes a message that nobody has received", call.replica.name)
			continue
		}
		for _, p := range m.parts {
			if why := o.unsafe(p); why != "" {
				o.violated("invariant 1", "%s deletes message %s, but #%d# %s", call.replica.name, e.MessageID, p.mark, why)
			}
		}
	}
}

// released excuses the one release of a running worker: what superseded a prediction has expired before it could be written, so
// that the older one has to be written after all. It requires that o.mu be held.
func (o *simOracle) released(v *simReplicaView, call *simCall, id string) {
	m := o.messages[id]
	if v.doomed || m == nil {
		return
	}
	for _, p := range m.parts {
		for _, q := range o.byKey[p.key(o.s.layout)] {
			if !p.bad && q.event >= p.event && o.expired(q) { // perhaps itself, come again with a later sent time
				o.excused[id]++
				return
			}
		}
	}
	about := ""
	for _, p := range m.parts {
		about += fmt.Sprintf("; #%d# of %s at %d until %d", p.mark, p.id, p.event, p.expires)
		for _, q := range o.byKey[p.key(o.s.layout)] {
			if q != p && q.event >= p.event {
				about += fmt.Sprintf(" (after it #%d# at %d until %d)", q.mark, q.event, q.expires)
			}
		}
	}
	o.violated("invariant 5", "%s releases message %s without need%s", call.replica.name, id, about)
}

// unsafe says what is missing until the message of p may be deleted. It requires that o.mu be held.
func (o *simOracle) unsafe(p *simPart) string {
	switch {
	case p.bad && o.rejected[p.mark]:
	case p.bad:
		return "is not in the reject queue"
	case o.expired(p):
	default:
		if newest, found := o.top[p.key(o.s.layout)]; !found || newest < p.event {
			return fmt.Sprintf("(%s, event %d) is not in the table", p.id, p.event)
		}
	}
	return ""
}

// expired tells whether a prediction may be dropped: it was over more than a minute ago. The worker's clock may be a few
// seconds off.
func (o *simOracle) expired(p *simPart) bool { return p.expires < o.now()-60+7 }

func (o *simOracle) inRejectQueue(body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, mark := range marksOf(body) {
		if p := o.parts[mark]; p == nil || !p.bad {
			o.violated("invariant 4", "#%d#, which is good, is in the reject queue", mark)
		}
		o.rejected[mark] = true
	}
}

// delivered notes a message that a receive is about to bring, and checks 5: no receive is burned without a cause.
func (o *simOracle) delivered(call *simCall, e awstest.Entry, again bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.bodies[e.Body]
	o.messages[e.MessageID] = m
	r := call.replica
	o.received[e.MessageID] = append(o.received[e.MessageID], fmt.Sprintf("by %s after %v", r.name, time.Since(o.s.start)))
	v := o.view(r)
	if o.strict && (o.s.rejects || !m.anyBad()) && len(o.received[e.MessageID]) > 1+o.excused[e.MessageID] {
		o.violated("invariant 5", "message %s was received %d times, of which faults and the platform caused %d: %s", e.MessageID, len(o.received[e.MessageID]), o.excused[e.MessageID], strings.Join(o.received[e.MessageID], ", "))
	}
	if again {
		o.excused[e.MessageID]++
	}
	v.delivered[e.MessageID] = true
	if call.ended { // a poll that nobody waits for any more
		if !v.killed && !call.struck {
			o.violated("invariant 7", "%s cut a receive short, which hides message %s", r.name, e.MessageID)
		}
		o.excused[e.MessageID]++
		o.holder[e.MessageID] = nil
		return again
	}
	if v.doomed {
		o.excused[e.MessageID]++
	}
	o.holder[e.MessageID] = r
	call.delivered = append(call.delivered, e.MessageID)
	o.checkOutage(v, r, m)
	return again
}

// outageNoticed is how long after its first failed write a worker may still receive: three calls may time out, and a long poll
// was under way.
const outageNoticed = 45 * time.Second

// checkOutage checks 5: while the table can't be written, one receive at the most brings something to write. It requires that
// o.mu be held.
func (o *simOracle) checkOutage(v *simReplicaView, r *simReplica, m *simMessage) {
	for f, since := range v.downSince {
		if elapsed := time.Since(o.s.start); elapsed >= f.to || time.Since(since) < outageNoticed {
			continue
		}
		lasting := slices.ContainsFunc(m.parts, func(p *simPart) bool {
			return !p.bad && p.expires > simStart+int64((f.to+o.s.skew)/time.Second)+120 && o.unsafe(p) != ""
		})
		if lasting {
			if v.deep[f]++; v.deep[f] == 11 {
				o.violated("invariant 5", "%s goes on receiving, %v after it found that the table can't be written", r.name, time.Since(since))
			}
		}
	}
}

// answered notes that a call is over for its replica: with an answer, or without.
func (o *simOracle) answered(call *simCall, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.view(call.replica)
	call.ended = true
	for _, key := range call.keys {
		if v.underWay[key] == call {
			delete(v.underWay, key)
		}
	}
	ok = ok && !call.spoiled
	for _, w := range call.writes {
		if ok {
			v.ackedMark[w.part.mark] = true
			if newest, found := v.acked[w.key]; !found || w.part.event > newest {
				v.acked[w.key] = w.part.event
			}
		}
	}
	for _, id := range call.delivered {
		if !ok {
			o.excused[id]++
			o.holder[id] = nil
			continue
		}
		v.out[id] = true
		if len(v.out) > o.s.held && (o.s.rejects || o.sentBad == 0) {
			o.violated("invariant 6", "%s holds %d messages, of at most %d", call.replica.name, len(v.out), o.s.held)
		}
	}
}

// gone notes that a replica ends: what it holds will be received again.
func (o *simOracle) gone(r *simReplica, killed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.view(r)
	v.doomed, v.killed = true, killed
	for id := range v.delivered {
		o.excused[id]++
	}
}

// drained checks 7: a replica that was told to stop has done so in time and hides nothing.
func (o *simOracle) drained(r *simReplica, began time.Time) {
	took := time.Since(began)
	messages := o.s.queues.Messages(workertest.QueueName)
	o.mu.Lock()
	defer o.mu.Unlock()
	if took > o.s.drain+2*time.Second {
		o.violated("invariant 7", "%s took %v to stop, of at most %v", r.name, took, o.s.drain)
	}
	if r.err != nil {
		o.violated("invariant 7", "%s ended with %v", r.name, r.err)
	}
	from, to := began.Sub(o.s.start)-time.Minute, time.Since(o.s.start)
	for _, f := range o.s.faults {
		if f.class != classWrite && f.class != classReject && f.from < to && f.to > from {
			return // what SQS does not let it do, it can't
		}
	}
	if r.left > 0 {
		o.violated("invariant 7", "%s left %d messages held", r.name, r.left)
	}
	for _, m := range messages {
		known := o.messages[m.ID]
		if m.State == awstest.InFlight && o.holder[m.ID] == r && (o.s.rejects || !known.anyBad()) {
			o.violated("invariant 7", "%s has ended, and message %s stays hidden for %v", r.name, m.ID, time.Until(m.VisibleAt))
		}
	}
}

// finished tells whether everything is where it should be.
func (o *simOracle) finished() bool { return o.left() == "" }

// left says what is not where it should be.
func (o *simOracle) left() string {
	visible, inFlight, delayed := o.s.queues.Counts(workertest.QueueName)
	o.mu.Lock()
	defer o.mu.Unlock()
	stay := 0
	if !o.s.rejects {
		stay = o.sentBad
	}
	if n := visible + inFlight + delayed; n != stay {
		return fmt.Sprintf("the queue has %d messages, want %d: %d visible, %d in flight", n, stay, visible, inFlight)
	}
	for _, p := range o.parts {
		if why := o.unsafe(p); why != "" && (!p.bad || o.s.rejects) {
			return fmt.Sprintf("#%d# %s", p.mark, why)
		}
	}
	return ""
}

// final checks what must be true at the end.
func (o *simOracle) final() {
	items := o.s.tables.Items(workertest.TableName)
	log := o.s.log.String()
	o.mu.Lock()
	defer o.mu.Unlock()
	one := len(o.s.replicas) == 1
	for _, it := range items {
		p := o.parts[markOf(it.Text(item.AttrPayload))]
		if p == nil {
			o.violated("item", "the table has %s", it.JSON())
			continue
		}
		if newest := o.top[p.key(o.s.layout)]; p.event < newest && (one && !o.late || o.s.ordering == config.OrderingNewest) {
			o.violated("version", "%s is left at event %d, though %d had been written", p.id, p.event, newest)
		}
	}
	if at := strings.Index(log, simSecret); at >= 0 {
		o.violated("invariant 8", "the log has a part of a message: …%s…", log[max(0, at-100):min(len(log), at+60)])
	}
}

// markOf is the first mark in a text, or -1.
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

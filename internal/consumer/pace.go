package consumer

import (
	"math"
	"slices"
	"sync"
	"time"
)

// minPauses is how many of the shortest pauses the longest one has. At a high rate, ten messages arrive within a few milliseconds. A
// longer pause lets the process sleep, which halves the CPU time of a message at 2,000 a second.
const minPauses = 3

// A pace decides how long pollers pause so that their next receives return more messages. SQS bills a receive of one message like
// one of ten ("Amazon SQS pricing").
type pace struct {
	max  time.Duration // maximum pause; 0 disables pacing
	full int           // number of messages of a full receive

	mu       sync.Mutex
	emptied  time.Time // when a receive last returned fewer messages than it could, and so emptied the queue
	received int       // messages since then
	expected int       // messages that the last pause may have made wait
	rate     float64   // messages per second, averaged over the last few pauses
}

// waited returns how long a message may have waited for the receive that returns it now, at most the maximum pause. What it waited
// in a backlog is not the pace's doing.
func (p *pace) waited() time.Duration {
	if p.max == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(time.Since(p.emptied), p.max)
}

// late reports whether one of the messages was sent longer ago than a pause explains: it waited in a backlog, although SQS returns
// fewer messages than it may ("ReceiveMessage": up to the maximum). A message that was received before says nothing, since it was
// hidden meanwhile. now is the services' time, which is known to about a second.
func (p *pace) late(received []Received, now time.Time) bool {
	if p.max == 0 {
		return false
	}
	sent := now.Add(-2*p.max - 2*time.Second).UnixMilli()
	return slices.ContainsFunc(received, func(r Received) bool { return r.Receives == 1 && r.Sent > 0 && r.Sent < sent })
}

// after records a receive of n messages. It returns the pause before the next receive: until a receive's worth has arrived, if messages
// keep arriving as before. There is none where it would gain nothing or delay a backlog: after a full receive, after one with a late
// message, and where less than half a message is expected during the longest pause. backlog reports that more messages wait than a
// pause explains.
func (p *pace) after(n int, late bool) (pause time.Duration, backlog bool) {
	if p.max == 0 {
		return 0, n == p.full
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received += n
	if n == p.full {
		return 0, p.received > p.expected
	}
	if late {
		return 0, true
	}
	now := time.Now()
	elapsed := max(now.Sub(p.emptied), time.Millisecond)
	p.rate = (p.rate + float64(p.received)/elapsed.Seconds()) / 2
	p.emptied, p.received, p.expected = now, 0, 0
	if n == 0 || p.rate*p.max.Seconds() < 0.5 {
		return 0, false
	}
	// A fifth less than some full receives: the receive that finds only the few beyond a full one costs as much.
	receives := max(math.Round(p.rate*p.max.Seconds()/minPauses/float64(p.full)), 1)
	p.expected = int(receives) * p.full
	target := (receives - 0.2) * float64(p.full)
	return min(time.Duration(target/p.rate*float64(time.Second)), p.max), false
}

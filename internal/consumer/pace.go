package consumer

import (
	"math"
	"sync"
	"time"
)

// minPause is the part of the longest pause that is the shortest. At a high rate, ten messages arrive within a few milliseconds. A
// longer pause lets the process sleep, which halves the CPU time of a message at 2,000 a second.
const minPause = 3

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

// after records a receive of n messages. It returns the pause before the next receive: until a receive's worth has arrived, if messages
// keep arriving as before. There is none where it would gain nothing: after a full receive, and where less than half a message is
// expected during the longest pause. behind reports that more messages wait than a pause explains.
func (p *pace) after(n int) (pause time.Duration, behind bool) {
	if p.max == 0 {
		return 0, n == p.full
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received += n
	if n == p.full {
		return 0, p.received > p.expected
	}
	now := time.Now()
	elapsed := max(now.Sub(p.emptied), time.Millisecond)
	p.rate = (p.rate + float64(p.received)/elapsed.Seconds()) / 2
	p.emptied, p.received, p.expected = now, 0, 0
	if n == 0 || p.rate*p.max.Seconds() < 0.5 {
		return 0, false
	}
	// A fifth less than some full receives: the receive that finds only the few beyond a full one costs as much.
	receives := max(math.Round(p.rate*p.max.Seconds()/minPause/float64(p.full)), 1)
	p.expected = int(receives) * p.full
	target := (receives - 0.2) * float64(p.full)
	return min(time.Duration(target/p.rate*float64(time.Second)), p.max), false
}

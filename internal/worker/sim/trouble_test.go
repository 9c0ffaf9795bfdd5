package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/dynamodbfake"
	"github.com/predcache/predcache/internal/awstest/s3fake"
	"github.com/predcache/predcache/internal/awstest/sqsfake"
	"github.com/predcache/predcache/internal/workertest"
)

// A class of calls that faults strike.
type class string

const (
	classWrite   class = "write"
	classReceive class = "receive"
	classDelete  class = "delete"
	classVisible class = "visibility"
	classReject  class = "reject"
	classRead    class = "read"   // of an object
	classRange   class = "range"  // sent to the objects queue
	classQuery   class = "query"  // of a removal
	classRemove  class = "remove" // conditional removals; the others are in a BatchWriteItem
)

// classOf returns the class of a call, or "" for one that no fault strikes.
func classOf(c *awstest.Call) class {
	switch c.Operation {
	case "BatchWriteItem", "PutItem", "UpdateItem":
		return classWrite
	case "Query":
		return classQuery
	case "DeleteItem":
		return classRemove
	case "ReceiveMessage":
		return classReceive
	case "DeleteMessageBatch", "DeleteMessage":
		return classDelete
	case "ChangeMessageVisibilityBatch", "ChangeMessageVisibility":
		return classVisible
	case "SendMessageBatch":
		if c.Resource == objectsQueue {
			return classRange
		}
		return classReject
	case "GetObject":
		return classRead
	}
	return ""
}

// A fault strikes the calls of a class for a time, each with a chance.
type fault struct {
	class    class
	kind     string // one of faultKinds
	from, to time.Duration
	chance   float64
}

var faultKinds = map[class][]string{
	classWrite: {
		"throttle", "throttle keys", "unprocessed", "unprocessed all", "error", "drop", "hang", "lose", "tear", "error after",
		"hang answer", "delay", "denied", "late",
	},
	classReceive: {"error", "drop", "hang", "lose", "tear", "hang answer", "delay", "redeliver", "throttle", "denied"},
	classDelete:  {"partial", "error", "drop", "hang", "lose", "tear", "delay", "throttle"},
	classVisible: {"partial", "error", "drop", "hang", "lose", "delay", "throttle"},
	classReject:  {"partial", "error", "drop", "hang", "lose", "tear", "delay", "denied", "refuse"},
	classRead:    {"slow down", "error", "drop", "hang", "tear", "hang answer", "stall", "delay"},
	classRange:   {"partial", "error", "drop", "hang", "lose", "tear", "delay", "throttle"},
	classQuery:   {"throttle", "error", "drop", "hang", "lose", "tear", "hang answer", "delay", "denied"},
	classRemove:  {"throttle", "error", "drop", "hang", "lose", "tear", "error after", "hang answer", "delay", "denied", "late"},
}

// outageKinds keep everything from being written where they strike each write.
var outageKinds = []string{"throttle", "error", "drop", "hang", "denied"}

// outage reports whether the fault keeps everything from being written.
func (f *fault) outage() bool {
	return f.class == classWrite && f.chance == 1 && slices.Contains(outageKinds, f.kind)
}

// strikes reports whether the fault is for calls of a class. What keeps items from being written keeps them from being removed too.
func (f *fault) strikes(c class) bool {
	return f.class == c || f.class == classWrite && c == classRemove
}

// ofObjects reports whether the fault strikes only what reads objects.
func (f *fault) ofObjects() bool { return f.class == classRead || f.class == classRange }

// ofTable reports whether the fault is DynamoDB's.
func (f *fault) ofTable() bool {
	return f.class == classWrite || f.class == classQuery || f.class == classRemove
}

// at reports whether the fault may strike at a time after the start.
func (f *fault) at(elapsed time.Duration) bool { return f.from <= elapsed && elapsed < f.to }

// eventKinds are the actions of the platform: SIGTERM, SIGKILL, start a replica, and the first two followed by a start.
var eventKinds = []string{"terminate", "kill", "start", "restart", "crash"}

// trouble plans the faults and the platform events.
func (p *plan) trouble(r *rand.Rand) {
	span := p.messages[len(p.messages)-1].at + 30*time.Second
	classes := []class{
		classWrite, classWrite, classWrite, classReceive, classReceive, classDelete, classDelete, classVisible, classReject,
	}
	for range r.IntN(6) {
		p.faults = append(p.faults, newFault(r, classes[r.IntN(len(classes))], span))
	}
	if r.IntN(12) == 0 { // an outage of up to an hour
		f := &fault{class: classWrite, kind: outageKinds[r.IntN(len(outageKinds))], chance: 1, from: time.Duration(r.Int64N(int64(span)))}
		f.to = f.from + time.Duration(10+r.IntN(50))*time.Minute
		p.faults = append(p.faults, f)
	}
	for range []int{0, 0, 1, 2, 4}[r.IntN(5)] {
		p.events = append(p.events, event{time.Duration(r.Int64N(int64(span))), eventKinds[r.IntN(len(eventKinds))]})
	}
}

func newFault(r *rand.Rand, class class, span time.Duration) *fault {
	kinds := faultKinds[class]
	f := &fault{class: class, kind: kinds[r.IntN(len(kinds))], chance: 0.05 + 0.5*r.Float64()}
	f.from = time.Duration(r.Int64N(int64(span)))
	f.to = f.from + time.Duration(1+r.IntN(90))*time.Second
	if r.IntN(4) == 0 {
		f.chance = 1
	}
	if f.kind == "late" && r.IntN(3) > 0 {
		f.kind = "lose" // a late effect excuses much, so it is rare
	}
	if f.kind == "redeliver" {
		f.chance = min(f.chance, 0.4) // a queue that always redelivers everything can't be emptied
	}
	if f.class == classReceive && f.chance > 0.5 {
		f.to = min(f.to, f.from+20*time.Second) // each strike raises receive counts
	}
	return f
}

// strike turns the planned fault into one of this call. It returns false if the call gives it nothing to strike.
func (o *oracle) strike(f *fault, c *awstest.Call) (awstest.Fault, bool) {
	n := uint64(c.N) << 16
	switch f.kind {
	case "slow down":
		return awstest.Fault{Err: s3fake.SlowDown()}, true
	case "stall":
		at, d := int64(o.random(n)*2000), time.Duration(o.random(n+1)*1.5*float64(o.s.callTimeout))
		return awstest.Fault{Stream: awstest.StalledAfter(at, d)}, true
	case "throttle":
		if !f.ofTable() {
			return awstest.Fault{Err: sqsfake.RequestThrottled()}, true
		}
		return awstest.Fault{Err: dynamodbfake.ProvisionedThroughputExceeded()}, true
	case "throttle keys":
		return throttleKey(o.s.hot, c)
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
	case "refuse":
		return awstest.Fault{FailEntry: func(int, awstest.Entry) *awstest.EntryError {
			return &awstest.EntryError{Code: "InvalidMessageContents", SenderFault: true}
		}}, true
	case "error":
		switch {
		case f.class == classRead:
			return awstest.Fault{Err: s3fake.InternalError()}, true
		case o.random(n) < 0.3:
			return awstest.Fault{Err: awstest.ServiceUnavailable()}, true
		case !f.ofTable():
			return awstest.Fault{Err: sqsfake.InternalError()}, true
		}
		return awstest.Fault{Err: dynamodbfake.InternalServerError()}, true
	case "error after":
		return awstest.Fault{ErrAfter: dynamodbfake.InternalServerError()}, true
	case "denied":
		return awstest.Fault{Err: awstest.AccessDenied(c.Operation)}, true
	case "delay":
		d := time.Duration(o.random(n) * 0.8 * float64(o.s.callTimeout))
		return awstest.Fault{Delay: d / 2, AnswerDelay: d / 2}, true
	case "late":
		return awstest.Fault{Delay: o.s.callTimeout + 2*time.Second}, true
	case "redeliver":
		return awstest.Fault{Redeliver: func(awstest.Entry) bool { return true }}, true
	}
	return connectionFault(f.kind), true
}

// connectionFault is a call that gets no whole answer.
func connectionFault(kind string) awstest.Fault {
	switch kind {
	case "drop":
		return awstest.Fault{Drop: true}
	case "hang":
		return awstest.Fault{Hang: true}
	case "lose":
		return awstest.Fault{LoseAnswer: true}
	case "tear":
		return awstest.Fault{TearAnswer: true}
	case "hang answer":
		return awstest.Fault{HangAnswer: true}
	}
	panic("no fault of the kind " + kind)
}

func throttleKey(hot string, c *awstest.Call) (awstest.Fault, bool) {
	if !slices.ContainsFunc(c.Entries, func(e awstest.Entry) bool { return e.Item.Text("predictionId") == hot }) {
		return awstest.Fault{}, false
	}
	return awstest.Fault{Err: dynamodbfake.Throttling(dynamodbfake.ThrottlingReason{
		Reason: "TableWriteKeyRangeThroughputExceeded", Resource: "arn:aws:dynamodb:eu-west-1:000000000000:table/" + workertest.TableName,
	})}, true
}

package worker

import (
	"fmt"
	"time"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// A Finding is a setting of the queues or the table that should be changed.
type Finding struct {
	Subject Subject
	// Problem is true if it must be changed. Otherwise it is advice: the worker works without the change.
	Problem bool
	Text    string // one or two sentences, with the remedy
}

// A Subject is what a Finding is about.
type Subject int

// The subjects.
const (
	SubjectQueue Subject = iota
	SubjectRejectQueue
	SubjectObjectsQueue
)

// Findings returns problems of the resources, and advice, beyond what FindResources refuses.
func (r *Resources) Findings(cfg *config.Config) []Finding {
	var f findings
	if r.Queue != nil {
		f.queue(cfg, SubjectQueue, "the queue", r.Queue)
	}
	if r.Rejects != nil {
		f.rejectQueue(r.Rejects, r.Queue)
	}
	if cfg.RejectQueueURL == "" {
		f.advise(SubjectRejectQueue, "without WORKER_REJECT_QUEUE_URL, a message with a prediction that can't be stored returns to the queue with growing visibility timeouts, until the redrive policy moves it")
	}
	if r.Objects != nil {
		f.queue(cfg, SubjectObjectsQueue, "the objects queue", r.Objects)
	}
	return f
}

type findings []Finding

func (f *findings) advise(s Subject, format string, args ...any) {
	*f = append(*f, Finding{s, false, fmt.Sprintf(format, args...)})
}

func (f *findings) problem(s Subject, format string, args ...any) {
	*f = append(*f, Finding{s, true, fmt.Sprintf(format, args...)})
}

// queue checks a queue that messages are received from.
func (f *findings) queue(cfg *config.Config, about Subject, what string, q *awsclient.QueueInfo) {
	switch {
	case q.RedriveTarget == "":
		f.advise(about, "%s has no dead-letter queue, so a message that can't be deleted returns until its retention ends: set a redrive policy with a maxReceiveCount of 50", what)
	case q.MaxReceives < 10:
		f.advise(about, "a message goes to the dead-letter queue after %d receives, so an outage of the table or a few restarts could move good ones: set maxReceiveCount to 50, since the worker rejects bad messages itself", q.MaxReceives)
	}
	// The worker extends a visibility timeout when at most a third of it is left, and at least a sixth (package consumer). An
	// extension must have time for one whole attempt.
	least := 6 * cfg.CallTimeout
	switch {
	case q.Visibility == 0: // FindResources refuses it
	case q.Visibility <= cfg.CallTimeout:
		f.problem(about, "%s's visibility timeout is %v, and one call may take %v (WORKER_CALL_TIMEOUT), so messages return while they are being written: set VisibilityTimeout to %v or more", what, q.Visibility, cfg.CallTimeout, least)
	case q.Visibility < least:
		f.advise(about, "%s's visibility timeout is %v, so a slow call of up to %v (WORKER_CALL_TIMEOUT) can extend it too late, and the message is received twice: set VisibilityTimeout to %v or more", what, q.Visibility, cfg.CallTimeout, least)
	}
	if q.KMSKey != "" {
		f.advise(about, "%s is encrypted with the key %s, and no call but a receive shows whether the role may use it: allow kms:Decrypt on it (worker-key.json)", what, q.KMSKey)
	}
}

func (f *findings) rejectQueue(rejects, queue *awsclient.QueueInfo) {
	const about = SubjectRejectQueue
	if queue != nil && rejects.MaxMessageBytes > 0 && rejects.MaxMessageBytes < queue.MaxMessageBytes {
		f.problem(about, "the reject queue takes messages of up to %d bytes, and the queue of up to %d, so a longer reject stays on the queue: set the reject queue's MaximumMessageSize to %[2]d", rejects.MaxMessageBytes, queue.MaxMessageBytes)
	}
	if rejects.RedriveTarget != "" {
		f.problem(about, "the reject queue has a redrive policy, and `worker redrive` receives rejects to list them, so %d lists move them to %s: remove the redrive policy", rejects.MaxReceives, rejects.RedriveTarget)
	}
	if queue != nil && rejects.Retention > 0 && rejects.Retention < queue.Retention {
		f.advise(about, "the reject queue keeps messages for %.0f hours, and the queue for %.0f: set the reject queue's MessageRetentionPeriod to 14 days, since rejects wait for people", rejects.Retention.Hours(), queue.Retention.Hours())
	}
	if rejects.KMSKey != "" {
		f.advise(about, "the reject queue is encrypted with the key %s, and no call but a send shows whether the role may use it: allow kms:GenerateDataKey and kms:Decrypt on it (worker-key.json)", rejects.KMSKey)
	}
}

// A Capacity is the table's write capacity, and how long writing the queue's backlog takes with it.
type Capacity struct {
	WriteUnits int64 // per second
	ItemUnits  int64 // write units of the table's average item
	Backlog    time.Duration
}

// Capacity returns false if the table does not report its write capacity, as on demand. It estimates the backlog with one prediction per
// message and the average size of the table's items.
func (r *Resources) Capacity() (Capacity, bool) {
	if r.TableInfo == nil || r.TableInfo.WriteUnits == 0 || r.Queue == nil {
		return Capacity{}, false
	}
	t := r.TableInfo
	c := Capacity{WriteUnits: t.WriteUnits, ItemUnits: 1}
	if t.Items > 0 {
		c.ItemUnits = max(int64(item.Units(int(t.Bytes/t.Items))), 1)
	}
	seconds := float64(int64(r.Queue.Messages)*c.ItemUnits) / float64(c.WriteUnits)
	c.Backlog = time.Duration(seconds * float64(time.Second))
	return c, true
}

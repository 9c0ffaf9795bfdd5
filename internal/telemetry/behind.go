package telemetry

import "time"

// A worker is behind while half of the predictions that it makes durable are older than Limits.Age. The alert PredcacheBehind fires
// after five minutes of this. The status page looks at the last minute, and asks that messages wait in the queue too: see setBehind.
//
//   - Age counts from the SentTimestamp that SQS gave the message in this queue ("ReceiveMessage"), by the clock of AWS, until the
//     prediction is durable. It is what a backlog, a slow table or a lack of workers adds. A reject that is sent back and an event
//     that is replayed begin anew, although both keep the sent time that orders versions. Rows of files and objects have no age:
//     PredcacheObjectsStuck watches them.
//   - The median is robust: redelivered messages and one slow worker of ten are a small share of what is written. How late that
//     share is shows in PredcacheAgeOverObjective, which reads the 95th percentile.
//   - A worker that writes nothing has no age. It is idle, or PredcacheTableDown, PredcacheQueueDown or PredcacheNothingWritten
//     says why.

// minBehindAge is BehindAge for a worker that adds little latency of its own.
const minBehindAge = time.Minute

// BehindAge returns the age above which a worker with the given WORKER_MAX_ADDED_LATENCY is behind: a minute, or ten times the
// latency that it may add.
func BehindAge(maxAddedLatency time.Duration) time.Duration {
	return max(minBehindAge, 10*maxAddedLatency)
}

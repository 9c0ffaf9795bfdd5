package sim

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest/s3fake"
)

// The buckets of a simulation, and the objects queue.
const (
	objectsQueue = "objects"
	openBucket   = "batch-outputs" // its objects that begin with openPrefix may be read
	openPrefix   = "scores/"
	closedBucket = "payroll" // nothing of it may be read
)

// batches are the batch outputs of a plan.
type batches struct {
	versioned   bool
	rangeBytes  int64
	splitCSV    bool
	concurrency int
	objects     []*object
	steps       []step // by time
}

// A step is something that happens to the buckets or to the objects queue.
type step struct {
	at   time.Duration
	what string
	do   func(s *simulation)
}

// An object is one version of an object of S3.
type object struct {
	bucket, key string
	content     string
	rows        []*part
	splits      bool // it is NDJSON, and not compressed
	skipped     bool // it is not read, by its name or because it is empty

	put  s3fake.Object // once it is stored
	gone time.Time     // when it was overwritten or deleted, where the bucket keeps no versions
}

// permitted reports whether the settings allow the object to be read.
func (o *object) permitted() bool {
	return o.bucket == openBucket && strings.HasPrefix(o.key, openPrefix)
}

// batchOutputs plans objects, and what becomes of them.
func (p *plan) batchOutputs(r *rand.Rand) {
	if r.IntN(3) > 0 {
		return
	}
	p.gen.r, p.gen.roundedEnds = r, false
	b := &batches{versioned: r.IntN(3) == 0, rangeBytes: 400 + r.Int64N(1200), splitCSV: r.IntN(2) == 0, concurrency: 1 + r.IntN(4)}
	p.batches = b
	span := p.messages[len(p.messages)-1].at + 10*time.Second
	for i := range 1 + r.IntN(6) {
		p.object(r, b, i, time.Duration(r.Int64N(int64(span))))
	}
	p.strangeMessages(r, b, span)
	if r.IntN(4) == 0 {
		from := time.Duration(r.Int64N(int64(span)))
		b.step(from, "the bucket denies", setAccess(s3fake.Access{NoGet: []string{""}, NoList: r.IntN(2) == 0}))
		b.step(from+time.Duration(1+r.IntN(300))*time.Second, "the bucket allows", setAccess(s3fake.Access{}))
	}
	if r.IntN(2) == 0 {
		for range 1 + r.IntN(3) {
			p.faults = append(p.faults, newFault(r, []class{classRead, classRead, classRange}[r.IntN(3)], span))
		}
	}
	if r.IntN(4) == 0 {
		p.events = append(p.events, event{time.Duration(r.Int64N(int64(span))), []string{"kill", "crash", "restart"}[r.IntN(3)]})
	}
}

func (b *batches) step(at time.Duration, what string, do func(s *simulation)) {
	b.steps = append(b.steps, step{at, what, do})
}

func setAccess(access s3fake.Access) func(s *simulation) {
	return func(s *simulation) { s.objects.SetAccess(openBucket, access) }
}

// object plans one object with its event, and perhaps a second event of it, a successor, or its end.
func (p *plan) object(r *rand.Rand, b *batches, i int, at time.Duration) {
	o := &object{bucket: openBucket, key: fmt.Sprintf("%sday %d+a/part-%d.ndjson", openPrefix, i%2, i)}
	fate := r.IntN(6)
	if fate < 2 || fate == 5 { // every row of it will be written
		o.rows = p.ties(r, at)
	}
	p.fill(r, b, o, at)
	b.objects = append(b.objects, o)
	form := s3fake.Form(r.IntN(3))
	b.step(at, "an object", store(o, form))
	later := func() time.Duration { return at + time.Duration(r.Int64N(int64(90*time.Second))) }
	switch fate {
	case 0, 1:
		b.step(later(), "a repeated event", func(s *simulation) { s.announce(o, form) })
	case 2, 3: // soon, while the first one is being read
		next := &object{bucket: o.bucket, key: o.key}
		when := at + time.Duration(r.Int64N(int64(10*time.Second)))
		p.fill(r, b, next, when)
		b.objects = append(b.objects, next)
		b.step(when, "an overwritten object", func(s *simulation) {
			s.oracle.goes(o)
			store(next, form)(s)
		})
	case 4:
		if !p.rejects {
			break // its event would stay on the queue
		}
		b.step(later(), "a deleted object", func(s *simulation) {
			s.oracle.goes(o)
			s.objects.Delete(o.bucket, o.key)
		})
	}
}

// ties makes rows of an object that is stored at a time. Each has the event time of another prediction of its id: of another row, or of a
// message that is sent before or after the object is stored. The later one must be left, and a row counts as sent when its object was
// stored.
func (p *plan) ties(r *rand.Rand, at time.Duration) (rows []*part) {
	for range r.IntN(3) {
		id := fmt.Sprintf("%s-tie-%d", secret, p.gen.mark)
		event := epoch*1e6 + (at + p.skew).Microseconds() - r.Int64N(60e6)
		first, second := p.gen.next().tie(id, event), p.gen.next().tie(id, event)
		first.wins, second.wins = second, second
		// Two seconds apart: LastModified has whole ones.
		switch before := at - 2*time.Second - time.Duration(r.Int64N(int64(5*time.Second))); {
		case r.IntN(3) == 0:
			rows = append(rows, first, second)
		case r.IntN(2) == 0 && before >= 0:
			p.add(before, first.raw, first)
			rows = append(rows, second)
		default:
			p.add(at+2*time.Second+time.Duration(r.Int64N(int64(20*time.Second))), second.raw, second)
			rows = append(rows, first)
		}
	}
	return rows
}

// tie makes a prediction of this event time.
func (g *generator) tie(id string, event int64) *part {
	payload := fmt.Sprintf(`{"mark":"#%d#","of":"%s"}`, g.mark, secret)
	return &part{mark: g.mark, id: id, event: event, expires: event/1e6 + 86400, payload: payload,
		raw: fmt.Sprintf(`{"predictionId":"%s","timestamp":%d.%06d,"prediction":%s}`, id, event/1e6, event%1e6, payload)}
}

// fill makes the content of an object, which may have some rows already.
func (p *plan) fill(r *rand.Rand, b *batches, o *object, at time.Duration) {
	var text strings.Builder
	aligned := r.IntN(2) == 0 // some rows begin where ranges do
	bad := p.rejectsFlow() && r.IntN(3) == 0
	if r.IntN(8) == 0 && len(o.rows) == 0 {
		p.fillCSV(r, b, o, at, aligned)
		return
	}
	tied := o.rows
	o.rows = nil
	for i := range len(tied) + 1 + r.IntN(50) {
		row := p.gen.next().good(p.gen.id(), at)
		switch {
		case i%7 == 3 && len(tied) > 0 || i == 0 && len(tied) > 1:
			row, tied = tied[0], tied[1:]
		case bad && i > 0 && r.IntN(6) == 0: // the first row tells the format
			row = p.gen.next().bad(at)
		}
		row.object, row.offset = o, int64(text.Len())
		if left := b.rangeBytes - row.offset%b.rangeBytes; aligned && left < int64(len(row.raw))+600 {
			if pad := left - int64(len(row.raw)) - 1; pad >= 0 && !row.bad {
				row.raw += strings.Repeat(" ", int(pad))
			}
		}
		text.WriteString(row.raw + "\n")
		o.rows = append(o.rows, row)
	}
	for _, row := range tied {
		row.object, row.offset = o, int64(text.Len())
		text.WriteString(row.raw + "\n")
		o.rows = append(o.rows, row)
	}
	o.content, o.splits = text.String(), true
	switch r.IntN(8) {
	case 0: // an array is read by one worker
		raws := make([]string, len(o.rows))
		for i, row := range o.rows {
			raws[i] = row.raw
		}
		o.content, o.splits = "[\n"+strings.Join(raws, ",\n")+"\n]", false
	case 1:
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write([]byte(o.content)) // a buffer takes everything
		_ = w.Close()
		o.content, o.splits = z.String(), false
	case 2:
		o.content = strings.TrimSuffix(o.content, "\n")
	}
}

// fillCSV makes the content of an object with a header, and a line for each row.
func (p *plan) fillCSV(r *rand.Rand, b *batches, o *object, at time.Duration, aligned bool) {
	var text strings.Builder
	text.WriteString("predictionId,timestamp,prediction,model\n")
	for range 1 + r.IntN(50) {
		row := p.gen.next().tie(p.gen.id(), epoch*1e6+(at+p.skew).Microseconds()-r.Int64N(60e6))
		row.object, row.offset = o, int64(text.Len())
		row.raw = fmt.Sprintf(`%s,%d.%06d,"%s",`, row.id, row.event/1e6, row.event%1e6, strings.ReplaceAll(row.payload, `"`, `""`))
		model := strings.Repeat("m", r.IntN(200))
		if left := int(b.rangeBytes - row.offset%b.rangeBytes); aligned && left < len(row.raw)+400 && left > len(row.raw)+1 {
			model = strings.Repeat("m", left-len(row.raw)-1)
		}
		row.raw += model
		text.WriteString(row.raw + "\n")
		o.rows = append(o.rows, row)
	}
	o.content, o.splits = text.String(), b.splitCSV
}

// strangeMessages plans what else comes to the objects queue: test events, objects that must not be read, and ranges of them.
func (p *plan) strangeMessages(r *rand.Rand, b *batches, span time.Duration) {
	when := func() time.Duration { return time.Duration(r.Int64N(int64(span))) }
	send := func(at time.Duration, what string, body func() string) {
		b.step(at, what, func(s *simulation) { s.queues.Send(objectsQueue, body()) })
	}
	if r.IntN(2) == 0 {
		send(when(), "a test event", func() string { return s3fake.TestEvent(openBucket) })
	}
	if r.IntN(2) == 0 {
		skipped := &object{bucket: openBucket, key: openPrefix + []string{"_SUCCESS", ".part.crc", "_temporary/0/part", "empty"}[r.IntN(4)], skipped: true}
		if skipped.key != openPrefix+"empty" {
			skipped.content = "not read"
		}
		b.objects = append(b.objects, skipped)
		b.step(when(), "an object to skip", store(skipped, s3fake.Direct))
	}
	if !p.rejects || r.IntN(2) == 0 {
		return
	}
	for _, closed := range []*object{{bucket: closedBucket, key: openPrefix + "a"}, {bucket: openBucket, key: "score"}} {
		p.fill(r, b, closed, 0)
		b.objects = append(b.objects, closed)
		b.step(0, "an object outside", store(closed, s3fake.Direct))
		send(when(), "a range outside", func() string {
			return fmt.Sprintf(`{"predcache.range":1,"bucket":%q,"key":%q,"etag":%q,"size":%d,"lastModified":1793500000000,"start":0,"end":%d}`,
				closed.bucket, closed.key, closed.put.ETag, len(closed.content), len(closed.content))
		})
	}
}

// store puts an object into its bucket, and sends its event.
func store(o *object, form s3fake.Form) func(s *simulation) {
	return func(s *simulation) {
		s.oracle.stored(o)
		o.put = s.objects.Put(o.bucket, o.key, s3fake.Text(o.content))
		s.announce(o, form)
	}
}

// announce sends the event of an object.
func (s *simulation) announce(o *object, form s3fake.Form) {
	body := s3fake.Records("Put", o.put)
	switch form {
	case s3fake.SNS:
		body = s3fake.Notify(body)
	case s3fake.EventBridge:
		body = s3fake.BridgeEvent(accountID, o.put)
	}
	s.oracle.announced(o, body)
	s.queues.Send(objectsQueue, body)
}

const accountID = "000000000000"

// playBatches makes the steps, each at its time.
func (s *simulation) playBatches() {
	for _, step := range s.batches.steps {
		time.Sleep(time.Until(s.start.Add(step.at)))
		s.oracle.count(step.what)
		step.do(s)
	}
}

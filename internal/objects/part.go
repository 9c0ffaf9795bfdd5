package objects

import (
	"encoding/json"

	"github.com/predcache/predcache/internal/prediction"
)

// A part is the worker's own message on the objects queue: a range of an object's bytes, or the rows that a worker left when it
// stopped. The ETag or the VersionID makes sure that all parts are read of the same content.
type part struct {
	Mark int `json:"predcache.range"` // partVersion
	Object
	// Modified is the object's LastModified, in milliseconds since the epoch.
	Modified int64 `json:"lastModified"`
	// The part has the rows that begin at Start or later and before End. Both are byte offsets. With End 0 it has the rows of the whole
	// object from Row on, which one worker reads from the object's start.
	Start int64 `json:"start"`
	End   int64 `json:"end,omitempty"`
	Row   int64 `json:"row,omitempty"`
	// Header is the first line of a CSV object that is split.
	Header string `json:"header,omitempty"`
}

const partVersion = 1

// parsePart reads the message of a part. It is checked like any other: whoever may send to the queue could have made it.
func parsePart(body string) (notice, *prediction.Reject) {
	p := &part{}
	if err := json.Unmarshal([]byte(body), p); err != nil || p.Mark != partVersion {
		return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "predcache.range", "is not of the form that this version of the worker sends")
	}
	if why := p.check(); why != nil {
		return notice{}, why
	}
	if p.ETag == "" && p.VersionID == "" || p.Modified <= 0 || p.Size <= 0 || p.Start < 0 || p.Row < 0 || p.End < 0 || p.End > p.Size || p.End > 0 && p.Start >= p.End {
		return notice{}, prediction.Rejectf(prediction.ReasonEnvelope, "predcache.range", "has values that do not belong together")
	}
	return notice{part: p}, nil
}

// message returns the part as the body of a message.
func (p *part) message() string {
	p.Mark = partVersion
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return string(text)
}

// maxParts is the maximum number of ranges of one object. It bounds the messages that one event makes.
const maxParts = 1000

// split returns the ranges of an object, each of about size bytes, larger if there would be more than maxParts.
func split(o *Object, modified, size int64) []part {
	const step = 1 << 20 // whole MiB: easier to read in a message
	if least := (o.Size + maxParts - 1) / maxParts; size < least {
		size = (least + step - 1) / step * step
	}
	parts := make([]part, 0, (o.Size+size-1)/size)
	for start := int64(0); start < o.Size; start += size {
		parts = append(parts, part{Object: *o, Modified: modified, Start: start, End: min(start+size, o.Size)})
	}
	return parts
}

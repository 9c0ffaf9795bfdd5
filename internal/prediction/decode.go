package prediction

import (
	"errors"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/jsonscan"
)

// Config says how messages are read. The zero value of a field name means that messages don't have the field.
type Config struct {
	Fields     Fields
	Attributes Attributes
	TTL        time.Duration // the life of a prediction that doesn't name one
	// TTLJitter shortens lives by up to this fraction, by a hash of the id, so that what was written in one burst does
	// not expire in one. An end given by ExpiresAt stays as it is.
	TTLJitter float64
	// RequireTimestamp rejects a prediction without an event time, which otherwise is the message's sent time.
	RequireTimestamp bool
	MaxFuture        time.Duration // how far ahead of the clock an event time may be
	// MaxDecodedBytes is how long a body may be once it is decompressed: without it 1 MiB could become 1 GiB.
	MaxDecodedBytes int
}

// Fields are the names of a prediction's fields. A dotted name is a path into nested objects.
type Fields struct {
	ID, Timestamp, Payload, TTLSeconds, ExpiresAt string
}

// Attributes says which of a prediction's other fields are kept: all, or those of a list (of which none is one).
type Attributes struct {
	All   bool
	Names []string
}

func (a Attributes) keep(name string) bool {
	if a.All {
		return true
	}
	for _, n := range a.Names {
		if n == name {
			return true
		}
	}
	return false
}

// A Message is what a queue delivered.
type Message struct {
	Body            string
	ContentEncoding string // of the body: empty, gzip or zstd, the latter two in base64
	Sent            int64  // milliseconds since the epoch
}

// Decoded is what was found in a message. It can be used again for the next one.
type Decoded struct {
	Predictions []Prediction
	Rejected    []RejectedPart
	Inflated    int // bytes of the body once decompressed; 0 where it came plain

	members []jsonscan.Member
	nested  []jsonscan.Member
}

// A RejectedPart is a part of a message that can't become a prediction: its text as it came, and why.
type RejectedPart struct {
	Raw   string
	Whole bool // Raw is the message's whole body, still encoded if it came so
	Why   *Reject
}

// A Decoder reads messages. It may be used by several goroutines, each with a Decoded of its own.
type Decoder struct {
	cfg    Config
	fields [numFields]path
}

// NewDecoder makes a Decoder. The configuration has been checked.
func NewDecoder(cfg Config) *Decoder {
	d := &Decoder{cfg: cfg}
	f := cfg.Fields
	for i, name := range [numFields]string{f.ID, f.Timestamp, f.Payload, f.TTLSeconds, f.ExpiresAt} {
		parts := strings.Split(name, ".")
		d.fields[i] = path{name, parts[0], parts[1:]}
	}
	return d
}

// Decode finds the predictions of m. now is the services' clock.
func (d *Decoder) Decode(dst *Decoded, m Message, now time.Time) {
	clear(dst.Predictions) // let go of the last message's body
	clear(dst.Rejected)
	dst.Predictions, dst.Rejected, dst.Inflated = dst.Predictions[:0], dst.Rejected[:0], 0
	run := decoding{Decoder: d, dst: dst, sent: m.Sent, now: now}
	if why := run.body(m.Body, m.ContentEncoding, 0); why != nil {
		// Nothing of a body that can't be read as a whole is kept, so that it goes to the reject queue in one piece.
		dst.Predictions = dst.Predictions[:0]
		dst.Rejected = append(dst.Rejected[:0], RejectedPart{m.Body, true, why})
	}
}

// decoding is one run of a Decoder over one message.
type decoding struct {
	*Decoder
	dst    *Decoded
	sent   int64
	now    time.Time
	place  int32
	values [numFields]jsonscan.Value // of the prediction being read
}

// maxEnvelopes is how many envelopes may stand around a prediction: EventBridge to SNS to SQS makes two.
const maxEnvelopes = 3

// maxParts bounds what one message can make of itself: each element of [0,0,0] costs a hundred times its bytes once it is
// rejected, and a message to the reject queue.
const maxParts = 100_000

// body reads one object, an array of objects, or objects one a line.
func (r *decoding) body(text, contentEncoding string, envelopes int) *Reject {
	came := text
	text, why := decompress(text, contentEncoding, r.cfg.MaxDecodedBytes)
	if why != nil {
		return why
	}
	if len(text) != len(came) {
		r.dst.Inflated += len(text)
	}
	if text = trimSpace(text); text == "" {
		return Rejectf(ReasonSyntax, "", "the message is empty: send a JSON object, an array of them, or one a line")
	}
	if text[0] == '[' {
		return r.array(text)
	}
	members, object, end, err := jsonscan.ParseMembers(r.dst.members[:0], text)
	r.dst.members = members
	switch {
	case err == nil && end == len(text):
		return r.object(object, envelopes)
	case looksLikeLines(text):
		if n := strings.Count(text, "\n") + 1; n > maxParts {
			return tooMany(n)
		}
		r.lines(text)
		return nil
	case err == nil:
		return Rejectf(ReasonSyntax, "", "text after the JSON object at byte %d: put several predictions into an array, or one a line", end)
	default:
		if v, err := jsonscan.Parse(text); err == nil {
			return Rejectf(ReasonFieldType, "", "the message is %v: send a JSON object, an array of them, or one a line", v.Kind())
		}
		return syntax(err)
	}
}

func tooMany(n int) *Reject {
	return Rejectf(ReasonTooLarge, "", "the message has %d parts, of at most %d: split it", n, maxParts)
}

func syntax(err error) *Reject {
	return Rejectf(ReasonSyntax, "", "the message is not JSON: %v", err)
}

func trimSpace(s string) string { return strings.Trim(s, " \t\r\n") }

// looksLikeLines tells objects one a line, of which some may be broken, from one broken object spread over lines: at
// least one line is an object by itself, and not indented as a part of another would be.
func looksLikeLines(text string) bool {
	for line := range strings.Lines(text) {
		if len(line) < len(text) && line[0] == '{' {
			if _, err := jsonscan.Parse(line); err == nil {
				return true
			}
		}
	}
	return false
}

// lines reads objects one a line. A broken line is rejected by itself: where it ends is plain.
func (r *decoding) lines(text string) {
	for line := range strings.Lines(text) {
		if line = trimSpace(line); line == "" {
			continue
		}
		members, object, end, err := jsonscan.ParseMembers(r.dst.members[:0], line)
		r.dst.members = members
		switch {
		case err != nil:
			r.reject(line, Rejectf(ReasonSyntax, "", "the line is not a JSON object: %v", err))
		case end < len(line):
			r.reject(line, Rejectf(ReasonSyntax, "", "text after the line's JSON object at byte %d: one object a line", end))
		default:
			r.prediction(object)
		}
	}
}

// array reads an array in one pass. What has been read before something is found wrong is dropped by Decode.
func (r *decoding) array(text string) *Reject {
	end, err := jsonscan.ParseElements(text, r.element)
	if err == nil && end < len(text) {
		err = &jsonscan.SyntaxError{Offset: len(text) - len(trimSpace(text[end:])), What: "text after the value"}
	}
	if errors.Is(err, errParts) {
		v, err := jsonscan.Parse(text)
		if err != nil {
			return syntax(err)
		}
		return tooMany(len(jsonscan.Elements(nil, v)))
	}
	if err != nil {
		return syntax(err)
	}
	return nil
}

var errParts = errors.New("too many parts")

func (r *decoding) element(rest string) (end int, err error) {
	if r.place == maxParts {
		return 0, errParts
	}
	if rest == "" || rest[0] != '{' {
		v, end, err := jsonscan.ParsePrefix(rest)
		if err == nil {
			r.reject(v.Text, Rejectf(ReasonFieldType, "", "an element of the array is %v: each must be an object", v.Kind()))
		}
		return end, err
	}
	members, object, end, err := jsonscan.ParseMembers(r.dst.members[:0], rest)
	r.dst.members = members
	if err == nil {
		r.prediction(object)
	}
	return end, err
}

func (r *decoding) reject(raw string, why *Reject) {
	r.dst.Rejected = append(r.dst.Rejected, RejectedPart{raw, false, why})
	r.place++
}

// object reads a message's one object, with its members scanned: a prediction, or an envelope around some.
func (r *decoding) object(object jsonscan.Value, envelopes int) *Reject {
	if r.has(fieldID) && r.has(fieldPayload) { // whatever else it looks like: an EventBridge event too has an "id"
		r.prediction(object)
		return nil
	}
	switch {
	case r.member("Type").Text == `"Notification"` && r.member("TopicArn").Text != "" && r.member("Message").Text != "":
		if envelopes == maxEnvelopes {
			return Rejectf(ReasonEnvelope, "Message", "is inside too many envelopes: unwrap them before the queue")
		}
		return r.notification(envelopes + 1)
	case r.member("detail-type").Text != "" && r.member("source").Text != "" && r.member("detail").Text != "":
		if envelopes == maxEnvelopes {
			return Rejectf(ReasonEnvelope, "detail", "is inside too many envelopes: unwrap them before the queue")
		}
		return r.body(r.member("detail").Text, "", envelopes+1)
	}
	r.prediction(object) // which says what is missing
	return nil
}

// notification unwraps what SNS delivers when raw message delivery is off: Message is a string, and the publisher's
// attributes are inside the envelope ("Amazon SNS message format for Amazon SQS").
func (r *decoding) notification(envelopes int) *Reject {
	message := r.member("Message")
	if message.Kind() != jsonscan.String {
		return Rejectf(ReasonEnvelope, "Message", "is %v: SNS delivers a string", message.Kind())
	}
	text, err := jsonscan.Unquote(inside(message))
	if err != nil {
		return Rejectf(ReasonEnvelope, "Message", "holds %v", err)
	}
	contentEncoding := ""
	if attributes := r.member("MessageAttributes"); attributes.Kind() == jsonscan.Object {
		if attribute := find(jsonscan.Members(nil, attributes), "Content-Encoding"); attribute.Kind() == jsonscan.Object {
			if value := find(jsonscan.Members(nil, attribute), "Value"); value.Kind() == jsonscan.String {
				contentEncoding = inside(value)
			}
		}
	}
	return r.body(text, contentEncoding, envelopes)
}

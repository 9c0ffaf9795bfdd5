package sqsfake

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
)

// message is one message of a queue, guarded by Service.mu.
type message struct {
	id         string
	number     uint64 // its place in the order of sending; a FIFO queue's sequence number
	body       string
	bodyMD5    string
	attributes attributes
	group      string
	dedupID    string
	trace      string
	sourceARN  string // of the queue from which redrive moved it here

	state        MessageState
	sent         time.Time
	firstReceive time.Time
	received     time.Time
	ended        time.Time
	visibleAt    time.Time // while delayed or in flight
	receives     int
	handle       string // of the last receive
	heapIndex    int    // in queue.hidden, -1 outside
}

// MessageState is where a message is in its life ("Amazon SQS visibility timeout").
type MessageState string

// The states of a message. The last three are final.
const (
	Delayed      MessageState = "delayed"
	Visible      MessageState = "visible"
	InFlight     MessageState = "in flight"
	Deleted      MessageState = "deleted"
	Expired      MessageState = "expired"       // its retention period ended
	DeadLettered MessageState = "dead-lettered" // moved to the dead-letter queue
)

func (s MessageState) ended() bool { return s == Deleted || s == Expired || s == DeadLettered }

// attributes are those that the sender set, by name ("Amazon SQS message metadata").
type attributes map[string]*messageAttribute

// messageAttribute is a MessageAttributeValue (API reference).
type messageAttribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitzero"`
}

func (a *messageAttribute) text() string {
	if a.StringValue != nil {
		return *a.StringValue
	}
	return string(a.BinaryValue)
}

// size counts names, types and values ("Amazon SQS message quotas").
func (as attributes) size() int {
	n := 0
	for name, a := range as {
		n += len(name) + len(a.DataType) + len(a.text())
	}
	return n
}

// check enforces "Amazon SQS message metadata": at most ten, each with a valid name.
func (as attributes) check() *awstest.Error {
	for _, name := range sortedKeys(as) {
		if !validAttributeName(name) {
			return invalidParameter("The message attribute name '" + name + "' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.), up to 256 characters, must not start or end with a period, and must not start with AWS or Amazon.")
		}
		if err := as[name].check(name); err != nil {
			return err
		}
	}
	if len(as) > 10 {
		return invalidParameter("Number of message attributes [" + strconv.Itoa(len(as)) + "] exceeds the allowed maximum [10].")
	}
	return nil
}

func validAttributeName(name string) bool {
	lower := strings.ToLower(name)
	return name != "" && len(name) <= 256 && strings.Trim(name, nameCharacters+".") == "" && !strings.Contains(name, "..") &&
		name[0] != '.' && name[len(name)-1] != '.' && !strings.HasPrefix(lower, "aws.") && !strings.HasPrefix(lower, "amazon.")
}

// check enforces the types of the same page, and values that are not empty.
func (a *messageAttribute) check(name string) *awstest.Error {
	if a == nil || a.DataType == "" {
		return invalidParameter("The message attribute '" + name + "' must contain a non-empty message attribute type.")
	}
	kind, _, _ := strings.Cut(a.DataType, ".")
	if kind != "String" && kind != "Number" && kind != "Binary" {
		return invalidParameter("The message attribute '" + name + "' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.")
	}
	binary := a.BinaryValue != nil
	if binary == (a.StringValue != nil) || binary != (kind == "Binary") || a.text() == "" {
		return invalidParameter("The message attribute '" + name + "' must contain a non-empty message attribute value for message attribute type '" + a.DataType + "'.")
	}
	switch {
	case kind == "Number" && !attribute.IsNumber(a.text()):
		return invalidParameter("Can't cast the value of message (user) attribute '" + name + "' to a number.")
	case kind == "String":
		return checkCharacters(a.text())
	}
	return nil
}

// checkCharacters enforces the characters that "SendMessage" (API reference) allows in a body and in the text of an
// attribute: those of XML 1.0.
func checkCharacters(s string) *awstest.Error {
	for _, c := range s {
		if c == '\t' || c == '\n' || c == '\r' || c >= ' ' && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd || c >= 0x10000 {
			continue
		}
		return refusal("InvalidMessageContents", "InvalidMessageContents", "Invalid binary character '#x"+strings.ToUpper(strconv.FormatInt(int64(c), 16))+
			"' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	}
	return nil
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// md5 is the digest of "Calculating the MD5 message digest for message attributes": for each attribute in name order its
// name, type and value, each with its length, and the kind of value as one byte.
func (as attributes) md5() string {
	if len(as) == 0 {
		return ""
	}
	var b []byte
	field := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, name := range sortedKeys(as) {
		a := as[name]
		field(name)
		field(a.DataType)
		if a.BinaryValue != nil {
			b = append(b, 2)
		} else {
			b = append(b, 1)
		}
		field(a.text())
	}
	return md5Hex(string(b))
}

// selected picks the attributes that a receive asks for: names, All, .*, or a prefix ending in .*
func (as attributes) selected(names []string) attributes {
	if len(as) == 0 || len(names) == 0 {
		return nil
	}
	picked := attributes{}
	for name, a := range as {
		if slices.ContainsFunc(names, func(n string) bool {
			prefix, wild := strings.CutSuffix(n, ".*")
			return n == "All" || n == name || wild && strings.HasPrefix(name, prefix)
		}) {
			picked[name] = a
		}
	}
	return picked
}

// systemAttributes returns the attributes that SQS itself sets and a receive asks for ("ReceiveMessage", API reference).
func (m *message) systemAttributes(names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	picked := map[string]string{}
	add := func(name, value string) {
		if value != "" && (slices.Contains(names, name) || slices.Contains(names, "All")) {
			picked[name] = value
		}
	}
	add("SenderId", "AIDAIT2UOQQY3AUEKVGXU")
	add("ApproximateReceiveCount", strconv.Itoa(m.receives))
	add("SentTimestamp", strconv.FormatInt(m.sent.UnixMilli(), 10))
	add("ApproximateFirstReceiveTimestamp", strconv.FormatInt(m.firstReceive.UnixMilli(), 10))
	add("MessageGroupId", m.group)
	add("MessageDeduplicationId", m.dedupID)
	add("SequenceNumber", m.sequenceNumber())
	add("AWSTraceHeader", m.trace)
	add("DeadLetterQueueSourceArn", m.sourceARN)
	return picked
}

// sequenceNumber is a FIFO message's, in AWS's form: 20 digits that grow.
func (m *message) sequenceNumber() string {
	if m.dedupID == "" {
		return ""
	}
	digits := strconv.FormatUint(m.number*256, 10)
	return "1885000000000000000"[:20-max(1, len(digits))] + digits
}

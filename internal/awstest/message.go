package awstest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// message is one message of a queue, guarded by SQS.mu.
type message struct {
	id         string
	number     uint64 // its place in the order of sending; a FIFO queue's sequence number
	body       string
	bodyMD5    string
	attributes []messageAttribute // by name
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

// The states of a message. The last three are ends.
const (
	Delayed      MessageState = "delayed"
	Visible      MessageState = "visible"
	InFlight     MessageState = "in flight"
	Deleted      MessageState = "deleted"
	Expired      MessageState = "expired"       // its retention period ended
	DeadLettered MessageState = "dead-lettered" // moved to the dead-letter queue
)

// messageAttribute is an attribute that the sender set ("Amazon SQS message metadata").
type messageAttribute struct {
	name, dataType, value string
	binary                bool
}

func (a messageAttribute) size() int { return len(a.name) + len(a.dataType) + len(a.value) }

// readAttributes reads a MessageAttributes object and checks it; problem is nil or the entry's refusal.
func readAttributes(r *jsonReader) (attributes []messageAttribute, problem *Error) {
	r.object(func(name string) {
		a := messageAttribute{name: name}
		values := 0
		r.object(func(member string) {
			switch member {
			case "DataType":
				a.dataType = r.str()
			case "StringValue":
				a.value = r.str()
				values++
			case "BinaryValue":
				raw, err := base64.StdEncoding.DecodeString(r.str())
				if err != nil {
					r.fail()
				}
				a.value, a.binary = string(raw), true
				values++
			default:
				r.skip()
			}
		})
		if problem == nil {
			problem = a.check(values)
		}
		attributes = append(attributes, a)
	})
	slices.SortFunc(attributes, func(a, b messageAttribute) int { return strings.Compare(a.name, b.name) })
	if problem == nil && len(attributes) > 10 {
		problem = invalidParameter("Number of message attributes [" + strconv.Itoa(len(attributes)) + "] exceeds the allowed maximum [10].")
	}
	return attributes, problem
}

// check enforces "Amazon SQS message metadata": names, types and values that are not empty.
func (a messageAttribute) check(values int) *Error {
	kind, _, _ := strings.Cut(a.dataType, ".")
	switch {
	case a.name == "" || len(a.name) > 256 || strings.Trim(a.name, nameCharacters+".") != "" || strings.Contains(a.name, "..") ||
		a.name[0] == '.' || a.name[len(a.name)-1] == '.' || reservedAttribute(a.name):
		return invalidParameter("The message attribute name '" + a.name + "' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.), up to 256 characters, must not start or end with a period, and must not start with AWS or Amazon.")
	case a.dataType == "":
		return invalidParameter("The message attribute '" + a.name + "' must contain a non-empty message attribute type.")
	case kind != "String" && kind != "Number" && kind != "Binary":
		return invalidParameter("The message attribute '" + a.name + "' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.")
	case values != 1 || a.binary != (kind == "Binary") || a.value == "":
		return invalidParameter("The message attribute '" + a.name + "' must contain a non-empty message attribute value for message attribute type '" + a.dataType + "'.")
	case kind == "Number":
		if _, err := parseNumber(a.value); err != nil {
			return invalidParameter("Can't cast the value of message (user) attribute '" + a.name + "' to a number.")
		}
	case kind == "String":
		return checkCharacters(a.value)
	}
	return nil
}

const nameCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

func reservedAttribute(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.")
}

// checkCharacters enforces the characters that SendMessage's API reference allows: XML 1.0's.
func checkCharacters(s string) *Error {
	for _, c := range s {
		if c >= ' ' && c <= '~' {
			continue
		}
		if c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd || c >= 0x10000 {
			continue
		}
		return sqsError("InvalidMessageContents", "InvalidMessageContents", "Invalid binary character '#x"+strings.ToUpper(strconv.FormatInt(int64(c), 16))+
			"' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	}
	return nil
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// attributesMD5 is the digest of "Calculating the MD5 message digest for message attributes": for each attribute in name
// order its name, type and value, each with its length, and the kind of value as one byte.
func attributesMD5(attributes []messageAttribute) string {
	var b []byte
	field := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, a := range attributes {
		field(a.name)
		field(a.dataType)
		if a.binary {
			b = append(b, 2)
		} else {
			b = append(b, 1)
		}
		field(a.value)
	}
	return md5Hex(string(b))
}

// selected picks the attributes that a receive asks for: names, All, .*, or a prefix ending in .*
func (m *message) selected(names []string) []messageAttribute {
	if len(names) == 0 || len(m.attributes) == 0 {
		return nil
	}
	var picked []messageAttribute
	for _, a := range m.attributes {
		for _, n := range names {
			prefix, wild := strings.CutSuffix(n, ".*")
			if n == "All" || n == a.name || wild && strings.HasPrefix(a.name, prefix) {
				picked = append(picked, a)
				break
			}
		}
	}
	return picked
}

// appendJSON appends the message as ReceiveMessage answers it.
func (m *message) appendJSON(b []byte, names, systemNames []string) []byte {
	b = append(append(append(b, `{"MessageId":"`...), m.id...), `","ReceiptHandle":"`...)
	b = append(append(append(b, m.handle...), `","MD5OfBody":"`...), m.bodyMD5...)
	b = appendJSONString(append(b, `","Body":`...), m.body)
	if len(systemNames) > 0 {
		b = append(b, `,"Attributes":{`...)
		n := len(b)
		b = m.appendSystemAttributes(b, systemNames)
		if len(b) == n {
			b = b[:n-len(`,"Attributes":{`)]
		} else {
			b[len(b)-1] = '}' // over the last comma
		}
	}
	if picked := m.selected(names); len(picked) > 0 {
		b = append(append(append(b, `,"MD5OfMessageAttributes":"`...), attributesMD5(picked)...), `","MessageAttributes":{`...)
		for i, a := range picked {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, a.name), `:{"DataType":`...)
			b = appendJSONString(b, a.dataType)
			if a.binary {
				b = append(base64.StdEncoding.AppendEncode(append(b, `,"BinaryValue":"`...), []byte(a.value)), `"}`...)
			} else {
				b = append(appendJSONString(append(b, `,"StringValue":`...), a.value), '}')
			}
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendSystemAttributes appends members, each followed by a comma.
func (m *message) appendSystemAttributes(b []byte, names []string) []byte {
	all := slices.Contains(names, "All")
	member := func(name, value string) {
		if value != "" && (all || slices.Contains(names, name)) {
			b = append(append(append(b, '"'), name...), `":`...)
			b = append(appendJSONString(b, value), ',')
		}
	}
	member("SenderId", "AIDAIT2UOQQY3AUEKVGXU")
	member("ApproximateReceiveCount", strconv.Itoa(m.receives))
	member("SentTimestamp", strconv.FormatInt(m.sent.UnixMilli(), 10))
	member("ApproximateFirstReceiveTimestamp", strconv.FormatInt(m.firstReceive.UnixMilli(), 10))
	member("MessageGroupId", m.group)
	member("MessageDeduplicationId", m.dedupID)
	if m.dedupID != "" {
		member("SequenceNumber", sequenceNumber(m.number))
	}
	member("AWSTraceHeader", m.trace)
	member("DeadLetterQueueSourceArn", m.sourceARN)
	return b
}

// sequenceNumber has AWS's form: 20 digits that grow.
func sequenceNumber(n uint64) string {
	digits := strconv.FormatUint(n*256, 10)
	return "1885000000000000000"[:20-max(1, len(digits))] + digits
}

package prediction

import (
	"errors"
	"strings"

	"github.com/predcache/predcache/internal/jsonscan"
)

const (
	// maxParts bounds the work for one message: 16 MiB of [0,0,0] have 8 million elements.
	maxParts = 100_000
	// maxMembers bounds the memory for reading one object: 40 bytes for a member of 5 bytes or more.
	maxMembers = 10_000
)

// byteOrderMark begins the UTF-8 texts of some editors and exports. RFC 8259 (section 8.1) lets a parser ignore it.
const byteOrderMark = "\ufeff"

// body reads one object, an array of objects, or one object per line.
func (r *decoding) body(text, contentEncoding string, envelopes int) *Reject {
	text, why := r.decompress(text, contentEncoding)
	if why != nil {
		return why
	}
	if text = trimSpace(strings.TrimPrefix(text, byteOrderMark)); text == "" {
		return Rejectf(ReasonSyntax, "", "the message is empty: send a JSON object, an array of objects, or one object per line")
	}
	if text[0] == '[' {
		if isS3Pointer(text) {
			return Rejectf(ReasonEnvelope, "", "the message is a pointer of the Amazon SQS Extended Client Library to a payload in S3, which the worker does not read: send the payload in the message, which may have 1 MiB, compressed with Content-Encoding if it is longer")
		}
		return r.array(text)
	}
	object, end, err := r.members(text)
	switch {
	case err == nil && end == len(text):
		return r.object(object, envelopes)
	case looksLikeLines(text):
		return r.lines(text)
	case errors.Is(err, jsonscan.ErrMembers):
		return r.tooManyFields()
	case err == nil:
		return Rejectf(ReasonSyntax, "", "text after the JSON object at byte %d: put several predictions into an array, or one per line", end)
	default:
		if v, err := jsonscan.Parse(text); err == nil {
			if v.Kind() == jsonscan.String && strings.ContainsAny(inside(v)[:min(1, len(inside(v)))], "{[") {
				return Rejectf(ReasonFieldType, "", "the message is a string that holds JSON: it was encoded twice, so send the text within")
			}
			return Rejectf(ReasonFieldType, "", "the message is %v: send a JSON object, an array of objects, or one object per line", v.Kind())
		}
		if encoding := compression(text); encoding != "" {
			return Rejectf(ReasonEncoding, "", "the message is base64 of %s, but does not say so: send the message attribute Content-Encoding with the value %s", encoding, encoding)
		}
		return syntax(err)
	}
}

// members scans the object at the start of text into r.dst.members. NaN or an infinity is no error here, but r.flaw: its object
// is rejected, and its neighbours are read.
func (r *decoding) members(text string) (object jsonscan.Value, end int, err error) {
	r.flaw = nil
	r.dst.members, object, end, err = jsonscan.ParseMembers(r.dst.members[:0], text, maxMembers)
	if err != nil && errors.Is(err, jsonscan.ErrNotFinite) {
		var flawed int
		if r.dst.members, object, end, flawed, err = jsonscan.ParseMembersLoosely(r.dst.members[:0], text, maxMembers); err == nil {
			r.flaw = r.notFinite(unquoted(r.dst.members[flawed].Name))
		}
	}
	return object, end, err
}

func (r *decoding) notFinite(field string) *Reject {
	return r.rejectf(ReasonNumber, field, "holds NaN or an infinity, which JSON does not have: send null. Python's json.dumps(allow_nan=False) finds them")
}

// skip returns the value at the start of text, which will be rejected, and the offset of its end.
func skip(text string) (v jsonscan.Value, end int, err error) {
	if v, end, err = jsonscan.ParsePrefix(text); errors.Is(err, jsonscan.ErrNotFinite) {
		return jsonscan.ParseLoosely(text)
	}
	return v, end, err
}

func (r *decoding) tooManyFields() *Reject {
	return r.rejectf(ReasonTooLarge, "", "a prediction has more than %d fields: put them into its payload", maxMembers)
}

func tooManyParts() *Reject {
	return Rejectf(ReasonTooLarge, "", "the message has more than %d parts: split it", maxParts)
}

func syntax(err error) *Reject {
	return Rejectf(ReasonSyntax, "", "the message is not JSON: %v", err)
}

func trimSpace(s string) string { return strings.Trim(s, " \t\r\n") }

// looksLikeLines distinguishes NDJSON, with some broken lines, from one broken object over several lines. In NDJSON at least
// one line is an object that is not indented.
func looksLikeLines(text string) bool {
	for line := range strings.Lines(text) {
		if len(line) < len(text) && line[0] == '{' {
			if _, end, err := skip(line); err == nil && trimSpace(line[end:]) == "" {
				return true
			}
		}
	}
	return false
}

// lines reads one object per line. A broken line is rejected alone, since its end is known.
func (r *decoding) lines(text string) *Reject {
	for line := range strings.Lines(text) {
		if line = trimSpace(line); line == "" {
			continue
		}
		if r.parts == maxParts {
			return tooManyParts()
		}
		object, end, err := r.members(line)
		switch {
		case errors.Is(err, jsonscan.ErrMembers):
			r.reject(line, r.tooManyFields())
		case err != nil:
			r.reject(line, r.rejectf(ReasonSyntax, "", "the line is not a JSON object: %v", err))
		case end < len(line):
			r.reject(line, r.rejectf(ReasonSyntax, "", "text after the line's JSON object at byte %d: send one object per line", end))
		default:
			if why := r.prediction(object); why != nil {
				return why
			}
		}
	}
	return nil
}

// array reads an array in one pass. After an error, Decode drops what has been read.
func (r *decoding) array(text string) *Reject {
	var failure *Reject
	end, err := jsonscan.ParseElements(text, func(rest string) (int, error) {
		end, why, err := r.element(rest)
		if why != nil {
			failure = why
			return 0, errStop
		}
		return end, err
	})
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return syntax(err)
	case end < len(text):
		return syntax(&jsonscan.SyntaxError{Offset: len(text) - len(trimSpace(text[end:])), What: "text after the value"})
	}
	return nil
}

var errStop = errors.New("stop")

// element reads the array element at the start of rest. why rejects the whole message.
func (r *decoding) element(rest string) (end int, why *Reject, err error) {
	if r.parts == maxParts {
		return 0, tooManyParts(), nil
	}
	if rest == "" || rest[0] != '{' {
		v, end, err := skip(rest)
		if err == nil {
			r.reject(v.Text, r.rejectf(ReasonFieldType, "", "an element of the array is %v: each must be an object", v.Kind()))
		}
		return end, nil, err
	}
	object, end, err := r.members(rest)
	if errors.Is(err, jsonscan.ErrMembers) {
		v, end, err := skip(rest)
		if err == nil {
			r.reject(v.Text, r.tooManyFields())
		}
		return end, nil, err
	}
	if err == nil {
		why = r.prediction(object)
	}
	return end, why, err
}

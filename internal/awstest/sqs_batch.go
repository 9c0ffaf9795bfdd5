package awstest

import "strconv"

// checkBatch enforces what all SQS batches have in common ("Amazon SQS batch actions"): 1 to 10 entries whose ids are valid
// and distinct.
func checkBatch(entries []Entry, entryType string) *Error {
	if len(entries) == 0 {
		return sqsError("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one "+entryType+" in the request.")
	}
	if len(entries) > 10 {
		return sqsError("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are 10. You have sent "+strconv.Itoa(len(entries))+".")
	}
	for i, e := range entries {
		if !validBatchID(e.ID) {
			return sqsError("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId",
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		for _, other := range entries[:i] {
			if other.ID == e.ID {
				return sqsError("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id "+e.ID+" repeated.")
			}
		}
	}
	return nil
}

func validBatchID(id string) bool {
	if id == "" || len(id) > 80 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// batchResults collects what became of each entry.
type batchResults struct{ successful, failed []byte }

// ok adds a success; m is the message of a send, nil otherwise.
func (b *batchResults) ok(id string, m *message) {
	if len(b.successful) > 0 {
		b.successful = append(b.successful, ',')
	}
	b.successful = append(append(append(b.successful, `{"Id":"`...), id...), '"')
	if m != nil {
		b.successful = m.appendSent(append(b.successful, ','))
	}
	b.successful = append(b.successful, '}')
}

func (b *batchResults) fail(id string, err *Error) {
	code := err.Code()
	if err.Query != "" {
		code = err.Query[:len(err.Query)-len(";Sender")]
	}
	b.entryError(id, EntryError{Code: code, Message: err.Message, SenderFault: true})
}

func (b *batchResults) entryError(id string, e EntryError) {
	if len(b.failed) > 0 {
		b.failed = append(b.failed, ',')
	}
	b.failed = append(append(append(b.failed, `{"Id":"`...), id...), `","Code":`...)
	b.failed = appendJSONString(b.failed, e.Code)
	b.failed = appendJSONString(append(b.failed, `,"Message":`...), e.Message)
	b.failed = append(append(append(b.failed, `,"SenderFault":`...), strconv.FormatBool(e.SenderFault)...), '}')
}

// injected fails the entry if the fault says so.
func (b *batchResults) injected(i int, e Entry, f *Fault) bool {
	if f.FailEntry == nil {
		return false
	}
	failure := f.FailEntry(i, e)
	if failure == nil {
		return false
	}
	b.entryError(e.ID, *failure)
	return true
}

// body leaves a list out that is empty, as the service does.
func (b *batchResults) body() []byte {
	out := []byte{'{'}
	if len(b.successful) > 0 {
		out = append(append(append(out, `"Successful":[`...), b.successful...), ']')
	}
	if len(b.failed) > 0 {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, `"Failed":[`...), b.failed...), ']')
	}
	return append(out, '}')
}

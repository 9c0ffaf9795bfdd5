package sqsfake

import (
	"strconv"
	"strings"

	"github.com/predcache/predcache/internal/awstest"
)

// checkBatch enforces what all batches have in common ("Amazon SQS batch actions"): 1 to 10 entries whose ids are valid
// and distinct.
func checkBatch(entries []awstest.Entry, entryType string) *awstest.Error {
	if len(entries) == 0 {
		return older("EmptyBatchRequest", "There should be at least one "+entryType+" in the request.")
	}
	if len(entries) > 10 {
		return older("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent "+strconv.Itoa(len(entries))+".")
	}
	for i, e := range entries {
		if e.ID == "" || len(e.ID) > 80 || strings.Trim(e.ID, nameCharacters) != "" {
			return older("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		for _, other := range entries[:i] {
			if other.ID == e.ID {
				return older("BatchEntryIdsNotDistinct", "Id "+e.ID+" repeated.")
			}
		}
	}
	return nil
}

// batchOutput is the answer to a batch. A list that is empty is left out, as the service does.
type batchOutput struct {
	Successful []batchResult `json:",omitempty"`
	Failed     []batchError  `json:",omitempty"`
}

type batchResult struct {
	Id string
	sentOutput
}

type batchError struct {
	Id, Code, Message string
	SenderFault       bool
}

// entries runs do for each entry that no fault fails, and collects the results. An entry that is refused fails alone.
func (out *batchOutput) entries(c *awstest.Call, f *awstest.Fault, do func(i int) (sentOutput, *awstest.Error)) {
	for i, e := range c.Entries {
		if f.FailEntry != nil {
			if failure := f.FailEntry(i, e); failure != nil {
				out.Failed = append(out.Failed, batchError{e.ID, failure.Code, failure.Message, failure.SenderFault})
				continue
			}
		}
		sent, err := do(i)
		if err != nil {
			code, _, _ := strings.Cut(err.Query, ";")
			out.Failed = append(out.Failed, batchError{e.ID, code, err.Message, true})
			continue
		}
		out.Successful = append(out.Successful, batchResult{e.ID, sent})
	}
}

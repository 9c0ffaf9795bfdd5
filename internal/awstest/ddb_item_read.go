package awstest

import "strconv"

const (
	maxBatchGet  = 100      // "BatchGetItem" (API reference)
	maxBatchRead = 16 << 20 // the same page: the most that one answer holds
)

// readRequest is what GetItem and each table of BatchGetItem ask.
type readRequest struct {
	table, projection string
	consistent        bool
	keys              []Item
	x                 expressions
	paths             []path
}

func (in *readRequest) member(r *itemReader, member string) bool {
	switch member {
	case "Key":
		in.keys = append(in.keys, r.item(0))
	case "Keys":
		r.array(func() { in.keys = append(in.keys, r.item(0)) })
	case "ConsistentRead":
		in.consistent = r.boolean()
	case "ProjectionExpression":
		in.projection = r.str()
	default:
		return in.x.read(r, member)
	}
	return true
}

func (in *readRequest) parse() (err *Error) {
	if in.paths, err = in.x.projection(in.projection); err == nil {
		err = in.x.unused()
	}
	return err
}

func (d *DynamoDB) getItem(c *Call, r *jsonReader) effect {
	in := &readRequest{}
	items := &itemReader{jsonReader: r}
	mode := ""
	r.object(func(member string) {
		switch {
		case member == "TableName":
			in.table = r.str()
			c.Resource = in.table
		case member == "ReturnConsumedCapacity":
			mode = r.str()
		case !in.member(items, member):
			r.skip()
		}
	})
	for _, key := range in.keys {
		c.Entries = append(c.Entries, Entry{Table: in.table, Item: key})
	}
	return func(*Call, *Fault) ([]byte, *Error) {
		if items.problem != nil {
			return nil, items.problem
		}
		if err := in.parse(); err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		t, err := d.table(in.table)
		if err == nil && len(in.keys) != 1 {
			err = Validation("1 validation error detected: Value null at 'key' failed to satisfy constraint: Member must not be null")
		}
		if err == nil {
			err = t.checkKey(in.keys[0])
		}
		if err != nil {
			return nil, err
		}
		k := capacity{mode: mode}
		b := []byte("{")
		size := 0
		if found := t.get(t.key(in.keys[0])); found != nil {
			size = found.size
			b = project(found.item, in.paths).appendJSON(append(b, `,"Item":`...), false)
		}
		k.read(t, nil, size, in.consistent)
		return object(k.appendMember(b, false)), nil
	}
}

func (d *DynamoDB) batchGetItem(c *Call, r *jsonReader) effect {
	var requests []*readRequest
	items := &itemReader{jsonReader: r}
	mode := ""
	r.object(func(member string) {
		switch member {
		case "RequestItems":
			r.object(func(table string) {
				in := &readRequest{table: table}
				r.object(func(member string) {
					if !in.member(items, member) {
						r.skip()
					}
				})
				for _, key := range in.keys {
					c.Entries = append(c.Entries, Entry{Table: table, Item: key})
				}
				requests = append(requests, in)
			})
		case "ReturnConsumedCapacity":
			mode = r.str()
		default:
			r.skip()
		}
	})
	if len(requests) == 1 {
		c.Resource = requests[0].table
	}
	return func(c *Call, f *Fault) ([]byte, *Error) {
		if items.problem != nil {
			return nil, items.problem
		}
		return d.getBatch(c, requests, mode, f)
	}
}

func (d *DynamoDB) checkBatchGet(c *Call, requests []*readRequest) *Error {
	if n := len(c.Entries); n > maxBatchGet {
		if len(requests) > 1 {
			return Validation("Too many items requested for the BatchGetItem call")
		}
		return Validation("1 validation error detected: Value '[" + strconv.Itoa(n) + " keys]' at 'requestItems." + requests[0].table + ".member.keys' failed to satisfy constraint: Member must have length less than or equal to 100")
	}
	if len(c.Entries) == 0 {
		return Validation("1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	for _, in := range requests {
		if err := in.parse(); err != nil {
			return err
		}
		t, err := d.table(in.table)
		if err != nil {
			return err
		}
		seen := make(map[rowKey]bool)
		for _, key := range in.keys {
			if err := t.checkKey(key); err != nil {
				return err
			}
			k := t.key(key)
			if seen[k] {
				return Validation("Provided list of item keys contains duplicates")
			}
			seen[k] = true
		}
	}
	return nil
}

// getBatch answers up to 16 MB; the keys that are left come back as unprocessed.
func (d *DynamoDB) getBatch(c *Call, requests []*readRequest, mode string, f *Fault) ([]byte, *Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.checkBatchGet(c, requests); err != nil {
		return nil, err
	}
	k := capacity{mode: mode}
	answers := []byte(`{"Responses":{`)
	left := []byte(`},"UnprocessedKeys":{`)
	place, total := 0, 0
	for n, in := range requests {
		t := d.tables[in.table]
		var found, missed []byte
		for _, key := range in.keys {
			skip := f.Unprocessed != nil && f.Unprocessed(place, c.Entries[place])
			place++
			r := t.get(t.key(key))
			size := 0
			if r != nil {
				size = r.size
			}
			if skip || total > 0 && total+size > maxBatchRead {
				missed = key.appendJSON(comma(missed), false)
				continue
			}
			total += size
			k.read(t, nil, size, in.consistent)
			if r != nil {
				found = project(r.item, in.paths).appendJSON(comma(found), false)
			}
		}
		if n > 0 {
			answers = append(answers, ',')
		}
		answers = append(append(append(appendJSONString(answers, in.table), ':', '['), found...), ']')
		if len(missed) > 0 {
			if left[len(left)-1] != '{' {
				left = append(left, ',')
			}
			left = append(append(append(appendJSONString(left, in.table), `:{"Keys":[`...), missed...), `]`...)
			left = append(in.appendOptions(left), '}')
		}
	}
	return append(k.appendMember(append(append(answers, left...), '}'), true), '}'), nil
}

// appendOptions repeats a table's options, as the service does with what is unprocessed.
func (in *readRequest) appendOptions(b []byte) []byte {
	if in.consistent {
		b = append(b, `,"ConsistentRead":true`...)
	}
	if in.projection != "" {
		b = appendJSONString(append(b, `,"ProjectionExpression":`...), in.projection)
	}
	for i, alias := range sorted(in.x.names) {
		if i == 0 {
			b = append(b, `,"ExpressionAttributeNames":{`...)
		} else {
			b = append(b, ',')
		}
		b = appendJSONString(append(appendJSONString(b, alias), ':'), in.x.names[alias])
	}
	if len(in.x.names) > 0 {
		b = append(b, '}')
	}
	return b
}

func comma(b []byte) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	return b
}

package records

import (
	"strings"

	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
	"github.com/predcache/predcache/internal/prediction"
)

// exportRows reads a table's export in DynamoDB JSON ("DynamoDB table export output format"): lines of {"Item": {…}}. It makes a
// prediction of each item again, with its own event time and expiry.
type exportRows struct {
	lines  lines
	o      Options
	reader awsitem.Reader
	fields []item.Field
	text   []byte
}

func newExport(in *input, o Options) (*exportRows, error) {
	f := o.Fields
	if f.ExpiresAt == "" || f.Timestamp == "" {
		return nil, &FormatError{o.Name, "is a DynamoDB export: WORKER_FIELD_TIMESTAMP and WORKER_FIELD_EXPIRES_AT must not be empty, for its items have both", nil}
	}
	return &exportRows{lines: lines{in: in, limit: o.MaxRow, end: -1}, o: o}, nil
}

// sniffExport tells an export from other lines by the first one.
func (r *Reader) sniffExport(line string) (Format, error) {
	value, err := jsonscan.Parse(strings.TrimRight(line, space))
	if err != nil {
		return Lines, nil //nolint:nilerr // a broken line is no export
	}
	var names []string
	var first jsonscan.Value
	for m := range jsonscan.Members(value) {
		if names = append(names, m.Name); len(names) == 1 {
			first = m.Value
		}
	}
	switch {
	case len(names) == 1 && names[0] == "Item" && isItem(first):
		return Export, nil
	case len(names) > 1 && names[0] == "Metadata" && names[1] == "Keys":
		return "", r.refuse("is an incremental export of DynamoDB: make a full export, in DynamoDB JSON")
	}
	return Lines, nil
}

// isItem reports whether a value is an object of typed values.
func isItem(v jsonscan.Value) bool {
	n := 0
	for m := range jsonscan.Members(v) {
		n++
		types := 0
		for typed := range jsonscan.Members(m.Value) {
			types++
			switch typed.Name {
			case "S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS":
			default:
				return false
			}
		}
		if types != 1 {
			return false
		}
	}
	return n > 0
}

func (e *exportRows) next() (r Record, blank int64, err error) {
	if r, blank, err = e.lines.next(); err != nil || r.Why != nil {
		return r, blank, err
	}
	e.reader.Reset()
	e.fields = e.fields[:0]
	w := jsonscan.Walk(r.Text)
	for more := w.Open('{'); more; more = w.More('}') {
		if w.Name() == "Item" {
			e.fields = e.reader.AppendItem(e.fields, &w)
		} else {
			w.Skip()
		}
	}
	if w.Err() != nil || len(e.fields) == 0 {
		r.Why = prediction.Rejectf(prediction.ReasonSyntax, "", "the line has no item in DynamoDB's JSON")
	} else if r.Why = e.message(); r.Why == nil {
		r.Text = string(e.text)
	}
	return r, blank, nil
}

// message makes the text of the prediction that an item was made of.
func (e *exportRows) message() *prediction.Reject {
	f := e.o.Fields
	e.text = append(e.text[:0], '{')
	if why := e.member(f.ID, e.id()); why != nil {
		return why
	}
	if why := e.member(f.Timestamp, item.Find(e.fields, item.AttrCreatedAt)); why != nil {
		return why
	}
	if why := e.member(f.ExpiresAt, e.expiry()); why != nil {
		return why
	}
	if deleted := item.Find(e.fields, item.AttrDeleted); deleted.Type == "BOOL" && deleted.Text == "true" {
		return e.tombstone(deleted)
	}
	payload, err := item.Payload(e.fields)
	if err != nil {
		return prediction.Rejectf(prediction.ReasonFieldValue, item.AttrPayload, "%v", err)
	}
	e.name(f.Payload)
	e.text = append(e.text, payload...)
	for i := range e.fields {
		if !e.own(e.fields[i].Name) {
			if why := e.member(e.fields[i].Name, &e.fields[i].Value); why != nil {
				return why
			}
		}
	}
	e.text = append(e.text, '}')
	return nil
}

// tombstone ends the text of a delete, which has nothing but its id and times.
func (e *exportRows) tombstone(deleted *item.Value) *prediction.Reject {
	if e.o.Fields.Deleted == "" {
		return prediction.Rejectf(prediction.ReasonDeletesOff, item.AttrDeleted, "is set, but WORKER_FIELD_DELETED is empty")
	}
	why := e.member(e.o.Fields.Deleted, deleted)
	e.text = append(e.text, '}')
	return why
}

// id returns the attribute that holds the item's id. In a table whose partition key has another name it is called as the field
// of a message, unless WORKER_FIELD_ID says how.
func (e *exportRows) id() *item.Value {
	if id := item.Find(e.fields, e.o.Table.HashKey); id.Type != "" {
		return id
	}
	return item.Find(e.fields, e.o.Fields.ID)
}

// expiry returns the attribute that holds the item's end. The export's table may have another layout: an item of the expiry-sorted one
// has its end in timestamp, where the others have the event time.
func (e *exportRows) expiry() *item.Value {
	names := []string{e.o.Table.TTLAttribute, defaultTTL, item.AttrTimestamp}
	if e.o.Table.TTLAttribute == e.o.Table.SortKey {
		names = names[1:]
	}
	for _, name := range names {
		if v := item.Find(e.fields, name); v.Type != "" {
			return v
		}
	}
	return &item.Value{}
}

// defaultTTL is the TTL attribute of tables that are made as the documentation says.
const defaultTTL = "expiresAt"

// own reports whether an attribute is one that the worker makes of the prediction's fields.
func (e *exportRows) own(name string) bool {
	switch name {
	case e.o.Table.HashKey, e.o.Fields.ID, e.o.Table.SortKey, e.o.Table.TTLAttribute, defaultTTL, item.AttrTimestamp, item.AttrCreatedAt, item.AttrPayload, item.AttrEncoding, item.AttrSent, item.AttrDeleted:
		return true
	}
	return false
}

func (e *exportRows) name(name string) {
	if len(e.text) > 1 {
		e.text = append(e.text, ',')
	}
	e.text = append(jsonscan.AppendQuoted(e.text, name), ':')
}

// member appends a field, unless the value is absent.
func (e *exportRows) member(name string, v *item.Value) *prediction.Reject {
	if v.Type == "" {
		return nil
	}
	e.name(name)
	var err error
	if e.text, err = v.AppendJSON(e.text); err != nil {
		return prediction.Rejectf(prediction.ReasonFieldValue, name, "%v", err)
	}
	return nil
}

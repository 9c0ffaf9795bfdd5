package awstest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

func itoa64(n int64) string { return strconv.FormatInt(n, 10) }

// tableRequest is CreateTable's input, as far as it is enforced. Requests about tables are rare, so encoding/json reads them.
type tableRequest struct {
	TableName            string
	BillingMode          string
	AttributeDefinitions []struct{ AttributeName, AttributeType string }
	KeySchema            []keyElement
	ProvisionedThroughput,
	OnDemandThroughput json.RawMessage
	GlobalSecondaryIndexes []indexRequest
	LocalSecondaryIndexes  []indexRequest
}

type keyElement struct{ AttributeName, KeyType string }

type indexRequest struct {
	IndexName  string
	KeySchema  []keyElement
	Projection struct {
		ProjectionType   string
		NonKeyAttributes []string
	}
}

func readJSON(c *Call, r *jsonReader, into any) {
	start := r.pos
	r.skip()
	if r.err == nil && json.Unmarshal([]byte(r.s[start:]), into) != nil {
		r.fail()
	}
	var name struct{ TableName string }
	if r.err == nil && json.Unmarshal([]byte(r.s[start:]), &name) == nil {
		c.Resource = name.TableName
	}
}

func (d *DynamoDB) createTable(c *Call, r *jsonReader) effect {
	var in tableRequest
	readJSON(c, r, &in)
	return func(c *Call, _ *Fault) ([]byte, *Error) {
		t, err := in.table()
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.tables[in.TableName] != nil {
			return nil, &Error{Type: dynamoDBNamespace + "ResourceInUseException", Message: "Table already exists: " + in.TableName}
		}
		d.tables[in.TableName] = t
		return append(t.appendDescription([]byte(`{"TableDescription":`), "CREATING"), '}'), nil
	}
}

// table checks a table's definition ("CreateTable", API reference) and makes it.
func (in *tableRequest) table() (*table, *Error) {
	if len(in.TableName) < 3 || len(in.TableName) > 255 || strings.Trim(in.TableName, nameCharacters+".") != "" {
		return nil, Validation("TableName must be at least 3 characters long and at most 255 characters long")
	}
	t := &table{name: in.TableName, id: uuid(hashString(in.TableName), 1), created: time.Now(), billing: in.BillingMode,
		types: make(map[string]string), partitions: make(map[string]*partition), throughput: string(in.ProvisionedThroughput)}
	if t.billing == "" {
		t.billing = "PROVISIONED"
	}
	if t.billing == "PROVISIONED" && t.throughput == "" {
		return nil, Validation("One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	if t.billing == "PAY_PER_REQUEST" && t.throughput != "" {
		return nil, Validation("One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	}
	for _, a := range in.AttributeDefinitions {
		t.types[a.AttributeName] = a.AttributeType
	}
	var err *Error
	if t.keys, err = t.schema(in.KeySchema); err != nil {
		return nil, err
	}
	used := t.keys.attributes()
	for _, x := range in.LocalSecondaryIndexes {
		if used, err = t.addIndex(x, false, used); err != nil {
			return nil, err
		}
	}
	for _, x := range in.GlobalSecondaryIndexes {
		if used, err = t.addIndex(x, true, used); err != nil {
			return nil, err
		}
	}
	slices.Sort(used)
	used = slices.Compact(used)
	if len(used) != len(t.types) {
		return nil, Validation("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	return t, nil
}

func (t *table) schema(elements []keyElement) (keySchema, *Error) {
	var k keySchema
	for i, e := range elements {
		kind := t.types[e.AttributeName]
		if kind == "" {
			return k, Validation("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [" + e.AttributeName + "], AttributeDefinitions: [" + strings.Join(sorted(t.types), ", ") + "]")
		}
		if kind != "S" && kind != "N" && kind != "B" {
			return k, Validation("1 validation error detected: Value '" + kind + "' at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]")
		}
		switch {
		case i == 0 && e.KeyType == "HASH":
			k.hash = e.AttributeName
		case i == 1 && e.KeyType == "RANGE" && e.AttributeName != k.hash:
			k.sort = e.AttributeName
		default:
			return k, Validation("Invalid KeySchema: Some index key attribute have no definition")
		}
	}
	if k.hash == "" {
		return k, Validation("1 validation error detected: Value '[]' at 'keySchema' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	return k, nil
}

func (t *table) addIndex(in indexRequest, global bool, used []string) ([]string, *Error) {
	keys, err := t.schema(in.KeySchema)
	if err != nil {
		return nil, err
	}
	if !global && (t.keys.sort == "" || keys.hash != t.keys.hash || keys.sort == "") {
		return nil, Validation("One or more parameter values were invalid: Index KeySchema does not have the same leading hash key as table KeySchema for index: " + in.IndexName)
	}
	x := &index{name: in.IndexName, keys: keys, global: global, projection: in.Projection.ProjectionType, include: in.Projection.NonKeyAttributes}
	if x.projection == "" {
		return nil, Validation("One or more parameter values were invalid: Unknown ProjectionType: null")
	}
	t.indexes = append(t.indexes, x)
	return append(used, keys.attributes()...), nil
}

func (d *DynamoDB) deleteTable(c *Call, r *jsonReader) effect {
	var in tableRequest
	readJSON(c, r, &in)
	return func(*Call, *Fault) ([]byte, *Error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		t := d.tables[in.TableName]
		if t == nil {
			return nil, tableNotFound(in.TableName)
		}
		delete(d.tables, in.TableName)
		return append(t.appendDescription([]byte(`{"TableDescription":`), "DELETING"), '}'), nil
	}
}

func tableNotFound(name string) *Error {
	return resourceNotFound("Requested resource not found: Table: " + name + " not found")
}

func (d *DynamoDB) describeTable(c *Call, r *jsonReader) effect {
	var in tableRequest
	readJSON(c, r, &in)
	return func(*Call, *Fault) ([]byte, *Error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		t := d.tables[in.TableName]
		if t == nil {
			return nil, tableNotFound(in.TableName)
		}
		return append(t.appendDescription([]byte(`{"Table":`), "ACTIVE"), '}'), nil
	}
}

func (d *DynamoDB) listTables(_ *Call, r *jsonReader) effect {
	r.skip()
	return func(*Call, *Fault) ([]byte, *Error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		b := []byte(`{"TableNames":[`)
		for i, name := range sorted(d.tables) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, name)
		}
		return append(b, `]}`...), nil
	}
}

func (t *table) appendDescription(b []byte, status string) []byte {
	b = appendJSONString(append(b, `{"TableName":`...), t.name)
	b = appendJSONString(append(b, `,"TableStatus":`...), status)
	b = appendJSONString(append(b, `,"TableArn":`...), t.arn())
	b = appendJSONString(append(b, `,"TableId":`...), t.id)
	b = append(b, `,"CreationDateTime":`+itoa64(t.created.Unix())+`,"ItemCount":`+strconv.Itoa(t.count)+`,"TableSizeBytes":`+strconv.Itoa(t.bytes)...)
	b = append(b, `,"BillingModeSummary":{"BillingMode":"`+t.billing+`"},"ProvisionedThroughput":`...)
	if t.throughput != "" {
		b = append(b, t.throughput...)
	} else {
		b = append(b, `{"ReadCapacityUnits":0,"WriteCapacityUnits":0}`...)
	}
	b = append(b, `,"AttributeDefinitions":[`...)
	for i, name := range sorted(t.types) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(append(b, `{"AttributeName":`...), name)
		b = append(b, `,"AttributeType":"`+t.types[name]+`"}`...)
	}
	b = t.keys.appendJSON(append(b, `],"KeySchema":`...))
	b = t.appendIndexes(b, `,"LocalSecondaryIndexes":`, false)
	b = t.appendIndexes(b, `,"GlobalSecondaryIndexes":`, true)
	return append(b, '}')
}

func (k keySchema) appendJSON(b []byte) []byte {
	b = append(appendJSONString(append(b, `[{"AttributeName":`...), k.hash), `,"KeyType":"HASH"}`...)
	if k.sort != "" {
		b = append(appendJSONString(append(b, `,{"AttributeName":`...), k.sort), `,"KeyType":"RANGE"}`...)
	}
	return append(b, ']')
}

func (t *table) appendIndexes(b []byte, member string, global bool) []byte {
	n := 0
	for _, x := range t.indexes {
		if x.global != global {
			continue
		}
		if n == 0 {
			b = append(append(b, member...), '[')
		} else {
			b = append(b, ',')
		}
		n++
		b = appendJSONString(append(b, `{"IndexName":`...), x.name)
		if global {
			b = append(b, `,"IndexStatus":"ACTIVE"`...)
		}
		b = appendJSONString(append(b, `,"IndexArn":`...), t.arn()+"/index/"+x.name)
		b = x.keys.appendJSON(append(b, `,"KeySchema":`...))
		b = appendJSONString(append(b, `,"Projection":{"ProjectionType":`...), x.projection)
		for i, name := range x.include {
			if i == 0 {
				b = append(b, `,"NonKeyAttributes":[`...)
			} else {
				b = append(b, ',')
			}
			b = appendJSONString(b, name)
		}
		if len(x.include) > 0 {
			b = append(b, ']')
		}
		b = append(b, `}}`...)
	}
	if n > 0 {
		b = append(b, ']')
	}
	return b
}

// updateTimeToLive enforces "UpdateTimeToLive" (API reference). The service takes up to an hour to switch; here it is at once.
func (d *DynamoDB) updateTimeToLive(c *Call, r *jsonReader) effect {
	var in struct {
		TableName               string
		TimeToLiveSpecification struct {
			AttributeName string
			Enabled       bool
		}
	}
	readJSON(c, r, &in)
	return func(*Call, *Fault) ([]byte, *Error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		t := d.tables[in.TableName]
		if t == nil {
			return nil, tableNotFound(in.TableName)
		}
		spec := in.TimeToLiveSpecification
		switch {
		case spec.Enabled && t.ttl != "":
			return nil, Validation("TimeToLive is already enabled")
		case !spec.Enabled && t.ttl == "":
			return nil, Validation("TimeToLive is already disabled")
		case !spec.Enabled && t.ttl != spec.AttributeName:
			return nil, Validation("TimeToLive is active on a different AttributeName: current AttributeName is " + t.ttl)
		case spec.Enabled:
			t.ttl = spec.AttributeName
		default:
			t.ttl = ""
		}
		b := appendJSONString([]byte(`{"TimeToLiveSpecification":{"AttributeName":`), spec.AttributeName)
		return append(b, `,"Enabled":`+strconv.FormatBool(spec.Enabled)+`}}`...), nil
	}
}

func (d *DynamoDB) describeTimeToLive(c *Call, r *jsonReader) effect {
	var in tableRequest
	readJSON(c, r, &in)
	return func(*Call, *Fault) ([]byte, *Error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		t := d.tables[in.TableName]
		if t == nil {
			return nil, tableNotFound(in.TableName)
		}
		if t.ttl == "" {
			return []byte(`{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}`), nil
		}
		b := appendJSONString([]byte(`{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":`), t.ttl)
		return append(b, `}}`...), nil
	}
}

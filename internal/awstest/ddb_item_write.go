package awstest

// itemWrite is a PutItem or DeleteItem request.
type itemWrite struct {
	table, condition, capacity   string
	returnValues, onFailedReturn string
	item                         Item
	x                            expressions
	problem                      *Error
}

func (d *DynamoDB) putItem(c *Call, r *jsonReader) effect    { return d.writeItem(c, r, false) }
func (d *DynamoDB) deleteItem(c *Call, r *jsonReader) effect { return d.writeItem(c, r, true) }

func (d *DynamoDB) writeItem(c *Call, r *jsonReader, del bool) effect {
	in := &itemWrite{}
	items := &itemReader{jsonReader: r}
	r.object(func(member string) {
		switch member {
		case "TableName":
			in.table = r.str()
			c.Resource = in.table
		case "Item", "Key":
			in.item = items.item(0)
		case "ConditionExpression":
			in.condition = r.str()
		case "ReturnConsumedCapacity":
			in.capacity = r.str()
		case "ReturnValues":
			in.returnValues = r.str()
		case "ReturnValuesOnConditionCheckFailure":
			in.onFailedReturn = r.str()
		default:
			if !in.x.read(items, member) {
				r.skip()
			}
		}
	})
	in.problem = items.problem
	c.Entries = []Entry{{Table: in.table, Item: in.item, Delete: del}}
	return func(c *Call, _ *Fault) ([]byte, *Error) { return d.runItemWrite(c, in, del) }
}

// runItemWrite enforces PutItem's and DeleteItem's API reference: the condition and the write are one step.
func (d *DynamoDB) runItemWrite(c *Call, in *itemWrite, del bool) ([]byte, *Error) {
	if in.problem != nil {
		return nil, in.problem
	}
	if in.returnValues != "" && in.returnValues != "NONE" && in.returnValues != "ALL_OLD" {
		return nil, Validation("Return values set to invalid value")
	}
	condition, err := in.x.condition("ConditionExpression", in.condition)
	if err == nil {
		err = in.x.unused()
	}
	if err != nil {
		return nil, err
	}
	if !del && in.item.size() > maxItemSize {
		return nil, Validation("Item size has exceeded the maximum allowed size")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.table(in.table)
	if err == nil && del {
		err = t.checkKey(in.item)
	} else if err == nil {
		err = t.checkItem(in.item)
	}
	if err != nil {
		return nil, err
	}
	key := t.key(in.item)
	if condition != nil {
		var current Item
		if r := t.get(key); r != nil {
			current = r.item
		}
		if !condition.matches(current) {
			failed := &Error{Type: dynamoDBNamespace + "ConditionalCheckFailedException", Message: "The conditional request failed"}
			if in.onFailedReturn == "ALL_OLD" && current != nil {
				failed.Members = `,"Item":` + string(current.appendJSON(nil, false))
			}
			return nil, failed
		}
	}
	k := capacity{mode: in.capacity}
	old, replaced := d.apply(c, 0, key, &k)
	b := []byte("{")
	if in.returnValues == "ALL_OLD" && replaced {
		b = old.item.appendJSON(append(b, `,"Attributes":`...), false)
	}
	return object(k.appendMember(b, false)), nil
}

// object ends an answer whose members each begin with a comma.
func object(b []byte) []byte {
	if len(b) > 1 {
		b = append(b[:1], b[2:]...)
	}
	return append(b, '}')
}

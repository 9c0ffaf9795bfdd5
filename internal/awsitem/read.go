package awsitem

import (
	"encoding/base64"
	"unsafe"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
)

// A Reader reads items from answers in DynamoDB's JSON. The texts that it returns are in its own memory, or in the answer's, and are
// valid until the next Reset: a caller that keeps one copies it.
type Reader struct {
	texts []byte
	depth int // of the value that is read
}

// maxDepth is beyond DynamoDB's own limit of 32 levels ("Constraints in Amazon DynamoDB").
const maxDepth = 64

// Reset makes the memory of everything read so far available again.
func (r *Reader) Reset() { r.texts = r.texts[:0] }

// AppendItem reads one item and appends its attributes. A caller that reads many items has room for fields on its stack, where
// the garbage collector does not watch each pointer that is written.
func (r *Reader) AppendItem(fields []item.Field, w *jsonscan.Walker) []item.Field {
	for more := w.Open('{'); more; more = w.More('}') {
		fields = append(fields, item.Field{})
		f := &fields[len(fields)-1]
		f.Name = w.Name()
		r.value(w, &f.Value, f.Name == item.AttrPayload)
	}
	return fields
}

// value reads an attribute's value: an object with one member, named after its type. A payload is JSON if it is a string: it is
// validated as it is read.
func (r *Reader) value(w *jsonscan.Walker, v *item.Value, payload bool) {
	if r.depth++; r.depth > maxDepth {
		w.Fail("a value that is nested too deep")
	}
	for more := w.Open('{'); more; more = w.More('}') {
		v.Type = w.Name()
		switch v.Type {
		case "S", "N":
			if payload && v.Type == "S" {
				start := len(r.texts)
				r.texts, v.JSON = w.AppendJSON(r.texts)
				v.Text = r.since(start)
			} else {
				v.Text = r.text(w)
			}
		case "B":
			v.Text = r.binary(w)
		case "BOOL":
			v.Text = "false"
			if w.Bool() {
				v.Text = "true"
			}
		case "M":
			v.In = r.members(w)
		case "L":
			v.In = elements(w, func(v *item.Value) { r.value(w, v, false) })
		case "SS", "NS":
			one := v.Type[:1]
			v.In = elements(w, func(v *item.Value) { v.Type, v.Text = one, r.text(w) })
		case "BS":
			v.In = elements(w, func(v *item.Value) { v.Type, v.Text = "B", r.binary(w) })
		default:
			w.Skip()
		}
	}
	r.depth--
}

// members reads the attributes of a map.
func (r *Reader) members(w *jsonscan.Walker) []item.Field {
	var all []item.Field
	for more := w.Open('{'); more; more = w.More('}') {
		all = append(all, item.Field{Name: w.Name()})
		r.value(w, &all[len(all)-1].Value, false)
	}
	return all
}

// elements reads the elements of a list or a set, each by one.
func elements(w *jsonscan.Walker, one func(*item.Value)) []item.Field {
	all := []item.Field{}
	for more := w.Open('['); more; more = w.More(']') {
		all = append(all, item.Field{})
		one(&all[len(all)-1].Value)
	}
	return all
}

// text reads a string. Texts share one buffer; when that grows, earlier texts keep the old one.
func (r *Reader) text(w *jsonscan.Walker) string {
	start := len(r.texts)
	r.texts = w.AppendString(r.texts)
	return r.since(start)
}

func (r *Reader) binary(w *jsonscan.Walker) string {
	encoded := r.text(w)
	start := len(r.texts)
	var err error
	if r.texts, err = base64.StdEncoding.AppendDecode(r.texts, []byte(encoded)); err != nil {
		w.Fail("a binary value that is not base64")
	}
	return r.since(start)
}

func (r *Reader) since(start int) string {
	return unsafe.String(unsafe.SliceData(r.texts[start:]), len(r.texts)-start)
}

package awsitem

import (
	"encoding/base64"
	"unsafe"

	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/jsonscan"
)

// A Reader reads items from answers in DynamoDB's JSON. What it returns is its own memory and is valid until the next
// Reset: a caller that keeps a text copies it.
type Reader struct {
	fields []item.Field
	texts  []byte
	depth  int // of the value that is read
	// payload says that the value is a payload, which is JSON if it is a string: it is validated as it is read.
	payload bool
}

// maxDepth is beyond DynamoDB's own limit of 32 levels ("Constraints in Amazon DynamoDB").
const maxDepth = 64

// Reset makes the memory of everything read so far available again.
func (r *Reader) Reset() { r.fields, r.texts = r.fields[:0], r.texts[:0] }

// Item reads one item's attributes.
func (r *Reader) Item(w *jsonscan.Walker) []item.Field {
	start := len(r.fields)
	w.Object(func(name string) {
		r.fields = append(r.fields, item.Field{Name: name})
		r.payload = name == item.AttrPayload
		r.fields[len(r.fields)-1].Value = r.value(w)
	})
	return r.fields[start:len(r.fields):len(r.fields)]
}

// value reads an attribute's value: an object with one member, named after its type.
func (r *Reader) value(w *jsonscan.Walker) (v item.Value) {
	if r.depth++; r.depth > maxDepth {
		w.Fail("a value that is nested too deep")
	}
	defer func() { r.depth-- }()
	w.Object(func(kind string) {
		v.Type = kind
		switch kind {
		case "S", "N":
			if r.payload && kind == "S" {
				start := len(r.texts)
				r.texts, v.JSON = w.AppendJSON(r.texts)
				v.Text = r.since(start)
				return
			}
			v.Text = r.text(w)
		case "B":
			v.Text = r.binary(w)
		case "BOOL":
			v.Text = "false"
			if w.Bool() {
				v.Text = "true"
			}
		case "M":
			in := Reader{texts: r.texts, depth: r.depth} // its attributes must not come between those of the item
			v.In = in.Item(w)
			r.texts = in.texts
		case "L":
			v.In = r.list(w, r.value)
		case "SS", "NS":
			v.In = r.list(w, func(w *jsonscan.Walker) item.Value { return item.Value{Type: kind[:1], Text: r.text(w)} })
		case "BS":
			v.In = r.list(w, func(w *jsonscan.Walker) item.Value { return item.Value{Type: "B", Text: r.binary(w)} })
		}
	})
	return v
}

func (r *Reader) list(w *jsonscan.Walker, one func(*jsonscan.Walker) item.Value) []item.Field {
	elements := []item.Field{}
	w.Array(func() { elements = append(elements, item.Field{Value: one(w)}) })
	return elements
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

package handlers

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

var tableKind = metav1.SchemeGroupVersion.WithKind("Table")

// writeTable answers with the rows that kubectl prints.
func (h *Handler) writeTable(w http.ResponseWriter, r *http.Request, code int, f format, t *served, list *rest.ListResult) {
	include, err := includeObject(r)
	if err == nil && (f.pretty || f.media == mediaYAML) {
		var data []byte
		if data, err = h.encodeTable(t.desc, listMeta(list), list.Items, include, true); err == nil {
			writeEncoded(w, r, code, f, tableKind, data)
		}
	} else if err == nil {
		err = h.streamTable(w, r, code, t.desc, list, include)
	}
	if err != nil {
		writeError(w, r, err)
	}
}

// streamTable writes each row when it is made. One that cannot be made after the first bytes
// are out can only cut the answer off.
func (h *Handler) streamTable(w http.ResponseWriter, r *http.Request, code int, d *resource.Descriptor, list *rest.ListResult, include metav1.IncludeObjectPolicy) error {
	buf, err := tableHead(d, listMeta(list), true)
	if err != nil {
		return err
	}
	body := newBody(w, r, code, mediaJSON)
	now := h.cfg.Clock.Now()
	for i, it := range list.Items {
		if i > 0 {
			buf = append(buf, ',')
		}
		if buf, err = appendRow(buf, d, it, include, now); err != nil {
			if body.out == nil {
				return err
			}
			panic(http.ErrAbortHandler)
		}
		body.write(buf)
		if buf = buf[:0]; body.err != nil {
			break
		}
	}
	body.write(append(buf, listTail...))
	body.close()
	return nil
}

// includeObject reads what each row shall carry of its object.
func includeObject(r *http.Request) (metav1.IncludeObjectPolicy, error) {
	switch p := metav1.IncludeObjectPolicy(r.URL.Query().Get("includeObject")); p {
	case "":
		return metav1.IncludeMetadata, nil
	case metav1.IncludeNone, metav1.IncludeMetadata, metav1.IncludeObject:
		return p, nil
	default:
		return "", apierrors.NewBadRequest("includeObject must be None, Metadata or Object, not " + strconv.Quote(string(p)))
	}
}

// encodeTable makes a table's JSON. A watch sends the columns only in its first table.
func (h *Handler) encodeTable(d *resource.Descriptor, meta metav1.ListMeta, items []*watchcache.Item, include metav1.IncludeObjectPolicy, columns bool) ([]byte, error) {
	out, err := tableHead(d, meta, columns)
	now := h.cfg.Clock.Now()
	for i, it := range items {
		if i > 0 {
			out = append(out, ',')
		}
		if err == nil {
			out, err = appendRow(out, d, it, include, now)
		}
	}
	return append(out, "]}"...), err
}

// tableHead is a table up to its first row.
func tableHead(d *resource.Descriptor, meta metav1.ListMeta, columns bool) ([]byte, error) {
	head := struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ListMeta                `json:"metadata"`
		Columns         []metav1.TableColumnDefinition `json:"columnDefinitions"`
	}{
		TypeMeta: metav1.TypeMeta{Kind: tableKind.Kind, APIVersion: partialKind.GroupVersion().String()},
		Metadata: meta, Columns: []metav1.TableColumnDefinition{},
	}
	if columns {
		head.Columns = columnDefinitions(d)
	}
	data, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return append(data[:len(data)-1], `,"rows":[`...), nil
}

func appendRow(b []byte, d *resource.Descriptor, it *watchcache.Item, include metav1.IncludeObjectPolicy, now time.Time) ([]byte, error) {
	b = append(b, `{"cells":[`...)
	b, err := appendCells(b, d, it, now)
	if err != nil {
		return nil, err
	}
	object := []byte("null")
	switch include {
	case metav1.IncludeMetadata:
		object, err = metadataJSON(it)
	case metav1.IncludeObject:
		object, err = itemJSON(it)
	}
	b = append(append(b, `],"object":`...), object...)
	return append(b, '}'), err
}

func appendCells(b []byte, d *resource.Descriptor, it *watchcache.Item, now time.Time) (_ []byte, err error) {
	if len(d.Columns) == 0 {
		b = append(appendText(b, it.Object.GetName()), ',')
		return appendText(b, it.Object.GetCreationTimestamp().UTC().Format(time.RFC3339)), nil
	}
	for i := range d.Columns {
		if i > 0 {
			b = append(b, ',')
		}
		c := &d.Columns[i]
		if c.Text != nil {
			b = appendText(b, c.Text(it.Object, now))
		} else if b, err = appendCell(b, c.Value(it.Object, now)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendCell encodes what cells nearly always hold without looking at it by reflection.
func appendCell(b []byte, cell any) ([]byte, error) {
	switch v := cell.(type) {
	case string:
		return appendText(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int32:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	}
	data, err := json.Marshal(cell)
	return append(b, data...), err
}

// appendText appends s as encoding/json writes it: "<none>" is what cells hold most.
func appendText(b []byte, s string) []byte {
	from := len(b)
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '<':
			b = append(b, `\u003c`...)
		case c == '>':
			b = append(b, `\u003e`...)
		case c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '&':
			data, _ := json.Marshal(s) // a text has an encoding
			return append(b[:from], data...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// defaultColumns serve a kind that declares none.
var defaultColumns = []resource.Column{
	{Name: "Name", Type: "string", Format: "name", Description: "Name must be unique within a namespace."},
	{Name: "Created At", Type: "date", Description: "When the object was made."},
}

func columnsOf(d *resource.Descriptor) []resource.Column {
	if len(d.Columns) > 0 {
		return d.Columns
	}
	return defaultColumns
}

func columnDefinitions(d *resource.Descriptor) []metav1.TableColumnDefinition {
	columns := columnsOf(d)
	out := make([]metav1.TableColumnDefinition, len(columns))
	for i, c := range columns {
		out[i] = metav1.TableColumnDefinition{Name: c.Name, Type: c.Type, Format: c.Format, Description: c.Description, Priority: c.Priority}
	}
	return out
}

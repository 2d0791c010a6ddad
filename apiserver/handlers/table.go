package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

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
	if err != nil {
		writeError(w, r, err)
		return
	}
	meta := listMeta(list)
	data, err := h.encodeTable(t.desc, meta, list.Items, include, true)
	if err != nil {
		writeError(w, r, err)
		return
	}
	gvk := partialKind.GroupVersion().WithKind(tableKind.Kind)
	writeEncoded(w, r, code, f, gvk, data)
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
	out := bytes.NewBuffer(data[:len(data)-1])
	out.WriteString(`,"rows":[`)
	now := h.cfg.Clock.Now()
	for i, it := range items {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := writeRow(out, d, it, include, now); err != nil {
			return nil, err
		}
	}
	out.WriteString("]}")
	return out.Bytes(), nil
}

func writeRow(out *bytes.Buffer, d *resource.Descriptor, it *watchcache.Item, include metav1.IncludeObjectPolicy, now time.Time) error {
	cells, err := json.Marshal(rowCells(d, it, now))
	if err != nil {
		return err
	}
	out.WriteString(`{"cells":`)
	out.Write(cells)
	object := []byte("null")
	switch include {
	case metav1.IncludeMetadata:
		object, err = metadataJSON(it)
	case metav1.IncludeObject:
		object, err = itemJSON(it)
	}
	if err != nil {
		return err
	}
	out.WriteString(`,"object":`)
	out.Write(object)
	out.WriteByte('}')
	return nil
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

func rowCells(d *resource.Descriptor, it *watchcache.Item, now time.Time) []any {
	if len(d.Columns) == 0 {
		return []any{it.Object.GetName(), it.Object.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	}
	cells := make([]any, len(d.Columns))
	for i, c := range d.Columns {
		cells[i] = c.Value(it.Object, now)
	}
	return cells
}

package managedfields

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/structured-merge-diff/v6/schema"

	"github.com/miniorch/miniorch/apiserver/registry"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

var update = flag.Bool("update", false, "write schema.json anew")

// TestSchemaIsCurrent: schema.json is what client-go knows of our kinds, no more and no less.
func TestSchemaIsCurrent(t *testing.T) {
	want := encode(t, reachable(t))
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, schemaJSON) {
		t.Error("schema.json does not match the kinds and client-go any more: run the test with -update")
	}
}

func encode(t *testing.T, types []wireType) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("[\n")
	for i, typ := range types {
		line, err := json.Marshal(typ)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(line)
		if i < len(types)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString("]\n")
	return out.Bytes()
}

// reachable lists the types of our kinds and of everything in them, by name.
func reachable(t *testing.T) []wireType {
	t.Helper()
	all := applyconfigurations.NewTypeConverter(api.Scheme)
	w := walker{found: map[string]wireType{}}
	for _, obj := range described() {
		value, err := all.ObjectToTyped(obj)
		if err != nil {
			t.Fatal(err)
		}
		w.from = value.Schema()
		ref := value.TypeRef()
		w.ref(ref)
	}
	var out []wireType
	for _, name := range slices.Sorted(maps.Keys(w.found)) {
		out = append(out, w.found[name])
	}
	return out
}

// described returns an empty object of each type that is merged, or whose rules for merging the
// OpenAPI documents tell.
func described() []runtime.Object {
	all := []runtime.Object{
		&corev1.ComponentStatus{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ComponentStatus"}},
		&metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}},
	}
	for _, d := range storedKinds() {
		obj := d.New()
		obj.GetObjectKind().SetGroupVersionKind(d.GVK())
		all = append(all, obj)
	}
	return all
}

type walker struct {
	from  *schema.Schema
	found map[string]wireType
}

func (w *walker) ref(r schema.TypeRef) wireRef {
	out := wireRef{Named: r.NamedType, Relationship: r.ElementRelationship, Nullable: r.Nullable}
	if r.NamedType == nil {
		if r.Inlined != (schema.Atom{}) {
			a := w.atom(r.Inlined)
			out.Inlined = &a
		}
		return out
	}
	name := *r.NamedType
	if _, seen := w.found[name]; seen {
		return out
	}
	def, ok := w.from.FindNamedType(name)
	if !ok {
		panic("no type " + name)
	}
	w.found[name] = wireType{}
	w.found[name] = wireType{Name: name, wireAtom: w.atom(def.Atom)}
	return out
}

func (w *walker) atom(a schema.Atom) wireAtom {
	out := wireAtom{Scalar: a.Scalar}
	if a.List != nil {
		out.List = &wireList{Element: w.ref(a.List.ElementType), Relationship: a.List.ElementRelationship, Keys: a.List.Keys}
	}
	if a.Map != nil {
		out.Map = &wireMap{Element: w.ref(a.Map.ElementType), Relationship: a.Map.ElementRelationship}
		for _, f := range a.Map.Fields {
			field := wireField{Name: f.Name, Type: w.ref(f.Type)}
			if text, ok := f.Default.(string); ok { // defaults matter in the keys of lists, and those are words
				field.Default = text
			}
			out.Map.Fields = append(out.Map.Fields, field)
		}
	}
	return out
}

// storedKinds are the kinds that have owners of fields: what is only computed has none.
func storedKinds() []resource.Descriptor {
	return slices.DeleteFunc(registry.All(registry.Config{}), func(d resource.Descriptor) bool { return d.Virtual != nil })
}

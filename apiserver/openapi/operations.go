package openapi

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// operation is one method on one path, in no dialect yet.
type operation struct {
	method   string // "get", "put", …
	action   string // x-kubernetes-action
	id       string
	summary  string
	kind     k8sschema.GroupVersionKind
	options  []reflect.Type // option structs whose fields are query parameters
	body     reflect.Type   // nil: none
	patch    bool           // the body is a patch
	optional bool           // the body may be left out
	returns  reflect.Type   // nil: plain text
	watch    bool           // may stream
	codes    []string       // of success
}

// route is a path with its operations.
type route struct {
	path       string
	namespaced bool // has {namespace}
	named      bool // has {name}
	operations []operation
}

var (
	statusType  = reflect.TypeFor[metav1.Status]()
	patchType   = reflect.TypeFor[metav1.Patch]()
	deleteType  = reflect.TypeFor[metav1.DeleteOptions]()
	listOptions = reflect.TypeFor[metav1.ListOptions]()
)

// connectOptions are the query parameters of the connecting subresources.
var connectOptions = map[string]reflect.Type{
	"log":         reflect.TypeFor[corev1.PodLogOptions](),
	"exec":        reflect.TypeFor[corev1.PodExecOptions](),
	"attach":      reflect.TypeFor[corev1.PodAttachOptions](),
	"portforward": reflect.TypeFor[corev1.PodPortForwardOptions](),
	"proxy":       reflect.TypeFor[corev1.PodProxyOptions](), // as those of services and nodes
}

// routes lists what is served for one resource.
func routes(d resource.Descriptor) []route {
	r := router{d: d, obj: structType(d.New())}
	if d.NewList != nil {
		r.list = structType(d.NewList())
	}
	verbs := d.Verbs()
	out := []route{{path: collection(d), namespaced: d.Namespaced, operations: r.collection(verbs)}}
	if slices.Contains(verbs, "get") {
		out = append(out, route{path: collection(d) + "/{name}", namespaced: d.Namespaced, named: true, operations: r.item(verbs)})
	}
	if d.Namespaced && slices.Contains(verbs, "list") {
		out = append(out, route{path: d.Path(""), operations: []operation{r.listing("ForAllNamespaces")}})
	}
	for _, sub := range d.Subresources {
		out = append(out, route{
			path: collection(d) + "/{name}/" + sub.Name, namespaced: d.Namespaced, named: true,
			operations: r.subresource(sub),
		})
	}
	return out
}

func collection(d resource.Descriptor) string { return d.Path("{namespace}") }

func structType(v any) reflect.Type { return reflect.TypeOf(v).Elem() }

// router makes the operations of one resource.
type router struct {
	d         resource.Descriptor
	obj, list reflect.Type
}

// id returns an operation's name as clients generate method names from it.
func (r router) id(verb, suffix string) string {
	scope := ""
	if r.d.Namespaced && suffix != "ForAllNamespaces" {
		scope = "Namespaced"
	}
	return verb + title(groupTag(r.d.GroupVersion())) + scope + r.d.Kind + suffix
}

func (r router) op(method, action, verb, summary string) operation {
	return operation{method: method, action: action, id: r.id(verb, ""), summary: summary + " " + r.d.Kind,
		kind: r.d.GVK(), returns: r.obj, codes: []string{"200"}}
}

func (r router) listing(suffix string) operation {
	o := r.op("get", "list", "list", "list or watch objects of kind")
	o.id, o.returns, o.watch = r.id("list", suffix), r.list, slices.Contains(r.d.Verbs(), "watch")
	o.options = []reflect.Type{listOptions}
	return o
}

func (r router) collection(verbs []string) []operation {
	var out []operation
	if slices.Contains(verbs, "list") {
		out = append(out, r.listing(""))
	}
	if slices.Contains(verbs, "create") {
		out = append(out, r.create())
	}
	if slices.Contains(verbs, "deletecollection") {
		out = append(out, r.clear())
	}
	return out
}

func (r router) create() operation {
	create := r.op("post", "post", "create", "create a")
	create.body, create.codes = r.obj, []string{"200", "201", "202"}
	create.options = []reflect.Type{reflect.TypeFor[metav1.CreateOptions]()}
	return create
}

func (r router) clear() operation {
	clear := r.op("delete", "deletecollection", "deleteCollection", "delete collection of")
	if r.d.Namespaced {
		clear.id = "delete" + title(groupTag(r.d.GroupVersion())) + "CollectionNamespaced" + r.d.Kind
	} else {
		clear.id = "delete" + title(groupTag(r.d.GroupVersion())) + "Collection" + r.d.Kind
	}
	clear.body, clear.optional, clear.returns = deleteType, true, statusType
	clear.options = []reflect.Type{listOptions, deleteType}
	return clear
}

func (r router) item(verbs []string) []operation {
	out := r.readWrite("", r.d.GVK(), r.obj, verbs)
	if !slices.Contains(verbs, "delete") {
		return out
	}
	del := r.op("delete", "delete", "delete", "delete a")
	del.body, del.optional, del.returns, del.codes = deleteType, true, statusType, []string{"200", "202"}
	del.options = []reflect.Type{deleteType}
	if r.d.Kind == "Pod" || r.d.Kind == "ServiceAccount" {
		del.returns = r.obj
	}
	return append(out, del)
}

// readWrite makes get, put and patch of an object or of a subresource that has a body.
func (r router) readWrite(suffix string, kind k8sschema.GroupVersionKind, body reflect.Type, verbs []string) []operation {
	var out []operation
	if slices.Contains(verbs, "get") {
		out = append(out, r.op("get", "get", "read", "read the specified"))
	}
	if slices.Contains(verbs, "update") {
		put := r.op("put", "put", "replace", "replace the specified")
		put.body, put.codes = body, []string{"200", "201"}
		put.options = []reflect.Type{reflect.TypeFor[metav1.UpdateOptions]()}
		out = append(out, put)
	}
	if slices.Contains(verbs, "patch") {
		patch := r.op("patch", "patch", "patch", "partially update the specified")
		patch.body, patch.patch, patch.codes = patchType, true, []string{"200", "201"}
		patch.options = []reflect.Type{reflect.TypeFor[metav1.PatchOptions]()}
		out = append(out, patch)
	}
	for i := range out {
		out[i].id += suffix
		out[i].kind, out[i].returns = kind, body
	}
	return out
}

func (r router) subresource(sub resource.Subresource) []operation {
	suffix := title(sub.Name)
	if options, ok := connectOptions[sub.Name]; ok {
		return r.connect(sub, suffix, options)
	}
	kind := subresourceKind(r.d, sub)
	body := r.obj
	if sub.Kind != "" && sub.Kind != r.d.Kind {
		obj, err := api.Scheme.New(kind)
		if err != nil {
			return nil // a kind without a Go type has no schema to show
		}
		body = structType(obj)
	}
	out := r.readWrite(suffix, kind, body, sub.Verbs)
	if slices.Contains(sub.Verbs, "create") {
		create := r.op("post", "post", "create", "create "+sub.Name+" of a")
		create.id += suffix
		create.kind, create.body, create.returns, create.codes = kind, body, body, []string{"200", "201", "202"}
		create.options = []reflect.Type{reflect.TypeFor[metav1.CreateOptions]()}
		out = append(out, create)
	}
	return out
}

func (r router) connect(sub resource.Subresource, suffix string, options reflect.Type) []operation {
	methods := []string{"get", "post"}
	switch sub.Name {
	case "log":
		methods = methods[:1]
	case "proxy":
		methods = []string{"delete", "get", "head", "options", "patch", "post", "put"}
	}
	var out []operation
	for _, m := range methods {
		o := r.op(m, "connect", "connect"+title(m), "connect "+m+" requests to "+sub.Name+" of")
		if sub.Name == "log" {
			o = r.op(m, "get", "read", "read log of the specified")
		}
		o.id += suffix
		// Its own kind: a client that looks for what it can PATCH must not find a proxy.
		o.kind = subresourceKind(r.d, sub)
		o.options, o.returns = []reflect.Type{options}, nil
		out = append(out, o)
	}
	return out
}

// subresourceKind is the kind of a subresource's body.
func subresourceKind(d resource.Descriptor, sub resource.Subresource) k8sschema.GroupVersionKind {
	kind := d.GVK()
	if sub.Kind != "" {
		kind.Kind = sub.Kind
	}
	if sub.Version != "" {
		kind.Group, kind.Version = sub.Group, sub.Version
	}
	return kind
}

// groupTag is core_v1, apps_v1, discovery_v1.
func groupTag(gv k8sschema.GroupVersion) string {
	group, _, _ := strings.Cut(gv.Group, ".")
	if group == "" {
		group = "core"
	}
	return group + "_" + gv.Version
}

// title makes core_v1 CoreV1.
func title(s string) string {
	var out strings.Builder
	for part := range strings.SplitSeq(s, "_") {
		if part != "" {
			out.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return out.String()
}
